"""The card says what the lock says, in Markdown that nothing breaks and plots that stand alone."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from curate.errors import InputError
from curate.mixes.build import build
from curate.mixes.card import card, write_card
from curate.mixes.plots import plots
from curate.workspace import Workspace
from tests.mixes.rows import write_mix

SVG = "{http://www.w3.org/2000/svg}"


def test_a_published_card_is_read_alone_and_shows_its_plots(labelled: Workspace) -> None:
    first = build(labelled, "base", who="ana", why="one")
    write_mix(labelled, budget={"clips": 12})
    second = build(labelled, "base", who="ana", why="two")
    assert card(labelled, "base") == (second.directory / "README.md").read_text()
    old = card(labelled, "base", "v1")
    assert first.lock["content"] in old and old != card(labelled, "base")
    for path in sorted((second.directory / "plots").iterdir()):
        assert f"](plots/{path.name})" in old
        root = ElementTree.parse(path).getroot()
        assert root.tag == f"{SVG}svg" and root.get("aria-label")
        assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match="no revision 'v3' of mix 'base'.*Published: v1, v2"):
        card(labelled, "base", "v3")


def test_names_from_outside_are_text_and_nothing_else(labelled: Workspace, tmp_path: Path) -> None:
    lock = build(labelled, "base", who="ana", why="one").lock
    hostile = 'a|b\n<script>"&\x07' + "x" * 40
    for clip in lock["clips"]:
        clip["source"] = hostile
    lock["splits"]["train"]["sources"] = {hostile: 3, **{f"source{number:02}": 1 for number in range(30)}}
    lock["capabilities"]["spin"]["spec"]["definition"] = hostile
    write_card(tmp_path, lock)
    text = (tmp_path / "README.md").read_text()
    assert "<script>" not in text and "a\\|b &lt;script>" in text and "19 others" in text
    root = ElementTree.fromstring(plots(lock)["sources.svg"])
    told = [each.text for each in root.iter(f"{SVG}text")]
    assert any(each and each.startswith('a|b <script>"& xxx') and each.endswith("…") for each in told)
    assert not list(root.iter(f"{SVG}script"))


def test_shares_show_what_was_asked_for_possible_and_realised(labelled: Workspace) -> None:
    lock = build(labelled, "base", who="ana", why="one").lock
    lock |= {"requested": {"spin": 0.5}, "feasible": {"spin": 0.4}, "realised": {"spin": 0.2}}
    root = ElementTree.fromstring(plots(lock)["shares.svg"])
    assert root.get("aria-label", "").endswith("spin: 20.0% of 50.0%")
    dark, light = (float(bar.get("width", 0)) for bar in root.iter(f"{SVG}rect"))
    assert dark == pytest.approx(light, abs=0.2)
    (line,) = (each for each in root.iter(f"{SVG}path") if each.get("class") == "target")
    assert float(line.get("d", "").split()[0][1:]) - 190 == pytest.approx(dark * 2.5, abs=0.5)
