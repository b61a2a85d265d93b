"""Worlds for the solver: clips, labels, slices and mixes, written down or made up by hypothesis."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from curate.mixes.solving.problem import SLICES, Problem, pose
from curate.mixes.solving.solve import Solution, solve
from curate.specs.mix import Mix
from curate.vectors import pack, unit

CAPABILITIES = ("bounce", "roll", "spin")
LICENCES = ("CC0-1.0", "CC-BY-4.0", "other")


def make_mix(**changed: Any) -> Mix:
    content = {
        "name": "base",
        "budget": {"clips": 20},
        "capabilities": {"bounce": {"share": 0.5}, "roll": {"share": 0.5}},
        "splits": {"train": 1.0, "validation": 0.0, "test": 0.0},
    }
    return Mix.model_validate({**content, **changed})


def clip_rows(count: int, *, videos: int = 0, duration_s: float = 4.0, licence: str = "CC0-1.0") -> pl.DataFrame:
    names = [f"c{i:03}" for i in range(count)]
    return pl.DataFrame(
        {
            "clip_id": names,
            "video_id": [f"v{i % (videos or count):03}" for i in range(count)],
            "source": ["web"] * count,
            "duplicate_group": names,
            "licence": [licence] * count,
            "duration_s": [duration_s] * count,
        },
        schema_overrides={"clip_id": pl.String, "duplicate_group": pl.String, "video_id": pl.String},
    )


def label_rows(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(("clip_id", "capability", "verdict"), pl.String), orient="row")


def slice_rows(*rows: tuple[str, str, str | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SLICES, orient="row")


def vector_rows(clips: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    points = unit(np.random.default_rng(seed).normal(size=(clips.height, 8))).astype(np.float32)
    schema = {"clip_id": pl.String, "vector": pl.Binary}
    return pl.DataFrame({"clip_id": clips["clip_id"], "vector": [pack(point) for point in points]}, schema=schema)


@dataclass(frozen=True)
class World:
    clips: pl.DataFrame
    labels: pl.DataFrame
    mix: Mix
    negatives: float = 0.25
    slices: pl.DataFrame = field(default_factory=slice_rows)

    def solve(self) -> Solution:
        caps = dict.fromkeys(self.mix.capabilities, self.negatives)
        return solve(self.clips, self.labels, self.mix, negatives=caps, vectors=vector_rows(self.clips.sort("clip_id")),
                     slices=self.slices)  # fmt: skip

    def pose(self) -> Problem:
        caps = dict.fromkeys(self.mix.capabilities, self.negatives)
        return pose(self.clips, self.labels, self.mix, caps, self.slices)

    def shuffled(self, seed: int) -> "World":
        clips, labels, slices = (
            rows.sample(fraction=1, shuffle=True, seed=seed) for rows in (self.clips, self.labels, self.slices)
        )
        return World(clips, labels, self.mix, self.negatives, slices)


def run(clips: pl.DataFrame, labels: pl.DataFrame, mix: Mix, negatives: float = 0.25) -> Solution:
    return World(clips, labels, mix, negatives).solve()


@st.composite
def worlds(draw: st.DrawFn, *, hours: bool = True) -> World:
    count = draw(st.integers(0, 40))
    videos, groups = draw(st.integers(1, 12)), draw(st.integers(1, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    clips = pl.DataFrame(
        {
            "clip_id": [f"c{i:03}" for i in range(count)],
            "video_id": [f"v{i}" for i in random.integers(videos, size=count)],
            "source": [f"s{i}" for i in random.integers(draw(st.integers(1, 3)), size=count)],
            "duplicate_group": [f"g{i}" for i in random.integers(groups, size=count)],
            "licence": [LICENCES[i] for i in random.integers(3, size=count)],
            "duration_s": random.integers(1, 20, size=count).astype(float),
        },
        schema_overrides=dict.fromkeys(("clip_id", "video_id", "source", "duplicate_group", "licence"), pl.String),
    )
    verdicts = ("present", "present", "absent", "unsure", None, None)
    said = random.integers(draw(st.integers(3, 6)), size=(count, len(CAPABILITIES)))
    rows = [
        (clips["clip_id"][i], name, verdict, bool(random.integers(2)))
        for i in range(count)
        for k, name in enumerate(CAPABILITIES)
        if (verdict := verdicts[said[i, k]]) is not None
    ]
    schema = {"clip_id": pl.String, "capability": pl.String, "verdict": pl.String, "reviewed": pl.Boolean}
    slices = [
        (name, f"color={'red' if color else 'blue'}", clips["clip_id"][i])
        for i in range(count)
        for name in CAPABILITIES
        for color in (0, 1)
        if random.integers(2)
    ]
    shares = [draw(st.integers(0, 5)) for _ in range(4)]
    total = max(sum(shares), 1) + draw(st.integers(0, 3))
    budget = draw(st.sampled_from([{"clips": 7}, {"clips": 30}, *([{"hours": 0.02}] if hours else [])]))
    most = [share / total * budget["clips"] if "clips" in budget else 5 * (share > 0) for share in shares]
    mix = make_mix(
        budget=budget,
        seed=draw(st.integers(0, 3)),
        where=draw(st.sampled_from([None, None, "duration_s > 3"])),
        replay={"share": shares[3] / total},
        capabilities={
            name: {
                "share": share / total,
                "max_repeat": draw(st.integers(1, 3)),
                "labels": draw(st.sampled_from(["any", "any", "reviewed"])),
                "where": draw(st.sampled_from([None, None, "source != 's0'"])),
                "min_clips": draw(st.integers(0, int(least))),
                "per_slice": draw(st.integers(0, int(least) // 2)),
            }
            for name, share, least in zip(CAPABILITIES, shares, most, strict=False)
        },
        limits={
            "per_video": draw(st.sampled_from([None, 1, 3])),
            "per_source": draw(st.sampled_from([None, None, 4, 9])),
            "per_duplicate_group": draw(st.integers(1, 2)),
            "licences": draw(st.sampled_from([None, ["CC0-1.0", "CC-BY-4.0"]])),
            "per_licence": draw(st.sampled_from([{}, {}, {"CC0-1.0": 3}])),
        },
    )
    labels = pl.DataFrame(rows, schema=schema, orient="row")
    return World(clips, labels, mix, draw(st.sampled_from([0.0, 0.25, 0.5])), slice_rows(*slices))
