# Everything runs in .venv, which is made on first use and again when the dependencies change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Prompts that `make demo` runs, of 50.
LIMIT ?= 24

.PHONY: install venv test test-full test-next lint demo clean

install venv: $(STAMP)

# torch comes first and alone: its wheels pull in hundreds of megabytes, and a change elsewhere must not fetch them again.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "lmx needs Python 3.10 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# Test processes at once, each with one thread of torch's.
JOBS ?= 2

# The tests of each change; seven minutes on two cores. The tests of a file stay together, for they share what the file has set up.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m 'not full'

# The same and the thorough tests that a developer need not run at each change: fuzzing, long simulations, attacks, installs,
# the real small model.
test-full: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# The assumptions about lm_eval, and a short end-to-end set, on the newest pre-release of its next line, which lies in a
# folder before the pinned release on the path. NEXT names another requirement.
NEXT ?= lm-eval>=0.5.0.dev0,<0.6

test-next: $(STAMP)
	rm -rf .next
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --pre --no-deps --target .next '$(NEXT)'
	PYTHONPATH=$(CURDIR)/.next OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/contract tests/unit/plugins/test_upstream_discovery.py \
		tests/unit/plugins/test_plugins_bridge.py tests/e2e/test_next_lm_eval.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: $(STAMP)
	$(BIN)/python scripts/demo.py --limit $(LIMIT)

clean:
	rm -rf $(VENV) .next build dist
