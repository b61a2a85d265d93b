"""Five hundred files with random bytes changed: every one ends in an outcome, in time and without killing a worker.

Real footage where CURATE_REAL_MEDIA (or ../shared/media) has any, else the torture set's own files; cut to their first
second, in several containers, so that each mutant is small and most of what is hit is pictures.
"""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from curate import engine
from curate.analyze.video import analyze_video
from curate.errors import DecodeError
from curate.media.decode import Branch, decode, keyframes
from curate.media.gaps import what_is_lost
from curate.media.probe import probe
from curate.specs.analysis import Analysis, Clips, Embedding, Engine
from tests.media import torture

REPOSITORY = Path(__file__).parents[2]
MEDIA = Path(os.environ.get("CURATE_REAL_MEDIA") or REPOSITORY.parent / "shared" / "media")
MUTANTS = 500
PIECE_S = 1.0
LIMIT_S = 20.0
ANALYSIS = Analysis(
    embedding=Embedding(model="sample", weights="sample", device="cpu", frames_per_s=4), clips=Clips(min_s=0.2, max_s=1)
)
CONTAINERS = ("piece.mp4", "front.mp4", "piece.mkv", "piece.ts", "piece.flv")
SYNTHETIC = ("hevc_mp4", "av1_webm", "vp9_webm", "mpeg4_avi", "mpeg2_ts", "prores_mov", "h264_fragmented", "dv")


def look_at(path: Path) -> tuple[str, float]:
    """The analysis, and each thing it asks of a file; runs in a worker."""
    av.logging.set_level(None)
    try:
        info, gaps = probe(path), []
        times_s = [frame.time_s for frame in decode(path, {"small": Branch(96, 54)}, gaps=gaps)]
        assert times_s[0] >= 0 and times_s == sorted(set(times_s))
        assert info.duration_s > 0 and info.fps > 0
        for gap in gaps:
            assert 0 <= gap.start_s <= gap.end_s
            assert not any(gap.start_s + 1e-6 < time_s < gap.end_s - 1e-6 for time_s in times_s)
        list(keyframes(path, Branch(32, 18, every_s=0.5)))
        made = analyze_video(path, ANALYSIS)
        for gap in made.gaps:
            assert all(clip.end_s <= gap.start_s + 1e-6 or clip.start_s >= gap.end_s - 1e-6 for clip in made.clips)
        assert all(clip.frame_times_s and clip.start_s < clip.end_s for clip in made.clips)
    except DecodeError as error:
        assert "\n" not in error.what
        return "failed", 0.0
    return "ok", what_is_lost(gaps)[1]


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("pieces")
    made = []
    for name in SYNTHETIC:
        (directory / name).mkdir()
        made.append(torture.make(name, directory / name)[0])
    for source in sorted(MEDIA.glob("*.mp4")) if MEDIA.is_dir() else ():
        for name in CONTAINERS:
            target = directory / f"{source.stem}-{name}"
            with contextlib.suppress(av.FFmpegError):  # not every container holds every codec
                remux(source, target)
                made.append(target)
    return made


def remux(source: Path, target: Path) -> None:
    """The first second of a file, its packets as they are."""
    options = {"movflags": "+faststart"} if "front" in target.name else {}
    with av.open(str(source)) as given, av.open(str(target), "w", options=options) as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in given.streams.video[:1]}
        first: int | None = None
        for packet in given.demux(*given.streams.video[:1]):
            if packet.dts is not None and packet.time_base is not None:
                first = packet.dts if first is None else first
                if (packet.dts - first) * packet.time_base > PIECE_S:
                    break
                packet.stream = streams[packet.stream.index]
                made.mux(packet)


def mutants(pieces: list[Path], directory: Path) -> Iterator[Path]:
    """Files in turn, with 1 to 300 bytes changed, a stretch zeroed, dropped or doubled, or the tail gone."""
    random_ = random.Random(17)
    for number in range(MUTANTS):
        source = pieces[number % len(pieces)]
        content = bytearray(source.read_bytes())
        at = random_.randrange(len(content))
        length = min(random_.choice((1, 16, 256, 4096)), len(content) - at)
        way = random_.randrange(8)
        if way < 4:
            near = len(content) if way < 2 else min(len(content), 4096)  # headers, as often as pictures
            for _ in range(random_.choice((1, 5, 30, 300))):
                content[random_.randrange(near)] = random_.randrange(256)
        elif way == 4:
            content[at : at + length] = bytes(length)
        elif way == 5:
            del content[at : at + length]
        elif way == 6:
            content[at:at] = content[at : at + length]
        else:
            del content[at:]
        path = directory / f"{number:03d}-{source.name}"
        path.write_bytes(content)
        yield path


def test_five_hundred_mutants_end_in_an_outcome_each(pieces: list[Path], tmp_path: Path) -> None:
    (tmp_path / "mutants").mkdir()
    files = list(mutants(pieces, tmp_path / "mutants"))
    outcomes = list(engine.run(look_at, files, Engine(workers=2, timeout_s=LIMIT_S)))
    assert {outcome.item for outcome in outcomes} == set(files)
    unforeseen = [(o.item.name, o.reason) for o in outcomes if isinstance(o, engine.Failure)]
    assert unforeseen == []
    kinds = [outcome.value[0] for outcome in outcomes if isinstance(outcome, engine.Success)]
    assert kinds.count("ok") > MUTANTS / 3  # half of the mutants are hit in their headers, and hard
    assert any(outcome.value[1] > 0 for outcome in outcomes if isinstance(outcome, engine.Success))
