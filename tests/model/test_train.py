import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

import curate
from curate.errors import InputError
from curate.mixes.load import load_mix, read_lock
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
    assert config["run"]["code"].startswith(curate.__version__)
    assert config["run"]["device_h"] == pytest.approx(trained.seconds / 3600, abs=1e-4)
    assert {"torch", "device", "started_at"} <= set(config["run"])
    assert config["embedding_model"] == lock["embedding_model"]
    assert config["capabilities"] == {"bounce": published.capability("bounce").version}
    assert sorted(p.name for p in Path(trained.model_path).iterdir()) == [
        *("config.json", "history.jsonl", "model.safetensors")
    ]


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
