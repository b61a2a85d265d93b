"""The page of `curate capability check`: what a spec matches today, with its best, borderline and worst clips."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curate.report.pictures import Pictures, playable, read_pictures
from curate.report.render import render, write_page
from curate.targets.scoring.preview import Preview
from curate.workspace import Workspace

PLACES = {
    "best": "The likeliest clips. Is every one of them what the definition says?",
    "borderline": "On both sides of what decides. Here a better text, or a label, helps most.",
    "worst": "The least likely clips that the conditions let through. Is something here that belongs above?",
}
WIDTH, HEIGHT = 720, 190
"""Of the histogram, in user units."""
_LEFT, _BOTTOM, _TOP = 34, 22, 16
_PICTURES = 3
"""Small ones under each clip."""


def write_preview(workspace: Workspace, found: Preview, path: Path) -> Path:
    """Writes the page to `path`, and returns it. Footage is not copied: it plays where its file still is.

    Raises:
        InputError: it cannot be written there.
    """
    pictures = read_pictures(workspace.catalog, found.shown["clip_id"])
    clips = [_clip(row, pictures) for row in found.shown.iter_rows(named=True)]
    html = render(
        "preview.html",
        name=workspace.root.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        found=found,
        spec=found.spec,
        decides=decides(found),
        places=[(place, words, [clip for clip in clips if clip["place"] == place]) for place, words in PLACES.items()],
        chart=_chart(found),
    )
    return write_page(path, html)


def decides(found: Preview) -> str:
    """In words, from what on a clip matches, and where that comes from."""
    row = found.calibration
    if found.calibrated:
        return f"probability 0.5 or more ({row['calibration']} over {row['features']}, from {row['labels']} labels)"
    if found.level is None:
        return "nothing yet: there are too few clips to find a level"
    source = "as `match.level` says" if found.level_from == "spec" else "found from the clips"
    return f"similarity {found.level:.3f} or more, {source}"


def _clip(row: dict[str, Any], pictures: Pictures) -> dict[str, Any]:
    middle_s = (row["best_start_s"] + row["best_end_s"]) / 2
    strip = pictures.strip(row["clip_id"])
    return {
        **row,
        "jpeg": pictures.encoded(row["clip_id"], middle_s),
        "strip": strip[:: max(len(strip) // _PICTURES, 1)][:_PICTURES],
        "file": Path(row["path"]).name,
        "uri": playable(row["path"], row["best_start_s"], row["best_end_s"]),
    }


def _chart(found: Preview) -> dict[str, Any] | None:
    """The histogram as rectangles: eligible clips, of those that match, and the level as a line."""
    bins = found.histogram
    if not bins:
        return None
    low, high = bins[0]["low"], bins[-1]["high"]
    most = max(each["clips"] for each in bins)

    def x(similarity: float) -> float:
        return round(_LEFT + (similarity - low) / (high - low) * (WIDTH - _LEFT), 1)

    def tall(clips: int) -> float:
        return round(clips / most * (HEIGHT - _BOTTOM - _TOP), 1)

    floor = HEIGHT - _BOTTOM
    bars = []
    for each in bins:
        words = f"{each['low']:.3f} to {each['high']:.3f}: {each['clips']} clips, {each['matches']} match"
        labelled = [f"{each[verdict]} labelled {verdict}" for verdict in ("present", "absent") if each[verdict]]
        bars.append(
            {
                "x": x(each["low"]) + 1,
                "width": round(x(each["high"]) - x(each["low"]) - 2, 1),
                "y": floor - tall(each["clips"]),
                "height": tall(each["clips"]),
                "match_y": floor - tall(each["matches"]),
                "match_height": tall(each["matches"]),
                "words": ", ".join([words, *labelled]),
            }
        )
    level = found.level if not found.calibrated and found.level is not None and low <= found.level <= high else None
    ticks = [
        {"x": x(low + share * (high - low)), "words": f"{low + share * (high - low):.2f}"} for share in (0, 0.5, 1)
    ]
    return {"bars": bars, "floor": floor, "most": most, "level": None if level is None else x(level), "ticks": ticks}
