"""`curate ...`: one thin command for each library function.

Exit status: 0 done, 1 the run failed, 2 the input cannot be used, 3 the run finished and some items failed. Libraries
load inside the commands, so that `curate --help` answers at once.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from curate.cli_capability import capability
from curate.cli_collect import collect
from curate.cli_decide import approve, decisions, proceed, reject
from curate.cli_evaluate import evaluate
from curate.cli_gaps import gaps
from curate.cli_label import label
from curate.cli_lineage import trace, withdraw
from curate.cli_mix import mix
from curate.cli_options import SOME_FAILED, Json, given_workspace, said
from curate.cli_search import search
from curate.cli_segment import segment
from curate.cli_serve import serve
from curate.cli_train import train
from curate.errors import CurateError, InputError

app = typer.Typer(
    name="curate",
    help="The data flywheel for video-understanding models: find what is missing, fetch exactly that, prove it helped.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(capability, name="capability")
app.add_typer(label, name="label")
app.add_typer(mix, name="mix")


@app.callback()
def _options(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="The workspace, or a directory in it.")] = Path(),
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    said.workspace, said.debug = workspace, debug


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Made if it is missing; files already there stay.")],
    sample: Annotated[bool, typer.Option("--sample", help="Configs of the sample world and its CLIP.")] = False,
) -> None:
    """Make a workspace: git, DVC, and configs/ with a working example of each kind."""
    from curate.workspace import create_workspace

    workspace = create_workspace(directory, sample=sample)
    print(f"Workspace at {workspace.root}")
    print(
        f"Next: set `path` in {directory}/configs/sources/, say what you look for in {directory}/configs/capabilities/,"
    )
    print(f"then: cd {directory} && curate collect")


@app.command()
def check() -> None:
    """Check every config and say what each holds."""
    workspace = given_workspace()
    workspace.analysis()
    for kind, specs in (
        ("source", workspace.sources()),
        ("capability", workspace.capabilities()),
        ("mix", workspace.mixes()),
    ):
        for name, spec in specs.items():
            print(f"{kind:<12}{name:<24}{spec.version}")


app.command()(collect)


@app.command()
def measure(
    signals: Annotated[
        str | None, typer.Option(help="speech, text or transcript, with commas; what conditions need if not given.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="With --signals: only clips that fulfil this SQL condition.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Measure again what failed before.")] = False,
    as_json: Json = False,
) -> None:
    """Measure costly signals of clips: on-screen text, speech, transcripts. `collect` does what conditions need."""
    from curate.analyze.measure import measure as run_measure
    from curate.console import bars, show

    names = [name.strip() for name in signals.split(",")] if signals else None
    with bars() as progress:
        done = run_measure(given_workspace(), names, where=where, retry_failed=retry_failed, progress=progress)
    show(done, as_json=as_json)
    if done.failed:
        print(f"{done.failed} clips failed: `curate outcomes --stage measure` says why", file=sys.stderr)
        raise typer.Exit(SOME_FAILED)


@app.command()
def outcomes(
    stage: Annotated[str | None, typer.Option(help="collect, clips, dedupe or measure.")] = None,
    outcome: Annotated[str | None, typer.Option(help="ok, filtered or failed.")] = None,
    as_json: Json = False,
) -> None:
    """What became of every input: ok, filtered (by which rule, at which value) or failed (why)."""
    import polars as pl

    from curate.console import show

    rows = given_workspace().catalog.scan("outcomes")
    for name, wanted in (("stage", stage), ("outcome", outcome)):
        if wanted:
            rows = rows.filter(pl.col(name) == wanted)
    show(rows.sort("stage", "item").select("stage", "item", "outcome", "reason", "value").collect(), as_json=as_json)


app.command()(trace)
app.command()(withdraw)
app.command()(search)
app.command()(decisions)
app.command()(approve)
app.command()(reject)
app.command()(proceed)


@app.command()
def dedupe(
    html: Annotated[
        Path | None, typer.Option(help="Write a page of pairs, the least sure first, to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find clips that show the same as others; `collect` does it too. New parameters compare all clips again."""
    from curate.console import bars, show
    from curate.dedupe.duplicates import find_duplicates
    from curate.report.links import write_links

    workspace = given_workspace()
    with bars() as progress:
        found = find_duplicates(workspace, progress=progress)
    show(found, as_json=as_json)
    if html:
        write_links(workspace, html)
        if not as_json:
            print(html)


app.command()(gaps)


app.command()(train)
app.command()(evaluate)
app.command()(segment)
app.command()(serve)


@app.command()
def status(as_json: Json = False) -> None:
    """Where we stand: supply, gaps, labels, mixes, models, and what to do next."""
    from curate.console import show
    from curate.report.status import status as run_status

    found = run_status(given_workspace())
    if as_json:
        show(found.as_dict(), as_json=True)
    else:
        print(found.as_text())


@app.command()
def report() -> None:
    """Write the HTML report and print its path."""
    from curate.console import bars
    from curate.report.page import write_report

    with bars() as progress:
        path = write_report(given_workspace(), progress=progress)
    print(path)


@app.command("demo-footage")
def demo_footage(
    directory: Annotated[Path, typer.Argument(help="Where the videos and truth.json go.")],
    videos: Annotated[int, typer.Option(min=1, help="Original videos; copies and broken files come on top.")] = 60,
    seed: int = 0,
) -> None:
    """Render the sample world: raw videos with known truth."""
    from curate.console import bars
    from curate.sample.world import render_world

    with bars() as progress:
        truth = render_world(directory, videos, seed, progress=lambda done, total: progress("videos", done, total))
    print(f"{len(truth['videos'])} files in {directory}")


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(help="Scratch workspace.")] = Path("demo"),
    videos: Annotated[int, typer.Option(min=24, help="Original videos of the sample world.")] = 60,
) -> None:
    """Once round the wheel on the sample world: footage in, a versioned mix and a trained segmenter out."""
    from flows.demo import run_demo

    run_demo(directory, videos=videos)


@app.command()
def flow(
    name: Annotated[str, typer.Argument(help="collect, label, build, train or proceed.")],
    argument: Annotated[list[str] | None, typer.Option("--set", help="name=value for the flow, repeatable.")] = None,
) -> None:
    """Run a Prefect flow over this workspace, with retries and a recorded run. Needs no Prefect server."""
    from flows import run_flow

    settings = dict(_pair(text) for text in argument or [])
    run_flow(given_workspace(), name, settings)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise InputError(f"--set {text!r}: expected name=value")
    return name, value


def main() -> None:
    """Entry point: our own errors become one line and an exit status; others too, with `--debug` for the traceback."""
    try:
        app()
    except CurateError as error:
        if said.debug:
            raise
        print(f"curate: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except Exception as error:
        if said.debug:
            raise
        print(
            f"curate: unexpected {type(error).__name__}: {error}. Run with --debug for the traceback", file=sys.stderr
        )
        sys.exit(1)
