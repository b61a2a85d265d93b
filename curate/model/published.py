"""A published mix as training and evaluation see it: labelled examples and definitions, as vectors of one embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from curate.analyze.embed import load_embedder, model_id
from curate.errors import InputError
from curate.mixes.load import load_mix, read_lock
from curate.mixes.versions import resolve, revision_of
from curate.model.definitions import Definition, Encoded, as_definition, encode
from curate.model.examples import Example, examples_of, read_rows

if TYPE_CHECKING:
    from curate.workspace import Workspace


@dataclass(frozen=True)
class PublishedMix:
    """One revision of a mix, opened in a workspace whose embedding is the mix's own."""

    workspace: Workspace
    name: str
    revision: str
    lock: Mapping[str, Any]

    @property
    def content(self) -> str:
        """The lock's hash of all that a reader of the mix would see differ."""
        return str(self.lock["content"])

    @property
    def embedding_model(self) -> str:
        return str(self.lock["embedding_model"])

    @property
    def versions(self) -> dict[str, str]:
        """The version of each capability's spec, as the mix was built with it."""
        return {name: entry["version"] for name, entry in self.lock["capabilities"].items()}

    @cached_property
    def definitions(self) -> dict[str, Definition]:
        """What each capability asks for, as the mix was built, whatever configs/ says now."""
        place = f"mix {self.name} {self.revision}"
        return {
            name: as_definition(entry["spec"], where=f"{place}: {name}")
            for name, entry in self.lock["capabilities"].items()
        }

    def check_embedding(self) -> None:
        """Holds the workspace to the embedding that the mix's vectors are of.

        Raises:
            InputError: it embeds with another model.
        """
        own = model_id(self.workspace.analysis().embedding)
        if own != self.embedding_model:
            raise InputError(
                f"mix {self.name} {self.revision} holds vectors of {self.embedding_model}, this workspace embeds with "
                f"{own}",
                where=self.workspace.configs / "analysis.yaml",
                fix="Set `embedding` to the mix's model, or build the mix again",
            )

    def encoded(self) -> dict[str, Encoded]:
        """The definitions as text vectors of the mix's embedding."""
        texts = load_embedder(self.workspace.analysis().embedding).texts
        return {encoded.definition.id: encoded for encoded in encode(list(self.definitions.values()), texts)}

    def examples(self, split: str) -> list[Example]:
        """The labelled examples of a split, one for each occurrence; none where the mix has no such split."""
        if not self.lock["splits"].get(split, {}).get("rows"):
            return []
        rows = load_mix(self.name, self.revision, split, media=False, workspace=self.workspace.root)
        return examples_of(read_rows(rows), self.definitions)


def open_mix(workspace: Workspace, name: str, rev: str | None = None, *, vectors: bool = True) -> PublishedMix:
    """Opens a revision of a mix, the newest where `rev` is not given.

    Args:
        vectors: they will be read, so the workspace must embed as the mix does.

    Raises:
        InputError: no such mix or revision, or the workspace embeds with another model than the mix was built with.
    """
    revision = revision_of(workspace, name, resolve(workspace, name, rev))
    mix = PublishedMix(workspace, name, revision, read_lock(name, revision, workspace=workspace.root))
    if vectors:
        mix.check_embedding()
    return mix
