"""English for what a frame shows, and which captions are true of which frames.

In a batch many captions are true of many frames ("a red ball" fits half a dozen), so pairing each frame with its
own caption and calling all others wrong would teach noise. A caption therefore carries its claim, a set of
facts, and is true of a frame that has all of them: the contrastive targets are exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from curate.sample.frames import FrameDescription
from curate.sample.scenes import Thing, mirrored

Fact = tuple[str, ...]

NOUNS = {
    "ball": ("ball", "ball", "sphere", "circle", "round ball"),
    "box": ("box", "box", "square", "cube"),
    "triangle": ("triangle", "triangle", "triangular object"),
    "star": ("star", "star", "five-pointed star"),
    "ring": ("ring", "ring", "hoop", "donut"),
    "cross": ("cross", "cross", "plus sign"),
    "": ("object", "object", "thing", "shape"),
}
COLOR_WORDS = {"purple": ("purple", "purple", "violet")}
TEXTURE_WORDS = {
    "plain": ("plain", "solid", "untextured"),
    "striped": ("striped", "striped", "stripy"),
    "dotted": ("dotted", "dotted", "spotted"),
}
BACKGROUND_PHRASES = {
    "grass": ("grass", "green grass", "a lawn", "a meadow"),
    "brick": ("a brick wall", "bricks", "a red brick wall"),
    "night_sky": ("a night sky", "the night sky", "a starry sky", "stars at night"),
    "sand": ("sand", "a sandy beach", "the desert", "a beach"),
    "water": ("water", "blue water", "the sea", "waves"),
    "checkered": ("a checkered floor", "a checkerboard", "tiles"),
    "wood": ("wood", "a wooden floor", "wooden planks"),
    "studio": ("a studio background", "a gray gradient", "a plain gray studio"),
}
ACTION_PHRASES = {
    "bounce": ("bouncing", "bouncing", "bouncing up and down", "bouncing on the floor", "jumping up", "in mid-air"),
    "roll": ("rolling", "rolling", "rolling along the ground", "rolling on the floor", "rolling fast"),
    "spin": ("spinning", "spinning", "rotating", "spinning around", "turning in place", "whirling"),
    "grow": ("growing", "growing", "getting bigger", "expanding", "growing larger"),
    "collide": ("colliding", "colliding with another object", "crashing into something", "hitting another object"),
    "hide": ("hiding", "hidden", "partly hidden", "hiding behind something", "disappearing behind something"),
    "change_color": ("changing color", "changing colour", "changing its color", "with two colors"),
    "enter": ("entering", "entering the frame", "coming into view", "coming into the picture", "appearing at the edge"),
    "leave": ("leaving", "leaving the frame", "moving out of view", "going out of the picture", "exiting"),
}  # fmt: skip
_SCENES = {
    "bounce": ("a bounce", "something bouncing", "bouncing"),
    "roll": ("something rolling", "rolling"),
    "spin": ("something spinning", "a rotation", "spinning"),
    "grow": ("something growing", "something getting bigger"),
    "collide": ("two objects colliding", "a collision", "a crash", "an impact between two objects"),
    "hide": ("an object hidden behind something", "something hiding", "an occluded object"),
    "change_color": ("an object changing color", "a color change", "something changing color"),
    "enter": ("something entering the frame", "an object coming in from the edge"),
    "leave": ("something leaving the frame", "an object going out at the edge"),
}
_STILL_PHRASES = ("standing still", "lying still", "at rest", "not moving", "motionless")
_STILL_SCENES = ("nothing moving", "nothing happening", "a still object", "a motionless scene")
_EMPTY_SCENES = ("an empty scene", "nothing but background", "no object")
_TEXT_SCENES = ("text on the screen", "a caption", "a text overlay", "on-screen text")
_NEUTRAL = ("a scene", "a picture", "a video frame", "something", "an image", "a video")
_PREFIXES = ("", "", "", "", "a photo of ", "a picture of ", "a video frame of ", "footage of ", "a video of ")


@dataclass(frozen=True)
class Caption:
    """An English sentence and the facts that a frame must have for it to be true."""

    text: str
    claim: frozenset[Fact]


def facts(description: FrameDescription) -> frozenset[Fact]:
    """All that can be claimed of a frame, with every subset of an object's attributes that a caption may name."""
    d = description
    found: set[Fact] = {("background", d.background)}
    things = [thing for thing in (d.thing, d.other) if thing]
    for thing in things:
        found |= {("object", *some) for some in _subsets(thing.color, thing.shape, thing.texture)}
    found.add(("objects", str(len(things))))
    if d.thing and d.action:
        found |= {(d.action, *some) for some in _subsets(d.thing.color, d.thing.shape)}
        found |= {(d.action, name, str(v)) for name, v in d.fields.items() if name not in {"color", "shape"}}
    elif d.thing:
        found |= {("still", *some) for some in _subsets(d.thing.color, d.thing.shape)}
    if not d.action:
        found.add(("still", "", ""))
    if d.caption:
        found.add(("text",))
    return frozenset(found)


def mirror(description: FrameDescription) -> FrameDescription:
    """The description of the mirrored frame, whose text cannot be read."""
    return replace(description, fields=mirrored(description.fields))


def sample_caption(rng: np.random.Generator, description: FrameDescription) -> Caption:
    """Draws a caption that is true of the frame: of its action, object, background or a mixture."""
    d = description
    draw = rng.random()
    if draw < 0.02:
        return Caption(_one(rng, _NEUTRAL), frozenset())
    if d.caption and draw < 0.06:
        return Caption(_one(rng, _TEXT_SCENES), frozenset({("text",)}))
    if draw < 0.14:
        text = f"{_one(rng, _PREFIXES)}{_one(rng, BACKGROUND_PHRASES[d.background])}"
        if rng.random() < 0.3:
            text = f"{_one(rng, BACKGROUND_PHRASES[d.background])} in the background"
        return Caption(text, frozenset({("background", d.background)}))
    if d.thing is None and d.other is None:
        base = Caption(_one(rng, _EMPTY_SCENES), frozenset({("objects", "0")}))
    elif d.thing is None or draw < 0.42:
        base = _object_caption(rng, d.thing or d.other)  # type: ignore[arg-type]
    elif d.action is None:
        base = _still_caption(rng, d.thing)
    else:
        base = _action_caption(rng, d.thing, d)
    if rng.random() < 0.3:
        place = _one(rng, ("on", "on", "in front of", "with"))
        text = f"{base.text} {place} {_one(rng, BACKGROUND_PHRASES[d.background])}"
        base = Caption(text, base.claim | {("background", d.background)})
    return Caption(f"{_one(rng, _PREFIXES)}{base.text}", base.claim)


def _object_caption(rng: np.random.Generator, thing: Thing) -> Caption:
    text, color, shape, texture = _noun_phrase(rng, thing, with_texture=True)
    return Caption(text, frozenset({("object", color, shape, texture)}))


def _still_caption(rng: np.random.Generator, thing: Thing) -> Caption:
    if rng.random() < 0.3:
        return Caption(_one(rng, _STILL_SCENES), frozenset({("still", "", "")}))
    text, color, shape, _ = _noun_phrase(rng, thing)
    return Caption(f"{text} {_one(rng, _STILL_PHRASES)}", frozenset({("still", color, shape)}))


def _action_caption(rng: np.random.Generator, thing: Thing, d: FrameDescription) -> Caption:
    action = str(d.action)
    if rng.random() < 0.3:
        return Caption(_one(rng, _SCENES[action]), frozenset({(action, "", "")}))
    text, color, shape, _ = _noun_phrase(rng, thing)
    claim: set[Fact] = {(action, color, shape)}
    phrase = _one(rng, ACTION_PHRASES[action])
    if rng.random() < 0.45:
        detail = _detail(rng, action, d)
        if detail is not None:
            phrase, fact = detail
            claim.add(fact)
    return Caption(f"{text} {phrase}", frozenset(claim))


def _detail(rng: np.random.Generator, action: str, d: FrameDescription) -> tuple[str, Fact] | None:
    """A phrase that names one more field of the action."""
    match action:
        case "roll":
            direction = str(d.fields["direction"])
            return f"rolling to the {direction}", (action, "direction", direction)
        case "enter" | "leave":
            side = str(d.fields["side"])
            words = {
                "enter": ("entering from the", "coming in from the"),
                "leave": ("leaving to the", "going out to the"),
            }
            return f"{_one(rng, words[action])} {side}", (action, "side", side)
        case "collide":
            color = str(d.fields["other_color"])
            return f"colliding with a {_color(rng, color)} object", (action, "other_color", color)
        case "hide":
            occluder = str(d.fields["occluder"])
            return f"{_one(rng, ('hiding', 'hidden'))} behind a {occluder}", (action, "occluder", occluder)
        case "change_color":
            color = str(d.fields["to_color"])
            return f"{_one(rng, ('turning', 'becoming'))} {_color(rng, color)}", (action, "to_color", color)
    return None


def _noun_phrase(rng: np.random.Generator, thing: Thing, *, with_texture: bool = False) -> tuple[str, str, str, str]:
    """A noun phrase and the (color, shape, texture) that it names, "" for what it leaves out."""
    color = thing.color if rng.random() < 0.65 else ""
    shape = thing.shape if rng.random() < 0.7 else ""
    texture = thing.texture if with_texture and rng.random() < 0.3 else ""
    words = [_color(rng, color)] if color else []
    if texture:
        words.insert(int(rng.integers(len(words) + 1)), _one(rng, TEXTURE_WORDS[texture]))
    words.append(_one(rng, NOUNS[shape]))
    phrase = " ".join(words)
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}", color, shape, texture


def _color(rng: np.random.Generator, color: str) -> str:
    return _one(rng, COLOR_WORDS.get(color, (color,)))


def _subsets(*values: str) -> Iterable[tuple[str, ...]]:
    for keep in range(1 << len(values)):
        yield tuple(value if keep >> at & 1 else "" for at, value in enumerate(values))


def _one(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
