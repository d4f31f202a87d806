# Gatehouse: what a person types. `make` alone lists the targets.
# Needed: Rust, Python 3.11 or newer, make. Everything else goes into .venv/.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
ARCH ?= arm64
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)
VENV := .venv
VENV_CHECKOV := .venv-checkov
READY := $(VENV)/.ready
READY_CHECKOV := $(VENV_CHECKOV)/.ready
PYTHON := $(VENV)/bin/python
TEMPLATES := $(wildcard template.yaml functions/*/*.yaml)

export PYTHONPATH := local
export PYTHONDONTWRITEBYTECODE := 1
export SAM_CLI_TELEMETRY := 0
export AWS_DEFAULT_REGION ?= us-east-1

SAY := printf '\n\033[1m%s\033[0m\n'

.PHONY: help
help: ## List the targets
	@printf 'Gatehouse\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nThe demo takes settings: make demo SERVICE=CLOUDFRONT_ORIGIN_FACING PORTS=80,443\n'

# Tools ---------------------------------------------------------------------------------------

.PHONY: need-rust
need-rust:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install it from https://rustup.rs, then run make again." >&2; exit 1; }

# The newest Python that is new enough, whatever it is called on this machine.
define find_python
python=; \
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
done; \
[ -n "$$python" ] || { echo "Python 3.11 or newer is missing: install it, then run make again." >&2; exit 1; }; \
$$python -c 'import ensurepip, venv' 2>/dev/null || { echo "$$python cannot make virtual environments: install its venv package (Debian: python3-venv), then run make again." >&2; exit 1; }
endef

$(READY): local/requirements.txt local/constraints.txt
	@$(SAY) "Installing the Python packages into $(VENV) (the first time: one to three minutes)"
	@$(find_python); $$python -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r local/requirements.txt -c local/constraints.txt
	@touch $@

$(READY_CHECKOV): local/requirements-checkov.txt
	@$(SAY) "Installing checkov into $(VENV_CHECKOV)"
	@$(find_python); $$python -m venv $(VENV_CHECKOV)
	@$(VENV_CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check -r local/requirements-checkov.txt
	@touch $@

# One debug build serves the demos and the tests. --examples makes it take the features of the tests' dependencies:
# without it, cargo would compile the AWS SDK once for the demos and once more for the tests.
.PHONY: binaries
binaries: need-rust
	@[ -d $(TARGET_DIR)/debug ] || printf '\n\033[1m%s\033[0m\n' "Building (the first time five to ten minutes: it compiles the AWS SDK; later seconds)"
	@$(CARGO) build --workspace --bins --examples

# Try it --------------------------------------------------------------------------------------

.PHONY: demo
demo: $(READY) binaries ## Watch security groups follow AWS's published ranges, without an AWS account
	@$(PYTHON) -m gatehouse_local.demo_ip_ranges --bin-dir $(TARGET_DIR)/debug \
		$(if $(SERVICE),--service '$(SERVICE)') $(if $(PORTS),--ports '$(PORTS)')

.PHONY: demo-pipelines
demo-pipelines: $(READY) binaries ## Watch a deployment wait out an issue of AWS, without an AWS account
	@$(PYTHON) -m gatehouse_local.demo_pipelines --bin-dir $(TARGET_DIR)/debug

# Options count from the command line only: HOST and PORT are common variables of a shell.
option = $(if $(filter command,$(origin $(1))),--$(2) '$($(1))')

.PHONY: local-aws
local-aws: $(READY) ## Keep a local AWS up for sam local invoke (BIND=, HOST=, PORT=)
	@$(PYTHON) -m gatehouse_local.local_aws $(call option,BIND,bind) $(call option,HOST,host) $(call option,PORT,port)

.PHONY: demo-amis
demo-amis: $(READY) binaries ## Watch an image be approved on a page and shared, without an AWS account
	@$(PYTHON) -m gatehouse_local.demo_amis --bin-dir $(TARGET_DIR)/debug $(if $(BY_HAND),--by-hand)

.PHONY: demo-clean
demo-clean: ## Remove what the demos made: packages, working files, debug builds
	@rm -rf $(VENV) local/.work $(TARGET_DIR)/debug
	@echo "Removed $(VENV), local/.work and $(TARGET_DIR)/debug."

# Check it ------------------------------------------------------------------------------------

.PHONY: test
test: lint test-rust test-flows ## Lints, unit and property tests, whole flows with the real binaries
	@$(SAY) "make test passed: formatting, clippy, ruff, templates, Rust tests, whole flows"

.PHONY: lint
lint: lint-rust lint-python lint-templates ## Formatting, clippy, ruff, cfn-lint, sam validate

.PHONY: lint-rust
lint-rust: need-rust
	@$(SAY) "Rust: formatting and clippy"
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets -- -D warnings

.PHONY: lint-python
lint-python: $(READY)
	@$(SAY) "Python: formatting and ruff"
	@$(VENV)/bin/ruff format --quiet --check local
	@$(VENV)/bin/ruff check --quiet local

.PHONY: lint-templates
lint-templates: $(READY)
	@$(SAY) "Templates: cfn-lint and sam validate"
	@$(VENV)/bin/cfn-lint $(TEMPLATES)
	@for template in $(TEMPLATES); do $(VENV)/bin/sam validate --lint --template "$$template" >/dev/null; done

.PHONY: checkov
checkov: $(READY_CHECKOV) ## Scan the templates for weak settings
	@$(SAY) "Templates: checkov"
	@local/template_checks/checkov.sh $(VENV_CHECKOV)/bin/checkov $(TEMPLATES)

.PHONY: test-rust
test-rust: need-rust
	@$(SAY) "Rust: unit and property tests, examples in the documentation"
	@$(CARGO) test --workspace

.PHONY: test-flows
test-flows: $(READY) binaries
	@$(SAY) "Whole flows: the real binaries against the local AWS"
	@$(PYTHON) -m pytest local/tests -q --bin-dir $(TARGET_DIR)/debug

.PHONY: bench
bench: need-rust $(READY) ## Speed and size: the document, cold start, memory, zip
	@$(SAY) "The document: parse + MD5 + filter + join + plan"
	@mkdir -p local/.work
	@$(PYTHON) -c 'import sys; from gatehouse_local import ranges; sys.stdout.buffer.write(ranges.first().body)' >local/.work/ip-ranges.json
	@IP_RANGES_DOCUMENT='$(CURDIR)/local/.work/ip-ranges.json' $(CARGO) bench --package ip-ranges-planner
	@$(SAY) "Building the functions (the first time long: the AWS SDK with link-time optimisation)"
	@$(CARGO) build --release --package ip-ranges-updater
	@$(CARGO) build --release --package pipeline-health-gate
	@$(CARGO) build --release --package bench-empty
	@$(PYTHON) -m gatehouse_local.bench --bin-dir $(TARGET_DIR)/release --empty $(TARGET_DIR)/release/bench-empty
	@$(PYTHON) -m gatehouse_local.bench_pipelines --bin-dir $(TARGET_DIR)/release --empty $(TARGET_DIR)/release/bench-empty

# Ship it -------------------------------------------------------------------------------------

.PHONY: build
build: need-rust $(READY) ## Build for Lambda with sam (ARCH=arm64, the default, or x86_64)
	@target=$$([ "$(ARCH)" = arm64 ] && echo aarch64 || echo x86_64)-unknown-linux-gnu; \
	[ -d "$$(rustc --print sysroot)/lib/rustlib/$$target" ] || { echo "Rust cannot build for $(ARCH) yet: run 'rustup target add $$target', then make again." >&2; exit 1; }
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" sam build --parameter-overrides Architecture=$(ARCH)

.PHONY: clean
clean: demo-clean ## Remove everything that any target made
	@rm -rf $(TARGET_DIR) $(VENV_CHECKOV) .aws-sam .pytest_cache .ruff_cache local/.pytest_cache local/.ruff_cache
	@find local -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Removed $(TARGET_DIR), $(VENV_CHECKOV) and .aws-sam."
