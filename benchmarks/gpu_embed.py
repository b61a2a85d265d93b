"""How near embedding comes to what the GPU can do: the share of its measured bf16 matmul rate that image towers reach.

Pictures go the whole way, as uint8 from the host through pinned memory, preprocessing on the device, the tower in bf16
and vectors back. The ceiling is measured on the same device: products of square bf16 matrices. The work of a picture is
counted from the tower's shape: the products of its blocks and of its attention. Weights are random, which costs the
same as trained ones. Without a CUDA device nothing is measured, and the result says so.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import claim
from curate.analyze.embed import Embedder, load_embedder
from curate.specs.analysis import Embedding

MODELS = ("ViT-B-32", "ViT-L-14")
CLAIMED = "ViT-L-14"
_BATCH = 256
_REPEATS = 5


def measure(quick: bool) -> claim.Result:
    if not torch.cuda.is_available():
        return claim.Result(None, "of the matmul rate", 0.5, at_most=False, rows=(), notes="no CUDA device here")
    ceiling = matmul_rate(size=4096 if quick else 8192)
    rows, shares = [], {}
    for name in MODELS:
        embedder = load_embedder(Embedding(model=name, weights="random", device="cuda", batch=_BATCH))
        rate = pictures_rate(embedder, batches=8 if quick else 40)
        shares[name] = rate * flops_of(embedder) / ceiling
        rows.append(
            {
                "model": name,
                "pictures_per_s": rate,
                "gflop_per_picture": flops_of(embedder) / 1e9,
                "matmul_tflops": ceiling / 1e12,
                "share": shares[name],
            }
        )
    device = torch.cuda.get_device_name()
    return claim.Result(shares[CLAIMED], "of the matmul rate", 0.5, at_most=False, rows=rows, notes=device)


def matmul_rate(size: int) -> float:
    """Floating-point operations a second in bf16 products of square matrices: median of repeated runs."""
    left, right = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def products() -> None:
        for _ in range(20):
            torch.mm(left, right)
        torch.cuda.synchronize()

    return 20 * 2 * size**3 / _median_s(products)


def pictures_rate(embedder: Embedder, batches: int) -> float:
    """Pictures a second through `Embedder.submit`, two batches under way: median of repeated runs."""
    preprocess = embedder.preprocess
    shape = (_BATCH, preprocess.height, preprocess.width, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def embed() -> None:
        under_way: deque[Any] = deque()
        for _ in range(batches):
            under_way.append(embedder.submit(pictures))
            if len(under_way) > 2:
                under_way.popleft().result()
        while under_way:
            under_way.popleft().result()

    return batches * _BATCH / _median_s(embed)


def flops_of(embedder: Embedder) -> float:
    """Floating-point operations of the products in a vision transformer's forward pass of one picture."""
    tower: Any = embedder.visual
    width, layers = tower.conv1.out_channels, len(tower.transformer.resblocks)
    patch, side = tower.conv1.kernel_size, (embedder.preprocess.height, embedder.preprocess.width)
    patches = (side[0] // patch[0]) * (side[1] // patch[1])
    tokens, hidden = patches + 1, tower.transformer.resblocks[0].mlp[0].out_features
    block = 2 * tokens * (4 * width * width + 2 * width * hidden) + 4 * tokens * tokens * width
    return float(layers * block + 2 * patches * 3 * patch[0] * patch[1] * width + 2 * width * embedder.dim)


def _median_s(work: Callable[[], None]) -> float:
    work()
    seconds = []
    for _ in range(_REPEATS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


if __name__ == "__main__":
    claim.main("gpu_embed", measure)
