"""How clips reach annotators: configs/labeling.yaml, which may be left out."""

from pydantic import Field as field

from curate.specs.read import Spec


class Labeling(Spec):
    """configs/labeling.yaml."""

    media: str = field(
        default="studio",
        pattern=r"^(studio|https?://\S+|s3://\S+)$",
        description="What serves clips to annotators: `studio` (the workspace's own Label Studio), the address of "
        "`curate label serve`, or s3://BUCKET/PREFIX.",
    )
    s3_endpoint: str | None = field(default=None, description="Of a store that is not Amazon's.")
    link_days: int = field(default=30, ge=1, description="How long a signed link to a clip is good.")
