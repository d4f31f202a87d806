"""What belongs to a function besides its code, and whether it is there.

`missing` looks at a whole suite and says what to add. It takes the root of the suite, so that a test can show, on a
copy with a made-up function, that each part is asked for.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gatehouse_local import ROOT, cloudformation
from gatehouse_local.functions import BadTemplate, Function, binaries_of, capabilities, functions

from . import policy
from .sources import Crate
from .template import Deployed, references, with_every_resource


def missing(root: Path = ROOT) -> list[str]:
    """What the suite lacks, each with what to add; empty where nothing was forgotten."""
    try:
        found = functions(root)
    except BadTemplate as error:
        return [str(error)]
    of_suite = [
        *crates(root, found),
        *events_without_function(root, found),
        *names_in_shared_code(root, found),
        *nesting(root),
        *configuration(root),
    ]
    return of_suite + [said for function in found for said in of_function(root, function)]


def of_function(root: Path, function: Function) -> list[str]:
    """What one function lacks."""
    checks = (settings, rights, log_group, alarm, events, flow, readme, table_of_capabilities, changelog)
    return [said for check in checks for said in check(root, function)]


def parameter_of(setting: str) -> str:
    """MAX_RULES_PER_GROUP → MaxRulesPerGroup."""
    return "".join(word.capitalize() for word in setting.split("_"))


# The suite -----------------------------------------------------------------------------------------


def crates(root: Path, found: list[Function]) -> Iterator[str]:
    """Each crate with a binary is deployed as a function; one without `gatehouse-shared` is a command."""
    deployed = {function.crate for function in found}
    for manifest in sorted(root.glob("functions/*/*/Cargo.toml")):
        crate, binaries = manifest.parent.relative_to(root).as_posix(), binaries_of(manifest)
        if binaries and crate not in deployed and "gatehouse-shared" in manifest.read_text():
            capability, _, folder = crate.removeprefix("functions/").partition("/")
            yield (
                f"{crate} builds {', '.join(binaries)}, and no template deploys it: add an AWS::Serverless::Function "
                f"with CodeUri: {folder} to functions/{capability}/template.yaml"
            )


def events_without_function(root: Path, found: list[Function]) -> Iterator[str]:
    """Each sample event belongs to one function."""
    owned = {str(function): function.events(root) for function in found}
    for path in sorted(root.glob("events/*/*.json")):
        event, capability = path.relative_to(root).as_posix(), path.parent.name
        owners = [function for function, samples in owned.items() if path in samples]
        if len(owners) != 1:
            names = [function.event_names[-1] for function in found if function.capability == capability]
            yield (
                f"{event} is an event of {' and '.join(owners) or 'no function'}: start its name with that of its "
                f"function ({', '.join(f'{name}-' for name in names) or f'there is none in {capability}'})"
            )


def names_in_shared_code(root: Path, found: list[Function]) -> Iterator[str]:
    """Code that all functions use names none of them."""
    for path in sorted([*root.glob("shared/src/**/*.rs"), *root.glob("shared/*/src/**/*.rs")]):
        for function in found:
            if re.search(rf"\b{function.binary.replace('-', '[-_]')}\b", path.read_text()):
                yield f"{path.relative_to(root).as_posix()} names {function.binary}: shared code names no function"


def nesting(root: Path) -> Iterator[str]:
    """The template of the suite nests each capability."""
    resources = cloudformation.load(root / "template.yaml")["Resources"].values()
    nested = {resource.get("Properties", {}).get("Location") for resource in resources}
    for capability in capabilities(root):
        if (template := f"functions/{capability}/template.yaml") not in nested:
            yield f"template.yaml does not nest {template}: add an AWS::Serverless::Application with it as Location"


def configuration(root: Path) -> Iterator[str]:
    """`--config-env <capability>` builds, checks, invokes and deploys that capability."""
    config = tomllib.loads((root / "samconfig.toml").read_text())
    for capability in capabilities(root):
        template, built = f"functions/{capability}/template.yaml", f".aws-sam/{capability}/template.yaml"
        expected = {"build": template, "validate": template, "local_invoke": built, "deploy": built}
        for command, file in expected.items():
            parameters = config.get(capability, {}).get(command, {}).get("parameters", {})
            if parameters.get("template_file") != file:
                yield f'samconfig.toml: add template_file = "{file}" to [{capability}.{command}.parameters]'


# Its resources -------------------------------------------------------------------------------------


def settings(root: Path, function: Function) -> Iterator[str]:
    """What the code reads is what the template gives: a parameter of that name, with or without a word before it
    (`RelayTopicArns` for `TOPIC_ARNS`), a resource, or the name of the stack. What tells functions of one binary apart
    is fixed.
    """
    document = cloudformation.load(root / function.template)
    variables = function.properties["Environment"]["Variables"]
    read = Crate.at(function.crate, root).settings()
    where = f"{function.template}: {function.logical_id}"
    for setting in sorted(read - variables.keys()):
        own = parameter_of(setting)
        yield f"{where} lacks the variable {setting}, which its code reads: add it, and the parameter {own}"
    for setting in sorted(variables.keys() - read):
        yield f"{where} has the variable {setting}: its code does not read it; remove it"
    for setting, value in variables.items():
        used, own = references(value), parameter_of(setting)
        if own in used and own not in document["Parameters"]:
            yield f"{function.template} lacks the parameter {own}, for the variable {setting} of {function.logical_id}"
        elif not (
            any(name.endswith(own) for name in used)
            or used & (document["Resources"].keys() | {"AWS::StackName"})
            or tells_apart(root, function, setting)
        ):
            yield f"{where}: the variable {setting} is fixed: refer to a parameter {own}"


def tells_apart(root: Path, function: Function, setting: str) -> bool:
    """Whether the variable has another value in each function that runs this binary."""
    same = [it for it in functions(root) if it.crate == function.crate and it.binary == function.binary]
    values = {str(it.properties["Environment"]["Variables"].get(setting)) for it in same}
    return len(values) == len(same) > 1


def rights(root: Path, function: Function) -> Iterator[str]:
    """Its role allows what its code calls, and nothing else."""
    try:
        allowed = policy.actions(
            policy.rights(cloudformation.load(root / function.template)["Resources"], function.logical_id)
        )
        found = policy.differences(allowed, Crate.at(function.crate, root).calls())
    except ValueError as error:
        found = [str(error)]
    for said in found:
        yield f"{function.template}: the role of {function.logical_id}: {said}"


def log_group(root: Path, function: Function) -> Iterator[str]:
    """It logs JSON to a group of its own, which keeps its lines for a time."""
    deployed = Deployed(with_every_resource(cloudformation.load(root / function.template)))
    logging = deployed.properties(function.logical_id).get("LoggingConfig", {})
    group = deployed.resources.get(str(logging.get("LogGroup")).strip("<>"), {})
    if logging.get("LogFormat") != "JSON":
        yield f"{function.template}: {function.logical_id} does not log JSON: add LoggingConfig with LogFormat: JSON"
    if group.get("Type") != "AWS::Logs::LogGroup" or "RetentionInDays" not in group["Properties"]:
        yield (
            f"{function.template}: {function.logical_id} has no log group: add an AWS::Logs::LogGroup with "
            "RetentionInDays, and name it as LogGroup in LoggingConfig"
        )


def alarm(root: Path, function: Function) -> Iterator[str]:
    """Its errors raise an alarm."""
    deployed = Deployed(with_every_resource(cloudformation.load(root / function.template)))
    watched = {
        (alarm["Properties"].get("Namespace"), alarm["Properties"].get("MetricName"), dimension["Value"])
        for alarm in deployed.of_type("AWS::CloudWatch::Alarm").values()
        for dimension in alarm["Properties"].get("Dimensions", [])
    }
    if ("AWS/Lambda", "Errors", f"<{function.logical_id}>") not in watched:
        yield (
            f"{function.template}: {function.logical_id} has no alarm on its errors: add an AWS::CloudWatch::Alarm on "
            "its metric Errors in the namespace AWS/Lambda"
        )


# Its events and flows ------------------------------------------------------------------------------


def events(root: Path, function: Function) -> Iterator[str]:
    """There is a sample event to invoke it with."""
    if not function.events(root):
        name = f"events/{function.capability}/{function.event_names[-1]}-<case>.json"
        yield f"{function} has no sample event: add one, such as {name}"


def flow(root: Path, function: Function) -> Iterator[str]:
    """A flow test runs its binary."""
    flows = sorted((root / "local/tests").glob("test_*_flow.py"))
    if not any(f'"{function.binary}"' in path.read_text() for path in flows):
        yield (
            f"no flow runs {function.binary}: add one to "
            f'local/tests/test_{function.capability.replace("-", "_")}_flow.py, with binary("{function.binary}")'
        )


# What is written about it --------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """A table of a Markdown text."""

    header: list[str]
    rows: list[list[str]]


def tables(text: str) -> list[Table]:
    """The tables of a Markdown text, their cells without white space around them."""

    def cells(line: str) -> list[str]:
        return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]

    blocks = re.findall(r"^(\|.*)\n\|[-| :]+\|\n((?:\|.*\n?)*)", text, re.MULTILINE)
    return [Table(cells(header), [cells(row) for row in rows.splitlines()]) for header, rows in blocks]


def readme(root: Path, function: Function) -> Iterator[str]:
    """The README of its capability has its settings, its errors and its metrics."""
    name = f"functions/{function.capability}/README.md"
    if not (root / name).is_file():
        yield f"{name} does not exist: add it, with the settings, errors and metrics of {function.binary}"
        return
    text = (root / name).read_text()
    crate, parameters = Crate.at(function.crate, root), cloudformation.load(root / function.template)["Parameters"]
    used = references(function.properties["Environment"]["Variables"])

    described = {word for table in tables(text) for row in table.rows for word in re.findall(r"`(\w+)`", row[0])}
    for parameter in sorted(used & parameters.keys() - described):
        yield f"{name} does not describe the parameter {parameter}: add a row to its table of settings"

    explained = set()
    for table in tables(text):
        if "errorType" in table.header:
            for row in table.rows:
                cell = dict(zip(table.header, row, strict=False))
                if cell.get("function", function.short_name).strip("`") in function.names:
                    explained |= set(re.findall(r"`(\w+)`", cell["errorType"]))
    for error in sorted(crate.errors() - explained):
        yield f"{name} does not explain the errorType {error} of {function.binary}: add a row to its table of errors"

    for metric in sorted(crate.metrics() - set(re.findall(r"`(\w+)`", text))):
        yield f"{name} does not name the metric {metric} of {function.binary}: add it to the list of metrics"


def table_of_capabilities(root: Path, function: Function) -> Iterator[str]:
    """The README of the suite names it, in the row of its capability."""
    link = f"(functions/{function.capability}/README.md)"
    rows = [row for table in tables((root / "README.md").read_text()) for row in table.rows if link in " ".join(row)]
    if not any(f"`{function.binary}`" in " ".join(row) for row in rows):
        yield (
            f"README.md does not name {function.binary}: name it in the table of capabilities, in the row that links "
            f"to functions/{function.capability}/README.md"
        )


def changelog(root: Path, function: Function) -> Iterator[str]:
    """The changelog names it."""
    if f"`{function.binary}`" not in (root / "CHANGELOG.md").read_text():
        yield f"CHANGELOG.md does not name {function.binary}: add a line under Unreleased"
