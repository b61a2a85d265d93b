"""A mix from labels to a published version, with real cuts, Parquet, git and DVC."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import polars as pl
import pytest
import yaml

from curate import views
from curate.decisions import decide, find
from curate.errors import CurateError, InputError
from curate.mixes.build import Published, build, propose_release
from curate.mixes.load import clip_bytes, load_mix, read_lock, versions
from curate.mixes.rows import FEATURES
from curate.mixes.supply import gather
from curate.mixes.verify import verify
from curate.mixes.versions import git
from curate.review.agreement import update
from curate.workspace import Workspace
from tests.mixes.rows import add_label, add_videos, bind_videos, clip_id, write_capability, write_mix


def make(workspace: Workspace, name: str = "base") -> Published:
    return build(workspace, name, who="ana", why="first round")


def decisions(workspace: Workspace) -> pl.DataFrame:
    return workspace.catalog.scan("decisions").filter(pl.col("kind") == "release").collect()


def test_a_mix_is_published_with_its_files_tag_and_decision(labelled: Workspace) -> None:
    made = make(labelled)
    assert (made.revision, made.tag, made.new) == ("v1", "mix/base/v1", True)
    assert sorted(path.name for path in made.directory.iterdir()) == [
        "README.md", "frames", "lock.json", "media", "plots", "test-00000.parquet", "train-00000.parquet",
        "validation-00000.parquet",
    ]  # fmt: skip
    assert git(labelled.root, "tag", "--list").split() == ["mix/base/v1"]
    assert "data.dvc" in git(labelled.root, "show", "--stat", "--format=", "mix/base/v1^{commit}")
    (version,) = versions(labelled, "base")
    assert (version.rows, version.train) == (sum(made.rows.values()), made.rows["train"])
    row = decisions(labelled).row(0, named=True)
    assert (row["subject"], row["status"], row["who"], row["why"]) == ("base", "done", "ana", "first round")
    evidence = json.loads(row["evidence"])
    assert evidence["realised"] == made.lock["realised"]
    assert evidence["result"] == {"tag": "mix/base/v1", "revision": "v1"}
    assert read_lock("base", workspace=labelled.root) == made.lock
    assert json.loads((made.directory / "lock.json").read_text()) == made.lock
    assert verify(labelled) == []


PLAIN = """
import json, os, sys
import datasets, fsspec
rows = datasets.load_dataset(os.getcwd(), cache_dir=sys.argv[1])
frames = datasets.load_dataset(os.getcwd(), "frames", cache_dir=sys.argv[1])
assert "curate" not in sys.modules
first = rows["test"][0]
with fsspec.open(first["video"]["path"]) as file:
    content = file.read()
with open(first["media"]["pack"], "rb") as file:
    file.seek(first["media"]["offset"])
    assert file.read(first["media"]["size"]) == content
assert content[4:8] == b"ftyp"
vectors = {row["clip_id"]: row["frame_vectors"] for row in frames["test"]}
print(json.dumps({
    "rows": rows.num_rows, "features": rows["train"].features.to_dict(), "test": rows["test"].to_list(),
    "vectors": vectors[first["clip_id"]],
}))
"""


def test_plain_datasets_loads_it_with_typed_features(labelled: Workspace, tmp_path: Path) -> None:
    made = make(labelled)
    command = [sys.executable, "-c", PLAIN, str(tmp_path / "cache")]
    plain = json.loads(subprocess.run(command, cwd=made.directory, check=True, capture_output=True).stdout)
    assert plain["rows"] == made.rows
    assert plain["features"] == FEATURES.to_dict()
    ours = load_mix("base", "v1", "test", workspace=labelled.root)
    assert ours.num_rows == made.rows["test"]
    assert ours.remove_columns(["video", "frame_times_s", "frame_vectors"]).to_list() == [
        {name: value for name, value in row.items() if name != "video"} for row in plain["test"]
    ]
    assert plain["vectors"] == ours[0]["frame_vectors"]


def test_only_what_is_asked_for_is_loaded(labelled: Workspace) -> None:
    make(labelled)
    whole = load_mix("base", workspace=labelled.root)
    rows = load_mix("base", media=False, vectors=False, workspace=labelled.root)
    assert rows["train"].features == FEATURES
    assert set(whole["train"].features) - set(FEATURES) == {"frame_times_s", "frame_vectors"}
    for split, loaded in rows.items():
        assert {loaded["video"][index]["path"] for index in range(len(loaded))} == {None}
        assert loaded["clip_id"] == whole[split]["clip_id"]
        assert loaded["labels"] == whole[split]["labels"]
    with pytest.raises(InputError, match="loaded without its media. Load it with media=True"):
        clip_bytes(rows["train"][0])


def test_rows_say_what_the_clip_shows_and_why_it_is_in(labelled: Workspace) -> None:
    crossing = clip_id("video03", 1)  # 2 s to 4 s of its video
    segments = [{"start_s": 1.5, "end_s": 2.5, "fields": '{"color": "red"}'}]
    segments += [{"start_s": 0.1, "end_s": 0.4, "fields": "{}"}]
    add_label(labelled, crossing, "spin", "present", segments)
    write_mix(labelled, splits={"train": 1.0, "validation": 0.0, "test": 0.0}, budget={"clips": 60})
    make(labelled)
    rows = load_mix("base", split="train", workspace=labelled.root)
    row = next(row for row in rows if row["clip_id"] == crossing)
    assert (row["start_s"], row["end_s"], row["duration_s"], row["video_id"]) == (2.0, 4.0, 2.0, "video03")
    assert row["roles"] == ["spin"]
    (label,) = row["labels"]
    assert label["segments"] == [{"start_s": 0.0, "end_s": 0.5, "fields": '{"color": "red"}'}]
    assert row["frame_times_s"] == [0.0, 0.5, 1.0, 1.5]
    assert np.allclose(np.linalg.norm(row["frame_vectors"], axis=1), 1, atol=1e-2)
    path = labelled.root / "clip.mp4"
    path.write_bytes(clip_bytes(row))
    with av.open(str(path)) as container:
        first = next(container.decode(video=0)).to_ndarray(format="gray")
    assert abs(first.mean() - (8 + 2 * 50)) < 6, "frame 0 of the cut is frame 50 of the source"


def test_a_repeated_clip_is_a_row_for_each_time_and_costs_its_bytes_once(labelled: Workspace) -> None:
    made = make(labelled)
    twice = {clip["clip_id"] for clip in made.lock["clips"] if clip["repeat"] == 2}
    rows = load_mix("base", split="train", workspace=labelled.root).select_columns(["clip_id", "repeat"]).to_list()
    assert twice and rows == sorted(rows, key=lambda row: (row["clip_id"], row["repeat"]))
    assert all({row["repeat"] for row in rows if row["clip_id"] == clip} == {0, 1} for clip in twice)
    assert all(clip["repeat"] == 1 for clip in made.lock["clips"] if clip["split"] != "train")


def test_evaluation_holds_only_labelled_clips_each_once(labelled: Workspace) -> None:
    made = make(labelled)
    labels = set(labelled.catalog.read("labels")["clip_id"])
    for clip in made.lock["clips"]:
        if clip["split"] != "train":
            assert clip["clip_id"] in labels and clip["repeat"] == 1
    assert all(made.lock["counts"][name]["test"]["present"] for name in ("bounce", "roll", "spin"))


def test_a_contested_clip_is_left_out_until_a_review_settles_it(labelled: Workspace) -> None:
    first = make(labelled)
    assert first.lock["contested"] == {}
    clip = min(row["clip_id"] for row in first.lock["clips"] if row["roles"] == ["spin"])
    add_label(labelled, clip, "spin", "absent", label_id="second", annotator="bob")
    add_label(labelled, clip, "bounce", "present", [], label_id="third", annotator="bob")
    assert update(labelled.catalog, labelled.capabilities(), run_id="t") == 2
    contested = make(labelled)
    assert (contested.new, contested.lock["contested"]) == (True, {"bounce": 1, "spin": 1})
    assert clip not in {row["clip_id"] for row in contested.lock["clips"]}
    assert "spin: 1 labelled clip left out until a review settles" in (contested.directory / "README.md").read_text()

    add_label(labelled, clip, "spin", "absent", label_id="last", annotator="eve", purpose="review")
    update(labelled.catalog, labelled.capabilities(), run_id="t")
    assert make(labelled).lock["contested"] == {"bounce": 1}
    row = views.labels(labelled.catalog).filter(clip_id=clip, capability="spin").collect().row(0, named=True)
    assert (row["annotator"], row["verdict"], row["contested"]) == ("eve", "absent", False)


def test_a_clip_with_another_label_stays_without_the_contested_one(labelled: Workspace) -> None:
    clip = min(labelled.catalog.scan("labels").filter(capability="spin", verdict="present").collect()["clip_id"])
    add_label(labelled, clip, "spin", "absent", label_id="second", annotator="bob")
    update(labelled.catalog, labelled.capabilities(), run_id="t")
    supply = gather(labelled.catalog, labelled.capabilities())
    assert clip in supply.clips["clip_id"]
    assert supply.labels.filter(clip_id=clip)["capability"].to_list() == ["bounce"]
    assert supply.contested == {"spin": 1}


def test_building_again_without_a_change_publishes_nothing(labelled: Workspace) -> None:
    first = make(labelled)
    head = git(labelled.root, "rev-parse", "HEAD")
    again = make(labelled)
    assert (again.new, again.revision, again.lock) == (False, "v1", first.lock)
    assert git(labelled.root, "rev-parse", "HEAD") == head
    assert decisions(labelled).height == 1


def test_a_release_is_proposed_without_publishing_and_published_once_approved(labelled: Workspace) -> None:
    proposed = propose_release(labelled, "base", who="nightly", why="new labels")
    assert proposed is not None
    assert (proposed.status, proposed.evidence["newest"]) == ("proposed", None)
    assert proposed.cost["clips"] == proposed.evidence["clips_added"] > 0
    assert versions(labelled, "base") == []
    assert propose_release(labelled, "base", who="nightly", why="again").decision_id == proposed.decision_id

    approved = decide(labelled.catalog, proposed.decision_id, "approved", who="ana", why="looks right")
    made = build(labelled, "base", who="ana", why="looks right", decision=approved)
    assert (made.new, made.lock["content"]) == (True, proposed.plan["content"])
    assert find(labelled.catalog, proposed.decision_id).status == "done"
    assert propose_release(labelled, "base", who="nightly", why="nothing new") is None


def test_a_release_that_is_not_what_was_approved_is_refused(labelled: Workspace) -> None:
    proposed = propose_release(labelled, "base", who="nightly", why="new labels")
    assert proposed is not None
    approved = decide(labelled.catalog, proposed.decision_id, "approved", who="ana", why="looks right")
    add_label(labelled, clip_id("video07", 1), "bounce", "present", [{"start_s": 2.1, "end_s": 2.9, "fields": "{}"}])
    with pytest.raises(CurateError, match="other clips than those that were approved"):
        build(labelled, "base", who="ana", why="looks right", decision=approved)
    assert versions(labelled, "base") == []


def test_an_older_version_loads_after_a_newer_one_and_data_stays_the_newest(labelled: Workspace) -> None:
    first = make(labelled)
    add_label(labelled, clip_id("video07", 1), "bounce", "present", [{"start_s": 2.1, "end_s": 2.9, "fields": "{}"}])
    write_mix(labelled, budget={"clips": 12})
    second = make(labelled)
    assert (second.revision, second.new) == ("v2", True)
    assert second.rows != first.rows
    pinned = (labelled.root / "data.dvc").read_text()
    for rev in ("v1", "mix/base/v1", "HEAD~1"):
        assert read_lock("base", rev, workspace=labelled.root) == first.lock
        loaded = load_mix("base", rev, workspace=labelled.root)
        assert {split: rows.num_rows for split, rows in loaded.items()} == first.rows
    assert load_mix("base", workspace=labelled.root)["train"].num_rows == second.rows["train"]
    assert json.loads((labelled.data / "base" / "lock.json").read_text()) == second.lock
    assert (labelled.root / "data.dvc").read_text() == pinned


def test_the_same_selection_is_the_same_bytes(labelled: Workspace, fresh: Path, footage: Path, tmp_path: Path) -> None:
    def shards(directory: Path) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.glob("*.parquet")}

    first = make(labelled)
    twin = Workspace(shutil.copytree(fresh, tmp_path / "twin"))
    shutil.rmtree(twin.configs)
    shutil.copytree(labelled.configs, twin.configs)
    shutil.copytree(labelled.cache("exact-cuts"), twin.cache("exact-cuts"), dirs_exist_ok=True)
    add_videos(twin, sorted(set(labelled.catalog.read("videos")["video_id"]), reverse=True), footage)
    columns = ["clip_id", "capability", "verdict", "segments"]
    for label in reversed(labelled.catalog.read("labels").select(columns).rows()):
        add_label(twin, *label)
    second = make(twin)
    assert shards(first.directory) == shards(second.directory)
    assert first.lock["content"] == second.lock["content"]


def test_without_labels_the_error_says_what_to_do_next(workspace: Workspace, footage: Path) -> None:
    for config in (workspace.configs / "mixes").glob("*"):
        config.unlink()
    write_capability(workspace, "bounce")
    write_mix(workspace, capabilities={"bounce": {"share": 0.5}})
    with pytest.raises(InputError, match="`curate collect` first"):
        make(workspace)
    add_videos(workspace, ["a", "b"], footage)
    with pytest.raises(InputError, match="`curate label push bounce`"):
        make(workspace)


def test_a_mix_of_an_unknown_capability_is_refused_by_name(labelled: Workspace) -> None:
    write_mix(labelled, capabilities={"flip": {"share": 0.5}})
    with pytest.raises(InputError, match="'flip' that is not configured. Known: bounce, roll, spin"):
        make(labelled)


def test_a_clip_that_an_annotator_called_bad_is_left_out(labelled: Workspace) -> None:
    bad = clip_id("video00", 0)
    add_label(labelled, bad, "spin", "bad_clip")
    assert bad not in {clip["clip_id"] for clip in make(labelled).lock["clips"]}


def test_a_clip_that_cannot_be_cut_stops_the_build_and_leaves_its_reason(labelled: Workspace, tmp_path: Path) -> None:
    add_videos(labelled, ["gone"], tmp_path / "gone.mp4")
    (labelled.configs / "analysis.yaml").write_text("engine: {workers: 1}\n")
    add_label(labelled, clip_id("gone", 0), "bounce")
    with pytest.raises(CurateError, match=r"clips could not be cut; clip [0-9a-f]{16}: .*") as caught:
        make(labelled)
    assert str(tmp_path / "gone.mp4") in str(caught.value)
    failed = labelled.catalog.scan("outcomes").filter(pl.col("stage") == "cut").collect()
    assert set(failed["outcome"]) == {"failed"} and failed["reason"].null_count() == 0
    assert versions(labelled, "base") == [] and not labelled.data.exists()


def test_footage_that_joins_train_and_test_later_leaves_training(labelled: Workspace) -> None:
    first = make(labelled)
    video = {
        split: next(c["video_id"] for c in first.lock["clips"] if c["split"] == split) for split in ("train", "test")
    }
    bind_videos(labelled.catalog, clip_id(video["train"], 1), clip_id(video["test"], 1))
    (leak,) = verify(labelled)
    assert leak.kind == "group as known now"
    second = make(labelled)
    sides = {clip["video_id"]: clip["split"] for clip in second.lock["clips"]}
    assert video["train"] not in sides and sides[video["test"]] == "test"
    assert video["train"] in second.lock["conflicts"][0]
    assert verify(labelled) == []


def test_splits_survive_the_loss_of_the_catalog(labelled: Workspace) -> None:
    """What was published is what holds: a fresh clone has tags and data, but no catalog."""
    first = make(labelled)
    before = {clip["video_id"]: clip["split"] for clip in first.lock["clips"]}
    splits = labelled.catalog.read("splits")
    flipped = splits.with_columns(split=pl.lit("train")).select("video_id", "group_id", "split")
    labelled.catalog.write("splits", flipped, run_id="t")
    write_mix(labelled, seed=99)
    after = {clip["video_id"]: clip["split"] for clip in make(labelled).lock["clips"]}
    held = [video for video, split in before.items() if split != "train"]
    assert held and all(after.get(video, before[video]) == before[video] for video in held)


def test_the_card_names_licences_shares_and_limits_and_its_front_matter_is_valid(labelled: Workspace) -> None:
    write_mix(labelled, budget={"clips": 60})
    card = (make(labelled).directory / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == ["cc0-1.0"]
    assert [entry["split"] for entry in front["configs"][0]["data_files"]] == ["train", "validation", "test"]
    assert "| bounce | 25.0% |" in card and "- Short: bounce:" in card and "A bounce." in card
    assert "| CC0-1.0 | " in card
