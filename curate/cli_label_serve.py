"""`curate label serve`: clips for annotators under signed links, and word from Label Studio of what they did."""

from typing import Annotated

import typer

from curate.cli_options import given_workspace


def serve(
    host: Annotated[str, typer.Option(help="Address of this machine to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.")] = 8090,
    pulls: Annotated[bool, typer.Option("--pull/--no-pull", help="Whether to pull labels as well.")] = True,
    every_min: Annotated[
        float, typer.Option("--every", min=0.1, help="Minutes between pulls when Label Studio gives no hint.")
    ] = 10.0,
    address: Annotated[
        str | None,
        typer.Option(help="Where Label Studio reaches this server; `media` of configs/labeling.yaml if not given."),
    ] = None,
) -> None:
    """Serve clips to annotators under signed links, and pull labels when Label Studio says that there are new ones.

    CURATE_MEDIA_SECRET signs links to clips; CURATE_WEBHOOK_SECRET tells Label Studio's hints from others.
    """
    from labeling import serve

    serve.serve(given_workspace(), host=host, port=port, pulls=pulls, every_s=every_min * 60, address=address)
