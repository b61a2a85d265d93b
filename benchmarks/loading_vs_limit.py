"""An epoch of a mix takes little longer than decoding its clips does, by processes that do nothing else.

1,000 rows of 480p clips (benchmarks.loading_clips). The limit is two processes that have the clips in memory, decode
half of them each with the loader's own function and throw the frames away; their start does not count, that of the
loader's workers does. Both are run in turn; the value is the loader's rate over the limit's, the median over pairs.

Further rows are the same epoch streamed, with no pack at hand: from a DVC remote that is a directory, and from one that
is S3, whose server (moto, in Python) runs on the same cores.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import md5
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import torch

from benchmarks.claim import Result, main
from benchmarks.loading_clips import BATCH, SAMPLING, WORKERS, Version, make_version, open_ours
from curate.mixes.files import MixFiles, Remote
from curate.mixes.loading.decode import decode_clip
from curate.mixes.loading.loader import MixLoader
from curate.mixes.loading.read import Disk
from curate.mixes.loading.rows import Rows, clip_of
from curate.mixes.loading.workers import Pool

_PAIRS, _STREAMED = 5, 200
_KEYS = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1"}


def measure(quick: bool) -> Result:
    torch.set_num_threads(1)
    os.environ.update(_KEYS)
    clips, rows, pairs = (4, 48, 2) if quick else (48, 1000, _PAIRS)
    with tempfile.TemporaryDirectory() as scratch, _s3() as endpoint:
        version = make_version(Path(scratch), clips, rows)
        some = pq.read_table(version.directory / "train-00000.parquet").slice(0, min(rows, _STREAMED))
        ways: dict[str, Callable[[], tuple[int, float]]] = {
            "limit: decoding alone": partial(_decoding_alone, version),
            "torch_loader": lambda: _epoch(open_ours(version), rows),
            "streamed, directory": partial(_streamed, Rows(some.drop_columns("video")), _directory(version)),
            "streamed, S3": partial(_streamed, Rows(some.drop_columns("video")), _bucket(version, endpoint)),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(pairs):
            for name, way in ways.items():
                count, seconds = way()
                rates[name].append(count / seconds)
    limit = rates["limit: decoding alone"]
    shares = {name: [own / most for own, most in zip(found, limit, strict=True)] for name, found in rates.items()}
    table = [
        {"way": name, "clips_per_s": statistics.median(found), "of_limit": statistics.median(shares[name])}
        for name, found in rates.items()
    ]
    value = statistics.median(shares["torch_loader"])
    return Result(value, "of the rate of decoding alone", 0.9, at_most=False, rows=table, notes=_NOTES)


_NOTES = f"Streamed epochs have {_STREAMED} rows, so that the start of the workers weighs more in them."


def _decoding_alone(version: Version) -> tuple[int, float]:
    """Clips, and seconds of the slower of two processes that have read theirs before."""
    context = get_context("spawn")
    ours, theirs = zip(*(context.Pipe() for _ in range(WORKERS)), strict=True)
    processes = [
        context.Process(target=_decode_part, args=(end, version.directory, at)) for at, end in enumerate(theirs)
    ]
    for process in processes:
        process.start()
    counts = [end.recv() for end in ours]
    for end in ours:
        end.send("go")
    seconds = [end.recv() for end in ours]
    for process in processes:
        process.join()
    return sum(counts), max(seconds)


def _decode_part(end: Connection, directory: Path, at: int) -> None:
    rows, disk = Rows(pq.read_table(directory / "train-00000.parquet")), Disk(directory)
    clips = [clip_of({**row, "video": None}) for row in rows.take(np.arange(at, len(rows), WORKERS))]
    contents = {clip.clip_id: disk.read(clip.pack, clip.offset, clip.size) for clip in clips}
    end.send(len(clips))
    end.recv()
    started = time.perf_counter()
    for clip in clips:
        decode_clip(contents[clip.clip_id], SAMPLING, clip.duration_s)
    end.send(time.perf_counter() - started)


def _epoch(loader: MixLoader, rows: int, started: float | None = None) -> tuple[int, float]:
    started = started or time.perf_counter()
    count = sum(len(batch.rows) for batch in loader)
    seconds = time.perf_counter() - started
    loader.close()
    if count != rows:
        raise AssertionError(f"{count} clips of {rows}")
    return count, seconds


def _streamed(rows: Rows, files: MixFiles) -> tuple[int, float]:
    started = time.perf_counter()
    pool = Pool(WORKERS)
    pool.begin(files, SAMPLING)
    loader = MixLoader(
        rows, pool, SAMPLING, batch_size=BATCH, capabilities=("bounce",), shuffle=True, seed=0, rank=0, world_size=1,
        drop_last=False, on_error="raise",
    )  # fmt: skip
    return _epoch(loader, len(rows), started)


def _directory(version: Version) -> MixFiles:
    return _remote(version, fsspec.filesystem("file"), str(version.directory / "remote"))


def _bucket(version: Version, endpoint: str) -> MixFiles:
    system = fsspec.filesystem("s3", endpoint_url=endpoint)
    system.mkdir("loading")
    return _remote(version, system, "loading/files/md5")


def _remote(version: Version, system: Any, root: str) -> MixFiles:
    """The packs as objects of a DVC remote, none of which is here."""
    remote, hashes = Remote(system, root), {}
    for pack in (version.directory / "media").iterdir():
        hashes[f"media/{pack.name}"] = md5(pack.read_bytes()).hexdigest()
        path = remote.path(hashes[f"media/{pack.name}"])
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
        system.put_file(str(pack), path)
    nowhere = version.directory / "nothing"
    return MixFiles("mix loading", hashes, nowhere, nowhere, remote)


@contextmanager
def _s3() -> Iterator[str]:
    """The address of an S3 of our own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main("loading_vs_limit", measure)
