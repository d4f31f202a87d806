"""The dashboard of each capability: its resource, at the end of the template's resources, and a picture of it.

    python -m template_checks.dashboards

writes both anew (`make pictures`): the resource from the functions of the template, the metrics that their code emits,
and its queues; the picture from the resource, with example data.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatehouse_local import ROOT, cloudformation, pictures
from gatehouse_local.functions import Function, capabilities, functions

from .sources import Crate
from .template import Deployed, with_every_resource

NAME = "OperationsDashboard"
START = f"""  # ---------------------------------------------------------------- dashboard

  # Made by `make pictures` from the functions, the metrics of their code and the queues above.
  {NAME}:
"""
PERIOD = 300

Metric = list[Any]  # as CloudWatch has it: namespace, name, dimension, its value, and how it is shown


@dataclass(frozen=True)
class Widget:
    """One graph; `condition` is that of the resource that it shows."""

    title: str
    metrics: list[Metric]
    condition: str | None

    def body(self) -> str:
        """As CloudWatch has it, with the references of Fn::Sub."""
        shown = {"title": self.title, "region": "${AWS::Region}", "period": PERIOD, "metrics": self.metrics}
        return json.dumps({"type": "metric", "width": 12, "height": 6, "properties": shown})


def shown(namespace: str, name: str, dimension: str, value: str, stat: str, right: bool = False) -> Metric:
    """One line of a graph."""
    return [namespace, name, dimension, value, {"stat": stat} | ({"yAxis": "right"} if right else {})]


def of_function(function: Function, condition: str | None, root: Path) -> Iterator[Widget]:
    """Its runs, and what its code counts."""
    name = function.binary if function.is_alone else function.logical_id
    of_lambda = ("AWS/Lambda", "FunctionName", f"${{{function.logical_id}}}")
    runs = [("Invocations", "Sum"), ("Errors", "Sum"), ("Throttles", "Sum")]
    namespace, dimension, value = of_lambda
    lines = [shown(namespace, metric, dimension, value, stat) for metric, stat in runs]
    lines.append(shown(namespace, "Duration", dimension, value, "p95", right=True))
    yield Widget(f"{name}: runs, and milliseconds (p95)", lines, condition)
    if own := sorted(Crate.at(function.crate, root).metrics()):
        counted = [shown("Gatehouse", metric, dimension, value, "Sum") for metric in own if not is_duration(metric)]
        lasting = [
            shown("Gatehouse", metric, dimension, value, "Maximum", True) for metric in own if is_duration(metric)
        ]
        yield Widget(f"{name}: what it did", counted + lasting, condition)


def is_duration(metric: str) -> bool:
    """Whether it is a time, of which the longest is shown, and not a number of things."""
    return metric.endswith("Seconds")


def widgets(capability: str, root: Path = ROOT) -> list[Widget]:
    """All graphs of a capability."""
    resources = cloudformation.load(root / f"functions/{capability}/template.yaml")["Resources"]
    found = [
        widget
        for function in functions(root)
        if function.capability == capability
        for widget in of_function(function, resources[function.logical_id].get("Condition"), root)
    ]
    for name, resource in resources.items():
        if resource["Type"] == "AWS::SQS::Queue":
            value = f"${{{name}.QueueName}}"
            depth = shown("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", value, "Maximum")
            age = shown("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", value, "Maximum", right=True)
            found.append(Widget(f"{name}: messages, and seconds they wait", [depth, age], resource.get("Condition")))
    return found


def resource(capability: str, root: Path = ROOT) -> str:
    """The text of the resource."""
    lines = []
    for widget in widgets(capability, root):
        body = f"!Sub '{widget.body()}'"
        lines.append(f"!If [{widget.condition}, {body}, !Ref AWS::NoValue]" if widget.condition else body)
    return (
        START
        + """    Type: AWS::CloudWatch::Dashboard
    Condition: HasDashboard
    Properties:
      DashboardName: !Sub ${AWS::StackName}-${AWS::Region}
      DashboardBody: !Join
        - ""
        - - '{"widgets":['
          - !Join
            - ","
            - - """
        + "\n              - ".join(lines)
        + """
          - "]}"
"""
    )


def with_resource(template: str, made: str) -> str:
    """The text of a template with this resource at the end of its resources."""
    before, outputs, after = template.partition("\nOutputs:\n")
    before = before.partition("\n" + START)[0].rstrip("\n")
    return f"{before}\n\n{made}{outputs}{after}"


def body_of(capability: str, root: Path = ROOT) -> dict[str, Any]:
    """What CloudWatch gets, with every resource of the capability."""
    document = cloudformation.load(root / f"functions/{capability}/template.yaml")
    properties = always(document["Resources"][NAME]["Properties"])
    return json.loads(Deployed(with_every_resource(document)).resolve(properties["DashboardBody"]))


def always(value: Any) -> Any:
    """The body of a dashboard, with each of its graphs."""
    if isinstance(value, list):
        return [always(it) for it in value]
    if isinstance(value, dict) and "Fn::If" in value:
        return value["Fn::If"][1]
    return {key: always(it) for key, it in value.items()} if isinstance(value, dict) else value


# The picture ---------------------------------------------------------------------------------------

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf")
POINTS = 48


def example(seed: str, quiet: bool) -> list[float]:
    """Made-up values between 0 and 1, the same for the same seed; what should not happen is mostly 0."""
    values = []
    for point in range(POINTS):
        chance = hashlib.sha256(f"{seed} {point}".encode()).digest()[0] / 255
        values.append((0.8 if chance > 0.97 else 0.0) if quiet else 0.25 + 0.55 * chance)
    return values


QUIET = re.compile(
    r"Error|Fail|Throttle|Messages?Visible|AgeOf|Refused|Forged|Malformed|Unknown|Unprotected|GaveUp|Not[A-Z]"
)


def graph(widget: dict[str, Any], x: float, y: float, width: float, height: float) -> Iterator[str]:
    """One widget."""
    shown = widget["properties"]
    yield pictures.box(x, y, width, height, "#ffffff")
    yield pictures.text(x + 12, y + 20, shown["title"], 12, weight="600")
    left, right, top, bottom = x + 14, x + width - 14, y + 34, y + height - 40
    for line in range(3):
        level = top + (bottom - top) * line / 2
        yield f'<path d="M{left:g} {level:g}H{right:g}" stroke="#e3e9ef"/>'
    legend = left
    for number, (namespace, name, *_) in enumerate(shown["metrics"]):
        colour = COLOURS[number % len(COLOURS)]
        values = example(f"{shown['title']} {namespace} {name}", bool(QUIET.search(name)))
        step = (right - left) / (POINTS - 1)
        path = " ".join(
            f"{left + step * at:.1f},{bottom - (bottom - top) * value:.1f}" for at, value in enumerate(values)
        )
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
        yield pictures.text(legend, y + height - 22 + 14 * (number // 4), name, 9, colour)
        legend = left if number % 4 == 3 else legend + 5.9 * len(name) + 12


def picture(capability: str, root: Path = ROOT) -> str:
    """The dashboard with example data."""
    gap, column, row, head = 10, 36.0, 26.0, 44.0
    x, y, height, parts = 0, head, 0.0, []
    for widget in body_of(capability, root)["widgets"]:
        if x + widget["width"] > 24:
            x, y = 0, y + height + gap
        height = widget["height"] * row
        parts += [*graph(widget, gap + x * column, y, widget["width"] * column - gap, height)]
        x += widget["width"]
    width, whole = int(24 * column + gap), int(y + height + gap)
    title = f"Dashboard of {capability}, drawn from its template: example data, not measured"
    return pictures.picture(width, whole, title, [pictures.text(gap, 27, title, 14, "#b00020", weight="600"), *parts])


def drawn(root: Path = ROOT) -> dict[Path, str]:
    """The picture of each dashboard."""
    return {
        root / f"functions/{capability}/dashboard.svg": picture(capability, root) for capability in capabilities(root)
    }


if __name__ == "__main__":
    for capability in capabilities():
        path = ROOT / f"functions/{capability}/template.yaml"
        path.write_text(with_resource(path.read_text(), resource(capability)))
        print(path.relative_to(ROOT))
    for path, svg in drawn().items():
        path.write_text(svg)
        print(path.relative_to(ROOT))
