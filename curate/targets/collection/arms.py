"""Arms: the places that footage comes from, so that what one file of a folder held says something of its neighbours.

An arm is a folder of a source. A folder with fewer than LEAST files is joined with its parent, and a source without
folders is one arm; of URLs, the host is the first folder. Folders form a tree, and a folder nobody has looked into
borrows from the one above it (`curate.targets.collection.bandit`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

LEAST = 4
"""Files from which a folder is an arm of its own."""

Folder = tuple[str, ...]


@dataclass(frozen=True)
class Arms:
    """Folders as a tree.

    Attributes:
        names: of the arms: a source's id, then folders, joined by /.
        of_item: the arm of each file.
        parents: int [nodes], the node above each; -1 for node 0, which is all footage. A parent comes before its
            children.
        leaves: int [arms], the node of each arm.
    """

    names: tuple[str, ...]
    of_item: Mapping[str, int]
    parents: np.ndarray
    leaves: np.ndarray

    @cached_property
    def inside(self) -> np.ndarray:
        """bool [nodes, arms]: which arms lie in the folder that a node is."""
        found = np.zeros((len(self.parents), len(self.leaves)), dtype=bool)
        found[self.leaves, np.arange(len(self.leaves))] = True
        for node in range(len(self.parents) - 1, 0, -1):
            found[self.parents[node]] |= found[node]
        return found


def arms_of(items: Iterable[str], least: int = LEAST) -> Arms:
    """The arms of files by their items, "<source>/<folder>/.../<name>"; the same for the same items in any order."""
    items = sorted(set(items))
    held: dict[Folder, list[str]] = {}
    for item in items:
        held.setdefault(tuple(item.split("/")[:-1]), []).append(item)
    for depth in range(max(map(len, held), default=1), 1, -1):
        for path in [path for path in held if len(path) == depth and len(held[path]) < least]:
            held.setdefault(path[:-1], []).extend(held.pop(path))
    paths = sorted(held)
    parents, leaves = _tree(paths)
    of_item = {item: arm for arm, path in enumerate(paths) for item in held[path]}
    return Arms(tuple("/".join(path) for path in paths), of_item, parents, leaves)


def _tree(paths: Sequence[Folder]) -> tuple[np.ndarray, np.ndarray]:
    """Parents of nodes and the node of each path; folders that lead to one place only are no nodes."""
    branches: dict[Folder, set[Folder]] = {}
    for path in paths:
        for length in range(len(path)):
            branches.setdefault(path[:length], set()).add(path[: length + 1])
        branches.setdefault(path, set()).add((*path, ""))  # the files that lie in the folder itself
    parents, leaves = [-1], []
    node_of: dict[Folder, int] = {(): 0}
    for path in paths:
        above = 0
        for length in range(1, len(path) + 1):
            folder = path[:length]
            if folder not in node_of and len(branches[folder]) > 1:
                node_of[folder] = len(parents)
                parents.append(above)
            above = node_of.get(folder, above)
        leaves.append(len(parents))
        parents.append(above)
    return np.array(parents, dtype=np.int64), np.array(leaves, dtype=np.int64)
