"""Parts of small charts as SVG markup. Colours are classes, given by whoever shows the chart; every text is escaped."""

import unicodedata
from collections.abc import Sequence

from markupsafe import Markup, escape


def svg(kind: str, width: float, height: float, words: str, *parts: Markup | str, style: str = "") -> Markup:
    """A whole chart.

    Args:
        kind: its class.
        words: what it says, for a screen reader.
        style: CSS of a chart that stands alone, in a file of its own; the page's where not given.
    """
    space = Markup(' xmlns="http://www.w3.org/2000/svg"') if style else ""
    head = Markup('<svg{} class="{}" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">')
    sheet = Markup("<style>{}</style>").format(Markup(style)) if style else ""
    return head.format(space, kind, width, height, plain(words)) + sheet + Markup("").join(parts) + Markup("</svg>")


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup(f'<path class="{escape(kind)}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>')


def path(kind: str, points: Sequence[tuple[float, float]]) -> Markup:
    if len(points) < 2:
        return Markup("")
    return Markup(f'<path class="{escape(kind)}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>')


def rect(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    size = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
    return Markup(f'<rect class="{escape(kind)}" {size}/>')


def dot(kind: str, x: float, y: float, radius: float, told: str = "") -> Markup:
    title = Markup("<title>{}</title>").format(told) if told else Markup("")
    circle = Markup(f'<circle class="{escape(kind)}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">')
    return circle + title + Markup("</circle>")


def text(x: float, y: float, told: str, anchor: str) -> Markup:
    """Words at a point. anchor: start, middle or end."""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, plain(told))


def plain(words: str) -> str:
    """Words without the control characters that XML forbids."""
    return "".join(" " if unicodedata.category(each) in ("Cc", "Cs") else each for each in words)
