# Two commands: `make run` (the main job on the embedded set) and `make test`.
# Everything is installed into .venv, at the versions in constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: run test test-slow test-cluster bench lint format clean

run: $(VENV)/run.done
	$(BIN)/python -m ascjax.main --config=configs/quickstart.py

test: $(VENV)/test.done
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not cluster"

test-slow: $(VENV)/test.done
	$(BIN)/python -m pytest -m slow

# Ray clusters of this machine, one after the other, as each takes all cores.
test-cluster: $(VENV)/cluster.done
	$(BIN)/python -m pytest tests/cluster

bench: $(VENV)/test.done
	$(BIN)/python -m benchmarks.all

lint: $(VENV)/test.done $(VENV)/lint.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/lint.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)

$(VENV)/run.done: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ascjax needs Python 3.11 or later")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a minute or two)"
	$(PIP) --editable .
	@touch $@

# torchvision's package asks for a CUDA torch; with --no-deps it takes the one that is there.
$(VENV)/test.done: $(VENV)/run.done
	$(PIP) torch
	$(PIP) --no-deps torchvision
	$(PIP) pillow --editable '.[test]'
	@touch $@

$(VENV)/cluster.done: $(VENV)/test.done
	$(PIP) --editable '.[cluster]'
	@touch $@

$(VENV)/lint.done: $(VENV)/run.done
	$(PIP) --editable '.[lint]'
	@touch $@
