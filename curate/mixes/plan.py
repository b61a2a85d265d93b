"""What the next version of a mix would be, for a person to look at before anything is written."""

from dataclasses import dataclass
from typing import Any

from curate.mixes.draft import make_draft, moves
from curate.mixes.solving.problem import budget_of
from curate.mixes.verify import history
from curate.workspace import Workspace


@dataclass(frozen=True)
class Plan:
    """A draft in numbers.

    Attributes:
        name: of the mix.
        budget: of the training split, in `unit`.
        unit: clips, or h.
        newest: the newest published revision; None before the first.
        clips_added: clips that the newest version does not hold.
        clips_removed: clips that only the newest version holds.
        clips_relabelled: clips of both whose labels differ.
        is_new: whether a build would publish a version: what a consumer sees differs from the newest.
        lock: as it would be published, but for where its files lie.
    """

    name: str
    budget: float
    unit: str
    newest: str | None
    clips_added: int
    clips_removed: int
    clips_relabelled: int
    is_new: bool
    lock: dict[str, Any]

    def amount(self, kind: str, share: str) -> float:
        """What of a share is requested, feasible or realised, in the budget's unit."""
        return float(self.lock[kind][share]) * self.budget

    @property
    def against_newest(self) -> str:
        if self.newest is None:
            return f"the first version: {self.clips_added} clips"
        if not self.is_new:
            return f"nothing changed since {self.newest}"
        if not self.clips_added + self.clips_removed + self.clips_relabelled:
            return f"the clips and labels of {self.newest}; what configs ask for, or how clips count for it, differs"
        return (
            f"against {self.newest}: {self.clips_added} clips come in, {self.clips_removed} go out, "
            f"{self.clips_relabelled} have other labels"
        )

    @property
    def next(self) -> str:
        if not self.is_new:
            return "nothing to build"
        return f"`curate mix build {self.name}` publishes it"


def plan(workspace: Workspace, name: str) -> Plan:
    """Solves the mix as configs and catalog are now, and writes nothing.

    Raises:
        InputError: no such mix or capability, or no labels to build it from.
        CurateError: a share is short and the mix says `fail`.
    """
    draft = make_draft(workspace, name, history(workspace))
    return Plan(
        name,
        budget_of(draft.mix),
        "h" if draft.mix.budget.clips is None else "clips",
        draft.newest.revision if draft.newest else None,
        *moves(workspace, draft),
        draft.is_new,
        draft.lock,
    )
