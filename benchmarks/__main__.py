"""Runs the benchmarks and keeps what they found: `python -m benchmarks [NAME ...] [--quick]`.

Each runs in a process of its own; its JSON goes to benchmarks/results/NAME.json, and the table in README.md is written
from all that lie there. A run with `--quick` keeps nothing, and what a machine cannot measure stays as it was.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_RESULTS = _HERE / "results"
_README = _HERE.parent / "README.md"
_BEGIN, _END = "<!-- benchmarks: written by `make bench` -->\n", "<!-- benchmarks end -->\n"


def names() -> list[str]:
    """The benchmarks there are: the modules here with a `measure`."""
    return sorted(path.stem for path in _HERE.glob("*.py") if "\ndef measure(" in path.read_text())


def table(results: Path) -> str:
    """The figures kept in `results` as a Markdown table."""
    rows = ["| claim | measured | target | |", "|---|---|---|---|"]
    for path in sorted(results.glob("*.json")):
        found = json.loads(path.read_text())
        sign = "≤" if found["at_most"] else "≥"
        met = "met" if found["ok"] else "missed"
        rows.append(
            f"| [{found['name']}](benchmarks/{found['name']}.py) | {found['value']:.3g} {found['unit']} "
            f"| {sign} {found['target']:g} | {met}, {found['machine']}, {found['date']} |"
        )
    return "\n".join(rows) + "\n"


def write_table(readme: Path, results: Path) -> None:
    """Replaces what stands between the two marks of the README."""
    before, rest = readme.read_text().split(_BEGIN)
    _, after = rest.split(_END)
    readme.write_text(before + _BEGIN + table(results) + _END + after)


def _run(name: str, *, quick: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *(["--quick"] if quick else [])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=_HERE.parent)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", help="which; all where none is given", metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="less work, and nothing kept")
    asked = parser.parse_args()
    known = names()
    for name in asked.names or known:
        if name not in known:
            parser.error(f"no benchmark {name!r}; there are {', '.join(known)}")
        found = _run(name, quick=asked.quick)
        print(f"{name}: {found['value']} {found['unit']}, target {found['target']}", flush=True)
        if not asked.quick and found["value"] is not None:
            (_RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    if not asked.quick:
        write_table(_README, _RESULTS)


if __name__ == "__main__":
    main()
