"""Real footage: the files of CURATE_REAL_MEDIA (default ../shared/media), collected as a user would."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import polars as pl
import pytest

from curate import views
from curate.analyze.collect import CollectSummary, collect
from curate.analyze.video import analyze_video
from curate.media.cut import cut
from curate.media.decode import Branch, decode
from curate.media.probe import probe
from curate.specs import Analysis
from curate.specs.analysis import Embedding
from curate.workspace import Workspace, create_workspace

REPOSITORY = Path(__file__).parents[2]
MEDIA = Path(os.environ.get("CURATE_REAL_MEDIA") or REPOSITORY.parent / "shared" / "media")
FILES = sorted(MEDIA.glob("*.mp4")) if MEDIA.is_dir() else []

pytestmark = pytest.mark.skipif(not FILES, reason=f"no real footage in {MEDIA}; CURATE_REAL_MEDIA names another place")


def true_times(path: Path) -> tuple[list[float], float, float]:
    """(times from the first frame, first presentation time, end), by decoding with PyAV and nothing of ours."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(frame.pts, frame.duration) for frame in container.decode(stream)]
        tick = Fraction(stream.time_base)
    first = frames[0][0]
    last, length = frames[-1]
    return (
        [float((pts - first) * tick) for pts, _ in frames],
        float(first * tick),
        float((last + length - first) * tick),
    )


def variable(source: Path, target: Path) -> Path:
    """The same pictures at a variable rate: every third interval is twice as long."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = made.add_stream("libx264", rate=30)
        video = given.streams.video[0]
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"preset": "ultrafast", "bf": "0"}
        time_ms = 0
        for index, frame in enumerate(given.decode(video)):
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            made.mux(stream.encode(frame))
            time_ms += 80 if index % 3 == 0 else 40
        made.mux(stream.encode(None))
    return target


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, CollectSummary]:
    """All files and a variable-rate one, collected with the sample model."""
    footage = tmp_path_factory.mktemp("footage")
    for path in FILES:
        (footage / path.name).symlink_to(path.resolve())
    variable(FILES[0], footage / "variable-rate.mp4")
    workspace = create_workspace(tmp_path_factory.mktemp("real") / "workspace", sample=True)
    for config in (workspace.configs / "sources").glob("*.yaml"):
        config.unlink()
    (workspace.configs / "sources" / "real.yaml").write_text(f"id: real\npath: {footage}\nlicence: LicenseRef-test\n")
    return workspace, collect(workspace)


def test_every_file_has_an_outcome(collected: tuple[Workspace, CollectSummary]) -> None:
    workspace, summary = collected
    rows = workspace.catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect()
    assert set(rows["item"]) == {f"real/{path.name}" for path in FILES} | {"real/variable-rate.mp4"}
    assert summary.inputs == rows.height == summary.ok + summary.filtered + summary.failed
    assert summary.ok == len(FILES) + 1, summary.failures
    assert views.clips(workspace.catalog).collect().height == summary.clips >= len(FILES)


def test_times_are_those_of_the_frames(collected: tuple[Workspace, CollectSummary]) -> None:
    workspace, _ = collected
    for row in workspace.catalog.read("videos").iter_rows(named=True):
        times_s, first_s, end_s = true_times(Path(row["path"]))
        name = Path(row["path"]).name
        assert row["frames"] == len(times_s), name
        assert row["start_offset_s"] == pytest.approx(first_s, abs=1e-9), name
        assert row["duration_s"] == pytest.approx(end_s, abs=0.0015), name
        assert row["variable_rate"] == (np.ptp(np.diff(times_s)) > 0.002), name
        frames = [frame.time_s for frame in decode(row["path"], {"small": Branch(32, 32)})]
        assert frames == times_s, name
        shots = workspace.catalog.scan("shots").filter(pl.col("video_id") == row["video_id"]).collect()
        assert set(shots["start_s"]) <= set(times_s), name
        # Footage that is nothing but fades has no shot.
        assert name == "fades.mp4" or shots["end_s"].max() == row["duration_s"], name
        span = (0.25 * end_s, 0.75 * end_s)
        entered = [frame.time_s for frame in decode(row["path"], {"small": Branch(32, 32)}, *span)]
        assert entered == [time_s for time_s in times_s if span[0] <= time_s < span[1]], name


def test_the_variable_rate_file_is_seen_as_such(collected: tuple[Workspace, CollectSummary]) -> None:
    workspace, _ = collected
    rows = {Path(row["path"]).name: row for row in workspace.catalog.read("videos").iter_rows(named=True)}
    assert [name for name, row in rows.items() if row["variable_rate"]] == ["variable-rate.mp4"]


def test_pictures_stand_as_they_are_shown(collected: tuple[Workspace, CollectSummary]) -> None:
    workspace, _ = collected
    for row in workspace.catalog.read("videos").iter_rows(named=True):
        with av.open(row["path"]) as container:
            frame = next(container.decode(video=0))
        shown = frame.to_ndarray(format="rgb24")
        assert (row["width"], row["height"]) == (shown.shape[1], shown.shape[0])
        whole = Branch(row["width"], row["height"], scaling="bicubic")
        image = next(decode(row["path"], {"whole": whole})).image
        assert np.abs(image.astype(int) - shown).mean() < 2


def test_a_cut_of_real_footage_plays_from_zero_with_its_sound(tmp_path: Path) -> None:
    for path in FILES:
        info = probe(path)
        made = cut(path, info.duration_s / 3, info.duration_s, tmp_path / path.name, max_height=240)
        cut_info = probe(tmp_path / path.name)
        assert (cut_info.frames, cut_info.start_offset_s, cut_info.has_audio) == (made.frames, 0, info.has_audio)
        assert cut_info.duration_s == made.duration_s
        assert abs(made.duration_s - info.duration_s * 2 / 3) <= 0.5 / made.fps + 1e-6


@pytest.mark.skipif(len(FILES) < 2, reason="needs two files")
def test_a_large_model_with_random_weights_works() -> None:
    analysis = Analysis(embedding=Embedding(model="ViT-B-32", weights="random", frames_per_s=0.5))
    for path in sorted(FILES, key=lambda path: path.stat().st_size)[-2:]:
        made = analyze_video(path, analysis)
        assert made.clips and made.model_id == "ViT-B-32/random"
        assert all(clip.vector.shape == (512,) for clip in made.clips)
