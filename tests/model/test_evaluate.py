"""Models, ours or not, measured on a small published mix through the library and the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from curate.cli import app
from curate.errors import InputError
from curate.evaluation.evaluate import evaluate, with_ceiling
from curate.evaluation.examine import Evaluation, examine
from curate.evaluation.judged import Exam, open_exam
from curate.mixes.load import load_mix
from curate.mixes.loading.export import export
from curate.model.directory import model_directory
from curate.workspace import Workspace
from tests.review.made import label, write_clips
from tests.review.made import write as write_labels
from tests.targets.conftest import write_capability

Write = Callable[[Any], Path]


@pytest.fixture(scope="module")
def exam(published: Workspace) -> Exam:
    return open_exam(published, "base")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of predictions: JSON, or JSON lines of a list."""

    def written(content: Any) -> Path:
        path = tmp_path / "theirs.json"
        lines = content if isinstance(content, list) else [content]
        path.write_text("\n".join(json.dumps(line) for line in lines))
        return path

    return written


def right(exam: Exam, **more: Any) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The truth, as a model would answer it."""
    return {
        judged.clip_id: {
            judged.capability: [
                {"start_time": s.start_s, "end_time": s.end_s, "metadata": dict(s.fields), **more}
                for s in judged.segments
            ]
        }
        for judged in exam.judged
    }


def spans(exam: Exam) -> dict[str, tuple[str, float]]:
    """Video and start in it of each clip."""
    return {clip["clip_id"]: (clip["video_id"], clip["start_s"]) for clip in exam.published.lock["clips"]}


def values(found: Evaluation, capability: str = "bounce") -> dict[str, float]:
    rows = found.rows.filter(pl.col("capability") == capability, pl.col("slice").is_null())
    return dict(rows.select("metric", "value").iter_rows())


def cli(workspace: Workspace, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["--workspace", str(workspace.root), "evaluate", "base", *map(str, arguments)])


def test_the_baseline_is_measured_and_kept(published: Workspace) -> None:
    found = evaluate(published, "base")
    assert found.columns == [
        "model", "capability", "slice", "metric", "value", "low", "high", "videos", "segments", "unanswered", "ceiling",
    ]  # fmt: skip
    assert found["model"].unique().to_list() == ["zero-shot"]
    f1 = dict(found.filter(metric="f1@0.5").filter(pl.col("slice").is_null()).select("capability", "value").iter_rows())
    assert set(f1) == {"bounce", "all"}
    assert f1["bounce"] > 0.5
    assert found.filter(~pl.col("value").is_between("low", "high")).is_empty()
    kept = published.catalog.read("evaluations").filter(pl.col("model") == "zero-shot", pl.col("metric") == "f1@0.5")
    assert kept.select("mix", "revision", "split").unique().rows() == [("base", "v1", "test")]
    versions = dict(kept.select("capability", "spec_version").iter_rows())
    assert versions["bounce"] == published.capability("bounce").version


def test_a_clip_that_the_mix_repeats_is_measured_once(published: Workspace) -> None:
    rows = load_mix("base", split="train", workspace=published.root)
    assert len(rows) > len(set(rows["clip_id"])), "the mix must repeat clips for this to mean anything"
    found = evaluate(published, "base", split="train").filter(capability="bounce").filter(pl.col("slice").is_null())
    present = {clip for clip, labels in zip(rows["clip_id"], rows["labels"], strict=True) if labels[0]["segments"]}
    assert found["segments"].unique().to_list() == [len(present)]


def test_a_model_is_given_by_its_directory_or_by_its_name(published: Workspace, tmp_path: Path) -> None:
    named, elsewhere = published.models / "named", tmp_path / "elsewhere"
    named.mkdir(parents=True)
    elsewhere.mkdir()
    try:
        assert model_directory(published.models, "named") == model_directory(published.models, named) == named
        assert model_directory(published.models, elsewhere) == elsewhere
        assert model_directory(published.models, "nobody") == Path("nobody")
        assert model_directory(published.models, "zero-shot") is model_directory(published.models, None) is None
    finally:
        named.rmdir()


def test_an_unknown_split_or_model_is_the_users_to_mend(published: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no exhaustive labels"):
        evaluate(published, "base", split="holdout")
    with pytest.raises(InputError, match="no trained model here"):
        evaluate(published, "base", model=tmp_path)


def test_a_foreign_model_that_is_right_scores_one_in_every_form(published: Workspace, exam: Exam, write: Write) -> None:
    ours = right(exam, score=0.9)
    place = spans(exam)
    lines = [
        {"video": f"{clip}.mp4", "model": "theirs", "seconds": 0.1, "data": data} for clip, data in ours.items()
    ]  # fmt: skip
    activitynet = {
        "version": "VERSION 1.3",
        "results": {
            clip: [
                {"label": "bounce", "score": s["score"], "segment": [s["start_time"], s["end_time"]],
                 "metadata": s["metadata"]}
                for s in data["bounce"]
            ]
            for clip, data in ours.items()
        },
        "external_data": {},
    }  # fmt: skip
    sources: dict[str, dict[str, list]] = {}
    for clip, data in ours.items():
        video, start_s = place[clip]
        shifted = [
            {**s, "start_time": s["start_time"] + start_s, "end_time": s["end_time"] + start_s} for s in data["bounce"]
        ]
        sources.setdefault(video, {"bounce": []})["bounce"] += shifted
    for content in (ours, lines, activitynet, sources):
        found = examine(published, "base", predictions=write(content))
        got = values(found)
        perfect = {
            name: value for name, value in got.items() if name not in ("boundary_error_s", "false_alarms_per_min")
        }
        assert set(perfect.values()) == {1.0}
        assert {"map", "joint_f1@0.9"} <= set(perfect)
        assert got["boundary_error_s"] == pytest.approx(0, abs=1e-6)
        assert got["false_alarms_per_min"] == 0
        assert (found.unanswered, found.outside) == (0, 0)


def test_an_exported_mix_answered_through_the_command_line(published: Workspace, exam: Exam, tmp_path: Path) -> None:
    """What a user does: export, let a model of their own write ActivityNet's results for the files, evaluate."""
    made = export(published, "base", form="activitynet", directory=tmp_path / "out", splits=["test"])
    database = json.loads((made.directory / "activitynet.json").read_text())["database"]
    results = {
        f"{clip}.mp4": [{"label": "bounce", "score": 0.8, "segment": [0.0, entry["duration"]]}]
        for clip, entry in database.items()
    }
    path = tmp_path / "whole_clips.json"
    path.write_text(json.dumps({"version": "1", "results": results}))
    done = cli(published, "--predictions", path, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["model"], told["unanswered"]) == ("whole_clips", 0)
    by_metric = {
        row["metric"]: row["value"] for row in told["metrics"] if row["capability"] == "bounce" and not row["slice"]
    }
    clips = len(exam.judged)
    present = sum(bool(judged.segments) for judged in exam.judged)
    assert by_metric["recall@0.3"] == 1.0, "two of four seconds are tIoU 0.5"
    assert by_metric["precision@0.3"] == present / clips
    assert by_metric["f1@0.9"] == 0.0
    assert by_metric["joint_f1@0.3"] == 0.0, "ActivityNet's form has no fields"
    assert by_metric["false_alarms_per_min"] == pytest.approx(15.0), "one in each of the clips of 4 s"
    shown = cli(published, "--predictions", path, "--slices")
    assert shown.exit_code == 0
    assert "color=red" in shown.stdout
    kept = published.catalog.read("evaluations").filter(pl.col("model") == "whole_clips", pl.col("metric") == "f1@0.5")
    assert set(kept["slice"]) == {"color=red", None}


def test_what_segment_writes_of_exported_clips_evaluate_reads(published: Workspace, exam: Exam, tmp_path: Path) -> None:
    made = export(published, "base", form="folder", directory=tmp_path / "out", splits=["test"])
    definitions, found = published.configs / "capabilities" / "bounce.yaml", tmp_path / "found.jsonl"
    words = ["segment", made.directory / "test", "--definitions", definitions, "--zero-shot", "--out", found]
    done = CliRunner().invoke(app, ["--workspace", str(published.root), *map(str, words)])
    assert done.exit_code == 0, done.output
    evaluation = examine(published, "base", predictions=found)
    assert (evaluation.model, evaluation.unanswered, evaluation.outside) == ("found", 0, 0)
    assert "map" in values(evaluation), "what it writes has scores"


def test_slices_hold_the_clips_that_are_in_them(published: Workspace, exam: Exam, write: Write) -> None:
    found = examine(published, "base", predictions=write(right(exam)))
    red = found.rows.filter(pl.col("slice") == "color=red")
    assert red["segments"].unique().to_list() == [sum(bool(judged.segments) for judged in exam.judged)]
    assert "false_alarms_per_min" not in red["metric"].to_list(), "a slice of a field holds clips that show it"


def test_what_annotators_reach_stands_beside_a_capability_and_not_its_slices(tmp_path: Path) -> None:
    """Two who mark the same in one clip, and of whom one sees nothing in another: F1 of two thirds."""
    workspace = Workspace(tmp_path / "jumping")
    workspace.configs.mkdir(parents=True)
    write_capability(workspace, "jump")
    write_clips(workspace.catalog, {"c0": "v0", "c1": "v1"})
    marks = [("c0", "ann", [(1, 3)]), ("c0", "bob", [(1, 3)]), ("c1", "ann", [(1, 3)]), ("c1", "bob", None)]
    write_labels(workspace.catalog, [label(*each) for each in marks])
    rows = pl.DataFrame(
        [("jump", None, "f1@0.5"), ("jump", None, "map"), ("jump", "color=red", "f1@0.5"), ("all", None, "f1@0.5")],
        schema=["capability", "slice", "metric"],
        orient="row",
    )
    assert with_ceiling(workspace, rows)["ceiling"].to_list() == [pytest.approx(2 / 3), None, None, None]


def test_clips_without_an_answer_count_as_nothing_found_and_are_told(
    published: Workspace, exam: Exam, write: Write
) -> None:
    answers = right(exam)
    present = [judged.clip_id for judged in exam.judged if judged.segments]
    kept = {clip: data for clip, data in answers.items() if clip != present[0]}
    lines = [{"video": clip, "data": data} for clip, data in kept.items()]
    failed = [*lines, {"video": present[0], "error": "cannot be decoded"}]
    for content in (kept, failed):
        found = examine(published, "base", predictions=write(content))
        assert values(found)["recall@0.5"] == pytest.approx(1 - 1 / len(present))
        assert found.unanswered == 1
        assert found.rows.filter(capability="bounce").drop_nulls("unanswered")["unanswered"].unique().to_list() == [1]
    done = cli(published, "--predictions", write(kept))
    assert f"1 of {len(answers)} clips lack an answer" in done.stdout


def test_answers_of_other_splits_are_counted_and_left_out(published: Workspace, exam: Exam, write: Write) -> None:
    other = next(clip["clip_id"] for clip in exam.published.lock["clips"] if clip["split"] == "train")
    found = examine(published, "base", predictions=write({**right(exam), other: {"bounce": []}}))
    assert (found.outside, values(found)["f1@0.5"]) == (1, 1.0)


SEGMENT = {"start_time": 0.0, "end_time": 1.0, "metadata": {}}
BAD: dict[str, tuple[Any, str]] = {
    "unknown capability": ({"CLIP": {"jump": []}}, r'CLIP: "jump" is no capability of the mix. It has: bounce'),
    "unknown key": ({"nobody": {"bounce": []}}, "'nobody' is no clip of the mix and no video of the catalog"),
    "text as time": ({"CLIP": {"bounce": [{**SEGMENT, "end_time": "1"}]}}, 'bounce: segment 1: end_time is "1"'),
    "true as time": ({"CLIP": {"bounce": [{**SEGMENT, "end_time": True}]}}, "end_time is true: expected a number"),
    "no time": ({"CLIP": {"bounce": [{"start_time": 1}]}}, "end_time is null: expected a number"),
    "nan": ({"CLIP": {"bounce": [{**SEGMENT, "start_time": float("nan")}]}}, "start_time is NaN: expected a number"),
    "reversed": ({"CLIP": {"bounce": [SEGMENT, {"start_time": 2, "end_time": 1}]}}, "segment 2: from 2 s to 1 s"),
    "late": ({"CLIP": {"bounce": [{"start_time": 90, "end_time": 91}]}}, "90 s is after the end of clip"),
    "score for some": (
        {"CLIP": {"bounce": [SEGMENT, {**SEGMENT, "score": 0.5}]}}, "segment 1: has no score, but other segments have"
    ),
    "metadata": ({"CLIP": {"bounce": [{**SEGMENT, "metadata": "red"}]}}, 'metadata is "red": expected an object'),
    "not a list": ({"CLIP": {"bounce": SEGMENT}}, "expected a list of segments"),
    "not an answer": ({"CLIP": []}, r"CLIP: \[\] is no answer"),
    "two for one clip": ({"CLIP": {"bounce": []}, "CLIP.mp4": {"bounce": []}}, "both answer for clip"),
    "nothing": ({}, "no predictions"),
    "other clips only": ({"TRAIN": {"bounce": []}}, "no answer is of a clip of the test split of base v1"),
    "a line that is none": ([{"video": "CLIP", "data": {"bounce": []}}, {"bounce": []}], 'json:2: expected {"video"'),
    "activitynet": ({"results": {"CLIP": [{"label": "bounce", "segment": [1]}]}}, "CLIP: segment 1: expected"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_cannot_be_used_is_told_in_one_line(
    published: Workspace, exam: Exam, write: Write, case: str
) -> None:
    content, message = BAD[case]
    train = next(clip["clip_id"] for clip in exam.published.lock["clips"] if clip["split"] == "train")
    path = write(content)
    path.write_text(path.read_text().replace("CLIP", exam.judged[0].clip_id).replace("TRAIN", train))
    with pytest.raises(InputError, match=message.replace("CLIP", exam.judged[0].clip_id)) as told:
        examine(published, "base", predictions=path)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_key_that_stands_twice_is_not_dropped(published: Workspace, exam: Exam, tmp_path: Path) -> None:
    path = tmp_path / "twice.json"
    clip = exam.judged[0].clip_id
    path.write_text(f'{{"{clip}": {{"bounce": []}}, "{clip}": {{"bounce": []}}}}')
    with pytest.raises(InputError, match="stands twice"):
        examine(published, "base", predictions=path)


def test_a_foreign_model_needs_no_embedding(published: Workspace, exam: Exam, write: Write) -> None:
    config = published.configs / "analysis.yaml"
    text = config.read_text()
    config.write_text("embedding: {model: ViT-B-32, weights: random}\n")
    try:
        assert values(examine(published, "base", predictions=write(right(exam))))["f1@0.5"] == 1.0
    finally:
        config.write_text(text)


def test_a_foreign_model_is_compared_and_its_regression_named(published: Workspace, exam: Exam, write: Write) -> None:
    path = write({judged.clip_id: {"bounce": []} for judged in exam.judged})
    done = cli(published, "--against", path, "--json")
    told = json.loads(done.stdout)
    row = next(r for r in told["comparison"] if r["capability"] == "bounce" and r["metric"] == "f1@0.5")
    assert (told["model"], told["against"], row["against"]) == ("zero-shot", "theirs", 0.0)
    assert row["difference"] == row["model"] > 0.5
    assert row["verdict"] == "undecided", "three videos prove nothing"


def test_probes_find_the_baseline_to_look_at_the_video(published: Workspace) -> None:
    done = cli(published, "--probes", "--json")
    assert done.exit_code == 0, done.output
    rows = {(row["probe"], row["measure"]): row for row in json.loads(done.stdout)["probes"]}
    assert rows["shuffled enum", "fields_changed"]["probed"] == 0.0
    assert rows["renamed", "f1@0.5"]["probed"] == rows["renamed", "f1@0.5"]["plain"] > 0.5
    wrong = rows["wrong video", "f1@0.5"]
    assert wrong["probed"] < wrong["plain"]
    assert wrong["probed"] == pytest.approx(wrong["chance"], abs=0.2)


def test_what_does_not_go_together_is_refused(published: Workspace, write: Write) -> None:
    path = write({})
    for arguments in (
        ["--model", "zero-shot", "--predictions", path],
        ["--name", "x"],
        ["--probes", "--predictions", path],
        ["--predictions", path, "--name", "zero-shot"],
        ["--against", "zero-shot"],
    ):
        assert isinstance(cli(published, *arguments).exception, InputError), arguments
