# `make run` does the main job on the embedded set, `make test` and `make lint` check it, `make docs`
# builds the documentation, `make dist` what is published.
# Everything is installed into .venv, at the versions in constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUPPLY := .venv-supply
RUNTIME := .venv-runtime
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: run test test-slow test-demo test-cluster faults faults-few fuzz fuzz-ci bench lint
.PHONY: format docs dist audit licences sbom clean

run: $(VENV)/run.done
	$(BIN)/python -m ascjax.main --config=configs/quickstart.py

test: $(VENV)/test.done
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not cluster"

test-slow: $(VENV)/test.done
	$(BIN)/python -m pytest -m slow

# Kills, stops and full disks at 26 moments of a training, and flipped bits; six of them in CI.
faults: $(VENV)/test.done
	$(BIN)/python tests/faults/faults.py --flips=400

faults-few: $(VENV)/test.done
	$(BIN)/python tests/faults/faults.py --few --flips=40

# The page in a browser; Chromium isn't installed here, and is looked for on the PATH.
test-demo: $(VENV)/demo.done
	$(BIN)/python -m pytest -m slow tests/deploy/test_page.py

# Several processes, Ray clusters and an S3 server of this machine.
test-cluster: $(VENV)/cluster.done
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/cluster

bench: $(VENV)/test.done
	$(BIN)/python -m benchmarks.all

# What fuzzing finds lies in fuzz/, and goes, as small as can be, into tests/fuzz/fuzz_seeds.py.
fuzz: $(VENV)/fuzz.done
	$(BIN)/python tests/fuzz/fuzz.py --runs=1000000

fuzz-ci: $(VENV)/fuzz.done
	$(BIN)/python tests/fuzz/fuzz.py --seconds=60

lint: $(VENV)/test.done $(VENV)/lint.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m benchmarks.results --check

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
	umask 022 && mkdir -p dist/tree
	umask 022 && git -c tar.umask=0022 archive HEAD | tar -x -C dist/tree
	umask 022 && export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) && cd dist && \
		build="$(abspath $(BIN))/python -m build --no-isolation" && \
		($$build --outdir . tree && $$build --wheel --outdir direct tree) >build.log 2>&1 || \
		(cat build.log; exit 1)
	cmp dist/*.whl dist/direct/*.whl
	$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz
	rm -r dist/tree dist/direct dist/build.log

# Known faults of the pinned versions; needs the advisories of the package index.
audit: $(SUPPLY)/done
	$(SUPPLY)/bin/pip-audit --disable-pip --no-deps -r constraints.txt

# Licences, and a CycloneDX bill of materials, of what a plain installation brings.
licences: $(SUPPLY)/done $(RUNTIME)/done
	mkdir -p dist
	$(SUPPLY)/bin/pip-licenses --python=$(RUNTIME)/bin/python --from=mixed --with-urls \
	  --format=csv --output-file=dist/licences.csv

sbom: $(SUPPLY)/done $(RUNTIME)/done
	mkdir -p dist
	$(SUPPLY)/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --output-file dist/sbom.json $(RUNTIME)/bin/python

clean:
	rm -rf $(VENV) $(SUPPLY) $(RUNTIME)

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

$(VENV)/fuzz.done: $(VENV)/test.done
	$(PIP) --editable '.[fuzz]'
	@touch $@

# In environments of their own: the tools that look, and what they look at.
$(SUPPLY)/done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(SUPPLY)
	$(SUPPLY)/bin/python -m pip install --quiet -c constraints.txt cyclonedx-bom pip-audit pip-licenses
	@touch $@

$(RUNTIME)/done: $(SUPPLY)/done
	$(PYTHON) -m venv --without-pip $(RUNTIME)
	$(SUPPLY)/bin/python -m pip --python $(RUNTIME)/bin/python install --quiet -c constraints.txt .
	@touch $@

$(VENV)/demo.done: $(VENV)/test.done
	$(PIP) playwright --editable '.[demo]'
	@touch $@

$(VENV)/cluster.done: $(VENV)/test.done
	$(PIP) --editable '.[cluster,cluster-test]'
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
