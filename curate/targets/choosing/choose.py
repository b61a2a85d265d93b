"""Which clips are worth a label: a budget in parts, each with a purpose, and the reason beside every clip.

- `audit`: drawn at random before anything else, uniformly from all that could be labelled, so that quality and supply
  can be estimated without bias; `inclusion` is the share drawn.
- `slice`: likely to show it, in a slice that is below its floor; what each chosen clip is expected to bring counts.
- `likely`: likely to show it, and unlike what is labelled. They fill the gap.
- `uncertain`: nearest to an even chance. They sharpen the calibration and the model.
- `hard-negative`: just below what counts as showing it, and more like what it is mistaken for: the spec's `not_text`
  and `non_examples`, and what other capabilities look like, in words and in their labelled clips.
- `negative`: what a clip without it looks like, all over the footage.

How many negatives is `target.negatives`' to say: what audit and uncertain clips are expected to bring counts, the rest
is asked for, half of it hard, and never fewer hard ones than HARD of the budget. Where likely clips run out, the rest
of the budget goes to negatives.

Within each part clips are chosen by what they are worth and by how many others they stand for
(`curate.targets.choosing.spread`), so none is like a labelled one while others are left, and no leakage group gives
more than PER_GROUP of the budget.

For evaluation, clips of the frozen groups alone are chosen: half at random (`evaluation-audit`), half the likely ones
(`evaluation`), so that what is measured has both sides and can be weighed back to what the footage holds.
"""

import math

import numpy as np
import polars as pl

from curate.errors import InputError
from curate.specs import Capability
from curate.targets.choosing.candidates import EVALUATION, Labelled, labelled_of, pool_of
from curate.targets.choosing.parts import Pick, Round, begin
from curate.workspace import Workspace

AUDIT, UNCERTAIN, HARD, SLICE = 0.15, 0.2, 0.1, 0.5
"""Of the budget: audit, uncertain and, at least, hard negatives. SLICE is the most that slices take of what is left for
positives."""

EVALUATION_AUDIT = 0.5
PER_GROUP = 0.1
_LEAST_PER_GROUP = 2
TRAIN = "train"

REASONS = {
    "audit": "drawn at random, to estimate without bias",
    "slice": "likely to show it, in a slice that is short",
    "likely": "likely to show it",
    "uncertain": "may or may not show it",
    "hard-negative": "looks like it, but more like what it is mistaken for",
    "negative": "unlikely to show it, and like much of the footage",
    "evaluation": "likely to show it, in footage that measures",
    "evaluation-audit": "drawn at random from footage that measures",
}
_CHOSEN = {
    "clip_id": pl.String(), "probability": pl.Float64(), "reason": pl.String(), "detail": pl.String(),
    "inclusion": pl.Float64(),
}  # fmt: skip


def choose(workspace: Workspace, capability: str, budget: int, *, seed: int = 0, purpose: str = TRAIN) -> pl.DataFrame:
    """The clips to label next, the same ones for the same catalog and seed.

    Args:
        workspace: scored for the capability.
        capability: its id.
        budget: most clips; fewer come where there are not as many.
        seed: of what is drawn at random.
        purpose: `train` never chooses clips of groups that are frozen for evaluation, `evaluation` those alone.

    Returns:
        clip_id, probability (or rank), reason (one of REASONS), detail (the reason of this very clip, for people),
        inclusion (the share of the pool that was drawn; null where a clip was not drawn at random). In random order, so
        that annotators learn nothing from it, and a half-done order is of all kinds.

    Raises:
        InputError: there is no such capability, it has no scores, the budget is not positive, the purpose is unknown,
            or no group is frozen for evaluation.
    """
    if budget < 1:
        raise InputError(f"a budget of {budget} clips", fix="Give 1 or more")
    if purpose not in (TRAIN, EVALUATION):
        raise InputError(f"labels for {purpose!r}", fix=f"Allowed: {TRAIN}, {EVALUATION}")
    specs = workspace.capabilities()
    spec = specs.get(capability) or workspace.capability(capability)  # the latter says which there are
    pool = pool_of(workspace, spec, purpose)
    drawn = draw(len(pool), capability, seed)
    share = EVALUATION_AUDIT if purpose == EVALUATION else AUDIT
    name = "evaluation-audit" if purpose == EVALUATION else "audit"
    audit = drawn[: max(1, round(share * budget))].tolist()
    said = f"drawn with {len(audit)} of {len(pool)}"
    picks = [Pick(at, name, said, len(audit) / len(pool)) for at in audit]
    if len(audit) < min(budget, len(pool)):
        per_group = max(_LEAST_PER_GROUP, math.ceil(PER_GROUP * budget))
        labelled = labelled_of(workspace, spec, pool.side)
        round_ = begin(
            workspace, specs, spec, pool, labelled, budget, drawn=drawn, audit=len(audit), per_group=per_group
        )
        left = budget - len(audit)
        picks += round_.for_evaluation(left) if purpose == EVALUATION else _train(spec, labelled, round_, left)
    rows = [
        (pool.clips["clip_id"][pick.at], pool.clips["probability"][pick.at], pick.reason, pick.detail, pick.inclusion)
        for pick in (picks[at] for at in np.random.default_rng([seed, 1]).permutation(len(picks)))
    ]
    return pl.DataFrame(rows, schema=_CHOSEN, orient="row")


def draw(count: int, capability: str, seed: int) -> np.ndarray:
    """The places 0 to `count` in random order; an audit is the first of them, so each is in it equally often."""
    return np.random.default_rng([seed, *capability.encode()]).permutation(count)


def _train(spec: Capability, labelled: Labelled, round_: Round, left: int) -> list[Pick]:
    """The parts beside the audit, one by one; what they cannot fill falls to likely clips, and then to negatives."""
    uncertain = min(round(UNCERTAIN * round_.budget), left)
    hard, plain = negatives_wanted(spec, labelled, round_, left - uncertain)
    positive = left - uncertain - hard - plain
    picks = round_.uncertain(uncertain)
    short = round_.slices(math.ceil(SLICE * positive))
    picks += short + round_.likely(positive - len(short))
    picks += round_.hard_negatives(hard)
    picks += round_.negatives(plain)
    picks += round_.likely(left - len(picks))
    picks += round_.hard_negatives((left - len(picks)) // 2)
    return picks + round_.negatives(left - len(picks))


def negatives_wanted(spec: Capability, labelled: Labelled, round_: Round, left: int) -> tuple[int, int]:
    """How many hard and how many other negatives to ask for, of `left` clips.

    Of all labels, these included, `negatives / (1 + negatives)` should be absent. Those there are count, and those
    that the audit and the uncertain clips (half of them) are expected to bring.
    """
    wanted = spec.target.negatives
    if wanted == 0:
        return 0, 0
    total = labelled.positives + labelled.negatives + round_.budget
    coming = labelled.negatives + round_.expected_negatives + UNCERTAIN * round_.budget / 2
    lacking = wanted / (1 + wanted) * total - coming
    least = math.ceil(HARD * round_.budget)
    asked = min(max(math.ceil(lacking), least), left // 2)
    hard = min(max(math.ceil(asked / 2), least), asked)
    return hard, asked - hard
