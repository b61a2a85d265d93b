"""YAML files into checked models: an error names file, line, key, what was found and what is allowed."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from curate.errors import InputError


class Spec(BaseModel):
    """A config object. Unknown keys are errors; `version` is a hash of the content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def version(self) -> str:
        """12 hex digits over the content with defaults filled in: equal meaning, equal version."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


S = TypeVar("S", bound=Spec)


def read_spec(path: Path, model: type[S]) -> S:
    """Reads one YAML file into `model`.

    Raises:
        InputError: the file is missing, is not YAML, or does not fit the model; it names the line and the key.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise InputError("no such config", where=path, fix="`curate init` writes working examples") from None
    try:
        content = _parsed(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"not valid YAML: {problem}", where=f"{path}{line}") from None
    if not isinstance(content, dict):
        raise InputError(f"expected keys and values, found {type(content).__name__}", where=f"{path}:1")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _readable(error, path, yaml.compose(text, Loader=yaml.SafeLoader), model) from None


def read_specs(directory: Path, model: type[S]) -> dict[str, S]:
    """Reads every *.yaml of a directory, keyed by its `id` or `name`, which must be the file's own name."""
    found: dict[str, S] = {}
    for path in sorted(directory.glob("*.yaml")):
        spec = read_spec(path, model)
        key = "id" if hasattr(spec, "id") else "name"
        name = getattr(spec, key)
        if name != path.stem:
            fix = f"Rename the file to {name}.yaml or set {key}: {path.stem}"
            raise InputError(f"{key} is {name!r} in a file called {path.name}", where=path, fix=fix)
        found[name] = spec
    return found


def write_schemas(directory: Path) -> list[Path]:
    """Writes a JSON Schema for each kind of config, which the YAML files name so that editors check them."""
    from curate.specs import Analysis, Capability, Labeling, Mix, Serve, Source

    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for model in (Source, Analysis, Capability, Labeling, Mix, Serve):
        path = directory / f"{model.__name__.lower()}.schema.json"
        path.write_text(json.dumps(model.model_json_schema(), indent=1) + "\n")
        written.append(path)
    return written


def _parsed(text: str) -> Any:
    """What the YAML says; libyaml reads it ten times as fast, PyYAML's own parser says better what is wrong."""
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return yaml.safe_load(text)


def _readable(error: ValidationError, path: Path, node: yaml.Node | None, model: type[Spec]) -> InputError:
    first = error.errors()[0]
    where, fields = _locate(first["loc"], node), model.model_fields
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        allowed = _allowed(first["loc"], model) or sorted(fields)
        what, fix = f"unknown key {key!r}", f"Allowed here: {', '.join(allowed)}"
    elif first["type"] == "missing":
        what, fix = f"{key!r} is required", f"Add `{first['loc'][-1]}:` to the file"
    else:
        what, fix = _lower(first["msg"]), None
        if key:
            what = f"{key} is {_quoted(first['input'])}: {what}"
    more = error.error_count() - 1
    if more:
        fix = f"{fix + '. ' if fix else ''}{more} more {'problem' if more == 1 else 'problems'} in this file"
    return InputError(what, where=f"{path}:{where}", fix=fix)


def _quoted(found: Any) -> str:
    """What the file holds, on one line; a password in a URL is not repeated."""
    return re.sub(r"//[^/\s\"]*@", "//***@", json.dumps(found, default=str))


def _lower(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _locate(loc: tuple[int | str, ...], node: yaml.Node | None) -> int:
    """The line (from 1) of the deepest part of `loc` that the file holds."""
    line = 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line + 1, value
                    break
            else:
                break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _allowed(loc: tuple[int | str, ...], model: Any) -> list[str]:
    """The keys of the nested model that holds the last part of `loc`."""
    for part in loc[:-1]:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return sorted(getattr(model, "model_fields", {}))
