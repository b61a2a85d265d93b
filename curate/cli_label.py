"""`curate label ...`: review clips in Label Studio."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli_decide import show_decisions
from curate.cli_label_serve import serve
from curate.cli_label_status import status
from curate.cli_options import SOME_FAILED, Json, RestoreInterface, Who, Why, given_workspace, show_rows, user
from curate.cli_review import adjudicate, agreement, compare, invite

if TYPE_CHECKING:
    import polars as pl

label = typer.Typer(help="Review clips in Label Studio.", no_args_is_help=True, rich_markup_mode=None)


@label.command("install")
def label_install() -> None:
    """Install Label Studio into an environment of its own, ready to start. `label up` does it when it must."""
    from curate.console import bars
    from labeling.server import prepare

    with bars() as progress:
        print(f"Label Studio in {prepare(progress=progress)}")


@label.command("up")
def label_up(port: Annotated[int, typer.Option(help="Port on this machine.")] = 8080) -> None:
    """Start Label Studio for this workspace: its own environment, SQLite, offline."""
    from curate.console import bars
    from labeling.server import up

    with bars() as progress:
        server = up(given_workspace().state / "label-studio", port=port, progress=progress)
    print(f"Label Studio at {server.url}")
    print(f"Log in with the account in {given_workspace().state / 'label-studio' / 'account.json'}")


@label.command("down")
def label_down() -> None:
    """Stop this workspace's Label Studio."""
    from labeling.server import down

    down(given_workspace().state / "label-studio")


@label.command("push")
def label_push(
    capabilities: Annotated[
        list[str] | None, typer.Argument(help="Capability ids; all with a gap if not given.")
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="Clips for each capability.")] = 40,
    total: Annotated[
        int | None, typer.Option(min=1, help="In place of --budget: clips in all, divided over the gaps by urgency.")
    ] = None,
    evaluation: Annotated[
        bool, typer.Option("--evaluation", help="Choose among the frozen evaluation groups, to measure better.")
    ] = False,
    who: Who = "",
    why: Why = "",
    propose: Annotated[
        bool, typer.Option("--propose", help="Send nothing: propose the order, for somebody to approve.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and why.")] = False,
    restore_interface: RestoreInterface = False,
    as_json: Json = False,
) -> None:
    """Choose the clips most worth a label and send them to Label Studio, most valuable first.

    Sending again adds nothing twice, whatever was killed before. Where a capability's meaning has changed, it gets a
    new project, and clips that nobody has begun move there.
    """
    from curate.console import bars, show
    from curate.decisions import APPROVED, PROPOSED
    from curate.targets.choosing.choose import choose
    from curate.targets.choosing.divide import parts
    from curate.targets.choosing.order import order_labels
    from labeling.push import push
    from labeling.server import connect

    workspace = given_workspace()
    purpose = "evaluation" if evaluation else "train"
    shares = parts(workspace, capabilities or None, each=budget, total=total)
    chosen = {name: choose(workspace, name, count, purpose=purpose) for name, count in shares.items()}
    for name, clips in chosen.items():
        if not evaluation and clips.filter(clips["reason"].is_in(["likely", "slice"])).is_empty():
            print(f"{name}: no likely clip is left; `curate collect --for {name}` looks for more", file=sys.stderr)
    if dry_run:
        plan = {name: clips.to_dicts() for name, clips in chosen.items()}
        show(plan if as_json else {name: _by_reason(clips) for name, clips in chosen.items()}, as_json=as_json)
        return
    server = None if propose else connect(workspace.state / "label-studio")
    status = PROPOSED if propose else APPROVED
    orders = [
        order_labels(workspace, name, clips, who=who or user(), why=why, status=status)
        for name, clips in chosen.items()
        if len(clips)
    ]
    if server is None:
        show_decisions(orders, as_json)
        return
    with bars() as progress:
        pushed = [
            push(workspace, order, server, restore_interface=restore_interface, progress=progress) for order in orders
        ]
    show_rows(pushed, as_json)
    if any(each.failed for each in pushed):
        raise typer.Exit(SOME_FAILED)


def _by_reason(clips: "pl.DataFrame") -> str:
    counts = clips["reason"].value_counts().sort("count", "reason", descending=[True, False])
    return f"{len(clips)} clips: {', '.join(f'{count} {reason}' for reason, count in counts.iter_rows())}"


@label.command("pull")
def label_pull(
    capabilities: Annotated[list[str] | None, typer.Argument(help="Capability ids; all where not given.")] = None,
    as_json: Json = False,
) -> None:
    """Fetch what people have done as labels, reviews and votes, and calibrate scores by it. Nothing is overwritten."""
    from curate.console import bars, show
    from curate.targets.scoring.score import score
    from labeling.pull import pull
    from labeling.server import connect

    workspace = given_workspace()
    with bars() as progress:
        server = connect(workspace.state / "label-studio")
        pulled = pull(workspace, capabilities or None, server=server, progress=progress)
        if pulled.new or pulled.deleted:
            score(workspace, progress=progress)
    show(pulled, as_json=as_json)
    for name in pulled.missing:
        fix = f"`curate label push {name}` opens another"
        print(f"{name}: its project was deleted from Label Studio; the labels stay. {fix}", file=sys.stderr)
    if pulled.missing:
        raise typer.Exit(SOME_FAILED)


@label.command("simulate")
def label_simulate(
    truth: Annotated[Path, typer.Argument(help="truth.json of the sample world.")],
    capabilities: Annotated[list[str] | None, typer.Argument(help="Capability ids; all where not given.")] = None,
) -> None:
    """Annotate waiting tasks from the sample world's truth, through Label Studio's real API."""
    from curate.console import bars
    from labeling.server import connect
    from labeling.simulate import annotate

    workspace = given_workspace()
    with bars() as progress:
        server = connect(workspace.state / "label-studio")
        content = json.loads(truth.read_text())
        count = annotate(workspace, content, server, capabilities=capabilities or None, progress=progress)
    print(f"{count} tasks annotated")


label.command("agreement")(agreement)
label.command("adjudicate")(adjudicate)
label.command("compare")(compare)
label.command("invite")(invite)
label.command("serve")(serve)
label.command("status")(status)
