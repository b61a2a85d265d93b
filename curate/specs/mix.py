"""A mix: what a training set must hold, in shares and limits. The solver says what of it is feasible."""

import math
from typing import Literal

from pydantic import Field, model_validator

from curate.specs.read import Spec


class Budget(Spec):
    clips: int | None = Field(default=None, gt=0)
    hours: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_of_two(self) -> "Budget":
        if (self.clips is None) == (self.hours is None):
            raise ValueError("give either clips or hours")
        return self


class Replay(Spec):
    share: float = Field(default=0.0, ge=0, le=1, description="Untargeted clips, spread over embedding space.")


class Share(Spec):
    share: float = Field(ge=0, le=1, description="Of the budget.")
    max_repeat: int = Field(default=1, ge=1)
    labels: Literal["reviewed"] = "reviewed"


class Limits(Spec):
    per_video: int | None = Field(default=None, gt=0)
    per_duplicate_group: int = Field(default=1, gt=0)
    licences: list[str] | None = Field(default=None, description="Allowed SPDX identifiers; all where not given.")


class Splits(Spec):
    train: float = Field(default=0.8, gt=0, le=1)
    validation: float = Field(default=0.1, ge=0, le=1)
    test: float = Field(default=0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Splits":
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"splits sum to {total:g}, not 1")
        return self


class Mix(Spec):
    """configs/mixes/NAME.yaml."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    budget: Budget
    seed: int = 0
    replay: Replay = Replay()
    capabilities: dict[str, Share]
    limits: Limits = Limits()
    splits: Splits = Splits()
    on_shortfall: Literal["report", "fail"] = "report"

    @model_validator(mode="after")
    def _shares_fit(self) -> "Mix":
        total = self.replay.share + sum(share.share for share in self.capabilities.values())
        if total > 1 + 1e-6:
            raise ValueError(f"shares sum to {total:g}, more than 1")
        return self
