"""A trained segmenter joins the scores: for what it was trained for, on its own embedding, not by its own labels."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from curate import views
from curate.errors import InputError
from curate.model.train import train
from curate.targets.scoring.score import score
from curate.targets.scoring.trained import newest_trained, trained_model
from curate.workspace import Workspace
from tests.model.conftest import footage, published

__all__ = ["footage", "published"]

ORDERED = ["clip_id", "similarity", "segmenter", "best_start_s", "best_end_s", "probability", "calibration"]


@pytest.fixture(scope="module")
def with_model(published: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the workspace with a segmenter trained on its mix, and a capability that it was not trained for."""
    workspace = Workspace(tmp_path_factory.mktemp("trained") / "workspace")
    shutil.copytree(published.root, workspace.root)
    train(workspace, "base", steps=120, device="cpu")
    spec = yaml.safe_load((workspace.configs / "capabilities" / "bounce.yaml").read_text())
    spec["match"]["where"] = None
    for name in ("bounce", "other"):
        (workspace.configs / "capabilities" / f"{name}.yaml").write_text(yaml.safe_dump({**spec, "id": name}))
    score(workspace)
    return workspace


@pytest.fixture
def own(with_model: Workspace, tmp_path: Path) -> Workspace:
    """A copy to change."""
    shutil.copytree(with_model.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def rows(workspace: Workspace, capability: str = "bounce") -> pl.DataFrame:
    found = workspace.catalog.scan("scores").filter(pl.col("capability") == capability).collect()
    return found.select(ORDERED).sort("clip_id")


def truth(workspace: Workspace) -> pl.DataFrame:
    """clip_id, present, and start_s and end_s of the segment."""
    segment = pl.col("segments").list.first()
    return workspace.catalog.read("labels").select(
        "clip_id",
        present=pl.col("verdict") == "present",
        start_s=segment.struct.field("start_s"),
        end_s=segment.struct.field("end_s"),
    )


def test_its_score_tells_clips_that_show_it_from_others(with_model: Workspace) -> None:
    found = rows(with_model).join(truth(with_model), on="clip_id")
    shown, others = (found.filter(pl.col("present") == present)["segmenter"] for present in (True, False))
    assert shown.min() > others.max()
    assert others.min() >= 0 and shown.max() <= 1


def test_the_best_span_is_its_segment_where_it_finds_one(with_model: Workspace) -> None:
    found = rows(with_model).join(truth(with_model), on="clip_id").filter("present")
    shared = np.minimum(found["best_end_s"], found["end_s"]) - np.maximum(found["best_start_s"], found["start_s"])
    either = np.maximum(found["best_end_s"], found["end_s"]) - np.minimum(found["best_start_s"], found["start_s"])
    assert float((shared / either).mean()) > 0.6, "a segment of two seconds, not a window of one"
    assert (found["best_end_s"] - found["best_start_s"]).mean() > 1.4


def test_of_a_capability_that_it_was_not_trained_for_it_says_nothing(with_model: Workspace) -> None:
    assert rows(with_model, "other")["segmenter"].null_count() == 32
    lengths = rows(with_model, "other").select(pl.col("best_end_s") - pl.col("best_start_s")).to_series()
    assert (lengths <= 1.0 + 1e-6).all()


def test_its_own_training_labels_are_not_what_it_is_judged_by(with_model: Workspace) -> None:
    trained, note = newest_trained(with_model)
    assert trained is not None and note == ""
    seen = trained.seen_videos
    assert seen is not None and 8 <= len(seen) < 16
    calibration = with_model.catalog.scan("calibrations").filter(pl.col("capability") == "bounce").collect()
    assert calibration["features"].to_list() == ["similarity"], "fewer than ten labels of a kind are left to judge it"


def test_it_is_asked_once_and_again_after_training(own: Workspace) -> None:
    assert [one["computed"] for one in score(own).capabilities.values()] == [0, 0]
    train(own, "base", steps=5, seed=1, device="cpu")
    assert {name: one["computed"] for name, one in score(own).capabilities.items()} == {"bounce": 32, "other": 0}


def test_without_the_lock_of_its_mix_all_labels_count_as_seen(own: Workspace) -> None:
    shutil.rmtree(own.root / ".dvc" / "cache")
    for cached in ("locks", "mixes"):
        shutil.rmtree(own.cache(cached))
    trained, _ = newest_trained(own)
    assert trained is not None and trained.seen_videos is None
    assert score(own).capabilities["bounce"]["unchanged"]


def test_a_model_of_another_embedding_is_ignored_with_a_note(own: Workspace) -> None:
    path = own.models / "base-v1-s0" / "config.json"
    path.write_text(path.read_text().replace('"embedding_model": "sample/', '"embedding_model": "another/'))
    summary = score(own)
    assert len(summary.notes) == 1
    assert "base-v1-s0 is not used" in summary.notes[0] and "another/" in summary.notes[0]
    assert rows(own)["segmenter"].null_count() == 32


def test_its_segments_are_in_source_seconds_with_the_fields_it_can_fill(with_model: Workspace) -> None:
    clips = views.framed_clips(with_model.catalog).sort("clip_id").collect()
    found = trained_model(with_model, "base-v1-s0").segments(with_model.capability("bounce"), clips)
    assert len(found) == len(clips) == 32
    for start_s, end_s, segments in zip(clips["start_s"], clips["end_s"], found, strict=True):
        assert all(start_s <= s.start_s < s.end_s <= end_s + 1e-6 and 0 < s.score <= 1 for s in segments)
    best = rows(with_model).with_columns(
        found=pl.Series([max(s, key=lambda o: o.score, default=None) for s in found], dtype=pl.Object)
    )
    shown = best.join(truth(with_model).filter("present"), on="clip_id", how="semi")
    for row in shown.iter_rows(named=True):
        assert (row["found"].start_s, row["found"].end_s) == pytest.approx((row["best_start_s"], row["best_end_s"]))
        assert row["found"].fields.keys() == {
            f.name for f in with_model.capability("bounce").segment.fields if f.enum or f.type == "boolean"
        }


def test_a_model_is_asked_for_by_name(own: Workspace) -> None:
    with pytest.raises(InputError, match="no model 'best'.*Known: base-v1-s0"):
        trained_model(own, "best")
    path = own.models / "base-v1-s0" / "config.json"
    path.write_text(path.read_text().replace('"embedding_model": "sample/', '"embedding_model": "another/'))
    with pytest.raises(InputError, match="it was trained on vectors of another/"):
        trained_model(own, "base-v1-s0")
