# The README's commands: `make reproduce` walks the whole road, `make demo` shows it, `make test` checks everything;
# `make check` is what one runs before every commit. All set themselves up: a virtual environment in .venv with the pinned requirements.
PYTHON ?= python3
RECIPE ?= recipes/tiny.yaml
WORK_DIR ?= work/$(basename $(notdir $(RECIPE)))
DATA_DIR ?=
TEST_WORKERS ?= 2
V4 = .venv-v4

.PHONY: setup reproduce demo check test fuzz test-v4 lint clean
.DEFAULT_GOAL := reproduce

setup: .venv/ready

.venv/ready: requirements.txt
	$(PYTHON) -m venv .venv || { echo "error: python3-venv is missing (Debian: apt install python3-venv)"; exit 1; }
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

# The page, the examples, and the browser that tests them need more than the road does.
.venv/demo-ready: .venv/ready requirements-demo.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-demo.txt
	touch $@

reproduce: setup
	.venv/bin/python scripts/reproduce.py --config $(RECIPE) --work_dir $(WORK_DIR) $(if $(DATA_DIR),--data_dir $(DATA_DIR))

demo: .venv/demo-ready
	.venv/bin/python demo/app.py

# What neither trains nor starts a process (such tests are marked slow; tests/conftest.py sees to it).
check: .venv/demo-ready lint
	.venv/bin/python -m pytest -n $(TEST_WORKERS) --dist loadfile -m "not slow"

test: .venv/demo-ready lint
	.venv/bin/python -m pytest -n $(TEST_WORKERS) --dist loadfile
	$(MAKE) --no-print-directory test-v4

# Of every test that is given texts by hypothesis, 100,000 (hours; TESTS=tests/tokenization for a part of them).
fuzz: .venv/demo-ready
	.venv/bin/python -m pytest -n $(TEST_WORKERS) --hypothesis-profile nightly -m hypothesis $(TESTS)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	PYTHONPATH=scripts .venv/bin/lint-imports --no-logo

# The root must load in the line of transformers before 5 too, which needs an environment of its own.
$(V4)/ready: requirements-v4.txt
	$(PYTHON) -m venv $(V4)
	$(V4)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-v4.txt
	touch $@

test-v4: $(V4)/ready
	$(V4)/bin/python -m pytest tests/model/test_root_checkpoint.py

clean:
	rm -rf work .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
