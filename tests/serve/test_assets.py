"""Uploads: whole and named by their content, or not there at all."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from curate.errors import InputError
from curate.serve.assets import Asset, Assets, NoRoomError, TooLargeError


async def blocks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def cut_off(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    raise ConnectionError


def receive(assets: Assets, *parts: bytes, expected: int | None = None) -> Asset:
    return asyncio.run(assets.receive(blocks(*parts), expected))


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    return Assets(tmp_path / "assets", most_bytes=1000, most_bytes_together=1500)


def names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "assets").iterdir()}


def test_an_upload_is_named_by_its_bytes_and_kept_once(assets: Assets, tmp_path: Path) -> None:
    first = receive(assets, b"ab", b"", b"c", expected=3)
    assert first == receive(assets, b"abc") == Asset(hashlib.sha256(b"abc").hexdigest()[:16], 3)
    assert assets.path(first.id).read_bytes() == b"abc"
    assert names(tmp_path) == {first.id}


def test_what_is_too_large_empty_short_or_cut_off_leaves_nothing(assets: Assets, tmp_path: Path) -> None:
    with pytest.raises(TooLargeError):
        receive(assets, b"x" * 600, b"x" * 600)
    with pytest.raises(TooLargeError):
        receive(assets, b"x", expected=1001)
    for parts, expected in (((), None), ((b"abc",), 4)):
        with pytest.raises(InputError, match="bytes came"):
            receive(assets, *parts, expected=expected)
    with pytest.raises(ConnectionError):
        asyncio.run(assets.receive(cut_off(b"abc"), None))
    assert names(tmp_path) == set()


def test_uploads_together_take_no_more_than_they_may(assets: Assets, tmp_path: Path) -> None:
    receive(assets, b"x" * 900)
    for parts, expected in (((b"y" * 400, b"y" * 300), None), ((b"y",), 700)):
        with pytest.raises(NoRoomError):
            receive(assets, *parts, expected=expected)
    receive(assets, b"y" * 600)


def test_two_that_arrive_at_once_do_not_share_the_room(assets: Assets) -> None:
    async def both() -> list[object]:
        tasks = [assets.receive(slow(letter), None) for letter in (b"x", b"y")]
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def slow(letter: bytes) -> AsyncIterator[bytes]:
        for _ in range(4):
            yield letter * 240
            await asyncio.sleep(0)

    found = asyncio.run(both())
    assert sorted(type(one).__name__ for one in found) == ["Asset", "NoRoomError"]


def test_what_was_cut_off_is_gone_at_the_next_start(assets: Assets, tmp_path: Path) -> None:
    kept = receive(assets, b"abc")
    (tmp_path / "assets" / "0123.part").write_bytes(b"half")
    Assets(tmp_path / "assets", most_bytes=1, most_bytes_together=1)
    assert names(tmp_path) == {kept.id}


def test_old_uploads_go_unless_a_job_needs_them(assets: Assets, tmp_path: Path) -> None:
    old, needed, named, new = (receive(assets, content) for content in (b"a", b"b", b"c", b"d"))
    for asset in (old, needed, named):
        os.utime(tmp_path / "assets" / asset.id, (0, 0))
    assets.path(named.id)
    assert assets.remove_old(keep_hours=1, needed={needed.id}) == 1
    assert names(tmp_path) == {needed.id, named.id, new.id}
    for asset_id in (old.id, "../assets", "", "x" * 16):
        with pytest.raises(InputError, match="POST /v1/assets"):
            assets.path(asset_id)
