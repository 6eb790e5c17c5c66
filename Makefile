# Two commands: `make demo` shows it work, `make test` checks everything. Each makes its own environment.
PYTHON ?= python3
VENV := .venv
PEOPLE ?= 20000
SEED ?= 1

.PHONY: demo test clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		"hypothesis>=6.150" "mypy>=2.0" "pytest>=9.0" "pytest-xdist>=3.8" "ruff>=0.17"
	touch $@

demo: $(VENV)/installed
	rm -rf demo
	$(VENV)/bin/linkage demo demo --people $(PEOPLE) --seed $(SEED)

test: $(VENV)/tested
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/pytest -n 2

clean:
	rm -rf $(VENV) demo build dist
