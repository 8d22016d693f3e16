# make demo   set up and run the main job on the built-in data
# make test   set up and run the checks and the quick tests
# make docs   set up and build the documentation site
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# the instructions of an older processor: results are not to hang on newer ones
AVX2 := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt

.PHONY: demo test test-all check format benchmark docs docs-serve wheel clean

demo: $(VENV)/.run
	$(BIN)/mmtx demo

test: $(VENV)/.dev check
	$(AVX2) $(BIN)/pytest -n 2 --dist loadgroup -m "not slow" tests/contract
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow" --ignore tests/contract

test-all: $(VENV)/.dev check
	$(AVX2) $(BIN)/pytest -n 2 --dist loadgroup tests/contract
	$(BIN)/pytest -n 2 --dist loadgroup --ignore tests/contract

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q -c pyproject.toml -r mmtx_cli

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/.dev
	$(BIN)/python tests/benchmark/startup.py
	$(BIN)/python tests/benchmark/train_step.py
	$(BIN)/python tests/benchmark/score.py
	$(BIN)/python tests/benchmark/decode.py
	$(BIN)/python tests/benchmark/fusion.py
	$(BIN)/python tests/benchmark/onnx.py

MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs

docs: $(VENV)/.docs
	$(MKDOCS) build -q -f .mkdocs.yml
	@echo build/site/index.html

docs-serve: $(VENV)/.docs
	$(MKDOCS) serve -f .mkdocs.yml

wheel: $(VENV)/.dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing mmtx into $(VENV) (some minutes, PyTorch is large)"
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing mmtx and its development tools into $(VENV) (some minutes, PyTorch is large)"
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/.run

$(VENV)/.docs: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing mmtx and MkDocs into $(VENV) (some minutes, PyTorch is large)"
	$(PIP) -e ".[docs]"
	@touch $@ $(VENV)/.run
