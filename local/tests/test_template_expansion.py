"""Every template as CloudFormation gets it: after SAM's transform, in every combination of parameters."""

import copy
import json
import re
from collections.abc import Iterator

import pytest

from template_checks import judgement
from template_checks.expansion import Expansion, Refused
from template_checks.forms import ALONE, FORMS, KEY, ROLE, TEMPLATES, expansion
from template_checks.template import load, refuse

SUITE = "template.yaml"
AMIS = "functions/amis/template.yaml"
MESSAGES = "functions/messages/template.yaml"
IP_RANGES = "functions/ip-ranges/template.yaml"
PIPELINES = "functions/pipelines/template.yaml"
IAM_ALERTS = "functions/iam-alerts/template.yaml"


def faults(it: Expansion) -> Iterator[tuple[str, dict[str, str]]]:
    """Each fault, with parameters that show it, as often as it is met."""
    wrong = [(fault, {}) for fault in judgement.of_template(it)]
    yield from wrong
    if wrong:
        return
    admitted = 0
    for given in it.combinations():
        if not it.refusals(given):
            admitted += 1
            for fault in judgement.of_combination(it.resolve(given)):
                yield fault, given
    if not admitted:
        yield "its rules admit no combination of parameters", {}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_deploys_in_every_combination_of_its_parameters(template):
    assert dict(faults(expansion(template))) == {}


def test_the_combinations_are_as_many_as_they_should_be():
    counts = {template: expansion(template).count() for template in TEMPLATES}
    assert sum(counts.values()) > 15_000, counts
    for template, parameters in ALONE.items():
        assert parameters <= set(expansion(template).asked()), "no condition asks about it any more: take it out"


LISTS = [
    (template, name)
    for template in TEMPLATES
    for name, spec in load(template).get("Parameters", {}).items()
    if spec["Type"] == "String" and "(," in spec.get("AllowedPattern", "")
]


@pytest.mark.parametrize(("template", "name"), LISTS)
def test_a_list_is_as_long_as_its_template_takes_and_a_longer_one_is_refused_with_the_reason(template, name):
    """So the combinations show that what a parameter admits is no more than the services take."""
    spec = load(template)["Parameters"][name]
    item = r"(\d+) names" if name.endswith("Pipelines") else r"([\d,]+) characters"
    most = int(re.search(item, spec["ConstraintDescription"])[1].replace(",", ""))
    items = max(FORMS[name], key=len).split(",")
    if name.endswith("Pipelines"):
        assert len(items) == most
    else:
        assert spec["MaxLength"] == most
        assert most - 2 * len(items[0]) - 30 < len(",".join(items)) <= most
    for form in FORMS[name]:
        if form or "Default" in spec:
            refuse(spec, name, form)
    with pytest.raises(ValueError, match="expected"):
        refuse(spec, name, ",".join([*items, *items]))


@pytest.mark.parametrize(
    ("template", "name", "item", "number"),
    [
        (PIPELINES, "Pipelines", "p" * 20, 85),
        (AMIS, "TargetAccountIds", "111122223333", 280),
        (PIPELINES, "IgnoreEventArns", "arn:aws:health:us-east-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/" + "1" * 30, 41),
        (MESSAGES, "RelayTopicArns", "arn:aws:sns:us-east-1:111122223333:" + "t" * 20, 71),
    ],
)
def test_what_no_service_would_take_is_refused_by_the_parameter(template, name, item, number):
    with pytest.raises(ValueError, match="expected"):
        refuse(load(template)["Parameters"][name], name, ",".join([item] * number))


WITH_A_ROLE = [template for template in TEMPLATES if "AWS::IAM::Role" in json.dumps(load(template)["Resources"])]


@pytest.mark.parametrize("template", WITH_A_ROLE)
def test_a_permissions_boundary_bounds_every_role_that_a_stack_makes(template):
    # After the transform, which makes a role for a function without one. What is no role decides nothing here, so that
    # every parameter can meet all others.
    whole = expansion(template)
    roles = {name: it for name, it in whole.resources.items() if it["Type"] == "AWS::IAM::Role"}
    it = Expansion({**whole.document, "Resources": roles, "Outputs": {}}, FORMS)
    bounded = set()
    for given in it.combinations():
        boundary = given.get("PermissionsBoundary", "")
        for name, role in it.resolve(given).of_type("AWS::IAM::Role").items():
            assert role.properties.get("PermissionsBoundary", "") == boundary, (name, given)
            if boundary:
                bounded.add(name)
    assert bounded == roles.keys(), "no combination makes these with a boundary, so nothing was checked"


def test_every_template_that_makes_roles_takes_a_boundary_and_the_suite_passes_it_on():
    made = {kind["Type"] for template in TEMPLATES for kind in expansion(template).resources.values()}
    bounded = {"AWS::IAM::Policy", "AWS::IAM::Role", "AWS::IAM::InstanceProfile"}  # the roles of the other two
    assert {it for it in made if "IAM" in it} == bounded, "has it a boundary, too?"
    boundary, description = load(SUITE)["Parameters"]["PermissionsBoundary"], "Description"
    for template in WITH_A_ROLE:
        own = load(template)["Parameters"]["PermissionsBoundary"]
        assert {**own, description: ""} == {**boundary, description: ""}, template
    for name, it in load(SUITE)["Resources"].items():
        if it["Type"] == "AWS::Serverless::Application":
            passed = it["Properties"]["Parameters"]["PermissionsBoundary"]
            assert passed == {"Ref": "PermissionsBoundary"}, name


@pytest.mark.lint
@pytest.mark.parametrize("template", [template for template in TEMPLATES if "Transform" in load(template)])
def test_cfn_lint_has_nothing_to_say_about_what_the_transform_makes(template):
    import cfnlint.api  # takes seconds, which each process of a run side by side would spend
    from cfnlint.config import ManualArgs

    # W1028: a choice that a condition of its resource has made already. It is there for the tests, which look at every
    # resource without its condition.
    settings = ManualArgs(regions=["us-east-1"], ignore_checks=["W1028"])
    found = cfnlint.api.lint(json.dumps(expansion(template).document), config=settings)
    assert [str(it) for it in found] == []


# The check itself: one fault of each kind, planted in a copy, is found ----------------------------


def own_statements(resources, role):
    [run] = [policy for policy in resources[role]["Properties"]["Policies"] if policy["PolicyName"] == "run"]
    return run["PolicyDocument"]["Statement"]


def without(resources, role, sid):
    """Takes a statement, with or without an Fn::If around it, out of the role and returns it."""
    found = own_statements(resources, role)
    [taken] = [it for it in found if sid in (it.get("Sid"), *(i.get("Sid") for i in it.get("Fn::If", [])[1:2]))]
    found.remove(taken)
    return taken


def apart(resources, role, sid, **more):
    """Moves a statement into a policy apart from the role, as it was before."""
    statement = without(resources, role, sid)
    resources["Apart"] = {
        "Type": "AWS::IAM::Policy",
        "Properties": {
            "PolicyName": "apart",
            "Roles": [{"Ref": role}],
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement, {**ALLOW, **more}]},
        },
    }


ALLOW = {"Sid": "More", "Effect": "Allow", "Action": "health:DescribeEvents", "Resource": "*"}


def in_absent(resources, document):
    resources["FailureQueueAlarm"]["Properties"]["AlarmDescription"] = {"Ref": "LinkPolicy"}


def in_nothing(resources, document):
    resources["FailureQueueAlarm"]["Properties"]["AlarmDescription"] = {"Fn::Sub": "See ${FailureQeue.Arn}"}


def in_absent_branch(resources, document):
    topic = {"Fn::If": ["HasNotifyTopicKey", {"Ref": "FailureQeue"}, {"Ref": "AWS::NoValue"}]}
    resources["UpdaterSchedule"]["Properties"]["Description"] = topic


def in_output(resources, document):
    document["Outputs"]["RelayUrl"].pop("Condition")


def in_dependency(resources, document):
    resources["BuildPermission"]["DependsOn"] = "BuildTopicPolicyy"


def in_circle(resources, document):
    resources["FailureQueue"]["DependsOn"] = "FailureQueueAlarm"


def in_circle_of_some(resources, document):
    statement = {"Fn::If": ["HasLink", {**ALLOW, "Resource": {"Fn::GetAtt": ["AmiShareFunction", "Arn"]}}, NOTHING]}
    own_statements(resources, "ShareRole").append(statement)


NOTHING = {"Ref": "AWS::NoValue"}


def depend_late(resources, document):
    apart(resources, "ShareRole", "Trace")
    resources["AmiShareFunction"]["DependsOn"] = "LatestPolicy"


def same_name(resources, document):
    resources["SnapshotPolicy"]["Properties"]["PolicyName"] = "run"


def long_policy(resources, document):
    resources["KeyPolicy"]["Properties"]["PolicyDocument"]["Statement"][0]["Resource"] = [
        f"{KEY}{i}" for i in range(99)
    ]


def long_pattern(resources, document):
    document["Parameters"]["ExcludePrincipalArns"]["MaxLength"] = 900
    for rule in ("IamRule",):
        detail = resources[rule]["Properties"]["EventPattern"]["detail"]
        detail["requestParameters"] = {"name": [f"{ROLE}{number}" for number in range(30)]}


def foreign_key(resources, document):
    resources["RetryQueue"]["Properties"]["KmsMasterKeyId"] = f"{KEY}-2"


def forgotten(resources, document):
    variables = resources["IpRangesUpdaterFunction"]["Properties"]["Environment"]["Variables"]
    variables["SNS_MAX_AGE_SECONDS"] = {"Ref": "SnsMaxAgeSeconds"}


def forgotten_in_text(resources, document):
    resources["UpdaterSchedule"]["Properties"]["Description"] = {"Fn::Sub": "${SnsMaxAgeSeconds}"}


def long_variables(resources, document):
    document["Parameters"]["DataProtectionPolicy"]["MaxLength"] = 5000
    resources["MessageRedactorFunction"]["Properties"]["Environment"]["Variables"]["MORE"] = "m" * 1500


def bad_default(resources, document):
    document["Parameters"]["PrefixName"]["Default"] = "sg-mine"


def bad_example(resources, document):
    document["Parameters"]["Ports"]["AllowedPattern"] = "^[0-9]+$"


def no_way_in(resources, document):
    document["Rules"]["Never"] = {"Assertions": [{"Assert": {"Fn::Equals": ["a", "b"]}, "AssertDescription": "Never."}]}


PLANTED = {
    "a resource that is absent then": (AMIS, in_absent, "FailureQueueAlarm refers to LinkPolicy, which is not there"),
    "a resource that is nowhere": (AMIS, in_nothing, "FailureQueueAlarm refers to FailureQeue, which is not declared"),
    "nowhere, in a branch": (IP_RANGES, in_absent_branch, "UpdaterSchedule refers to FailureQeue, which is not"),
    "an output": (MESSAGES, in_output, "the output RelayUrl refers to RelayUrl, which is not there"),
    "a dependency": (AMIS, in_dependency, "BuildPermission refers to BuildTopicPolicyy, which is not declared"),
    "a circle": (IP_RANGES, in_circle, "these wait for each other"),
    "a circle of some": (AMIS, in_circle_of_some, "these wait for each other"),
    "tracing late": (AMIS, lambda r, _: apart(r, "ShareRole", "Trace"), "before ShareRole has xray:PutTraceSegments"),
    "tracing late, of three": (AMIS, lambda r, _: apart(r, "ApprovalPageRole", "Trace"), "has xray:PutTraceSegments"),
    "after another policy": (AMIS, depend_late, "before ShareRole has xray:PutTraceSegments"),
    "no tracing": (MESSAGES, lambda r, _: without(r, "RelayRole", "Trace"), "RelayRole lacks it"),
    "destination late": (
        IP_RANGES, lambda r, _: apart(r, "UpdaterRole", "KeepFailedEvents"), "UpdaterRole has sqs:SendMessage"),
    "no destination": (IAM_ALERTS, lambda r, _: without(r, "MailRole", "KeepFailedEvents"), "needs sqs:SendMessage"),
    "source late": (PIPELINES, lambda r, _: apart(r, "RetryRole", "TakeFailures"), "RetryRole has sqs:ReceiveMessage"),
    "no key of the source": (PIPELINES, foreign_key, "needs kms:Decrypt on the key of <RetryQueue.Arn>"),
    "no log": (PIPELINES, lambda r, _: without(r, "RetryRole", "WriteLog"), "needs logs:CreateLogStream"),
    "trail before its bucket's policy": (
        IAM_ALERTS, lambda r, _: r["Trail"].pop("DependsOn"), "Trail does not wait for the AWS::S3::BucketPolicy"),
    "policies of one name": (AMIS, same_name, "ShareRole has several inline policies of the name run"),
    "too many characters of policies": (AMIS, long_policy, "the inline policies of ShareRole have"),
    "too long a pattern": (IAM_ALERTS, long_pattern, "EventPattern of IamRule has"),
    "too long variables": (MESSAGES, long_variables, "Environment of MessageRedactorFunction has"),
    "an empty text": (IP_RANGES, forgotten, "IpRangesUpdaterFunction has an empty text in Environment"),
    "an empty text by Fn::Sub": (IP_RANGES, forgotten_in_text, "UpdaterSchedule has an empty text in Description"),
    "a default": (IP_RANGES, bad_default, "its own default is refused: PrefixName"),
    "a documented example": (IP_RANGES, bad_example, "the example in its description is refused: Ports is '80,443"),
    "rules that admit nothing": (IAM_ALERTS, no_way_in, "its rules admit no combination of parameters"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name):
    template, change, said = PLANTED[name]
    document = copy.deepcopy(load(template))
    change(document["Resources"], document)
    found = faults(Expansion(document, FORMS, ALONE.get(template, ())))
    assert any(said in fault for fault, _ in found)


def test_what_the_transform_refuses_is_an_error_that_names_the_resource():
    document = copy.deepcopy(load(AMIS))
    document["Resources"]["ApprovalApi"]["Properties"]["Name"] = "approval"
    with pytest.raises(Refused, match=r"ApprovalApi.*Unable to set Name"):
        Expansion(document, FORMS)


@pytest.mark.parametrize(
    "unknown", [{"Fn::Base64": "text"}, {"Fn::FindInMap": ["a", "b", "c"]}, {"Fn::Sub": "text", "Other": "key"}]
)
def test_a_function_that_is_not_known_is_an_error_and_no_pass(unknown):
    document = copy.deepcopy(load(IP_RANGES))
    document["Resources"]["UpdaterSchedule"]["Properties"]["Description"] = unknown
    with pytest.raises(NotImplementedError, match="Fn::"):
        list(faults(Expansion(document, FORMS)))


def test_a_condition_that_is_not_declared_is_an_error():
    document = copy.deepcopy(load(IP_RANGES))
    document["Resources"]["UpdaterSchedule"]["Condition"] = "HasNothing"
    with pytest.raises(ValueError, match="there is no condition HasNothing"):
        list(faults(Expansion(document, FORMS)))


def test_a_parameter_that_a_condition_asks_about_needs_its_forms():
    forms = {name: values for name, values in FORMS.items() if name != "VpcId"}
    with pytest.raises(ValueError, match="VpcId: add its forms"):
        Expansion(load(IP_RANGES), forms).count()
