"""Costly signals are measured where a condition leaves a clip open, once, and rightly on the sample world."""

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from curate import views
from curate.analyze.collect import collect
from curate.analyze.measure import SIGNALS, check_conditions, measure
from curate.dedupe.duplicates import find_duplicates
from curate.errors import InputError
from curate.report.trace import trace
from curate.sample.against_truth import truth_by_video
from curate.targets.scoring.score import score
from curate.workspace import Workspace
from tests.analyze.conftest import World, configure
from tests.targets.conftest import write_capability

Wanting = Callable[..., Workspace]


@pytest.fixture(scope="module")
def collected(world: World, fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three originals, one of them without sound, and a copy, collected and deduplicated, without a capability."""
    directory, truth = world
    originals = [video for video in truth["videos"] if video["kind"] == "original"]
    copied = next(video["of"] for video in truth["videos"] if video["transform"] == "letterbox")
    silent = min((v for v in originals if not v["has_audio"]), key=lambda video: video["duration_s"])
    sounding = min(
        (v for v in originals if v["has_audio"] and v["text"] and v["file"] != copied), key=lambda v: v["duration_s"]
    )
    chosen = [copied, silent["file"], sounding["file"]]
    chosen += [video["file"] for video in truth["videos"] if video["transform"] == "letterbox"]
    workspace = Workspace(shutil.copytree(fresh, tmp_path_factory.mktemp("measure") / "workspace"))
    (workspace.root / "footage").mkdir()
    for name in chosen:
        shutil.copy(directory / name, workspace.root / "footage")
    for path in (workspace.configs / "capabilities").glob("*.yaml"):
        path.unlink()
    configure(workspace, engine={"workers": 2})
    collect(workspace)
    find_duplicates(workspace)
    return workspace


@pytest.fixture
def wanting(collected: Workspace, tmp_path: Path) -> Wanting:
    """A copy of the workspace with a capability for each condition."""

    def make(*conditions: str) -> Workspace:
        shutil.copytree(collected.root, tmp_path / "workspace")
        workspace = Workspace(tmp_path / "workspace")
        for at, where in enumerate(conditions):
            write_capability(workspace, f"wanting_{at}", match={"text": ["something"], "where": where})
        return workspace

    return make


def kept(workspace: Workspace, where: str = "1 = 1") -> set[str]:
    return set(views.kept_clips(workspace.catalog).filter(pl.sql_expr(where)).collect()["clip_id"])


def measured(workspace: Workspace, signal: str) -> set[str]:
    return set(workspace.catalog.scan("measures").filter(pl.col("signal") == signal).collect()["clip_id"])


def median(workspace: Workspace, column: str) -> float:
    return views.kept_clips(workspace.catalog).collect()[column].median()  # type: ignore[return-value]


def test_only_kept_clips_that_the_cheap_signals_do_not_decide_are_measured(wanting: Wanting) -> None:
    workspace = wanting()
    motion = median(workspace, "motion")
    write_capability(
        workspace, "loud", match={"text": ["x"], "where": f"motion > {motion} and (speech_share > 0.5 or black > 2)"}
    )
    write_capability(workspace, "plain", match={"text": ["x"], "where": "motion > 0"})
    done = measure(workspace)
    expected = kept(workspace, f"motion > {motion}")
    assert 0 < len(expected) < len(kept(workspace)) < views.clips(workspace.catalog).collect().height
    assert measured(workspace, "speech") == expected
    assert done.measured == {"speech": len(expected)} and done.failed == 0
    assert measured(workspace, "text") == measured(workspace, "transcript") == set()


def test_without_a_condition_that_names_them_nothing_is_measured(wanting: Wanting) -> None:
    workspace = wanting("motion > 0.01 and loudness_lufs is null")
    assert measure(workspace).measured == {}
    assert workspace.catalog.read("measures").is_empty()


def test_a_cheap_measurement_saves_a_dear_one(wanting: Wanting) -> None:
    """No clip of the sample world holds speech, so none needs to be read for the first, and all for the second."""
    workspace = wanting("speech_share > 0.5 and text_share > 0")
    assert set(measure(workspace).measured) == {"speech"}
    write_capability(workspace, "quiet", match={"text": ["x"], "where": "speech_share > 0.5 or text_share > 0.01"})
    assert measure(workspace).measured == {"text": len(kept(workspace))}


def test_running_again_does_nothing_and_a_changed_parameter_redoes_what_depends_on_it(wanting: Wanting) -> None:
    workspace = wanting("speech_share > 0.5 or text_share > 0.01")
    assert set(measure(workspace).measured) == {"speech", "text"}
    before = workspace.catalog.history("measures").collect().height
    assert measure(workspace).measured == {}
    assert workspace.catalog.history("measures").collect().height == before
    configure(workspace, signals={"text_every_s": 4.0})
    assert measure(workspace).measured == {"text": len(kept(workspace))}
    assert measure(workspace).measured == {}


def test_what_was_measured_decides_who_is_eligible_and_scores_follow(wanting: Wanting) -> None:
    workspace = wanting("text_share > 0.01")
    nobody = score(workspace).capabilities["wanting_0"]
    measure(workspace)
    then = score(workspace).capabilities["wanting_0"]
    with_text = views.clips(workspace.catalog).filter(pl.col("text_share") > 0.01).collect().height
    assert nobody["eligible"] == 0 and then["eligible"] == with_text > 0
    assert not then["unchanged"] and score(workspace).capabilities["wanting_0"]["unchanged"]


def test_signals_can_be_asked_for_where_a_condition_holds_that_names_others(wanting: Wanting) -> None:
    workspace = wanting()
    motion = median(workspace, "motion")
    done = measure(workspace, ["text"], where=f"motion > {motion} and speech_share < 0.1")
    assert measured(workspace, "speech") == measured(workspace, "text") == kept(workspace, f"motion > {motion}")
    assert done.measured == {"speech": len(measured(workspace, "speech")), "text": len(measured(workspace, "text"))}


def test_captions_of_the_sample_world_are_found_and_read_and_its_tones_are_no_speech(
    wanting: Wanting, world: World
) -> None:
    workspace = wanting()
    measure(workspace, ["text", "speech"])
    truth = truth_by_video(workspace.catalog, world[1])
    clips = views.kept_clips(workspace.catalog).collect()
    captioned = plain = read = false = 0
    for clip in clips.iter_rows(named=True):
        captions = truth[clip["video_id"]]["text"]
        shown_s = [
            (min(each["end_s"], clip["end_s"]) - max(each["start_s"], clip["start_s"]), each["text"])
            for each in captions
        ]
        if any(seconds >= 1 for seconds, _ in shown_s):
            lines = clip["on_screen_text"].split("\n")
            captioned += 1
            read += clip["text_share"] > 0 and all(text in lines for seconds, text in shown_s if seconds >= 1)
        elif not any(seconds > 0 for seconds, _ in shown_s):
            plain += 1
            false += clip["text_share"] > 0
    assert captioned >= 2 and read >= 0.9 * captioned
    assert plain >= 4 and false <= 0.2 * plain
    assert (clips["speech_share"] == 0).all()


def test_places_and_times_of_text_are_kept(wanting: Wanting) -> None:
    workspace = wanting()
    measure(workspace, ["text"])
    lines = workspace.catalog.read("measures").select("clip_id", "found").explode("found").unnest("found").drop_nulls()
    clips = views.clips(workspace.catalog).select("clip_id", from_s="start_s", to_s="end_s").collect()
    rows = lines.join(clips, on="clip_id")
    assert rows.height == lines.height > 0
    for row in rows.iter_rows(named=True):
        assert row["from_s"] <= row["start_s"] < row["end_s"] <= row["to_s"]
        assert -0.01 <= row["left"] < row["left"] + row["width"] <= 1.01
        assert -0.01 <= row["top"] < row["top"] + row["height"] <= 1.01


def test_a_clip_that_cannot_be_decoded_is_a_failure_and_tried_again_only_when_asked(wanting: Wanting) -> None:
    workspace = wanting()
    clips = views.kept_clips(workspace.catalog).collect()
    gone = Path(clips.filter("has_audio")["path"][0])
    lost = set(clips.filter(pl.col("path") == str(gone))["clip_id"])
    hidden = gone.rename(gone.with_suffix(".gone"))
    try:
        assert measure(workspace, ["speech"]).failed == len(lost)
    finally:
        hidden.rename(gone)
    outcomes = workspace.catalog.scan("outcomes").filter(pl.col("stage") == "measure").collect()
    assert set(outcomes["item"]) == kept(workspace)
    assert set(outcomes.filter(pl.col("outcome") == "failed")["item"]) == lost
    assert outcomes.filter(pl.col("outcome") == "failed")["reason"].str.starts_with("speech: ").all()
    assert "measures" in trace(workspace, next(iter(lost)))
    assert measure(workspace, ["speech"]).measured == {}
    again = measure(workspace, ["speech"], retry_failed=True)
    assert (again.measured, again.failed) == ({"speech": len(lost)}, 0)


def test_a_transcript_without_a_model_is_refused_before_any_work(wanting: Wanting, tmp_path: Path) -> None:
    workspace = wanting("speech_share > 0.2 and transcript like '%goal%'")
    for act in (check_conditions, measure):
        with pytest.raises(InputError, match=r"wanting_0\.yaml: .*Whisper model.*signals\.whisper"):
            act(workspace)
    assert workspace.catalog.read("measures").is_empty()
    configure(workspace, signals={"whisper": str(tmp_path)})
    with pytest.raises(InputError, match=r"holds no model\.bin"):
        measure(workspace)


def test_a_condition_that_cannot_be_used_is_found_before_any_footage_is_decoded(workspace: Workspace) -> None:
    write_capability(workspace, "mistaken", match={"text": ["x"], "where": "spech_share > 0.2"})
    with pytest.raises(InputError, match=r"mistaken\.yaml: .*spech_share.*Columns: .*speech_share"):
        check_conditions(workspace)


def test_an_unknown_signal_or_a_condition_without_signals_is_refused(wanting: Wanting) -> None:
    workspace = wanting()
    with pytest.raises(InputError, match=f"no costly signal 'ocr'.*{', '.join(SIGNALS)}"):
        measure(workspace, ["ocr"])
    with pytest.raises(InputError, match="without signals"):
        measure(workspace, where="motion > 1")


def test_the_config_names_what_may_be_set(wanting: Wanting) -> None:
    workspace = wanting()
    content = yaml.safe_load((workspace.configs / "analysis.yaml").read_text())
    (workspace.configs / "analysis.yaml").write_text(yaml.safe_dump(content | {"signals": {"frames": 3}}))
    with pytest.raises(InputError, match="text_every_s"):
        measure(workspace, ["text"])
