# Two commands matter: `make reproduce` and `make test`; while you write, `make quick`. The rest are their parts.
# Another interpreter: make PYTHON=python3.12 reproduce

PYTHON ?= python3
VENV   := .venv
LAB    := .venv-lab
ORACLE := .venv-oracles
BIN    := $(VENV)/bin
# One thread per process: parallel checks do not fight over cores, and last digits stay the same.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
# A user's own settings for these would change what notebooks draw and what pytest runs.
unexport MPLBACKEND REPRO_FIGURES PYTEST_ADDOPTS

.PHONY: help setup reproduce test quick lint types coverage matrix check oracles lab bench experiments notebooks lock clean
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## create .venv from the lock

reproduce: setup ## run every notebook, draw figures/, print the answer
	@$(BIN)/repro run --figures figures
	@printf '\n'; $(BIN)/repro claims --short; printf '\nAll of it: runs/00_scoreboard.ipynb, or repro claims\n'

test: lint types ## ruff, codespell, mypy, the unit tests and nbval
	@$(BIN)/python -m pytest -n 2 --dist loadscope --nbval --nbval-current-env --nbval-cell-timeout 120

quick: lint types ## a first answer in 40 to 60 seconds on two cores: test, without notebooks and slow tests
	@$(BIN)/python -m pytest -q -n 2 -m 'not slow' tests

lint: setup ## ruff and codespell
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/codespell

types: setup ## mypy, strict for facts, models, calc and claims
	@$(BIN)/mypy

coverage: setup ## which lines and branches the tests reach, in the commands that they start too
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q -n 2 tests; status=$$?; \
	$(BIN)/coverage combine -q && $(BIN)/coverage report && exit $$status

matrix: setup ## the tests on the lowest and newest versions and on each Python found here; with pydantic alone
	@$(BIN)/python scripts/matrix.py

check: setup ## nbval over the committed notebooks alone
	@$(BIN)/repro check

oracles: $(ORACLE)/.installed ## compare with other people's implementations (installs PyTorch and transformers)
	@$(ORACLE)/bin/python -m pytest -p no:cacheprovider tests/oracles

lab: $(LAB)/.installed ## open the notebooks in JupyterLab
	@$(LAB)/bin/jupyter lab notebooks

bench: setup ## how long commands, sampling, pipelines and the numpy model take, as ratios to floors and peers
	@$(BIN)/python benchmarks/sampling.py
	@$(BIN)/python benchmarks/pipelines.py
	@$(BIN)/python benchmarks/commands.py
	@$(BIN)/python benchmarks/nano.py

experiments: setup ## repeat the long training runs, resumable, and compare them with the record
	@$(BIN)/python experiments/run.py

notebooks: setup ## execute the committed notebooks again, in place
	@$(BIN)/repro run --in-place

lock: ## resolve both locks and environment.yml again (needs uv)
	uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 \
	    --extra test pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 \
	    --extra test --extra lab -c requirements.lock pyproject.toml -o requirements-lab.lock
	$(PYTHON) scripts/environment.py

clean: ## remove what the commands made, except figures/
	rm -rf $(VENV) $(LAB) $(ORACLE) runs .coverage* .mypy_cache

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(call install,$(VENV),requirements.lock)

$(LAB)/.installed: requirements-lab.lock pyproject.toml
	@$(call install,$(LAB),requirements-lab.lock)

# The lock, then the oracles, which are in no lock.
$(ORACLE)/.installed: requirements.lock pyproject.toml
	@$(call install,$(ORACLE),requirements.lock) && rm $(ORACLE)/.installed && \
	if uv --version >/dev/null 2>&1; then \
	    uv pip install -q --python $(ORACLE)/bin/python -e '.[oracles]' --no-build-isolation; \
	else \
	    $(ORACLE)/bin/python -m pip install -q --disable-pip-version-check --no-build-isolation -e '.[oracles]'; \
	fi && touch $(ORACLE)/.installed

# install FOLDER,LOCK: a fresh environment with exactly what the lock names, then this checkout.
define install
$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and \
    f"Python 3.11 or newer is needed, $(PYTHON) is {v}: name another, as in make PYTHON=python3.12 setup")' && \
rm -rf $(1) && $(PYTHON) -m venv $(1) && \
if uv --version >/dev/null 2>&1; then \
    uv pip install -q --compile-bytecode --python $(1)/bin/python --require-hashes -r $(2) && \
    uv pip install -q --python $(1)/bin/python --no-deps --no-build-isolation -e .; \
else \
    $(1)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $(2) && \
    $(1)/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .; \
fi && touch $(1)/.installed
endef
