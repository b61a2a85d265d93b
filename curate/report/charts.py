"""Small charts as inline SVG: what the page draws from numbers alone, so that it needs no library and no network.

Every chart is a function of plain values that returns markup. Colours are classes that `page.css` gives for light, dark
and paper; every text is escaped; a sentence that says the same in words is its label for a screen reader.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from curate.svg import dot, line, path, rect, svg, text

WIDTH, HEIGHT = 260, 120
"""Of a chart in user units; the page scales it."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 26, 8, 8, 18


def supply_bar(have: int, target: int, candidates: tuple[float, float, float] | None) -> Markup:
    """What is labelled of a target, then what unlabelled clips are expected to add, with its interval as a line.

    Args:
        candidates: expected, low, high; None where nothing allows an estimate.
    """
    width, height = 190.0, 18.0
    expected, low, high = candidates or (0.0, 0.0, 0.0)
    most = max(target, min(have + high, 1.5 * max(target, have)), have, 1)

    def at(value: float) -> float:
        return min(value / most, 1.0) * (width - 2)

    parts = [
        rect("track", 0, 6, at(target), 6),
        rect("expected", at(have), 6, at(have + expected) - at(have), 6) if expected else "",
        rect("have", 0, 6, at(have), 6),
    ]
    if candidates:
        parts.append(line("whisker", at(have + low), 9, at(have + high), 9))
    parts.append(line("target", at(target), 2, at(target), 16))
    words = f"{have} of {target} labelled"
    if candidates:
        words += f", {expected:.0f} more expected ({low:.0f} to {high:.0f})"
    return svg("supply", width, height, words, *parts)


def floor_dot(value: float | None, low: float | None, high: float | None, floor: float) -> Markup:
    """A score between 0 and 1 with its interval, against the floor it must reach."""
    width = 110.0

    def at(share: float) -> float:
        return 4 + share * (width - 8)

    parts = [line("axis", at(0), 9, at(1), 9), line("target", at(floor), 3, at(floor), 15)]
    if value is None:
        return svg("floor", width, 18, f"not evaluated; the floor is {floor:.2f}", *parts)
    under = " under" if value < floor else ""
    if low is not None and high is not None:
        parts.append(line(f"whisker{under}", at(low), 9, at(high), 9))
    parts.append(dot(f"point{under}", at(value), 9, 3.6))
    return svg("floor", width, 18, f"{value:.2f}{_interval(low, high)}, floor {floor:.2f}", *parts)


def trend(points: Sequence[Mapping[str, Any]], floor: float) -> Markup:
    """A capability's score over what was evaluated, oldest first, each with its interval.

    Args:
        points: each with label, baseline (not trained: hollow, and not on the line), value, low, high.
    """
    plot = _Plot((-0.5, max(len(points), 3) - 0.5), (0.0, 1.0))
    parts = plot.frame([(0, "0"), (0.5, ".5"), (1, "1")])
    parts.append(line("goal", plot.x(plot.across[0]), plot.y(floor), plot.x(plot.across[1]), plot.y(floor)))
    trained = [(at, point["value"]) for at, point in enumerate(points) if not point["baseline"]]
    parts.append(path("trend", [(plot.x(at), plot.y(value)) for at, value in trained]))
    for at, point in enumerate(points):
        x, kind = plot.x(at), "hollow" if point["baseline"] else "point"
        if point["low"] is not None and point["high"] is not None:
            parts.append(line("whisker", x, plot.y(point["low"]), x, plot.y(point["high"])))
        parts.append(dot(kind, x, plot.y(point["value"]), 3.4, _told(point)))
        if len(points) <= 6 or at in (0, len(points) - 1):
            parts.append(text(x, HEIGHT - 5, point["label"], "middle"))
    words = "; ".join(_told(point) for point in points)
    return svg("chart", WIDTH, HEIGHT, f"Score over versions, floor {floor:.2f}: {words}", *parts)


def growth(times: Sequence[datetime], present: Sequence[int], labelled: Sequence[int], target: int) -> Markup:
    """Labelled clips and those of them that show it over time, against the target.

    Args:
        times: ascending; present, labelled: how many there were from each time on.
    """
    first, last = times[0].timestamp(), times[-1].timestamp()
    plot = _Plot((first, max(last, first + 60)), (0, 1.08 * max(target, labelled[-1])))
    parts = plot.frame([(0, "0"), (target, f"{target}")])
    parts.append(line("goal", plot.x(first), plot.y(target), plot.x(plot.across[1]), plot.y(target)))
    seconds = [time.timestamp() for time in times]
    for kind, counts in (("all", labelled), ("trend", present)):
        steps: list[tuple[float, float]] = [(plot.x(first), plot.y(0))]
        for second, count in zip(seconds, counts, strict=True):
            steps += [(plot.x(second), steps[-1][1]), (plot.x(second), plot.y(count))]
        parts.append(path(kind, [*steps, (plot.x(plot.across[1]), steps[-1][1])]))
    form = "%H:%M" if times[0].date() == times[-1].date() else "%d %b"
    parts += [
        text(plot.x(first), HEIGHT - 5, times[0].strftime(form), "start"),
        text(WIDTH - _RIGHT, HEIGHT - 5, times[-1].strftime(form), "end"),
    ]
    words = f"From {times[0]:%d %B} to {times[-1]:%d %B}: {labelled[-1]} labelled, {present[-1]} of them show it"
    return svg("chart", WIDTH, HEIGHT, f"{words}; target {target}", *parts)


def reliability(bins: Sequence[Mapping[str, Any]]) -> Markup:
    """What was predicted for held-out labelled clips against what they turned out to be; area counts clips.

    Args:
        bins: each with predicted, observed, clips.
    """
    plot = _Plot((0.0, 1.0), (0.0, 1.0))
    parts = plot.frame([(0, "0"), (0.5, ".5"), (1, "1")])
    parts.append(line("goal", plot.x(0), plot.y(0), plot.x(1), plot.y(1)))
    most = max(bin_["clips"] for bin_ in bins)
    for each in bins:
        radius = 2.0 + 6.0 * (each["clips"] / most) ** 0.5
        told = f"said {each['predicted']:.2f}, were {each['observed']:.2f} of {each['clips']} clips"
        parts.append(dot("bubble", plot.x(each["predicted"]), plot.y(each["observed"]), radius, told))
    parts += [
        text(plot.x(0), HEIGHT - 5, "said 0", "start"),
        text(plot.x(1), HEIGHT - 5, "1", "end"),
    ]
    words = "; ".join(f"{each['predicted']:.2f} said, {each['observed']:.2f} found" for each in bins)
    return svg("chart", WIDTH, HEIGHT, f"Reliability: {words}", *parts)


def histogram(edges: Sequence[float], counts: Sequence[int], level: float | None, what: str) -> Markup:
    """How many clips have which score; those from `level` on match. Heights go with the square root of the count: most
    clips show nothing of a capability, and the few that do must be seen beside them.

    Args:
        edges: ascending, one more than counts.
        what: the score's name.
    """
    most = max(*counts, 1)
    plot = _Plot((edges[0], edges[-1]), (0, 1.05 * most**0.5))
    parts = plot.frame([(0, "0"), *((each**0.5, f"{each}") for each in (most, max(most // 10, 1)))])
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if count:
            kind = "have" if level is not None and (low + high) / 2 >= level else "expected"
            top = plot.y(count**0.5)
            parts.append(rect(kind, plot.x(low) + 0.5, top, plot.x(high) - plot.x(low) - 1, plot.y(0) - top))
    if level is not None and edges[0] <= level <= edges[-1]:
        parts.append(line("target", plot.x(level), _TOP, plot.x(level), HEIGHT - _BOTTOM))
    parts += [
        text(plot.x(edges[0]), HEIGHT - 5, f"{edges[0]:.2g}", "start"),
        text(plot.x(edges[-1]), HEIGHT - 5, f"{edges[-1]:.2g}", "end"),
    ]
    words = f"{sum(counts)} clips by {what}, {edges[0]:.2f} to {edges[-1]:.2f}"
    words += "" if level is None else f"; a clip matches from {level:.2f} on"
    return svg("chart", WIDTH, HEIGHT, words, *parts)


def share_bar(requested: float, feasible: float, realised: float) -> Markup:
    """A share of a mix: asked for (line), possible (light), and what it became (dark)."""
    width = 160.0
    most = max(requested, feasible, realised, 0.01)

    def at(share: float) -> float:
        return share / most * (width - 2)

    under = " under" if realised < requested - 0.005 else ""
    parts = [
        rect("track", 0, 5, at(requested), 6),
        rect("expected", 0, 5, at(feasible), 6),
        rect(f"have{under}", 0, 5, at(realised), 6),
        line("target", at(requested), 1, at(requested), 15),
    ]
    return svg("supply", width, 16, f"{realised:.1%} of {requested:.1%} asked for; {feasible:.1%} possible", *parts)


class _Plot:
    """Scales of a chart: values to user units."""

    def __init__(self, across: tuple[float, float], up: tuple[float, float]) -> None:
        self.across, self.up = across, (up[0], up[1] if up[1] > up[0] else up[0] + 1)

    def x(self, value: float) -> float:
        low, high = self.across
        return _LEFT + (value - low) / ((high - low) or 1) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.up
        return HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    def frame(self, ticks: Sequence[tuple[float, str]]) -> list[Markup]:
        """A faint line and its number for each value up the side."""
        parts = []
        for value, told in ticks:
            parts.append(line("axis", _LEFT, self.y(value), WIDTH - _RIGHT, self.y(value)))
            parts.append(text(_LEFT - 5, self.y(value) + 3, told, "end"))
        return parts


def _told(point: Mapping[str, Any]) -> str:
    return f"{point['label']} {point['value']:.2f}{_interval(point['low'], point['high'])}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
