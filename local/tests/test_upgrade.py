"""Whoever goes from the last release to the next one loses nothing without being told what to do instead."""

import copy
import json
import re

import pytest

from gatehouse_local import ROOT
from release import snapshot

CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
LAST = snapshot.read()
NOW = snapshot.of(ROOT)


def test_what_the_last_release_had_is_there_or_the_changelog_says_what_to_do():
    assert snapshot.breaks(LAST, NOW, CHANGELOG) == []


def test_an_existing_stack_can_be_updated():
    assert snapshot.without_default(LAST, ROOT) == []


def test_the_snapshot_has_each_kind_of_name():
    assert {place for place in LAST if place.endswith(".yaml")} and {place for place in LAST if "." not in place}
    for kind in ("parameters", "values", "outputs", "settings", "errorTypes", "metrics"):
        assert any(kinds.get(kind) for kinds in LAST.values()), kind
    assert snapshot.SNAPSHOT.read_text() == json.dumps(LAST, indent=1, sort_keys=True) + "\n", "written by hand?"


def test_the_way_to_a_newer_release_stops_no_function():
    """A dry run is a stack that does nothing, and a relay that answers 200 to what it drops."""
    page = (ROOT / "docs" / "upgrading.md").read_text()
    given = set(re.findall(r"(\w+)=", " ".join(re.findall(r"--parameter-overrides ([^`\n]+)", page))))
    deployed = {place: kinds for place, kinds in NOW.items() if place.endswith("template.yaml")}
    assert given and "DryRun" not in given
    assert all(given <= set(kinds["parameters"]) for kinds in deployed.values())


@pytest.mark.parametrize("output", ["DryRunCommand", "IpRangesDryRunCommand"])
def test_the_way_to_a_newer_release_says_which_stack_has_an_output(output):
    [place] = [place for place, kinds in NOW.items() if output in kinds.get("outputs", ())]
    [line] = [it for it in (ROOT / "docs" / "upgrading.md").read_text().splitlines() if f"`{output}`" in it]
    assert {"functions/ip-ranges/template.yaml": "ip-ranges", "template.yaml": "the suite"}[place] in line


def _unreleased(removed: str) -> str:
    return f"# Changelog\n\n## [Unreleased]\n\n### Added\n\n- `Ports`, `NoRanges`\n{removed}\n## [0.1.0]\n"


def _first(kind: str) -> tuple[str, str]:
    return next((place, kinds[kind][0]) for place, kinds in sorted(NOW.items()) if kinds.get(kind))


@pytest.mark.parametrize("kind", ["parameters", "values", "outputs", "settings", "errorTypes", "metrics"])
def test_what_is_gone_is_named_until_the_changelog_explains_it(kind):
    place, name = _first(kind)
    now = copy.deepcopy(NOW)
    now[place][kind].remove(name)
    [said] = snapshot.breaks(NOW, now, _unreleased(""))
    assert said.startswith(f"{place}: {name} ({kind}) was in the last release and is gone: ")
    owner = snapshot.owner_of(place)
    assert f"CHANGELOG.md, [Unreleased], ### Removed, a line that names `{owner}` and `{name}`" in said
    # A line that adds it, or that says so of an earlier release, explains nothing.
    added = _unreleased("").replace("`Ports`", f"`{name}`")
    assert snapshot.breaks(NOW, now, added) and snapshot.breaks(NOW, now, added + f"\n### Removed\n\n- `{name}`\n")
    assert (
        snapshot.breaks(NOW, now, _unreleased(f"\n### Removed\n\n- `{owner}`: `{name}`: set `Other` instead.\n")) == []
    )
    for unclear in (
        f"`{name}`: set it no more",
        f"`other`: `{name}` is gone",
        f"`{owner}`: `{name}`.",
        f"`{owner}`\n- `{name}` is gone",
    ):
        assert snapshot.breaks(NOW, now, _unreleased(f"\n### Removed\n\n- {unclear}\n")) == [said], unclear


def test_a_renamed_one_is_gone_and_a_new_one_is_not():
    place, name = _first("parameters")
    now = copy.deepcopy(NOW)
    now[place]["parameters"].remove(name)
    now[place]["parameters"].append(f"{name}Arn")
    [said] = snapshot.breaks(NOW, now, _unreleased(""))
    assert name in said
    more = copy.deepcopy(NOW) | {"new-function": {"settings": ["PORTS"]}}
    more[place]["parameters"].append("Another")
    assert snapshot.breaks(NOW, more, _unreleased("")) == []


def test_a_parameter_that_is_gone_takes_its_values_with_it():
    place, value = _first("values")
    name = value.partition("=")[0]
    now = copy.deepcopy(NOW)
    now[place]["parameters"].remove(name)
    now[place]["values"] = [it for it in now[place]["values"] if not it.startswith(f"{name}=")]
    assert len(snapshot.breaks(NOW, now, _unreleased(""))) == 1


@pytest.mark.parametrize("place", ["template.yaml", "ami-share"])
def test_a_template_or_a_function_that_is_gone_is_named(place):
    now = {other: kinds for other, kinds in NOW.items() if other != place}
    [said] = snapshot.breaks(NOW, now, _unreleased(""))
    assert said.startswith(f"{place}: {place} (it) was in the last release")


def test_a_new_parameter_needs_a_default(tmp_path):
    (tmp_path / "template.yaml").write_text("Parameters: {Old: {Type: String}, New: {Type: String}}\nResources: {}\n")
    last = {"template.yaml": {"parameters": ["Old"]}, "ami-share": {"settings": []}}
    [said] = snapshot.without_default(last, tmp_path)
    assert said.startswith("template.yaml: the parameter New is new and has no Default")
