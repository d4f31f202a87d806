"""The dashboards show what there is: each function, each metric that its code emits, each queue."""

import json
import re

import pytest

from gatehouse_local import ROOT, cloudformation
from gatehouse_local.functions import capabilities, functions
from template_checks import dashboards
from template_checks.sources import Crate
from template_checks.template import Deployed, load, with_every_resource

each_capability = pytest.mark.parametrize("capability", capabilities())


def template_of(capability):
    return f"functions/{capability}/template.yaml"


def metrics_of(body):
    return [metric for widget in body["widgets"] for metric in widget["properties"]["metrics"]]


@each_capability
def test_the_template_has_the_dashboard_of_its_functions(capability):
    text = (ROOT / template_of(capability)).read_text()
    assert text == dashboards.with_resource(text, dashboards.resource(capability)), "run make pictures"


@each_capability
def test_there_is_none_unless_somebody_asks(capability):
    document = with_every_resource(load(template_of(capability)))
    assert load(template_of(capability))["Resources"][dashboards.NAME]["Condition"] == "HasDashboard"
    assert Deployed(document).condition("HasDashboard") is False
    assert Deployed(document, Dashboard="Yes").condition("HasDashboard") is True
    assert document["Parameters"]["Dashboard"]["Default"] == "No"


@each_capability
def test_each_metric_of_ours_exists_and_none_is_left_out(capability):
    """What the READMEs name and the code emits, by function: `test_complete` compares the two."""
    there = {
        (value, name)
        for namespace, name, _, value, _ in metrics_of(dashboards.body_of(capability))
        if namespace == "Gatehouse"
    }
    emitted = {
        (f"<{function.logical_id}>", metric)
        for function in functions()
        if function.capability == capability
        for metric in Crate.at(function.crate).metrics()
    }
    assert there == emitted
    readme = (ROOT / "functions" / capability / "README.md").read_text()
    assert {name for _, name in there} <= set(re.findall(r"`(\w+)`", readme))


# What the services publish by these dimensions. Source: their user guides, "Metrics".
OF_SERVICES = {
    ("AWS/Lambda", "FunctionName"): {"Invocations", "Errors", "Throttles", "Duration"},
    ("AWS/SQS", "QueueName"): {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
}


@each_capability
def test_the_runs_of_each_function_and_the_depth_of_each_queue_are_shown(capability):
    resources = load(template_of(capability))["Resources"]
    there = {
        (namespace, dimension, value, name)
        for namespace, name, dimension, value, _ in metrics_of(dashboards.body_of(capability))
        if namespace != "Gatehouse"
    }
    expected = set()
    for name, resource in resources.items():
        if resource["Type"] == "AWS::Serverless::Function":
            expected |= {
                ("AWS/Lambda", "FunctionName", f"<{name}>", it) for it in OF_SERVICES["AWS/Lambda", "FunctionName"]
            }
        if resource["Type"] == "AWS::SQS::Queue":
            expected |= {
                ("AWS/SQS", "QueueName", f"<{name}.QueueName>", it) for it in OF_SERVICES["AWS/SQS", "QueueName"]
            }
    assert there == expected


@each_capability
def test_the_body_is_one_that_cloudwatch_takes(capability):
    body = dashboards.body_of(capability)
    # CloudWatch: at most 500 widgets, 2,500 metrics, and 1 MB.
    assert 2 <= len(body["widgets"]) <= 500
    for widget in body["widgets"]:
        assert widget.keys() == {"type", "width", "height", "properties"}
        assert widget["type"] == "metric" and 1 <= widget["width"] <= 24
        shown = widget["properties"]
        assert shown["region"] == "eu-west-1" and shown["period"] % 60 == 0 and shown["title"]
        for *_, how in shown["metrics"]:
            assert how["stat"] in {"Sum", "Maximum", "p95"} and how.keys() <= {"stat", "yAxis"}


@pytest.mark.parametrize("given", [{}, {"Mail": "plain"}])
def test_a_graph_of_what_is_not_deployed_is_left_out(given):
    deployed = Deployed(load("functions/iam-alerts/template.yaml"), Dashboard="Yes", **given)
    body = json.loads(deployed.properties(dashboards.NAME)["DashboardBody"])
    referred = {match for match in re.findall(r"<(\w+)", json.dumps(body))}
    assert referred <= deployed.resources.keys()
    assert ("IamAlertMailFunction" in referred) is not bool(given)


@each_capability
def test_the_names_of_two_stacks_differ_in_two_regions(capability):
    """Dashboards have one name for the whole account."""
    document = load(template_of(capability))
    names = {
        Deployed(document, region=region, Dashboard="Yes").properties(dashboards.NAME)["DashboardName"]
        for region in ("eu-west-1", "us-east-1")
    }
    assert len(names) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name) for name in names)


@each_capability
def test_the_picture_says_that_its_data_are_made_up(capability):
    picture = dashboards.picture(capability)
    assert "example data, not measured" in picture
    for widget in dashboards.body_of(capability)["widgets"]:
        assert widget["properties"]["title"] in picture


def test_a_new_function_and_queue_are_on_the_dashboard(tmp_path):
    folder = tmp_path / "functions/doors"
    (folder / "knock/src").mkdir(parents=True)
    (tmp_path / "Cargo.toml").write_text("[workspace.dependencies]\n")
    (folder / "knock/Cargo.toml").write_text('[package]\nname = "door-knock"\n[dependencies]\n')
    (folder / "knock/src/main.rs").write_text('fn main() { Metrics::of("knock", now).count("Knocks", 1).emit(); }')
    (folder / "template.yaml").write_text(
        """
Resources:
  KnockFunction:
    Type: AWS::Serverless::Function
    Condition: HasDoor
    Metadata: { BuildMethod: rust-cargolambda, BuildProperties: { Binary: door-knock } }
    Properties: { CodeUri: knock, Environment: { Variables: { A: b } } }
  Letters:
    Type: AWS::SQS::Queue

Outputs:
  A: { Value: a }
"""
    )
    made = dashboards.resource("doors", tmp_path)
    text = (folder / "template.yaml").read_text()
    once = dashboards.with_resource(text, made)
    assert dashboards.with_resource(once, made) == once
    lines = cloudformation.parse(once)["Resources"][dashboards.NAME]["Properties"]["DashboardBody"]["Fn::Join"][1][1][
        "Fn::Join"
    ][1]
    assert [line["Fn::If"][0] for line in lines[:2]] == ["HasDoor", "HasDoor"]
    assert '"Knocks"' in lines[1]["Fn::If"][1]["Fn::Sub"] and "${Letters.QueueName}" in lines[2]["Fn::Sub"]
    assert once.endswith("\nOutputs:\n  A: { Value: a }\n")
