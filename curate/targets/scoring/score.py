"""Scores every current clip for every capability: how similar it is, where in it, and what that is worth.

A score has two parts. What is seen in a clip (its similarity, what a trained segmenter says of it, its best span) is
computed once for each clip and question: a row's `work_key` is that question's key and the clip's own, so a new clip or
a changed question costs what is new, and a changed title costs nothing. What that is worth (eligible or not,
probability, match or not) depends on the other clips and on all labels: it is made anew each time, which takes
arithmetic over a few columns, and rows that come out as they were are not written.

A linear probe on the clips' vectors was tried as a third feature and left out: with 20, 40 and 60 labels (sample worlds
of seeds 41, 42, 51 and 52, labels and judged clips of different videos) its mean average precision is 0.61, 0.71 and
0.76, that of the similarity 0.995, 0.995 and 0.96, and with both the log loss is the same within 0.004.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import polars as pl

from curate import views
from curate.dedupe.groups import leakage_groups
from curate.progress import Progress, silent
from curate.search.question import require_model
from curate.specs import Capability
from curate.standing.windows import best_windows
from curate.targets.scoring.calibrate import Calibration, Labelled, calibrate, ranks
from curate.targets.scoring.level import level_of
from curate.targets.scoring.match import direction_of, eligible_clips, needs_model, question_key
from curate.targets.scoring.trained import Trained, newest_trained
from curate.workspace import Workspace, new_run_id

VERSION = 2
PROBABLE = 0.5
"""Probability from which a clip matches."""

_MOST_LOG_ODDS = 6.0
_SEEN = {
    "clip_id": pl.String, "model_id": pl.String, "similarity": pl.Float32, "segmenter": pl.Float32,
    "best_start_s": pl.Float64, "best_end_s": pl.Float64, "work_key": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class ScoreSummary:
    """What was done.

    Attributes:
        capabilities: for each, `clips` scored, of those `eligible` and `matches`, the `calibration` (rank, platt or
            isotonic), the clips `computed` in this run (the others were known), and whether it is all `unchanged`.
        notes: what one should know of the result.
    """

    capabilities: dict[str, dict]
    seconds: float
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Known:
    """What scores are made of, read once for all capabilities.

    Attributes:
        clips: rows of `views.clips`.
        labels: of `views.labels`, present and absent, not contested: capability, clip_id, positive, video_id,
            group_id, and `audit`: the clip was drawn at random.
        trained: the segmenter in use.
        seen: groups of the segmenter's training split; None where they are not known.
    """

    clips: pl.DataFrame
    labels: pl.DataFrame
    trained: Trained | None
    seen: frozenset[str] | None
    note: str


def score(
    workspace: Workspace, capabilities: Sequence[str] | None = None, *, progress: Progress = silent
) -> ScoreSummary:
    """Brings the `scores` of the current clips, and the `calibrations`, up to date.

    Args:
        workspace: its clips must have been collected.
        capabilities: ids; all of configs/capabilities/ where not given.
        progress: told the capabilities done.

    Raises:
        InputError: no such capability, its `where` or an exemplar cannot be used, or the clips were embedded by another
            model than the configured one.
        CurateError: another run of this stage holds the workspace's lock.
    """
    started = time.monotonic()
    specs = workspace.capabilities()
    for name in capabilities or ():
        workspace.capability(name)
    chosen = [spec for name, spec in specs.items() if capabilities is None or name in capabilities]
    with workspace.lock("score"):
        catalog = workspace.catalog
        known = read_known(workspace)
        names = [spec.id for spec in chosen]
        former = catalog.scan("scores").filter(pl.col("capability").is_in(names)).collect()
        standing = catalog.scan("calibrations").filter(pl.col("capability").is_in(names)).collect()
        seen, computed = see(workspace, chosen, known, former)
        run_id = new_run_id("score")
        summaries: dict[str, dict] = {}
        for at, spec in enumerate(chosen):
            rows, row = judge(workspace, spec, known, seen[spec.id])
            changed = _changed(rows, former.filter(pl.col("capability") == spec.id))
            moved = _changed(row, standing.filter(pl.col("capability") == spec.id), key="capability")
            catalog.write("scores", changed, run_id=run_id)
            catalog.write("calibrations", moved, run_id=run_id)
            summaries[spec.id] = {
                "clips": len(rows),
                "eligible": int(rows["eligible"].sum()),
                "matches": int(rows["matches"].sum()),
                "calibration": row["calibration"][0],
                "computed": computed[spec.id],
                "unchanged": changed.is_empty() and moved.is_empty(),
            }
            progress("capabilities", at + 1, len(chosen))
    return ScoreSummary(summaries, time.monotonic() - started, [known.note] if known.note else [])


def read_known(workspace: Workspace) -> Known:
    """The current clips, their labels and the segmenter to ask."""
    catalog = workspace.catalog
    clips = views.clips(catalog).collect()
    groups = leakage_groups(catalog)
    drawn = catalog.scan("orders").filter(pl.col("inclusion").is_not_null())
    audits = drawn.select("capability", "clip_id", audit=pl.lit(value=True))
    labels = (
        views.labels(catalog)
        .filter(pl.col("verdict").is_in(["present", "absent"]), ~pl.col("contested"))
        .select("capability", "clip_id", positive=pl.col("verdict") == "present")
        .join(clips.lazy().select("clip_id", "video_id"), on="clip_id")
        .join(groups.lazy(), on="video_id")
        .join(audits, on=["capability", "clip_id"], how="left")
        .with_columns(pl.col("audit").fill_null(value=False))
        .sort("capability", "clip_id")
        .collect()
    )
    trained, note = newest_trained(workspace)
    videos = trained.seen_videos if trained else None
    seen = None if videos is None else frozenset(groups.filter(pl.col("video_id").is_in(videos))["group_id"])
    return Known(clips, labels, trained, seen, note)


def see(
    workspace: Workspace, specs: Sequence[Capability], known: Known, former: pl.DataFrame
) -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
    """What is seen in each current clip for each capability, and how many clips were looked at for it now.

    Args:
        former: rows of `scores`; those whose `work_key` still holds are taken as they are.

    Returns:
        For each capability clip_id, model_id, similarity, segmenter, best_start_s, best_end_s and work_key, sorted by
        clip_id; and the clips that `former` lacked.
    """
    clips = known.clips.select("clip_id", "work_key")
    held: dict[str, pl.DataFrame] = {}
    missing: dict[str, pl.DataFrame] = {}
    for spec in specs:
        segmenter = known.trained.key(spec) if known.trained else ""
        question = f"{VERSION}-{question_key(workspace, spec, known.clips)}-{segmenter}"
        keys = clips.with_columns(work_key=pl.lit(f"{question}/") + pl.col("work_key"))
        own = former.filter(pl.col("capability") == spec.id)
        held[spec.id] = own.join(keys, on=["clip_id", "work_key"], how="semi").select(_SEEN.keys())
        missing[spec.id] = keys.join(held[spec.id], on="clip_id", how="anti")
    lacking = pl.concat([rows.select("clip_id") for rows in missing.values()] or [clips.select("clip_id")]).unique()
    fresh = _look(workspace, specs, known, missing, lacking) if len(lacking) else {}
    found, computed = {}, {}
    for spec in specs:
        new = fresh.get(spec.id, pl.DataFrame(schema=_SEEN))
        found[spec.id] = pl.concat([held[spec.id], new]).sort("clip_id")
        computed[spec.id] = len(new)
    return found, computed


def judge(
    workspace: Workspace, spec: Capability, known: Known, seen: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What is seen in the clips (`see`) as rows of `scores`, and the row of `calibrations`."""
    clips = known.clips.join(seen.select("clip_id"), on="clip_id", how="semi").sort("clip_id")
    eligible = eligible_clips(workspace, spec, clips).to_numpy()
    calibration = calibrate(_labelled(spec, known, seen.filter(pl.Series(eligible))))
    similarity = seen["similarity"].to_numpy().astype(np.float64)
    level, level_from = level_of(spec, similarity[eligible])
    probability = np.full(len(seen), np.nan)
    if calibration.curve is None:
        probability[eligible] = ranks(similarity[eligible])
        matches = eligible & (similarity >= (np.inf if level is None else level))
    else:
        probability[eligible] = calibration.curve.probabilities(_features(seen))[eligible]
        matches = eligible & (np.nan_to_num(probability) >= PROBABLE)
    rows = seen.with_columns(
        capability=pl.lit(spec.id),
        spec_version=pl.lit(spec.version),
        probability=pl.Series(probability, dtype=pl.Float64).fill_nan(None).cast(pl.Float32),
        calibration=pl.lit(calibration.kind),
        matches=pl.Series(matches, dtype=pl.Boolean),
        eligible=pl.Series(eligible, dtype=pl.Boolean),
    )
    return rows, _calibration_row(workspace, spec, calibration, level, level_from)


def _look(
    workspace: Workspace,
    specs: Sequence[Capability],
    known: Known,
    missing: dict[str, pl.DataFrame],
    lacking: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """What is seen in the clips that are `missing` for each capability; of `lacking`, which are all of those."""
    embedding = workspace.analysis().embedding
    embeddings = (
        views.current_embeddings(workspace.catalog)
        .join(lacking.lazy(), on="clip_id", how="semi")
        .select("clip_id", "model_id", "frame_times_s", "frame_vectors")
        .collect()
        .join(known.clips.select("clip_id", "start_s", "end_s"), on="clip_id")
        .sort("clip_id")
    )
    models = embeddings["model_id"].unique().to_list()
    if any(needs_model(workspace, spec, known.clips) for spec in specs if len(missing[spec.id])):
        require_model(embedding, models)
    alike: dict[tuple[str, ...], list[Capability]] = {}
    for spec in specs:
        alike.setdefault(tuple(missing[spec.id]["clip_id"]), []).append(spec)
    found = {}
    for clip_ids, together in alike.items():
        if not clip_ids:
            continue
        rows = embeddings.join(missing[together[0].id].select("clip_id"), on="clip_id", how="semi").sort("clip_id")
        asked = np.stack([direction_of(workspace, spec) for spec in together])
        for spec, best in zip(together, best_windows(rows, asked, frames_per_s=embedding.frames_per_s), strict=True):
            seen = rows.select("clip_id", "model_id").with_columns(
                similarity=pl.Series(best.similarity, dtype=pl.Float32),
                segmenter=pl.lit(None, pl.Float32),
                best_start_s=pl.Series(best.start_s, dtype=pl.Float64),
                best_end_s=pl.Series(best.end_s, dtype=pl.Float64),
            )
            if known.trained and known.trained.knows(spec) and models == [known.trained.config["embedding_model"]]:
                said = known.trained.scores(spec, rows)
                seen = seen.with_columns(said["segmenter"]).with_columns(
                    best_start_s=said["segment_start_s"].fill_null(seen["best_start_s"]),
                    best_end_s=said["segment_end_s"].fill_null(seen["best_end_s"]),
                )
            found[spec.id] = seen.join(missing[spec.id], on="clip_id").select(_SEEN.keys())
    return found


def _labelled(spec: Capability, known: Known, seen: pl.DataFrame) -> Labelled:
    """The labelled ones of the clips."""
    own = known.labels.filter(pl.col("capability") == spec.id)
    rows = seen.select("clip_id", "similarity", "segmenter").join(own, on="clip_id").sort("clip_id")
    group = rows["group_id"].to_numpy().astype(str)
    fresh = np.zeros(len(rows), bool) if known.seen is None else ~np.isin(group, list(known.seen))
    return Labelled(
        _features(rows),
        rows["positive"].to_numpy().astype(bool),
        group,
        rows["audit"].to_numpy().astype(bool),
        fresh,
    )


def _features(seen: pl.DataFrame) -> np.ndarray:
    """float64 [n, 1 or 2]: similarity, and what the segmenter says, in log odds, where it says something of each."""
    similarity = seen["similarity"].to_numpy().astype(np.float64)
    if seen.is_empty() or seen["segmenter"].null_count():
        return similarity[:, None]
    chance = np.clip(seen["segmenter"].to_numpy().astype(np.float64), 1e-9, 1 - 1e-9)
    log_odds = np.clip(np.log(chance / (1 - chance)), -_MOST_LOG_ODDS, _MOST_LOG_ODDS)
    return np.stack([similarity, log_odds], axis=1)


def _calibration_row(
    workspace: Workspace, spec: Capability, found: Calibration, level: float | None, level_from: str | None
) -> pl.DataFrame:
    row = {
        "capability": spec.id, "spec_version": spec.version, "calibration": found.kind, "level": level,
        "level_from": level_from, "labels": found.labels, "positives": found.positives,
        "audits": found.audits, "features": ", ".join(found.features) or None,
        "shift": found.curve.shift if found.curve and found.audits else None, "log_loss": found.log_loss,
        "brier": found.brier, "brier_base_rate": found.brier_base_rate,
        "reliability": [asdict(each) for each in found.reliability],
    }  # fmt: skip
    schema = workspace.catalog.schema("calibrations")
    return pl.DataFrame([{name: value for name, value in row.items() if name in schema}], schema_overrides=schema)


def _changed(rows: pl.DataFrame, former: pl.DataFrame, *, key: str = "clip_id") -> pl.DataFrame:
    """Those of `rows` that say something else than the former row of the same key, or have none."""
    columns = [name for name in rows.columns if name != key]
    both = rows.join(former.select(key, *columns), on=key, how="left", suffix="_former", maintain_order="left")
    same = both.select(same=pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_former")) for name in columns))[
        "same"
    ]
    return rows.filter(~(same & rows[key].is_in(former[key].implode())))
