"""What of a video is lost, as a thing to count with and as a line to read."""

from collections.abc import Sequence
from dataclasses import dataclass

_NAMED = 3


@dataclass(frozen=True)
class Gap:
    """A stretch [start_s, end_s) of which nothing can be shown.

    Attributes:
        start_s: when the first lost frame was due, or the end of the last good one.
        end_s: where good frames go on, or the end that the file declares; start_s where nobody knows.
        reason: `damaged`, or `cut short` where the file ends before it says it does.
    """

    start_s: float
    end_s: float
    reason: str


def what_is_lost(gaps: Sequence[Gap]) -> tuple[str, float]:
    """What a person wants to know of gaps, in a line, and the seconds lost in them; an empty line for none."""
    damaged = [f"{gap.start_s:.1f} to {gap.end_s:.1f} s" for gap in gaps if gap.reason == "damaged"]
    more = f" and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
    notes = [f"{', '.join(damaged[:_NAMED])}{more} damaged"] if damaged else []
    for gap in gaps:
        if gap.reason != "damaged":
            of = f" of {gap.end_s:.1f}" if gap.end_s > gap.start_s + 0.1 else ""
            notes.append(f"decoded {gap.start_s:.1f}{of} s: {gap.reason}")
    return "; ".join(notes), sum(gap.end_s - gap.start_s for gap in gaps)
