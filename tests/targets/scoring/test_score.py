"""Scores: the best window counts, conditions hold, labels calibrate, and nothing is done twice."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from curate.analyze.embed import load_embedder, model_id
from curate.errors import InputError
from curate.standing.windows import Best, best_windows
from curate.targets.scoring.score import score
from curate.vectors import pack
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips
from tests.targets.conftest import DIRECTION, frames_like, write_capability, write_labels


def rows(workspace: Workspace, capability: str = "jump") -> pl.DataFrame:
    return workspace.catalog.scan("scores").filter(pl.col("capability") == capability).sort("clip_id").collect()


def exemplar(workspace: Workspace) -> str:
    """A clip that shows exactly DIRECTION."""
    clip = Clip("exemplar", np.tile(DIRECTION, (4, 1)), motion=0.5)
    write_clips(workspace, [clip])
    return clip.clip_id


def windows(strengths: list[float], start_s: float = 10.0, end_s: float = 100.0) -> Best:
    frame = pl.DataFrame({
        "frame_times_s": [[start_s + at / 2 for at in range(len(strengths))]],
        "frame_vectors": [pack(frames_like(strengths, 0))],
        "end_s": [end_s],
    })  # fmt: skip
    return best_windows(frame, DIRECTION[np.newaxis], frames_per_s=2.0)[0]


def test_a_short_event_in_a_long_clip_counts_and_is_located() -> None:
    best = windows([0.1] * 10 + [0.8, 0.8] + [0.1] * 10)
    assert best.similarity[0] == pytest.approx(0.8, abs=1e-2)
    assert (best.start_s[0], best.end_s[0]) == (15.0, 16.0)


def test_one_odd_frame_does_not_make_an_event() -> None:
    assert windows([0.1, 0.1, 0.9, 0.1, 0.1]).similarity[0] == pytest.approx(0.5, abs=1e-2)


def test_a_clip_of_one_frame_is_its_own_window_and_ends_with_the_clip() -> None:
    best = windows([0.6], start_s=1.0, end_s=1.2)
    assert best.similarity[0] == pytest.approx(0.6, abs=1e-2)
    assert (best.start_s[0], best.end_s[0]) == (1.0, 1.2)


def test_without_labels_scores_are_ranks_among_eligible_clips(empty: Workspace, clips: list[Clip]) -> None:
    like = exemplar(empty)
    write_capability(empty, "jump", match={"like": [like], "where": "motion > 0.25"})
    summary = score(empty)
    found = rows(empty)
    assert summary.capabilities == {
        "jump": {
            "clips": 13,
            "eligible": 10,
            "matches": found["matches"].sum(),
            "calibration": "rank",
            "computed": 13,
            "unchanged": False,
        }
    }
    assert set(found["calibration"]) == {"rank"}
    assert found.filter(pl.col("clip_id") == like)["probability"].to_list() == [1.0]
    assert found.filter(~pl.col("eligible"))["probability"].null_count() == 3
    assert found.filter("eligible")["probability"].min() == 0


def test_enough_labels_of_both_kinds_make_scores_probabilities(empty: Workspace) -> None:
    made = [Clip(f"v{at:02d}", frames_like([0.5 if at < 15 else 0.1] * 3, at)) for at in range(40)]
    write_clips(empty, made)
    write_capability(empty, "jump", match={"like": [exemplar(empty)]})
    labels = {clip.clip_id: "present" if at < 15 else "absent" for at, clip in enumerate(made) if at % 5}
    write_labels(empty, "jump", labels)
    assert score(empty).capabilities["jump"]["calibration"] == "platt"
    probability = dict(rows(empty).select("clip_id", "probability").iter_rows())
    assert probability[made[0].clip_id] > 0.8
    assert probability[made[35].clip_id] < 0.2


def test_only_what_is_allowed_is_eligible(empty: Workspace, clips: list[Clip]) -> None:
    like = exemplar(empty)
    write_capability(empty, "jump", match={"like": [like], "sources": ["archive"]})
    write_capability(empty, "fall", match={"like": [like], "licences": ["CC-BY-4.0"]})
    write_capability(empty, "hop", match={"like": [like], "licences": ["CC0-1.0"], "where": "motion > 0.55"})
    score(empty)
    assert {clip.clip_id for clip in clips if clip.source == "archive"} == set(
        rows(empty).filter("eligible")["clip_id"]
    )
    assert rows(empty, "fall")["eligible"].sum() == 0
    assert rows(empty, "fall")["probability"].null_count() == 13
    assert rows(empty, "hop")["eligible"].sum() == 6


def standing(workspace: Workspace, capability: str = "jump") -> dict[str, Any]:
    found = workspace.catalog.scan("calibrations").filter(pl.col("capability") == capability).collect()
    return found.row(0, named=True)


def test_without_labels_a_clip_matches_from_the_level_on(empty: Workspace) -> None:
    made = [Clip(f"v{at:02d}", frames_like([0.8 if at < 4 else 0.1] * 3, at)) for at in range(40)]
    write_clips(empty, made)
    like = exemplar(empty)
    write_capability(empty, "jump", match={"like": [like]})
    write_capability(empty, "fall", match={"like": [like], "level": 0.9})
    score(empty)
    assert set(rows(empty).filter("matches")["clip_id"]) == {like, *(clip.clip_id for clip in made[:4])}
    found = standing(empty)
    assert (found["calibration"], found["level_from"]) == ("rank", "clips")
    assert 0.1 < found["level"] < 0.8
    assert rows(empty, "fall").filter("matches")["clip_id"].to_list() == [like]
    assert (standing(empty, "fall")["level"], standing(empty, "fall")["level_from"]) == (0.9, "spec")


def test_with_labels_a_clip_matches_where_it_is_probable_and_the_calibration_is_kept(empty: Workspace) -> None:
    made = [Clip(f"v{at:02d}", frames_like([0.5 if at < 15 else 0.1] * 3, at)) for at in range(40)]
    write_clips(empty, made)
    write_capability(empty, "jump", match={"like": [exemplar(empty)], "level": 0.01, "where": "motion < 0.4"})
    labels = {clip.clip_id: "present" if at < 15 else "absent" for at, clip in enumerate(made) if at % 5}
    write_labels(empty, "jump", labels | {made[0].clip_id: "unsure"})
    drawn = [{"capability": "jump", "clip_id": clip.clip_id, "reason": "audit", "inclusion": 0.1} for clip in made[:3]]
    likely = [{"capability": "jump", "clip_id": made[3].clip_id, "reason": "likely"}]
    empty.catalog.write("orders", [*drawn, *likely], run_id="test")
    score(empty)
    assert set(rows(empty).filter("matches")["clip_id"]) == {clip.clip_id for clip in made[:15]}
    found = standing(empty)
    assert (found["labels"], found["positives"], found["audits"], found["features"]) == (32, 12, 2, "similarity")
    assert found["brier"] < 0.1 < found["brier_base_rate"]
    assert sum(each["clips"] for each in found["reliability"]) == 32


def summaries(workspace: Workspace) -> dict[str, tuple[int, bool]]:
    """Of each capability the clips that were looked at, and whether all is as it was."""
    return {name: (one["computed"], one["unchanged"]) for name, one in score(workspace).capabilities.items()}


def test_a_second_run_does_nothing_and_a_change_costs_what_it_must(empty: Workspace, clips: list[Clip]) -> None:
    like = exemplar(empty)
    write_capability(empty, "jump", match={"like": [like]})
    write_capability(empty, "fall", match={"like": [like]})
    assert summaries(empty) == {"fall": (13, False), "jump": (13, False)}
    before = empty.catalog.versions()
    assert summaries(empty) == {"fall": (0, True), "jump": (0, True)}
    assert empty.catalog.versions() == before
    write_labels(empty, "jump", {clips[0].clip_id: "present"})
    assert summaries(empty) == {"fall": (0, True), "jump": (0, False)}
    write_capability(empty, "fall", match={"like": [like]}, title="changed", owner="others", target={"clips": 9})
    assert summaries(empty) == {"fall": (0, False), "jump": (0, True)}
    assert rows(empty, "fall")["spec_version"].unique().to_list() == [empty.capability("fall").version]
    write_capability(empty, "fall", match={"like": [like], "where": "motion > 0.3"})
    assert summaries(empty) == {"fall": (0, False), "jump": (0, True)}
    write_capability(empty, "fall", match={"like": [f"{like}@0-1"]})
    assert summaries(empty) == {"fall": (13, False), "jump": (0, True)}
    write_clips(empty, [Clip("new", frames_like([0.2, 0.2], 99))])
    assert summaries(empty) == {"fall": (1, False), "jump": (1, False)}
    write_clips(empty, [clips[0]], work_key="analysed anew")
    assert summaries(empty) == {"fall": (1, False), "jump": (1, False)}


def test_rows_that_come_out_as_they_were_are_not_written(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump", match={"like": [exemplar(empty)], "level": 0.5})
    score(empty)
    write_clips(empty, [Clip("best", np.tile(DIRECTION, (2, 1)))])
    score(empty)
    newest = rows(empty).filter(pl.col("written_at") == rows(empty)["written_at"].max())
    unmoved = rows(empty).filter(pl.col("probability") == 0)
    assert not set(unmoved["clip_id"]) & set(newest["clip_id"]), "the least similar clip still has rank 0"


def test_an_exemplar_file_counts_by_its_content_wherever_the_command_runs(
    empty: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedding = empty.analysis().embedding
    picture = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    Image.fromarray(picture).save(empty.root / "example.png")
    vector = load_embedder(embedding).images(picture[np.newaxis])
    write_clips(empty, [Clip("same", np.tile(vector, (2, 1)))], model_id=model_id(embedding))
    write_capability(empty, "jump", match={"like": ["example.png"]})
    monkeypatch.chdir(tmp_path)
    assert summaries(empty) == {"jump": (1, False)}
    assert rows(empty)["similarity"].to_list() == pytest.approx([1.0], abs=0.01)
    (empty.root / "example.png").rename(empty.root / "other.png")
    write_capability(empty, "jump", match={"like": ["other.png"]})
    assert summaries(empty) == {"jump": (0, False)}, "the name is not the content"
    Image.fromarray(255 - picture).save(empty.root / "other.png")
    assert summaries(empty) == {"jump": (1, False)}


def test_texts_are_scored_in_the_space_of_the_model_that_embedded_the_clips(empty: Workspace) -> None:
    embedding = empty.analysis().embedding
    shown = load_embedder(embedding).texts(["an object bouncing", "an object spinning", "grass"])
    made = [Clip(f"v{at}", np.tile(vector, (2, 1))) for at, vector in enumerate(shown)]
    write_clips(empty, made, model_id=model_id(embedding))
    write_capability(empty, "jump", match={"text": ["an object bouncing"], "not_text": ["an object spinning"]})
    score(empty)
    similarity = dict(rows(empty).select("clip_id", "similarity").iter_rows())
    ranked = sorted(made, key=lambda clip: -similarity[clip.clip_id])
    assert ranked[0].video_id == "v0"


def test_texts_for_clips_of_another_model_are_refused(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump", match={"text": ["a jump"]})
    with pytest.raises(InputError, match="embedded by test"):
        score(empty)


def test_what_is_wrong_with_a_capability_is_said_with_its_file(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump", match={"like": ["no-such-clip"]})
    with pytest.raises(InputError, match=r"jump\.yaml.*no-such-clip"):
        score(empty)
    write_capability(empty, "jump", match={"like": [clips[0].clip_id], "where": "height > tall"})
    with pytest.raises(InputError, match=r"jump\.yaml.*height > tall"):
        score(empty)
    with pytest.raises(InputError, match="fly"):
        score(empty, ["fly"])


def test_only_the_capabilities_asked_for_are_scored(empty: Workspace, clips: list[Clip]) -> None:
    for name in ("jump", "fall"):
        write_capability(empty, name, match={"like": [clips[0].clip_id]})
    assert list(score(empty, ["fall"]).capabilities) == ["fall"]
    assert rows(empty).is_empty()


def test_no_clips_no_scores(empty: Workspace) -> None:
    write_capability(empty, "jump", match={"text": ["a jump"]})
    assert score(empty).capabilities["jump"]["clips"] == 0
