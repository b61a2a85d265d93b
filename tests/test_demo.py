"""Once round the wheel, as `make demo` runs it, and once more: everything is there, and nothing is done twice."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from curate import views
from curate.mixes.load import load_mix, versions
from curate.mixes.verify import verify
from curate.workspace import Workspace, open_workspace
from labeling.guesses import guesses

pytestmark = [pytest.mark.server, pytest.mark.timeout(1500)]


def demo(directory: Path) -> str:
    command = [sys.executable, "-c", "from curate.cli import main; main()", "demo", str(directory), "--videos", "24"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    directory = tmp_path_factory.mktemp("demo") / "workspace"
    story = demo(directory)
    return open_workspace(directory), story


def test_it_leaves_labels_a_mix_a_model_and_a_report(first: tuple[Workspace, str]) -> None:
    workspace, story = first
    assert set(views.labels(workspace.catalog).collect()["verdict"]) == {"present", "absent"}
    mix = load_mix("base", "v1", workspace=workspace.root)
    assert all(mix[split].num_rows > 0 for split in ("train", "validation", "test"))
    assert (workspace.models / "base-v1-s0" / "model.safetensors").is_file()
    assert (workspace.reports / "report.html").is_file()
    for place in (workspace.reports / "report.html", workspace.data / "base"):
        assert str(place) in story


def test_what_two_annotators_differ_on_is_settled_by_a_reviewer(first: tuple[Workspace, str]) -> None:
    catalog = first[0].catalog
    twice = catalog.read("agreements").filter(pl.col("annotators").list.len() == 2)
    settled = catalog.read("labels").filter(pl.col("purpose") == "review")
    assert (twice["agreement"] < 1).any()
    assert set(settled["clip_id"]) == set(catalog.read("reviews")["clip_id"]) != set()
    assert not views.labels(catalog).collect()["contested"].any()


def test_training_beats_the_untrained_baseline_on_held_out_videos(first: tuple[Workspace, str]) -> None:
    rows = first[0].catalog.scan("evaluations").filter(pl.col("metric") == "f1@0.5", pl.col("capability") == "all")
    found = dict(rows.select("model", "value").collect().iter_rows())
    assert found["base-v1-s0"] > found["zero-shot"]


def test_the_trained_segmenter_marks_clips_for_annotators_but_none_that_it_is_measured_on(
    first: tuple[Workspace, str],
) -> None:
    workspace, spec = first[0], first[0].capability("bounce")
    clips = views.kept_clips(workspace.catalog).select("clip_id", "video_id").collect()
    said = guesses(workspace, spec, clips["clip_id"].to_list())
    measuring = workspace.catalog.read("splits").filter(pl.col("split") != "train")["video_id"].implode()
    measured_on = clips.filter(pl.col("video_id").is_in(measuring))["clip_id"].to_list()
    assert said.model == "base-v1-s0"
    assert len(said.segments) > 5
    assert measured_on and not set(measured_on) & said.segments.keys()
    assert all("color" in segment.fields for segments in said.segments.values() for segment in segments)


def test_no_video_and_no_duplicate_group_is_on_two_sides(first: tuple[Workspace, str]) -> None:
    assert verify(first[0]) == []


def test_every_spending_of_labels_and_every_release_is_a_decision_with_its_why(first: tuple[Workspace, str]) -> None:
    decisions = first[0].catalog.read("decisions")
    assert set(decisions["kind"]) == {"label-order", "release"}
    assert decisions.filter(pl.col("why") == "").is_empty()
    assert set(decisions.filter(pl.col("kind") == "label-order")["subject"]) == set(first[0].capabilities())


def test_the_second_run_does_nothing_twice_and_says_so(first: tuple[Workspace, str]) -> None:
    workspace, _ = first
    tables = ("clips", "duplicates", "labels", "decisions")
    before = {name: workspace.catalog.history(name).collect().height for name in tables}
    story = demo(workspace.root)
    assert {name: workspace.catalog.history(name).collect().height for name in tables} == before
    assert [version.revision for version in versions(workspace, "base")] == ["v1"]
    for step in ("files are there already: skipped", "labels are there already: skipped", "nothing changed since",
                 "skipped: the model of this mix is there"):  # fmt: skip
        assert step in story
