"""What a mix is short of becomes an order of labels that a person can approve."""

from typing import Any

import pytest

from curate.mixes.solving.shortfall import Binding, Shortfall
from curate.targets.choosing.order import ordered_clips
from curate.targets.choosing.shortfall import clips_to_label, order_for_shortfall
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips
from tests.targets.conftest import frames_like, write_capability, write_scores


def short(share: str, to_label: int, minimum: str | None = None) -> dict[str, Any]:
    binding = Binding("labels", float(to_label), f"label {to_label} more")
    return Shortfall(share, minimum, 10.0, 10.0 - to_label, "clips", (binding,), to_label).record()


@pytest.fixture
def scored(empty: Workspace) -> Workspace:
    """60 clips of 60 videos, each as likely as not to show a jump."""
    clips = [Clip(f"v{at:02d}", frames_like([0.1, 0.1], at)) for at in range(60)]
    write_clips(empty, clips)
    write_capability(empty, "jump", target={"clips": 30})
    write_scores(empty, "jump", dict.fromkeys([clip.clip_id for clip in clips], 0.5))
    return empty


def test_as_many_clips_are_ordered_as_are_expected_to_fill_the_share(scored: Workspace) -> None:
    (order,) = order_for_shortfall(scored, [short("jump", 8)], who="ana", why="")
    assert (order.subject, order.status, order.who) == ("jump", "proposed", "ana")
    assert order.why == "a mix is short: jump: 2 of 10 clips: label 8 more"
    assert ordered_clips(order).height == 16


def test_the_same_shortfall_is_the_same_order(scored: Workspace) -> None:
    first, again = (order_for_shortfall(scored, [short("jump", 8)], who="ana", why="")[0] for _ in range(2))
    assert first.decision_id == again.decision_id


def test_what_labels_would_not_fill_is_not_ordered(scored: Workspace) -> None:
    assert order_for_shortfall(scored, [short("jump", 0), short("replay", 0)], who="ana", why="") == []


def test_a_clip_counts_for_its_share_and_for_a_slice_of_each_field() -> None:
    needed = [
        short("jump", 5),
        short("jump", 3, "color=red"),
        short("jump", 4, "color=blue"),
        short("jump", 6, "night"),
    ]
    assert clips_to_label(needed) == 7
