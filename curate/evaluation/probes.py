"""Questions to a model whose right answer is known beforehand: does it look at the video, and only at what was asked?

- `shuffled enum`: the values of each field are listed in another order. No field should change.
- `renamed`: the definition and its fields have names that mean nothing. What describes them stays, so F1 should too;
  F1 with fields shows what the names alone told.
- `wrong video`: the model is asked about another video. What F1 is left is what it reaches without looking; `chance` is
  what saying of each clip what is true of another one reaches. Near that, it looks. Both are means over 20 exchanges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from curate.analyze.embed import load_embedder
from curate.evaluation.judged import Exam, predicted
from curate.model.definitions import Definition, Encoded, Segment, encode
from curate.model.directory import model_directory
from curate.model.examples import Example
from curate.model.infer import predictor_of
from curate.model.metrics import METRICS, match, measure, tally
from curate.model.track import Predictor
from curate.progress import Progress, silent

PROBED = {
    "capability": pl.String, "probe": pl.String, "measure": pl.String, "plain": pl.Float64, "probed": pl.Float64,
    "chance": pl.Float64,
}  # fmt: skip

_EXCHANGES = 20
_F1, _JOINT = METRICS.index("f1@0.5"), METRICS.index("joint_f1@0.5")


def probe(exam: Exam, model: Path | str | None, progress: Progress = silent) -> pl.DataFrame:
    """Asks a model otherwise about the judged clips of a split.

    Returns:
        A row for each capability and probe: measure, its value as asked plainly and as probed, and what chance gives,
        each null where it is not defined. The measure is f1@0.5, joint_f1@0.5, or fields_changed: the share of the
        segments of which a field has another value.

    Raises:
        InputError: as `answers_of_model`.
    """
    published = exam.published
    published.check_embedding()
    predict = predictor_of(model_directory(published.workspace.models, model), published.embedding_model)
    judged = {(each.capability, each.clip_id) for each in exam.judged}
    examples = {
        (e.capability, e.clip_id): e for e in published.examples(exam.split) if (e.capability, e.clip_id) in judged
    }
    texts = load_embedder(published.workspace.analysis().embedding).texts
    shuffled = encode([_shuffled(each) for each in published.definitions.values()], texts)
    renamed = encode([_renamed(each) for each in published.definitions.values()], texts)
    asked = dict(zip(published.definitions, zip(shuffled, renamed, strict=True), strict=True))
    plain = published.encoded()
    rows = []
    for capability in sorted({each.capability for each in exam.judged}):
        own = [example for example in examples.values() if example.capability == capability]
        if own:
            rows += _probed(own, predict, plain[capability], *asked[capability])
        progress("probes", len(rows), 4 * len(asked))
    return pl.DataFrame(rows, schema=PROBED).with_columns(
        pl.when(pl.col(name).is_not_nan()).then(name) for name in ("plain", "probed", "chance")
    )


def _probed(
    examples: Sequence[Example], predict: Predictor, plain: Encoded, shuffled: Encoded, renamed: Encoded
) -> list[dict]:
    """The rows of one capability."""
    name = plain.definition.id
    found = predicted(examples, predict, {name: plain})
    fields = [field.name for field in plain.definition.fields]
    required = [field.name for field in plain.definition.fields if field.required]
    videos = [example.video_id for example in examples]
    exchanges = [elsewhere(videos, seed) for seed in range(_EXCHANGES)]
    # A predictor sees a track and a definition alone, so what it says of another video is what it said of that one.
    wrong = [_scores(examples, [found[at] for at in exchanged], required)[0] for exchanged in exchanges]
    chance = [_scores(examples, [examples[at].segments for at in exchanged], required)[0] for exchanged in exchanges]
    back = dict(zip((field.name for field in renamed.definition.fields), fields, strict=True))
    called = [
        [replace(s, fields={back[key]: value for key, value in s.fields.items()}) for s in segments]
        for segments in predicted(examples, predict, {name: renamed})
    ]
    by_order = predicted(examples, predict, {name: shuffled})
    f1, joint = _scores(examples, found, required)
    renamed_f1, renamed_joint = _scores(examples, called, required)
    common = {"capability": name, "chance": None}
    return [
        {**common, "probe": "shuffled enum", "measure": "fields_changed", "plain": 0.0,
         "probed": changed(found, by_order)},
        {**common, "probe": "renamed", "measure": "f1@0.5", "plain": f1, "probed": renamed_f1},
        {**common, "probe": "renamed", "measure": "joint_f1@0.5", "plain": joint, "probed": renamed_joint},
        {**common, "probe": "wrong video", "measure": "f1@0.5", "plain": f1,
         "probed": float(np.mean(wrong)), "chance": float(np.mean(chance))},
    ]  # fmt: skip


def elsewhere(videos: Sequence[str], seed: int) -> list[int]:
    """For each clip the number of another, drawn, each once: of another video, unless one has over half of them."""
    drawn = np.random.default_rng(seed).permutation(len(videos)).tolist()
    place = {video: at for at, video in enumerate(dict.fromkeys(videos[at] for at in drawn))}
    order = sorted(drawn, key=lambda at: place[videos[at]])  # videos, and the clips of each, in an order by lot
    most = max(videos.count(video) for video in set(videos))
    found = [0] * len(videos)
    for number, at in enumerate(order):
        found[at] = order[(number + most) % len(order)]
    return found


def changed(plain: Sequence[Sequence[Segment]], probed: Sequence[Sequence[Segment]]) -> float:
    """The share of the segments that both found (tIoU 0.5) of which a field has another value; nan without any."""
    pairs = [
        (before[i].fields, after[j].fields)
        for before, after in zip(plain, probed, strict=True)
        for i, j in match(before, after, 0.5)
    ]
    return float(np.mean([dict(a) != dict(b) for a, b in pairs])) if pairs else float("nan")


def _scores(
    examples: Sequence[Example], found: Sequence[Sequence[Segment]], required: Sequence[str]
) -> tuple[float, float]:
    """F1 and F1 with fields, at tIoU 0.5."""
    counts = [
        tally(example.segments, segments, example.track.duration_s, required)
        for example, segments in zip(examples, found, strict=True)
    ]
    values = measure(np.sum(counts, axis=0))
    return float(values[_F1]), float(values[_JOINT])


def _shuffled(definition: Definition) -> Definition:
    """The values of each enum in reverse order: none but a middle one stays where it was."""
    fields = tuple(replace(field, enum=field.enum[::-1]) for field in definition.fields)
    return replace(definition, fields=fields)


def _renamed(definition: Definition) -> Definition:
    fields = tuple(replace(field, name=f"field_{number}") for number, field in enumerate(definition.fields, start=1))
    return replace(definition, id="definition_1", fields=fields)
