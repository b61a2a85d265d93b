"""What a new version of a mix costs in bytes and seconds, where 1%, 5% or 20% of its clips change.

A mix of clips of random bytes, in sizes as cuts of 6 s have them (log-normal), each with 12 vectors of 512 dimensions
and a label, is staged and published by the real writers, git and DVC, to a remote directory. Then version after version
at random that share of the clips gives way to new ones, and as many others have their label edited. Bytes are all that
the remote has more than before: packs, vectors, rows, lock and DVC's list; a share is of the bytes of the version's
clips, vectors and rows. Seconds are those of staging and publishing, and of pulling it where the one before is.

Against it the same clips and changes as one file for each clip, which holds its vectors too, beside the same rows, by
`dvc add`, a git commit and `dvc push`; and `dvc pull` of them where the version before is.

The value is the worst share of bytes that a version which changes 5% adds. What cannot be less is that 5%.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from dvc.repo import Repo

from benchmarks.claim import Result, main
from curate.mixes.load import LOCK, open_files, pull, versions
from curate.mixes.packs import packs_of
from curate.mixes.publish import publish
from curate.mixes.stage import stage
from curate.mixes.supply import Supply
from curate.mixes.versions import git
from curate.vectors import pack
from curate.workspace import Workspace, create_workspace

TARGET = 0.10
_CHANGES = {False: (0.01, 0.01, 0.01, 0.05, 0.05, 0.05, 0.05, 0.05, 0.2, 0.2), True: (0.01, 0.05, 0.05, 0.2)}
_CLIPS, _CLIP_BYTES = {False: 3000, True: 1000}, {False: 200_000, True: 80_000}
_SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
_LENGTH_S, _FRAMES, _DIM = 6.0, 12, 512


@dataclass
class Mix:
    """What the next version holds: the number of each clip, and which edition of its label it has."""

    rng: np.random.Generator
    clip_bytes: int
    labels: dict[int, int]

    def change(self, share: float) -> None:
        """Swaps a share of the clips for new ones, and edits the labels of as many others."""
        clips = self.rng.permutation(sorted(self.labels))
        count = round(share * len(clips))
        for clip in clips[:count].tolist():
            del self.labels[clip]
        for clip in clips[count : 2 * count].tolist():
            self.labels[clip] += 1
        first = int(clips.max()) + 1
        self.labels |= dict.fromkeys(range(first, first + count), 0)

    def content(self, clip: int) -> bytes:
        rng = np.random.default_rng(clip)
        return rng.bytes(int(self.clip_bytes * rng.lognormal(-0.125, 0.5)))

    def chosen(self) -> pl.DataFrame:
        """As a draft has it."""
        rows = []
        for clip in sorted(self.labels):
            rng = np.random.default_rng(clip)
            start_s = float(clip) * _LENGTH_S
            vectors = rng.standard_normal((_FRAMES, _DIM), np.float32)
            rows.append({
                "clip_id": name_of(clip), "video_id": f"{clip // 10:032x}", "source": "made", "licence": "CC0-1.0",
                "group_id": f"{clip // 10:032x}", "path": "", "start_s": start_s, "end_s": start_s + _LENGTH_S,
                "repeat": 1, "roles": ["made"], "split": str(rng.choice(list(_SPLITS), p=list(_SPLITS.values()))),
                "frame_times_s": (start_s + np.arange(_FRAMES) / 2).tolist(), "frame_vectors": pack(vectors),
            })  # fmt: skip
        return pl.DataFrame(rows, schema_overrides={"repeat": pl.Int32})

    def supply(self) -> Supply:
        labels = pl.DataFrame([
            {
                "clip_id": name_of(clip), "capability": "made", "spec_version": "0", "verdict": "present",
                "exhaustive": True, "annotator": f"annotator{edition}",
                "segments": [{"start_s": clip * _LENGTH_S + 1.0, "end_s": clip * _LENGTH_S + 2.0, "fields": "{}"}],
            }
            for clip, edition in sorted(self.labels.items())
        ])  # fmt: skip
        return Supply(pl.DataFrame(), labels, "made", {})


def name_of(clip: int) -> str:
    """Clip ids are hashes: what comes later lies anywhere among what was there."""
    return np.random.default_rng(clip).bytes(8).hex()


class Packed:
    """Versions as Curate publishes them."""

    def __init__(self, directory: Path) -> None:
        self.workspace = workspace_at(directory / "packed", directory / "packed-remote")
        self.remote, self._clone = directory / "packed-remote", directory / "packed-clone"

    def publish(self, mix: Mix) -> None:
        cache = self.workspace.cache("exact-cuts")
        chosen = mix.chosen()
        before = None
        if known := versions(self.workspace, "made"):
            files = open_files(self.workspace, "made", known[-1].commit)
            before = files, packs_of(json.loads(files.read(LOCK)))
        held = {clip for each in (before[1] if before else []) for clip in each.members}
        for clip in mix.labels:
            target = cache / name_of(clip)[:2] / f"{name_of(clip)}.mp4"
            if name_of(clip) not in held:
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(mix.content(clip))
        shutil.rmtree(self.workspace.state / "tmp" / "mix", ignore_errors=True)
        staged = self.workspace.state / "tmp" / "mix"
        staged.mkdir(parents=True)
        packs = stage(self.workspace, staged, "made", chosen, mix.supply(), before=before)
        columns = (
            "clip_id",
            "video_id",
            "group_id",
            "source",
            "licence",
            "start_s",
            "end_s",
            "split",
            "repeat",
            "roles",
        )
        lock = {"clips": chosen.select(columns).to_dicts(), "packs": [each.record() for each in packs]}
        (staged / LOCK).write_text(json.dumps(lock, indent=1))
        publish(self.workspace, "made", staged, content=str(len(known)), rows={}, who="benchmark", why="change")
        shutil.rmtree(cache)

    def pull(self) -> None:
        if not self._clone.exists():
            git(self.workspace.root, "clone", "--quiet", str(self.workspace.root), str(self._clone))
        git(self._clone, "pull", "--quiet", "--tags")
        pull(Workspace(self._clone), "made")

    def bytes(self) -> int:
        sizes = open_files(self.workspace, "made", versions(self.workspace, "made")[-1].commit).sizes
        return sum(sizes.values())


class Single:
    """Versions as one file for each clip, beside the same rows."""

    def __init__(self, directory: Path) -> None:
        self.workspace = workspace_at(directory / "single", directory / "single-remote")
        self.remote, self._clone = directory / "single-remote", directory / "single-clone"

    def publish(self, mix: Mix) -> None:
        data = self.workspace.data
        data.mkdir(exist_ok=True)
        wanted = {f"{name_of(clip)}.mp4": clip for clip in mix.labels}
        for path in data.glob("*.mp4"):
            if path.name not in wanted:
                path.unlink()
        rows = mix.chosen().join(mix.supply().labels, on="clip_id").sort("clip_id")
        vectors = dict(rows.select("clip_id", "frame_vectors").iter_rows())
        for name, clip in wanted.items():
            if not (data / name).exists():
                (data / name).write_bytes(mix.content(clip) + vectors[name_of(clip)])
        rows.drop("frame_vectors").write_parquet(data / "rows.parquet")
        with Repo(str(self.workspace.root)) as repo:
            repo.scm_context.quiet = True
            repo.add(str(data))
            git(self.workspace.root, "add", "data.dvc", ".gitignore", ".dvc/config")
            git(self.workspace.root, *_AUTHOR, "commit", "--quiet", "--message", "change")
            repo.push()

    def pull(self) -> None:
        if not self._clone.exists():
            git(self.workspace.root, "clone", "--quiet", str(self.workspace.root), str(self._clone))
        git(self._clone, "pull", "--quiet")
        with Repo(str(self._clone)) as repo:
            repo.pull()

    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.workspace.data.iterdir())


_AUTHOR = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")


def workspace_at(root: Path, remote: Path) -> Workspace:
    """A new workspace that publishes to a directory."""
    workspace = create_workspace(root, sample=True)
    with Repo(str(root)) as repo, repo.config.edit() as config:
        config["core"]["remote"], config["remote"]["store"] = "store", {"url": str(remote)}
    git(root, "add", ".dvc/config")
    git(root, *_AUTHOR, "commit", "--quiet", "--message", "remote")
    return workspace


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def stored(remote: Path) -> int:
    """Bytes of all that a remote holds."""
    return sum(path.stat().st_size for path in remote.rglob("*") if path.is_file())


def measure(quick: bool = False) -> Result:
    mix = Mix(np.random.default_rng(0), _CLIP_BYTES[quick], dict.fromkeys(range(_CLIPS[quick]), 0))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="mix-versions-") as temporary:
        packed, single = Packed(Path(temporary)), Single(Path(temporary))
        ways: dict[str, Packed | Single] = {"packs": packed, "files": single}
        for version, change in enumerate((1.0, *_CHANGES[quick]), start=1):
            if version > 1:
                mix.change(change)
            row: dict[str, Any] = {"version": version, "changed": change}
            added = {}
            for name, way in ways.items():
                before = stored(way.remote)
                row[f"{name}_publish_s"] = seconds(partial(way.publish, mix))
                row[f"{name}_pull_s"] = seconds(way.pull)
                added[name] = stored(way.remote) - before
            live = single.bytes()
            row |= {f"{name}_added": size / live for name, size in added.items()}
            rows.append(row | {"packs_kept": packed.bytes() / live, "megabytes": live / 1e6})
    return Result(
        value=max(row["packs_added"] for row in rows if row["changed"] == 0.05),
        unit="of the bytes",
        target=TARGET,
        at_most=True,
        rows=rows,
        notes=f"{len(mix.labels)} clips. packs_kept: a version's bytes over those of its clips, rows, vectors.",
    )


if __name__ == "__main__":
    main("mix_versions", measure)
