#!/usr/bin/env bash
# Shows what is being done.
set -euo pipefail
printf '\n== %s\n' "$*" >&2
