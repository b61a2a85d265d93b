"""What a training run says while it goes on, and what it was: for a person who looks at curves, and for a later audit.

Every run keeps `history.jsonl` beside its model, a line for each 10 steps, and `Facts` in its config. TensorBoard, an
extra, shows the same while it runs.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

import curate
from curate.errors import InputError

Log = Callable[[int, Mapping[str, float]], None]
"""Takes the step that is done, and values by name."""


@dataclass(frozen=True)
class Facts:
    """Which code ran where.

    Attributes:
        code: of Curate: its version, and, in a checkout, the commit, with "+" where files differ from it.
        torch: version.
        device: its name, with the cores or the memory of it that the run could use.
        started_at: UTC, ISO 8601.
    """

    code: str
    torch: str
    device: str
    started_at: str


def facts(device: torch.device) -> Facts:
    """Of a run that starts now."""
    return Facts(_code(), str(torch.__version__), _device(device), datetime.now(UTC).isoformat(timespec="seconds"))


@contextmanager
def logs(history: Path | None, *, tensorboard: Path | None, since: int) -> Iterator[Log]:
    """A log of a run that goes on from step `since`: what an earlier try said of later steps is taken back.

    Args:
        history: JSON Lines, made or gone on with; None for none.
        tensorboard: a directory for its event files, None for none.

    Raises:
        InputError: TensorBoard is asked for and not installed.
    """
    with ExitStack() as stack:
        file, show = None, None
        if history is not None:
            _cut(history, since)
            file = stack.enter_context(history.open("a"))
        if tensorboard is not None:
            writer = _writer()(str(tensorboard), purge_step=since + 1)
            stack.callback(writer.close)
            show = writer.add_scalar

        def log(step: int, values: Mapping[str, float]) -> None:
            if file is not None:
                file.write(json.dumps({"step": step, **values}) + "\n")
                file.flush()
            if show is not None:
                for name, value in values.items():
                    show(name, value, step)

        yield log


def _cut(history: Path, since: int) -> None:
    """Leaves the lines up to a step; a torn one goes too."""
    if not history.exists():
        return
    kept = []
    for line in history.read_text(errors="replace").splitlines():
        try:
            step = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError):
            break
        if step <= since:
            kept.append(f"{line}\n")
    part = history.with_name(f".{history.name}.{os.getpid()}")
    part.write_text("".join(kept))
    part.replace(history)


def _writer() -> Callable:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        fix = "pip install 'curate[tensorboard]'"
        raise InputError("TensorBoard is not installed", where="--tensorboard", fix=fix) from None
    return SummaryWriter


def _code() -> str:
    """The checkout's commit only where this file is tracked in it: an installed package lies in somebody else's."""
    here = Path(__file__).parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return curate.__version__
    changed = "+" if git("status", "--porcelain", "--", "..") else ""
    return f"{curate.__version__} {git('rev-parse', '--short=12', 'HEAD')}{changed}"


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        return f"{found.name}, {found.total_memory / 1e9:.0f} GB"
    return f"{platform.machine()} CPU, {len(os.sched_getaffinity(0))} cores"
