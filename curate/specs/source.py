"""A source: where raw video comes from, and under which licence it may be used."""

from pydantic import Field

from curate.specs.read import Spec

VIDEO_FILES = ["**/*.mp4", "**/*.mkv", "**/*.mov", "**/*.webm", "**/*.avi", "**/*.m4v", "**/*.mpg", "**/*.ts"]


class Source(Spec):
    """A directory of raw video."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name of the source, and of this file.")
    title: str = ""
    path: str = Field(description="Directory of raw video, absolute or relative to the workspace.")
    include: list[str] = Field(default=VIDEO_FILES, description="Glob patterns of the files to take.")
    exclude: list[str] = Field(default=[], description="Glob patterns of the files to leave.")
    licence: str = Field(description="SPDX identifier, carried from source to mix to card.")
    owner: str = ""
