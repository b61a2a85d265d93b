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
    """What a capability gets. Minimums are filled before anything else, within the share and the limits."""

    share: float = Field(ge=0, le=1, description="Of the budget.")
    max_repeat: int = Field(default=1, ge=1, description="Most times that a clip labelled present occurs.")
    labels: Literal["any", "reviewed"] = Field(
        default="any", description="Which labels count: `reviewed` are settled by a review, or agreed by annotators."
    )
    where: str | None = Field(
        default=None, description="SQL condition over its clips, as a capability's `match.where`."
    )
    min_clips: int = Field(default=0, ge=0, description="Least distinct clips labelled present that serve it.")
    per_slice: int = Field(default=0, ge=0, description="The same for each of the capability's `slices`.")

    @model_validator(mode="after")
    def _minimums_need_a_share(self) -> "Share":
        if self.share == 0 and (self.min_clips or self.per_slice):
            raise ValueError("a minimum needs a share: give `share` more than 0")
        return self


class Limits(Spec):
    """Most distinct clips; a clip's repeats do not count."""

    per_video: int | None = Field(default=None, gt=0)
    per_source: int | None = Field(default=None, gt=0)
    per_duplicate_group: int = Field(default=1, gt=0)
    licences: list[str] | None = Field(default=None, description="Allowed SPDX identifiers; all where not given.")
    per_licence: dict[str, int] = Field(default={}, description="Most distinct clips of a licence: `CC-BY-4.0: 5000`.")

    @model_validator(mode="after")
    def _licences_agree(self) -> "Limits":
        for name, most in self.per_licence.items():
            if most < 0:
                raise ValueError(f"per_licence {name}: {most} clips; give 0 or more")
            if self.licences is not None and name not in self.licences:
                raise ValueError(f"per_licence names {name!r}, which `licences` does not allow")
        return self


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
    where: str | None = Field(default=None, description="SQL condition over all its clips, replay too.")
    replay: Replay = Replay()
    capabilities: dict[str, Share]
    limits: Limits = Limits()
    splits: Splits = Splits()
    on_shortfall: Literal["report", "fail", "order-labels"] = Field(
        default="report", description="`order-labels` also proposes an order of the labels that are missing."
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> "Mix":
        total = self.replay.share + sum(share.share for share in self.capabilities.values())
        if total > 1 + 1e-6:
            raise ValueError(f"shares sum to {total:g}, more than 1")
        return self

    @model_validator(mode="after")
    def _minimums_fit_their_shares(self) -> "Mix":
        for name, share in self.capabilities.items():
            for key, least in (("min_clips", share.min_clips), ("per_slice", share.per_slice)):
                if self.budget.clips is not None and least > math.ceil(share.share * self.budget.clips - 1e-6):
                    most = share.share * self.budget.clips
                    raise ValueError(f"{name}: {key} {least} is more than its share, {most:g} clips")
        return self
