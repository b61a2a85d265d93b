"""A source: where raw video comes from, and under which licence it may be used."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from curate.specs.read import Spec

VIDEO_FILES = ["**/*.mp4", "**/*.mkv", "**/*.mov", "**/*.webm", "**/*.avi", "**/*.m4v", "**/*.mpg", "**/*.ts"]


class Download(Spec):
    """What a download may cost, and where it may lead."""

    max_bytes: int = Field(default=20_000_000_000, gt=0, description="A larger file is failed.")
    timeout_s: float = Field(default=3600, gt=0, description="A file that takes longer in one run is failed.")
    read_timeout_s: float = Field(default=30, gt=0, description="Silence after which a connection is lost.")
    retries: int = Field(default=4, ge=0, description="Tries after one that brought nothing further.")
    redirects: int = Field(default=5, ge=0, description="Redirects followed for one file.")
    at_once: int = Field(default=4, gt=0, le=64, description="Files fetched at the same time.")
    allow_private: bool = Field(default=False, description="Let URLs lead to private and local addresses.")


def checked_url(url: str) -> str:
    """`url` as it is, if it is one that a source may name.

    Raises:
        ValueError: it is not http(s), names no host, or carries a password, which would end up in tables and logs.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http or https URL with a host")
    if "@" in parts.netloc:
        raise ValueError("a URL must not carry a user or password")
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("a URL must not hold blanks or control characters")
    return url


class Source(Spec):
    """Raw video: a directory of it, or URLs."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name of the source, and of this file.")
    title: str = ""
    path: str | None = Field(default=None, description="Directory of raw video, absolute or relative to the workspace.")
    urls: list[Annotated[str, AfterValidator(checked_url)]] | None = Field(
        default=None, min_length=1, description="In place of `path`: http(s) URLs, one for each video."
    )
    url_list: str | None = Field(
        default=None, description="In place of `path`: a text file with one URL a line; `#` begins a comment."
    )
    download: Download = Field(default=Download(), description="Limits on fetching URLs.")
    include: list[str] = Field(default=VIDEO_FILES, description="Glob patterns of the files of `path` to take.")
    exclude: list[str] = Field(default=[], description="Glob patterns of the files of `path` to leave.")
    licence: str = Field(description="SPDX identifier, carried from source to mix to card.")
    owner: str = ""

    @model_validator(mode="after")
    def _one_place(self) -> "Source":
        given = [name for name in ("path", "urls", "url_list") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of path, urls and url_list, not {' and '.join(given) or 'none'}")
        return self
