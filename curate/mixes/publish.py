"""A packed mix becomes a version: data/ under DVC, the remote, a git commit of data.dvc, and last an annotated tag.

Versions are what the tags say (`versions`), and the tag is written last, so a publication that is interrupted anywhere
leaves no version behind; the next one takes the same steps again, each of which finds what is done already. Nothing is
committed that the remote does not have. A git that was killed leaves its lock files, which no git removes: those of a
publication that was killed are removed by the next one.

Of the user's git state only data.dvc, .gitignore and, the first time, DVC's own files are committed, never what else is
in the index.

A new workspace keeps its versions in .dvc/cache alone. `dvc remote add --default NAME URL`, a commit of .dvc/config,
and once `dvc push --all-tags` put them where others can pull them; from then on every publication is pushed before its
tag.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from dvc.repo import Repo

from curate.errors import InputError
from curate.mixes.failing import in_one_line
from curate.mixes.versions import Version, git, versions
from curate.workspace import Workspace

_FIX = "Mend it, then run the command again: it goes on where it was"
_DVC_FILES = (".dvc/config", ".dvc/.gitignore", ".dvcignore")


def publish(
    workspace: Workspace, name: str, packed: Path, *, content: str, rows: Mapping[str, int], who: str, why: str
) -> Version:
    """Makes `packed` the next version of the mix; it is moved to data/NAME. Hold the workspace's lock `mix`.

    Args:
        packed: a directory with the version's files, on the workspace's file system.
        content: hash of what the version holds.
        rows: clip occurrences by split.

    Raises:
        InputError: the workspace is not under git and DVC, or other mixes in data/ were changed by hand.
        CurateError: git or DVC failed; nothing is published, and the next run completes it.
    """
    pin(workspace, name, packed, f"Publish mix {name}\n\n{why}\n\nBy: {who}\n")
    number = max((int(version.revision[1:]) for version in versions(workspace, name)), default=0) + 1
    facts = {"content": content, "rows": dict(rows)}
    tag(workspace.root, f"mix/{name}/v{number}", f"Mix {name}/v{number}", facts, who, why)
    return versions(workspace, name)[-1]


def pin(workspace: Workspace, name: str, packed: Path, message: str) -> None:
    """Makes `packed` what data/NAME is: under DVC, in a commit of data.dvc, and on the default remote if there is one.

    Raises:
        InputError, CurateError: as `publish`.
    """
    root = workspace.root
    for needed in (".git", ".dvc"):
        if not (root / needed).exists():
            fix = f"`git init` and `dvc init` in {root}, or `curate init {root}`"
            raise InputError(f"no {needed} here: mixes are versioned with git and DVC", where=root, fix=fix)
    with in_one_line("nothing is published", where=root, fix=_FIX), _git_at_work(workspace), Repo(str(root)) as repo:
        repo.scm_context.quiet = True  # it would tell to `git add` what is committed below
        _restore_others(repo, workspace, name)
        _place(packed, workspace.data / name)
        _add(repo, workspace)
        push(repo, workspace)
        commit(root, message)


@contextmanager
def _git_at_work(workspace: Workspace) -> Iterator[None]:
    """Leaves a mark while git may hold locks for us. A mark that is there already is that of a killed publication."""
    mark = workspace.state / "publishing"
    if mark.exists():
        began_s = mark.stat().st_mtime
        for option in ("--absolute-git-dir", "--git-common-dir"):
            directory = workspace.root / git(workspace.root, "rev-parse", option).strip()
            for lock in (*directory.glob("*.lock"), *(directory / "refs").rglob("*.lock")):
                if lock.stat().st_mtime >= began_s:
                    lock.unlink()
    mark.unlink(missing_ok=True)
    mark.touch()
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def _restore_others(repo: Repo, workspace: Workspace, name: str) -> None:
    """Brings the other mixes in data/ to what data.dvc pins, since `dvc add` would pin what is there."""
    if not (workspace.root / "data.dvc").exists():
        return
    if not workspace.data.exists():
        _pull(repo, workspace.data)
        return
    changes = repo.data_status(granular=True)["uncommitted"]
    foreign: dict[str, list[tuple[str, ...]]] = {}
    for kind in ("modified", "added", "deleted"):
        parts = [PurePosixPath(path).parts for path in changes.get(kind, [])]
        foreign[kind] = [path for path in parts if path[0] == "data" and len(path) > 1 and path[1] != name]
    for path in [*foreign["modified"], *foreign["added"]]:
        raise InputError(
            f"{'/'.join(path)} is not what was published",
            where=workspace.root,
            fix="`dvc checkout --force data` restores data/; keep other files elsewhere",
        )
    for directory in sorted({path[1] for path in foreign["deleted"]}):
        _pull(repo, workspace.data / directory)


def _pull(repo: Repo, path: Path) -> None:
    if repo.config["core"].get("remote"):
        repo.pull([str(path)], force=True)
    else:
        repo.checkout([str(path)], force=True)


def _place(packed: Path, target: Path) -> None:
    """Puts the new directory where the old one was. The old one is in DVC's cache."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packed.parent) as old:
        if target.exists():
            target.rename(Path(old) / "old")
        packed.rename(target)


def _add(repo: Repo, workspace: Workspace) -> None:
    repo.add(str(workspace.data))


def commit(root: Path, message: str) -> None:
    """Commits data.dvc and what a clone needs to read it. Hooks are for people's code: they do not run."""
    known = set(git(root, "ls-tree", "-r", "--name-only", "HEAD", "--", *_DVC_FILES, check=False).split())
    paths = ["data.dvc", *(path for path in _DVC_FILES if path not in known)]
    if "/data" not in git(root, "show", "HEAD:.gitignore", check=False).split():
        paths.append(".gitignore")
    paths = [path for path in paths if (root / path).exists()]
    git(root, "add", "--force", "--", *paths)
    if not git(root, "status", "--porcelain", "--untracked-files=no", "--", *paths).strip():
        return
    git(root, *identity(root), "commit", "--no-verify", "--quiet", "--only", "--message", message, "--", *paths)


def push(repo: Repo, workspace: Workspace) -> None:
    """To the default remote, if the workspace has one.

    Raises:
        CurateError: it does not take all files. Those that it took stay there: the next push sends the others.
    """
    remote = repo.config["core"].get("remote")
    if remote:
        with in_one_line("the remote does not take it, nothing is published", where=f"remote {remote}", fix=_FIX):
            repo.push([str(workspace.root / "data.dvc")])


def tag(root: Path, tag: str, title: str, facts: Mapping[str, object], who: str, why: str) -> None:
    """Writes an annotated tag whose message holds facts as one line of JSON."""
    message = f"{title}\n\n{json.dumps(facts, sort_keys=True)}\n\n{why}\n\nBy: {who}\n"
    git(root, *identity(root), "tag", "--annotate", tag, "--message", message)


def identity(root: Path) -> list[str]:
    """Options of git that say who commits, where the user has not told it."""
    options = []
    for key, variable, value in (
        ("user.name", "GIT_COMMITTER_NAME", "curate"),
        ("user.email", "GIT_COMMITTER_EMAIL", "curate@localhost"),
    ):
        if not os.environ.get(variable) and not git(root, "config", key, check=False).strip():
            options += ["-c", f"{key}={value}"]
    return options
