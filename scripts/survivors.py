#!/usr/bin/env python3
"""Counts what survived `cargo mutants`, and compares it with what docs/mutants.md gives a reason for.

    scripts/survivors.py OUTPUT...      each a folder `mutants.out`
"""

import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
# A survivor is named without its place: lines move, and a reason outlives them.
place = re.compile(r":\d+:\d+: ")
reasons = [line.replace("\\|", "|") for line in re.findall(r"^\| `(crates/[^`]+)` \|", (root / "docs/mutants.md").read_text(), re.M)]


def lines(folders, name):
    files = (pathlib.Path(folder) / f"{name}.txt" for folder in folders)
    return [line for file in files for line in file.read_text().splitlines() if line]


folders = sys.argv[1:]
if not folders:
    sys.exit(__doc__)
missed, caught, hung, unviable = (lines(folders, name) for name in ("missed", "caught", "timeout", "unviable"))
# One that never ends is noticed by whoever waits for it: the test run that it hangs does not pass.
noticed = len(caught) + len(hung)
share = len(missed) / max(1, len(missed) + noticed)
print(f"{noticed} noticed ({len(hung)} by never ending), {len(missed)} survived ({share:.1%}), {len(unviable)} do not compile")
unexplained = sorted({place.sub(": ", line) for line in missed} - set(reasons))
for line in unexplained:
    print(f"error: survived, and docs/mutants.md does not say why: {line}", file=sys.stderr)
if share > 0.05:
    print("error: more than one in twenty survived", file=sys.stderr)
sys.exit(bool(unexplained) or share > 0.05)
