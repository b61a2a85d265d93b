"""What the server takes: configs/serve.yaml. All of it has defaults, and the file may be left out."""

from pydantic import Field

from curate.specs.read import Spec


class Serve(Spec):
    """Limits of `curate serve`."""

    workers: int = Field(default=2, gt=0, description="Processes, each with a model of its own and one core.")
    connections: int = Field(default=512, gt=0, description="More at a time are turned away with 503.")
    body_bytes: int = Field(default=1 << 18, gt=0, description="A larger request is refused.")
    definitions: int = Field(default=50, gt=0, description="Most segment definitions in a request.")
    field_values: int = Field(default=1000, gt=0, description="Most values of all enums in a request.")
    asset_bytes: int = Field(default=20_000_000_000, gt=0, description="A larger upload, or file at a URL, is refused.")
    assets_bytes: int = Field(default=100_000_000_000, gt=0, description="Uploads are refused where they fill more.")
    queue: int = Field(default=1000, gt=0, description="Most jobs that wait; further requests are refused.")
    video_s: float = Field(default=7200, gt=0, description="A job whose video is longer is failed.")
    job_s: float = Field(default=3600, gt=0, description="A job that takes longer is failed.")
    frame_s: float = Field(default=60, gt=0, description="A job that gets no frame for longer is failed.")
    memory_mb: float = Field(default=2048, gt=0, description="A job that takes more, besides the model, is failed.")
    attempts: int = Field(
        default=3, gt=0, description="A job under which the server or its worker ends so often fails."
    )
    silence_s: float = Field(default=30, gt=0, description="A client that sends nothing for so long is given up.")
    wait_s: float = Field(default=60, ge=0, description="Longest that `?wait=` holds an answer back.")
    stop_s: float = Field(default=20, ge=0, description="Told to stop, how long jobs may still run; then they wait.")
    keep_hours: float = Field(default=168, gt=0, description="Results and uploads are removed after that.")
    keep_jobs: int = Field(default=10_000, gt=0, description="Most finished jobs kept, the newest.")
