"""Packs hold every clip once, change little from version to version, and are the same for the same clips."""

import hashlib
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.mixes.packs import Pack, PackPlan, pack_bytes, packs_of, plan_packs, write_media_pack

clips = st.integers(0, 30).map(lambda number: f"c{number:02}")
contents = st.dictionaries(clips, st.integers(1, 100), max_size=25)


def packed(plan: PackPlan, live: dict[str, int]) -> list[Pack]:
    """The packs of a plan as they would be written."""
    return [
        *plan.kept,
        *(
            Pack(f"media/train-{'-'.join(members)}.zip", sum(live[clip] for clip in members), members,
                 ("",) * len(members), tuple(live[clip] for clip in members))
            for members in plan.new
        ),
    ]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(clips, st.integers(1, 100), min_size=31, max_size=31),
    st.lists(st.tuples(st.sets(clips), st.sets(clips, max_size=3)), min_size=1, max_size=6),
    st.integers(1, 400),
    st.randoms(),
)
def test_every_live_clip_is_in_one_pack_whatever_came_before(
    sizes: dict[str, int], versions: list[tuple[set[str], set[str]]], target: int, shuffle: random.Random
) -> None:
    packs: list[Pack] = []
    for wanted, withdrawn in versions:
        live = {clip: sizes[clip] for clip in wanted - withdrawn}
        refused = frozenset(withdrawn)
        plan = plan_packs(packs, live, target_bytes=target, refused=refused)

        shuffled = shuffle.sample(packs, len(packs))
        order = dict(shuffle.sample(sorted(live.items()), len(live)))
        assert plan_packs(shuffled, order, target_bytes=target, refused=refused) == plan

        before, packs = packs, packed(plan, live)
        assert sorted(clip for pack in packs for clip in pack.members if clip in live) == sorted(live)
        assert set(plan.kept) <= set(before)
        for pack in packs:
            used = sum(live.get(clip, 0) for clip in pack.members)
            assert 4 * used >= pack.bytes, "no pack is kept under a quarter live"
            assert refused.isdisjoint(pack.members)
        for members in plan.new:
            assert members == tuple(sorted(members))
            assert len(members) == 1 or sum(live[clip] for clip in members) <= target
        assert plan_packs(packs, live, target_bytes=target).new == (), "without a change nothing is written"


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["replaced", "added"]))
def test_a_random_change_of_5_percent_adds_at_most_10_percent_for_ever(seed: int, how: str) -> None:
    draw = random.Random(seed)
    numbers = iter(range(1_000_000))

    def some(count: int) -> dict[str, int]:
        return {f"{next(numbers):06}": draw.randrange(1000, 3000) for _ in range(count)}

    live = some(600)
    packs = packed(plan_packs([], live, target_bytes=sum(live.values()) // 32), live)
    for _ in range(40):
        change = len(live) // 20
        if how == "replaced":
            for clip in draw.sample(sorted(live), change):
                del live[clip]
        live |= some(change)
        total = sum(live.values())
        plan = plan_packs(packs, live, target_bytes=total // 32)
        assert sum(live[clip] for members in plan.new for clip in members) <= 0.1 * total
        packs = packed(plan, live)
        assert sum(pack.bytes for pack in packs) <= 2 * total
        assert len(packs) <= 120


def test_packs_are_few_and_small_against_the_whole() -> None:
    assert pack_bytes(10 << 20) == 1 << 20
    assert pack_bytes(1 << 30) == 32 << 20
    assert pack_bytes(1 << 40) == 256 << 20


def test_a_clip_that_comes_back_is_still_in_its_pack() -> None:
    (pack,) = packed(plan_packs([], dict.fromkeys("abcd", 10), target_bytes=100), dict.fromkeys("abcd", 10))
    without = plan_packs([pack], dict.fromkeys("abc", 10), target_bytes=100)
    assert (without.kept, without.new) == ((pack,), ())
    again = plan_packs([pack], dict.fromkeys("abcd", 10), target_bytes=100)
    assert (again.kept, again.new) == ((pack,), ())


def test_the_same_clips_are_the_same_file_and_each_is_a_slice_of_it(tmp_path: Path) -> None:
    media = {f"clip{number}": bytes([number]) * (50 + number) for number in range(5)}
    first, path = write_media_pack(tmp_path / "a", "train", list(media), media.__getitem__)
    again, twin = write_media_pack(tmp_path / "b", "train", list(media)[::-1], media.__getitem__)
    assert again == first and path.read_bytes() == twin.read_bytes()
    assert (first.kind, first.split, first.bytes) == ("media", "train", path.stat().st_size)
    content = path.read_bytes()
    for clip, md5, offset, size in zip(first.members, first.md5s, first.offsets, first.sizes, strict=True):
        assert content[offset : offset + size] == media[clip]
        assert md5 == hashlib.md5(media[clip]).hexdigest()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"clip{number}.mp4" for number in range(5)]
    other, _ = write_media_pack(tmp_path / "a", "train", ["clip0"], lambda clip: b"else")
    assert other.path != first.path
    assert packs_of({"packs": [first.record()]}) == [first]


@pytest.mark.parametrize("lock", [{}, {"packs": []}])
def test_a_lock_without_packs_has_none(lock: dict) -> None:
    assert packs_of(lock) == []
