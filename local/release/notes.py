"""The notes of a release: what CHANGELOG.md says of its version."""

import re


class NoNotes(ValueError):
    """CHANGELOG.md has no section for a version; the text says what to write."""


def section(changelog: str, version: str) -> str:
    """The section of this version; before a release, `Unreleased`. Raises NoNotes where that is missing or empty."""
    for name in (version, "Unreleased"):
        found = re.search(rf"^## \[{re.escape(name)}\][^\n]*\n(.*?)(?=^## |^\[[^\]]+\]: |\Z)", changelog, re.M | re.S)
        if found and found[1].strip():
            return found[1].strip() + "\n"
    raise NoNotes(
        f"CHANGELOG.md says nothing of {version}: add a section '## [{version}]', or lines in '## [Unreleased]'"
    )
