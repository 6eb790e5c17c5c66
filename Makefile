# Two commands: `make demo` shows it work, `make test` checks everything. Each makes its own environment.
PYTHON ?= python3
VENV := .venv
PEOPLE ?= 20000
SEED ?= 1

.PHONY: demo test bench clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		"deltalake>=1.6,<2" "hypothesis>=6.150" "mypy>=2.0" "pytest>=9.0" "pytest-xdist>=3.8" "pyzipper>=0.4,<1" "ruff>=0.17" "setuptools>=77"
	touch $@

demo: $(VENV)/installed
	rm -rf demo
	$(VENV)/bin/linkage demo demo --people $(PEOPLE) --seed $(SEED)

test: $(VENV)/tested
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	# Compiled once here, not by each process that a test starts where Python may write no bytecode.
	$(VENV)/bin/python -m compileall -q src
	$(VENV)/bin/pytest -n 2 --dist worksteal

# Rivals in environments of their own: CRATE's hasher needs an older NumPy than ours.
.venv-bench/installed: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --editable . polars-hash tink nhs-number
	touch $@

.venv-crate/installed:
	$(PYTHON) -m venv .venv-crate
	.venv-crate/bin/python -m pip install --quiet --disable-pip-version-check cardinal-pythonlib "numpy<2" "setuptools<81"
	touch $@

bench: .venv-bench/installed .venv-crate/installed
	.venv-bench/bin/python benchmarks/tokenise.py --crate .venv-crate/bin/python --json benchmarks/results
	.venv-bench/bin/python benchmarks/reverse.py --json benchmarks/results
	.venv-bench/bin/python benchmarks/site_half.py --json benchmarks/results
	.venv-bench/bin/python benchmarks/reading.py --json benchmarks/results
	.venv-bench/bin/python benchmarks/reading.py --scale 1000000 8000000
	.venv-bench/bin/python benchmarks/reading.py --wide 200
	.venv-bench/bin/python benchmarks/reading.py --wide 200 --site
	.venv-bench/bin/python benchmarks/reading.py --wide 200 --parquet
	.venv-bench/bin/python benchmarks/optouts.py --json benchmarks/results
	.venv-bench/bin/python benchmarks/several_purposes.py --json benchmarks/results
	.venv-bench/bin/python benchmarks/link_and_serve.py --json benchmarks/results
	.venv-bench/bin/python benchmarks/whole_run.py

clean:
	rm -rf $(VENV) .venv-bench .venv-crate benchmarks/results demo build dist
