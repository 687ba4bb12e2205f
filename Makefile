# One command each. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-store-faults check fmt clippy doc deny circles words fuzz mutants bench bench-store update bare

# Options for `claviger demo`: make run DEMO='--port-base 9000 --data /somewhere'
DEMO ?=
# Where `make bare` has its systems: make bare BARE=/somewhere
BARE ?= target/bare

help: ## List these commands
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 28

run: ## Build Claviger and run the demonstration of the three example systems
	@scripts/need.sh run
	@scripts/say.sh "building the release program (some minutes the first time, seconds after that)"
	@cargo build --release -p claviger-server --bin claviger
	@scripts/say.sh "starting the demonstration; its data is in data/demo unless DEMO says otherwise"
	@# By cargo, which knows where it has put the program; it becomes the program, so that signals reach that.
	@exec cargo run --quiet --release -p claviger-server --bin claviger -- demo $(DEMO)

test: ## Run every test, after installing what they need
	@scripts/need.sh test
	@scripts/say.sh "building and running all tests, on SQLite and on PostgreSQL"
	@cargo test --workspace --no-fail-fast

test-store-faults: ## Withdraw a thousand credentials in each fault of PostgreSQL (some minutes; `make test` does a part)
	@scripts/need.sh test
	@scripts/say.sh "two servers before a real PostgreSQL, and everything that can go wrong between them"
	@FAULTS=whole cargo test -p claviger-server --test program store_faults -- --nocapture

check: fmt clippy doc deny circles words ## Check form, lints, documentation, dependencies and words

fmt:
	@scripts/say.sh "form: cargo fmt"
	@cargo fmt --all --check

clippy:
	@scripts/need.sh run
	@scripts/say.sh "lints: cargo clippy"
	@cargo clippy --workspace --all-targets -- -D warnings

doc:
	@scripts/say.sh "documentation: cargo doc"
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --lib --quiet

deny: ## Check licences, sources, advisories and the direction of the crates
	@scripts/need.sh deny
	@scripts/deny.sh

circles:
	@scripts/say.sh "the house: no two files that need each other"
	@scripts/circles.py crates/claviger/src crates/claviger-store/src crates/claviger-server/src

words:
	@scripts/say.sh "words: nothing of one machine in the files"
	@scripts/words.sh

fuzz: ## Look for inputs that break what the fuzz targets claim, a minute each
	@scripts/need.sh fuzz
	@scripts/fuzz.sh

mutants: ## Break what decides, one thing after another, and see whether a test notices (an hour or two)
	@scripts/need.sh mutants
	@scripts/mutants.sh

bench: ## Compare the gateway with nginx and HAProxy, and write docs/benchmarks.md
	@scripts/need.sh bench
	@scripts/say.sh "building the release programs"
	@cargo build --release -p claviger-server -p claviger-bench
	@cargo build --release -p claviger-server --example hash_measure
	@cargo build --release -p claviger-store --example refresh_measure
	@scripts/say.sh "measuring; this takes some minutes, and wants a quiet machine"
	@"$${CARGO_TARGET_DIR:-target}/release/claviger-bench"

bench-store: ## Measure a store of a million keys on PostgreSQL, and write docs/benchmarks-store.md
	@scripts/need.sh test
	@cargo run --release -p claviger-store --example store_measure
	@cargo run --release -p claviger-store --example memory_measure -- 1000000 --write

bare: ## `make run` on a bare Debian 12 and 13, and `make test` on 12, as root (an hour or two)
	@scripts/bare.sh 12 need $(BARE)
	@scripts/bare.sh 12 run $(BARE)
	@scripts/bare.sh 13 run $(BARE)
	@scripts/bare.sh 12 test $(BARE)

update: ## Write the files that tests compare anew: docs/reference/, the schema, the manifest of walls
	@scripts/need.sh run
	@UPDATE=1 cargo test -p claviger-store --lib noun::compared
	@UPDATE=1 cargo test -p claviger-store --test it store_04_the_walls
	@UPDATE=1 cargo test -p claviger-server --test reference
	@git --no-pager diff --stat -- docs/reference crates/claviger-store/migrations crates/claviger-store/schema
