"""Batches of a mix come at least as fast as from WebDataset's tar shards and from plain `datasets`, the first one too.

The same clips, decoded by the same function into the same frames (benchmarks.loading_clips), each loader in the way its
own users run it: `torch_loader` on rows and packs, WebDataset's `WebLoader` on tar shards, torch's `DataLoader` on
`datasets` with the mp4 in zip packs and with it in Parquet. All shuffle, and all keep their workers between epochs.
`first_s` is the time from opening a loader to its first batch, `clips_per_s` the rate of its second epoch. The value is
that rate over that of the best other loader: against each the median over rounds, in which all run in turn, and of
these the least.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import fsspec
import numpy as np
import torch
import webdataset
from torch.utils.data import DataLoader

from benchmarks.claim import Result, main
from benchmarks.loading_clips import (
    BATCH,
    LENGTH_S,
    SAMPLING,
    WORKERS,
    Version,
    make_version,
    open_ours,
    write_parquet,
    write_tars,
)
from curate.mixes.loading.decode import decode_clip

Decoded = tuple[np.ndarray, np.ndarray]
_PAIRS = 5


def measure(quick: bool) -> Result:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        version = make_version(Path(scratch), *((4, 32) if quick else (48, 150)))
        tars, parquet = write_tars(version), write_parquet(version)
        whole = datasets.load_dataset("parquet", data_files=str(parquet), split="train", cache_dir=scratch)
        rows = str(version.directory / "train-00000.parquet")
        zipped = datasets.load_dataset("parquet", data_files=rows, split="train", cache_dir=scratch)
        ways: dict[str, Callable[[], Iterable[Any]]] = {
            "curate": partial(open_ours, version),
            "webdataset": partial(_webdataset, tars),
            "datasets, zip": partial(_map_style, zipped, partial(_from_zip, version.directory)),
            "datasets, parquet": partial(_map_style, whole, _from_bytes),
        }
        found = _rounds(ways, version, 2 if quick else _PAIRS)
    rates = {name: [version.rows / epoch_s for _, epoch_s in some] for name, some in found.items()}
    value = min(
        statistics.median(own / other for own, other in zip(rates["curate"], rates[name], strict=True))
        for name in ways
        if name != "curate"
    )
    table = [
        {
            "loader": name,
            "clips_per_s": statistics.median(rates[name]),
            "first_s": statistics.median(first_s for first_s, _ in found[name]),
            "clips": version.rows,
            "clip_kb": round(version.clip_bytes / 1000),
        }
        for name in ways
    ]
    return Result(value, "x the best other loader", 1.0, at_most=False, rows=table, notes=_NOTES)


_NOTES = (
    "The others fork their workers from a process that has torch already; ours start anew, in 0.3 s of processor time"
    " each, and share the first batch."
)


def _rounds(
    ways: Mapping[str, Callable[[], Iterable[Any]]], version: Version, rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """(seconds to the first batch, of the second epoch) of each way, in turn, after one round that does not count."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            loader = way()
            batches = iter(loader)
            next(batches)
            first_s = time.perf_counter() - started
            for _ in batches:
                pass
            started = time.perf_counter()
            clips = sum(len(batch.mask if name == "curate" else batch[0]) for batch in loader)
            epoch_s = time.perf_counter() - started
            if clips != version.rows:
                raise AssertionError(f"{name} gave {clips} clips of {version.rows}")
            if name == "curate":
                loader.close()  # type: ignore[attr-defined]
            if number:
                found[name].append((first_s, epoch_s))
    return found


def _webdataset(tars: list[str]) -> Iterable[Any]:
    shards = webdataset.WebDataset(tars, shardshuffle=len(tars), seed=0, empty_check=False)
    samples = shards.shuffle(32).map(_from_sample).batched(BATCH, collation_fn=_collate)
    return webdataset.WebLoader(samples, batch_size=None, num_workers=WORKERS, persistent_workers=True)


def _map_style(
    data: datasets.Dataset, take: Callable[[dict[str, Any]], tuple[np.ndarray, np.ndarray]]
) -> Iterator[Any]:
    shown = data.cast_column("video", datasets.Video(decode=False)).with_transform(
        lambda rows: {"clip": [take(row) for row in _each(rows)]}
    )
    return DataLoader(
        shown, BATCH, shuffle=True, num_workers=WORKERS, collate_fn=_collate_rows, persistent_workers=True
    )


def _each(rows: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for at in range(len(rows["clip_id"])):
        yield {name: rows[name][at] for name in ("video", "duration_s")}


def _from_sample(sample: dict[str, Any]) -> Decoded:
    return decode_clip(sample["mp4"], SAMPLING, LENGTH_S)


def _from_bytes(row: dict[str, Any]) -> Decoded:
    return decode_clip(row["video"]["bytes"], SAMPLING, row["duration_s"])


def _from_zip(directory: Path, row: dict[str, Any]) -> Decoded:
    member, _, pack = row["video"]["path"].rpartition("::")
    with fsspec.open(f"{member}::{directory / pack}") as file:
        return decode_clip(file.read(), SAMPLING, row["duration_s"])


def _collate(clips: list[Decoded]) -> tuple[torch.Tensor, torch.Tensor]:
    frames, times_s = (torch.from_numpy(np.stack(part)) for part in zip(*clips, strict=True))
    return frames, times_s


def _collate_rows(rows: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    return _collate([row["clip"] for row in rows])


if __name__ == "__main__":
    main("loading", measure)
