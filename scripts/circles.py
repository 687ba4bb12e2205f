#!/usr/bin/env python3
"""Says which files of a crate import each other in a circle, and fails if there are any.

    scripts/circles.py crates/claviger/src ...

A file that can be read with those that it names, and with nothing that names it, is understood from the ground floor up.
The crate's root and its tests do not count: they name everything.

ARCHITECTURE.md draws the crate that has the most rooms: a line `room = module, …` for each room, ground floor first, and
`room <- room, …` for the rooms that may look into it. A module that stands in no room, and an arrow that is not drawn, fail.
"""

import os
import re
import sys


def modules(root):
    found = {}
    for folder, _, files in os.walk(root):
        for file in files:
            if file.endswith(".rs"):
                path = os.path.join(folder, file)
                parts = os.path.relpath(path, root)[:-3].split(os.sep)
                found["::".join(parts[:-1] if parts[-1] == "mod" else parts)] = path
    skipped = lambda name: name in ("lib", "main") or name.startswith("testing") or "tests" in name.split("::")
    return {name: path for name, path in found.items() if not skipped(name)}


def flattened(tree, prefix=""):
    """`a::{b, c::d}` as `a::b` and `a::c::d`."""
    tree = tree.strip()
    braced = re.match(r"^([\w:]*)\{(.*)\}$", tree, re.S)
    if not braced:
        yield (prefix + tree.split(" as ")[0]).strip()
        return
    depth, start, inner = 0, 0, braced.group(2) + ","
    for at, letter in enumerate(inner):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            if inner[start:at].strip():
                yield from flattened(inner[start:at], prefix + braced.group(1))
            start = at + 1


def named(text):
    text = re.sub(r"//.*", "", text)
    text = re.sub(r"#\[cfg\(test\)\]\s*mod \w+ \{.*", "", text, flags=re.S)
    for used in re.finditer(r"\buse\s+((?:crate|super|self)[^;]*);", text):
        yield from flattened(used.group(1))
    for used in re.finditer(r"\b((?:crate|super)(?:::\w+)+)", text):
        yield used.group(1)


def edges(files):
    for name, path in files.items():
        with open(path, encoding="utf-8") as file:
            text = file.read()
        targets = set()
        for reference in named(text):
            first, *rest = [part.strip() for part in reference.split("::")]
            base = [] if first == "crate" else name.split("::")
            if first == "super":
                base = base[:-1]
                while rest and rest[0] == "super":
                    base, rest = base[:-1], rest[1:]
            whole = base + rest
            while whole and "::".join(whole) not in files:
                whole = whole[:-1]
            if whole and "::".join(whole) != name:
                targets.add("::".join(whole))
        yield name, targets


def circles(graph):
    """Groups that reach each other (Tarjan 1972)."""
    order, low, stack, found = {}, {}, [], []

    def visit(node):
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            group = stack[stack.index(node):]
            del stack[stack.index(node):]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


def drawn(path):
    """The rooms and arrows of a drawing: where each module is, and which rooms each room may look into."""
    with open(path, encoding="utf-8") as file:
        block = re.search(r"<!-- rooms of (\S+) -->\n+```text\n(.*?)```", file.read(), re.S)
    if not block:
        sys.exit(f"error: `{path}` draws no rooms")
    room_of, seen_by = {}, {}
    for line in filter(None, map(str.strip, block.group(2).splitlines())):
        if "<-" in line:
            room, others = line.split("<-")
            for other in others.split(","):
                seen_by.setdefault(other.strip(), set()).add(room.strip())
        else:
            room, names = line.split("=")
            room_of.update({name.strip(): room.strip() for name in names.split(",")})
    return block.group(1), room_of, seen_by


def off_the_drawing(path):
    root, room_of, sees = drawn(path)
    graph = {}
    for name, targets in edges(modules(root)):
        graph.setdefault(name.split("::")[0], set()).update(target.split("::")[0] for target in targets)
    for name in sorted(set(graph) - set(room_of)):
        yield f"`{name}` of `{root}` stands in no room of `{path}`"
    for name in sorted(set(room_of) - set(graph)):
        yield f"`{path}` draws `{name}`, which `{root}` does not have"
    drawn_and_there = set()
    for name, targets in sorted(graph.items()):
        for target in sorted(targets & set(room_of)):
            here, there = room_of.get(name), room_of[target]
            if here in (None, there):
                continue
            drawn_and_there.add((here, there))
            if there not in sees.get(here, ()):
                yield f"`{name}` ({here}) looks into `{target}` ({there}), and `{path}` draws no such arrow"
    for here, rooms in sorted(sees.items()):
        for there in sorted(rooms):
            if (here, there) not in drawn_and_there:
                yield f"`{path}` draws {there} <- {here}, and nobody there looks"


def main(roots):
    failed = False
    for root in roots:
        files = modules(root)
        if not files:
            sys.exit(f"error: there is no module in `{root}`")
        graph = dict(edges(files))
        for group in circles(graph):
            failed = True
            print(f"error: files of `{root}` import each other in a circle:", file=sys.stderr)
            for name in group:
                print(f"    {name} -> {', '.join(sorted(graph[name] & set(group)))}", file=sys.stderr)
    for complaint in off_the_drawing("ARCHITECTURE.md"):
        failed = True
        print(f"error: {complaint}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)
    main(sys.argv[1:])
