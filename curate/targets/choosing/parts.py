"""One round of choosing, part by part: each part values clips in its own way, and sees what the parts before it chose.

Clips are first filtered to those that a part may want: the best by each part's own value, some of each slice that is
short, and some at random; only their frames are read. So 100,000 clips cost hardly more than 10,000.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from curate import views
from curate.analyze.embed import Embedder, load_embedder
from curate.search.question import require_model
from curate.slices import Slice, clip_slices, slices
from curate.specs import Capability
from curate.targets.choosing.candidates import Labelled, Pool
from curate.targets.choosing.hints import Contrast, centred, contrast, expected_slices
from curate.targets.choosing.spread import Need, Taken, spread
from curate.targets.gaps.looks import looks
from curate.targets.scoring.match import spec_path
from curate.workspace import Workspace

_FILTER, _FILTER_LEAST = 4, 300
"""Candidates of a part: so many for each clip of the budget, and at least so many."""

_STOOD_FOR = 1000
"""Most clips that those of a part are to stand for: the ones that matter most to it."""

_BELOW = 5
"""The k-th likeliest clip below an even chance is worth 1 / (1 + k / (_BELOW x budget)) as a hard negative."""

_UNCONTRASTED = 0.05
"""What contrast is worth at least: where nothing is known of it, all are worth the same."""

_LIKELY = 0.25
"""Probability from which a clip is called likely; what is less so is of more use as a negative."""


@dataclass(frozen=True)
class Pick:
    """A chosen clip: its place in the pool, the reason, the reason in words, and the share drawn if it was drawn."""

    at: int
    reason: str
    detail: str
    inclusion: float | None = None


@dataclass(frozen=True)
class Short:
    """Slices below their floor.

    Attributes:
        slices: with a floor above 0, s of them.
        have: labelled positives in each.
        member: float [m, s], how sure each candidate is in each, should it show the capability.
    """

    slices: list[Slice]
    have: list[int]
    member: np.ndarray

    def detail(self, at: int) -> str:
        """The slice that candidate `at` helps most, in words."""
        lack = [max(some.floor - have, 0) / some.floor for some, have in zip(self.slices, self.have, strict=True)]
        best = int((self.member[at] * lack).argmax())
        some = self.slices[best]
        return f"likely {some.said}: {self.have[best]} of {some.floor} labelled"


@dataclass
class Round:
    """Choosing under way. Arrays are over m candidates.

    Attributes:
        budget: clips, of all parts.
        places: where each candidate is in the pool.
        chance: float64 [m], the working probability.
        below: float64 [m], 1 from an even chance on, and falling with each clip below it.
        features: float32 [m, dim], what each looks like, less what all share.
        positive, negative: float32 [., dim], the same of the labelled clips of the supply.
        groups: the leakage group of each.
        said: for each what its score says, in words.
        contrast: what each is mistaken for.
        short: slices below their floor.
        taken: leakage groups of what is chosen.
        expected_negatives: absent labels that the audit is expected to bring.
        chosen: candidates chosen so far, the audit's first.
    """

    budget: int
    places: np.ndarray
    chance: np.ndarray
    below: np.ndarray
    features: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    groups: list[str]
    said: list[str]
    contrast: Contrast
    short: Short
    taken: Taken
    expected_negatives: float
    chosen: list[int]

    def slices(self, count: int) -> list[Pick]:
        """Likely clips for slices that are short, until what they are expected to bring fills them."""
        if not self.short.slices:
            return []
        floor = np.array([some.floor for some in self.short.slices], dtype=float)
        need = Need(self.short.member, floor, floor - np.array(self.short.have), self.chance)
        for at in self.chosen:
            need.fill(at)
        found = self._choose(self._likely(), count, self.positive, need)
        return [self._pick(at, "slice", f"{self.short.detail(at)}, {self.said[at]}") for at in found]

    def likely(self, count: int) -> list[Pick]:
        """Clips that probably show it."""
        return [self._pick(at, "likely", self.said[at]) for at in self._choose(self._likely(), count, self.positive)]

    def for_evaluation(self, count: int) -> list[Pick]:
        """The likeliest clips, however unlikely those are: what measures needs positives."""
        found = self._choose(np.maximum(self.chance, 1e-6), count, self.positive)
        return [self._pick(at, "evaluation", self.said[at]) for at in found]

    def uncertain(self, count: int) -> list[Pick]:
        """Clips nearest to an even chance."""
        doubt = 4 * self.chance * (1 - self.chance)
        labelled = np.concatenate([self.positive, self.negative])
        return [self._pick(at, "uncertain", self.said[at]) for at in self._choose(doubt, count, labelled)]

    def hard_negatives(self, count: int) -> list[Pick]:
        """Clips that probably do not show it, though they are among the first of those, and look like another thing."""
        # A clip that is less like anything else than most is no hard one, however unlike the chosen ones it is.
        other = np.maximum(2 * self.contrast.strength - 1, _UNCONTRASTED)
        value = (1 - self.chance) * self.below * other
        found = self._choose(value, count, self.negative)
        return [self._pick(at, "hard-negative", self._mistaken(at)) for at in found]

    def negatives(self, count: int) -> list[Pick]:
        """Clips that do not show it, as the footage has them."""
        return [self._pick(at, "negative", self.said[at]) for at in self._choose(1 - self.chance, count, self.negative)]

    def _likely(self) -> np.ndarray:
        return np.where(self.chance >= _LIKELY, self.chance, 0.0)

    def _choose(self, value: np.ndarray, count: int, labelled: np.ndarray, need: Need | None = None) -> list[int]:
        wanted = value > 0
        wanted[self.chosen] = False
        open_ = np.flatnonzero(wanted)
        if count < 1 or not len(open_):
            return []
        matters = _best(value, _STOOD_FOR)
        if need is not None:
            need = Need(need.member[open_], need.floor, need.missing, need.probability[open_])
        found = spread(
            value[open_],
            self.features[open_],
            self.features[matters],
            value[matters],
            np.concatenate([labelled, self.features[self.chosen]]),
            count,
            groups=[self.groups[at] for at in open_],
            taken=self.taken,
            need=need,
        )
        added = open_[found].tolist()
        self.chosen += added
        return added

    def _pick(self, at: int, reason: str, detail: str) -> Pick:
        return Pick(int(self.places[at]), reason, detail)

    def _mistaken(self, at: int) -> str:
        other = self.contrast.nearest[at]
        return f"looks more like {other}, {self.said[at]}" if other else self.said[at]


def begin(
    workspace: Workspace,
    specs: Mapping[str, Capability],
    spec: Capability,
    pool: Pool,
    labelled: Labelled,
    budget: int,
    *,
    drawn: np.ndarray,
    audit: int,
    per_group: int,
) -> Round:
    """Looks at the clips that may be wanted.

    Args:
        specs: of all capabilities: what others look like is what this one is mistaken for.
        drawn: the pool in random order; the first `audit` of it are chosen already.
        per_group: most clips of one leakage group.

    Raises:
        InputError: a condition cannot be used, or the clips were embedded by another model than the configured one.
    """
    wanted = [
        some
        for some in slices(spec, sources=pool.clips["source"].unique(), licences=pool.clips["licence"].unique())
        if some.floor
    ]
    below = _below(pool, budget)
    known = clip_slices(spec, pool.clips, config=spec_path(workspace, spec)) if wanted else pl.DataFrame()
    places = _candidates(pool, below, known, wanted, budget, drawn, audit)
    clips = pool.clips[places]
    vectors = looks(workspace.catalog, clips.select("clip_id", start_s="best_start_s", end_s="best_end_s"))
    embedder = _embedder(workspace, spec, wanted)
    present = labelled.present
    own = labelled.vectors[present]
    everywhere = np.isin(places, drawn[: audit + _FILTER_LEAST])
    about = vectors[everywhere].mean(axis=0)
    member = expected_slices(
        spec,
        wanted,
        clips["clip_id"].to_list(),
        vectors,
        known,
        (labelled.rows["clip_id"].filter(pl.Series(present)).to_list(), own, labelled.slices),
        embedder,
    )
    have = [labelled.slices.filter(slice=some.name, value=some.value)["clip_id"].n_unique() for some in wanted]
    where = {int(place): at for at, place in enumerate(places)}
    chosen = [where[int(place)] for place in drawn[:audit]]
    chance = pool.likely[places]
    groups = clips["group_id"].to_list()
    taken = Taken(per_group)
    taken.groups.update(groups[at] for at in chosen)
    return Round(
        budget=budget,
        places=places,
        chance=chance,
        below=below[places],
        features=centred(vectors, about),
        positive=_centred(labelled.vectors[present & labelled.supply], about),
        negative=_centred(labelled.vectors[~present & labelled.supply], about),
        groups=groups,
        said=_said(pool, clips),
        contrast=contrast(spec, specs, vectors, own, labelled.confusing, embedder),
        short=Short(wanted, have, member),
        taken=taken,
        expected_negatives=float((1 - chance[chosen]).sum()),
        chosen=chosen,
    )


def _centred(vectors: np.ndarray, about: np.ndarray) -> np.ndarray:
    return centred(vectors, about) if len(vectors) else vectors.reshape(0, len(about))


def _below(pool: Pool, budget: int) -> np.ndarray:
    """See `Round.below`; over the pool."""
    order = np.lexsort((-pool.clips["similarity"].to_numpy(), -pool.likely))
    place = np.empty(len(pool))
    place[order] = np.arange(len(pool)) - int((pool.likely >= 0.5).sum())
    return np.asarray(1 / (1 + np.maximum(place, 0) / (_BELOW * budget)))


def _candidates(
    pool: Pool,
    below: np.ndarray,
    known: pl.DataFrame,
    wanted: Sequence[Slice],
    budget: int,
    drawn: np.ndarray,
    audit: int,
) -> np.ndarray:
    """The places in the pool of the clips that a part may want, ascending."""
    count = _FILTER * budget + _FILTER_LEAST
    likely = pool.likely
    parts = [drawn[: audit + count], *(_best(v, count) for v in (likely, likely * (1 - likely), (1 - likely) * below))]
    for some in wanted:
        inside = known.filter(slice=some.name, value=some.value)["clip_id"].implode()
        among = np.flatnonzero(pool.clips["clip_id"].is_in(inside).to_numpy())
        parts.append(among[_best(likely[among], _FILTER_LEAST)])
    return np.unique(np.concatenate(parts))


def _best(values: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` greatest, ascending; of equals the first."""
    return np.sort(np.argsort(-values, kind="stable")[:count])


def _embedder(workspace: Workspace, spec: Capability, wanted: Sequence[Slice]) -> Embedder | None:
    """The model of the clips' vectors, where there is a text to embed."""
    fields = {field.name for field in spec.segment.fields}
    if not spec.match.text and not any(some.name in fields for some in wanted):
        return None
    embedding = workspace.analysis().embedding
    models = views.current_embeddings(workspace.catalog).select(pl.col("model_id").unique()).collect()
    require_model(embedding, models["model_id"].to_list())
    return load_embedder(embedding)


def _said(pool: Pool, clips: pl.DataFrame) -> list[str]:
    """What the score of each clip says, in words."""
    if pool.calibrated:
        return [f"probability {value:.2f}" for value in clips["probability"].fill_null(0.0)]
    return [f"more alike than {value:.0%} of clips" for value in clips["probability"].fill_null(0.0)]
