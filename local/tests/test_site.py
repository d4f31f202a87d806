"""Every link in every Markdown file leads somewhere, here and in the site that is made of them."""

import re
from pathlib import Path

import pytest

from gatehouse_local import ROOT, site

FOR_GITHUB = sorted((ROOT / ".github").rglob("*.md"))
PAGES = [*site.pages(), *FOR_GITHUB]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def links(text: str) -> list[str]:
    """The targets of the links to files and headings, as Markdown and as HTML."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    references = re.findall(r"^\[[^\]]+\]: +(\S+)", outside, re.MULTILINE)
    tags = re.findall(r"<(?:img|a|source)\b[^>]*?(?:src|href|srcset)=\"([^\"]+)\"", outside)
    return [link for link in [*(it[1] for it in site.LINK.findall(outside)), *references, *tags] if ":" not in link]


def anchors(text: str) -> set[str]:
    """The anchors of a page, as GitHub makes them: the second heading of one name ends in -1."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", outside))
    for title in re.findall(r"^#+ (.+)$", outside, re.MULTILINE):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        anchor = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        numbered = (f"{anchor}-{number}" for number in range(1, 100))
        found.add(next(it for it in (anchor, *numbered) if it not in found))
    return found


def broken(page: Path, text: str) -> list[str]:
    """The links of a text that lead nowhere."""
    found = []
    for link in links(text):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists():
            found.append(f"{link}: there is no such file")
        elif anchor and (target.suffix != ".md" or anchor not in anchors(target.read_text())):
            found.append(f"{link}: {target.name} has no such heading")
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page):
    assert broken(page, page.read_text()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](no.md)", ["no.md: there is no such file"]),
        ("![a](no.png)", ["no.png: there is no such file"]),
        ('<img src="no.svg">', ["no.svg: there is no such file"]),
        ("[a]: no.md", ["no.md: there is no such file"]),
        ("[a](#no)", ["#no: page.md has no such heading"]),
        ("[a](other.md#no)", ["other.md#no: other.md has no such heading"]),
        ("[a](other.md#two-words-1), [b](other.md#two-words)", []),
        ("[a](other.md#two-words-2)", ["other.md#two-words-2: other.md has no such heading"]),
        ("[a](other.md#in-code)", ["other.md#in-code: other.md has no such heading"]),
        ("[`a[0]`](no.md)", ["no.md: there is no such file"]),
        ("[a](https://example.com/no.md) [b](mailto:a@example.com)", []),
        ("```\n[a](no.md)\n```\n", []),
    ],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path, text, found):
    (tmp_path / "other.md").write_text("# Two words\n\n## Two `words`!\n\n```sh\n# In code\n```\n")
    page = tmp_path / "page.md"
    page.write_text(text)
    assert broken(page, page.read_text()) == found


def test_all_pages_are_read():
    assert len(PAGES) >= 15
    assert sum(len(links(page.read_text())) for page in PAGES) > 60
    assert {ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "shared/sns/README.md"} <= set(PAGES)


def test_the_site_has_every_page_once_and_no_broken_link(tmp_path):
    made = tmp_path / "src"
    site.write(made)
    listed = re.findall(r"\]\(([^)]+)\)", (made / "SUMMARY.md").read_text())
    assert len(set(listed)) == len(listed) == len(site.pages())
    written = {path.relative_to(made).as_posix() for path in made.rglob("*.md")} - {"SUMMARY.md"}
    assert written == set(listed)
    for path in made.rglob("*.md"):
        assert broken(path, path.read_text()) == [], path
    # No link leaves the site: what is linked to is there.
    assert not any("README.md" in link for path in made.rglob("*.md") for link in links(path.read_text()))


def test_a_page_that_no_heading_has_is_named(tmp_path):
    (tmp_path / "README.md").write_text("# Suite\n")
    (tmp_path / "OTHER.md").write_text("# Other\n")
    with pytest.raises(ValueError, match=r"OTHER\.md: add it to CONTENTS"):
        site.summary(tmp_path)


def test_links_of_a_page_become_links_of_the_site(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "src").mkdir()
    (tmp_path / "README.md").write_text("# Suite\n")
    (tmp_path / "a" / "template.yaml").write_text("")
    page = tmp_path / "a" / "README.md"
    page.write_text(
        "[s](../README.md#suite) [t](template.yaml) [code](src) [x](https://e.com/README.md)\n```\n[s](src)\n```\n"
    )
    files = set()
    assert site.with_links(page, tmp_path, files) == (
        "[s](../index.md#suite) [t](template.yaml) code [x](https://e.com/README.md)\n```\n[s](src)\n```\n"
    )
    assert files == {tmp_path / "a" / "template.yaml"}
