"""Pictures in the docs: each is there, small, and shown on a page; the annotator's page is true to the interface."""

import re
from pathlib import Path

import pytest
from PIL import Image

from labeling.interface import EXHAUSTIVE_KEY, SEGMENT_KEY, VERDICT_KEYS
from labeling.server import KEYMAP
from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
PICTURES = sorted((DOCS / "pictures").iterdir())
MOST_BYTES = 80_000


def shown() -> dict[Path, str]:
    """The pictures that pages show, with what is said in their place."""
    pages = [*DOCS.glob("*.md"), REPOSITORY / "README.md"]
    return {
        (page.parent / path).resolve(): words
        for page in pages
        for words, path in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text())
        if "://" not in path
    }


def test_every_picture_that_a_page_shows_is_there_and_has_words() -> None:
    assert all(path.is_file() and words for path, words in shown().items())


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_shown_and_small(picture: Path) -> None:
    assert picture in shown()
    assert picture.stat().st_size <= MOST_BYTES
    with Image.open(picture) as opened:
        opened.verify()


def test_the_pages_of_the_docs_that_are_linked_exist() -> None:
    for page in DOCS.glob("*.md"):
        for path in re.findall(r"\]\(([^)#:]+\.md)[^)]*\)", page.read_text()):
            assert (page.parent / path).is_file(), f"{page.name}: {path}"


def test_the_annotators_keys_are_those_of_the_page() -> None:
    page = (DOCS / "annotator.md").read_text()
    assert f"| {' '.join(f'`{key}`' for key in VERDICT_KEYS.values())} |" in page
    assert f"| `{EXHAUSTIVE_KEY}` |" in page and f"| `{SEGMENT_KEY}`, then drag |" in page
    assert KEYMAP["media:playpause"]["key"] == "space,ctrl+alt+space"
