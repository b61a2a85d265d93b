"""What is short says which constraint binds, by how much, and what lifts it, in whole clips."""

import polars as pl
import pytest

from curate.mixes.solving.shortfall import Shortfall
from tests.mixes.solving.worlds import World, clip_rows, label_rows, make_mix, run, slice_rows


def bounce(count: int, **share: object) -> tuple[pl.DataFrame, dict]:
    """Labels of a capability that the first clips show, and a mix's share of it."""
    return label_rows(*((f"c{i:03}", "bounce", "present") for i in range(count))), {"bounce": {"share": 0.5, **share}}


def only(world: World) -> Shortfall:
    (short,) = world.solve().shortfalls
    return short


def test_a_rare_capability_repeats_up_to_its_limit_and_the_rest_is_said_to_be_missing_labels() -> None:
    labels = label_rows(*((f"c{i:03}", "bounce", "present") for i in range(4)))
    mix = make_mix(capabilities={"bounce": {"share": 0.5, "max_repeat": 2}})
    solved = run(clip_rows(4), labels, mix)
    assert solved.picks["repeat"].to_list() == [2, 2, 2, 2]
    (short,) = solved.shortfalls
    assert [binding.constraint for binding in short.bindings] == ["labels"]
    assert str(short) == (
        "bounce: 8 of 10 clips: 4 training clips are labelled present, each used at most 2 times (max_repeat): "
        "label 1 more"
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


def test_a_short_replay_says_how_much_footage_there_is() -> None:
    mix = make_mix(replay={"share": 1.0}, capabilities={}, limits={"per_video": 1})
    (short,) = run(clip_rows(10, videos=5), label_rows(), mix).shortfalls
    assert str(short) == (
        "replay: 5 of 20 clips: 10 training clips are untargeted and embedded, at most 1 of a video "
        "(limits.per_video): collect more footage"
    )


def test_limits_per_source_and_licence_bind_by_name() -> None:
    labels, shares = bounce(20)
    clips = clip_rows(20).with_columns(source=pl.Series(["web"] * 12 + ["lab"] * 8))
    mix = make_mix(capabilities=shares, limits={"per_source": 4})
    short = only(World(clips, labels, mix))
    assert str(short) == "bounce: 8 of 10 clips: limits.per_source (4) holds back 2 clips"
    assert short.to_label == 0, "other footage of full sources would not help"
    mix = make_mix(capabilities=shares, limits={"per_licence": {"CC0-1.0": 7}})
    assert str(only(World(clips, labels, mix))) == (
        "bounce: 7 of 10 clips: limits.per_licence ({'CC0-1.0': 7}) holds back 3 clips"
    )


def test_labels_that_wait_for_a_review_are_what_binds_where_reviewed_ones_are_asked_for() -> None:
    labels, shares = bounce(10, labels="reviewed")
    labels = labels.with_columns(reviewed=pl.Series([i < 7 for i in range(10)]))
    short = only(World(clip_rows(10), labels, make_mix(capabilities=shares)))
    assert str(short) == "bounce: 7 of 10 clips: labels: reviewed leaves out 3 clips: have them reviewed"
    assert short.to_label == 0


def test_conditions_bind_by_their_words() -> None:
    labels, shares = bounce(10, where="motion > 3")
    clips = clip_rows(10).with_columns(motion=pl.Series([float(i) for i in range(10)]))
    assert str(only(World(clips, labels, make_mix(capabilities=shares)))) == (
        "bounce: 6 of 10 clips: its where (motion > 3) holds back 4 clips"
    )


def test_two_limits_that_hold_back_together_are_said_so() -> None:
    labels, shares = bounce(10)
    clips = clip_rows(10, licence="MIT").with_columns(duplicate_group=pl.lit("same"))
    mix = make_mix(capabilities=shares, limits={"licences": ["CC0-1.0"]})
    (short,) = World(clips, labels, mix).solve().shortfalls
    assert short.bindings[0].words == "limits.licences (['CC0-1.0']) holds back 1 clip"
    mix = make_mix(capabilities=shares, limits={"licences": ["CC0-1.0"]}, where="duration_s > 5")
    (short,) = World(clips, labels, mix).solve().shortfalls
    assert (
        short.bindings[0].words
        == "licences, where, per_duplicate_group hold back 10 clips together, none of them alone"
    )


def test_a_short_slice_says_how_many_clips_of_it_to_label() -> None:
    labels, shares = bounce(20, per_slice=4)
    slices = slice_rows(*(("bounce", "color=red", f"c{i:03}") for i in range(3)), ("bounce", "color=blue", None),
                        *(("bounce", "color=green", f"c{i:03}") for i in range(10)))  # fmt: skip
    blue, red = World(clip_rows(20), labels, make_mix(capabilities=shares), 0.25, slices).solve().shortfalls
    assert str(blue) == (
        "bounce, color=blue: 0 of 4 clips: 0 training clips are labelled present color=blue: label 4 more"
    )
    assert str(red) == "bounce, color=red: 3 of 4 clips: 3 training clips are labelled present color=red: label 1 more"
    assert (blue.share, blue.minimum, blue.to_label, red.to_label) == ("bounce", "color=blue", 4, 1)


def test_minimums_that_do_not_fit_a_share_together_are_in_conflict() -> None:
    labels, shares = bounce(20, per_slice=6)
    slices = slice_rows(*(("bounce", f"color={'red' if i % 2 else 'blue'}", f"c{i:03}") for i in range(20)))
    solved = World(clip_rows(20), labels, make_mix(capabilities=shares), 0.25, slices).solve()
    words = [str(short) for short in solved.shortfalls]
    assert sum("its share of 10 clips has no room for" in each for each in words) == len(words) >= 1
    assert solved.realised["bounce"] == 0.5


def test_minimums_of_two_shares_that_want_the_same_clips_say_so() -> None:
    labels = label_rows(
        *((f"c{i:03}", "bounce", "present") for i in range(8)), *((f"c{i:03}", "roll", "present") for i in range(8))
    )
    capabilities = {name: {"share": 0.5, "min_clips": 6} for name in ("bounce", "roll")}
    solved = World(clip_rows(8), labels, make_mix(capabilities=capabilities)).solve()
    minimums = [short for short in solved.shortfalls if short.minimum == "min_clips"]
    assert sum(short.requested - short.realised for short in minimums) == 4
    assert all("other shares" in str(short) for short in minimums)


def test_no_amount_of_clips_is_a_fraction() -> None:
    labels, shares = bounce(7, max_repeat=2)
    absent = label_rows(*((f"c{i:03}", "bounce", "absent") for i in range(7, 9)))
    mix = make_mix(budget={"clips": 55}, capabilities=shares, limits={"per_video": 1})
    for short in World(clip_rows(9, videos=7), pl.concat([labels, absent]), mix).solve().shortfalls:
        assert all(binding.short_by == int(binding.short_by) for binding in short.bindings)
        assert "." not in str(short).replace("limits.", "")


def test_what_is_said_to_be_labelled_fills_the_share() -> None:
    for most, negatives in ((1, 0.0), (3, 0.0), (2, 0.25)):
        labels, shares = bounce(3, max_repeat=most)
        absent = label_rows(*((f"c{i:03}", "bounce", "absent") for i in range(30, 33)))
        world = World(clip_rows(40), pl.concat([labels, absent]), make_mix(capabilities=shares), negatives)
        if not (short := world.solve().shortfalls):
            continue
        more, _ = bounce(3 + short[0].to_label)
        fewer, _ = bounce(3 + short[0].to_label - 1)
        assert not World(world.clips, pl.concat([more, absent]), world.mix, negatives).solve().shortfalls
        assert World(world.clips, pl.concat([fewer, absent]), world.mix, negatives).solve().shortfalls


def test_a_record_of_a_shortfall_has_its_words() -> None:
    labels, shares = bounce(4)
    record = only(World(clip_rows(4), labels, make_mix(capabilities=shares))).record()
    assert (record["share"], record["minimum"], record["to_label"], record["unit"]) == ("bounce", None, 6, "clips")
    assert record["words"].endswith("label 6 more")
