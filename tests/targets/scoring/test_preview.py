"""What a spec would match: counts that add up, the same matches as scoring gives, and nothing written."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate import views
from curate.errors import InputError
from curate.targets.scoring.preview import preview
from curate.targets.scoring.score import score
from curate.workspace import Workspace
from tests.conftest import World
from tests.dedupe.rows import Clip, write_clips
from tests.targets.conftest import DIRECTION, frames_like, write_capability, write_labels


@pytest.fixture
def archive(empty: Workspace) -> list[Clip]:
    """Forty clips, the first six of which show it; half of them of another source, each brisker than the last."""
    made = [
        Clip(
            f"v{at:02d}", frames_like([0.8 - at / 100 if at < 6 else 0.1 + at / 1000] * 3, at), motion=at / 40,
            height=180 if at % 4 else 90, source="sample_world" if at % 2 else "archive",
        )
        for at in range(40)
    ]  # fmt: skip
    like = Clip("like", np.tile(DIRECTION, (2, 1)), motion=0.5)
    write_clips(empty, [*made, like])
    write_capability(empty, "jump", match={"like": [like.clip_id]})
    return made


def write(workspace: Workspace, **match: Any) -> None:
    write_capability(workspace, "jump", match={**workspace.capability("jump").match.model_dump(), **match})


def test_a_draft_shows_what_scoring_would_write_and_writes_nothing(empty: Workspace, archive: list[Clip]) -> None:
    versions = empty.catalog.versions()
    found = preview(empty, "jump", limit=100)
    assert empty.catalog.versions() == versions
    assert (found.clips, found.eligible, found.matches, found.kept) == (41, 41, 7, 7)
    score(empty)
    columns = ["clip_id", "similarity", "probability", "matches", "eligible", "best_start_s", "best_end_s", "work_key"]
    written = empty.catalog.read("scores").select(columns).sort("clip_id")
    assert found.shown.select(columns).sort("clip_id").equals(written)
    after = empty.catalog.read("calibrations").row(0, named=True)
    assert found.calibration == {name: after[name] for name in found.calibration}


def test_an_edit_that_is_not_scored_yet_is_seen(empty: Workspace, archive: list[Clip]) -> None:
    score(empty)
    write(empty, level=0.755)
    assert preview(empty, "jump").matches == 6
    assert empty.catalog.read("scores")["matches"].sum() == 7
    assert preview(empty, "jump").level_from == "spec"


def test_each_condition_says_what_it_keeps_out(empty: Workspace, archive: list[Clip]) -> None:
    write(empty, where="motion >= 0.1 and height >= 100", sources=["sample_world"], licences=["CC0-1.0"])
    found = preview(empty, "jump")
    out = {row["condition"]: (row["clips"], row["alone"]) for row in found.excluded}
    assert set(out) == {"motion >= 0.1", "height >= 100", "source: archive"}
    assert {name: count for name, (count, _) in out.items()} == {
        "motion >= 0.1": 4, "height >= 100": 10, "source: archive": 20,
    }  # fmt: skip
    assert (out["height >= 100"][1], out["source: archive"][1]) == (0, 9)
    clips = views.clips(empty.catalog).collect()
    kept = clips.filter(pl.col("motion") >= 0.1, pl.col("height") >= 100, pl.col("source") == "sample_world")
    assert found.eligible == len(kept)


@pytest.mark.parametrize(
    "where", ["motion between 0.1 and 0.5", "motion > 0.9 or height > 100 and fps > 1", "path != 'a and b'"]
)
def test_a_condition_that_is_no_plain_list_stays_whole(empty: Workspace, archive: list[Clip], where: str) -> None:
    write(empty, where=where)
    assert [row["condition"] for row in preview(empty, "jump").excluded] == [where]


def test_a_licence_that_is_not_known_is_named(empty: Workspace, archive: list[Clip]) -> None:
    videos = empty.catalog.read("videos").filter(pl.col("video_id") == archive[0].video_id)
    empty.catalog.write("videos", videos.with_columns(licence=pl.lit(None, pl.String)), run_id="test")
    write(empty, licences=["CC0-1.0"])
    assert preview(empty, "jump").excluded == [{"condition": "licence: none", "clips": 1, "alone": 1}]


def test_the_histogram_counts_every_eligible_clip_once(empty: Workspace, archive: list[Clip]) -> None:
    write_labels(empty, "jump", {archive[0].clip_id: "present", archive[9].clip_id: "absent"})
    found = preview(empty, "jump")
    for column, count in (("clips", 41), ("matches", 7), ("present", 1), ("absent", 1)):
        assert sum(each[column] for each in found.histogram) == count
    assert all(
        before["high"] == after["low"] for before, after in zip(found.histogram, found.histogram[1:], strict=False)
    )
    assert found.labels == {"present": 1, "absent": 1}


def test_best_borderline_and_worst_are_apart_and_in_order(empty: Workspace, archive: list[Clip]) -> None:
    found = preview(empty, "jump", limit=4).shown
    assert found["place"].to_list() == ["best"] * 4 + ["borderline"] * 4 + ["worst"] * 4
    assert found["similarity"].is_sorted(descending=True)
    assert found["clip_id"].n_unique() == 12
    assert set(found.filter(pl.col("place") == "borderline")["matches"]) == {True, False}
    assert not found.filter(pl.col("place") == "worst")["matches"].any()


def test_few_clips_are_shown_once(empty: Workspace) -> None:
    made = [Clip(f"v{at}", frames_like([0.1 * at] * 2, at)) for at in range(3)]
    write_clips(empty, made)
    write_capability(empty, "jump", match={"like": [made[0].clip_id]})
    assert preview(empty, "jump", limit=8).shown["place"].to_list() == ["best"] * 3


def test_copies_count_as_matches_but_are_not_shown(empty: Workspace, archive: list[Clip]) -> None:
    dropped = {"clip_id": archive[1].clip_id, "keeper_id": archive[0].clip_id, "kind": "copy", "score": 1.0}
    empty.catalog.write("keepers", [dropped], run_id="test")
    found = preview(empty, "jump", limit=50)
    assert (found.matches, found.kept) == (7, 6)
    assert archive[1].clip_id not in found.shown["clip_id"]


def test_an_unmeasured_signal_that_a_condition_names_is_said(empty: Workspace, archive: list[Clip]) -> None:
    write(empty, where="speech_share > 0.2")
    found = preview(empty, "jump")
    assert found.eligible == 0
    assert found.notes == ["speech_share is not known of 41 clips: `curate collect` measures what conditions need"]


def test_no_clips_is_an_answer(empty: Workspace) -> None:
    write_capability(empty, "jump", match={"text": ["a jump"]})
    found = preview(empty, "jump")
    assert (found.clips, found.matches, found.level, found.histogram, len(found.shown)) == (0, 0, None, [], 0)


def test_another_capability_that_is_broken_is_not_in_the_way(empty: Workspace, archive: list[Clip]) -> None:
    (empty.configs / "capabilities" / "broken.yaml").write_text("id: broken\n")
    assert preview(empty, "jump").matches == 7
    with pytest.raises(InputError, match=r"broken\.yaml:1: 'title' is required"):
        preview(empty, "broken")


def test_mistakes_name_the_file(empty: Workspace, archive: list[Clip]) -> None:
    write(empty, where="motion > fast")
    with pytest.raises(InputError, match=r"jump\.yaml.*motion > fast"):
        preview(empty, "jump")
    with pytest.raises(InputError, match="no capability 'fly'"):
        preview(empty, "fly")


def test_a_new_text_over_the_sample_world_finds_what_it_says(sample_world: World, tmp_path: Path) -> None:
    """A draft that nobody scored, on real footage and the real model."""
    workspace = Workspace(tmp_path / "copy")
    shutil.copytree(sample_world.workspace.configs, workspace.configs)
    shutil.copytree(sample_world.workspace.state / "catalog", workspace.state / "catalog")
    match = {"text": ["an object bouncing", "an object in mid-air"], "not_text": ["an object standing still"]}
    write_capability(workspace, "draft", match=match)
    found = preview(workspace, "draft")
    same = workspace.catalog.scan("scores").filter(pl.col("capability") == "bounce", "matches").collect()
    kept = found.shown.filter(pl.col("place") == "best")["clip_id"]
    assert set(kept) <= set(same["clip_id"])
    assert 0.7 < found.matches / len(same) < 1.4
