"""What annotators watch: each clip as a small constant-rate file, cut once and shared by every capability.

Label Studio's timeline is a grid, so a source of variable rate needs a proxy whose frames are one. The parameters
are part of the path, so changing them makes new files and never mixes with old ones.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from curate.engine import Failure, run, worker_count
from curate.media.cut import cut
from curate.progress import Progress
from curate.workspace import Workspace

MAX_HEIGHT = 480


@dataclass(frozen=True)
class Span:
    """A clip to be shown: its id, and where it is in which file (source seconds)."""

    clip_id: str
    path: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Proxy:
    """A clip as annotators see it. `name` is its path below `directory`."""

    clip_id: str
    name: str
    fps: Fraction
    frames: int
    duration_s: float


def directory(workspace: Workspace) -> Path:
    """Where proxies are, and what a server of annotators' media has to serve."""
    return workspace.cache("proxies").resolve()


def cut_proxies(workspace: Workspace, spans: list[Span], progress: Progress) -> Iterator[Proxy | Failure[Span]]:
    """The proxy of each clip, cut where it is missing, in the order they are ready; a clip that cannot be cut fails."""
    root, missing = directory(workspace), []
    for span in spans:
        known = _recall(root, span.clip_id)
        if known:
            yield known
        else:
            missing.append((root, span))
    progress("proxies", len(spans) - len(missing), len(spans))
    if not missing:
        return
    engine = workspace.analysis().engine
    workers = min(worker_count(engine), len(missing))
    here = engine.model_copy(update={"kind": "local", "workers": workers})  # proxies are files of this machine
    done = len(spans) - len(missing)
    for outcome in run(_cut, missing, here):
        done += 1
        progress("proxies", done, len(spans))
        if isinstance(outcome, Failure):
            yield Failure(outcome.item[1], outcome.reason, outcome.seconds)
        else:
            yield outcome.value


def _cut(item: tuple[Path, Span]) -> Proxy:
    root, span = item
    target = root / _name(span.clip_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = cut(Path(span.path), span.start_s, span.end_s, target, max_height=MAX_HEIGHT)
    facts = {"fps": str(made.fps), "frames": made.frames, "duration_s": made.duration_s}
    temporary = target.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(facts))
    temporary.replace(target.with_suffix(".json"))
    return Proxy(span.clip_id, _name(span.clip_id), made.fps, made.frames, made.duration_s)


def _recall(root: Path, clip_id: str) -> Proxy | None:
    """A proxy that was cut before: its facts are written after it, so where they are, it is whole."""
    path = root / _name(clip_id)
    try:
        facts = json.loads(path.with_suffix(".json").read_text())
    except FileNotFoundError:
        return None
    if not path.exists():
        return None
    return Proxy(clip_id, _name(clip_id), Fraction(facts["fps"]), facts["frames"], facts["duration_s"])


def _name(clip_id: str) -> str:
    return f"{MAX_HEIGHT}p/{clip_id[:2]}/{clip_id}.mp4"
