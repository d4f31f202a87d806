# Gatehouse: what a person types. `make` alone lists the targets.
# Needed: Rust, Python 3.11 or newer, make. Everything else goes into .venv/ and target/.

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
READY_DEMO := $(VENV)/.ready-demo
READY_CHECKOV := $(VENV_CHECKOV)/.ready
PYTHON := $(VENV)/bin/python
TOOLS := target/tools
CARGO_MUTANTS := 27.1.0
TEMPLATES := $(wildcard template.yaml functions/*/*.yaml)
FUZZ := $(wildcard shared/fuzz/Cargo.toml functions/*/*/fuzz/Cargo.toml)
DEMOS := $(subst _,-,$(patsubst local/gatehouse_local/%.py,%,$(wildcard local/gatehouse_local/demo_*.py)))

# The functions, as the templates name them: lists `capabilities`, `binaries` or `bootstraps`.
FUNCTIONS := $(PYTHON) -m gatehouse_local.functions

# Every debug build takes the features of the whole workspace and, because it has an example, of the tests' dependencies.
# So whatever is built first, a demo or the tests, no crate is compiled a second time for the other.
DEBUG_BUILD := $(CARGO) build --workspace

export PYTHONPATH := local
export PYTHONDONTWRITEBYTECODE := 1
export SAM_CLI_TELEMETRY := 0
export AWS_DEFAULT_REGION ?= us-east-1

SAY := printf '\n\033[1m%s\033[0m\n'

.PHONY: help
help: ## List the targets
	@printf 'Gatehouse\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nDemos, without an AWS account: %s\n' "$(DEMOS)"
	@printf 'make demo takes settings: make demo SERVICE=CLOUDFRONT_ORIGIN_FACING PORTS=80,443\n'

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

# The demos need a third of what everything needs, so that the first one does not wait for the rest.
$(READY_DEMO): local/requirements-demo.txt local/constraints.txt
	@$(SAY) "Installing the demos' Python packages into $(VENV) (the first time: about a minute)"
	@$(find_python); $$python -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r local/requirements-demo.txt -c local/constraints.txt
	@touch $@

$(READY): local/requirements.txt local/requirements-demo.txt local/constraints.txt
	@$(SAY) "Installing the Python packages into $(VENV) (the first time: one to three minutes)"
	@$(find_python); $$python -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r local/requirements.txt -c local/constraints.txt
	@touch $(READY_DEMO) $@

$(READY_CHECKOV): local/requirements-checkov.txt local/constraints-checkov.txt
	@$(SAY) "Installing checkov into $(VENV_CHECKOV)"
	@$(find_python); $$python -m venv $(VENV_CHECKOV)
	@$(VENV_CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check -r local/requirements-checkov.txt -c local/constraints-checkov.txt
	@touch $@

.PHONY: packages
packages: $(READY) ## Install sam, cargo-lambda and the rest of the Python packages into .venv

.PHONY: packages-checkov
packages-checkov: $(READY_CHECKOV)

.PHONY: say-first-build
say-first-build: need-rust
	@[ -d $(TARGET_DIR)/debug ] || $(SAY) "Building (the first time three to ten minutes: it compiles the AWS SDK; later seconds)"

.PHONY: binaries
binaries: say-first-build
	@$(DEBUG_BUILD) --examples --bins

# Try it --------------------------------------------------------------------------------------

.PHONY: demo
demo: demo-ip-ranges ## Watch security groups follow AWS's published ranges

# A demo is local/gatehouse_local/demo_<capability>.py. It runs that capability's functions, and no others are built.
# Their names come from the template by sed: the packages that gatehouse_local needs are installed meanwhile.
.PHONY: $(DEMOS)
$(DEMOS): demo-%: say-first-build
	@$(MAKE) $(READY_DEMO) & packages=$$!; built=0; \
	$(DEBUG_BUILD) --example features $$(sed -n 's/^ *Binary: */--bin /p' functions/$*/template.yaml | awk '!seen[$$0]++') || built=$$?; \
	wait "$$packages"; exit "$$built"
	@$(PYTHON) -m gatehouse_local.demo_$(subst -,_,$*) --bin-dir $(TARGET_DIR)/debug \
		$(if $(SERVICE),--service '$(SERVICE)') $(if $(PORTS),--ports '$(PORTS)') $(if $(BY_HAND),--by-hand)

# Deletes $(1), which Cargo made, but only inside this repository: TARGET_DIR may be a folder that other projects share.
define delete_build
folder=$$(cd '$(1)' 2>/dev/null && pwd -P) || folder=; \
repository=$$(pwd -P); \
case "$$folder" in \
	'') ;; \
	"$$repository"/target | "$$repository"/target/*) rm -rf "$$folder" ;; \
	*) echo "Not deleted: $$folder is outside $$repository/target, so other projects may use it." ;; \
esac
endef

# Options count from the command line only: HOST and PORT are common variables of a shell.
option = $(if $(filter command,$(origin $(1))),--$(2) '$($(1))')

.PHONY: local-aws
local-aws: $(READY_DEMO) ## Keep a local AWS up for sam local invoke (BIND=, HOST=, PORT=)
	@$(PYTHON) -m gatehouse_local.local_aws $(call option,BIND,bind) $(call option,HOST,host) $(call option,PORT,port)

.PHONY: demo-clean
demo-clean: ## Remove what the demos made: packages, working files, debug builds
	@$(call delete_build,$(TARGET_DIR)/debug)
	@rm -rf $(VENV) local/.work
	@echo "Removed the demos' packages, working files and debug builds."

# Check it ------------------------------------------------------------------------------------

.PHONY: test
test: lint test-rust test-flows ## Lints, unit and property tests, whole flows with the real binaries
	@$(SAY) "make test passed: formatting, clippy, ruff, templates, Rust tests, whole flows"

.PHONY: lint
lint: lint-rust lint-python lint-templates ## Formatting, clippy, ruff, cfn-lint, sam validate
	@$(SAY) "make lint passed"

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
	@echo "checkov passed: $(words $(TEMPLATES)) templates"

.PHONY: test-rust
test-rust: need-rust
	@$(SAY) "Rust: unit and property tests, examples in the documentation"
	@$(CARGO) test --workspace

.PHONY: test-flows
test-flows: $(READY) binaries
	@$(SAY) "Whole flows: the real binaries against the local AWS"
	@$(PYTHON) -m pytest local/tests -q --bin-dir $(TARGET_DIR)/debug

# With --examples it takes the features that clippy takes, and shares with it what is checked.
.PHONY: doc
doc: need-rust ## Rust documentation, into target/doc
	@$(SAY) "Rust: documentation"
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --lib --examples --locked

# Running them needs a nightly compiler, see the README beside each; a stable one shows that they still compile.
.PHONY: check-fuzz
check-fuzz: need-rust ## Compile the fuzz targets, without running them
	@$(SAY) "Rust: fuzz targets"
	@for manifest in $(FUZZ); do \
		$(CARGO) check --quiet --locked --manifest-path "$$manifest" --target-dir $(TARGET_DIR)/fuzz \
			|| { echo "$$manifest does not compile. If its Cargo.lock is out of date: cargo update --workspace --manifest-path $$manifest" >&2; exit 1; }; \
		echo "$$manifest: ok"; \
	done

# Configuration: .cargo/mutants.toml, which says what is examined.
.PHONY: mutants
mutants: need-rust ## Change the code that decides, piece by piece: which change does no test notice? (hours)
	@[ "$$($(TOOLS)/bin/cargo-mutants --version 2>/dev/null)" = "cargo-mutants $(CARGO_MUTANTS)" ] \
		|| CARGO_PROFILE_RELEASE_LTO=false $(CARGO) install cargo-mutants --version $(CARGO_MUTANTS) --locked --quiet --root $(TOOLS)
	@$(SAY) "Mutants of $(or $(CRATES),every crate that decides)"
	@PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(CARGO) mutants --output target $(foreach crate,$(CRATES),--package $(crate))

VENV_REHEARSE := .venv-rehearse
READY_REHEARSE := $(VENV_REHEARSE)/.ready

# LocalStack runs on no other version. Those of pyenv, uv and Homebrew are found even where none of them is switched on.
PYTHON_3_13 := python3.13 python3 $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python3.13 \
	$(HOME)/.local/share/uv/python/cpython-3.13*/bin/python3.13 /opt/homebrew/opt/python@3.13/bin/python3.13)
define find_python_3_13
python=; \
for candidate in $(PYTHON_3_13); do \
	if "$$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then python=$$candidate; break; fi; \
done
endef

$(READY_REHEARSE): local/requirements-rehearse.txt local/constraints-rehearse.txt
	@$(find_python_3_13); \
	[ -n "$$python" ] || { echo "make rehearse needs Python 3.13 with venv, and this machine has none: install it (pyenv install 3.13; Debian 13: apt-get install python3.13-venv; macOS: brew install python@3.13), then run make rehearse again." >&2; exit 1; }; \
	$(SAY) "Installing LocalStack into $(VENV_REHEARSE) (the first time: three minutes, 500 MB)"; \
	"$$python" -m venv --clear $(VENV_REHEARSE)
	@$(VENV_REHEARSE)/bin/python -m pip install --quiet --disable-pip-version-check -r local/requirements-rehearse.txt -c local/constraints-rehearse.txt
	@touch $@

# Not part of `make test`: it needs Python 3.13, and ten to twenty minutes.
.PHONY: rehearse
rehearse: $(READY_REHEARSE) $(READY) binaries ## A real `sam deploy` of every template, without AWS (STACKS="ip-ranges amis")
	@$(SAY) "Rehearsal: sam deploy against LocalStack"
	@$(PYTHON) -m rehearse --bin-dir $(TARGET_DIR)/debug $(STACKS)

# As above, where it may be left out: without Python 3.13 it says so in one line, and nothing fails.
.PHONY: rehearse-if-possible
rehearse-if-possible:
	@$(find_python_3_13); \
	if [ -n "$$python" ]; then $(MAKE) rehearse; else echo "skipped: make rehearse needs Python 3.13, and this machine has none"; fi

# Measure and ship it -------------------------------------------------------------------------

lambda_option = $(if $(filter arm64,$(1)),--arm64)

# As `sam build` calls it for each function, but for all of them at once, so that two are optimised at the same time.
# `sam build` then finds every binary ready. $(1) is the option for the processor that the SAM CLI gives.
define build_binaries
bins=$$($(FUNCTIONS) binaries | sed 's/^/--bin /'); \
PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(CARGO) lambda build --release $(1) $$bins
endef

# The processor of this machine, as SAM's templates and cargo-lambda name it.
HERE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)

.PHONY: lambda-binaries
lambda-binaries: need-rust $(READY)
	@$(SAY) "Building the functions for Lambda on $(HERE) (the first time long: the AWS SDK, optimised)"
	@$(call build_binaries,$(call lambda_option,$(HERE)))

.PHONY: bootstraps
bootstraps: lambda-binaries ## Build each capability for Lambda, for this machine's processor
	@for capability in $$($(FUNCTIONS) capabilities); do \
		PATH="$(CURDIR)/$(VENV)/bin:$$PATH" sam build --config-env "$$capability" --parameter-overrides Architecture=$(HERE); \
	done
	@for line in $$($(FUNCTIONS) bootstraps); do \
		printf '%s: %s bytes, in %s\n' "$${line%=*}" "$$(wc -c <"$${line#*=}" | tr -d ' ')" "$${line#*=}"; \
	done

.PHONY: bench
bench: bootstraps ## Speed and size: cold start, warm run, memory, zip
	@$(SAY) "Building the function that does nothing, to compare with"
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(CARGO) lambda build --release $(call lambda_option,$(HERE)) --bin bench-empty
	@$(PYTHON) -m gatehouse_local.bench --empty $(TARGET_DIR)/lambda/bench-empty/bootstrap

.PHONY: build
build: need-rust $(READY) ## Build the suite for Lambda with sam (ARCH=arm64, the default, or x86_64)
	@target=$$([ "$(ARCH)" = arm64 ] && echo aarch64 || echo x86_64)-unknown-linux-gnu; \
	[ -d "$$(rustc --print sysroot)/lib/rustlib/$$target" ] || { echo "Rust cannot build for $(ARCH) yet: run 'rustup target add $$target', then make again." >&2; exit 1; }
	@$(call build_binaries,$(call lambda_option,$(ARCH)))
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" sam build --parameter-overrides Architecture=$(ARCH)

.PHONY: clean
clean: demo-clean ## Remove everything that any target made
	@$(call delete_build,$(TARGET_DIR))
	@rm -rf target $(VENV_CHECKOV) $(VENV_REHEARSE) .aws-sam .pytest_cache .ruff_cache local/.pytest_cache local/.ruff_cache
	@find local -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Removed all builds, packages and .aws-sam of this repository."
