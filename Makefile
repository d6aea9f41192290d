# `make run` does the main job on the embedded set, `make test` and `make lint` check it, `make docs`
# builds the documentation, `make dist` what is published.
# Everything is installed into .venv, at the versions in constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: run test test-slow bench lint format docs dist clean

run: $(VENV)/run.done
	$(BIN)/python -m ascjax.main --config=configs/quickstart.py

test: $(VENV)/test.done
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(VENV)/test.done
	$(BIN)/python -m pytest -m slow

bench: $(VENV)/test.done
	$(BIN)/python -m benchmarks.all

lint: $(VENV)/test.done $(VENV)/lint.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/lint.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/docs.done
	JAX_PLATFORMS=cpu $(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet \
		--doctree-dir docs/_build/doctrees docs docs/_build/html
	$(BIN)/python docs/links.py docs/_build/html

# Of what is committed; the wheel by way of the sdist and the one straight from the tree are the same.
dist: $(VENV)/dist.done
	rm -rf dist/tree dist/direct dist/*.whl dist/*.tar.gz
	mkdir -p dist/tree
	git -c tar.umask=0022 archive HEAD | tar -x -C dist/tree
	export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) && cd dist && \
		build="$(abspath $(BIN))/python -m build --no-isolation" && \
		($$build --outdir . tree && $$build --wheel --outdir direct tree) >build.log 2>&1 || \
		(cat build.log; exit 1)
	cmp dist/*.whl dist/direct/*.whl
	$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz
	rm -r dist/tree dist/direct dist/build.log

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

$(VENV)/lint.done: $(VENV)/run.done
	$(PIP) --editable '.[lint]'
	@touch $@

$(VENV)/docs.done: $(VENV)/run.done
	$(PIP) --editable '.[docs]'
	@touch $@

$(VENV)/dist.done: $(VENV)/run.done
	$(PIP) --editable '.[dist]'
	@touch $@
