import json
from pathlib import Path

import polars as pl
import pytest
from safetensors.torch import load_file

from curate.errors import InputError
from curate.mixes.load import load_mix, read_lock
from curate.model.evaluate import evaluate
from curate.model.published import open_mix
from curate.model.train import TrainSummary, train
from curate.workspace import Workspace


@pytest.fixture(scope="module")
def trained(published: Workspace) -> TrainSummary:
    return train(published, "base", steps=60, seed=1)


def test_a_model_says_what_it_was_made_from(published: Workspace, trained: TrainSummary) -> None:
    config = json.loads((Path(trained.model_path) / "config.json").read_text())
    lock = read_lock("base", workspace=published.root)
    assert Path(trained.model_path) == published.models / "base-v1-s1"
    assert (config["mix"], config["revision"], config["content"]) == ("base", "v1", lock["content"])
    assert config["embedding_model"] == lock["embedding_model"]
    assert config["capabilities"] == {"bounce": published.capability("bounce").version}
    assert sorted(p.name for p in Path(trained.model_path).iterdir()) == ["config.json", "model.safetensors"]


def test_every_labelled_occurrence_of_the_train_split_is_an_example(
    published: Workspace, trained: TrainSummary
) -> None:
    rows = load_mix("base", split="train", workspace=published.root)
    assert trained.train_examples == len(rows)
    assert {e.video_id for e in open_mix(published, "base").examples("train")} == set(rows["video_id"])


def test_training_again_is_skipped_and_another_seed_is_not(published: Workspace, trained: TrainSummary) -> None:
    weights = Path(trained.model_path) / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = train(published, "base", "v1", steps=60, seed=1)
    assert again.skipped
    assert not trained.skipped
    assert (again.loss, again.model_path) == (trained.loss, trained.model_path)
    assert weights.stat().st_mtime_ns == before
    assert not train(published, "base", steps=5, seed=2).skipped


def test_a_killed_training_resumes_to_the_same_weights(published: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.model.fit._CHECKPOINT_EVERY", 4)
    undisturbed = load_file(Path(train(published, "base", steps=10, seed=3).model_path) / "model.safetensors")
    (published.models / "base-v1-s3" / "config.json").unlink()
    (published.models / "base-v1-s3" / "model.safetensors").unlink()
    seen: list[int] = []

    def kill(what: str, done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(published, "base", steps=10, seed=3, progress=kill)
    resumed = train(published, "base", steps=10, seed=3, progress=lambda what, done, total: seen.append(done))
    assert seen[0] == 5
    found = load_file(Path(resumed.model_path) / "model.safetensors")
    assert all(found[name].equal(undisturbed[name]) for name in undisturbed)


def test_an_unknown_mix_or_revision_is_the_users_to_mend(published: Workspace) -> None:
    with pytest.raises(InputError, match="mix 'other'"):
        train(published, "other")
    with pytest.raises(InputError, match="no revision 'v9' of mix 'base'"):
        train(published, "base", "v9")


def test_a_mix_of_another_embedding_is_refused(published: Workspace) -> None:
    config = published.configs / "analysis.yaml"
    text = config.read_text()
    config.write_text("embedding: {model: ViT-B-32, weights: random}\n")
    try:
        with pytest.raises(
            InputError, match=r"mix base v1 holds vectors of sample/\w+, this workspace embeds with ViT"
        ):
            train(published, "base")
    finally:
        config.write_text(text)


def test_a_trained_model_and_zero_shot_are_measured_alike_and_kept(published: Workspace, trained: TrainSummary) -> None:
    for model, name in ((None, "zero-shot"), (Path(trained.model_path), "base-v1-s1")):
        found = evaluate(published, "base", model=model)
        assert found.columns == ["model", "capability", "metric", "value", "low", "high", "videos", "segments"]
        assert found["model"].unique().to_list() == [name]
        f1 = dict(found.filter(pl.col("metric") == "f1@0.5").select("capability", "value").iter_rows())
        assert set(f1) == {"bounce", "all"}
        assert f1["bounce"] > 0.5
        assert found.filter(~pl.col("value").is_between("low", "high")).is_empty()
        kept = published.catalog.read("evaluations").filter(pl.col("model") == name, pl.col("metric") == "f1@0.5")
        assert kept.select("mix", "revision", "split").unique().rows() == [("base", "v1", "test")]
        versions = dict(kept.select("capability", "spec_version").iter_rows())
        assert versions["bounce"] == published.capability("bounce").version


def test_a_clip_that_the_mix_repeats_is_measured_once(published: Workspace) -> None:
    rows = load_mix("base", split="train", workspace=published.root)
    assert len(rows) > len(set(rows["clip_id"])), "the mix must repeat clips for this to mean anything"
    found = evaluate(published, "base", split="train").filter(pl.col("capability") == "bounce")
    present = {clip for clip, labels in zip(rows["clip_id"], rows["labels"], strict=True) if labels[0]["segments"]}
    assert found["segments"].unique().to_list() == [len(present)]


def test_an_unknown_split_or_model_is_the_users_to_mend(published: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no exhaustive labels"):
        evaluate(published, "base", split="holdout")
    with pytest.raises(InputError, match="no trained model here"):
        evaluate(published, "base", model=tmp_path)
