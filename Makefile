# `make` alone lists the targets. Everything that is made lives in .venv, .cache and var.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(name) 2>/dev/null)))
VENV := .venv/bin/python
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help setup setup-test run test check demo bench model client operator-token lock format clean python-run python-test programs test-tools telephones

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: python-run programs ## fetch what `make run` needs (a few seconds once it is there)

setup-test: python-test programs test-tools telephones ## fetch what `make test`, `check`, `demo` and `bench` need

run: setup ## run the switch in the foreground; Ctrl-C stops it
	@exec $(VENV) -m launch

test: setup-test ## all tests, with a real Asterisk and real SIP calls
	@exec $(VENV) -m pytest --numprocesses 2 --dist loadscope

check: python-test ## format, lint and types
	@$(VENV) -m ruff format --check .
	@$(VENV) -m ruff check .
	@$(VENV) -m mypy

demo: setup test-tools ## place a real call that leaves a spoken message, and show it
	@exec $(VENV) -m scripts.demo

model: python-run ## fetch a model for the text of messages (48 MB; WHICH=large for the large one)
	@exec $(VENV) -m transcribe.models fetch $(or $(WHICH),small)

client: python-test ## make a typed Python client of the API in var/client
	@exec $(VENV) -m scripts.python_client

operator-token: setup ## make an operator's API token and print it
	@exec $(VENV) -m denwaban token create --role operator --bare

bench: setup-test ## the benchmarks
	@exec $(VENV) -m bench

format: python-test ## put the code into shape
	@$(VENV) -m ruff format .
	@$(VENV) -m ruff check --fix .

lock: .cache/uv/bin/uv ## resolve pyproject.toml anew into the two lock files
	@.cache/uv/bin/uv pip compile $(LOCK_FLAGS) --upgrade -o requirements.lock pyproject.toml
	@.cache/uv/bin/uv pip compile $(LOCK_FLAGS) -c requirements.lock --group dev -o requirements-dev.lock pyproject.toml

LOCK_FLAGS := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock"

.cache/uv/bin/uv:
	@$(PYTHON) -m venv .cache/uv
	@.cache/uv/bin/pip install --quiet --disable-pip-version-check uv

clean: ## remove .venv and .cache (var, with its messages, stays)
	rm -rf .venv .cache

python-run: ; @$(PYTHON) -m scripts.python_environment requirements.lock
python-test: ; @$(PYTHON) -m scripts.python_environment requirements-dev.lock
programs: ; @$(PYTHON) -m scripts.private_packages asterisk ffmpeg fonts
test-tools: ; @$(PYTHON) -m scripts.private_packages test-tools
telephones: ; @$(PYTHON) -m scripts.private_packages linphone
