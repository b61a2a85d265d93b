"""Splits are by leakage group, stable for ever, and give evaluation the benefit of every doubt."""

from dataclasses import dataclass, field

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.mixes.split import SplitPlan, plan_splits, rows_to_settle
from curate.specs.mix import Splits

SHARES = Splits(train=0.6, validation=0.2, test=0.2)
NOTHING = pl.DataFrame(schema={"video_id": pl.String, "split": pl.String})


def group_rows(groups: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(groups.items()), schema={"video_id": pl.String, "group_id": pl.String}, orient="row")


def label_rows(rows: list[tuple[str, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(("video_id", "capability", "verdict"), pl.String), orient="row")


def usable(plan: SplitPlan) -> dict[str, str]:
    return dict(plan.videos.filter(pl.col("split") != "withheld").select("video_id", "split").iter_rows())


def splits_of(plan: SplitPlan, videos: set[str]) -> set[str]:
    return {split for video_id, split in usable(plan).items() if video_id in videos}


videos = st.integers(0, 15).map(lambda number: f"v{number:02}")
labels = st.lists(st.tuples(videos, st.sampled_from("ab"), st.sampled_from(["present", "absent"])), max_size=25)
links = st.lists(st.tuples(videos, videos), max_size=6)


def grouped(names: list[str], edges: list[tuple[str, str]]) -> dict[str, str]:
    group = {name: name for name in names}
    for first, second in edges:
        if first in group and second in group:
            low, high = sorted((group[first], group[second]))
            group = {name: low if own == high else own for name, own in group.items()}
    return group


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sets(videos, min_size=1), labels, links, st.sets(videos)), min_size=1, max_size=4))
def test_as_data_grows_no_video_changes_sides_and_no_group_is_on_two(
    rounds: list[tuple[set[str], list, list, set[str]]],
) -> None:
    settled, known, every_label, edges = NOTHING, set(), [], []
    ever: dict[str, set[str]] = {}
    for arrived, new_labels, new_links, used in rounds:
        known |= arrived
        edges += new_links
        every_label += [row for row in new_labels if row[0] in known]
        groups = grouped(sorted(known), edges)
        plan = plan_splits(group_rows(groups), settled, label_rows(every_label), SHARES, seed=1)
        now = usable(plan)
        for group_id in set(groups.values()):
            assert len({now[video] for video in now if groups[video] == group_id}) <= 1
        for video_id, split in settled.iter_rows():
            assert now.get(video_id, split) == split, "a settled video keeps its split, or is withheld"
        fresh = rows_to_settle(plan, used & known)
        settled = pl.concat([settled, fresh.select("video_id", "split")])
        assert settled["video_id"].is_unique().all()
        for video_id, split in settled.iter_rows():
            ever.setdefault(video_id, set()).add(split)
        assert all(len(sides) == 1 for sides in ever.values())
        labelled = {row[0] for row in every_label}
        assert labelled <= set(settled["video_id"]), "what carries a label is settled"


@dataclass
class Team:
    """What a workspace remembers over the years, and, for the test alone, all that ever happened."""

    known: set[str] = field(default_factory=set)
    edges: list[tuple[str, str]] = field(default_factory=list)
    labels: list[tuple[str, str, str]] = field(default_factory=list)
    table: pl.DataFrame = field(default_factory=NOTHING.clone)  # `splits`
    published: dict[str, list[dict[str, str]]] = field(default_factory=dict)  # by mix, the sides of each version
    ever: list[dict[str, str]] = field(default_factory=list)

    def settled(self) -> pl.DataFrame:
        rows = [row for versions in self.published.values() for sides in versions for row in sides.items()]
        return pl.concat([self.table, pl.DataFrame(rows, schema=NOTHING.schema, orient="row")])

    def release(self, mix: str, used: set[str], seed: int, shares: Splits, shuffle: int) -> None:
        groups = grouped(sorted(self.known), self.edges)
        frames = group_rows(groups), self.settled(), label_rows(self.labels)
        plan = plan_splits(*frames, shares, seed=seed)
        mixed = (frame.sample(fraction=1, shuffle=True, seed=shuffle) for frame in frames)
        again = plan_splits(*mixed, shares, seed=seed)
        assert again.videos.equals(plan.videos) and again.conflicts == plan.conflicts, (
            "the order of rows decides nothing"
        )
        withheld = set(plan.videos.filter(pl.col("split") == "withheld")["video_id"])
        assert withheld == {video for conflict in plan.conflicts for video in conflict.withheld}, "who pays is told"
        assert all(conflict.split != "train" for conflict in plan.conflicts), "a conflict goes to evaluation"
        sides = {video: split for video, split in usable(plan).items() if video in used}
        fresh = rows_to_settle(plan, sides).select("video_id", "split")
        self.table = pl.concat([self.table, fresh])
        self.published.setdefault(mix, []).append(sides)
        self.ever.append(sides)
        measured = {video for past in self.ever for video, split in past.items() if split != "train"}
        twins = {group_id for video, group_id in groups.items() if video in measured}
        trained = {video for video, split in sides.items() if split == "train"}
        assert not {groups[video] for video in trained} & twins, "what measured once never trains"


events = st.lists(
    st.one_of(
        st.tuples(st.just("collect"), st.sets(videos, min_size=1, max_size=8), labels),
        st.tuples(st.just("join"), links),
        st.tuples(
            st.just("release"), st.sampled_from(["base", "small", "big"]), st.sets(videos), st.integers(0, 3),
            st.sampled_from([SHARES, Splits(train=0.8, validation=0.1, test=0.1), Splits(train=0.5, validation=0.5,
                                                                                     test=0.0)]), st.integers(0, 9),
        ),
        st.tuples(st.just("delete"), st.sampled_from(["base", "small", "big"])),
    ),
    min_size=4, max_size=14,
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.sets(videos, min_size=4), labels, events)
def test_over_any_history_of_several_mixes_what_measured_once_never_trains(
    first: set[str], first_labels: list, history: list[tuple]
) -> None:
    """Groups join, seeds and shares change, footage and labels come, a mix with all its versions is deleted."""
    team = Team(known=set(first), labels=[row for row in first_labels if row[0] in first])
    for kind, *facts in history:
        if kind == "collect":
            team.known |= facts[0]
            team.labels += [row for row in facts[1] if row[0] in team.known]
        elif kind == "join":
            team.edges += facts[0]
        elif kind == "delete":
            team.published.pop(facts[0], None)
        else:
            team.release(*facts)


@settings(max_examples=40, deadline=None)
@given(st.sets(videos, min_size=4), labels, events)
def test_where_the_catalog_is_lost_what_was_published_still_holds(
    first: set[str], first_labels: list, history: list[tuple]
) -> None:
    team = Team(known=set(first), labels=[row for row in first_labels if row[0] in first])
    for kind, *facts in history:
        if kind == "collect":
            team.table = NOTHING
            team.known |= facts[0]
        elif kind == "release":
            team.release(*facts)


@settings(max_examples=50, deadline=None)
@given(labels, st.integers(0, 99))
def test_the_order_of_the_input_changes_nothing(rows: list[tuple[str, str, str]], seed: int) -> None:
    groups = group_rows({f"v{i:02}": f"v{i // 2 * 2:02}" for i in range(16)})
    first = plan_splits(groups, NOTHING, label_rows(rows), SHARES, seed=3)
    mixed = [frame.sample(fraction=1, shuffle=True, seed=seed) for frame in (groups, label_rows(rows))]
    again = plan_splits(mixed[0], NOTHING, mixed[1], SHARES, seed=3)
    assert first.videos.equals(again.videos)


def test_a_rare_capability_gets_groups_in_train_and_in_test() -> None:
    groups = group_rows({f"v{i:03}": f"v{i:03}" for i in range(200)})
    rows = [(f"v{i:03}", "common", "present") for i in range(197)]
    rare = {"v197", "v198", "v199"}
    rows += [(video, "rare", "present") for video in rare]
    shares = Splits(train=0.8, validation=0.1, test=0.1)
    plan = plan_splits(groups, NOTHING, label_rows(rows), shares, seed=0)
    assert {"train", "test"} <= splits_of(plan, rare)
    counts = dict(plan.videos.group_by("split").len().iter_rows())
    assert abs(counts["train"] - 160) <= 3 and abs(counts["test"] - 20) <= 3


def test_a_group_that_joins_train_and_test_is_test_and_its_train_video_is_withheld() -> None:
    settled = pl.DataFrame({"video_id": ["a", "b"], "split": ["train", "test"]})
    joined = group_rows({"a": "a", "b": "a", "c": "a"})
    plan = plan_splits(joined, settled, label_rows([("a", "x", "present")]), SHARES, seed=0)
    assert dict(plan.videos.select("video_id", "split").iter_rows()) == {"a": "withheld", "b": "test", "c": "test"}
    assert [(conflict.group_id, conflict.split, conflict.withheld) for conflict in plan.conflicts] == [
        ("a", "test", ("a",))
    ]
    assert "withheld from every split: a" in str(plan.conflicts[0])


def test_unlabelled_groups_lean_to_a_split_but_are_settled_only_when_used() -> None:
    groups = group_rows({f"v{i:03}": f"v{i:03}" for i in range(100)})
    plan = plan_splits(groups, NOTHING, label_rows([]), SHARES, seed=0)
    assert rows_to_settle(plan, []).is_empty()
    assert 45 <= plan.videos.filter(pl.col("split") == "train").height <= 75
    train = plan.videos.filter(pl.col("split") == "train")["video_id"][0]
    assert rows_to_settle(plan, [train]).rows() == [(train, train, "train")]
