"""A template as `sam deploy` hands it to CloudFormation, in every combination of parameters that it asks about.

SAM's transform is performed once. CloudFormation then resolves what comes out for the given parameters: so does
`Expansion.resolve`, which also keeps what each resource refers to.
"""

import copy
import graphlib
import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from boto3.session import Session
from samtranslator.metrics.metrics import DummyMetricsPublisher, Metrics
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from .template import Deployed, references

# Where a template asks about the Region or the partition. A Region of each partition, and one that is opt-in.
PLACES = ["us-east-1", "af-south-1", "cn-north-1", "us-gov-west-1"]
PSEUDO = {
    "AWS::AccountId", "AWS::NoValue", "AWS::NotificationARNs", "AWS::Partition", "AWS::Region", "AWS::StackId",
    "AWS::StackName", "AWS::URLSuffix",
}  # fmt: skip


def partition(region: str) -> str:
    """The partition of a Region."""
    others = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc"}
    return next((name for start, name in others.items() if region.startswith(start)), "aws")


class Refused(ValueError):
    """The transform, or a rule of the template, refuses it; the text has their words."""


def expand(document: dict[str, Any]) -> dict[str, Any]:
    """What the transform makes of the template, with code and nested templates uploaded to made-up places."""
    if "Transform" not in document:
        return document
    source = copy.deepcopy(document)
    for name, resource in source["Resources"].items():
        match resource["Type"]:
            case "AWS::Serverless::Function":
                resource["Properties"]["CodeUri"] = f"s3://code/{name}.zip"
            case "AWS::Serverless::Application":
                resource["Properties"]["Location"] = f"https://code.s3.amazonaws.com/{name}.yaml"
    metrics = Metrics(metrics_publisher=DummyMetricsPublisher())
    session = Session(region_name="us-east-1")
    translator = Translator(managed_policy_map={}, sam_parser=Parser(), boto_session=session, metrics=metrics)
    try:
        return translator.translate(source, parameter_values={})
    except InvalidDocumentException as error:
        raise Refused("; ".join(str(cause.message) for cause in error.causes)) from error
    finally:
        metrics.publish()  # to nowhere; else it warns at its end


@dataclass(frozen=True, eq=False)
class Resource:
    """A resource with every function resolved, and the names that it refers to."""

    kind: str
    properties: Any
    refers_to: frozenset[str]
    # Only an order: CloudFormation takes one that is absent because of its condition.
    depends_on: frozenset[str]


@dataclass
class Combination:
    """What CloudFormation makes for one set of parameters."""

    given: dict[str, str]
    resources: dict[str, Resource]
    outputs: dict[str, Resource]
    declared: frozenset[str]
    # Whether no combination of this template can have a cycle, since all its references together have none.
    is_acyclic: bool = False
    _before: dict[str, set[str]] = field(default_factory=dict)

    @cached_property
    def _by_kind(self) -> dict[str, dict[str, Resource]]:
        found: dict[str, dict[str, Resource]] = {}
        for name, it in self.resources.items():
            found.setdefault(it.kind, {})[name] = it
        return found

    def of_type(self, kind: str) -> dict[str, Resource]:
        """The resources of a type."""
        return self._by_kind.get(kind, {})

    def direct(self, name: str) -> set[str]:
        """The resources that must be there before this one, by its own references."""
        resource = self.resources[name]
        return (resource.refers_to | resource.depends_on) & self.resources.keys()

    def before(self, name: str) -> set[str]:
        """Every resource that is made before this one, in any order that CloudFormation may choose."""
        if name not in self._before:
            found: set[str] = set()
            asked = [name]
            while asked:
                new = self.direct(asked.pop()) - found
                found |= new
                asked += new
            self._before[name] = found
        return self._before[name]

    def cycle(self) -> list[str]:
        """Resources of which each waits for the next; empty where all can be made."""
        return [] if self.is_acyclic else _cycle({name: self.direct(name) for name in self.resources})


def _cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """The nodes of a circle in `graph`; empty without one."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


class _Recording(Deployed):
    """Deployed, which also keeps the names that it could not resolve by itself: those of resources."""

    def __init__(self, *arguments: Any, **parameters: Any) -> None:
        self.named: set[str] = set()
        self._holds: dict[str, bool] = {}
        super().__init__(*arguments, **parameters)

    def condition(self, name: str) -> bool:
        if name not in self._holds:
            self._holds[name] = super().condition(name)
        return self._holds[name]

    def unresolved(self, name: str, attribute: str = "") -> str:
        self.named.add(name)
        return super().unresolved(name, attribute)


class Expansion:
    """A template after the transform, and its combinations of parameters.

    `forms` has the values that stand for a parameter of which a condition or a rule asks, unless it has AllowedValues.
    `alone` names parameters that vary one after the other, not each with all others.
    """

    def __init__(
        self, document: dict[str, Any], forms: Mapping[str, list[str]], alone: Collection[str] = frozenset()
    ) -> None:
        self.document = expand(document)
        self.parameters: dict[str, Any] = self.document.get("Parameters", {})
        self.resources: dict[str, Any] = self.document["Resources"]
        self._forms = forms
        self._alone = frozenset(alone)
        self._resolved: dict[tuple[Any, ...], Resource] = {}
        self._answers: dict[tuple[Any, ...], Any] = {}
        self._reaches: dict[str, tuple[str, ...]] = {}
        self._references: dict[str, set[str]] = {}
        self._is_acyclic: bool | None = True

    # Combinations ------------------------------------------------------------------------------

    def asked(self) -> list[str]:
        """The parameters that a condition or a rule asks about, AWS::Region among them."""
        found = references(self.document.get("Conditions", {})) | references(self.document.get("Rules", {}))
        if found & {"AWS::Partition", "AWS::Region"}:
            found.add("AWS::Region")
        return sorted(found & (self.parameters.keys() | {"AWS::Region"}))

    def crossed(self) -> list[str]:
        """Those that decide what exists, what refers to what, who may do what, or whether a rule admits the rest.

        Any of them may matter together with any other. The rest only choose between values of a property.
        """
        found = references(self.document.get("Rules", {}))
        for part in [*self.resources.values(), *self.document.get("Outputs", {}).values()]:
            if "Condition" in part:
                found |= self.asked_by(part["Condition"])
            for condition, then, otherwise in _choices(part):
                chosen = references([then, otherwise]) & self.resources.keys()
                if chosen or str(part.get("Type")).startswith("AWS::IAM::"):
                    found |= self.asked_by(condition)
        if found & {"AWS::Partition", "AWS::Region"}:
            found.add("AWS::Region")
        return [name for name in self.asked() if name in found - self._alone]

    def forms(self, name: str) -> list[str]:
        """The values that a parameter takes here. The first leaves most away."""
        if name == "AWS::Region":
            return PLACES
        spec = self.parameters[name]
        if name in self._forms:
            return self._forms[name]
        if "AllowedValues" in spec:
            return [str(value) for value in spec["AllowedValues"]]
        raise ValueError(f"a condition or a rule asks about {name}: add its forms, at least empty and set")

    def combinations(self) -> Iterator[dict[str, str]]:
        """Each form of each crossed parameter with each of all others; then the rest, one after the other, twice."""
        crossed = self.crossed()
        forms = {name: self.forms(name) for name in self.asked()}
        needed = self.needed()
        for values in itertools.product(*(forms[name] for name in crossed)):
            yield needed | dict(zip(crossed, values, strict=True))
        for end in (0, -1):
            others = {name: values[end] for name, values in forms.items()}
            for name in forms.keys() - set(crossed):
                for value in forms[name]:
                    yield needed | others | {name: value}

    def needed(self) -> dict[str, str]:
        """Values of the parameters without a default, and of those that have forms though nothing asks about them."""
        asked = set(self.asked())
        return {
            name: self._forms[name][-1]
            for name, spec in self.parameters.items()
            if "Default" not in spec or (name in self._forms and name not in asked)
        }

    def count(self) -> int:
        """The number of combinations."""
        forms = {name: len(self.forms(name)) for name in self.asked()}
        crossed = self.crossed()
        alone = sum(number for name, number in forms.items() if name not in crossed)
        return math.prod(forms[name] for name in crossed) + 2 * alone

    # Resolving ---------------------------------------------------------------------------------

    def refusals(self, given: Mapping[str, str]) -> list[str]:
        """What the rules of the template say against these parameters."""
        rules = {"Rules": self.document.get("Rules", {})}
        return self._once("Rules", rules, given, lambda deployed: deployed.refusals())

    def holds(self, condition: str, given: Mapping[str, str]) -> bool:
        """Whether a condition holds with these parameters."""
        asked = {"Condition": condition}
        return self._once(f"Conditions.{condition}", asked, given, lambda deployed: deployed.condition(condition))

    def resolve(self, given: dict[str, str]) -> Combination:
        """What CloudFormation makes of the template with these parameters."""
        present = {
            name: self._resource(name, resource, given)
            for name, resource in self.resources.items()
            if "Condition" not in resource or self.holds(resource["Condition"], given)
        }
        outputs = {
            name: self._resource(f"output {name}", {"Type": "output", "Properties": output["Value"]}, given)
            for name, output in self.document.get("Outputs", {}).items()
            if "Condition" not in output or self.holds(output["Condition"], given)
        }
        if self._is_acyclic is None:
            self._is_acyclic = not _cycle(self._references)
        return Combination(given, present, outputs, frozenset(self.resources), self._is_acyclic)

    def _once(self, name: str, part: dict[str, Any], given: Mapping[str, str], ask: Callable[[_Recording], Any]) -> Any:
        """What a part of the template answers, asked once for all combinations that are the same to it."""
        key = self._key(name, part, given)
        if key not in self._answers:
            self._answers[key] = ask(self._deployed({}, given))
        return self._answers[key]

    def _key(self, name: str, part: dict[str, Any], given: Mapping[str, str]) -> tuple[Any, ...]:
        """The name, and the values of the parameters that this part of the template asks about."""
        if name not in self._reaches:
            reached = references(part) & (self.parameters.keys() | PSEUDO)
            for condition in (*(condition for condition, *_ in _choices(part)), *_named_conditions(part)):
                reached |= self.asked_by(condition)
            if reached & {"AWS::Partition", "AWS::Region", "AWS::StackId"}:
                reached.add("AWS::Region")
            self._reaches[name] = tuple(sorted(reached))
        return (name, *map(given.get, self._reaches[name]))

    def _deployed(self, resources: dict[str, Any], given: Mapping[str, str]) -> _Recording:
        region = given.get("AWS::Region", "us-east-1")
        parameters = {name: value for name, value in given.items() if name != "AWS::Region"}
        document = {**self.document, "Resources": resources, "Outputs": {}}
        return _Recording(document, region=region, partition=partition(region), **parameters)

    def _resource(self, name: str, resource: dict[str, Any], given: dict[str, str]) -> Resource:
        """The resource, resolved once for all combinations that differ in nothing that it asks about."""
        own = {key: value for key, value in resource.items() if key != "Condition"}
        key = self._key(name, own, given)
        if key not in self._resolved:
            deployed = self._deployed({name: own}, given)
            after = resource.get("DependsOn", [])
            made = self._resolved[key] = Resource(
                resource["Type"],
                deployed.resources[name].get("Properties", {}),
                frozenset(deployed.named),
                frozenset([after] if isinstance(after, str) else after),
            )
            known = self._references.setdefault(name, set())
            if more := (made.refers_to | made.depends_on) - known:
                known |= more
                self._is_acyclic = None
        return self._resolved[key]

    def asked_by(self, name: str) -> set[str]:
        """The parameters that a condition asks about, also through other conditions."""
        if name not in self._parameters_of_conditions:
            raise ValueError(f"there is no condition {name}")
        return self._parameters_of_conditions[name]

    @cached_property
    def _parameters_of_conditions(self) -> dict[str, set[str]]:
        conditions = self.document.get("Conditions", {})

        def of(value: Any) -> set[str]:
            return references(value).union(*(of(conditions[name]) for name in _named_conditions(value)))

        return {name: of(condition) for name, condition in conditions.items()}


def _choices(value: Any) -> Iterator[list[Any]]:
    """The arguments of every Fn::If in `value`."""
    if isinstance(value, list):
        for item in value:
            yield from _choices(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Fn::If":
                yield item
            yield from _choices(item)


def _named_conditions(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _named_conditions(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Condition" and isinstance(item, str):
                yield item
            else:
                yield from _named_conditions(item)
