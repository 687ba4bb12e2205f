#!/usr/bin/env bash
# No committed file names a place on one machine, or the host of a package registry: it would be wrong on every
# other machine, and a lock file that names a registry's host is a lock file for one network.
set -euo pipefail

cd "$(dirname "$0")/.."

# Written so that this file does not match itself.
s='/'
places="(^|[^A-Za-z0-9_.}~-])${s}(work|root|home)${s}|${s}tmp${s}[A-Za-z0-9]"
hosts='arti[f]actory|registry\.npmjs\.org|files\.pythonhosted\.org|static\.crates\.io|index\.crates\.io'

found=0
files=$(git ls-files --cached --others --exclude-standard -- . ':!LICENSE')
# `Cargo.lock` names crates.io by its one well-known address.
if grep -nEI "$places|$hosts" $files; then
    echo "error: these lines name a place on one machine, or a registry's host" >&2
    found=1
fi
if grep -nE '^source = ' Cargo.lock | grep -v '"registry+https://github.com/rust-lang/crates.io-index"'; then
    echo "error: Cargo.lock has sources other than crates.io" >&2
    found=1
fi
exit "$found"
