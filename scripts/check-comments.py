#!/usr/bin/env python3
"""Sees that doc comments say something, and that what is public says what it is.

A comment of three words or fewer on a field, a variant, a constant or a function of `self` alone repeats its name: leave it out,
unless it has a unit or another name in it. Public types, traits and all other public functions have one. The bodies of the API are left out: their comments are the texts of the
OpenAPI document; so are command lines, whose comments are `--help`.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOC = re.compile(r"^\s*///(.*)$")
ATTRIBUTE = re.compile(r"^\s*#\[")
TELLS = re.compile(r"`|\d|[%/]|\b(MiB|GiB|MB|GB|bytes?|seconds?|minutes?|ms|UTC|UUID|base64|RFC)\b")
PUBLIC = re.compile(r"^\s*pub (?:async |const |unsafe )*(fn|struct|enum|trait) (\w+)(.*)$")
GETTER = re.compile(r"^\((&(mut )?|mut )?self\)")
SHOWN = re.compile(r"derive\([^)]*\b(ToSchema|IntoParams|Parser|Args|Subcommand|ValueEnum)\b")
SHORTEST = 4
# Names that say what they are: rows and relations of tables, and the plain constructor.
KNOWN = {"Model", "Relation", "new"}


def sources() -> list[pathlib.Path]:
    return sorted(
        file
        for file in ROOT.glob("crates/*/src/**/*.rs")
        if file.parts[-3] != "wire" and "crates/wire/" not in str(file) and "tests" not in file.stem
    )


def shown_lines(lines: list[str]) -> set[int]:
    """The lines of items whose comments are texts for others."""
    shown: set[int] = set()
    for number, line in enumerate(lines):
        if SHOWN.search(line):
            end = next((n for n in range(number, len(lines)) if lines[n].startswith("}")), len(lines))
            begin = number
            while begin > 0 and (DOC.match(lines[begin - 1]) or lines[begin - 1].startswith("#[")):
                begin -= 1
            shown.update(range(begin, end + 1))
    return shown


def above_attributes(lines: list[str], number: int) -> int:
    """The line above an item and its attributes."""
    number -= 1
    while number >= 0:
        if lines[number].rstrip().endswith(("]", "]),")) and not DOC.match(lines[number]):
            while number > 0 and not ATTRIBUTE.match(lines[number]):
                number -= 1
        if not ATTRIBUTE.match(lines[number]):
            break
        number -= 1
    return number


def below_attributes(lines: list[str], number: int) -> int:
    """The line of the item that a comment is about."""
    number += 1
    while number < len(lines) and (DOC.match(lines[number]) or ATTRIBUTE.match(lines[number])):
        if ATTRIBUTE.match(lines[number]):
            while not lines[number].rstrip().endswith("]"):
                number += 1
        number += 1
    return number


def explains_itself(item: str) -> bool:
    """Whether an item may do without a comment."""
    public = PUBLIC.match(item)
    if public:
        kind, name, rest = public.groups()
        return name in KNOWN or (kind == "fn" and bool(GETTER.match(rest)))
    return not re.match(r"^\s*(async |unsafe )*(fn|struct|enum|trait|impl|macro_rules!)\b", item)


def short(lines: list[str], skipped: set[int]) -> list[tuple[int, str]]:
    found = []
    for number, line in enumerate(lines):
        said = DOC.match(line)
        alone = said and not (number and DOC.match(lines[number - 1])) and not DOC.match(lines[number + 1])
        if not alone or number in skipped or TELLS.search(said.group(1)):
            continue
        about = lines[min(below_attributes(lines, number), len(lines) - 1)]
        if len(said.group(1).split()) < SHORTEST and explains_itself(about):
            found.append((number, f"says nothing that the name does not: {said.group(1).strip()}"))
    return found


def undocumented(lines: list[str], skipped: set[int]) -> list[tuple[int, str]]:
    found = []
    for number, line in enumerate(lines):
        public = PUBLIC.match(line)
        if not public or number in skipped or explains_itself(line):
            continue
        above = above_attributes(lines, number)
        if above < 0 or not DOC.match(lines[above]):
            found.append((number, f"{public.group(2)} is public and has no comment"))
    return found


def main() -> int:
    wrong = 0
    for file in sources():
        text = file.read_text().split("#[cfg(test)]\nmod ")[0]
        lines = [*text.splitlines(), ""]
        skipped = shown_lines(lines)
        for number, why in sorted(short(lines, skipped) + undocumented(lines, skipped)):
            print(f"{file.relative_to(ROOT)}:{number + 1}: {why}", file=sys.stderr)
            wrong += 1
    print(f"comments: {wrong} say nothing or are not there" if wrong else "comments: all say something")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
