"""Fingerprints as they are made while a video is decoded, and as they are kept."""

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.analyze.shots import picture_size
from curate.dedupe import fingerprint
from curate.dedupe.fingerprint import PICTURE_PX, PICTURES_PER_S, Fingerprint, Fingerprinter, interpolate, resample
from curate.media.decode import Branch, decode
from curate.media.probe import probe
from curate.sample.copies import write_copy

Footage = tuple[Path, list[dict[str, Any]]]
Spans = tuple[tuple[float, float], ...]


def fingerprints(path: Path, spans: Spans) -> list[Fingerprint]:
    info, maker = probe(path), Fingerprinter()
    for frame in decode(path, {"small": Branch(*picture_size(info.width, info.height), "bgr24")}):
        maker.process(frame.time_s, frame.image)
    return [maker.between(span, info.width, info.height) for span in spans]


def made_of(pictures: np.ndarray, rate: float = PICTURES_PER_S) -> Fingerprint:
    """The fingerprint of grey pictures, uint8 [n, h, w]."""
    maker = Fingerprinter()
    for at, picture in enumerate(pictures):
        maker.process(at / rate, np.repeat(picture[..., None], 3, axis=2))
    return maker.between((0.0, len(pictures) / rate), 640, 360)


@pytest.fixture(scope="module")
def original(footage: Footage) -> Path:
    directory, entries = footage
    return directory / next(entry["file"] for entry in entries if not entry["variable_rate"])


def test_each_clip_has_its_pictures_at_times_from_its_own_start(original: Path) -> None:
    for one in fingerprints(original, ((0.0, 2.0), (3.0, 5.0))):
        assert one.luma.shape == (2 * PICTURES_PER_S, PICTURE_PX, PICTURE_PX)
        late_s = one.times_s - np.arange(16) / PICTURES_PER_S
        assert late_s.min() > -1e-3 and late_s.max() < 0.1  # the first frame at or after
        assert (one.length_s, one.blank) == (2.0, False)


def test_a_clip_between_two_frames_has_the_one_on_screen() -> None:
    maker = Fingerprinter()
    for time_s, level in ((0.0, 10), (1.0, 90), (2.0, 170)):
        maker.process(time_s, np.full((54, 96, 3), level, np.uint8))
    one = maker.between((1.2, 1.9), 96, 54)
    assert one.times_s.tolist() == [0.0]
    assert one.luma.shape == (1, PICTURE_PX, PICTURE_PX) and np.unique(one.luma).tolist() == [90]


def test_a_remux_and_a_lossless_encode_are_the_same_content_and_a_copy_is_not(original: Path, tmp_path: Path) -> None:
    spans: Spans = ((0.0, 2.0), (3.0, 5.0))
    before = [one.content for one in fingerprints(original, spans)]
    assert len(set(before)) == 2
    for name, transform in (("remux.mkv", "remux"), ("reencode.mp4", "reencode")):
        write_copy(original, tmp_path / name, transform)
        after = [one.content for one in fingerprints(tmp_path / name, spans)]
        assert (after == before) == (transform == "remux")
    with av.open(str(original)) as given, av.open(str(tmp_path / "lossless.mkv"), "w") as made:
        video = given.streams.video[0]
        stream = made.add_stream("ffv1", rate=video.average_rate)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, video.pix_fmt
        stream.codec_context.time_base = video.time_base
        for frame in given.decode(video):
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    assert [one.content for one in fingerprints(tmp_path / "lossless.mkv", spans)] == before


def test_the_same_pictures_in_another_size_are_other_content() -> None:
    maker = Fingerprinter()
    maker.process(0.0, np.full((54, 96, 3), 90, np.uint8))
    assert maker.between((0, 1), 640, 360).content != maker.between((0, 1), 1280, 720).content


def test_bars_are_cut_away_and_a_dark_half_is_not_a_bar() -> None:
    rng = np.random.default_rng(0)
    shown = cv2.resize(rng.integers(60, 220, (6, 12), dtype=np.uint8), (96, 54), interpolation=cv2.INTER_CUBIC)
    boxed = np.zeros((72, 96), np.uint8)
    boxed[9:63] = shown
    uneven = np.zeros((64, 96), np.uint8)
    uneven[8:62] = shown
    for picture, edges in ((boxed, (9 / 72, 63 / 72)), (uneven, (8 / 64, 62 / 64))):
        one = made_of(np.stack([picture] * 8))
        assert (one.box[1], one.box[3]) == pytest.approx(edges)
        plain = made_of(np.stack([shown] * 8))
        inner = slice(2, -2)  # cells on the edge hold some of the bar
        assert np.abs(one.shown[:, inner] - plain.shown[:, inner]).mean() < 6
    half = shown.copy()
    half[:30] = 0
    assert made_of(np.stack([half] * 8)).box == (0, 0, 1, 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 2000))
def test_what_is_packed_is_read_back(count: int, seed: int, length_s: float) -> None:
    rng = np.random.default_rng(seed)
    times_s = np.cumsum(rng.uniform(0, 0.5, count)).astype(np.float32)
    luma = rng.integers(0, 128, (count, PICTURE_PX, PICTURE_PX)).astype(np.uint8) << 1
    given_ = Fingerprint(bytes(rng.bytes(16)).hex(), length_s, times_s, luma, (0.0, 0.125, 1.0, 0.9))
    read = Fingerprint.unpack(given_.pack())
    assert (read.content, read.length_s) == (given_.content, length_s)
    assert np.array_equal(read.luma, luma) and read.times_s == pytest.approx(times_s, abs=1e-4)
    assert read.box == pytest.approx(given_.box, abs=1e-4)
    assert read.pack() == given_.pack()


def test_what_another_release_packed_is_refused() -> None:
    packed = made_of(np.full((3, 54, 96), 90, np.uint8)).pack()
    with pytest.raises(ValueError, match="version 9"):
        Fingerprint.unpack(b"\x09" + packed[1:])


def test_a_long_video_gives_the_same_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(1).integers(0, 255, (50, 54, 96), dtype=np.uint8)

    def span() -> Fingerprint:
        maker = Fingerprinter()
        for at, picture in enumerate(pictures):
            maker.process(at / PICTURES_PER_S, np.repeat(picture[..., None], 3, axis=2))
        return maker.between((1.5, 5.0), 96, 54)

    whole = span()
    monkeypatch.setattr(fingerprint, "_CHUNK", 8)
    assert span().pack() == whole.pack()


@pytest.mark.parametrize("wanted", [(32, 32), (16, 16), (20, 7)])
def test_a_resampled_ramp_is_a_ramp(wanted: tuple[int, int]) -> None:
    ramp = np.tile(np.arange(32, dtype=np.float32) + 0.5, (1, 32, 1))
    out = resample(ramp, (0.25, 0.0, 0.75, 1.0), wanted)
    assert out.shape == (1, *wanted)
    centers = 8 + (np.arange(wanted[1]) + 0.5) * 16 / wanted[1]
    assert out[0, 0] == pytest.approx(centers, abs=0.05)


def test_pictures_between_two_times_are_mixed_and_those_outside_are_the_ends() -> None:
    pictures, times_s = np.array([[0.0], [1.0]], np.float32), np.array([0.0, 2.0])
    assert interpolate(pictures, times_s, np.array([-1.0, 0.5, 2.0, 5.0]))[:, 0].tolist() == [0.0, 0.25, 1.0, 1.0]
    assert interpolate(pictures[:1], times_s[:1], np.array([0.0, 9.0]))[:, 0].tolist() == [0.0, 0.0]
