"""What a model does to a picture before it looks at it, on whole batches and on the model's own device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as functional


@dataclass(frozen=True)
class Preprocess:
    """open_clip's evaluation transform. Sizes in pixels, `mean` and `std` of RGB in 0..1, `fill` likewise."""

    width: int
    height: int
    mode: Literal["shortest", "longest", "squash"]
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fill: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Preprocess":
        """From what open_clip says of a model."""
        size = config["size"]
        height, width = (size, size) if isinstance(size, int) else size
        mean, std = tuple(config["mean"]), tuple(config["std"])
        fill = float(config["fill_color"]) / 255
        return cls(width, height, config["resize_mode"], config["interpolation"], mean, std, fill)

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of a picture after the model's resize: what the decoder is asked for."""
        if self.mode == "squash":
            return self.width, self.height
        choose = max if self.mode == "shortest" else min
        scale = choose(self.width / width, self.height / height)
        return max(int(width * scale + 1e-6), 1), max(int(height * scale + 1e-6), 1)

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """uint8 RGB [n, height, width, 3] to the model's input, float32 [n, 3, self.height, self.width]."""
        batch = pictures.permute(0, 3, 1, 2).float() / 255
        width, height = self.resized(batch.shape[3], batch.shape[2])
        if tuple(batch.shape[2:]) != (height, width):
            batch = functional.interpolate(batch, (height, width), mode=self.interpolation, antialias=True).clamp(0, 1)
        mean, std = (torch.tensor(some, device=batch.device).view(1, 3, 1, 1) for some in (self.mean, self.std))
        return (_to_size(batch, self.width, self.height, self.fill) - mean) / std


def _to_size(batch: torch.Tensor, width: int, height: int, fill: float) -> torch.Tensor:
    """Crops what is too large and pads what is too small, both about the centre, as torchvision's CenterCrop does."""
    spare_x, spare_y = width - batch.shape[3], height - batch.shape[2]
    if spare_x > 0 or spare_y > 0:
        left, top = max(spare_x, 0) // 2, max(spare_y, 0) // 2
        sides = (left, max(spare_x, 0) - left, top, max(spare_y, 0) - top)
        batch = functional.pad(batch, sides, value=fill)
    left, top = round((batch.shape[3] - width) / 2), round((batch.shape[2] - height) / 2)
    return batch[:, :, top : top + height, left : left + width]
