"""How raw video becomes clips: shots, clip lengths, embedding, duplicates, and the engine that runs it."""

from typing import Literal

from pydantic import Field, model_validator

from curate.specs.read import Spec


class Shots(Spec):
    detector: Literal["blend", "transnet", "adaptive", "content"] = Field(
        default="blend", description="How shots are found; curate/analyze/shots.py says what each is good for."
    )
    threshold: float | None = Field(
        default=None, gt=0, description="Above which a frame is a cut, in the detector's own unit; its own default."
    )
    min_shot_s: float = Field(default=0.6, ge=0, description="Of two cuts nearer than this, the weaker is dropped.")


class Clips(Spec):
    min_s: float = Field(default=1.0, gt=0, description="Shorter shots are filtered.")
    max_s: float = Field(default=20.0, gt=0, description="Longer shots are split where their content changes least.")

    @model_validator(mode="after")
    def _ordered(self) -> "Clips":
        if self.max_s < 2 * self.min_s:
            raise ValueError(f"max_s ({self.max_s:g}) must be at least twice min_s ({self.min_s:g})")
        return self


class Embedding(Spec):
    model: str = Field(default="ViT-B-32", description="An open_clip architecture, or `sample`.")
    weights: str = Field(
        default="laion2b_s34b_b79k",
        description="An open_clip tag, a local file, `random` (for tests of speed), or `sample`.",
    )
    frames_per_s: float = Field(default=2.0, gt=0, le=30)
    batch: int = Field(default=64, gt=0)
    device: str = Field(default="auto", description="auto, cpu or cuda.")


class Signals(Spec):
    """Costly signals, measured where a condition needs them."""

    text_every_s: float = Field(default=2.0, gt=0, description="On-screen text is read in one picture of each so long.")
    text_px: int = Field(default=640, ge=96, le=2000, description="Longer side of those pictures, at most.")
    whisper: str | None = Field(
        default=None, description="Directory of a faster-whisper (CTranslate2) model, for `transcript`."
    )
    language: str | None = Field(default=None, description="Of transcripts, as en; found out where not given.")


class Duplicates(Spec):
    near: float = Field(
        default=0.85, gt=0, le=1, description="Cosine from which clips are compared in pixels, whatever pixels say."
    )
    semantic: float = Field(
        default=0.95, gt=0, le=1, description="Cosine from which clips show the same thing; it depends on the model."
    )
    drop: tuple[Literal["exact", "copy", "semantic"], ...] = Field(
        default=("exact", "copy"), description="Kinds of duplicates of which one clip is kept; all of them bind splits."
    )
    neighbours: int = Field(default=256, gt=0, description="Most clips that a new one is compared with, the nearest.")
    recall: float = Field(
        default=0.95, ge=0, le=1, description="A run whose index finds a smaller share of what brute force finds fails."
    )


class Triage(Spec):
    keyframes: int = Field(default=256, gt=0, description="Most keyframes kept of a video, spread over it.")
    copy_from: float = Field(default=0.95, gt=0, le=1, description="Agreement of keyframes that makes a copy.")


class Limits(Spec):
    """What no footage exceeds, and what a file that was made to exhaust a machine does. 8K and a day are within."""

    max_pixels: int = Field(default=1 << 26, gt=0, description="Width times height of a frame.")
    max_duration_s: float = Field(default=100_000.0, gt=0)


class Engine(Spec):
    kind: Literal["local", "ray"] = "local"
    workers: int | None = Field(default=None, gt=0, description="Processes; all cores where not given.")
    timeout_s: float = Field(default=14400, gt=0, description="A video that takes longer is failed.")
    frame_timeout_s: float = Field(default=60, gt=0, description="A video that gives no frame for longer is failed.")
    memory_mb: float = Field(
        default=2048, gt=0, description="A video that takes more is failed; one worker's, without its model."
    )
    address: str | None = Field(default=None, description="Ray cluster; a local one where not given.")


class Analysis(Spec):
    """configs/analysis.yaml."""

    shots: Shots = Shots()
    clips: Clips = Clips()
    embedding: Embedding = Embedding()
    signals: Signals = Signals()
    duplicates: Duplicates = Duplicates()
    triage: Triage = Triage()
    limits: Limits = Limits()
    engine: Engine = Engine()
