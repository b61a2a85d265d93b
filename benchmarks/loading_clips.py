"""A version of a mix to load: 480p clips of 2 s in packs, and the same ones in the forms that other loaders read.

The clips are real footage where there is some (benchmarks.footage), cut as mixes are. Of every way the frames are those
that `decode_clip` gives, 2 a second at 224 x 224, in batches of 8, with 2 processes that decode.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.footage import make
from curate.media.exact import cut_exactly
from curate.mixes.loading.decode import Sampling
from curate.mixes.loading.export import write_shards
from curate.mixes.loading.loader import MixLoader, torch_loader
from curate.mixes.loading.read import Disk
from curate.mixes.loading.rows import Rows, clip_of
from curate.mixes.packs import write_media_pack
from curate.mixes.rows import FEATURES

LENGTH_S, WIDTH, HEIGHT = 2.0, 854, 480
BATCH, WORKERS = 8, 2
SAMPLING = Sampling((224, 224), fps=2.0)
_SHARDS = 8


@dataclass(frozen=True)
class Version:
    """What is loaded.

    Attributes:
        directory: as published: rows and packs.
        rows: how many; a clip may occur several times.
        clip_bytes: of a clip, the mean.
    """

    directory: Path
    rows: int
    clip_bytes: float


def make_version(directory: Path, clips: int, rows: int) -> Version:
    """Writes `clips` different clips in one pack, and `rows` rows that hold each equally often."""
    source = make(directory, "loading", WIDTH, HEIGHT, clips * LENGTH_S)
    paths = {f"{number:06x}": directory / f"{number:06x}.mp4" for number in range(clips)}

    def cut(clip: str) -> None:
        start_s = int(clip, 16) * LENGTH_S
        cut_exactly(source, start_s, start_s + LENGTH_S, paths[clip])

    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(cut, paths))
    pack, _ = write_media_pack(directory, "train", sorted(paths), lambda clip: paths[clip].read_bytes())
    segment = {"start_s": 1.0, "end_s": 2.0, "fields": "{}"}
    label = {
        "capability": "bounce", "spec_version": "v", "verdict": "present", "exhaustive": True, "annotator": "a",
        "segments": [segment],
    }  # fmt: skip
    told = [
        {
            "clip_id": clip, "video_id": "v", "source": "s", "licence": "CC0-1.0", "group_id": "g", "repeat": repeat,
            "start_s": 0.0, "end_s": LENGTH_S, "duration_s": LENGTH_S, "embedding_model": "m", "roles": ["bounce"],
            "video": {"bytes": None, "path": f"zip://{clip}.mp4::{pack.path}"}, "labels": [label],
            "media": {"pack": pack.path, "offset": offset, "size": size},
        }
        for at, (clip, offset, size) in enumerate(zip(pack.members, pack.offsets, pack.sizes, strict=True))
        for repeat in range(rows // clips + (at < rows % clips))
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(told, schema=FEATURES.arrow_schema), directory / "train-00000.parquet")
    return Version(directory, rows, float(np.mean(pack.sizes)))


def open_ours(version: Version) -> MixLoader:
    """The loader of this project, on a directory as `curate.load_mix` leaves it."""
    return torch_loader(version.directory, batch_size=BATCH, fps=SAMPLING.fps, size=SAMPLING.size, workers=WORKERS)


def contents(version: Version) -> Iterator[tuple[dict, bytes]]:
    """Every row with its mp4."""
    rows, disk = rows_of(version), Disk(version.directory)
    for row in rows.take(np.arange(len(rows))):
        clip = clip_of(row)
        yield row, disk.read(clip.pack, clip.offset, clip.size)


def rows_of(version: Version) -> Rows:
    return Rows(pq.read_table(version.directory / "train-00000.parquet"))


def write_tars(version: Version) -> list[str]:
    """The rows as WebDataset shards, as many of them as its workers share evenly."""
    table = pq.read_table(version.directory / "train-00000.parquet")
    packs = [
        {**row, "path": f"zip://{clip}.mp4::{version.directory / media['pack']}"}
        for row, clip, media in zip(
            table["video"].to_pylist(), table["clip_id"].to_pylist(), table["media"].to_pylist(), strict=True
        )
    ]
    at = table.schema.get_field_index("video")
    rows = Rows(table.set_column(at, "video", pa.array(packs, FEATURES.arrow_schema.field("video").type)))
    directory = version.directory / "tars"
    directory.mkdir()
    list(write_shards(directory, "train", rows, most_bytes=int(version.rows * version.clip_bytes / _SHARDS * 1.05)))
    return sorted(str(path) for path in directory.iterdir())


def write_parquet(version: Version) -> Path:
    """The rows as Parquet with the mp4 inside."""
    told = [{**row, "video": {"bytes": content, "path": None}} for row, content in contents(version)]
    path = version.directory / "whole.parquet"
    schema = pa.schema([FEATURES.arrow_schema.field(name) for name in told[0]])
    pq.write_table(pa.Table.from_pylist(told, schema=schema), path, row_group_size=100)
    return path
