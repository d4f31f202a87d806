"""The modules of the local AWS can be read one after the other: none imports one that imports it."""

import ast
import graphlib

import gatehouse_local
from gatehouse_local import ROOT

MODULES = {path.stem: path for path in (ROOT / "local/gatehouse_local").glob("*.py") if path.stem != "__init__"}


def imported(source):
    """The modules of this package that a source imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(gatehouse_local.__name__):
            module = node.module.removeprefix(gatehouse_local.__name__).lstrip(".")
            found |= {module} if module else {alias.name for alias in node.names}
    return found & MODULES.keys()


def test_no_module_imports_one_that_imports_it():
    imports = {name: imported(path.read_text()) for name, path in MODULES.items()}
    assert {"ec2", "health", "codepipeline", "parts"} <= imports["aws"]
    order = list(graphlib.TopologicalSorter(imports).static_order())  # raises CycleError
    assert order.index("parts") < order.index("ec2") < order.index("aws")


def test_imports_for_type_checkers_count_too():
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from gatehouse_local.aws import LocalAws\n"
    assert imported(source) == {"aws"}
