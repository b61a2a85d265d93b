"""`curate segment`: segments of a video, a URL or a folder, as JSON."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli_options import SOME_FAILED, Json, given_workspace
from curate.errors import InputError

if TYPE_CHECKING:
    from curate.model.definitions import Definition
    from curate.workspace import Workspace


def segment(
    video: Annotated[str, typer.Argument(help="A video file, its URL, or a folder of videos.")],
    definitions: Annotated[Path, typer.Option(help="JSON or YAML: the segment definitions that are asked for.")],
    model: Annotated[
        str | None, typer.Option(help="A trained model, by name or directory; the newest if not given.")
    ] = None,
    zero_shot: Annotated[bool, typer.Option("--zero-shot", help="Similarities alone, no trained model.")] = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="A line for each segment as it is found, between a header and a last line.")
    ] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Say how sure the model is of each segment.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Of a folder: the file that gets a line for each video. Interrupted, it goes on."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Let the URL lead to private and local addresses.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Time-based, structured metadata of a video: segments with start, end and typed fields, as JSON.

    Times are seconds from the first shown frame. With --jsonl the header says `start_offset_s`, the source's own time
    of that frame. `--json` is for the summary of a folder; a video's answer is JSON in any case.
    """
    from curate.model.definitions import read_definitions
    from curate.model.directory import model_directory, newest_model

    workspace = given_workspace()
    chosen = None if zero_shot else model_directory(workspace.models, model or newest_model(workspace.models))
    wanted = read_definitions(definitions)
    if Path(video).is_dir():
        _folder(workspace, Path(video), wanted, out, chosen, device, as_json=as_json)
        return
    if out is not None:
        raise InputError("--out is for a folder of videos", where=video, fix="Redirect the output of one video")
    path = _fetched(workspace, video, allow_private) if "://" in video else Path(video)
    _one(workspace, path, video, wanted, chosen, device, jsonl=jsonl, scores=scores)


def _one(
    workspace: "Workspace",
    path: Path,
    name: str,
    wanted: "list[Definition]",
    model: Path | None,
    device: str,
    *,
    jsonl: bool,
    scores: bool,
) -> None:
    from curate.console import show
    from curate.media.gaps import what_is_lost
    from curate.model.infer import as_record, as_response, header, load_answerer

    analysis = workspace.analysis()
    answerer = load_answerer(model, analysis.embedding, device)
    reading = answerer.read(path, wanted, analysis.limits)
    if jsonl:
        _say({"video": name, **header(answerer, reading)})
        count = 0
        for definition, found in reading.found:
            _say({"definition": definition, **as_record(found, with_score=True)})
            count += 1
        _say({"done": True, "segments": count, "lost": what_is_lost(reading.gaps)[0]})
    else:
        show(as_response(wanted, reading.found, with_scores=scores), as_json=True)
    if reading.gaps:
        print(f"{name}: {what_is_lost(reading.gaps)[0]}; the rest is answered for", file=sys.stderr)


def _folder(
    workspace: "Workspace",
    folder: Path,
    wanted: "list[Definition]",
    out: Path | None,
    model: Path | None,
    device: str,
    *,
    as_json: bool,
) -> None:
    from curate.console import bars, show
    from curate.model.batch import segment_folder

    if out is None:
        raise InputError("a folder needs a file for its answers", where=folder, fix="Name one with --out FILE.jsonl")
    with bars() as progress:
        done = segment_folder(
            folder, wanted, out, model=model, analysis=workspace.analysis(), device=device, progress=progress
        )
    show(done, as_json=as_json)
    if done.failed:
        raise typer.Exit(SOME_FAILED)


def _fetched(workspace: "Workspace", url: str, allow_private: bool) -> Path:
    from curate.sources.download import fetch
    from curate.sources.request import shown
    from curate.specs.source import Download, checked_url

    try:
        checked_url(url)
    except ValueError as error:
        raise InputError(str(error), where=shown(url)) from None
    return fetch(url, workspace.state / "downloads" / "segment", Download(allow_private=allow_private)).path


def _say(line: dict) -> None:
    print(json.dumps(line, ensure_ascii=False), flush=True)
