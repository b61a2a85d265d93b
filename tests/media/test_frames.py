"""Walking damaged files: what is lost is a gap, and what decodes is right and at its time."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from curate.errors import DecodeError
from curate.media.decode import Branch, decode, keyframes
from curate.media.gaps import Gap, what_is_lost
from tests.media.conftest import Maker, number_of

SMALL = {"small": Branch(64, 36)}
RATE = 30


def numbered(path: Path, gaps: list[Gap] | None = None, **span: float) -> list[tuple[float, int]]:
    return [(frame.time_s, number_of(frame.image)) for frame in decode(path, SMALL, gaps=gaps, **span)]


@pytest.fixture(params=["video.mp4", "video.mkv", "video.ts", "video.flv", "video.avi"])
def damaged(request: pytest.FixtureRequest, make_video: Maker) -> Path:
    """Six seconds, a keyframe each second, spoilt a little from 45 to 55% of its bytes."""
    options = {"movflags": "+faststart"} if request.param.endswith("mp4") else {}
    # Many bits a frame, so that damage to the container's own bytes is rare, as in real footage.
    path = make_video(
        request.param, ticks=tuple(range(181)), options={"bf": "2", "g": "30", "qp": "1"}, container_options=options
    )
    content = bytearray(path.read_bytes())
    for at in range(int(0.45 * len(content)), int(0.55 * len(content)), 199):
        content[at] ^= 0x55
    spoilt = path.with_stem("damaged")
    spoilt.write_bytes(content)
    return spoilt


def test_frames_beside_damage_are_right_and_at_their_times(damaged: Path) -> None:
    gaps: list[Gap] = []
    shown = numbered(damaged, gaps)
    assert 100 < len(shown) < 180
    for time_s, number in shown:
        assert time_s == pytest.approx(number / RATE, abs=0.0015)
    assert gaps and all(gap.reason == "damaged" for gap in gaps)
    for gap in gaps:
        assert not any(gap.start_s <= time_s < gap.end_s for time_s, _ in shown)
        assert 1.5 < gap.start_s < gap.end_s <= 4.2


def test_gaps_and_frames_together_are_the_whole(damaged: Path) -> None:
    gaps: list[Gap] = []
    shown = numbered(damaged, gaps)
    lost = {
        number for number in range(180) if any(gap.start_s - 0.002 <= number / RATE < gap.end_s - 0.002 for gap in gaps)
    }
    assert {number for _, number in shown} | lost == set(range(180))


def test_a_span_beside_damage_needs_no_tolerance(damaged: Path) -> None:
    gaps: list[Gap] = []
    whole = numbered(damaged, gaps)
    for start_s, end_s in ((0.0, gaps[0].start_s), (gaps[-1].end_s, 5.5)):
        assert numbered(damaged, start_s=start_s, end_s=end_s) == [
            pair for pair in whole if start_s <= pair[0] < end_s - 1e-9
        ]
    with pytest.raises(DecodeError, match="damaged at"):
        numbered(damaged, start_s=gaps[0].start_s, end_s=gaps[0].end_s)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("video.mkv", {}),
        ("video.mp4", {"movflags": "+faststart"}),
        ("video.avi", {}),
        ("video.flv", {}),
    ],
)
def test_what_is_there_of_a_file_that_is_cut_short_is_kept(
    make_video: Maker, tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    content = make_video(name, ticks=tuple(range(121)), container_options=options).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(0.6 * len(content))])
    gaps: list[Gap] = []
    shown = numbered(path, gaps)
    assert [number for _, number in shown] == list(range(len(shown)))
    (gap,) = gaps
    assert gap.start_s == pytest.approx(shown[-1][0] + 1 / RATE, abs=0.04)
    assert gap.end_s == pytest.approx(4.0, abs=0.1)
    line, lost_s = what_is_lost(gaps)
    assert line == f"decoded {gap.start_s:.1f} of {gap.end_s:.1f} s: cut short"
    assert lost_s == gap.end_s - gap.start_s
    with pytest.raises(DecodeError, match=r"cut short: decoding stops at \d\.\d\d s"):
        numbered(path)


def test_a_whole_file_has_no_gap(make_video: Maker) -> None:
    gaps: list[Gap] = []
    assert len(numbered(make_video(), gaps)) == 60
    assert gaps == []


def test_the_loss_is_said_in_one_line() -> None:
    gaps = [Gap(at, at + 0.5, "damaged") for at in range(5)]
    assert what_is_lost(gaps) == ("0.0 to 0.5 s, 1.0 to 1.5 s, 2.0 to 2.5 s and 2 more damaged", 2.5)
    assert what_is_lost([Gap(3.0, 3.0, "cut short")]) == ("decoded 3.0 s: cut short", 0.0)
    assert what_is_lost([]) == ("", 0.0)


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.ts", "video.avi"])
def test_keyframes_are_those_of_the_whole_at_their_times(make_video: Maker, name: str) -> None:
    path = make_video(name, ticks=tuple(range(121)), options={"bf": "2", "g": "20", "sc_threshold": "0"})
    found = [(frame.time_s, number_of(frame.image)) for frame in keyframes(path, Branch(64, 36))]
    whole = dict(numbered(path))
    assert [number for _, number in found] == [0, 20, 40, 60, 80, 100]
    assert all(whole[time_s] == number for time_s, number in found)


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.ts", "video.avi"])
@pytest.mark.parametrize(("every_s", "gop"), [(1.0, "8"), (9.9, "8"), (7.0, "160")])
def test_keyframes_can_be_thinned_out(make_video: Maker, name: str, every_s: float, gop: str) -> None:
    ticks = tuple(range(0, 3601, 10))
    path = make_video(name, ticks=ticks, tick=Fraction(1, 100), options={"bf": "0", "g": gop, "sc_threshold": "0"})
    found = [frame.time_s for frame in keyframes(path, Branch(64, 36, every_s=every_s))]
    keys = [frame.time_s for frame in keyframes(path, Branch(64, 36))]
    wanted = []
    for step in range(37):
        following = [time_s for time_s in keys if time_s >= step * every_s - 1e-9]
        wanted += [time_s for time_s in following[:1] if time_s not in wanted]
    assert found == wanted


@pytest.mark.parametrize("spoil", [lambda content: b"", lambda content: b"words " * 500])
def test_keyframes_of_no_video_are_an_error(make_video: Maker, tmp_path: Path, spoil: Callable) -> None:
    path = tmp_path / "spoilt.mp4"
    path.write_bytes(spoil(b""))
    with pytest.raises(DecodeError):
        list(keyframes(path, Branch(64, 36)))
