"""A workspace: a directory under git and DVC with configs/, data/ and .curate/, and where each thing is kept.

configs/ is what the team wants, and is committed. data/ holds the published mixes, pinned by data.dvc.
.curate/ is working state that git ignores: catalog, caches, logs, schemas.
"""

import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from curate.catalog import Catalog, local_catalog
from curate.errors import CurateError, InputError
from curate.specs import Analysis, Capability, Labeling, Mix, Serve, Source, read_spec, read_specs, write_schemas

T = TypeVar("T")

_GITIGNORE = """\
# Working state and footage; published mixes are tracked by DVC.
/.curate/
/data
/footage/
"""


@dataclass(frozen=True)
class Workspace:
    """Paths and configs of one workspace. Configs are read afresh at each call, so an edit is seen."""

    root: Path

    @property
    def configs(self) -> Path:
        return self.root / "configs"

    @property
    def data(self) -> Path:
        """Published mixes, tracked by DVC."""
        return self.root / "data"

    @property
    def state(self) -> Path:
        """Working state, ignored by git."""
        return self.root / ".curate"

    @property
    def reports(self) -> Path:
        return self.state / "reports"

    @property
    def models(self) -> Path:
        return self.state / "models"

    def cache(self, name: str) -> Path:
        """A directory for things that can be made again, made if it is missing."""
        path = self.state / "cache" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @cached_property
    def catalog(self) -> Catalog:
        return local_catalog(self.state / "catalog")

    def analysis(self) -> Analysis:
        """How video becomes clips; a weights file is found from the workspace, wherever the command runs."""
        spec = read_spec(self.configs / "analysis.yaml", Analysis)
        weights = self.root / spec.embedding.weights
        if not weights.is_file():
            return spec
        return spec.model_copy(update={"embedding": spec.embedding.model_copy(update={"weights": str(weights)})})

    def labeling(self) -> Labeling:
        """How clips reach annotators; the defaults where configs/labeling.yaml is left out."""
        path = self.configs / "labeling.yaml"
        return read_spec(path, Labeling) if path.exists() else Labeling()

    def serving(self) -> Serve:
        """Limits of `curate serve`; the defaults where configs/serve.yaml is left out."""
        path = self.configs / "serve.yaml"
        return read_spec(path, Serve) if path.exists() else Serve()

    def sources(self) -> dict[str, Source]:
        return read_specs(self.configs / "sources", Source)

    def capabilities(self, names: Iterable[str] | None = None) -> dict[str, Capability]:
        """Those of these names, in their order; all where not given.

        Raises:
            InputError: an unknown name, or a config that does not hold.
        """
        found = read_specs(self.configs / "capabilities", Capability)
        if names is None:
            return found
        return {name: _named(found, name, "capability", self.configs / "capabilities") for name in names}

    def capability(self, name: str) -> Capability:
        return self.capabilities([name])[name]

    def mixes(self) -> dict[str, Mix]:
        return read_specs(self.configs / "mixes", Mix)

    def mix(self, name: str) -> Mix:
        return _named(self.mixes(), name, "mix", self.configs / "mixes")

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Holds the workspace's lock `name`, so that two runs of one stage cannot collide.

        Raises:
            CurateError: another process holds it.
        """
        locks = self.state / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{name}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise CurateError(
                f"another `{name}` is running in this workspace", where=self.root, fix="Wait for it to end"
            ) from None
        try:
            yield
        finally:
            lock.release()


def open_workspace(start: Path | str = ".") -> Workspace:
    """The workspace that holds `start`, found by its configs/analysis.yaml, as git finds a repository.

    Raises:
        InputError: neither `start` nor a directory above it is a workspace.
    """
    here = Path(start).resolve()
    for directory in (here, *here.parents):
        if (directory / "configs" / "analysis.yaml").is_file():
            return Workspace(directory)
    raise InputError("not in a workspace", where=here, fix="Make one with `curate init DIR`, then run this inside it")


def create_workspace(directory: Path | str, *, sample: bool = False) -> Workspace:
    """Makes `directory` a workspace under git and DVC. Files that are already there stay as they are.

    Args:
        directory: made if it is missing.
        sample: configs of the sample world and its CLIP, instead of those for real footage.
    """
    root = Path(directory).resolve()
    root.mkdir(parents=True, exist_ok=True)
    package = Path(str(resources.files("curate")))
    _copy_missing(package / ("sample" if sample else "templates") / "configs", root / "configs")
    write_schemas(root / "configs" / "schemas")
    if not (root / ".gitignore").exists():
        (root / ".gitignore").write_text(_GITIGNORE)
    if not (root / ".git").exists():
        _run(root, "git", "init", "--quiet", "--initial-branch=main")
    if not (root / ".dvc").exists():
        _run(root, sys.executable, "-m", "dvc", "init", "--quiet")
        _run(root, sys.executable, "-m", "dvc", "config", "core.analytics", "false")
    return Workspace(root)


def new_run_id(stage: str) -> str:
    """A name for one run of a stage, unique, for the rows it writes."""
    return f"{stage}-{uuid.uuid4().hex[:12]}"


def _copy_missing(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        destination = target / path.relative_to(source)
        if path.is_file() and not destination.exists():
            destination.parent.mkdir(parents=True, exist_ok=True)
            destination.write_bytes(path.read_bytes())


def _named(found: dict[str, T], name: str, kind: str, directory: Path) -> T:
    if name not in found:
        known = ", ".join(found) or "none"
        raise InputError(f"no {kind} {name!r}", where=directory, fix=f"Known: {known}")
    return found[name]


def _run(directory: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if done.returncode:
        line = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise CurateError(f"`{' '.join(command)}` failed: {''.join(line)}", where=directory)
