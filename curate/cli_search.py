"""`curate search`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from curate.cli_options import Json, given_workspace
from curate.errors import InputError


def search(
    text: Annotated[
        list[str] | None, typer.Argument(help="What a frame shows, in words; several are averaged.")
    ] = None,
    not_text: Annotated[list[str] | None, typer.Option("--not", help="What it must not be mistaken for.")] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(help="A clip id, or an image or video file; with @12.5-15, that span of it in seconds."),
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="SQL condition over signals and metadata; alone, the newest that fulfil it.")
    ] = None,
    diverse: Annotated[bool, typer.Option("--diverse", help="Results that differ, and no copies.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most clips shown.")] = 20,
    html: Annotated[Path | None, typer.Option(help="Write a page of pictures and times to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Find clips by text, by example and by condition."""
    from curate.console import bars, show
    from curate.report.results import Question, write_results
    from curate.search.search import search_clips

    workspace = given_workspace()
    question = Question(text or (), not_text or (), like or (), where, diverse)
    if workspace.catalog.rows("clips").head(1).collect().is_empty():
        raise InputError("no clips yet", where=workspace.root, fix="Run `curate collect`")
    notes: list[str] = []
    with bars() as progress:
        found = search_clips(workspace, **asdict(question), limit=limit, tell=notes.append, progress=progress)
    for note in notes:
        print(note, file=sys.stderr)
    if html:
        write_results(workspace, found, html, question)
    if as_json:
        show(found, as_json=True)
    elif html:
        print(html)
    else:
        show(found, columns=["clip_id", "similarity", "best_start_s", "best_end_s", "path"])
