"""The dataset card of a mix: what it holds, under which licences, what it lacks, and how to load it.

Everything in it is from the lock, so a card says nothing that the lock cannot prove.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_SPDX_ON_CARDS = {
    "CC0-1.0": "cc0-1.0", "CC-BY-4.0": "cc-by-4.0", "CC-BY-3.0": "cc-by-3.0", "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0", "Apache-2.0": "apache-2.0", "MIT": "mit", "PDDL-1.0": "pddl",
}  # fmt: skip
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_card(path: Path, lock: Mapping[str, Any]) -> None:
    """Writes README.md with the front matter that `datasets` reads, so that the directory itself can be loaded."""
    path.write_text(f"---\n{_front_matter(lock)}---\n\n{_body(lock)}")


def _front_matter(lock: Mapping[str, Any]) -> str:
    splits = {split: facts for split, facts in lock["splits"].items() if facts["rows"]}
    rows = sum(facts["rows"] for facts in splits.values())
    licences = sorted({_SPDX_ON_CARDS.get(name, "other") for facts in splits.values() for name in facts["licences"]})
    framed = sorted(
        {pack["path"].split("/")[1].rsplit("-", 1)[0] for pack in lock["packs"] if pack["path"].startswith("frames/")}
    )
    content = {
        "pretty_name": lock["mix"]["name"],
        "license": licences,
        "task_categories": ["video-classification"],
        "tags": ["video", "temporal-segments", "curate"],
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "n>1M")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"{split}-*.parquet"} for split in splits],
                "default": True,
            },
            {
                "config_name": "frames",
                "data_files": [{"split": split, "path": f"frames/{split}-*.parquet"} for split in framed],
            },
        ],
    }
    return yaml.safe_dump(content, sort_keys=False)


def _body(lock: Mapping[str, Any]) -> str:
    mix = lock["mix"]
    parts = [
        f"# {mix['name']}",
        "A training mix of video clips with temporal segments, made by Curate. `lock.json` says what it holds, clip by "
        f"clip, and why. Content `{lock['content']}`, frame embeddings by `{lock['embedding_model'] or 'none'}`.",
        "## Splits",
        _table(
            ("split", "rows", "clips", "videos", "hours", "licences", "clips by source"),
            [
                (
                    split,
                    facts["rows"],
                    facts["clips"],
                    facts["videos"],
                    f"{facts['hours']:.2f}",
                    ", ".join(facts["licences"]),
                    ", ".join(f"{source} {count}" for source, count in facts["sources"].items()),
                )
                for split, facts in lock["splits"].items()
            ],
        ),
        "No source video, and no video that shows the same footage, is in two splits, in this or any other version.",
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
        "## Shares of the training split",
        "As fractions of the budget. A clip counts for one share, and carries all its labels.",
        _table(
            ("share", "requested", "feasible", "realised"),
            [
                (name, *(f"{100 * lock[kind][name]:.1f}%" for kind in ("requested", "feasible", "realised")))
                for name in lock["requested"]
            ],
        ),
        "## Known limits",
        *_limits(lock),
        "## Load it",
        _HOW.format(name=mix["name"]),
    ]
    return "\n\n".join(parts) + "\n"


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
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


_HOW = """\
```python
from curate import load_mix

train = load_mix("{name}", split="train")  # rev="v1" for an older version
```

or, in this directory, without Curate:

```python
from datasets import load_dataset

train = load_dataset("parquet", data_files="train-*.parquet", split="train")
```

One row is one occurrence of a clip; `repeat` counts a clip's occurrences from 0. `video` holds an mp4 as bytes. Times
of `labels[].segments` and `frame_times_s` are seconds from the clip's start, `start_s` and `end_s` seconds in the
source video. `frame_vectors` are of unit length."""
