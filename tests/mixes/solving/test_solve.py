"""What the solver promises, on worlds that hypothesis makes up: limits hold, shares reach what is feasible."""

from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.mixes.solving.solve import Solution, solve
from curate.specs.mix import Mix
from curate.vectors import pack, unit

CAPABILITIES = ("bounce", "roll", "spin")


def make_mix(**changed: Any) -> Mix:
    content = {
        "name": "base",
        "budget": {"clips": 20},
        "capabilities": {"bounce": {"share": 0.5}, "roll": {"share": 0.5}},
        "splits": {"train": 1.0, "validation": 0.0, "test": 0.0},
    }
    return Mix.model_validate({**content, **changed})


def clip_rows(count: int, *, videos: int = 0, duration_s: float = 4.0, licence: str = "CC0-1.0") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "clip_id": [f"c{i:03}" for i in range(count)],
            "video_id": [f"v{i % (videos or count):03}" for i in range(count)],
            "duplicate_group": [f"c{i:03}" for i in range(count)],
            "licence": [licence] * count,
            "duration_s": [duration_s] * count,
        }
    )


def label_rows(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(("clip_id", "capability", "verdict"), pl.String), orient="row")


def vector_rows(clips: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    points = unit(np.random.default_rng(seed).normal(size=(clips.height, 8))).astype(np.float32)
    schema = {"clip_id": pl.String, "vector": pl.Binary}
    return pl.DataFrame({"clip_id": clips["clip_id"], "vector": [pack(point) for point in points]}, schema=schema)


def run(clips: pl.DataFrame, labels: pl.DataFrame, mix: Mix, negatives: float = 0.25) -> Solution:
    caps = dict.fromkeys(mix.capabilities, negatives)
    return solve(clips, labels, mix, negatives=caps, vectors=vector_rows(clips))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame, Mix, float]:
    count = draw(st.integers(0, 40))
    videos, groups = draw(st.integers(1, 12)), draw(st.integers(1, 40))
    pick = st.integers(0, 999)
    clips = pl.DataFrame(
        [
            {
                "clip_id": f"c{i:03}",
                "video_id": f"v{draw(pick) % videos}",
                "duplicate_group": f"g{draw(pick) % groups}",
                "licence": draw(st.sampled_from(["CC0-1.0", "CC-BY-4.0", "other"])),
                "duration_s": float(draw(st.integers(1, 20))),
            }
            for i in range(count)
        ],
        schema={"clip_id": pl.String, "video_id": pl.String, "duplicate_group": pl.String, "licence": pl.String,
                "duration_s": pl.Float64},
    )  # fmt: skip
    verdict = st.sampled_from([None, None, "present", "absent", "unsure"])
    labels = label_rows(
        *(
            (clip_id, capability, found)
            for clip_id in clips["clip_id"]
            for capability in CAPABILITIES
            if (found := draw(verdict)) is not None
        )
    )
    shares = [draw(st.integers(0, 5)) for _ in range(4)]
    total = max(sum(shares), 1) + draw(st.integers(0, 3))
    mix = make_mix(
        budget=draw(st.sampled_from([{"clips": 7}, {"clips": 30}, {"hours": 0.02}])),
        seed=draw(st.integers(0, 3)),
        replay={"share": shares[3] / total},
        capabilities={
            name: {"share": share / total, "max_repeat": draw(st.integers(1, 3))}
            for name, share in zip(CAPABILITIES, shares, strict=False)
        },
        limits={
            "per_video": draw(st.sampled_from([None, 1, 3])),
            "per_duplicate_group": draw(st.integers(1, 2)),
            "licences": draw(st.sampled_from([None, ["CC0-1.0", "CC-BY-4.0"]])),
        },
    )
    return clips, labels, mix, draw(st.sampled_from([0.0, 0.25, 0.5]))


@settings(max_examples=70, deadline=None)
@given(worlds())
def test_no_limit_is_ever_exceeded(world: tuple[pl.DataFrame, pl.DataFrame, Mix, float]) -> None:
    clips, labels, mix, negatives = world
    picks = run(clips, labels, mix, negatives).picks
    assert picks["clip_id"].n_unique() == picks.height, "a clip counts for one share"
    rows = picks.join(clips, on="clip_id")
    assert rows.height == picks.height
    if mix.limits.licences:
        assert set(rows["licence"]) <= set(mix.limits.licences)
    assert max(Counter(rows["video_id"]).values(), default=0) <= (mix.limits.per_video or 1000)
    assert max(Counter(rows["duplicate_group"]).values(), default=0) <= mix.limits.per_duplicate_group
    verdicts = {(clip_id, capability): verdict for clip_id, capability, verdict in labels.iter_rows()}
    for role, share in mix.capabilities.items():
        mine = rows.filter(pl.col("role") == role)
        weight = mine["repeat"] * (1.0 if mix.budget.clips else mine["duration_s"] / 3600)
        assert weight.sum() <= share.share * (mix.budget.clips or mix.budget.hours) + (1 if mix.budget.clips else 1e-6)
        absent = pl.Series([verdicts[clip_id, role] == "absent" for clip_id in mine["clip_id"]], dtype=pl.Boolean)
        assert (mine["repeat"].filter(absent) == 1).all()
        assert (mine["repeat"] <= share.max_repeat).all()
        assert weight.filter(absent).sum() <= negatives * weight.sum() + 1e-6
    replayed = rows.filter(pl.col("role") == "replay")
    assert not any(verdicts.get((c, name)) == "present" for c in replayed["clip_id"] for name in mix.capabilities)


@settings(max_examples=70, deadline=None)
@given(worlds())
def test_every_share_reaches_what_is_feasible_but_for_rounding(
    world: tuple[pl.DataFrame, pl.DataFrame, Mix, float],
) -> None:
    clips, labels, mix, negatives = world
    solved = run(clips, labels, mix, negatives)
    budget = mix.budget.clips or mix.budget.hours
    unit_size = 1.0 if mix.budget.clips else 20 / 3600
    for role in mix.capabilities:
        most = mix.capabilities[role].max_repeat
        assert solved.realised[role] <= solved.requested[role] + (1 / budget if mix.budget.clips else 1e-6)
        assert (solved.feasible[role] - solved.realised[role]) * budget <= (most + 1) * unit_size + 1e-6
    total_lost = sum(solved.feasible[role] - solved.realised[role] for role in mix.capabilities) * budget
    assert total_lost <= (len(CAPABILITIES) + 1) * unit_size + 1e-6


@settings(max_examples=30, deadline=None)
@given(worlds(), st.integers(0, 100))
def test_the_order_of_the_input_changes_nothing(
    world: tuple[pl.DataFrame, pl.DataFrame, Mix, float], seed: int
) -> None:
    clips, labels, mix, negatives = world
    first = run(clips, labels, mix, negatives)
    vectors = vector_rows(clips).sample(fraction=1, shuffle=True, seed=seed)
    again = solve(
        clips.sample(fraction=1, shuffle=True, seed=seed),
        labels.sample(fraction=1, shuffle=True, seed=seed),
        mix,
        negatives=dict.fromkeys(mix.capabilities, negatives),
        vectors=vectors,
    )
    assert first.picks.equals(again.picks)
    assert first.record() == again.record()


def test_enough_of_everything_gives_every_share_to_the_clip() -> None:
    clips = clip_rows(60)
    labels = label_rows(
        *((f"c{i:03}", "bounce", "present") for i in range(20)),
        *((f"c{i:03}", "roll", "present") for i in range(20, 40)),
    )
    mix = make_mix(replay={"share": 0.2}, capabilities={"bounce": {"share": 0.5}, "roll": {"share": 0.3}})
    solved = run(clips, labels, mix)
    assert solved.requested == solved.feasible == solved.realised == {"bounce": 0.5, "roll": 0.3, "replay": 0.2}
    assert not solved.shortfalls
    assert (solved.picks["repeat"] == 1).all(), "nothing repeats where there are other clips"


def test_negatives_join_their_share_up_to_their_fraction_of_it() -> None:
    clips = clip_rows(40)
    labels = label_rows(
        *((f"c{i:03}", "bounce", "present") for i in range(20)),
        *((f"c{i:03}", "bounce", "absent") for i in range(20, 40)),
    )
    picks = run(clips, labels, make_mix(capabilities={"bounce": {"share": 1.0}}), 0.25).picks
    assert picks["repeat"].sum() == 20
    assert picks.filter(pl.col("clip_id") >= "c020").height == 5


def test_a_clip_that_two_shares_want_goes_to_the_emptier_one() -> None:
    clips = clip_rows(20)
    labels = label_rows(
        *((f"c{i:03}", "bounce", "present") for i in range(20)), *((f"c{i:03}", "roll", "present") for i in range(10))
    )
    solved = run(clips, labels, make_mix())
    assert solved.realised == {"bounce": 0.5, "roll": 0.5}


def test_a_rare_capability_repeats_up_to_its_limit_and_the_rest_is_said_to_be_missing_labels() -> None:
    labels = label_rows(*((f"c{i:03}", "bounce", "present") for i in range(4)))
    mix = make_mix(capabilities={"bounce": {"share": 0.5, "max_repeat": 2}})
    solved = run(clip_rows(4), labels, mix)
    assert solved.picks["repeat"].to_list() == [2, 2, 2, 2]
    (short,) = solved.shortfalls
    assert [binding.constraint for binding in short.bindings] == ["labels"]
    assert str(short) == (
        "bounce: 8 of 10 clips: 4 training clips are labelled present, each used at most 2 times (max_repeat): "
        "label about 1 more"
    )


@pytest.mark.parametrize(
    ("limits", "constraint", "words"),
    [
        ({"per_video": 2}, "per_video", "limits.per_video (2) holds back 12 clips"),
        ({"licences": ["MIT"]}, "licences", "limits.licences (['MIT']) holds back 20 clips"),
        ({}, "per_duplicate_group", "limits.per_duplicate_group (1) holds back 15 clips"),
    ],
)
def test_a_shortfall_names_the_limit_that_binds_and_by_how_much(limits: dict, constraint: str, words: str) -> None:
    clips = clip_rows(20, videos=4)
    if constraint == "per_duplicate_group":
        clips = clips.with_columns(duplicate_group=pl.Series([f"g{i % 5}" for i in range(20)]))
    labels = label_rows(*((clip, "bounce", "present") for clip in clips["clip_id"]))
    solved = run(clips, labels, make_mix(capabilities={"bounce": {"share": 1.0}}, limits=limits))
    (short,) = solved.shortfalls
    assert short.bindings[0].constraint == constraint
    assert short.bindings[0].words == words
    assert len(short.bindings) == 1


def test_a_short_mix_fails_where_the_mix_says_so() -> None:
    with pytest.raises(CurateError, match="mix base cannot be filled: bounce: 0 of 10 clips") as caught:
        run(clip_rows(3), label_rows(), make_mix(on_shortfall="fail", capabilities={"bounce": {"share": 0.5}}))
    assert "label more" in str(caught.value)


def test_hours_are_a_budget_too() -> None:
    clips = clip_rows(100, duration_s=36.0)
    labels = label_rows(*((clip, "bounce", "present") for clip in clips["clip_id"]))
    solved = run(clips, labels, make_mix(budget={"hours": 0.5}, capabilities={"bounce": {"share": 0.4}}))
    assert solved.picks["repeat"].sum() == 20
    assert solved.realised["bounce"] == pytest.approx(0.4)


def test_replay_is_spread_over_embedding_space_not_over_what_abounds() -> None:
    """95 clips look alike; five others do not: a replay of ten takes all five."""
    clips = clip_rows(100)
    rng = np.random.default_rng(0)
    points = np.vstack([np.eye(8)[0] + 0.01 * rng.normal(size=(95, 8)), np.eye(8)[1:6]])
    vectors = pl.DataFrame(
        {"clip_id": clips["clip_id"], "vector": [pack(point) for point in unit(points)]},
        schema={"clip_id": pl.String, "vector": pl.Binary},
    )
    mix = make_mix(budget={"clips": 10}, replay={"share": 1.0}, capabilities={})
    picks = solve(clips, label_rows(), mix, negatives={}, vectors=vectors).picks
    assert picks.height == 10
    assert {f"c{i:03}" for i in range(95, 100)} <= set(picks["clip_id"])


def test_a_short_replay_says_how_much_footage_there_is() -> None:
    mix = make_mix(replay={"share": 1.0}, capabilities={}, limits={"per_video": 1})
    (short,) = run(clip_rows(10, videos=5), label_rows(), mix).shortfalls
    assert str(short) == (
        "replay: 5 of 20 clips: 10 training clips are untargeted and embedded, at most 1 of a video "
        "(limits.per_video): collect more footage"
    )
