"""`curate serve`: analyses over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from curate.cli_options import given_workspace


def serve(
    host: Annotated[str, typer.Option(help="Address of this machine to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes one that is free, and says which.")
    ] = 8091,
    root: Annotated[
        list[Path] | None, typer.Option("--root", help="Requests may name files below this directory; repeatable.")
    ] = None,
    allow_url: Annotated[
        list[str] | None,
        typer.Option("--allow-url", metavar="HOST", help="Requests may name URLs at HOST or HOST:PORT; repeatable."),
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Those hosts may be at addresses that are not public.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="For requests that name none: a trained model, or zero-shot; the newest if not given."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where models run: auto, cpu or cuda.")] = "auto",
) -> None:
    """Analyse videos over HTTP, in the shape that `curate segment` answers in, with a queue that survives restarts.

    Limits are in configs/serve.yaml. CURATE_SERVE_TOKEN is what requests must carry; only on loopback may it be unset.
    """
    from curate.serve.server import serve
    from curate.serve.videos import permitted

    may = permitted(root or [], allow_url or [], private=allow_private)
    serve(given_workspace(), host=host, port=port, may=may, model=model, device=device)
