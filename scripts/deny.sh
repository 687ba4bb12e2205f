#!/usr/bin/env bash
# Licences, sources, the direction of the crates, and known advisories.
#
# The advisory database is fetched from the network. Where it cannot be, a copy in ADVISORIES is used, or else
# that one check is left out, loudly. Everything else needs no network and always runs.
set -euo pipefail

cd "$(dirname "$0")/.."

scripts/say.sh "dependencies: licences, sources, bans"
cargo deny --workspace --all-features check --hide-inclusion-graph licenses bans sources

scripts/say.sh "dependencies: advisories"
databases="${CARGO_HOME:-$HOME/.cargo}/advisory-dbs"
if [[ -n "${ADVISORIES:-}" ]]; then
    echo "from the copy in $ADVISORIES" >&2
    mkdir -p "$databases"
    cp -a "$ADVISORIES/." "$databases/"
    cargo deny --workspace --all-features --offline check advisories
elif timeout 120 cargo deny fetch db >&2; then
    cargo deny --workspace --all-features --offline check advisories
elif compgen -G "$databases/advisory-db-*/.git" >/dev/null; then
    echo "WARNING: the advisory database cannot be fetched; using the copy from an earlier run" >&2
    cargo deny --workspace --all-features --offline check advisories
else
    cat >&2 <<'WARNING'
*******************************************************************************
WARNING: ADVISORIES WERE NOT CHECKED. The advisory database cannot be fetched
from here and there is no copy of it. Run `make deny` where there is a network,
or name a copy of cargo-deny's `advisory-dbs` folder: make deny ADVISORIES=DIR
*******************************************************************************
WARNING
fi
