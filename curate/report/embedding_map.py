"""The map of kept clips: where they lie by what they look like, for a page that stays light however many there are.

At most `layout.MOST` clips are placed, taken evenly from all: clip ids are hashes, so every n-th in their order is a
fair sample. Their pictures are one sheet of small tiles, which takes 1.2 kB a clip where one JPEG for each takes 4.7.
"""

from typing import Any

import cv2
import numpy as np
import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.report.layout import MOST, layout
from curate.report.pictures import Pictures, playable
from curate.report.render import encoded
from curate.report.supply import Supply
from curate.vectors import matrix

TILE = (96, 54)
"""Width and height of a picture on the sheet, in pixels."""
_ACROSS = 30
_QUALITY = 72
COLOURS = 8
"""Groups with a colour of their own; the smaller ones share a grey."""


def sampled(catalog: Catalog, supply: Supply) -> pl.DataFrame:
    """The clips to place: columns of `supply.clips` and `vector`, at most MOST rows, by clip_id."""
    ids = supply.clips.select("clip_id").sort("clip_id")
    if len(ids) > MOST:
        ids = ids[np.linspace(0, len(ids) - 1, MOST).round().astype(int)]
    vectors = views.current_embeddings(catalog).select("clip_id", "vector").join(ids.lazy(), on="clip_id", how="semi")
    return vectors.collect().join(supply.clips, on="clip_id").sort("clip_id")


def embedding_map(
    clips: pl.DataFrame, supply: Supply, labels: pl.DataFrame, pictures: Pictures, titles: dict[str, str]
) -> dict[str, Any] | None:
    """Points, groups to colour them by, and the sheet of pictures; None without clips.

    Args:
        clips: of `sampled`.
        labels: those in force.
        titles: of the capabilities, in the page's order.

    Returns:
        points: for each clip x (0 to 1000), y (0 to `height`, down), and its group by capability; of: all kept clips;
        by: name -> names of groups, the largest first, at most COLOURS and "other"; data: what the page's script needs;
        sheet: JPEG for a data URI, None without pictures.
    """
    if clips.is_empty():
        return None
    flat = layout(matrix(clips["vector"]))
    up = max(float(np.abs(flat[:, 1]).max()), 0.3)
    height = round(20 + 2 * 480 * up)
    places = np.stack([500 + 480 * flat[:, 0], height / 2 - 480 * flat[:, 1]], axis=1).round().astype(int)
    ids = clips["clip_id"].to_list()
    matched = _matches(ids, supply, titles)
    groups = {
        "capability": _grouped([titles[found[0]] if found else "matches none" for found in matched], "matches none"),
        "label": _grouped(_labelled(ids, labels, titles), "not labelled"),
        "source": _grouped(clips["source"].to_list(), None),
    }
    names = list(titles)
    films = clips["path"].unique(maintain_order=True).to_list()
    film_at = {path: at for at, path in enumerate(films)}
    uris = [(playable(path, 0, 0) or "").split("#")[0] for path in films]
    return {
        "points": [
            {"x": int(x), "y": int(y), "group": groups["capability"][1][at]} for at, (x, y) in enumerate(places)
        ],
        "height": height,
        "of": len(supply.clips),
        "by": {name: of for name, (of, _) in groups.items()},
        "sheet": _sheet(clips, pictures),
        "data": {
            "ids": ids,
            "x": places[:, 0].tolist(),
            "y": places[:, 1].tolist(),
            "groups": {name: numbers for name, (_, numbers) in groups.items()},
            "by": {name: of for name, (of, _) in groups.items()},
            "capabilities": names,
            "titles": list(titles.values()),
            "across": _ACROSS,
            "matches": [[names.index(name) for name in found] for found in matched],
            "source": clips["source"].to_list(),
            "film": [film_at[path] for path in clips["path"]],
            "files": [path.rsplit("/", 1)[-1] for path in films],
            "uris": uris,
            "start": [round(value, 2) for value in clips["start_s"]],
            "end": [round(value, 2) for value in clips["end_s"]],
            "pictured": [bool(pictures.strips.get(clip)) for clip in ids],
        },
    }


def _matches(ids: list[str], supply: Supply, titles: dict[str, str]) -> list[list[str]]:
    """The capabilities each clip matches, the most probable first."""
    own = pl.Series(ids)
    rows = [
        scores.filter(pl.col("matches"), pl.col("clip_id").is_in(own.implode()))
        .select("clip_id", "capability", "probability")
        for name, scores in supply.scores.items()
        if name in titles
    ]  # fmt: skip
    found: dict[str, list[str]] = {}
    if rows:
        ranked = pl.concat(rows).sort(["probability", "capability"], descending=[True, False])
        for clip_id, name in ranked.select("clip_id", "capability").iter_rows():
            found.setdefault(clip_id, []).append(name)
    return [found.get(clip_id, []) for clip_id in ids]


def _labelled(ids: list[str], labels: pl.DataFrame, titles: dict[str, str]) -> list[str]:
    own = labels.filter(pl.col("clip_id").is_in(pl.Series(ids).implode())).sort("capability")
    shows: dict[str, str] = {}
    for clip_id, name, verdict in own.select("clip_id", "capability", "verdict").iter_rows():
        if verdict == "present":
            shows[clip_id] = titles.get(name, name)
        else:
            shows.setdefault(clip_id, "labelled, shows none")
    return [shows.get(clip_id, "not labelled") for clip_id in ids]


def _grouped(values: list[str], grey: str | None) -> tuple[list[str], list[int]]:
    """(names of groups, the group of each value): the largest groups first, then "other", then what `grey` names."""
    counts = pl.Series(values).value_counts(sort=True).sort(["count", ""], descending=[True, False])
    names = [name for name in counts[""] if name != grey]
    shown = names[:COLOURS]
    number = {name: min(at, COLOURS) for at, name in enumerate(names)}
    return (
        [*shown, *(["other"] if len(names) > COLOURS else []), *([grey] if grey in counts[""].to_list() else [])],
        [-1 if value == grey else number[value] for value in values],
    )


def _sheet(clips: pl.DataFrame, pictures: Pictures) -> str | None:
    """All clips' middle pictures as one JPEG, row by row in the order of `clips`."""
    width, height = TILE
    sheet = np.zeros((-(-len(clips) // _ACROSS) * height, min(len(clips), _ACROSS) * width, 3), np.uint8)
    drawn = False
    middles = (clips["start_s"] + clips["end_s"]) / 2
    for at, (clip_id, middle_s) in enumerate(zip(clips["clip_id"], middles, strict=True)):
        jpeg = pictures.at(clip_id, middle_s)
        image = None if jpeg is None else cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            continue
        scale = min(width / image.shape[1], height / image.shape[0])
        size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
        left = at % _ACROSS * width + (width - size[0]) // 2
        top = at // _ACROSS * height + (height - size[1]) // 2
        sheet[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        drawn = True
    if not drawn:
        return None
    return encoded(cv2.imencode(".jpg", sheet, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1].tobytes())
