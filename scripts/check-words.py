#!/usr/bin/env python3
"""Keeps retired words out, names for which docs/glossary.md has another one; and no two crates have a public type of one name.

`scripts/retired-words.txt` has one a line: the name as it stood in code, and what is said instead. Names that are stored or public
stay where they are; the file says where.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "scripts" / "retired-words.txt"
TYPE = re.compile(r"^\s*pub (?:struct|enum|trait|type) (\w+)", re.M)
OF_TABLES = {"Model", "Relation", "Migration", "Entity"}
CODE = (".rs", ".py", ".sh", ".toml")


def retired() -> dict[str, tuple[str, set[str]]]:
    """Each retired name with what is said instead, and the files in which it stays."""
    words = {}
    for line in LIST.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, instead, *stays = (part.strip() for part in line.split("|"))
        words[name] = (instead, set(stays[0].split()) if stays else set())
    return words


def twice() -> list[str]:
    """Public types that two crates have by one name. The wire's names are those of the API's document."""
    crates: dict[str, set[str]] = {}
    for file in sorted(ROOT.glob("crates/*/src/**/*.rs")):
        crate = file.relative_to(ROOT).parts[1]
        for name in TYPE.findall(file.read_text().split("#[cfg(test)]\nmod ")[0]):
            crates.setdefault(name, set()).add(crate)
    return [
        f"{name} is a type of {' and '.join(sorted(of))}: say of what it is, in one of them (docs/glossary.md)"
        for name, of in sorted(crates.items())
        if len(of) > 1 and name not in OF_TABLES
    ]


def main() -> int:
    words = retired()
    pattern = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, words)) + r")(?!\w)")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    wrong = 0
    for name in files.stdout.split():
        file = ROOT / name
        if not name.endswith(CODE) or name.startswith("scripts/check-words") or not file.is_file():
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            for found in pattern.findall(line.split("//")[0]):
                instead, stays = words[found]
                if name not in stays:
                    print(f"{name}:{number}: {found} is retired, say {instead} (docs/glossary.md)", file=sys.stderr)
                    wrong += 1
    for said in twice():
        print(said, file=sys.stderr)
        wrong += 1
    print(f"words: {wrong} to mend" if wrong else f"words: none of {len(words)} retired ones is used")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
