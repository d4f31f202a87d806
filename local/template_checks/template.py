"""A template as CloudFormation sees it: with given parameters, in a given Region."""

import re
from typing import Any

from gatehouse_local import ROOT, cloudformation

ACCOUNT = "111122223333"

# What `!Ref AWS::NoValue` leaves behind: the key or item disappears.
_NOTHING = object()


def load(path: str) -> dict[str, Any]:
    """The template at `path` (relative to the repository); copy it before you change it."""
    return cloudformation.load(ROOT / path)


def with_every_resource(document: dict[str, Any]) -> dict[str, Any]:
    """The template, with what is made on request made in any case. Where it refers to a condition, that one decides."""
    resources = {
        name: {key: value for key, value in resource.items() if key != "Condition"}
        for name, resource in document["Resources"].items()
    }
    return {**document, "Resources": resources}


class Deployed:
    """A template with its parameters, conditions and functions resolved.

    What only AWS could know stays readable: `!GetAtt Queue.Arn` becomes `<Queue.Arn>`, a reference to a
    resource `<Queue>`.
    """

    def __init__(
        self, document: dict[str, Any], region: str = "eu-west-1", partition: str = "aws", **parameters: str
    ) -> None:
        declared = document.get("Parameters", {})
        if unknown := parameters.keys() - declared.keys():
            raise KeyError(f"no such parameter: {sorted(unknown)}")
        for name, value in parameters.items():
            refuse(declared[name], name, value)
        self._values = {
            "AWS::AccountId": ACCOUNT,
            "AWS::NoValue": _NOTHING,
            "AWS::Partition": partition,
            "AWS::Region": region,
            "AWS::StackId": f"arn:{partition}:cloudformation:{region}:{ACCOUNT}:stack/test/0f1e2d3c",
            "AWS::StackName": "test",
            "AWS::URLSuffix": "amazonaws.com",
            **{name: str(spec["Default"]) for name, spec in declared.items() if "Default" in spec},
            **parameters,
        }
        self._conditions = document.get("Conditions", {})
        self._holds: dict[str, bool] = {}
        self._rules = document.get("Rules", {})
        self.resources: dict[str, Any] = {
            name: self.resolve(resource) for name, resource in document["Resources"].items() if self._exists(resource)
        }
        self.outputs: dict[str, Any] = {
            name: self.resolve(output) for name, output in document.get("Outputs", {}).items() if self._exists(output)
        }

    def properties(self, name: str) -> dict[str, Any]:
        """The properties of a resource."""
        return self.resources[name]["Properties"]

    def of_type(self, kind: str) -> dict[str, Any]:
        """The resources of a type, by logical name."""
        return {name: it for name, it in self.resources.items() if it["Type"] == kind}

    def refusals(self) -> list[str]:
        """What the Rules of the template say against the parameters; empty where CloudFormation deploys it."""
        return [
            assertion["AssertDescription"]
            for rule in self._rules.values()
            if "RuleCondition" not in rule or self.resolve(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self.resolve(assertion["Assert"])
        ]

    def _exists(self, part: dict[str, Any]) -> bool:
        return "Condition" not in part or self.condition(part["Condition"])

    def condition(self, name: str) -> bool:
        """Whether the condition of that name holds."""
        if name not in self._holds:
            self._holds[name] = bool(self.resolve(self._conditions[name]))
        return self._holds[name]

    def resolve(self, value: Any) -> Any:
        """`value` with every function replaced by what it yields."""
        if isinstance(value, list):
            return [it for it in map(self.resolve, value) if it is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, argument)] = value.items()
            if function == "Condition" and isinstance(argument, str):
                return self.condition(argument)
            if function == "Ref" or function.startswith("Fn::"):
                return self._call(function, argument)
        if unknown := [key for key in value if key == "Ref" or key.startswith("Fn::")]:
            raise NotImplementedError(f"{unknown[0]} beside other keys in {value!r}")
        resolved = {key: self.resolve(it) for key, it in value.items()}
        return {key: it for key, it in resolved.items() if it is not _NOTHING}

    def _call(self, function: str, argument: Any) -> Any:
        match function, argument:
            case "Ref", name:
                return self._values[name] if name in self._values else self.unresolved(name)
            case "Fn::GetAtt", [name, attribute]:
                return self.unresolved(name, attribute)
            case "Fn::GetAtt", str(path):
                return self.unresolved(*path.split(".", 1))
            case "Fn::If", [condition, then, otherwise]:
                return self.resolve(then if self.condition(condition) else otherwise)
            case "Fn::Sub", str(text):
                return self._substitute(text, {})
            case "Fn::Sub", [text, names]:
                return self._substitute(text, self.resolve(names))
            case "Fn::Join", [delimiter, items]:
                return str(delimiter).join(self.resolve(items))
            case "Fn::Split", [delimiter, text]:
                return self.resolve(text).split(delimiter)
            case "Fn::Select", [index, items]:
                return self.resolve(items)[int(index)]
            case "Fn::Contains", [items, item]:
                return self.resolve(item) in self.resolve(items)
            case "Fn::Equals", [left, right]:
                return self.resolve(left) == self.resolve(right)
            case "Fn::Not", [condition]:
                return not self.resolve(condition)
            case "Fn::And", conditions:
                return all(map(self.resolve, conditions))
            case "Fn::Or", conditions:
                return any(map(self.resolve, conditions))
            case _:
                raise NotImplementedError(f"{function} of {argument!r}")

    def unresolved(self, name: str, attribute: str = "") -> str:
        """What stands for a resource, or for an attribute of one, that only AWS could know."""
        return f"<{name}.{attribute}>" if attribute else f"<{name}>"

    def _substitute(self, text: str, names: dict[str, str]) -> str:
        def value(found: re.Match[str]) -> str:
            name = found[1]
            known = self._values | names
            return str(known[name]) if name in known else self.unresolved(*name.split(".", 1))

        return re.sub(r"\$\{([^!}]+)\}", value, text)


def refuse(spec: dict[str, Any], name: str, value: str) -> None:
    """Raises ValueError where CloudFormation would not take the value of a parameter."""
    text = str(value)
    if "AllowedValues" in spec and text not in map(str, spec["AllowedValues"]):
        raise ValueError(f"{name} is {text!r}: expected one of {spec['AllowedValues']}")
    if "AllowedPattern" in spec and not re.search(spec["AllowedPattern"], text):
        raise ValueError(f"{name} is {text!r}: expected {spec['AllowedPattern']}")
    if "MaxLength" in spec and len(text) > int(spec["MaxLength"]):
        raise ValueError(f"{name} is {text!r}: expected at most {spec['MaxLength']} characters")
    if spec["Type"] == "Number":
        number = float(text)
        least, most = float(spec.get("MinValue", number)), float(spec.get("MaxValue", number))
        if not least <= number <= most:
            raise ValueError(f"{name} is {text!r}: expected {least:g} to {most:g}")


def references(value: Any) -> set[str]:
    """The names that `value` refers to, in every branch of every Fn::If."""
    if isinstance(value, list):
        return set().union(*map(references, value))
    if not isinstance(value, dict):
        return set()
    found: set[str] = set()
    for key, argument in value.items():
        if key == "Ref":
            found.add(argument)
        elif key == "Fn::GetAtt":
            found.add(argument[0] if isinstance(argument, list) else argument.partition(".")[0])
        elif key == "Fn::Sub":
            text, names = (argument, {}) if isinstance(argument, str) else argument
            found |= set(re.findall(r"\$\{([^!}]+)\}", text)) - names.keys()
            found |= references(names)
        else:
            found |= references(argument)
    return found
