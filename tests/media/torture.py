"""Kinds of file that people have, made small: what a decoder can be handed, and what is true of each.

Every picture says which frame it is: the upper half holds its number as eight bars (`conftest.number_of`), the lower
half one colour. It is written into the planes by the formulas of the standards, so that what comes out can be held
against what went in, through any matrix, range, transfer, codec and container.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from curate.media.color import pq_signal
from tests.media.conftest import numbered

PATCH = (200, 60, 40)
"""The colour of the lower half, as BT.709 R'G'B'."""

SIZE = (128, 72)
_LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
_SPACE = {"bt601": 6, "bt709": 1, "bt2020": 9}
_LOSSY = {"mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "wmv2", "msmpeg4v3", "h263", "flv"}
_TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


@dataclass(frozen=True)
class Truth:
    """What is true of a file.

    Attributes:
        times_s: of its frames, from the first; frame k shows number k. Empty where nobody knows.
        size: as shown; None where nobody knows.
        failed: that it yields nothing.
        damaged: that some of its frames are lost, and the outcome says so. Where transport streams are joined, libav
            takes the frames before the joint for damaged.
        shorter: that some are lost, and nobody can know: what is left is a good file.
        patch: whether the colour of the lower half is known.
        numbers: whether the numbers can be read.
    """

    times_s: tuple[float, ...] = ()
    size: tuple[int, int] | None = SIZE
    failed: bool = False
    damaged: bool = False
    shorter: bool = False
    patch: bool = True
    numbers: bool = True


@dataclass(frozen=True)
class Look:
    """How a picture is stored."""

    pixel_format: str = "yuv420p"
    matrix: str = "bt601"
    stated: bool = True
    full: bool = False
    transfer: int = 2
    primaries: int = 2
    noise: int = 0


@dataclass(frozen=True)
class Clip:
    """A video to write. Times are `ticks` of `tick`; the last one is the end of the last frame."""

    name: str
    codec: str = "libx264"
    ticks: Sequence[int] = tuple(range(13))
    tick: Fraction = Fraction(1, 25)
    size: tuple[int, int] = SIZE
    look: Look = field(default_factory=Look)
    options: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)
    format: str | None = None
    pixel_aspect: Fraction | None = None
    rotation_deg: int = 0
    interlaced: bool = False
    sound: str | None = None
    set_up: Callable[[OutputContainer, VideoStream], None] | None = None
    known_color: bool = True

    @property
    def truth(self) -> Truth:
        times = tuple(float((one - self.ticks[0]) * self.tick) for one in self.ticks[:-1])
        width, height = self.size
        width = round(width * (self.pixel_aspect or 1))
        size = (height, width) if self.rotation_deg % 180 else (width, height)
        return Truth(times, size, patch=self.known_color)


Kind = Callable[[Path], Truth]
KINDS: dict[str, tuple[str, Kind]] = {}
"""By name: the file's name, and what writes it at a path and says what is true of it."""


def planes(index: int, size: tuple[int, int], look: Look) -> list[np.ndarray]:
    """The picture of frame `index` as it is stored: one array for each plane."""
    rgb = numbered(index, *size).astype(float) / 255
    rgb[size[1] // 2 :] = np.array(PATCH) / 255
    if look.noise:  # bytes for damage to fall on, as real pictures have them
        rgb = np.clip(rgb + np.random.default_rng(index).uniform(-look.noise, look.noise, rgb.shape) / 255, 0, 1)
    if look.primaries == 9 or look.transfer in (16, 18):
        light = rgb**2.4 @ _TO_BT2020.T
        if look.transfer == 16:
            rgb = pq_signal(light * 203)
        elif look.transfer == 18:
            display = light * 203 / 1000
            luminance = np.maximum(display @ np.array([0.2627, 0.6780, 0.0593]), 1e-9)[..., None]
            scene = display * luminance ** (1 / 1.2 - 1)
            above = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
            rgb = np.where(scene <= 1 / 12, np.sqrt(3 * scene), above)
        else:
            rgb = light ** (1 / 2.4)
    name = look.pixel_format
    bits = 12 if "12" in name else 10 if "10" in name else 8
    top, unit = (1 << bits) - 1, 1 << (bits - 8)
    kind = np.uint16 if bits > 8 else np.uint8
    if name in ("rgb24", "bgr0"):
        whole = np.round(rgb * 255).astype(np.uint8)
        return [whole if name == "rgb24" else np.dstack([whole[..., ::-1], np.zeros_like(whole[..., :1])])]
    red, blue = _LUMA[look.matrix]
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    chroma = ((rgb[..., 2] - luma) / (2 * (1 - blue)), (rgb[..., 0] - luma) / (2 * (1 - red)))
    if look.full or name.startswith("yuvj"):
        stored = [luma * top, *(one * top + (1 << (bits - 1)) for one in chroma)]
    else:
        stored = [(16 + 219 * luma) * unit, *((128 + 224 * one) * unit for one in chroma)]
    across, down = (2, 2) if "420" in name else (2, 1) if "422" in name else (4, 1) if "411" in name else (1, 1)
    if name.startswith("gray"):
        stored = stored[:1]
    for at in range(1, len(stored)):
        height, width = stored[at].shape
        stored[at] = stored[at].reshape(height // down, down, width // across, across).mean(axis=(1, 3))
    if name.startswith("yuva"):
        stored.append(np.full(luma.shape, top, float))
    return [np.clip(np.round(one), 0, top).astype(kind) for one in stored]


def stored_frame(index: int, size: tuple[int, int], look: Look) -> av.VideoFrame:
    """The picture of frame `index`, tagged as its look says."""
    frame = av.VideoFrame(*size, look.pixel_format)
    for plane, values in zip(frame.planes, planes(index, size, look), strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        data = np.ascontiguousarray(values).reshape(values.shape[0], -1).view(np.uint8)
        rows[: data.shape[0], : data.shape[1]] = data
    if look.stated and not look.pixel_format.startswith(("rgb", "gbr", "bgr")):
        frame.colorspace = _SPACE[look.matrix]
    frame.color_range = 2 if look.full else 1
    frame.color_trc, frame.color_primaries = look.transfer, look.primaries
    return frame


def write(path: Path, clip: Clip) -> Truth:
    """Writes a clip; returns what is true of it."""
    with av.open(str(path), "w", format=clip.format, options=clip.container) as container:
        stream = add_video(container, clip)
        sound = add_sound(container, clip.sound) if clip.sound else None
        if clip.set_up:
            clip.set_up(container, stream)
        if sound is not None:
            play(container, sound, seconds=1.0)
        film(container, stream, clip)
    return clip.truth


def add_video(container: OutputContainer, clip: Clip) -> VideoStream:
    rate = Fraction(1) / clip.tick if clip.tick > Fraction(1, 1000) else Fraction(25)
    stream: VideoStream = container.add_stream(clip.codec, rate=rate)
    stream.width, stream.height, stream.pix_fmt = *clip.size, clip.look.pixel_format
    context = stream.codec_context
    context.time_base, context.thread_count = clip.tick, 1
    if clip.pixel_aspect:
        context.sample_aspect_ratio = clip.pixel_aspect
    if clip.look.stated and not clip.look.pixel_format.startswith(("rgb", "gbr", "bgr")):
        context.colorspace = _SPACE[clip.look.matrix]
        context.color_trc, context.color_primaries = clip.look.transfer, clip.look.primaries
        context.color_range = 2 if clip.look.full else 1
    defaults = {"libx264": {"preset": "veryfast", "qp": "12", "g": "6"}, "libx265": {"preset": "ultrafast"}}
    fixed = {
        "libx265": {"x265-params": "log-level=none:pools=1:frame-threads=1:qp=8:keyint=6"},
        "libsvtav1": {"preset": "12", "crf": "12", "g": "6", "svtav1-params": "lp=1"},
        "libvpx-vp9": {"crf": "8", "b": "0", "cpu-used": "8", "deadline": "realtime", "g": "6"},
        "libvpx": {"crf": "6", "b": "2M", "cpu-used": "8", "deadline": "realtime", "g": "6"},
    }
    lossy = {"qscale": "2", "g": "6", "qmin": "1", "qmax": "3"} if clip.codec in _LOSSY else {}
    stream.options = {**lossy, **defaults.get(clip.codec, {}), **fixed.get(clip.codec, {}), **clip.options}
    if clip.rotation_deg:
        stream.set_display_rotation(-clip.rotation_deg)
    return stream


def film(container: OutputContainer, stream: VideoStream, clip: Clip, first: int = 0) -> None:
    """Encodes the clip's frames, numbered from `first`."""
    lengths = {start: end - start for start, end in pairwise(clip.ticks)}
    shown = clip.truth.size if clip.pixel_aspect is None else None
    size = shown or clip.size

    def mux(packets: list[av.Packet]) -> None:
        for packet in packets:
            if packet.time_base == clip.tick:
                packet.duration = lengths.get(packet.pts or 0, packet.duration)
            container.mux(packet)

    for number, at in enumerate(clip.ticks[:-1], first):
        frame = stored_frame(number, clip.size, clip.look)
        if clip.rotation_deg:
            upright = stored_frame(number, size, clip.look).to_ndarray(format="rgb24")
            turned = np.ascontiguousarray(np.rot90(upright, clip.rotation_deg // 90))
            frame = av.VideoFrame.from_ndarray(turned, format="rgb24").reformat(format=clip.look.pixel_format)
        frame.pts, frame.time_base = at, clip.tick
        mux(stream.encode(frame))
    mux(stream.encode(None))


def add_sound(container: OutputContainer, codec: str) -> av.AudioStream:
    stream: av.AudioStream = container.add_stream(codec, rate=48_000, layout="stereo")
    return stream


def play(container: OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    """A tone."""
    context = stream.codec_context
    resampler = av.AudioResampler(format=context.format.name, layout="stereo", rate=48_000)
    size = 1024
    for start in range(0, round(seconds * 48_000), size):
        tone = 0.2 * np.sin(np.arange(start, start + size) * 2 * np.pi * 440 / 48_000)
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]).astype(np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        for piece in resampler.resample(frame):
            container.mux(stream.encode(piece))
    container.mux(stream.encode(None))


def kind(file: str) -> Callable[[Kind], Kind]:
    """Registers a function that writes a kind of file."""

    def register(function: Kind) -> Kind:
        KINDS[function.__name__.strip("_")] = (file, function)
        return function

    return register


def clip_kind(name: str, file: str, **changes: object) -> None:
    """Registers a clip as it is."""
    clip = Clip(name, **changes)  # type: ignore[arg-type]
    KINDS[name] = (file, lambda path: write(path, clip))


def altered(name: str, file: str, of: str, change: Callable[[bytes], bytes], truth: Callable[[Truth], Truth]) -> None:
    """Registers a file that is another kind's bytes, changed."""

    def make(path: Path) -> Truth:
        source = path.with_name(f"of_{path.name}")
        known = KINDS[of][1](source)
        path.write_bytes(change(source.read_bytes()))
        source.unlink()
        return truth(known)

    KINDS[name] = (file, make)


def _half(known: Truth) -> Truth:
    return replace(known, damaged=True)


def _shorter(known: Truth) -> Truth:
    return replace(known, shorter=True)


def _same(known: Truth) -> Truth:
    return known


def _nothing(known: Truth) -> Truth:
    return replace(known, failed=True)


def _unknown_times(known: Truth) -> Truth:
    return replace(known, times_s=(), numbers=False)


# Codecs in the containers that people keep them in.
for _file, _format in (("mp4", None), ("mkv", None), ("mov", None), ("avi", None), ("ts", "mpegts"), ("flv", None)):
    clip_kind(f"h264_{_file}", f"h264.{_file}", format=_format, options={"bf": "2"})
for _file, _format in (("mp4", None), ("mkv", None), ("mov", None), ("ts", "mpegts"), ("hevc", "hevc")):
    clip_kind(f"hevc_{_file}", f"hevc.{_file}", codec="libx265", format=_format)
for _file, _format in (("mp4", None), ("webm", None), ("ivf", "ivf"), ("obu", "obu")):
    clip_kind(f"av1_{_file}", f"av1.{_file}", codec="libsvtav1", format=_format)
for _file in ("webm", "mp4", "mkv"):
    clip_kind(f"vp9_{_file}", f"vp9.{_file}", codec="libvpx-vp9")
for _file, _format in (("avi", None), ("mp4", None), ("mkv", None), ("m4v", "m4v")):
    clip_kind(f"mpeg4_{_file}", f"mpeg4.{_file}", codec="mpeg4", format=_format, options={"bf": "2"})
for _file, _format in (("ts", "mpegts"), ("mpg", "vob"), ("mkv", None), ("mxf", "mxf")):
    clip_kind(f"mpeg2_{_file}", f"mpeg2.{_file}", codec="mpeg2video", format=_format)
clip_kind("h264_raw", "h264.h264", format="h264")
clip_kind("h264_fragmented", "fragmented.mp4", container={"movflags": "frag_keyframe+empty_moov+default_base_moof"})
clip_kind("h264_index_in_front", "front.mp4", container={"movflags": "+faststart"})
clip_kind("h264_live_mkv", "live.mkv", container={"live": "1"})
clip_kind("vp8_webm", "vp8.webm", codec="libvpx")
clip_kind("mpeg1_mpg", "mpeg1.mpg", codec="mpeg1video", format="mpeg")
clip_kind("prores_mov", "prores.mov", codec="prores_ks", look=Look("yuv422p10le"))
clip_kind("prores_4444_mov", "prores4.mov", codec="prores_ks", look=Look("yuva444p10le"), options={"profile": "4"})
clip_kind("ffv1_mkv", "ffv1.mkv", codec="ffv1")
clip_kind("ffv1_rgb_mkv", "ffv1_rgb.mkv", codec="ffv1", look=Look("bgr0"))
clip_kind("mjpeg_avi", "mjpeg.avi", codec="mjpeg", look=Look("yuvj420p", full=True))
clip_kind("mjpeg_mov", "mjpeg.mov", codec="mjpeg", look=Look("yuvj422p", full=True))
clip_kind("rawvideo_avi", "raw.avi", codec="rawvideo", look=Look("yuv422p"))
clip_kind("huffyuv_avi", "huffyuv.avi", codec="huffyuv", look=Look("yuv422p"))
clip_kind("png_mov", "png.mov", codec="png", look=Look("rgb24"))
clip_kind("wmv2_asf", "wmv2.wmv", codec="wmv2", format="asf")
clip_kind("msmpeg4v3_avi", "divx3.avi", codec="msmpeg4v3")
clip_kind(
    "h263_3gp",
    "h263.3gp",
    codec="h263",
    size=(176, 144),
    format="3gp",
    tick=Fraction(1001, 30000),
    pixel_aspect=Fraction(12, 11),
)
clip_kind("sorenson_flv", "sorenson.flv", codec="flv")
clip_kind(
    "dv", "camera.dv", codec="dvvideo", size=(720, 576), look=Look("yuv420p"), format="dv", ticks=tuple(range(7)),
    pixel_aspect=Fraction(16, 15),
)  # fmt: skip
clip_kind(
    "dnxhd_mxf",
    "dnx.mxf",
    codec="dnxhd",
    look=Look("yuv422p", "bt709"),
    options={"profile": "dnxhr_sq"},
    size=(256, 120),
)

# Depths, subsamplings, matrices, ranges and dynamic range.
clip_kind("ten_bit_h264", "ten.mp4", look=Look("yuv420p10le"))
clip_kind("ten_bit_hevc", "ten.mkv", codec="libx265", look=Look("yuv420p10le"))
clip_kind("twelve_bit_hevc", "twelve.mp4", codec="libx265", look=Look("yuv422p12le"))
clip_kind("h264_422", "h422.mp4", look=Look("yuv422p"))
clip_kind("h264_444", "h444.mp4", look=Look("yuv444p", matrix="bt709"))
clip_kind("ffv1_gray", "gray.mkv", codec="ffv1", look=Look("gray"), known_color=False)
clip_kind("bt709_limited", "bt709.mp4", look=Look(matrix="bt709"))
clip_kind("bt709_full", "bt709full.mp4", look=Look(matrix="bt709", full=True))
clip_kind("bt601_full", "bt601full.mp4", look=Look("yuvj420p", full=True))
clip_kind("unstated_matrix", "unstated.mp4", look=Look(stated=False))
clip_kind("unstated_matrix_hd", "hd.mp4", size=(1280, 64), look=Look(matrix="bt709", stated=False))
clip_kind("bt2020_sdr", "wide.mkv", codec="libx265", look=Look("yuv420p10le", "bt2020", transfer=14, primaries=9))
for _codec, _file in (("libx265", "mp4"), ("libx265", "mkv"), ("libsvtav1", "webm")):
    for _name, _transfer in (("pq", 16), ("hlg", 18)):
        clip_kind(
            f"{_name}_{_codec}_{_file}", f"{_name}_{_codec}.{_file}", codec=_codec,
            look=Look("yuv420p10le", "bt2020", transfer=_transfer, primaries=9),
        )  # fmt: skip

# Fields, pixels that are not square, rotation.
clip_kind("interlaced_h264", "fields.mp4", options={"x264-params": "tff=1", "flags": "+ildct+ilme"})
clip_kind("interlaced_mpeg2", "fields.ts", codec="mpeg2video", format="mpegts", options={"flags": "+ildct+ilme"})
for _file in ("mp4", "mkv", "mov", "ts"):
    clip_kind(
        f"anamorphic_{_file}", f"anamorphic.{_file}", pixel_aspect=Fraction(4, 3),
        format="mpegts" if _file == "ts" else None,
    )  # fmt: skip
clip_kind("anamorphic_avi", "anamorphic.avi", codec="mpeg4", pixel_aspect=Fraction(4, 3))
for _deg in (90, 180, 270):
    clip_kind(f"rotated_{_deg}", f"rotated{_deg}.mp4", rotation_deg=_deg)
clip_kind("rotated_mkv", "rotated.mkv", rotation_deg=90)
clip_kind("tall", "tall.mp4", size=(32, 640))
clip_kind("wide", "wide.mp4", size=(1024, 16))
clip_kind("odd_size", "odd.mkv", codec="ffv1", size=(129, 74), look=Look("yuv444p"))
clip_kind("small", "small.mp4", size=(32, 18), options={"bf": "0"})

# Times.
_UNEVEN = (0, 40, 80, 200, 240, 280, 700, 720, 1500, 1540, 1580, 1620, 1660)
for _file in ("mp4", "mkv", "webm"):
    clip_kind(
        f"variable_rate_{_file}", f"variable.{_file}", ticks=_UNEVEN, tick=Fraction(1, 1000),
        codec="libvpx-vp9" if _file == "webm" else "libx264",
    )  # fmt: skip
clip_kind("dropped_frames_avi", "dropped.avi", codec="mpeg4", ticks=(0, 1, 2, 5, 6, 10, 11, 12, 20, 21))
for _file in ("mp4", "mkv", "mov", "ts"):
    clip_kind(
        f"late_start_{_file}", f"late.{_file}", ticks=tuple(range(40, 53)), sound="aac",
        format="mpegts" if _file == "ts" else None,
    )  # fmt: skip
clip_kind("ntsc", "ntsc.mp4", tick=Fraction(1001, 30000))
clip_kind("film_rate_mkv", "film.mkv", tick=Fraction(1001, 24000))
clip_kind("fast", "fast.mp4", tick=Fraction(1, 240), ticks=tuple(range(49)))
clip_kind("slow", "slow.mp4", tick=Fraction(2), ticks=tuple(range(7)))
clip_kind("slides", "slides.mp4", tick=Fraction(1), ticks=(0, 30, 31, 75, 200, 290), options={"bf": "0"})
clip_kind("fine_tick", "fine.mp4", tick=Fraction(1, 1_000_000), ticks=tuple(range(0, 480_001, 40_000)))
clip_kind("one_frame", "one.mp4", ticks=(0, 1))
clip_kind("two_frames", "two.mkv", ticks=(0, 1, 2))


@kind("wrapping.ts")
def clock_wraps(path: Path) -> Truth:
    """The 33 bits of a transport stream's clock run out in the middle."""
    tick = Fraction(1, 25)
    start = round(Fraction((1 << 33) - 90_000, 90_000) / tick) + 20
    return write(
        path, Clip("wrap", format="mpegts", ticks=tuple(range(start, start + 13)), container={"muxdelay": "0"})
    )


@kind("joined.ts")
def joined_streams(path: Path) -> Truth:
    """Two recordings in one file: the clock starts again in the middle."""
    parts = [path.with_name(f"{part}_{path.name}") for part in "ab"]
    clip = Clip("joined", format="mpegts", ticks=tuple(range(50, 63)), options={"bf": "0"})
    for number, part in enumerate(parts):
        with av.open(str(part), "w", format="mpegts") as container:
            moved = replace(clip, ticks=tuple(at + 500 * (1 - number) for at in clip.ticks))
            film(container, add_video(container, moved), moved, first=12 * number)
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()
    return Truth(tuple(k / 25 for k in range(24)), damaged=True)


@kind("middle.ts")
def starts_midway(path: Path) -> Truth:
    """A recording that begins between two keyframes."""
    write(path, Clip("midway", format="mpegts", options={"bf": "0"}, ticks=tuple(range(19))))
    packets = path.read_bytes()
    path.write_bytes(packets[: 188 * 3] + packets[len(packets) // 188 // 5 * 188 :])
    return Truth(damaged=False, numbers=False)


@kind("edited.mp4")
def edit_list(path: Path) -> Truth:
    """An edit list hides the first frames."""
    source = path.with_name("whole.mp4")
    write(source, Clip("whole", options={"bf": "0", "g": "30"}))
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        shift = round(Fraction(4, 25) / Fraction(given.streams.video[0].time_base or 1))
        for packet in given.demux(video=0):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                made.mux(packet)
    source.unlink()
    return Truth(tuple(k / 25 for k in range(8)), numbers=False)


# Streams beside the one that counts.
for _file, _codec in (("mp4", "aac"), ("mkv", "libopus"), ("avi", "libmp3lame"), ("mov", "pcm_s16le"), ("ts", "ac3")):
    clip_kind(f"sound_{_codec}", f"sound.{_file}", sound=_codec, format="mpegts" if _file == "ts" else None)


def _with_cover(path: Path, clip: Clip) -> Truth:
    """A cover, stored as a video stream of one picture, larger than the video and before it."""
    with av.open(str(path), "w", format=clip.format) as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 320, 320, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = add_video(container, clip)
        picture = av.VideoFrame.from_ndarray(np.full((320, 320, 3), 77, np.uint8), format="rgb24")
        picture.pts, picture.time_base = 0, Fraction(1)
        container.mux(cover.encode(picture))
        container.mux(cover.encode(None))
        film(container, stream, clip)
    return clip.truth


KINDS["cover_mp4"] = ("cover.mp4", lambda path: _with_cover(path, Clip("cover")))


@kind("cover.mkv")
def cover_attached(path: Path) -> Truth:
    """Matroska keeps a cover as an attached file, which libav presents as one more video stream."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 320, 320, "yuvj420p", Fraction(1)
    picture = av.VideoFrame.from_ndarray(np.full((320, 320, 3), 77, np.uint8), format="rgb24")
    jpeg = b"".join(
        bytes(packet) for packet in [*encoder.encode(picture.reformat(format="yuvj420p")), *encoder.encode(None)]
    )

    def set_up(container: OutputContainer, stream: VideoStream) -> None:
        container.add_attachment("cover.jpg", "image/jpeg", jpeg)

    return write(path, Clip("cover", set_up=set_up))


@kind("two_videos.mkv")
def two_videos(path: Path) -> Truth:
    """A small preview in front of the film."""
    small, large = Clip("preview", size=(32, 18), look=Look(matrix="bt709")), Clip("film")
    with av.open(str(path), "w") as container:
        first, second = add_video(container, small), add_video(container, large)
        first.disposition = av.stream.Disposition(0)
        second.disposition = av.stream.Disposition.default
        film(container, first, small)
        film(container, second, large)
    return large.truth


@kind("two_programs.ts")
def two_videos_without_a_default(path: Path) -> Truth:
    small, large = Clip("preview", size=(64, 36)), Clip("film")
    with av.open(str(path), "w", format="mpegts") as container:
        first, second = add_video(container, small), add_video(container, large)
        film(container, first, small)
        film(container, second, large)
    return large.truth


@kind("subtitled.mkv")
def subtitles(path: Path) -> Truth:
    clip = Clip("subtitled")
    words = path.with_name("words.srt")
    words.write_text("1\n00:00:00,000 --> 00:00:00,300\nhello\n\n2\n00:00:00,300 --> 00:00:00,400\nworld\n\n")
    with av.open(str(words)) as given, av.open(str(path), "w") as container:
        stream, text = add_video(container, clip), container.add_stream_from_template(given.streams.subtitles[0])
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = text
                container.mux(packet)
        film(container, stream, clip)
    words.unlink()
    return clip.truth


@kind("timecode.mov")
def timecode_track(path: Path) -> Truth:
    """A data stream, as cameras write it."""

    def set_up(container: OutputContainer, stream: VideoStream) -> None:
        container.metadata["timecode"] = "01:00:00:00"

    return write(path, Clip("timecode", set_up=set_up))


@kind("sound_only.m4a")
def sound_only(path: Path) -> Truth:
    with av.open(str(path), "w", format="mp4") as container:
        play(container, add_sound(container, "aac"), 0.5)
    return Truth(failed=True)


@kind("cover_only.mp3")
def sound_with_a_cover(path: Path) -> Truth:
    with av.open(str(path), "w", format="mp3") as container:
        sound = add_sound(container, "libmp3lame")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        play(container, sound, 0.5)
        picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 77, np.uint8), format="rgb24")
        picture.pts, picture.time_base = 0, Fraction(1)
        container.mux(cover.encode(picture))
        container.mux(cover.encode(None))
    return Truth(failed=True)


# What changes in mid-stream.
def _joined_clips(path: Path, clips: Sequence[Clip]) -> tuple[float, ...]:
    """Transport streams one after another, numbered and timed through."""
    times: list[float] = []
    with path.open("wb") as whole:
        for clip in clips:
            part = path.with_name("part.ts")
            with av.open(str(part), "w", format="mpegts") as container:
                film(container, add_video(container, clip), clip, first=len(times))
            times += [float(at * clip.tick) for at in clip.ticks[:-1]]
            whole.write(part.read_bytes())
            part.unlink()
    return tuple(time - times[0] for time in times)


@kind("resized.ts")
def size_changes(path: Path) -> Truth:
    first = Clip("first", options={"bf": "0"})
    later = replace(first, size=(256, 144), ticks=tuple(range(12, 25)))
    return Truth(_joined_clips(path, [first, later]), damaged=True)


@kind("reshaped.ts")
def shape_changes(path: Path) -> Truth:
    first = Clip("first", options={"bf": "0"})
    later = replace(first, size=(96, 72), ticks=tuple(range(12, 25)))
    return Truth(_joined_clips(path, [first, later]), damaged=True, numbers=False)


@kind("depth.ts")
def depth_changes(path: Path) -> Truth:
    first = Clip("first", options={"bf": "0"})
    later = replace(first, look=Look("yuv420p10le"), ticks=tuple(range(12, 25)))
    return Truth(_joined_clips(path, [first, later]), damaged=True)


@kind("hdr_part.ts")
def dynamic_range_changes(path: Path) -> Truth:
    parameters = "log-level=none:pools=1:frame-threads=1:qp=8:keyint=6:bframes=0"
    first = Clip("first", codec="libx265", options={"x265-params": parameters})
    hdr = Look("yuv420p10le", "bt2020", transfer=16, primaries=9)
    return Truth(_joined_clips(path, [first, replace(first, look=hdr, ticks=tuple(range(12, 25)))]), damaged=True)


# Damage. What is long in bytes is the pictures, as in real footage: noise would not compress.
_LONG: dict[str, Any] = {
    "ticks": tuple(range(61)), "options": {"bf": "2", "g": "12", "qp": "16"}, "look": Look(noise=24),
    "known_color": False,
}  # fmt: skip
clip_kind("long_mp4", "long.mp4", container={"movflags": "+faststart"}, **_LONG)
clip_kind("long_end_mp4", "long_end.mp4", **_LONG)
clip_kind("long_fragmented", "long_frag.mp4", container={"movflags": "frag_keyframe+empty_moov"}, **_LONG)
clip_kind("long_mkv", "long.mkv", **_LONG)
clip_kind("long_avi", "long.avi", **_LONG)
clip_kind("long_ts", "long.ts", format="mpegts", **_LONG)
clip_kind("long_webm", "long.webm", codec="libvpx-vp9", **_LONG | {"options": {"g": "12"}})
clip_kind("long_flv", "long.flv", **_LONG)


def _cut_at(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(share * len(content))]


def _zeros(content: bytes) -> bytes:
    start, end = int(0.5 * len(content)), int(0.6 * len(content))
    return content[:start] + bytes(end - start) + content[end:]


def _zero_tail(content: bytes) -> bytes:
    start = int(0.7 * len(content))
    return content[:start] + bytes(len(content) - start)


def _without(content: bytes) -> bytes:
    return content[: int(0.5 * len(content))] + content[int(0.55 * len(content)) :]


def _lost_packets(content: bytes) -> bytes:
    packets = [content[at : at + 188] for at in range(0, len(content), 188)]
    middle = len(packets) // 2
    return b"".join(packets[:middle] + packets[middle + 4 :])


for _file in ("mp4", "mkv", "avi", "ts", "webm", "flv", "fragmented"):
    _name = "cut_frag.mp4" if _file == "fragmented" else f"cut.{_file}"
    # A transport stream has no end of its own, so that less of it is a shorter one. VP9 cannot tell bad data from good.
    altered(f"cut_short_{_file}", _name, f"long_{_file}", _cut_at(0.6), _shorter if _file == "ts" else _half)
    _name = "zeros_frag.mp4" if _file == "fragmented" else f"zeros.{_file}"
    altered(f"zeros_inside_{_file}", _name, f"long_{_file}", _zeros, _shorter if _file == "webm" else _half)
altered("cut_short_before_its_index", "headless.mp4", "long_end_mp4", _cut_at(0.6), _nothing)
altered("zeros_at_the_end", "tail.mp4", "long_mp4", _zero_tail, _half)
altered("bytes_missing_mkv", "missing.mkv", "long_mkv", _without, _shorter)
altered("lost_packets_ts", "lost.ts", "long_ts", _lost_packets, _half)
altered("garbage_in_front_ts", "front.ts", "long_ts", lambda content: os.urandom(1000) + content, _same)
altered("garbage_behind_mp4", "behind.mp4", "long_mp4", lambda content: content + os.urandom(1000), _same)
altered("only_a_header_mkv", "header.mkv", "long_mkv", _cut_at(0.02), _nothing)
altered("wrong_name", "wrong.avi", "long_mkv", lambda content: content, _same)


def _patched_duration(ticks: int) -> Callable[[bytes], bytes]:
    """An mp4 whose headers all say that it lasts this long."""

    def change(content: bytes) -> bytes:
        patched = bytearray(content)
        for name, at in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
            found = content.find(name)
            patched[found + at : found + at + 4] = ticks.to_bytes(4, "big")
        return bytes(patched)

    return change


altered("duration_too_long", "too_long.mp4", "h264_mp4", _patched_duration(2_000_000_000), _same)
altered("duration_of_zero", "zero.mp4", "h264_mp4", _patched_duration(0), _same)
altered("duration_unknown", "unknown.mp4", "h264_mp4", _patched_duration(0xFFFFFFFF), _same)
altered(
    "codec_unknown", "unknown_codec.mp4", "h264_mp4", lambda content: content.replace(b"avc1", b"zzz9"), _nothing
)  # fmt: skip


def _stray_time(content: bytes) -> bytes:
    """An flv one of whose frames claims to be hours later."""
    at, seen = 13, 0
    patched = bytearray(content)
    while at + 11 < len(content):
        size = int.from_bytes(content[at + 1 : at + 4], "big")
        if content[at] == 9:
            seen += 1
            if seen == 20:
                patched[at + 7] = 1
        at += 11 + size + 4
    return bytes(patched)


altered("stray_time_flv", "stray.flv", "long_flv", _stray_time, _same)


# What is no video at all.
def _content(name: str, file: str, content: bytes) -> None:
    def make(path: Path) -> Truth:
        path.write_bytes(content)
        return Truth(failed=True)

    KINDS[name] = (file, make)


_content("empty", "empty.mp4", b"")
_content("text", "text.mp4", b"no video at all, only words\n" * 40)
_content("random", "random.mkv", np.random.default_rng(0).integers(0, 256, 20_000).astype(np.uint8).tobytes())
_content("all_zeros", "zeros.mp4", bytes(20_000))
_content("page", "page.mp4", b"<!DOCTYPE html><html><body>Not found</body></html>" * 20)
_content("archive", "archive.mp4", b"PK\x03\x04" + bytes(2000))
_content("one_byte", "one.mp4", b"\0")


@kind("pipe.mp4")
def named_pipe(path: Path) -> Truth:
    os.mkfifo(path)
    return Truth(failed=True)


@kind("folder.mp4")
def directory(path: Path) -> Truth:
    path.mkdir()
    return Truth(failed=True)


@kind("loop.mp4")
def link_to_itself(path: Path) -> Truth:
    path.symlink_to(path.name)
    return Truth(failed=True)


@kind("device.mp4")
def link_to_a_device(path: Path) -> Truth:
    path.symlink_to("/dev/zero")
    return Truth(failed=True)


def make(name: str, directory: Path) -> tuple[Path, Truth]:
    """Writes a kind of file; returns where, and what is true of it."""
    file, function = KINDS[name]
    path = directory / file
    if path.exists() and not path.is_symlink():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return path, function(path)
