"""A published mix as batches for a training loop: frames, their times, and dense targets of its capabilities.

    loader = curate.torch_loader("base", rev="v3", split="train", batch_size=16, fps=2)
    for epoch in range(loader.epoch, 10):
        loader.set_epoch(epoch)
        for batch in loader:
            loss = criterion(model(batch.frames), batch.on, batch.known & batch.mask[..., None])

Under torch.distributed each rank gets its part of every batch; the parts of all ranks are the epoch, every row once.
`state_dict` says how far the loop has come, and `load_state_dict` goes on from there, with any number of ranks.
"""

from __future__ import annotations

import os
import warnings
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from curate.errors import DecodeError, InputError
from curate.mixes.loading.decode import Sampling
from curate.mixes.loading.labels import dense_targets
from curate.mixes.loading.order import Position, epoch_order, part, steps
from curate.mixes.loading.read import Clip, Disk, Source
from curate.mixes.loading.rows import Rows, clip_of, read_directory
from curate.mixes.loading.workers import Pool, Times

if TYPE_CHECKING:
    import datasets

_STATE = ("seed", "shuffle", "rows")


@dataclass(frozen=True)
class Batch:
    """B clips of up to T frames; C capabilities, in the loader's order.

    Attributes:
        frames: uint8 [B, T, 3, H, W], RGB; zero where `mask` is not set.
        times_s: float64 [B, T], from the clip's first frame.
        mask: bool [B, T], where there is a frame.
        on: float32 [B, T, C], 1 where the frame shows the capability.
        known: bool [B, T, C], where a label says what `on` is; elsewhere `on` means nothing.
        rows: of each clip, clip_id and its labels with their fields among others.
    """

    frames: torch.Tensor
    times_s: torch.Tensor
    mask: torch.Tensor
    on: torch.Tensor
    known: torch.Tensor
    rows: list[dict[str, Any]]

    def to(self, device: torch.device | str) -> Batch:
        """The same on a device; copies overlap with computing where the loader pins memory."""
        names = ("frames", "times_s", "mask", "on", "known")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})


def torch_loader(
    mix: str | Path | datasets.Dataset | datasets.DatasetDict,
    *,
    rev: str | None = None,
    split: str = "train",
    workspace: Path | str = ".",
    batch_size: int,
    fps: float | None = 2.0,
    frames: int | None = None,
    size: int | tuple[int, int] = 224,
    capabilities: Sequence[str] | None = None,
    shuffle: bool = True,
    seed: int = 0,
    rank: int | None = None,
    world_size: int | None = None,
    workers: int | None = None,
    drop_last: bool = False,
    stream: bool = False,
    on_error: Literal["raise", "skip"] = "raise",
) -> MixLoader:
    """Opens a split of a mix for training.

    Args:
        mix: the name of a published mix; what `load_mix` returned, or a part of it; or a Path to a version's directory.
        rev: of a name: v1, v2 ... or any git revision; the newest version where not given.
        batch_size: clips in a batch of each rank.
        fps, frames: which frames of a clip, see `Sampling`. T is `frames` where given, else what the batch needs.
        size: height and width of the frames, or both: short side, then centre crop.
        capabilities: columns of the targets; all that the split has labels of where not given, so give them where
            several splits are to agree. One without any label is warned of.
        shuffle: each epoch in an order of its own, which rows, seed and epoch alone decide.
        rank, world_size: by default those of torch.distributed, else RANK and WORLD_SIZE of the environment, else one.
        workers: processes that decode; by default a core each, shared among the ranks of a machine. 0: in this one.
        drop_last: leave out the last step of an epoch where it is not full. Else its parts are smaller, with an empty
            one where fewer rows than ranks are left; every rank always takes as many steps as the others.
        stream: fetch only rows, and of each clip its bytes when its turn comes, from DVC's cache or the remote.
        on_error: whether a clip that cannot be decoded ends training, or stays in its batch with `mask` and `known`
            unset and is noted in `MixLoader.skipped`.

    Raises:
        InputError: no such mix, revision or split, or arguments that make no sense.
        CurateError: the mix is neither here nor on a remote.
    """
    sampling = Sampling((size, size) if isinstance(size, int) else size, fps=fps, frames=frames)
    own_rank, own_size = _place()
    rank, world_size = own_rank if rank is None else rank, own_size if world_size is None else world_size
    for name, value, least in (("batch_size", batch_size, 1), ("workers", workers, 0), ("world_size", world_size, 1)):
        if value is not None and value < least:
            raise InputError(f"{name} is {value}", fix=f"It must be at least {least}")
    if not 0 <= rank < world_size:
        raise InputError(f"rank {rank} of {world_size}", fix="Ranks count from 0")
    if on_error not in ("raise", "skip"):
        raise InputError(f"on_error is {on_error!r}", fix='It must be "raise" or "skip"')
    pool = Pool(_cores() if workers is None else workers)
    try:
        rows, source = _open(mix, rev, split, workspace, stream=stream)
    except BaseException:
        pool.close()
        raise
    pool.begin(source, sampling)
    labelled = rows.capabilities()
    for capability in sorted(set(capabilities or ()) - set(labelled)):
        warnings.warn(f"no label of {capability!r} in this split: there are {', '.join(labelled)}", stacklevel=2)
    return MixLoader(
        rows,
        pool,
        sampling,
        batch_size=batch_size,
        capabilities=labelled if capabilities is None else capabilities,
        shuffle=shuffle,
        seed=seed,
        rank=rank,
        world_size=world_size,
        drop_last=drop_last,
        on_error=on_error,
    )


class MixLoader:
    """Batches of one epoch per iteration, from where training stands; `torch_loader` makes it.

    An iteration that is left begins, when it is taken up again, after the last batch that it gave. Two batches at least
    are decoded in advance.

    Attributes:
        capabilities: the columns of the targets.
        skipped: why clips could not be decoded, by clip id, with on_error="skip".
    """

    def __init__(
        self,
        rows: Rows,
        pool: Pool,
        sampling: Sampling,
        *,
        batch_size: int,
        capabilities: Sequence[str],
        shuffle: bool,
        seed: int,
        rank: int,
        world_size: int,
        drop_last: bool,
        on_error: str,
    ) -> None:
        self.capabilities = tuple(capabilities)
        self.skipped: dict[str, str] = {}
        self._rows, self._sampling, self._batch_size = rows, sampling, batch_size
        self._shuffle, self._seed, self._drop_last, self._on_error = shuffle, seed, drop_last, on_error
        self._rank, self._world_size = rank, world_size
        self._position = Position()
        self._pinned = torch.cuda.is_available()
        self._ahead = max(2, -(-4 * len(pool) // batch_size)) if len(pool) else 0
        self._pool = pool
        self._end = weakref.finalize(self, pool.close)

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration gives, or goes on with."""
        return self._position.epoch

    def set_epoch(self, epoch: int) -> None:
        """Goes to the start of an epoch; stays where it is in the present one."""
        if epoch != self._position.epoch:
            self._position = Position(epoch)

    def __len__(self) -> int:
        """Batches that are left of the epoch."""
        return sum(1 for _ in self._steps())

    def __iter__(self) -> Iterator[Batch]:
        """Batches up to the end of the epoch.

        Raises:
            DecodeError: a clip cannot be decoded; it names clip and pack.
            CurateError: a pack cannot be read, or a worker died.
        """
        epoch, at = self._position.epoch, self._position.consumed
        order = epoch_order(len(self._rows), self._seed, epoch, shuffle=self._shuffle)
        window: deque[tuple[_Pending, int]] = deque()
        try:
            for size in self._steps():
                own = order[at : at + size][part(size, self._rank, self._world_size)]
                at += size
                window.append((self._begin(own), at))
                if len(window) > self._ahead:
                    yield self._give(window, epoch)
            while window:
                yield self._give(window, epoch)
        finally:
            for pending, _ in window:
                for future in pending.times:
                    future.cancel()
        self._position = Position(epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Where training stands after the batch that was given last; the same on all ranks."""
        return {**vars(self._position), "seed": self._seed, "shuffle": self._shuffle, "rows": self._rows.digest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where another loader of the same rows stood, of any rank, world size or batch size.

        Raises:
            InputError: it was of other rows, or in another order.
        """
        own = self.state_dict()
        for name in _STATE:
            if state.get(name) != own[name]:
                raise InputError(
                    f"the state is of another loader: its {name} is {state.get(name)!r}, here {own[name]!r}",
                    fix="Resume with the mix, revision, split, seed and shuffle that training began with",
                )
        self._position = Position(int(state["epoch"]), int(state["consumed"]))

    def close(self) -> None:
        """Ends the workers, as the end of the program or of the last reference does."""
        self._end()

    def _steps(self) -> Iterator[int]:
        left = len(self._rows) - self._position.consumed
        return steps(left, self._world_size, self._batch_size, drop_last=self._drop_last)

    def _begin(self, indices: np.ndarray) -> _Pending:
        """Has a batch's clips decoded."""
        rows = self._rows.take(indices)
        clips = [clip_of(row) for row in rows]
        most = [self._sampling.most(clip.duration_s) for clip in clips]
        length = self._sampling.frames or max(most, default=1)
        frames = torch.empty((len(rows), length, 3, *self._sampling.size), dtype=torch.uint8, pin_memory=self._pinned)
        out = [frame[:count] for frame, count in zip(frames.numpy(), most, strict=True)]
        return _Pending(rows, clips, frames, self._pool.submit(clips, out))

    def _give(self, window: deque[tuple[_Pending, int]], epoch: int) -> Batch:
        pending, consumed = window.popleft()
        batch = self._finish(pending)
        self._position = Position(epoch, consumed)
        return batch

    def _finish(self, pending: _Pending) -> Batch:
        """Awaits a batch's clips, and puts times and targets beside their frames."""
        found = [self._times(clip, times) for clip, times in zip(pending.clips, pending.wait(), strict=True)]
        frames = pending.frames
        if not self._sampling.frames:
            frames = frames[:, : max((len(times_s) for times_s in found), default=1)].contiguous()
        count, length = frames.shape[:2]
        times = np.zeros((count, length))
        mask = np.zeros((count, length), bool)
        on, known = (np.zeros((count, length, len(self.capabilities)), bool) for _ in range(2))
        for at, (row, times_s) in enumerate(zip(pending.rows, found, strict=True)):
            shown = len(times_s)
            times[at, :shown], mask[at, :shown] = times_s, True
            frames[at, shown:] = 0
            own = dense_targets(row["labels"] or (), times_s, self.capabilities, row["duration_s"])
            on[at, :shown], known[at, :shown] = own
        made = [frames, *(torch.from_numpy(part) for part in (times, mask, on.astype(np.float32), known))]
        if self._pinned:
            made = [part.pin_memory() for part in made]
        return Batch(made[0], made[1], made[2], made[3], made[4], pending.rows)

    def _times(self, clip: Clip, times: Times) -> np.ndarray:
        if not isinstance(times, DecodeError):
            return times
        if self._on_error == "raise":
            raise times
        self.skipped[clip.clip_id] = str(times)
        return np.zeros(0)


@dataclass(frozen=True)
class _Pending:
    """A batch whose frames are being decoded."""

    rows: list[dict[str, Any]]
    clips: list[Clip]
    frames: torch.Tensor
    times: list[Future[list[Times]]]

    def wait(self) -> list[Times]:
        return [times for future in self.times for times in future.result()]


def _open(
    mix: str | Path | datasets.Dataset | datasets.DatasetDict,
    rev: str | None,
    split: str,
    workspace: Path | str,
    *,
    stream: bool,
) -> tuple[Rows, Source]:
    """The rows of a split, and where their clips are read from. Only a name needs DVC."""
    if not isinstance(mix, str):
        if stream or rev is not None:
            raise InputError(
                "`stream` and `rev` are for the name of a mix", fix="What was loaded is read where it lies"
            )
        if isinstance(mix, Path):
            return read_directory(mix, split), Disk(mix.resolve())
        if isinstance(mix, dict):
            if split not in mix:
                raise InputError(f"no split {split!r}", fix=f"There are: {', '.join(mix)}")
            mix = mix[split]
        rows = Rows(mix)
        if any((row.get("video") or {}).get("path") is None for row in rows.take(np.arange(min(len(rows), 1)))):
            raise InputError("these rows were loaded without their media", fix="Load them with media=True")
        return rows, Disk()
    from curate.mixes.load import load_mix, open_files
    from curate.mixes.versions import find_workspace, resolve

    place = find_workspace(workspace)
    commit = resolve(place, mix, rev)
    rows = Rows(load_mix(mix, commit, split, media=not stream, vectors=False, workspace=workspace))
    return rows, open_files(place, mix, commit) if stream else Disk()


def _place() -> tuple[int, int]:
    """This process's rank and how many there are."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def _cores() -> int:
    """Cores for each rank of this machine."""
    return max(len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)), 1)
