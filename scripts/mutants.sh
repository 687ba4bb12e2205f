#!/usr/bin/env bash
# Breaks one thing after another in what decides, and sees whether a test notices. Takes an hour or two on two cores.
#
# Afterwards target/mutants/*/mutants.out has the lists. Whatever survived and docs/mutants.md does not name is an
# error, and so are more survivors than one in twenty.
set -euo pipefail

cd "$(dirname "$0")/.."

out=target/mutants
mkdir -p "$out"
core=crates/claviger/src
gateway=crates/claviger-server/src/gateway

scripts/say.sh "the core: authenticate, authorize, limit, routes, targets, signed tokens, key sets"
# Ends with 2 where something survived and with 3 where something hung, which is counted below.
cargo mutants --package claviger --output "$out/core" --timeout 60 --no-shuffle --colors never \
    --file "$core/authenticate/**" --file "$core/authorize/**" --file "$core/limit/**" \
    --file "$core/route.rs" --file "$core/target.rs" --file "$core/jws.rs" --file "$core/key_set.rs" \
    --cargo-test-arg=--lib --cargo-test-arg=--tests || [[ $? -le 3 ]]

scripts/say.sh "the guard of an exchange"
cargo mutants --package claviger-server --output "$out/guard" --timeout 300 --no-shuffle --colors never \
    --file "$gateway/passage.rs" --file "$gateway/standing.rs" --file "$gateway/refused.rs" \
    --cargo-test-arg=--lib --cargo-test-arg=--test=it --cargo-test-arg=--test=wire || [[ $? -le 3 ]]

scripts/survivors.py "$out"/*/mutants.out
