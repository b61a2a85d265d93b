"""Clips that show the same on two sides are found whether anybody linked them or not; different ones are not."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from curate import views
from curate.errors import CurateError
from curate.mixes.build import build, propose_release
from curate.mixes.draft import make_draft
from curate.mixes.near import Pairs, near_duplicates
from curate.mixes.verify import history, prove, verify
from curate.workspace import Workspace
from tests.conftest import World
from tests.mixes.rows import clip_id
from tests.mixes.test_verify import plant

LINKS = ("groups", "duplicates", "keepers")


@pytest.fixture(scope="module")
def forgetful(sample_world: World, fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The sample world's catalog, in which nobody knows any more what shows the same."""
    workspace = Workspace(shutil.copytree(fresh, tmp_path_factory.mktemp("near") / "workspace"))
    shutil.copytree(
        sample_world.workspace.catalog.root, workspace.state / "catalog", ignore=shutil.ignore_patterns(*LINKS)
    )
    return workspace


@pytest.fixture(scope="module")
def sides(forgetful: Workspace) -> pl.DataFrame:
    """Each video on one side, as if it had no twin."""
    clips = views.clips(forgetful.catalog).select("clip_id", "video_id").collect()
    videos = clips["video_id"].unique().sort()
    share = ["train", "validation", "train", "test", "train"]
    split = pl.Series((share * len(videos))[: len(videos)])
    of = pl.DataFrame({"video_id": videos, "split": split})
    return clips.join(of, on="video_id").with_columns(mix=pl.lit("base"), revision=pl.lit("v1"))


@pytest.fixture(scope="module")
def found(forgetful: Workspace, sides: pl.DataFrame) -> Pairs:
    return near_duplicates(forgetful, sides)


def across(world: World, sides: pl.DataFrame) -> set[tuple[str, str]]:
    """The links that dedupe made between clips on two sides."""
    split = dict(sides.select("clip_id", "split").iter_rows())
    edges = world.workspace.catalog.read("duplicates").select("clip_id", "other_id").iter_rows()
    return {(one, other) for one, other in edges if split[one] != split[other]}


def test_copies_that_nobody_linked_are_found_and_different_clips_are_not(
    sample_world: World, sides: pl.DataFrame, found: Pairs
) -> None:
    planted = across(sample_world, sides)
    told = set(found.found.select("clip_id", "other_id").iter_rows())
    assert len(planted) > 10
    assert len(told & planted) >= 0.9 * len(planted), "those that the model sees as near"
    assert told <= planted, "no false alarm"
    assert set(found.found["kind"]) <= {"exact", "copy", "semantic"} and found.found["similarity"].null_count() == 0
    assert (found.unseen, found.capped, found.unproven.height) == (0, 0, 0)


def test_of_new_clips_the_same_is_found_from_either_side(
    forgetful: Workspace, sides: pl.DataFrame, found: Pairs
) -> None:
    new = sides.filter(pl.col("video_id").hash(1) % 3 == 0)["clip_id"]
    ours = pl.col("clip_id").is_in(new.implode()) | pl.col("other_id").is_in(new.implode())
    again = near_duplicates(forgetful, sides.sample(fraction=1, shuffle=True, seed=1), new=new)
    assert again.found.equals(found.found.filter(ours))


def test_without_fingerprints_what_is_near_is_unproven(
    forgetful: Workspace, tmp_path: Path, sides: pl.DataFrame, found: Pairs
) -> None:
    blind = Workspace(shutil.copytree(forgetful.root, tmp_path / "workspace"))
    shutil.rmtree(Path(blind.catalog.root) / "fingerprints")
    told = near_duplicates(blind, sides)
    assert told.found.is_empty() and told.compared == 0
    assert told.unproven.height > 0 and set(told.unproven["kind"]) == {None}
    exact = found.found.filter(kind="exact").select("clip_id", "other_id")
    assert exact.join(told.unproven, on=["clip_id", "other_id"], how="anti").is_empty()


def test_verify_fails_on_them_and_names_clips_versions_and_similarity(
    forgetful: Workspace, tmp_path: Path, found: Pairs
) -> None:
    workspace = Workspace(shutil.copytree(forgetful.root, tmp_path / "workspace"))
    pair = found.found.row(0, named=True)
    of = dict(views.clips(workspace.catalog).select("clip_id", "video_id").collect().iter_rows())

    def row(clip: str, split: str) -> dict[str, str]:
        return {"clip_id": clip, "video_id": of[clip], "group_id": of[clip], "split": split}

    plant(workspace, "base", row(pair["clip_id"], "train"), row(pair["other_id"], "test"))
    proof = prove(workspace)
    (leak,) = proof.leaks
    assert (leak.kind, leak.where) == ("near-duplicate", ("train of base v1", "test of base v1"))
    assert pair["clip_id"] in str(leak) and pair["other_id"] in str(leak) and "similarity" in str(leak)
    assert proof.clips == 2 and "1 leaks in 1 versions" in str(proof)
    assert verify(workspace, "other") == []

    plant(workspace, "base", row(pair["other_id"], "test"))
    proof = prove(workspace)
    assert proof.leaks == [] and [each.where for each in proof.parted] == [
        ("train of base v1", "test of base v1", "test of base v2"),
    ]  # fmt: skip


def test_a_build_refuses_what_it_finds_links_it_and_parts_it_the_next_time(labelled: Workspace) -> None:
    draft = make_draft(labelled, "base", history(labelled))
    split = dict(draft.plan.videos.select("video_id", "split").iter_rows())
    on = {side: next(clip for clip in draft.lock["clips"] if clip["split"] == side) for side in ("train", "test")}
    ends = sorted(clip["clip_id"] for clip in on.values())
    labelled.catalog.write(
        "duplicates", [{"clip_id": ends[0], "other_id": ends[1], "kind": "copy", "score": 0.9}], run_id="t"
    )
    with pytest.raises(CurateError, match=r"show the same \(copy.*train of base \(new\).*linked now: run it again"):
        build(labelled, "base", who="ana", why="test")
    assert not (labelled.root / "data.dvc").exists()
    made = build(labelled, "base", who="ana", why="test")
    sides = {clip["video_id"]: clip["split"] for clip in made.lock["clips"]}
    videos = {side: clip["video_id"] for side, clip in on.items()}
    assert split[videos["train"]] == "train"
    assert len({sides[video] for video in videos.values() if video in sides}) <= 1
    assert verify(labelled) == []
    assert propose_release(labelled, "base", who="ana", why="nothing new") is None


def test_vectors_that_were_published_do_where_the_catalog_has_none(labelled: Workspace) -> None:
    made = build(labelled, "base", who="ana", why="test")
    shutil.rmtree(Path(labelled.catalog.root) / "embeddings")
    proof = prove(labelled)
    assert (proof.leaks, proof.unseen, proof.clips) == ([], 0, len(made.lock["clips"]))
    assert clip_id("video00", 0) in {clip["clip_id"] for clip in made.lock["clips"]}
