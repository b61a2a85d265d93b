"""Requests reach the named directories and hosts, and nothing beside them."""

from pathlib import Path

import pytest

from curate.errors import InputError
from curate.serve.videos import Permitted, RefusedError, permitted, permitted_file, permitted_url


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """roots/one and roots/two with a video each, a file beside them, and links in and out."""
    for name in ("one", "two", "beside"):
        (tmp_path / "roots" / name).mkdir(parents=True)
        (tmp_path / "roots" / name / f"{name}.mp4").write_bytes(b"video")
    one = tmp_path / "roots" / "one"
    (one / "out.mp4").symlink_to(tmp_path / "roots" / "beside" / "beside.mp4")
    (one / "away").symlink_to(tmp_path / "roots" / "beside")
    (one / "in.mp4").symlink_to(one / "one.mp4")
    (one / "loop").symlink_to(one / "loop")
    return tmp_path / "roots"


@pytest.fixture
def may(place: Path) -> Permitted:
    return permitted([place / "one", place / "two"], ["videos.example.org", "cdn.example.org:8443"], private=False)


def test_files_below_the_roots_are_found_under_their_own_name(place: Path, may: Permitted) -> None:
    assert permitted_file("one.mp4", may) == place / "one" / "one.mp4"
    assert permitted_file("two.mp4", may) == place / "two" / "two.mp4"
    assert permitted_file(str(place / "two" / "two.mp4"), may) == place / "two" / "two.mp4"
    assert permitted_file("in.mp4", may) == place / "one" / "one.mp4"
    for name in ("none.mp4", ".", "loop/a.mp4", "x" * 5000):
        with pytest.raises((InputError, RefusedError)):
            permitted_file(name, may)


@pytest.mark.parametrize(
    "name",
    [
        "../beside/beside.mp4",
        "../two/../beside/beside.mp4",
        "out.mp4",
        "away/beside.mp4",
        "/etc/passwd",
        "{place}/beside/beside.mp4",
        "{place}/one/../beside/beside.mp4",
        "{place}/one-more/a.mp4",
        "a\0b",
    ],
)
def test_what_is_outside_is_refused_whether_it_is_there_or_not(place: Path, name: str) -> None:
    may, found = permitted([place / "one"], [], private=False), []
    for asked in (name.format(place=place), name.format(place=place).replace("beside.mp4", "none.mp4")):
        with pytest.raises(RefusedError) as raised:
            permitted_file(asked, may)
        found.append(str(raised.value))
    assert found[0] == found[1]


def test_without_a_root_no_file_is_opened() -> None:
    with pytest.raises(RefusedError, match="started without --root"):
        permitted_file("/etc/passwd", Permitted())


def test_a_root_that_is_no_directory_and_a_host_that_is_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such directory.*--root"):
        permitted([tmp_path / "none"], [], private=False)
    for host in ("", "http://a.org/x", "a b", "user@a.org", "a.org:port"):
        with pytest.raises(InputError, match="is not a host"):
            permitted([], [host], private=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://videos.example.org/a.mp4",
        "http://videos.example.org/a.mp4",
        "https://VIDEOS.example.org:443/a.mp4",
        "https://cdn.example.org:8443/a.mp4?signature=x",
    ],
)
def test_a_url_at_an_allowed_host(may: Permitted, url: str) -> None:
    assert permitted_url(url, may) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.mp4",
        "https://videos.example.org.evil.example/a.mp4",
        "https://evil.example/videos.example.org/a.mp4",
        "https://videos.example.org:8080/a.mp4",
        "https://cdn.example.org/a.mp4",
        "http://127.0.0.1/a.mp4",
        "http://[::1]/a.mp4",
        "https://evil.example#@videos.example.org/",
        "https://evil.example\\.videos.example.org/a.mp4",
    ],
)
def test_a_url_elsewhere(may: Permitted, url: str) -> None:
    with pytest.raises((RefusedError, InputError)):
        permitted_url(url, may)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://videos.example.org/a", "https://u:p@videos.example.org/a", "a"]
)
def test_what_is_no_url(may: Permitted, url: str) -> None:
    with pytest.raises(InputError):
        permitted_url(url, may)
