# fivenines: everything on a fresh machine with Python 3.11 or newer and make. Nothing is installed outside .venv.
# `make help` lists the targets.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)
BIN := .venv/bin
NAME ?=
SEEDS ?= 100
SECONDS ?= 600

.PHONY: help up test prove simulate fuzz lint bench lock clean check-python
.DEFAULT_GOAL := help

help:  ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: .venv/run.ok  ## the whole loop on this machine; Ctrl-C ends it
	@exec $(BIN)/fivenines up

test: .venv/dev.ok  ## everything proved: the rooms side by side, then the whole stack by itself
	@# Three on two cores: nearly half of the tests' time is waiting for sockets, disks and processes.
	@$(BIN)/python -m pytest -q -n 3 --dist worksteal -m "not end_to_end and not proof" $(ARGS)
	@$(BIN)/python -m pytest -q -m "end_to_end and not proof" $(ARGS)

prove: .venv/dev.ok  ## what takes longer: kill tests, long searches, the specification (needs spin and gcc), power-offs on real processes
	@$(BIN)/python -m pytest -q -n 2 -m "proof and not end_to_end" $(ARGS)
	@$(BIN)/python -m pytest -q -m "proof and end_to_end" $(ARGS)

simulate: .venv/dev.ok  ## SEEDS=100 worlds in virtual time, each twice, every promise checked
	@exec $(BIN)/python -m fivenines.simulation --seeds $(SEEDS) $(ARGS)

fuzz: .venv/dev.ok  ## SECONDS=600 of hostile input at a collector's doors: typed refusals, counts that add up, flat memory
	@exec $(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

lint: .venv/dev.ok  ## style, types, house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/architecture

bench: .venv/dev.ok  ## benchmarks against the alternative (NAME=… for one)
	@exec $(BIN)/python -m benchmarks $(NAME)

lock:  ## resolve the dependencies anew into requirements/
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --group build --group dev --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 -o requirements/dev.txt
	@# What runs is what was tested: the same versions.
	$(BIN)/uv pip compile --quiet --upgrade --constraint requirements/dev.txt pyproject.toml --group build --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 -o requirements/run.txt

clean:  ## remove the virtual environment and the embedded stack's state
	rm -rf .venv .fivenines

check-python:
	@test -n "$(PYTHON)" || { echo "fivenines needs Python 3.11 or newer with venv. Debian: apt-get install python3 python3-venv; macOS: brew install python" >&2; exit 2; }

.venv/bin/python: | check-python
	@echo "making .venv with $(PYTHON)" >&2
	@$(PYTHON) -m venv .venv

.venv/run.ok: requirements/run.txt pyproject.toml | .venv/bin/python
	@echo "installing dependencies into .venv (once)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

.venv/dev.ok: requirements/dev.txt .venv/run.ok
	@echo "installing test dependencies into .venv (once)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@
