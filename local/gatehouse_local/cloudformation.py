"""Reads CloudFormation templates."""

import functools
from pathlib import Path
from typing import Any

import yaml

# The parser in C, where PyYAML was built with it: ten times as fast.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
    """YAML with CloudFormation's short forms: `!Ref Name` becomes `{"Ref": "Name"}`, `!Sub` becomes `Fn::Sub`."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    match node:
        case yaml.SequenceNode():
            value: Any = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
        case _:
            value = loader.construct_scalar(node)
            if suffix == "GetAtt":
                value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def load(path: Path) -> Any:
    """The template in a file; copy it before you change it."""
    return parse(path.read_text())


@functools.cache
def parse(text: str) -> Any:
    """YAML with short forms, such as a template or a buildspec. The same text is parsed once."""
    return yaml.load(text, Loader=_Loader)
