"""The pages of the site: every Markdown file of the repository, and a table of contents of them.

    python -m gatehouse_local.site target/site/src

writes the source of a book for mdBook (`book.toml`, `make site`). The READMEs stay the one place where things are
written; a page differs from its file only in links, which lead to what the site has.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from gatehouse_local import ROOT

# Headings of the contents, and which files come below each, in this order.
CONTENTS = (
    ("Capabilities", "functions/*/README.md"),
    ("Using it", "SUPPORT.md SECURITY.md CHANGELOG.md docs/*.md functions/*/*.md"),
    ("Working on it", "CONTRIBUTING.md CODE_OF_CONDUCT.md shared/**/*.md local/**/*.md functions/**/*.md"),
)
LEFT_OUT = ("target", "node_modules", "corpus")
LINK = re.compile(r"(!?\[(?:[^\]\[]|\[[^\]]*\])*\])\(([^)\s:]+)\)")


def pages(root: Path = ROOT) -> list[Path]:
    """Every Markdown file of the repository that people read; those of hidden folders are for GitHub."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in LEFT_OUT)
        found += [Path(folder) / name for name in sorted(files) if name.endswith(".md")]
    return found


def title(page: Path) -> str:
    """Its first heading."""
    found = re.search(r"^# (.+)$", page.read_text(), re.MULTILINE)
    return found[1].replace("`", "") if found else page.stem


def place(page: Path, root: Path) -> Path:
    """Where a page is in the site: a folder's README is what its address shows."""
    relative = page.relative_to(root)
    return relative.with_name("index.md") if relative.name == "README.md" else relative


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """The text with everything changed that is not a block of code."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else change(part) for part in parts)


def with_links(page: Path, root: Path, files: set[Path]) -> str:
    """The text of a page, whose links lead to pages of the site or to files that are copied beside them (`files`)."""
    known = set(pages(root))

    def link(match: re.Match[str]) -> str:
        text, (path, hash_sign, anchor) = match[1], match[2].partition("#")
        if not path:
            return match[0]
        target = (page.parent / path).resolve()
        if target.is_dir() and target / "README.md" in known:
            target /= "README.md"
        if target in known:
            to = place(target, root)
        elif target.is_file():
            files.add(target)
            to = target.relative_to(root)
        else:  # a folder of sources: the site has none
            return text.removeprefix("[").removesuffix("]")
        here = place(page, root).parent
        return f"{text}({Path(os.path.relpath(to, here)).as_posix()}{hash_sign}{anchor})"

    return outside_code(page.read_text(), lambda part: LINK.sub(link, part))


def summary(root: Path = ROOT) -> str:
    """mdBook's SUMMARY.md: each page once."""
    left = pages(root)
    left.remove(root / "README.md")
    lines = ["# Summary", "", "[Gatehouse](index.md)"]
    for heading, patterns in CONTENTS:
        matched = [path for pattern in patterns.split() for path in sorted(root.glob(pattern)) if path in left]
        below = list(dict.fromkeys(matched))
        left = [path for path in left if path not in below]
        if below:
            lines += ["", f"# {heading}", ""]
        lines += [f"- [{title(page)}]({place(page, root).as_posix()})" for page in below]
    if left:
        raise ValueError(f"no heading of the contents has {left[0].relative_to(root)}: add it to CONTENTS in site.py")
    return "\n".join(lines) + "\n"


def write(to: Path, root: Path = ROOT) -> None:
    """The whole source of the book."""
    shutil.rmtree(to, ignore_errors=True)
    files: set[Path] = set()
    made = {place(page, root): with_links(page, root, files) for page in pages(root)}
    for path, text in {**made, Path("SUMMARY.md"): summary(root)}.items():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        (to / path).write_text(text)
    for file in files:
        copy = to / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
