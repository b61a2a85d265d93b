"""What a capability's `match` asks: a direction in embedding space, and which clips may be candidates at all.

Whoever looks for a capability (scores, `curate capability check`, targeted collection) asks through here, so that all
look for the same thing. `question_key` names the question by its content: texts, exemplars (a file counts by its bytes,
not by its name) and model, and nothing of the spec's title, owner or target.
"""

from pathlib import Path

import numpy as np
import polars as pl

from curate import views
from curate.analyze.embed import model_id
from curate.catalog import TABLES
from curate.conditions import matching
from curate.errors import InputError
from curate.identity import file_id, work_key
from curate.search.question import NOT_WEIGHT, Exemplar, direction
from curate.specs import Capability
from curate.standing.windows import WINDOW
from curate.workspace import Workspace

_EMBEDDINGS = TABLES["embeddings"].columns


def spec_path(workspace: Workspace, spec: Capability) -> Path:
    """The file that holds the spec, which errors name."""
    return workspace.configs / "capabilities" / f"{spec.id}.yaml"


def direction_of(workspace: Workspace, spec: Capability) -> np.ndarray:
    """What a frame is compared with, float32 [dim]; not of unit norm. A frame's similarity is its dot product with it.

    Exemplar files are found from the workspace. That the other clips are of the configured model is for the caller to
    check (`needs_model`).

    Raises:
        InputError: an exemplar is neither a clip nor a readable file, or an exemplar clip was embedded by another model
            than the texts are; it names the spec's file.
    """
    match = spec.match
    names = [Exemplar.parse(said, root=workspace.root).name for said in match.like]
    examples = views.current_embeddings(workspace.catalog) if names else pl.LazyFrame(schema=_EMBEDDINGS)
    try:
        return direction(
            workspace.analysis().embedding,
            examples.filter(pl.col("clip_id").is_in(names)).collect().lazy(),
            text=match.text,
            not_text=match.not_text,
            like=match.like,
            root=workspace.root,
        )
    except InputError as error:
        raise InputError(error.what, where=error.where or spec_path(workspace, spec), fix=error.fix) from None


def needs_model(workspace: Workspace, spec: Capability, clips: pl.DataFrame) -> bool:
    """Whether the question is embedded by the configured model, so that clips must be too; not with clips alone.

    Args:
        clips: rows of `views.clips`.
    """
    names = {Exemplar.parse(said, root=workspace.root).name for said in spec.match.like} - set(clips["clip_id"])
    return bool(spec.match.text or spec.match.not_text) or any((workspace.root / name).is_file() for name in names)


def question_key(workspace: Workspace, spec: Capability, clips: pl.DataFrame) -> str:
    """16 hex digits over everything that a clip's similarity depends on, but the clip itself.

    Args:
        clips: rows of `views.clips`, with clip_id and work_key.
    """
    match, embedding = spec.match, workspace.analysis().embedding
    examples = [Exemplar.parse(said, root=workspace.root) for said in match.like]
    of_clip = dict(
        clips.filter(pl.col("clip_id").is_in([each.name for each in examples]))["clip_id", "work_key"].rows()
    )
    said = [[_content(workspace, each, of_clip), each.start_s, each.end_s] for each in examples]
    return work_key(
        "question", NOT_WEIGHT, WINDOW, model_id(embedding), embedding.frames_per_s, match.text, match.not_text, said
    )


def eligible_clips(workspace: Workspace, spec: Capability, clips: pl.DataFrame) -> pl.Series:
    """Which clips fulfil the capability's `where` and are of a source and a licence that it allows.

    Args:
        clips: rows of `views.clips`.

    Returns:
        Boolean, one for each row. A clip without a licence is not of an allowed one.

    Raises:
        InputError: the condition cannot be used; it names the spec's file.
    """
    parts = conditions(workspace, spec, clips)
    return pl.DataFrame([pl.Series("all", [True] * len(clips), dtype=pl.Boolean), *parts.values()]).select(
        eligible=pl.all_horizontal(pl.all())
    )["eligible"]


def conditions(workspace: Workspace, spec: Capability, clips: pl.DataFrame) -> dict[str, pl.Series]:
    """Of each thing that the spec demands of a candidate, which clips fulfil it: `where`, `sources`, `licences`.

    Raises:
        InputError: as `eligible_clips`.
    """
    match = spec.match
    found = {}
    if match.where and match.where.strip():
        found["where"] = matching(clips, match.where, source=spec_path(workspace, spec))
    for name, column, allowed in (("sources", "source", match.sources), ("licences", "licence", match.licences)):
        if allowed is not None:
            found[name] = clips[column].is_in(allowed).fill_null(value=False)
    return {name: fulfilled.alias(name) for name, fulfilled in found.items()}


def _content(workspace: Workspace, example: Exemplar, of_clip: dict[str, str]) -> str:
    """What an exemplar is by its content; of one that is not there its name, for `direction_of` to complain about."""
    if example.name in of_clip:
        return f"clip {example.name} {of_clip[example.name]}"
    path = workspace.root / example.name
    return f"file {file_id(path)}" if path.is_file() else f"missing {example.name}"
