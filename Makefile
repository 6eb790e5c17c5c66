# `make test` checks everything, in an environment of its own.
PYTHON ?= python3
VENV := .venv

.PHONY: test clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		"hypothesis>=6.150" "mypy>=2.0" "pytest>=9.0" "pytest-xdist>=3.8" "ruff>=0.17"
	touch $@

test: $(VENV)/tested
	$(VENV)/bin/ruff check src tests
	$(VENV)/bin/mypy
	$(VENV)/bin/pytest -n 2

clean:
	rm -rf $(VENV) build dist
