# Gatehouse: what a person types. `make` alone lists the targets.
# Needed: Rust, a C compiler, Python 3.11 or newer, make. Everything else goes into .venv/ and target/.

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
CARGO_SEMVER_CHECKS := 0.51.0
CARGO_FUZZ := 0.13.2
MDBOOK := 0.5.4
TEMPLATES := $(wildcard template.yaml functions/*/*.yaml)
FUZZ := $(wildcard shared/sns/fuzz/Cargo.toml functions/*/*/fuzz/Cargo.toml)
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

# What a target needs is checked before anything slow begins. The first prerequisite of a target that builds or installs.
NEEDS := CARGO='$(CARGO)' local/needs.sh

.PHONY: need need-python need-c++
need:
	@$(NEEDS) python rust cc disk

need-python:
	@$(NEEDS) python

need-c++:
	@$(NEEDS) c++

# Runs what takes minutes, and shows how far it is. `make PROGRESS=` does without.
PROGRESS ?= yes
progress = $(if $(PROGRESS),"$$(local/needs.sh --python)" local/progress.py '$(1)')
venv = "$$(local/needs.sh --python)" -m venv

# Each package has one version, and each file its sum: locked*.txt.
# A lock names all that is installed, so pip resolves nothing.
PIP := bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps

# The demos need a third of what everything needs, so that the first one does not wait for the rest.
$(READY_DEMO): local/locked-demo.txt
	@$(NEEDS) python
	@$(SAY) "Installing the demos' Python packages into $(VENV) (the first time: up to a minute)"
	@$(venv) $(VENV)
	@$(call progress,Installing Python packages) $(VENV)/$(PIP) -r local/locked-demo.txt
	@touch $@

$(READY): local/locked.txt
	@$(NEEDS) python
	@$(SAY) "Installing the Python packages into $(VENV) (the first time: one to three minutes)"
	@$(venv) $(VENV)
	@$(call progress,Installing Python packages) $(VENV)/$(PIP) -r local/locked.txt
	@touch $(READY_DEMO) $@

$(READY_CHECKOV): local/locked-checkov.txt
	@$(NEEDS) python
	@$(SAY) "Installing checkov into $(VENV_CHECKOV)"
	@$(venv) $(VENV_CHECKOV)
	@$(call progress,Installing checkov) $(VENV_CHECKOV)/$(PIP) -r local/locked-checkov.txt
	@touch $@

.PHONY: packages
packages: $(READY) ## Install sam, cargo-lambda and the rest of the Python packages into .venv

.PHONY: packages-checkov
packages-checkov: $(READY_CHECKOV)

.PHONY: locks
locks: need-python ## Write local/locked*.txt anew after a change of requirements (UPGRADE=yes: newest versions)
	@"$$(local/needs.sh --python)" local/lock.py $(if $(UPGRADE),--upgrade)

.PHONY: binaries
binaries: need
	@$(call progress,Building the functions) $(DEBUG_BUILD) --examples --bins

# Not $(MAKE) by name, which `make --dry-run` would run.
MAKE_ITSELF := $(MAKE)

# Installs packages, as the target $(1) does, while $(2) is done by $(3).
define beside_packages
$(MAKE_ITSELF) $(1) PROGRESS= & packages=$$!; built=0; \
$(call progress,$(2)) $(3) || built=$$?; \
if kill -0 "$$packages" 2>/dev/null; then echo "The Python packages are still being installed."; fi; \
wait "$$packages"; exit "$$built"
endef

# Try it --------------------------------------------------------------------------------------

.PHONY: demo
demo: demo-ip-ranges ## Watch security groups follow AWS's published ranges

# A demo is local/gatehouse_local/demo_<capability>.py. It runs that capability's functions, and no others are built.
# Their names come from the template by sed: the packages that gatehouse_local needs are installed meanwhile.
.PHONY: $(DEMOS)
$(DEMOS): demo-%: need
	@[ -d $(TARGET_DIR)/debug ] || $(SAY) "Building (the first time three to twelve minutes: it compiles the AWS SDK; later seconds)"
	@bins=$$(sed -n 's/^ *Binary: */--bin /p' functions/$*/template.yaml | awk '!seen[$$0]++'); \
	$(call beside_packages,$(READY_DEMO),Building the functions of $*,$(DEBUG_BUILD) --example features $$bins)
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
given = $(filter command,$(origin $(1)))
option = $(if $(call given,$(1)),--$(2) '$($(1))')

.PHONY: need-ports
need-ports:
	@$(NEEDS) python $(if $(call given,BIND),,ports=$(if $(call given,PORT),$(PORT),4600))

.PHONY: local-aws
local-aws: need-ports $(READY_DEMO) ## Keep a local AWS up for sam local invoke (BIND=, HOST=, PORT=)
	@$(PYTHON) -m gatehouse_local.local_aws $(call option,BIND,bind) $(call option,HOST,host) $(call option,PORT,port)

.PHONY: demo-clean
demo-clean: ## Remove what the demos made: packages, working files, debug builds
	@$(call delete_build,$(TARGET_DIR)/debug)
	@rm -rf $(VENV) local/.work
	@echo "Removed the demos' packages, working files and debug builds."

# Check it ------------------------------------------------------------------------------------

.PHONY: test
test: need build-tests test-rust test-flows ## What to run after a change: unit and property tests, whole flows with the real binaries
	@$(SAY) "make test passed: Rust tests, whole flows, templates. Before a commit, make lint as well: formatting, clippy, ruff, cfn-lint"

.PHONY: lint
lint: need lint-rust lint-python lint-templates ## Formatting, clippy, ruff, cfn-lint, sam validate
	@$(SAY) "make lint passed"

.PHONY: lint-rust
lint-rust: need
	@$(SAY) "Rust: formatting and clippy"
	@$(CARGO) fmt --all --check
	@$(call progress,Checking with clippy) $(CARGO) clippy --workspace --all-targets -- -D warnings

.PHONY: lint-python
lint-python: need-python $(READY)
	@$(SAY) "Python: formatting and ruff"
	@$(VENV)/bin/ruff format --quiet --check local
	@$(VENV)/bin/ruff check --quiet local
	@$(VENV)/bin/ruff format --quiet --check --config local/ruff.toml functions
	@$(VENV)/bin/ruff check --quiet --config local/ruff.toml functions

.PHONY: lint-templates
lint-templates: need-python $(READY)
	@$(SAY) "Templates: cfn-lint and sam validate"
	@$(VENV)/bin/cfn-lint $(TEMPLATES)
	@# Without --lint, which would run cfn-lint again instead of SAM's transform.
	@for template in $(TEMPLATES); do $(VENV)/bin/sam validate --template "$$template" >/dev/null; done
	@$(PYTHON) -m template_checks.regions
	@$(PYTHON) -m pytest local/tests -q -m lint --numprocesses 2 --dist worksteal

.PHONY: checkov
checkov: need-python $(READY_CHECKOV) ## Scan the templates for weak settings
	@$(SAY) "Templates: checkov"
	@local/template_checks/checkov.sh $(VENV_CHECKOV)/bin/checkov $(TEMPLATES)
	@echo "checkov passed: $(words $(TEMPLATES)) templates"

.PHONY: build-tests
build-tests: need
	@$(SAY) "Building what the tests need, and installing their Python packages meanwhile"
	@$(call beside_packages,$(READY),Building the Rust tests,$(CARGO) test --workspace --no-run)

.PHONY: test-rust
test-rust: need
	@$(SAY) "Rust: unit and property tests, examples in the documentation"
	@$(call progress,Building the Rust tests) $(CARGO) test --workspace --no-run
	@rm -f $(TARGET_DIR)/requests.jsonl
	@GATEHOUSE_RECORD_REQUESTS=$(abspath $(TARGET_DIR))/requests.jsonl $(CARGO) test --workspace

# Flows wait most of the time, so more of them than there are processors run at once.
SIDE_BY_SIDE := --numprocesses 4 --dist worksteal

.PHONY: test-flows
test-flows: need $(READY) binaries
	@$(SAY) "Whole flows: the real binaries against the local AWS"
	@# Each process reads every test file: with bytecode that is kept, it compiles none of them a second time.
	@env -u PYTHONDONTWRITEBYTECODE $(PYTHON) -m pytest local/tests -q -m "not lint" $(SIDE_BY_SIDE) --bin-dir $(TARGET_DIR)/debug

# With --examples it takes the features that clippy takes, and shares with it what is checked.
.PHONY: doc
doc: need ## Rust documentation, into target/doc
	@$(SAY) "Rust: documentation"
	@RUSTDOCFLAGS="-D warnings" $(call progress,Documenting) $(CARGO) doc --workspace --no-deps --lib --examples --locked

# Running them needs a nightly compiler, see the README beside each; a stable one shows that they still compile.
.PHONY: check-fuzz
check-fuzz: need need-c++ ## Compile the fuzz targets, without running them
	@$(SAY) "Rust: fuzz targets"
	@for manifest in $(FUZZ); do \
		$(CARGO) check --quiet --locked --manifest-path "$$manifest" --target-dir $(TARGET_DIR)/fuzz \
			|| { echo "$$manifest does not compile. If its Cargo.lock is out of date: cargo update --workspace --manifest-path $$manifest" >&2; exit 1; }; \
		echo "$$manifest: ok"; \
	done

# Each target in turn; CI does it weekly. The code has no `unsafe`, so no sanitizer is needed, and without one it runs faster.
# What is found goes into the folder corpus beside the target; the sample events of its capability are seeds as well.
FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: need need-c++ ## Run each fuzz target for FUZZ_SECONDS=60 (needs a nightly compiler)
	@rustc --version | grep -q nightly || [ "$${RUSTC_BOOTSTRAP:-}" = 1 ] \
		|| { echo "make fuzz needs a nightly compiler: run 'rustup toolchain install nightly', then RUSTUP_TOOLCHAIN=nightly make fuzz." >&2; exit 1; }
	@[ "$$($(TOOLS)/bin/cargo-fuzz --version 2>/dev/null)" = "cargo-fuzz $(CARGO_FUZZ)" ] \
		|| $(CARGO) install cargo-fuzz --version $(CARGO_FUZZ) --locked --quiet --root $(TOOLS)
	@export PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH"; \
	for folder in $(patsubst %/Cargo.toml,%,$(FUZZ)); do \
		samples=$$(echo "$$folder" | sed -n 's|^functions/\([^/]*\)/.*|events/\1|p'); \
		for fuzzed in $$($(CARGO) fuzz list --fuzz-dir "$$folder"); do \
			$(SAY) "Fuzzing $$folder: $$fuzzed"; \
			mkdir -p "$$folder/corpus/$$fuzzed"; \
			$(CARGO) fuzz run --fuzz-dir "$$folder" --sanitizer none "$$fuzzed" "$$folder/corpus/$$fuzzed" $$samples \
				-- -max_total_time=$(FUZZ_SECONDS); \
		done; \
	done

# The crates that are fit to be published: the verifier and the engine.
.PHONY: semver
semver: need ## What breaks for users of the Rust crates since another commit? (BASELINE=v1.0.0)
	@[ -n "$(BASELINE)" ] || { echo "make semver: name the commit to compare with, such as make semver BASELINE=v1.0.0" >&2; exit 1; }
	@[ "$$($(TOOLS)/bin/cargo-semver-checks semver-checks --version 2>/dev/null)" = "cargo-semver-checks $(CARGO_SEMVER_CHECKS)" ] \
		|| CARGO_PROFILE_RELEASE_LTO=false $(CARGO) install cargo-semver-checks --version $(CARGO_SEMVER_CHECKS) --locked --quiet --root $(TOOLS)
	@PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(CARGO) semver-checks --package gatehouse-sns --package data-protection --baseline-rev '$(BASELINE)'

# Configuration: .cargo/mutants.toml, which says what is examined.
.PHONY: mutants
mutants: need ## Change the code that decides, piece by piece: which change does no test notice? (hours)
	@[ "$$($(TOOLS)/bin/cargo-mutants --version 2>/dev/null)" = "cargo-mutants $(CARGO_MUTANTS)" ] \
		|| CARGO_PROFILE_RELEASE_LTO=false $(CARGO) install cargo-mutants --version $(CARGO_MUTANTS) --locked --quiet --root $(TOOLS)
	@$(SAY) "Mutants of $(or $(CRATES),every crate that decides)"
	@PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(CARGO) mutants --output target $(foreach crate,$(CRATES),--package $(crate))

VENV_CDK := .venv-cdk
READY_CDK := $(VENV_CDK)/.ready

$(READY_CDK): local/locked-cdk.txt
	@$(NEEDS) python
	@$(SAY) "Installing aws-cdk-lib into $(VENV_CDK) (470 MB)"
	@$(venv) $(VENV_CDK)
	@$(call progress,Installing aws-cdk-lib) $(VENV_CDK)/$(PIP) -r local/locked-cdk.txt
	@touch $@

# Not part of `make test`: aws-cdk-lib is large and runs on Node.js. Without Node.js it says so in one line, and nothing fails.
.PHONY: check-cdk
check-cdk: ## Synthesise the CDK app of pipelines and check its templates
	@if command -v node >/dev/null; then $(MAKE) check-cdk-with-node; \
	else echo "skipped: make check-cdk needs Node.js, and this machine has none"; fi

.PHONY: check-cdk-with-node
check-cdk-with-node: $(READY) $(READY_CDK)
	@$(SAY) "The CDK app of pipelines"
	@GATEHOUSE_REQUIRE_CDK=1 $(PYTHON) -m pytest local/tests/test_pipelines_cdk.py -q

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

$(READY_REHEARSE): local/locked-rehearse.txt
	@$(find_python_3_13); \
	[ -n "$$python" ] || { echo "make rehearse needs Python 3.13 with venv, and this machine has none: install it (pyenv install 3.13; Debian 13: apt-get install python3.13-venv; macOS: brew install python@3.13), then run make rehearse again." >&2; exit 1; }; \
	$(SAY) "Installing LocalStack into $(VENV_REHEARSE) (the first time: three minutes, 500 MB)"; \
	"$$python" -m venv --clear $(VENV_REHEARSE)
	@$(VENV_REHEARSE)/$(PIP) -r local/locked-rehearse.txt
	@touch $@

# Not part of `make test`: it needs Python 3.13, and ten to twenty minutes.
.PHONY: rehearse
rehearse: $(if $(ARCHIVE),need-python,need) $(READY_REHEARSE) $(READY) $(if $(ARCHIVE),,binaries) ## A real `sam deploy` of every template, without AWS (STACKS=, ARCHIVE=)
	@$(SAY) "Rehearsal: sam deploy against LocalStack"
	@$(PYTHON) -m rehearse --bin-dir $(TARGET_DIR)/debug $(if $(ARCHIVE),--archive '$(ARCHIVE)') $(STACKS)

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
PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(call progress,Building the functions for Lambda) $(CARGO) lambda build --release $(1) $$bins
endef

# The processor of this machine, as SAM's templates and cargo-lambda name it.
HERE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)

.PHONY: lambda-binaries
lambda-binaries: need $(READY)
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

.PHONY: need-target
need-target: need
	@target=$$([ "$(ARCH)" = arm64 ] && echo aarch64 || echo x86_64)-unknown-linux-gnu; \
	[ -d "$$(rustc --print sysroot)/lib/rustlib/$$target" ] || { echo "Rust cannot build for $(ARCH) yet: run 'rustup target add $$target', then make again." >&2; exit 1; }

.PHONY: need-targets
need-targets: need
	@for processor in $(PROCESSORS); do $(MAKE_ITSELF) need-target ARCH=$$processor; done

.PHONY: build
build: need-target $(READY) ## Build the suite for Lambda with sam (ARCH=arm64, the default, or x86_64)
	@$(call build_binaries,$(call lambda_option,$(ARCH)))
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" sam build --parameter-overrides Architecture=$(ARCH)

# A release: see docs/releasing.md. DIST is the folder, and PROCESSORS are those to build for.
DIST ?= dist
PROCESSORS ?= arm64 x86_64
RELEASE := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PYTHON) -m release

.PHONY: release
release: need-targets $(READY) ## Make the files of a version in dist/ (VERSION=, PROCESSORS=, DIST=)
	@$(SAY) "Building a release in $(DIST) (the first time long: the AWS SDK, optimised, for each processor)"
	@$(RELEASE) make $(if $(VERSION),--version '$(patsubst v%,%,$(VERSION))') $(addprefix --processor ,$(PROCESSORS)) '$(DIST)'

# Cargo says which crates each binary links.
.PHONY: verify-release
verify-release: need $(READY) ## Check a release: sums, crates, processor, glibc (DIST=dist)
	@$(RELEASE) verify '$(DIST)'

# The workflow builds each processor on another machine.
.PHONY: join-release
join-release: need-python $(READY)
	@$(RELEASE) sums '$(DIST)'

.PHONY: snapshot
snapshot: need-python $(READY) ## Note names of parameters, settings and errors as those of the last release
	@$(RELEASE) snapshot

# The smallest function with AWS-LC, which is written in C and has flags of its own. It has no client of the SDK, so it takes minutes.
.PHONY: reproducible
reproducible: need $(READY) ## Build a small function in two folders: are the bytes equal? (minutes)
	@$(RELEASE) twice --processor $(HERE) expense-subscriber

# Both lines of Cargo.toml that name it, and each Cargo.lock. Nothing is downloaded, and no other crate changes.
.PHONY: version
version: ## Set the version of the next release (VERSION=)
	@$(NEEDS) rust
	@echo '$(VERSION)' | grep -Eqx 'v?[0-9]+\.[0-9]+\.[0-9]+' || { echo "make version: name the version, such as make version VERSION=0.2.0" >&2; exit 1; }
	@sed -E -e 's/^version = ".*"/version = "$(patsubst v%,%,$(VERSION))"/' \
		-e 's/^(gatehouse-sns = .*version = )"[^"]*"/\1"$(patsubst v%,%,$(VERSION))"/' Cargo.toml >Cargo.toml.new
	@mv Cargo.toml.new Cargo.toml
	@for manifest in Cargo.toml $(FUZZ); do \
		$(CARGO) update --quiet --workspace --offline --manifest-path "$$manifest"; \
	done

# Write about it ------------------------------------------------------------------------------

.PHONY: pictures
pictures: need-python $(READY_DEMO) ## Write the dashboards and draw the READMEs' pictures anew
	@$(PYTHON) -m gatehouse_local.pictures
	@$(PYTHON) -m template_checks.dashboards

.PHONY: costs
costs: need-python $(READY_DEMO) ## Compute what a small and a large estate cost a month
	@$(PYTHON) -m template_checks.costs

.PHONY: site
site: need $(READY_DEMO) ## The READMEs as a site, in target/site/html
	@[ "$$($(TOOLS)/bin/mdbook --version 2>/dev/null)" = "mdbook v$(MDBOOK)" ] \
		|| $(CARGO) install mdbook --version $(MDBOOK) --locked --quiet --no-default-features --features search --root $(TOOLS)
	@$(PYTHON) -m gatehouse_local.site target/site/src
	@$(TOOLS)/bin/mdbook build
	@echo "The site: target/site/html/index.html"

.PHONY: clean
clean: demo-clean ## Remove everything that any target made
	@$(call delete_build,$(TARGET_DIR))
	@rm -rf target dist $(VENV_CHECKOV) $(VENV_CDK) $(VENV_REHEARSE) .aws-sam .pytest_cache .ruff_cache local/.pytest_cache local/.ruff_cache
	@find local -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Removed all builds, packages and .aws-sam of this repository."
