"""What happens to a frame between a studio and a crawl: recompression, scaling, bars, crops, fades, dissolves.

The sample CLIP is trained through these so that a re-encoded copy embeds where its original does.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image as PilImage

from curate.sample.backgrounds import Image


def degrade(rng: np.random.Generator, picture: Image, other: Image, side: int) -> Image:
    """Returns a degraded (side, side, 3) uint8 version of an RGB picture; `other` is what it may dissolve into."""
    height, width = picture.shape[:2]
    if rng.random() < 0.1 and other.shape == picture.shape:
        share = float(rng.uniform(0.05, 0.3))
        picture = np.asarray(cv2.addWeighted(picture, 1 - share, other, share, 0), np.uint8)
    if rng.random() < 0.25:
        top, left = int(rng.integers(0, height // 12 + 1)), int(rng.integers(0, width // 12 + 1))
        picture = np.ascontiguousarray(picture[top : height - top, left : width - left])
    if rng.random() < 0.12:
        bar = round(float(rng.uniform(0.05, 0.15)) * height)
        picture = np.asarray(cv2.copyMakeBorder(picture, bar, bar, 0, 0, cv2.BORDER_CONSTANT), np.uint8)
    if rng.random() < 0.4:
        picture = _shift_colors(rng, picture)
    if rng.random() < 0.4:
        zoom = float(rng.uniform(0.45, 0.85))
        picture = np.asarray(cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA), np.uint8)
    if rng.random() < 0.1:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 1.4))), np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 90))]
        picture = np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    if rng.random() < 0.5:
        resized = PilImage.fromarray(picture).resize((side, side), PilImage.Resampling.BICUBIC)
        return np.asarray(resized, np.uint8)
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _shift_colors(rng: np.random.Generator, picture: Image) -> Image:
    gain = rng.uniform(0.88, 1.12, 3) * (rng.uniform(0.4, 0.9) if rng.random() < 0.25 else rng.uniform(0.9, 1.12))
    shifted = (picture - np.float32(128)) * np.float32(rng.uniform(0.85, 1.18)) + np.float32(128)
    return np.clip(shifted * gain.astype(np.float32), 0, 255).astype(np.uint8)
