"""Footage that wants more than to be watched: other files, the network, the machine's memory, or its patience."""

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import pytest

from curate.errors import DecodeError
from curate.media.decode import Branch, decode, keyframes
from curate.media.probe import probe
from curate.specs.analysis import Limits
from tests.media.conftest import Maker

SMALL = {"small": Branch(64, 36)}


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """An address, and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", asked
    running.shutdown()


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[tuple[Path, threading.Event]]:
    """A named pipe, and whether somebody opened it to read: only then can its writer open it too."""
    path, opened, done = tmp_path / "bait.ts", threading.Event(), threading.Event()
    os.mkfifo(path)

    def watch() -> None:
        os.close(os.open(path, os.O_WRONLY))
        if not done.is_set():
            opened.set()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    yield path, opened
    done.set()
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    watcher.join(5)


SCRIPTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n",
    "m3u8 master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{0}\n",
    "m3u8 key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{0}"\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n',
    "ffconcat": "ffconcat version 1.0\nfile '{0}'\n",
    "concat": "file '{0}'\nfile '{0}'\n",
    "dash": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
        ' profiles="urn:mpeg:dash:profile:isoff-live:2011"><Period><AdaptationSet mimeType="video/mp4">'
        '<Representation id="1" bandwidth="1"><BaseURL>{0}</BaseURL></Representation></AdaptationSet></Period></MPD>'
    ),
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{0}\nm=video 5004 RTP/AVP 96\n",
    "smil": '<smil><body><video src="{0}"/></body></smil>',
    "asx": '<asx version="3.0"><entry><ref href="{0}"/></entry></asx>',
    "rtsp text": "RTSPtext\n{0}\n",
    "quicktime link": "RTSPtext\r{0}",
}


@pytest.mark.parametrize("name", ["video.mp4", "video.ts", "video.mkv", "video.m3u8", "video.mov"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_in_disguise_reads_neither_the_file_nor_the_address_it_names(
    script: str, name: str, tmp_path: Path, bait: tuple[Path, threading.Event], server: tuple[str, list[str]]
) -> None:
    file, opened = bait
    address, asked = server
    path = tmp_path / name
    for target in (str(file), f"file:{file}", file.name, f"{address}/video.ts", f"subfile,,start,0,end,9,,:{file}"):
        path.write_text(SCRIPTS[script].format(target))
        for look in (probe, lambda p: list(decode(p, SMALL, gaps=[])), lambda p: list(keyframes(p, Branch(32, 18)))):
            with pytest.raises(DecodeError):
                look(path)
    assert not opened.wait(0.05)
    assert asked == []


def box(name: bytes, content: bytes) -> bytes:
    return (len(content) + 8).to_bytes(4, "big") + name + content


@pytest.mark.parametrize("kind", [b"url ", b"urn ", b"alis"])
def test_a_movie_whose_pictures_lie_in_another_file_does_not_open_it(
    make_video: Maker, tmp_path: Path, bait: tuple[Path, threading.Event], server: tuple[str, list[str]], kind: bytes
) -> None:
    file, opened = bait
    address, asked = server
    content = make_video().read_bytes()
    inside = box(b"url ", bytes([0, 0, 0, 1]))
    assert content.count(inside) == 1
    for target in (str(file), file.name, f"{address}/video.ts"):
        outside = box(kind, bytes(4) + target.encode() + b"\0")
        added = len(outside) - len(inside)
        changed = bytearray(content.replace(inside, outside))
        for name in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
            at = changed.index(name) - 4
            size = int.from_bytes(changed[at : at + 4], "big") + added
            changed[at : at + 4] = size.to_bytes(4, "big")
        path = tmp_path / "linked.mov"
        path.write_bytes(changed)
        try:
            list(decode(path, SMALL, gaps=[]))
        except DecodeError as error:
            assert "\n" not in error.what
    assert not opened.wait(0.05)
    assert asked == []


def test_a_name_that_reads_like_an_address_is_a_file_name(
    make_video: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: tuple[str, list[str]]
) -> None:
    _, asked = server
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.mp4", "data:text.mp4", "pipe:0.mp4", "-i.mp4", "%03d.mp4"):
        Path(name).write_bytes(make_video().read_bytes())
        assert probe(name).frames == 60
    assert asked == []


class Bits:
    """Writes a bit string."""

    def __init__(self) -> None:
        self.text = ""

    def u(self, value: int, count: int) -> "Bits":
        self.text += format(value, f"0{count}b")
        return self

    def ue(self, *values: int) -> "Bits":
        for value in values:
            text = format(value + 1, "b")
            self.text += "0" * (len(text) - 1) + text
        return self

    def nal(self, head: int) -> bytes:
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        data = bytearray()
        for byte in int(text, 2).to_bytes(len(text) // 8, "big"):
            if len(data) >= 2 and data[-2:] == b"\0\0" and byte <= 3:
                data.append(3)
            data.append(byte)
        return b"\0\0\0\1" + bytes([head]) + bytes(data)


def bomb(width: int, height: int) -> bytes:
    """A few hundred bytes of H.264 that claim pictures of this size."""
    sps = Bits().u(66, 8).u(0, 8).u(51, 8).ue(0, 0, 2, 1).u(0, 1).ue(width // 16 - 1, height // 16 - 1)
    sps.u(1, 1).u(1, 1).u(0, 1).u(0, 1)
    pps = Bits().ue(0, 0).u(0, 1).u(0, 1).ue(0, 0, 0).u(0, 1).u(0, 2).ue(0, 0, 0).u(0, 1).u(0, 1).u(0, 1)
    picture = Bits().ue(0, 7, 0).u(0, 4).ue(0).u(0, 2).ue(0)
    picture.text += "1" * 400
    return sps.nal(0x67) + pps.nal(0x68) + picture.nal(0x65) * 20


LOOK = """
import resource, sys, av
av.logging.set_level(None)
from curate.errors import DecodeError
from curate.media.probe import probe
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    probe(sys.argv[1])
    print("shown")
except DecodeError as error:
    print(error.what)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("name", ["bomb.h264", "bomb.mp4", "bomb.mkv", "bomb.ts", "bomb.flv", "bomb.avi"])
def test_a_picture_of_absurd_size_is_refused_before_memory_is_spent(tmp_path: Path, name: str) -> None:
    raw = tmp_path / "raw.h264"
    raw.write_bytes(bomb(16_000, 16_000))
    path = tmp_path / name
    if name.endswith("h264"):
        path = raw
    else:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            stream.codec_context.flags |= av.codec.context.Flags.global_header if name[-3:] in ("mp4", "mkv") else 0
            frame = av.VideoFrame(64, 64, "yuv420p")
            for number, packet in enumerate([*stream.encode(frame), *stream.encode(None)] * 10):
                made = av.Packet(raw.read_bytes())
                made.stream, made.pts, made.dts, made.time_base = stream, number, number, packet.time_base
                made.is_keyframe = True
                container.mux(made)
    done = subprocess.run([sys.executable, "-c", LOOK, str(path)], capture_output=True, text=True, check=True)
    reason, grown_mb = done.stdout.splitlines()[-2:]
    assert reason != "shown"
    assert int(grown_mb) < 200  # one frame of that size is 384 MB


def test_limits_name_the_value_and_the_limit(make_video: Maker) -> None:
    with pytest.raises(DecodeError, match=r"320 x 180 pixels are more than limits.max_pixels \(50000\)"):
        probe(make_video(), Limits(max_pixels=50_000))
    with pytest.raises(DecodeError, match=r"320 x 180 pixels"):
        list(decode(make_video(), SMALL, limits=Limits(max_pixels=50_000)))
    with pytest.raises(DecodeError, match=r"2 s are more than limits.max_duration_s \(1\)"):
        probe(make_video(), Limits(max_duration_s=1))
    assert probe(make_video(), Limits(max_pixels=320 * 180, max_duration_s=2.0)).frames == 60


def test_a_whole_day_is_within_the_limits_and_takes_little_memory(make_video: Maker) -> None:
    ticks = tuple(range(0, 86_400 * 10, 8640))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    info = probe(make_video(ticks=ticks, tick=Fraction(1, 10), options={"bf": "0"}))
    assert info.duration_s == pytest.approx(86_400 - 864, abs=1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
