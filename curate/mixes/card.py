"""The dataset card of a mix: what it holds, under which licences, what it lacks, and how to load it.

Everything in it is from the lock, so a card says nothing that the lock cannot prove.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from curate.mixes.files import open_files
from curate.mixes.packs import FRAMES, MEDIA, packs_of
from curate.mixes.plots import plots
from curate.mixes.versions import resolve
from curate.workspace import Workspace

PLOTS = "plots"

_SPDX_ON_CARDS = {
    "CC0-1.0": "cc0-1.0", "CC-BY-4.0": "cc-by-4.0", "CC-BY-3.0": "cc-by-3.0", "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0", "Apache-2.0": "apache-2.0", "MIT": "mit", "PDDL-1.0": "pddl",
}  # fmt: skip
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_MOST_LISTED = 12


def write_card(directory: Path, lock: Mapping[str, Any]) -> None:
    """Writes README.md and plots/, with the front matter by which `datasets` loads the directory itself."""
    (directory / "README.md").write_text(f"---\n{_front_matter(lock)}---\n\n{_body(lock)}")
    (directory / PLOTS).mkdir()
    for name, content in plots(lock).items():
        (directory / PLOTS / name).write_text(content)


def card(workspace: Workspace, name: str, rev: str | None = None) -> str:
    """The card of a published version, as Markdown.

    Raises:
        InputError: no such mix or revision.
        CurateError: it is neither in the cache nor on a remote.
    """
    return open_files(workspace, name, resolve(workspace, name, rev)).read("README.md").decode()


def _front_matter(lock: Mapping[str, Any]) -> str:
    splits = {split: facts for split, facts in lock["splits"].items() if facts["rows"]}
    rows = sum(facts["rows"] for facts in splits.values())
    licences = sorted({_SPDX_ON_CARDS.get(name, "other") for facts in splits.values() for name in facts["licences"]})
    framed = {pack.split for pack in packs_of(lock) if pack.kind == FRAMES}
    configs = [
        _config("default", splits, ""),
        _config("frames", [split for split in splits if split in framed], "frames/"),
    ]
    content = {
        "pretty_name": lock["mix"]["name"],
        "license": licences,
        "task_categories": ["video-classification"],
        "tags": ["video", "temporal-segments", "curate"],
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "n>1M")],
        "configs": [config for config in configs if config["data_files"]],
    }
    return yaml.safe_dump(content, sort_keys=False)


def _config(name: str, splits: Iterable[str], directory: str) -> dict[str, Any]:
    return {
        "config_name": name,
        "data_files": [{"split": split, "path": f"{directory}{split}-*.parquet"} for split in splits],
        **({"default": True} if name == "default" else {}),
    }


def _body(lock: Mapping[str, Any]) -> str:
    mix = lock["mix"]
    parts = [
        f"# {mix['name']}",
        "A training mix of video clips with temporal segments, made by Curate. `lock.json` says what it holds, clip by "
        f"clip, and why. Content `{lock['content']}`, frame embeddings by `{lock['embedding_model'] or 'none'}`.",
        "## Splits",
        _table(
            ("split", "rows", "clips", "videos", "groups", "hours", "clips by source"),
            [
                (
                    split,
                    *(facts[name] for name in ("rows", "clips", "videos", "groups")),
                    f"{facts['hours']:.2f}",
                    _listed(facts["sources"]),
                )
                for split, facts in lock["splits"].items()
            ],
        ),
        "A row is one occurrence of a clip, and training may repeat one. No source video, and no video that shows the "
        "same footage, is in two splits, in this or any other version.",
        _plot("durations", "Clips by duration"),
        _plot("sources", "Clips by source"),
        "## Licences",
        _table(("licence", *lock["splits"]), _licences(lock)),
        "Clips under each. The licence of a clip is in its row, and so is the video it is from.",
        _plot("licences", "Clips by licence"),
        "## Capabilities",
        "Clips labelled present / absent, and segments, in each split.",
        _table(
            ("capability", "definition", *lock["splits"]),
            [
                (
                    name,
                    lock["capabilities"][name]["spec"]["definition"],
                    *(f"{n['present']} / {n['absent']}, {n['segments']} segments" for n in counts.values()),
                )
                for name, counts in lock["counts"].items()
            ],
        ),
        _plot("labels", "Labelled clips by capability and split"),
        "## Shares of the training split",
        "As fractions of the budget. A clip counts for one share, and carries all its labels.",
        _table(
            ("share", "requested", "feasible", "realised"),
            [
                (name, *(f"{100 * lock[kind][name]:.1f}%" for kind in ("requested", "feasible", "realised")))
                for name in lock["requested"]
            ],
        ),
        _plot("shares", "Requested, feasible and realised shares"),
        "## Known limits",
        *_limits(lock),
        "## Files",
        _files(lock),
        "## Load it",
        _HOW.format(name=mix["name"]),
    ]
    return "\n\n".join(parts) + "\n"


def _licences(lock: Mapping[str, Any]) -> list[tuple]:
    splits = lock["splits"].values()
    names = sorted({name for facts in splits for name in facts["licences"]})
    return [(name or "none given", *(facts["licences"].get(name, 0) for facts in splits)) for name in names]


def _files(lock: Mapping[str, Any]) -> str:
    """What a version costs to pull, and how much of it this version does not use."""
    live = {clip["clip_id"] for clip in lock["clips"]}
    rows = []
    for kind, what in ((MEDIA, "mp4, stored in ZIP files"), (FRAMES, "vectors of frames, Parquet")):
        packs = [pack for pack in packs_of(lock) if pack.kind == kind]
        size = sum(pack.bytes for pack in packs)
        sizes = [(clip, n) for pack in packs for clip, n in zip(pack.members, pack.sizes, strict=True)]
        unused = sum(n for clip, n in sizes if clip not in live) / max(sum(n for _, n in sizes), 1)
        rows.append((f"`{kind}/`", what, len(packs), f"{size / 1e6:.1f} MB", f"{100 * unused:.0f}%"))
    table = _table(("directory", "what", "packs", "size", "of clips of older versions"), rows)
    return f"{table}\n\nPacks never change, so versions share them; `lock.json` lists the clips of each."


def _plot(name: str, words: str) -> str:
    return f"![{words}]({PLOTS}/{name}.svg)"


def _listed(counts: Mapping[str, int]) -> str:
    """The largest few of many names, with their counts."""
    first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    told = [f"{name} {count}" for name, count in first[:_MOST_LISTED]]
    rest = len(first) - len(told)
    return ", ".join([*told, *([f"{rest} others"] if rest else [])])


def _limits(lock: Mapping[str, Any]) -> list[str]:
    known = [f"- Short: {shortfall['words']}." for shortfall in lock["shortfalls"]]
    known += [f"- {conflict}." for conflict in lock["conflicts"]]
    known += [f"- {words}." for words in contested_words(lock)]
    for split in ("validation", "test"):
        unmeasured = [name for name, counts in lock["counts"].items() if not counts[split]["present"]]
        if unmeasured:
            known.append(f"- Nothing in {split} shows: {', '.join(unmeasured)}.")
    known.append("- A capability without a label on a clip is unknown there, not absent.")
    return ["\n".join(known)]


def contested_words(lock: Mapping[str, Any]) -> list[str]:
    """How many labels a version was made without, since annotators differ on them."""
    return [
        f"{name}: {count} labelled {'clip' if count == 1 else 'clips'} left out until a review settles what annotators"
        " differ on"
        for name, count in lock.get("contested", {}).items()
    ]


def _table(head: tuple[str, ...], rows: list[tuple]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    """A value as one line of text in a table, with nothing in it that Markdown or HTML would take for its own."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


_HOW = """\
```python
from curate import clip_bytes, load_mix, torch_loader

train = load_mix("{name}", split="train")  # rev="v1" for an older version
mp4 = clip_bytes(train[0])
batches = torch_loader("{name}", split="train", batch_size=16)  # frames, times and targets for torch
```

or, in this directory, without Curate:

```python
import os

import fsspec
from datasets import load_dataset

train = load_dataset(os.getcwd(), split="train")
vectors = load_dataset(os.getcwd(), "frames", split="train")  # by clip_id
with fsspec.open(train[0]["video"]["path"]) as file:
    mp4 = file.read()
```

`unzip 'media/*.zip' -d clips` makes plain files of the clips.

`repeat` counts a clip's occurrences from 0. `video.path` is the mp4 in its pack, `media` the slice of the pack that it
is. Times of `labels[].segments` and `frame_times_s` are seconds from the clip's start, `start_s` and `end_s` seconds in
the source video. `labels[].segments[].fields` is JSON, `frame_vectors` are of unit length."""
