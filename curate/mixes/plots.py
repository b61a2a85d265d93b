"""The plots of a card: SVG files that stand alone, readable in light and dark, made from the lock."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import polars as pl
from markupsafe import Markup

from curate import svg

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 640, 190, 110, 20, 30
_NAME_LENGTH, _MOST_ROWS = 28, 15
_STYLE = (
    "svg{font:12px system-ui,sans-serif}text{fill:#444c56}.title text{font-weight:600;fill:#1f2328}"
    ".a{fill:#2f6f9f}.b{fill:#9cc3de}.c{fill:#c9a35b}path{fill:none}.target{stroke:#1f2328;stroke-width:2}"
    ".axis{stroke:#d0d7de}"
    "@media(prefers-color-scheme:dark){text{fill:#b3bcc6}.title text{fill:#e6edf3}.a{fill:#6cb1e0}.b{fill:#2d5673}"
    ".c{fill:#d9b877}.target{stroke:#e6edf3}.axis{stroke:#3d444d}}"
)
_BINS_S = (0, 0.5, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 60, float("inf"))
_Bar = tuple[str, Sequence[tuple[str, float]], str]
"""A row: its name, its parts as (class, value), and what they say."""


def plots(lock: Mapping[str, Any]) -> dict[str, str]:
    """The plots of a version as SVG, by the names of their files."""
    clips = pl.DataFrame(
        [{name: clip[name] for name in ("source", "licence", "start_s", "end_s")} for clip in lock["clips"]],
        schema={"source": pl.String, "licence": pl.String, "start_s": pl.Float64, "end_s": pl.Float64},
    )
    made: Mapping[str, Callable[[], Markup]] = {
        "shares.svg": lambda: _shares(lock),
        "labels.svg": lambda: _labels(lock),
        "sources.svg": lambda: _counted("Clips by source", clips["source"]),
        "licences.svg": lambda: _counted("Clips by licence", clips["licence"]),
        "durations.svg": lambda: _durations(clips),
    }
    return {name: f"{make()}\n" for name, make in made.items()}


def _shares(lock: Mapping[str, Any]) -> Markup:
    """What was asked for (line), possible (light) and realised (dark)."""
    most = max([*lock["requested"].values(), *lock["feasible"].values(), *lock["realised"].values(), 0.01])
    rows, lines = [], []
    for index, (name, requested) in enumerate(lock["requested"].items()):
        feasible, realised = lock["feasible"][name], lock["realised"][name]
        rest = max(feasible - realised, 0.0)
        rows.append((name, (("a", realised), ("b", rest)), f"{realised:.1%} of {requested:.1%}"))
        x, y = _LEFT + requested / most * _span(), _TOP + index * _ROW
        lines.append(svg.line("target", x, y + 1, x, y + _ROW - 3))
    return _bars("Shares of training: realised (dark), feasible (light), requested (line)", rows, most, lines)


def _labels(lock: Mapping[str, Any]) -> Markup:
    rows: list[_Bar] = []
    for name, by_split in lock["counts"].items():
        for split, counts in by_split.items():
            told = f"{counts['present']} + {counts['absent']}"
            rows.append((f"{name}, {split}", (("a", counts["present"]), ("c", counts["absent"])), told))
    return _bars("Labelled clips by capability and split: present (blue), absent (yellow)", rows)


def _counted(title: str, values: pl.Series) -> Markup:
    counts = values.alias("name").value_counts().sort("count", "name", descending=[True, False])
    rows: list[_Bar] = [(name, (("a", count),), f"{count}") for name, count in counts.head(_MOST_ROWS).iter_rows()]
    rest = int(counts["count"][_MOST_ROWS:].sum())
    if rest:
        rows.append((f"{counts.height - _MOST_ROWS} others", (("b", rest),), f"{rest}"))
    return _bars(title, rows)


def _durations(clips: pl.DataFrame) -> Markup:
    seconds = (clips["end_s"] - clips["start_s"]).round(6)
    rows: list[_Bar] = []
    for low, high in pairwise(_BINS_S):
        count = int(((seconds >= low) & (seconds < high)).sum())
        name = f"{low:g} s and more" if high == float("inf") else f"{low:g} to {high:g} s"
        rows.append((name, (("a", count),), f"{count}"))
    held = [index for index, row in enumerate(rows) if row[1][0][1]]
    return _bars("Clips by duration", rows[held[0] : held[-1] + 1] if held else [])


def _bars(title: str, rows: Sequence[_Bar], most: float | None = None, extra: Sequence[Markup] = ()) -> Markup:
    """Horizontal bars, a row each, their parts one after the other."""
    most = most or max((sum(value for _, value in parts) for _, parts, _ in rows), default=1) or 1
    bottom = _TOP + len(rows) * _ROW
    parts = [Markup('<g class="title">{}</g>').format(svg.text(8, 18, title, "start"))]
    parts.append(svg.line("axis", _LEFT, _TOP - 2, _LEFT, bottom))
    for index, (name, values, told) in enumerate(rows):
        x, y = float(_LEFT), _TOP + index * _ROW
        for kind, value in values:
            parts.append(svg.rect(kind, x, y + 3, value / most * _span(), _ROW - 7))
            x += value / most * _span()
        parts.append(svg.text(_LEFT - 8, y + 14, _short(name), "end"))
        parts.append(svg.text(max(x, _LEFT) + 6, y + 14, told, "start"))
    words = f"{title}. " + "; ".join(f"{name}: {told}" for name, _, told in rows)
    return svg.svg("plot", _WIDTH, bottom + 6, words, *parts, *extra, style=_STYLE)


def _span() -> float:
    return _WIDTH - _LEFT - _RIGHT


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"
