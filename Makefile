# What a developer types. Every target makes the environment it needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test fast peers bench lint proto models node clean

demo: .venv/server  ## explain a photograph, a table's row, a text and a time series
	$(BIN)/python tests/demo/demo.py

# Assertions that pytest has rewritten are kept for the next run, whatever the environment says.
test fast: export PYTHONDONTWRITEBYTECODE =
test: export HYPOTHESIS_PROFILE ?= extended

test: .venv/oracles node  ## the whole suite
	$(BIN)/python -m pytest -n auto tests

fast: .venv/dev  ## what takes seconds: no sockets of the whole service, no long statistics
	$(BIN)/python -m pytest -n auto -m "not slow" tests/unit tests/contract tests/property tests/wire

peers: .venv/dev  ## endpoints against MLServer and KServe; the first time it makes their environments
	WHYBOX_PEERS=1 $(BIN)/python -m pytest tests/peers

bench: .venv/bench  ## the speed table
	$(BIN)/python -m tests.benchmarks

lint: .venv/dev  ## style, types, wire contract, generated stubs
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf breaking --against released.binpb
	$(BIN)/python proto/generate.py --check

proto: .venv/dev  ## generate the stubs again
	$(BIN)/python proto/generate.py

models: .venv/dev  ## train the bundled models again (needs torch; see tests/demo/README.md)
	for script in tests/demo/train/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

# The Node.js example is tested where Node.js is installed.
node:
	@if command -v npm >/dev/null; then cd clients/node && { [ -d node_modules ] || npm install --no-package-lock --no-audit --no-fund --silent; }; fi

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/server: .venv/python pyproject.toml constraints.txt
	$(PIP) --editable '.[server]'
	touch $@

.venv/dev: .venv/server
	$(PIP) --editable '.[server,dev]'
	touch $@

# Torch and what stands on it: over a gigabyte. Compiling the parts that no test imports would take as long again.
.venv/oracles: .venv/dev
	$(PIP) --no-compile --editable '.[server,dev,oracles]'
	touch $@

.venv/bench: .venv/oracles
	$(PIP) --editable '.[server,dev,oracles,bench]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis out
