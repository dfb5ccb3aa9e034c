#!/usr/bin/env python3
"""Sees that files of a crate import each other in one direction only, but for the rings that ARCHITECTURE.md names.

A ring is a set of files each of which reaches each other by its `use` lines and paths. What stands under `#[cfg(test)]` at the
end of a file is left out.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAP = ROOT / "ARCHITECTURE.md"
USE = re.compile(r"^\s*(?:pub(?:\([^)]*\))? )?use ([^;]+);", re.M)
PATH = re.compile(r"\b((?:crate|super|self)(?:::\w+)+)")
COMMENT = re.compile(r"^\s*//.*$", re.M)

Module = tuple[str, ...]


def paths_of(tree: str) -> list[str]:
    """The paths that a `use` tree names: `a::{b, c::d}` gives `a::b` and `a::c::d`."""
    head, brace, rest = tree.partition("{")
    if not brace:
        return [head.split(" as ")[0].strip()]
    paths, depth, part = [], 0, ""
    for letter in rest[: rest.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            paths += [head + path for path in paths_of(part.strip()) if path]
            part = ""
        else:
            part += letter
    return paths


def module_of(file: pathlib.Path, source: pathlib.Path) -> Module:
    parts = file.relative_to(source).with_suffix("").parts
    if parts[-1] in ("mod", "lib"):
        parts = parts[:-1]
    return parts


def absolute(path: str, module: Module) -> Module | None:
    first, *rest = path.split("::")
    if first == "crate":
        return tuple(rest)
    base = list(module)
    if first == "self":
        return (*base, *rest)
    if first != "super":
        return None
    while first == "super" and base:
        base.pop()
        first, *rest = rest or [""]
    return (*base, first, *rest)


def imports(source: pathlib.Path) -> dict[Module, set[Module]]:
    """Which files of a crate each of its files names."""
    modules = {module_of(file, source): file for file in source.rglob("*.rs")}
    named: dict[Module, set[Module]] = {module: set() for module in modules}
    for module, file in modules.items():
        text = COMMENT.sub("", file.read_text()).split("#[cfg(test)]\nmod ")[0]
        found = [path for tree in USE.findall(text) for path in paths_of(" ".join(tree.split()))]
        for path in found + PATH.findall(text):
            target = absolute(path, module)
            while target and target not in modules:
                target = target[:-1]
            if target and target != module:
                named[module].add(target)
    return named


def rings(named: dict[Module, set[Module]]) -> list[list[Module]]:
    """The strongly connected parts of more than one file."""
    reach: dict[Module, set[Module]] = {}
    for start in named:
        seen, todo = set(), [start]
        while todo:
            for target in named[todo.pop()] - seen:
                seen.add(target)
                todo.append(target)
        reach[start] = seen
    found = {
        frozenset(other for other in reach[start] if start in reach[other])
        for start in named
        if start in reach[start]
    }
    return sorted(sorted(ring) for ring in found)


def allowed() -> set[str]:
    """The rings that the map names, each as a line that begins with `- ring: `."""
    return {
        line.removeprefix("- ring: ").split(" — ")[0].strip()
        for line in MAP.read_text().splitlines()
        if line.startswith("- ring: ")
    }


def main() -> int:
    known, found = allowed(), set()
    for source in sorted(ROOT.glob("crates/*/src")):
        for ring in rings(imports(source)):
            names = ", ".join(f"`{'::'.join(module)}`" for module in ring)
            found.add(f"`{source.parent.name}`: {names}")
    for ring in sorted(found - known):
        print(f"these files import each other: {ring}. Cut the ring, or name it in {MAP.name}", file=sys.stderr)
    for ring in sorted(known - found):
        print(f"{MAP.name} names a ring that is not there any more: {ring}", file=sys.stderr)
    if found == known:
        print(f"file rings: {len(found)}, as named")
    return 0 if found == known else 1


if __name__ == "__main__":
    sys.exit(main())
