# Every target works from a fresh checkout: .venv is made and filled first, and re-used afterwards.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test test-slow test-gpu lint format docs clean

demo: $(INSTALLED)
	$(BIN)/sg demo --outdir demo

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n 2 --dist worksteal

test-gpu: $(INSTALLED)
	$(BIN)/python -m pytest -m gpu

lint: $(INSTALLED)
	$(BIN)/ruff check sgcli tests
	$(BIN)/ruff format --check sgcli tests
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix sgcli tests
	$(BIN)/ruff format sgcli tests

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	touch $@

docs: $(INSTALLED)
	$(BIN)/python docs/make_reference.py

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache
