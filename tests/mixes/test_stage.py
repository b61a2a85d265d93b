"""The files of successive versions: what a small change adds is small, with rows, vectors, media and lock together."""

import hashlib
import os
import random
from pathlib import Path

import numpy as np
import polars as pl

from curate.mixes.files import MixFiles, link
from curate.mixes.lock import lock_text
from curate.mixes.packs import Pack
from curate.mixes.stage import stage
from curate.mixes.supply import Supply
from curate.vectors import pack, unit
from curate.workspace import Workspace
from tests.mixes.test_rows import LABELS

CLIP_BYTES, FRAMES, DIM = 40_000, 8, 64
CLIPS, VERSIONS = 1000, 6


class World:
    """Clips with media in the cache of cuts and vectors, and versions of them, kept as DVC keeps them."""

    def __init__(self, root: Path) -> None:
        self.workspace, self.store, self.versions = Workspace(root), root / "store", 0
        self.made = 0
        self.workspace.configs.mkdir(parents=True)
        (self.workspace.configs / "analysis.yaml").write_text("engine: {workers: 1}\n")

    def clips(self, count: int) -> list[str]:
        found = [f"{number:016x}" for number in range(self.made, self.made + count)]
        self.made += count
        for clip in found:
            path = self.workspace.cache("exact-cuts") / clip[:2] / f"{clip}.mp4"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(os.urandom(CLIP_BYTES))
        return found

    def chosen(self, clips: list[str]) -> pl.DataFrame:
        draws = [np.random.default_rng(int(clip, 16)) for clip in clips]
        return pl.DataFrame(
            {
                "clip_id": clips,
                "split": ["test" if clip[-1] in "ab" else "train" for clip in clips],
                **{name: [f"{name} {clip}" for clip in clips] for name in ("video_id", "group_id")},
                **dict.fromkeys(("source", "licence", "path"), "same"),
                "start_s": 1.0,
                "end_s": 5.0,
                "repeat": 1,
                "roles": [["a"]] * len(clips),
                "frame_times_s": [[1 + 0.5 * k for k in range(FRAMES)]] * len(clips),
                "frame_vectors": [pack(unit(draw.normal(size=(FRAMES, DIM)))) for draw in draws],
            }
        )

    def version(self, clips: list[str], before: tuple[MixFiles, list[Pack]] | None) -> tuple[MixFiles, list[Pack]]:
        directory = self.workspace.root / f"version{self.versions}"
        directory.mkdir()
        self.versions += 1
        labels = pl.DataFrame(schema=LABELS)
        supply = Supply(pl.DataFrame(), labels, "model", {})
        packs = stage(self.workspace, directory, "base", self.chosen(clips), supply, before=before)
        columns = ("clip_id", "video_id", "group_id", "source", "licence", "start_s", "end_s", "split", "labels")
        listed = [dict.fromkeys(columns, clip) for clip in clips]
        (directory / "lock.json").write_text(lock_text({"clips": listed, "packs": [each.record() for each in packs]}))
        hashes = {}
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            md5 = hashlib.md5(path.read_bytes()).hexdigest()
            (self.store / md5[:2]).mkdir(parents=True, exist_ok=True)
            link(path, self.store / md5[:2] / md5[2:])
            hashes[str(path.relative_to(directory))] = md5
        return MixFiles("base", hashes, self.store, self.workspace.root / "fetched", None), packs


def test_a_change_of_5_percent_adds_at_most_10_percent_of_all_bytes_version_after_version(tmp_path: Path) -> None:
    world, draw = World(tmp_path), random.Random(3)
    clips = world.clips(CLIPS)
    current = world.version(clips, None)
    for _ in range(VERSIONS):
        before, _ = current
        gone = set(draw.sample(clips, CLIPS // 20))
        clips = [*(clip for clip in clips if clip not in gone), *world.clips(CLIPS // 20)]
        current = world.version(clips, current)
        sizes = current[0].sizes
        known = set(before.hashes.values())
        added = sum(size for path, size in sizes.items() if current[0].hashes[path] not in known)
        assert added <= 0.1 * sum(sizes.values())
        for kind in ("media", "frames"):
            held = sorted(clip for pack in current[1] if pack.kind == kind for clip in pack.members)
            assert set(clips) <= set(held) and len(held) == len(set(held))
