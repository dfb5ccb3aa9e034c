#!/usr/bin/env python3
"""Fails when a document names a file, a name in a file, or a page that is not there.

Three things are looked at, in the Markdown files of the root, docs/ and .github/:

- a path in backticks, `crates/core/src/plan.rs`, also without its first folder, `core/src/plan.rs`, must exist;
- names in parentheses right after it, `crates/core/src/plan.rs` (`Plan`, `Plan::volumes`), must be words of that file;
- a link, [text](page.md#heading), must lead to a file and, in Markdown, to a heading of it.

Generated pages and texts with placeholders (…, <…>, *, {…}) are passed over. Needs nothing but Python.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("crates", "client", "docs", "scripts", "testbed", "etc", "demo", "benches")
CRATES = {path.name for path in (ROOT / "crates").iterdir()}

PATH = re.compile(r"`([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+)`(?:\s+\(((?:`[^`]+`(?::?\s|,\s*|\s*))*`[^`]+`)\))?")
NAME = re.compile(r"`([^`]+)`")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ {0,3}```.*?^ {0,3}```", re.M | re.S)


def resolve(path: str) -> "pathlib.Path | None":
    """The file or folder that is meant; None where `path` is none of ours."""
    first = path.split("/", 1)[0]
    if first in FOLDERS:
        return ROOT / path
    if first in CRATES and path.split("/")[1] in ("src", "tests", "examples"):
        return ROOT / "crates" / path
    return None


def anchors(page: pathlib.Path) -> "set[str]":
    """The headings of a page as the links to them are written."""
    found = set()
    for line in FENCE.sub("", page.read_text()).splitlines():
        heading = re.match(r"#{1,6} +(.*)", line)
        if heading:
            text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1)).strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


def problems(page: pathlib.Path) -> "list[str]":
    text = FENCE.sub("", page.read_text())
    found = []
    for match in PATH.finditer(text):
        file = resolve(match.group(1).rstrip("/"))
        if file is None:
            continue
        if not file.exists():
            found.append(f"{match.group(1)}: there is no such file")
            continue
        words = NAME.findall(match.group(2) or "")
        body = file.read_text() if file.is_file() else ""
        for word in words:
            last = word.removesuffix("()").split("::")[-1]
            if re.fullmatch(r"\w+", last) and not re.search(rf"\b{last}\b", body):
                found.append(f"{match.group(1)}: has no {word}")
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, heading = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        if not file.exists():
            found.append(f"link to {link}: there is no such file")
        elif heading and file.suffix == ".md" and heading not in anchors(file):
            found.append(f"link to {link}: there is no such heading")
    return found


def main() -> int:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")]
    count = 0
    for page in sorted(pages):
        for problem in problems(page):
            print(f"{page.relative_to(ROOT)}: {problem}", file=sys.stderr)
            count += 1
    if not count:
        print(f"documents: {len(pages)} name nothing that is not there")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
