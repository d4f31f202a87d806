"""The pages of an archive: those of the repository that are of use without its sources, in the same folders.

A link to a file that the archive lacks becomes its text, so that none leads nowhere.
"""

import posixpath
import re
from collections.abc import Collection
from pathlib import Path

from gatehouse_local import site

PICTURES = (".svg", ".png")


def of(root: Path, chosen: list[str]) -> dict[str, bytes]:
    """The pages, pictures and examples for these capabilities, by their names in the archive; without templates."""
    paths = [*root.glob("*.md"), *root.glob("docs/*.md"), root / "LICENSE"]
    paths += [path for path in root.glob("docs/*") if path.suffix in PICTURES]
    for capability in chosen:
        folder = root / "functions" / capability
        paths += [path for path in folder.iterdir() if path.suffix in (".md", *PICTURES)]
        paths += folder.glob("*/README.md")
        # What is no crate is there to be copied, such as the app for CDK.
        examples = [it for it in folder.iterdir() if it.is_dir() and not (it / "Cargo.toml").exists()]
        paths += [path for it in examples for path in it.iterdir() if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def linked(files: dict[str, bytes]) -> dict[str, bytes]:
    """These files of an archive, and in its pages only the links that lead to one of them."""
    pages = {name for name in files if name.endswith(".md")}
    return files | {name: with_links(name, files[name].decode(), files.keys()).encode() for name in pages}


def with_links(page: str, text: str, there: Collection[str]) -> str:
    """The text of a page, in which a link to a file that is not `there` is its text alone."""

    def link(match: re.Match[str]) -> str:
        path = match[2].partition("#")[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        if not path or target in there:
            return match[0]
        return match[1].removeprefix("!").removeprefix("[").removesuffix("]")

    return site.outside_code(text, lambda part: site.LINK.sub(link, part))
