"""A campaign: collecting for one capability in rounds, until what is missing is found, at the least cost.

Each round looks at the keyframes of some files, chooses footage (`curate.targets.collection.rounds`), analyses it,
finds duplicates, scores the capability, counts useful clips (new, kept, eligible: `curate.targets.collection.supply`)
and learns from it (`curate.targets.collection.bandit`). It ends by itself: when nothing is missing any more, the budget
is spent, nothing is left, or what is left is not worth its hours; and it says which.

A campaign is a decision (`curate.decisions`). All that it knows is in the catalog: its rows carry the run id
"collect-DECISION", so hours spent are those of its `videos`, and what was found where is learned anew from all that is
collected. A round's files are marked before they are analysed. So after Ctrl-C or `kill -9` the same command finishes
the round in hand, and goes on as if nothing had been (killed while it looks at keyframes, it may choose otherwise: it
knows more than it did). Every file that is left has an outcome that says why; `curate collect` takes them all.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from curate import engine
from curate.analyze.collect import Collecting, collecting
from curate.analyze.measure import check_conditions, measure
from curate.decisions import APPROVED, COLLECTION, Decision, finish, propose
from curate.dedupe.duplicates import find_duplicates
from curate.errors import InputError
from curate.progress import Progress, silent
from curate.specs import Capability
from curate.targets.collection.account import CampaignSummary, Rest, account, arm_yields, rest_of, useful_clips
from curate.targets.collection.archive import Archive
from curate.targets.collection.bandit import learn
from curate.targets.collection.rounds import choose, hours_of_round
from curate.targets.collection.supply import Supply, floors_of, supply, worth
from curate.targets.scoring.match import spec_path
from curate.targets.scoring.score import score
from curate.workspace import Workspace, new_run_id

NOT_REACHED = "not reached"
IN_HAND = "in hand"
WORTH_H = 20.0
"""Most hours of footage that one more useful clip may be expected to cost, where nobody says otherwise."""
_ENOUGH_FILES = 20
"""Analysed, before which nothing is called not worth it."""
_CHOOSING, _ACCOUNTING = 0, 1


def collect_for(
    workspace: Workspace,
    capability: str,
    *,
    budget_hours: float | None = None,
    sources: Sequence[str] | None = None,
    worth_hours: float = WORTH_H,
    decision: Decision | None = None,
    who: str,
    why: str,
    seed: int = 0,
    progress: Progress = silent,
) -> CampaignSummary:
    """Collects for a capability until it has what it asks for, or as long as that is worth it.

    Args:
        workspace: has the capability's config.
        capability: its id.
        budget_hours: footage to analyse; a video is begun while some is left. No limit where not given.
        sources: ids of sources; all that the capability allows where not given.
        worth_hours: of footage, that one more useful clip may be expected to cost at most.
        decision: an approved collection, carried out as its plan says; where not given, this call is the decision, and
            one with the same plan that is not done is gone on with.
        who, why: of the decision.
        seed: of what is drawn.
        progress: told of files, looks, videos and useful clips.

    Raises:
        InputError: no such capability or source, a source that the capability does not allow, a budget that is not
            above 0, or a decision that is not an approved collection: nothing was decoded then.
        CurateError: another collect is running in this workspace.
    """
    if decision is None:
        plan = _plan(workspace, capability, budget_hours, sources, worth_hours, seed)
    else:
        plan = _carried_out(decision)
    spec = workspace.capability(str(plan["capability"]))
    check_conditions(workspace)
    if decision is None:
        evidence, cost = {"spec_version": spec.version}, {"decode_h": budget_hours}
        decision = propose(
            workspace.catalog, COLLECTION, spec.id, plan=plan, evidence=evidence, cost=cost, who=who, why=why,
            status=APPROVED,
        )  # fmt: skip
    run_id = f"collect-{decision.decision_id}"
    with collecting(workspace, plan["sources"], run_id=run_id, progress=progress) as here:
        campaign = _Campaign(workspace, spec, plan, here, progress)
        try:
            stopped = campaign.run()
        except KeyboardInterrupt:
            campaign.leave("interrupted")
            raise
        campaign.leave(stopped)
        summary = campaign.account(stopped, decision.decision_id)
    finish(workspace.catalog, decision, asdict(summary), run_id=run_id)
    return summary


def propose_collection(
    workspace: Workspace,
    capability: str,
    budget_hours: float | None = None,
    sources: Sequence[str] | None = None,
    *,
    worth_hours: float = WORTH_H,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, dict[str, Any]]:
    """What a campaign would begin with, what it may find, and what it may cost. Looks at keyframes, analyses nothing.

    Returns:
        plan: what `collect_for` carries out.
        evidence: target, positives, expected and missing clips; `first`, the files that it would begin with; `clips`,
            expected in what it would analyse, with `clips_low` and `clips_high` (95%); the arms, best first.
        cost: decode_h; machine_h, of one core, at the speed that was measured here, null before anything was.

    Raises:
        InputError: as `collect_for`.
        CurateError: another collect is running in this workspace.
    """
    plan = _plan(workspace, capability, budget_hours, sources, worth_hours, seed)
    spec = workspace.capability(capability)
    check_conditions(workspace)
    with collecting(workspace, plan["sources"], run_id=new_run_id("propose"), progress=progress) as here:
        return _Campaign(workspace, spec, plan, here, progress).proposal()


def _plan(
    workspace: Workspace,
    capability: str,
    budget_hours: float | None,
    sources: Sequence[str] | None,
    worth_hours: float,
    seed: int,
) -> dict[str, Any]:
    """What is carried out, exactly.

    Raises:
        InputError: as `collect_for`.
    """
    spec = workspace.capability(capability)
    for name, hours in (("a budget", budget_hours), ("a worth", worth_hours)):
        if hours is not None and not hours > 0:
            raise InputError(f"{name} of {hours:g} hours", fix="Give one above 0")
    return {
        "capability": capability,
        "sources": _allowed(workspace, spec, sources),
        "budget_h": budget_hours,
        "worth_h": worth_hours,
        "seed": seed,
    }


def _allowed(workspace: Workspace, spec: Capability, asked: Sequence[str] | None) -> list[str]:
    """The sources to collect from: others can hold nothing useful."""
    where, match, known = spec_path(workspace, spec), spec.match, workspace.sources()
    unknown = [name for name in asked or () if name not in known]
    if unknown:
        raise InputError(
            f"no source {unknown[0]!r}", where=workspace.configs / "sources", fix=f"Known: {', '.join(known) or 'none'}"
        )
    allowed = [
        name
        for name, source in known.items()
        if (match.sources is None or name in match.sources)
        and (match.licences is None or source.licence in match.licences)
    ]
    if not allowed:
        raise InputError("no source that it allows", where=where, fix="Correct match.sources or match.licences")
    wrong = [name for name in asked or () if name not in allowed]
    if wrong:
        raise InputError(
            f"{spec.id} does not allow source {wrong[0]!r}", where=where, fix=f"Sources allowed: {', '.join(allowed)}"
        )
    return sorted(asked or allowed)


def _carried_out(decision: Decision) -> dict[str, Any]:
    if decision.kind != COLLECTION or decision.status != APPROVED:
        raise InputError(
            f"a {decision.kind} that is {decision.status}", where=decision.decision_id, fix="Approve a collection"
        )
    return decision.plan


class _Campaign:
    """One run of a campaign over a workspace."""

    def __init__(
        self, workspace: Workspace, spec: Capability, plan: Mapping[str, Any], here: Collecting, progress: Progress
    ) -> None:
        self._workspace, self._catalog, self._spec = workspace, workspace.catalog, spec
        self._plan, self._here, self._progress = plan, here, progress
        self._started, self._rounds = time.monotonic(), 0
        self._archive = Archive(workspace, spec, here, progress)
        licences = {source.licence for name, source in workspace.sources().items() if name in plan["sources"]}
        self._floors = floors_of(spec, sources=plan["sources"], licences=licences)
        self._clips = self._worth()
        self._wanted = self._useful_before = 0.0

    def run(self) -> str:
        """Rounds until one is the last; why it was."""
        self._useful_before = float(useful_clips(self._catalog, self._archive, self._clips)["value"].sum())
        in_hand = self._archive.in_hand(IN_HAND)
        self._here.analyse([self._archive.files[at] for at in in_hand], self._progress)
        self._archive.given(in_hand)
        self._settle()
        self._wanted = self._supply.missing
        while True:
            stopped = self._over()
            if stopped:
                return stopped
            files = self._choose()
            if isinstance(files, str):
                return files
            self._rounds += 1
            about = f"{IN_HAND}: being analysed for {self._spec.id}"
            self._here.leave([(self._archive.files[at], about, None) for at in files])
            self._here.analyse([self._archive.files[at] for at in files], self._progress)
            self._archive.given(files)
            self._settle()

    def leave(self, why: str) -> None:
        """Gives each file that waits its outcome."""
        self._archive.refresh(self._clips)
        posterior = learn(self._archive.arms, self._archive.footage)
        rates = posterior.expected(self._archive.footage.arm)
        left = sorted(self._archive.open_files(), key=lambda at: (-rates[at], at))
        waiting = [
            (
                self._archive.files[at],
                f"{NOT_REACHED}: rank {rank} of {len(left)} left for {self._spec.id}, {why}",
                float(rates[at]),
            )
            for rank, at in enumerate(left, 1)
        ]
        self._here.leave([*waiting, *self._archive.copies.values()])

    def account(self, stopped: str, decision_id: str) -> CampaignSummary:
        return account(
            self._catalog, self._archive, learn(self._archive.arms, self._archive.footage), self._clips, self._supply,
            self._here.summary(), self._rng(_ACCOUNTING), capability=self._spec.id, spec_version=self._spec.version,
            decision_id=decision_id, stopped=stopped, rounds=self._rounds, budget_h=self._plan["budget_h"],
            seconds=time.monotonic() - self._started, useful_before=self._useful_before,
        )  # fmt: skip

    def proposal(self) -> dict[str, dict[str, Any]]:
        """See `propose_collection`."""
        self._archive.refresh(self._clips)
        self._wanted = self._supply.missing
        first = self._choose()
        archive, missing = self._archive, self._supply.missing
        posterior = learn(archive.arms, archive.footage)
        rng = self._rng(_ACCOUNTING)
        expected = posterior.expected(archive.footage.arm) * archive.footage.hours
        ranked = sorted(archive.open_files(), key=lambda at: (-expected[at] / max(archive.footage.hours[at], 1e-9), at))
        hours, clips, chosen = 0.0, 0.0, np.zeros(len(archive.files), dtype=bool)
        for at in ranked:
            if clips >= missing or (self._plan["budget_h"] is not None and hours >= self._plan["budget_h"]):
                break
            chosen[at] = True
            hours, clips = hours + archive.footage.hours[at], clips + expected[at]
        rest = rest_of(posterior, archive.footage, chosen, rng)
        names = [archive.files[at].item for at in first] if not isinstance(first, str) else []
        speed = archive.machine_h_per_h()
        evidence = {
            "spec_version": self._spec.version,
            **asdict(self._supply),
            "missing": missing,
            "stops_at_once": first if isinstance(first, str) else None,
            "first": names,
            "files": int(chosen.sum()),
            "clips": rest.clips,
            "clips_low": rest.clips_low,
            "clips_high": rest.clips_high,
            "arms": [asdict(arm) for arm in arm_yields(archive, posterior, self._clips.clear(), rng)],
        }
        cost = {"decode_h": hours, "machine_h": None if speed is None else hours * speed}
        return {"plan": dict(self._plan), "evidence": evidence, "cost": cost}

    @property
    def _supply(self) -> Supply:
        return supply(self._spec, self._clips, self._floors)

    def _worth(self) -> pl.DataFrame:
        return worth(self._catalog, self._spec, self._floors, config=spec_path(self._workspace, self._spec))

    def _settle(self) -> None:
        """Duplicates, costly signals and scores of what was analysed, and what all of it says."""
        find_duplicates(self._workspace, progress=self._progress)
        measure(self._workspace, progress=self._progress)
        score(self._workspace, [self._spec.id], progress=self._progress)
        self._clips = self._worth()
        self._archive.refresh(self._clips)
        found, wanted = max(0.0, self._wanted - self._supply.missing), max(self._wanted, 1.0)
        self._progress("useful clips", int(found), round(wanted), f"{self._archive.spent_h():.3g} h analysed")

    def _over(self) -> str:
        """Why there is no further round, as far as what was spent and found says; "" where nothing does."""
        budget_h, now = self._plan["budget_h"], self._supply
        if now.missing <= 0:
            return f"nothing is missing: {now.positives} labelled and {now.expected:.0f} expected of {now.target}"
        if budget_h is not None and self._archive.spent_h() >= budget_h:
            return f"the budget of {budget_h:g} h is spent"
        return "" if self._archive.open_files() else "nothing is left to analyse"

    def _choose(self) -> list[int] | str:
        """The files of the next round; or why there is none."""
        archive, rng = self._archive, self._rng(_CHOOSING)
        workers = engine.worker_count(self._workspace.analysis().engine)
        budget_h = self._plan["budget_h"]
        spent_h = archive.spent_h()
        least_h = 2 * workers * archive.typical_h()
        hours = hours_of_round(spent_h, least_h, None if budget_h is None else budget_h - spent_h)
        choice = archive.open()
        posterior = learn(archive.arms, archive.footage)
        rest = rest_of(posterior, archive.footage, choice.looked | choice.unseen, rng)
        known_enough = int(archive.footage.done.sum()) >= _ENOUGH_FILES
        if rest.clips_high < 1 and known_enough:
            return f"what is left is expected to hold {_rest(rest)}"
        files = choose(archive, hours, rng, least_h=least_h, most=self._supply.missing)
        blank = archive.without_look()
        if not files:
            return blank or "nothing is left to analyse"
        posterior = learn(archive.arms, archive.footage)
        footage = archive.footage
        clips = float((posterior.expected(footage.arm) * footage.hours)[files].sum())
        cost_h, worth_h = float(footage.hours[files].sum()) / max(clips, 1e-9), self._plan["worth_h"]
        if cost_h > worth_h and known_enough:
            return f"one more useful clip is expected to cost {cost_h:.3g} h of footage, and is worth {worth_h:g} h"
        return [*files, *blank]

    def _rng(self, purpose: int) -> np.random.Generator:
        """The same for the same state of the campaign, so that one that was killed draws what it would have drawn."""
        parts = [self._plan["seed"], purpose, self._archive.settled()]
        return np.random.default_rng(parts)


def _rest(rest: Rest) -> str:
    return f"{rest.clips:.2g} useful clips in {rest.hours:.3g} h, and at most {rest.clips_high:.2g} (97.5%)"
