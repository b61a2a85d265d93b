# Two commands do everything on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint docs pictures bench sample-clip label-studio chromium clean help

help:  ## what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/ -/'

demo: $(VENV)/.installed label-studio  ## once round the wheel on the sample world, in ./demo
	$(BIN)/curate demo demo

test: $(VENV)/.installed-dev label-studio chromium lint  ## everything: lint, types, tests
	$(BIN)/pytest

pictures: $(VENV)/.installed-dev label-studio chromium  ## the pictures of docs/annotator.md, taken again
	$(BIN)/python -m docs.annotator_pictures

lint: $(VENV)/.installed-dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev  ## the command reference from --help, and the configs' JSON Schemas
	$(BIN)/python -c "from pathlib import Path; from curate.specs import write_schemas; write_schemas(Path('configs/schemas'))"
	$(BIN)/typer curate.cli utils docs --name curate --title Commands --output docs/commands.md

bench: $(VENV)/.installed-dev  ## every claim measured, into benchmarks/results and the README (hours; ffmpeg is needed)
	$(BIN)/python -m benchmarks

sample-clip: $(VENV)/.installed-dev  ## train the sample CLIP again
	OMP_NUM_THREADS=1 $(BIN)/python -m curate.sample.train_clip

clean:  ## remove the environment and the demo workspace
	rm -rf $(VENV) demo

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Label Studio has an environment of its own: it and this project ask for different versions of the same libraries.
label-studio: $(VENV)/.installed
	$(BIN)/curate label install

chromium:
	@command -v chromium >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends chromium; }
