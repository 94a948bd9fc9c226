# The commands that developers and .ci/run share. `make` alone lists them.
#
#   VENV         where the environment is made             (.venv)
#   VENV_ZOO     where that of `make zoo` is made          (.venv-zoo)
#   PYTHON       the interpreter that they are made with   (the first found that is 3.11 or newer)
#   TORCH_INDEX  a package index for PyTorch alone, such as PyTorch's own index for the CPU

VENV ?= .venv
VENV_ZOO ?= .venv-zoo
PYTHON ?=
TORCH_INDEX ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
MADE := $(VENV)/.made
DEMO := $(VENV)/.installed-demo
DEV := $(VENV)/.installed-dev

BIN_ZOO := $(VENV_ZOO)/bin
PIP_ZOO := $(BIN_ZOO)/python -m pip --disable-pip-version-check
INSTALL_ZOO := $(PIP_ZOO) install --quiet --constraint constraints-zoo.txt
MADE_ZOO := $(VENV_ZOO)/.made
ZOO := $(VENV_ZOO)/.installed-zoo

# A file's tests stay in one process, which makes their shared packages once.
IN_PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test zoo lint format schemas clean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

demo: $(DEMO) ## set up, then: train the reference CNN, export it, bench it against the original
	@mkdir -p build
	$(BIN)/edgekit export cnn --overwrite -o build/cnn.edgekit
	@echo
	$(BIN)/edgekit bench build/cnn.edgekit

test: $(DEV) ## run the tests
	$(BIN)/python -m pytest $(IN_PARALLEL)

zoo: $(ZOO) ## run the exporter's tests beside timm and transformers, in an environment of its own
	EDGEKIT_CORPUS=all $(BIN_ZOO)/python -m pytest $(IN_PARALLEL) tests/exporters

lint: $(DEV) ## check format, style and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(DEV) ## rewrite the files as `make lint` wants them, where that can be done
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

schemas: $(DEMO) ## write docs/schemas again, the JSON Schemas of what --json prints
	$(BIN)/python docs/write_schemas.py

clean: ## remove what the commands above built, but not the environment
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# PyTorch comes first and alone from TORCH_INDEX: what it needs comes from the usual index, at the
# pinned versions, which the other index needn't have.
$(DEMO): pyproject.toml constraints.txt $(MADE)
	@echo "Installing edgekit with PyTorch into $(VENV); the first time takes some minutes."
	@$(if $(TORCH_INDEX),$(INSTALL) --no-deps --index-url "$(TORCH_INDEX)" torch,:)
	@$(INSTALL) --editable '.[cpu,export,models]'
	@touch $@

$(DEV): $(DEMO)
	@echo "Installing what tests and checks need"
	@$(INSTALL) --editable '.[cpu,data,export,models,hf,openvino,report]' --group dev
	@touch $@

# torchvision, which timm needs, is built against one torch: both come from the same index.
$(ZOO): pyproject.toml constraints-zoo.txt $(MADE_ZOO)
	@echo "Installing edgekit with PyTorch, timm and transformers into $(VENV_ZOO)"
	@$(if $(TORCH_INDEX),$(INSTALL_ZOO) --no-deps --index-url "$(TORCH_INDEX)" torch torchvision,:)
	@$(INSTALL_ZOO) --editable '.[cpu,export,models,timm,hf]' --group test
	@touch $@

# pip takes a dependency group (`--group`) from 25.1 on.
$(MADE) $(MADE_ZOO): %/.made:
	@python="$(PYTHON)"; \
	for name in $${python:-python3 python3.11 python3.12 python3.13 python3.14 python}; do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found="$$name"; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "edgekit needs Python 3.11 or newer; $${python:-python3} is missing or older." \
	    "Name another with: make PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	echo "Making $* with $$("$$found" --version)"; \
	"$$found" -m venv "$*"
	@$*/bin/python -m pip --disable-pip-version-check install --quiet --upgrade 'pip>=25.1'
	@touch $@
