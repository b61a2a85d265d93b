"""What the pages have in common: one look (`base.html`), everything escaped, and pictures inside the page."""

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from curate.errors import InputError
from curate.media.thumbnail import nearest


def render(template: str, **values: Any) -> str:
    """The HTML of a template of this package. What it shows is escaped: file names and captions come from anywhere.

    Should anything slip through, it still does nothing: the page runs only the scripts of its own template, which bear
    the page's `nonce`, and may load nothing but its own pictures and local footage.
    """
    environment = Environment(
        loader=PackageLoader("curate.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["code"] = code
    return environment.get_template(template).render(**values, nonce=secrets.token_hex(8))


def code(text: str) -> Markup:
    """Words with commands between backticks, as our messages have them, as HTML."""
    parts = text.split("`")
    odd = (Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts))
    return Markup("").join(odd)


def encoded(jpeg: bytes) -> str:
    """A JPEG as base64, for a data URI."""
    return base64.b64encode(jpeg).decode()


def best_picture(clip: Mapping[str, Any]) -> str | None:
    """The picture nearest to the middle of a clip's best span, encoded; None where the clip has none.

    Args:
        clip: with `times_s` and `jpegs` of table `thumbnails`, `best_start_s` and `best_end_s`.
    """
    picture = nearest(clip["times_s"], clip["jpegs"], (clip["best_start_s"] + clip["best_end_s"]) / 2)
    return None if picture is None else encoded(picture)


def write_page(path: Path, html: str) -> Path:
    """Writes a page where the user wants it, its directory too, and returns the path.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(html, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"the page cannot be written: {error.strerror}", where=path, fix="Name another file") from None
    return path
