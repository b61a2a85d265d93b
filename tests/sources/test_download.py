"""Fetching URLs into files: resumed, hashed as the bytes come, within limits, and never twice."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import polars as pl
import pytest
import yaml

from curate.analyze.collect import collect
from curate.errors import InputError
from curate.identity import file_id
from curate.sources import download
from curate.sources.download import fetch
from curate.sources.request import DownloadError
from curate.specs.source import Download
from curate.workspace import Workspace
from tests.analyze.conftest import World, configure
from tests.sources.serving import Site, plain, redirect, serving, status, trickle

CONTENT = hashlib.sha256(b"footage").digest() * 40_000
LOCAL = Download(allow_private=True, retries=2, read_timeout_s=5, timeout_s=60)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site(files={"/a.mp4": CONTENT}, etags={"/a.mp4": '"1"'})) as site:
        yield site


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_FIRST_WAIT_S", 0.01)


def break_off(site: Site, directory: Path) -> None:
    """Leaves 500,000 bytes of the file, as a run does whose connection stays lost."""
    site.cut_after["/a.mp4"] = [500_000, 0]
    with pytest.raises(DownloadError, match="lost|ended after"):
        fetch(site.url("/a.mp4"), directory, LOCAL.model_copy(update={"retries": 0}))
    site.asked.clear()


def ranges(site: Site) -> list[str | None]:
    return [asked for _, asked in site.asked]


def test_a_file_is_fetched_once_and_named_by_its_bytes(site: Site, tmp_path: Path) -> None:
    made = fetch(site.url("/a.mp4"), tmp_path, LOCAL)
    assert made.path.read_bytes() == CONTENT
    assert made.path.suffix == ".mp4"
    assert made.video_id == file_id(made.path)
    assert fetch(site.url("/a.mp4"), tmp_path, LOCAL) == made
    assert len(site.asked) == 1


def test_a_file_that_was_deleted_is_fetched_anew(site: Site, tmp_path: Path) -> None:
    made = fetch(site.url("/a.mp4"), tmp_path, LOCAL)
    made.path.unlink()
    assert fetch(site.url("/a.mp4"), tmp_path, LOCAL) == made
    assert ranges(site) == [None, None]


def test_a_lost_connection_is_resumed_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.cut_after["/a.mp4"] = [500_000, 300_000]
    made = fetch(site.url("/a.mp4"), tmp_path, LOCAL)
    assert made.path.read_bytes() == CONTENT and made.video_id == file_id(made.path)
    assert ranges(site) == [None, "bytes=500000-", "bytes=800000-"]


def test_the_next_run_goes_on_where_the_last_one_gave_up(site: Site, tmp_path: Path) -> None:
    break_off(site, tmp_path)
    made = fetch(site.url("/a.mp4"), tmp_path, LOCAL)
    assert made.video_id == hashlib.sha256(CONTENT).hexdigest()[:16]
    assert ranges(site) == ["bytes=500000-"]


def test_what_changed_on_the_server_since_comes_whole(site: Site, tmp_path: Path) -> None:
    break_off(site, tmp_path)
    site.files["/a.mp4"], site.etags["/a.mp4"] = CONTENT[::-1], '"2"'
    assert fetch(site.url("/a.mp4"), tmp_path, LOCAL).path.read_bytes() == CONTENT[::-1]


def test_without_etag_and_date_nothing_is_stitched_together(site: Site, tmp_path: Path) -> None:
    del site.etags["/a.mp4"]
    site.cut_after["/a.mp4"] = [500_000]
    assert fetch(site.url("/a.mp4"), tmp_path, LOCAL).path.read_bytes() == CONTENT
    assert ranges(site) == [None, None]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 0-9/1280000"},
        {"Content-Range": "bytes 500000-1279999/1999999"},
        {"Content-Range": "bytes 500000-1279999/1280000", "ETag": '"2"'},
        {},
    ],
)
def test_an_answer_that_is_not_the_rest_of_the_same_file_is_thrown_away(
    site: Site, tmp_path: Path, headers: dict[str, str]
) -> None:
    break_off(site, tmp_path)

    def wrong_once(handler: BaseHTTPRequestHandler) -> None:
        del site.answers["/a.mp4"]
        status(206, **headers)(handler)

    site.answers["/a.mp4"] = wrong_once
    assert fetch(site.url("/a.mp4"), tmp_path, LOCAL).path.read_bytes() == CONTENT
    assert ranges(site) == ["bytes=500000-", None]


def test_a_process_killed_in_mid_download_is_resumed_by_the_next(site: Site, tmp_path: Path) -> None:
    def half(handler: BaseHTTPRequestHandler) -> None:
        head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\nETag: "1"\r\n\r\n'.encode()
        trickle(head + CONTENT[:600_000])(handler)

    site.answers["/a.mp4"] = half
    code = (
        "import sys; from pathlib import Path; from curate.specs.source import Download; "
        "from curate.sources.download import fetch; "
        "fetch(sys.argv[1], Path(sys.argv[2]), Download(allow_private=True))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, site.url("/a.mp4"), str(tmp_path)])
    while not any(part.stat().st_size >= 600_000 for part in tmp_path.glob("*.part")):
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    part = next(tmp_path.glob("*.part"))
    part.write_bytes(part.read_bytes()[:600_000])  # what trickled in after them is not the file's
    del site.answers["/a.mp4"]
    assert fetch(site.url("/a.mp4"), tmp_path, LOCAL).video_id == hashlib.sha256(CONTENT).hexdigest()[:16]
    assert ranges(site)[-1] == "bytes=600000-"


def test_a_whole_part_lacks_only_its_name(site: Site, tmp_path: Path) -> None:
    made = fetch(site.url("/a.mp4"), tmp_path, LOCAL)
    made.path.rename(made.path.with_suffix(".part"))
    assert fetch(site.url("/a.mp4"), tmp_path, LOCAL) == made
    assert len(site.asked) == 1


def test_overloaded_servers_are_asked_again(site: Site, tmp_path: Path) -> None:
    def busy_once(handler: BaseHTTPRequestHandler) -> None:
        del site.answers["/a.mp4"]
        status(503, Retry_After="0")(handler)

    site.answers["/a.mp4"] = busy_once
    assert fetch(site.url("/a.mp4"), tmp_path, LOCAL).path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("answer", "message", "requests"),
    [
        (status(404), "the server answers 404 Not Found", 1),
        (status(403), "the server answers 403 Forbidden", 1),
        (status(500), "the server answers 500 Internal Server Error", 3),
        (status(200), "the file is empty", 1),
        (status(204), "the server answers 204, not a file", 1),
        (plain("HTTP/1.1 200 OK\nContent-Type: text/html; charset=utf-8\n\n", b"<p>Log in"), "a web page", 1),
        (plain("HTTP/1.1 200 OK\nContent-Encoding: gzip\n\n", b"xx"), "content encoding gzip", 1),
        (plain("HTTP/1.1 200 OK\nContent-Length: 4000\n\n", b"xx"), "lost|ended after 2 of 4,000 bytes", 4),
        (plain("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", b"4\r\nxx"), "lost", 4),
        (plain("nonsense\n\n"), "lost", 3),
        (plain(""), "lost", 3),
        (plain("HTTP/1.1 200 OK\nContent-Length: 20000\n\n"), "20,000 bytes, more than max_bytes 10,000", 1),
        (plain("HTTP/1.1 200 OK\n\n", b"x" * 20_000), "holds more than max_bytes 10,000", 1),
        (redirect("/a"), "redirected more than 5 times", 6),
        (trickle(b"HTTP/1.1 200 OK\r\nETag: 1\r\n\r\n"), r"took longer than 1 s", 1),
    ],
)
def test_a_download_that_cannot_be_had_says_why_in_one_line(
    site: Site, tmp_path: Path, answer: object, message: str, requests: int
) -> None:
    site.answers["/a"] = answer  # type: ignore[assignment]
    limits = LOCAL.model_copy(update={"max_bytes": 10_000, "timeout_s": 1})
    with pytest.raises(DownloadError, match=message) as caught:
        fetch(site.url("/a"), tmp_path, limits)
    assert "\n" not in str(caught.value)
    assert len(site.asked) == requests
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".part", ".json")]


def make_source(workspace: Workspace, **content: object) -> None:
    source = {"id": "web", "licence": "CC0-1.0", "download": {"allow_private": True, "retries": 0}, **content}
    for path in (workspace.configs / "sources").glob("*.yaml"):
        path.unlink()
    (workspace.configs / "sources" / "web.yaml").write_text(yaml.safe_dump(source))
    configure(workspace, engine={"workers": 1})


def test_urls_are_collected_like_files_and_a_failed_one_stops_nothing(
    world: World, tmp_path: Path, workspace: Workspace
) -> None:
    directory, truth = world
    name = next(entry["file"] for entry in truth["videos"] if entry["kind"] == "original")
    with serving(Site(files={"/good.mp4": (directory / name).read_bytes()})) as site:
        site.files["/signed?token=secret"] = site.files["/good.mp4"]
        urls = [site.url("/good.mp4"), site.url("/gone.mp4"), site.url("/signed?token=secret")]
        (workspace.root / "urls.txt").write_text("# footage\n\n" + "\n".join([*urls, urls[0]]) + "\n")
        make_source(workspace, url_list="urls.txt")
        bars: list[tuple[str, int, int]] = []
        summary = collect(workspace, progress=lambda *bar: bars.append(bar))
        asked = len(site.asked)
        again = collect(workspace)
    assert (summary.inputs, summary.ok, summary.filtered, summary.failed) == (3, 1, 1, 1)
    host = f"web/http:127.0.0.1:{site.port}"
    assert summary.failures == [(f"{host}/gone.mp4", "the server answers 404 Not Found")]
    assert ("downloads", 3, 3) in bars
    video = workspace.catalog.read("videos").row(0, named=True)
    assert Path(video["path"]).is_relative_to(workspace.state / "downloads" / "web")
    assert video["video_id"] == file_id(video["path"])
    assert (again.new_clips, again.ok) == (0, 1)
    assert [path for path, _ in site.asked[asked:]] == ["/gone.mp4"]
    tables = "".join(str(workspace.catalog.read(name).rows()) for name in ("files", "videos", "outcomes"))
    assert "secret" not in tables
    shown = workspace.catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect()
    assert set(shown["item"]) > {f"{host}/good.mp4", f"{host}/gone.mp4"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "give exactly one of path, urls and url_list, not none"),
        ({"path": "footage", "urls": ["https://host.example/a.mp4"]}, "exactly one .* not path and urls"),
        ({"urls": ["file:///etc/passwd"]}, 'urls.0 is "file:///etc/passwd": not an http or https URL'),
        ({"urls": ["https://me:secret@host.example/a.mp4"]}, "must not carry a user or password"),
        ({"urls": ["https://host.example/a b.mp4"]}, "must not hold blanks"),
        ({"urls": []}, "at least 1 item"),
        ({"url_list": "missing.txt"}, "no file 'missing.txt'"),
        ({"url_list": "urls.txt"}, "urls.txt:2: ftp://host.example/a.mp4: not an http or https URL"),
    ],
)
def test_a_source_that_names_no_good_place_is_one_line(workspace: Workspace, content: dict, message: str) -> None:
    (workspace.root / "urls.txt").write_text("https://host.example/a.mp4\nftp://me:secret@host.example/a.mp4\n")
    make_source(workspace, **content)
    with pytest.raises(InputError, match=message) as caught:
        collect(workspace)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
