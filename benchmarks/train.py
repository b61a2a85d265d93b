"""Training does not wait for its data: the share of a training step that goes into waiting for the next batch.

    python -m benchmarks.train [--quick] [--json]

`fit` trains the reference segmenter by its default recipe on clips of 4 to 20 s as a mix holds them, with vectors of
the sample CLIP's 128 dimensions and of ViT-B-32's 512, on each device there is. Beside the waiting stands what drawing
a batch takes by itself: what a loop that draws in step with training would wait. What the vectors are of changes no
time, so they are random. The figure is the worst median over the runs of a device and a size.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.claim import Result, main
from curate.model.definitions import Definition, Encoded, FieldSpec, Segment, encode
from curate.model.examples import Example, draw_batch, pool_of
from curate.model.fit import Fitted, Recipe, fit
from curate.model.track import Track
from curate.threads import one_thread

DIMS = (128, 512)
_CAPABILITIES = 9
_COLORS = ("red", "green", "blue", "yellow")
_FRAME_S = 0.5
_TARGET = 0.1
_DRAWN = 30


def examples_of(clips: int, dim: int, seed: int = 0) -> list[Example]:
    """Clips with a label each, half of them present."""
    rng = np.random.default_rng([seed, dim])
    made = []
    for at in range(clips):
        duration_s = float(rng.uniform(4, 20))
        times_s = np.arange(0, duration_s, _FRAME_S)
        vectors = rng.standard_normal((len(times_s), dim)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        start_s = float(rng.uniform(0, duration_s / 2))
        segment = Segment(start_s, start_s + duration_s / 3, {"color": str(rng.choice(_COLORS))})
        track = Track(times_s, vectors, duration_s)
        segments = (segment,) if at % 2 else ()
        made.append(Example(f"c{at}", f"v{at // 3}", f"capability{at % _CAPABILITIES}", track, segments, True))
    return made


def encoded_of(dim: int) -> dict[str, Encoded]:
    def texts(given: Sequence[str]) -> np.ndarray:
        vectors = np.random.default_rng(dim).standard_normal((len(given), dim))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    field = FieldSpec("color", "string", enum=_COLORS)
    wanted = [Definition(f"capability{at}", f"thing {at}", fields=(field,)) for at in range(_CAPABILITIES)]
    return {one.definition.id: one for one in encode(wanted, texts)}


def drawing_s(examples: Sequence[Example], encoded: dict[str, Encoded], recipe: Recipe) -> float:
    """Median seconds that drawing a batch takes while nothing else is done."""
    pool, seconds = pool_of(examples), []
    with one_thread():
        for step in range(_DRAWN):
            started = time.perf_counter()
            draw_batch(pool, encoded, size=recipe.batch, seed=0, step=step)
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def measure(quick: bool) -> Result:
    clips, steps, repeats = (600, 30, 3) if quick else (5000, 150, 5)
    recipe = replace(Recipe(), steps=steps)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows = []
    for dim in DIMS:
        examples, encoded = examples_of(clips, dim), encoded_of(dim)
        alone_s = drawing_s(examples, encoded, recipe)
        for device in devices:
            found: list[Fitted] = [
                fit(examples, [], encoded, recipe, seed=seed, device=torch.device(device)) for seed in range(repeats)
            ]
            step_s = statistics.median(one.seconds for one in found) / steps
            waited = statistics.median(one.waited for one in found)
            rows.append(
                {
                    "device": torch.cuda.get_device_name() if device == "cuda" else device,
                    "dim": dim,
                    "clips_per_s": statistics.median(one.clips_per_s for one in found),
                    "waited": waited,
                    "step_ms": 1000 * step_s,
                    "drawing_ms": 1000 * alone_s,
                    "waited_if_drawn_in_step": alone_s / (alone_s + step_s * (1 - waited)),
                }
            )
    return Result(
        value=max(row["waited"] for row in rows),
        unit="of the time waiting for data",
        target=_TARGET,
        at_most=True,
        rows=rows,
        notes=f"{clips} labelled clips, batches of {recipe.batch}, {steps} steps, medians of {repeats} runs. "
        "`drawing_ms` is of a thread that has a core to itself.",
    )


if __name__ == "__main__":
    main("train", measure)
