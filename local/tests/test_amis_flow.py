"""The amis capability as a whole: from Image Builder's notice to the shared image, with the real binaries.

AWS is the local AWS. The stack is read from the template: runbook, settings, routes and rule.
"""

import base64
import http.client
import json
import random
import re
import shlex
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from botocore import xform_name

from gatehouse_local import ROOT, events, image_builder
from gatehouse_local.amis import PAGE, PERSON, REQUEST, SHARE
from gatehouse_local.aws import operations
from gatehouse_local.runtime_api import ACCOUNT_ID

# As they are called here: each flow names the functions that it runs.
FUNCTIONS = ("ami-approval-request", "ami-approval-page", "ami-share")

ACCOUNT, OTHER_ACCOUNT = "111122223333", "444455556666"
ORGANIZATIONS = [f"arn:aws:organizations::123456789012:organization/o-abcdefghi{n}" for n in range(2)]
OU = "arn:aws:organizations::123456789012:ou/o-abcdefghi0/ou-ab12-cdefghij"
IMAGES = {"us-east-1": "ami-0123456789abcdef0", "eu-west-1": "ami-0fedcba9876543210"}
NEXT_IMAGES = {"us-east-1": "ami-0aaaaaaaaaaaaaaaa"}
KEY = f"{ACCOUNT_ID}:approved"
PRINCIPAL = "arn:aws:iam::123456789012:role/approvers"
HOUR = 3600


@pytest.fixture
def make(amis_stack):
    """Makes a stack with these parameters; it is stopped after the test."""
    return partial(amis_stack, IMAGES, TargetAccountIds=ACCOUNT, ApprovalLink="true")


def permissions(aws, image, region="us-east-1"):
    """Who may launch an image, read back from EC2."""
    found = aws.client("ec2", region).describe_image_attribute(ImageId=image, Attribute="launchPermission")
    return [next(iter(permission.values())) for permission in found["LaunchPermissions"]]


def shared(aws):
    return [permissions(aws, image, region) for region, image in IMAGES.items()]


def subjects(stack, to="approvers"):
    return [mail.subject for mail in stack.mails if mail.to == to]


def link(stack):
    [found] = {mail.link for mail in stack.mails if mail.link}
    return found


def fetch(url, form=None, method=None):
    """Status, headers and text of a page."""
    body = urllib.parse.urlencode(form).encode() if form is not None else None
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, headers, answer.read().decode()


def answer(stack, decision="approve", url=None, **form):
    """Sends the form of the page; status and text of what follows."""
    page, _, query = (url or link(stack)).partition("?")
    token = dict(urllib.parse.parse_qsl(query))
    status, _, text = fetch(page, token | {"decision": decision, "name": "Ana", "comment": "fine"} | form)
    stack.settle()
    return status, text


def build(stack, images=None, **options):
    """Image Builder ends a build; the outcome of the approval request."""
    outcome = stack.publish(image_builder.notice(images or IMAGES, **options.pop("notice", {})), **options)
    assert not outcome.failed, outcome.error_message
    return outcome


# The whole story ------------------------------------------------------------------------------


def test_an_approved_image_is_shared_and_everyone_hears_of_it(aws, make):
    stack = make(
        TargetAccountIds=f"{ACCOUNT},{OTHER_ACCOUNT}", TargetOrganizationArns=",".join(ORGANIZATIONS), TargetOuArns=OU
    )
    build(stack)
    [execution] = stack.executions
    assert execution.parameters["images"] == [f"{region}:{IMAGES[region]}" for region in sorted(IMAGES)]
    assert execution.tags["gatehouse:capability"] == "amis"
    assert execution.status == "Waiting"
    assert shared(aws) == [[], []], "nothing is shared before the approval"
    assert [mail.to for mail in stack.mails] == ["approvers"] * 2, (
        "the one of Systems Manager and the one with the link"
    )

    status, headers, text = fetch(link(stack))
    assert status == 200
    receivers = (ACCOUNT, OTHER_ACCOUNT, *ORGANIZATIONS, OU)
    for part in ("golden-al2023", *IMAGES.values(), *IMAGES, *receivers):
        assert part in text, part
    # Both mails say who receives it, and the execution records it.
    assert all(receiver in mail.text for mail in stack.mails for receiver in receivers)
    assert sorted(",".join(execution.parameters["receivers"]).split(",")) == sorted(receivers)
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")

    assert answer(stack, name="Ana Example", comment="Tested in staging.")[0] == 200
    assert execution.status == "Success"
    [(_, comment, _)] = execution.steps[0].decisions.values()
    assert "Ana Example" in comment and "Tested in staging." in comment
    for targets in shared(aws):
        assert sorted(targets) == sorted([ACCOUNT, OTHER_ACCOUNT, *ORGANIZATIONS, OU])
    [told] = [mail for mail in stack.mails if mail.to == "target accounts"]
    assert told.subject.startswith("Gatehouse amis: ")
    assert all(image in told.text for image in IMAGES.values())
    assert [call.error for call in aws.calls if call.error] == []


def test_an_approval_in_the_console_works_without_a_link(aws, make):
    stack = make(ApprovalLink="false")
    build(stack)
    [mail] = stack.mails
    assert (mail.to, mail.link) == ("approvers", None)
    assert mail.subject.startswith("Approval required")
    assert all(image in mail.text for image in IMAGES.values()) and "golden-al2023" in mail.text
    stack.signal(stack.executions[0].id)
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]


def test_a_rejected_image_is_not_shared_and_the_approvers_hear_of_it(aws, make):
    stack = make()
    build(stack)
    before = len(stack.mails)
    assert answer(stack, "reject")[0] == 200
    assert stack.executions[0].status == "Rejected"
    assert shared(aws) == [[], []]
    [mail] = stack.mails[before:]
    assert (mail.to, mail.subject) == ("approvers", "Gatehouse amis: golden-al2023 was rejected")
    assert stack.executions[0].id in mail.text and "Ana" in mail.text and "ApprovalPageRole" in mail.text
    assert SHARE not in [name for name, _ in stack.outcomes]


def test_an_approval_that_nobody_answers_times_out(aws, make):
    stack = make(ApprovalTimeout=str(HOUR))
    build(stack)
    before = len(stack.mails)
    stack.pass_time(HOUR + 1)
    [mail] = stack.mails[before:]
    assert (mail.subject, "TimedOut" in mail.text) == ("Gatehouse amis: golden-al2023 was not approved in time", True)
    status, _, text = fetch(link(stack))
    assert (status, "Too late" in text) == (410, True)
    assert answer(stack)[0] == 410
    assert shared(aws) == [[], []]


def test_a_failed_build_asks_for_nothing_and_says_why(make):
    stack = make()
    notice = image_builder.failed_notice()
    assert not stack.publish(notice).failed
    assert stack.executions == []
    [mail] = stack.mails
    assert mail.subject.startswith("Gatehouse amis: ")
    assert "FAILED" in mail.text and notice["state"]["reason"] in mail.text and notice["arn"] in mail.text


def test_a_build_of_a_container_image_asks_for_nothing(make):
    stack = make()
    build(stack, notice={"outputResources": {"containers": []}, "type": "DOCKER"})
    assert stack.executions == []


def test_images_of_other_accounts_are_not_shared_from_here(make):
    stack = make()
    notice = image_builder.notice(IMAGES)
    notice["outputResources"]["amis"][1]["accountId"] = OTHER_ACCOUNT
    assert not stack.publish(notice).failed
    assert stack.executions[0].parameters["images"] == [f"us-east-1:{IMAGES['us-east-1']}"]
    assert any(OTHER_ACCOUNT in mail.text for mail in stack.mails)


# Twice ----------------------------------------------------------------------------------------


def test_a_notice_that_is_delivered_twice_asks_once(make):
    stack = make()
    build(stack, deliveries=2)
    assert len(stack.executions) == 1
    assert len({mail.link for mail in stack.mails if mail.link}) == 1, "the second mail has the same link"


def test_the_next_build_has_an_approval_of_its_own(aws, make):
    stack = make()
    build(stack)
    aws.images.create(NEXT_IMAGES["us-east-1"])
    build(stack, NEXT_IMAGES, notice={"build": 4})
    assert len(stack.executions) == 2


def test_sharing_twice_changes_nothing_and_tells_the_target_accounts_once(aws, make):
    stack = make()
    build(stack)
    answer(stack)
    event = {"executionId": stack.executions[0].id}
    before = len([mail for mail in stack.mails if mail.to == "target accounts"])
    assert before == 1
    with aws.recording() as calls:
        outcome = stack.invoke(SHARE, event)
    stack.settle()
    assert not outcome.failed
    assert {image["outcome"] for image in outcome.payload["images"]} == {"unchanged"}
    assert "ModifyImageAttribute" not in operations(calls)
    assert len([mail for mail in stack.mails if mail.to == "target accounts"]) == before


def test_two_stacks_side_by_side_ask_each_for_itself(aws, make):
    stacks = [make(), make(name="second")]
    for stack in stacks:
        build(stack)
    first, second = stacks[0].executions
    assert {first.document, second.document} == {"gatehouse-gatehouse-approval", "gatehouse-second-approval"}
    # Neither shares what the other's approvers approved.
    assert stacks[0].invoke(SHARE, {"executionId": second.id}).error_type == "NotApproved"
    foreign = link(stacks[0]).partition("?")[2]
    assert answer(stacks[1], url=f"{stacks[1].gateway.url}?{foreign}")[0] == 403
    assert answer(stacks[1])[0] == 200
    assert (first.status, second.status) == ("Waiting", "Success")
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]


def test_a_build_with_other_receivers_than_before_is_told_and_asks_for_nothing(aws, make):
    build(make())
    changed = make(TargetAccountIds=OTHER_ACCOUNT)
    outcome = changed.publish(image_builder.notice(IMAGES))
    assert [report["outcome"] for report in outcome.payload] == ["NotRequested"]
    assert len(changed.executions) == 1
    assert "Gatehouse amis: golden-al2023 was not requested" in subjects(changed)


# Builds by EventBridge ------------------------------------------------------------------------


def test_a_build_that_eventbridge_reports_is_asked_for_without_a_topic(aws, make):
    stack = make(BuildEvents="on")
    stack.build_event(image_builder.notice(IMAGES))
    [execution] = stack.executions
    assert execution.parameters["images"] == [f"{region}:{IMAGES[region]}" for region in sorted(IMAGES)]
    assert answer(stack)[0] == 200
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]


def test_a_build_that_both_report_is_asked_for_once(make):
    stack = make(BuildEvents="on")
    build(stack)
    stack.build_event(image_builder.notice(IMAGES))
    assert len(stack.executions) == 1
    assert {outcome.payload[0]["outcome"] for _, outcome in stack.outcomes} == {"Requested"}


def test_a_failed_build_that_eventbridge_reports_says_why(make):
    stack = make(BuildEvents="on")
    notice = image_builder.failed_notice()
    stack.build_event(notice)
    [mail] = stack.mails
    assert notice["state"]["reason"] in mail.text


def test_without_the_setting_builds_of_eventbridge_are_nobodys(make):
    stack = make()
    stack.build_event(image_builder.notice(IMAGES))
    assert (stack.executions, stack.mails) == ([], [])


# Ask again ------------------------------------------------------------------------------------


def again(stack):
    """What the mail about the end of an approval says to run."""
    commands = [found for mail in stack.mails if (found := re.search(r"--payload '(\{.*?\})'", mail.text))]
    outcome = stack.invoke(REQUEST, json.loads(commands[-1][1]))
    stack.settle()
    return outcome


@pytest.mark.parametrize("end", ["Rejected", "TimedOut"])
def test_what_was_rejected_or_timed_out_is_asked_for_again_and_approved(aws, make, end):
    stack = make(ApprovalTimeout=str(HOUR))
    build(stack)
    if end == "Rejected":
        answer(stack, "reject")
    else:
        stack.pass_time(HOUR + 1)
    first = stack.executions[0]
    assert first.status == end
    for _ in range(2):  # the command, and the command once more
        assert again(stack).payload[0]["outcome"] == "Requested"
    _, second = stack.executions
    same = ("images", "imageName", "buildArn", "receivers")
    assert [second.parameters[name] for name in same] == [first.parameters[name] for name in same]
    assert second.tags == first.tags
    url = link_of_last(stack)
    assert second.id in url
    if end == "Rejected":  # the clock of the functions stands still, that of Automation does not
        assert answer(stack, url=url)[0] == 200
    else:
        stack.signal(second.id)
    assert second.status == "Success"
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]


def test_what_still_waits_is_not_asked_for_again(make):
    stack = make()
    build(stack)
    outcome = stack.invoke(REQUEST, {"again": stack.executions[0].id})
    assert (outcome.payload[0]["outcome"], len(stack.executions)) == ("NotRequested", 1)


# Nothing but an approval shares ---------------------------------------------------------------


def refused(stack, event):
    """ami-share refuses this event, changes nothing, and the approvers hear of it."""
    before = len(stack.mails)
    with stack.aws.recording() as calls:
        outcome = stack.invoke(SHARE, event)
    stack.settle()
    assert outcome.error_type == "NotApproved", outcome.error_message
    assert {call.operation for call in calls if call.writes} == {"Publish"}
    [mail] = stack.mails[before:]
    assert (mail.to, mail.subject) == ("approvers", "Gatehouse amis: refused to share what is not approved")
    return outcome.error_message


def test_an_image_is_not_shared_by_a_call_alone_whatever_its_tags(aws, make):
    stack = make(RequireImageBuilder="true", ApprovedWatermark="approved")
    event = {"images": [f"us-east-1:{IMAGES['us-east-1']}"], "imageName": "golden-al2023"}
    assert "names no execution" in refused(stack, event)
    assert "no such execution" in refused(stack, event | {"executionId": "00000000-0000-0000-0000-000000000000"})
    assert shared(aws) == [[], []]


@pytest.mark.parametrize("end", ["waits", "Reject", "times out"])
def test_an_execution_that_did_not_approve_shares_nothing(aws, make, end):
    stack = make(ApprovalTimeout=str(HOUR))
    build(stack)
    if end == "Reject":
        stack.signal(stack.executions[0].id, end)
    elif end == "times out":
        stack.pass_time(HOUR + 1)
    assert "aws:approve" in refused(stack, {"executionId": stack.executions[0].id})
    assert shared(aws) == [[], []]


def test_a_runbook_of_somebody_else_approves_nothing(aws, make):
    stack = make()
    build(stack)
    aws.images.create(NEXT_IMAGES["us-east-1"])
    own = aws.ssm_automation._documents["us-east-1", "gatehouse-gatehouse-approval"]
    content = own | {
        "mainSteps": [own["mainSteps"][0] | {"inputs": {"Approvers": ["arn:aws:iam::123456789012:user/me"]}}]
    }
    aws.ssm_automation.create("mine", content)
    for tags, reason in (
        ([], "has no tag gatehouse:capability"),
        ([{"Key": "gatehouse:capability", "Value": "amis"}], 'the document "mine"'),
    ):
        started = stack.ssm.start_automation_execution(
            DocumentName="mine", Parameters=stack.executions[0].parameters, Tags=tags
        )
        stack.aws.ssm_automation.assume("me", "arn:aws:iam::123456789012:user/me")
        stack.signal(started["AutomationExecutionId"], who="me")
        assert reason in refused(stack, {"executionId": started["AutomationExecutionId"]})
    assert shared(aws) == [[], []]


def test_an_approval_holds_for_its_images_its_build_and_its_receivers(aws, make):
    stack = make()
    build(stack)
    execution = stack.executions[0]
    other = aws.images.create(NEXT_IMAGES["us-east-1"])
    aws.disturb("refuse", service="ec2", operation="ModifyImageAttribute", code="OperationNotPermitted", times=None)
    stack.signal(execution.id)
    aws.calm()
    assert (execution.status, shared(aws)) == ("Failed", [[], []])
    event = {"executionId": execution.id}
    assert "not about the image" in refused(stack, event | {"images": [f"us-east-1:{other.id}"]})
    build_of_another = "arn:aws:imagebuilder:us-east-1:012345678912:image/other/9.9.9/1"
    assert "not about arn:aws:" in refused(stack, event | {"buildArn": build_of_another})
    aws.images.images["us-east-1", IMAGES["us-east-1"]].tags["Ec2ImageBuilderArn"] = build_of_another
    assert "the tag Ec2ImageBuilderArn" in refused(stack, event)
    aws.images.images["us-east-1", IMAGES["us-east-1"]].tags["Ec2ImageBuilderArn"] = execution.parameters["buildArn"][0]
    # The receivers were changed by a deployment.
    changed = make(TargetAccountIds=OTHER_ACCOUNT)
    assert "have changed since" in refused(changed, event)
    # With all as it was approved, the repeat shares.
    assert not stack.invoke(SHARE, event).failed
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]


EFFECTS = {
    "ShareSnapshots": "true",
    "ApprovedWatermark": "approved",
    "LatestParameter": "/golden-ami/{name}/latest",
    "DeprecatePreviousAfterDays": "30",
}


@pytest.mark.parametrize(
    "changed", [{}, *({name: value} for name, value in EFFECTS.items() if "Deprecate" not in name)]
)
def test_what_is_done_besides_is_approved_with_the_image(aws, make, changed):
    given = EFFECTS if not changed else {}
    stack = make(**given)
    build(stack)
    execution = stack.executions[0]
    if given:  # both mails and the page name it
        named = ("Snapshots", "approved", "/golden-ami/{name}/latest", "after 30 days")
        texts = [mail.text for mail in stack.mails] + [fetch(link(stack))[2]]
        assert len(texts) == 3 and all(part in text for part in named for text in texts)
    aws.disturb("refuse", service="ec2", operation="ModifyImageAttribute", code="OperationNotPermitted", times=None)
    stack.signal(execution.id)
    aws.calm()
    for region, image in IMAGES.items():
        aws.images.images[region, image].watermarks.clear()
    # A deployment between the approval and the repeat turns it on, or off.
    event = {"executionId": execution.id}
    assert "ask for the approval again" in refused(make(**changed), event)
    assert shared(aws) == [[], []]
    # As it was approved, the repeat does it.
    assert not stack.invoke(SHARE, event).failed
    for region, image in IMAGES.items():
        found = aws.images.images[region, image]
        assert bool(found.watermarks) is bool(given)
        assert [it.permissions for it in found.snapshots] == [[{"UserId": ACCOUNT}] if given else []]


def test_without_the_check_the_caller_decides_and_no_mail_says_approved(aws, make):
    stack = make(RequireApproval="false")
    assert not stack.invoke(SHARE, {"images": [f"us-east-1:{IMAGES['us-east-1']}"]}).failed
    stack.settle()
    assert permissions(aws, IMAGES["us-east-1"]) == [ACCOUNT]
    [told] = stack.mails
    assert (told.to, "approved" in told.text) == ("target accounts", False)


# Watermarks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_the_watermark_is_on_approved_images_alone_and_not_on_what_inherits_it(aws, make, decision):
    stack = make(ApprovedWatermark="approved")
    parent = aws.images.create("ami-00000000000000001")
    parent.watermarks[KEY] = (parent.id, datetime.now(UTC))
    images = [aws.images.create(image, region, parent=parent) for region, image in IMAGES.items()]
    assert all(KEY in image.watermarks for image in images), "as EC2 makes them"
    build(stack)
    assert [image.watermarks for image in images] == [{}, {}], "it waits"
    # A copy made of it meanwhile, as Image Builder distributes it.
    images[0].watermarks[KEY] = parent.watermarks[KEY]
    answer(stack, decision)
    if decision == "approve":
        assert [image.watermarks[KEY][0] for image in images] == [image.id for image in images]
    else:
        assert [image.watermarks for image in images] == [{}, {}]
    assert parent.watermarks[KEY][0] == parent.id


def test_an_image_that_is_gone_keeps_the_inherited_watermark_on_no_other(aws, make):
    stack = make(ApprovedWatermark="approved", ApprovalTimeout=str(HOUR))
    parent = aws.images.create("ami-00000000000000001")
    parent.watermarks[KEY] = (parent.id, datetime.now(UTC))
    images = {"us-east-1": [IMAGES["us-east-1"], *NEXT_IMAGES.values()]}
    for image in images["us-east-1"]:
        aws.images.create(image)
    notice = image_builder.notice(IMAGES)
    notice["outputResources"]["amis"].append({"region": "us-east-1", "image": NEXT_IMAGES["us-east-1"]})
    assert not stack.publish(notice).failed
    gone, other = (aws.images.images["us-east-1", image] for image in images["us-east-1"])
    gone.state, other.watermarks[KEY] = "deregistered", parent.watermarks[KEY]
    stack.pass_time(HOUR + 1)
    assert other.watermarks == {}
    assert not any("could not be detached" in mail.text for mail in stack.mails)


# Alarms ---------------------------------------------------------------------------------------


def failed_metric(outcome):
    """What the function counted as Failed in one invocation."""
    [line] = [json.loads(line) for line in outcome.log if '"_aws"' in line]
    return line["Failed"]


@pytest.mark.parametrize(
    ("service", "operation", "code", "error_type"),
    [
        ("ssm", "GetAutomationExecution", "AccessDeniedException", "Automation"),
        ("ssm", "GetAutomationExecution", "InternalServerError", "Automation"),
        ("kms", "VerifyMac", "AccessDeniedException", "Key"),
    ],
)
def test_the_alarm_of_the_page_sees_what_the_page_answers(aws, make, service, operation, code, error_type):
    stack = make()
    build(stack)
    aws.disturb("refuse", service=service, operation=operation, code=code, times=None)
    assert fetch(link(stack))[0] == 503
    aws.calm()
    name, outcome = stack.outcomes[-1]
    assert (name, outcome.failed) == (PAGE, False), "Errors of Lambda stays 0"
    assert any(f'"errorType":"{error_type}"' in line for line in outcome.log)
    alarms = [it["Properties"] for it in stack._deployed.of_type("AWS::CloudWatch::Alarm").values()]
    [alarm] = [
        it for it in alarms
        if it.get("Dimensions") == [{"Name": "FunctionName", "Value": "<AmiApprovalPageFunction>"}]
        and it["Namespace"] == "Gatehouse"
    ]  # fmt: skip
    assert failed_metric(outcome) > alarm["Threshold"]


def test_a_page_that_is_not_ready_yet_is_no_failure(aws, make):
    stack = make()
    build(stack)
    stack.executions[0].steps[0].status = "Pending"
    status, _, text = fetch(link(stack))
    assert (status, "Not ready yet" in text) == (503, True)
    assert failed_metric(stack.outcomes[-1][1]) == 0


# Links ----------------------------------------------------------------------------------------


def test_a_prefetched_link_changes_nothing(aws, make):
    stack = make()
    build(stack)
    with aws.recording() as calls:
        for method in ("GET", "HEAD"):
            status, _, text = fetch(link(stack), method=method)
            assert (status, bool(text)) == (200, method == "GET")
    assert [call.operation for call in calls if call.writes] == []
    assert stack.executions[0].status == "Waiting"


def test_a_replayed_link_says_that_it_is_decided(aws, make):
    stack = make()
    build(stack)
    assert answer(stack)[0] == 200
    before = len(stack.mails)
    for decision in ("approve", "reject"):
        status, text = answer(stack, decision)
        assert (status, "Already approved" in text) == (409, True)
    assert fetch(link(stack))[0] == 409
    assert (stack.executions[0].status, len(stack.mails)) == ("Success", before)


def test_a_link_expires(aws, make):
    stack = make(LinkTtlHours="1")
    build(stack)
    key = stack.key.material
    execution = stack.executions[0]
    # The link of an execution that started two hours ago, as the function would sign it.
    token = events.link_token(execution.id, execution.started - timedelta(hours=1), key)
    status, text = answer(stack, url=f"{stack.gateway.url}?token={token}")
    assert (status, "expired" in text) == (410, True)
    assert fetch(f"{stack.gateway.url}?token={token}")[0] == 410
    assert execution.status == "Waiting"
    # The real one is what the function would have signed then.
    expected = events.link_token(execution.id, execution.started + timedelta(hours=1), key)
    assert link(stack).endswith(f"?token={expected}")


def test_the_page_of_an_unknown_execution_and_of_a_service_that_is_down(aws, make):
    stack = make()
    build(stack)
    token = events.link_token(events.AMIS_EXECUTION, events.LINK_EXPIRES, stack.key.material)
    assert answer(stack, url=f"{stack.gateway.url}?token={token}")[0] == 404
    aws.disturb("refuse", service="ssm", operation="GetAutomationExecution", code="InternalServerError", times=None)
    status, text = answer(stack)
    assert (status, "<h1>" in text) == (503, True)
    aws.calm()
    assert stack.executions[0].status == "Waiting"


def test_no_function_ever_has_the_key_and_each_asks_kms_for_its_part(aws, make):
    stack = make()
    build(stack)
    fetch(link(stack))
    of_kms = [call.operation for call in aws.calls if call.service == "kms"]
    assert of_kms == ["GenerateMac", "VerifyMac"]
    written = "\n".join(line for _, outcome in stack.outcomes for line in outcome.log)
    written += json.dumps([outcome.payload for _, outcome in stack.outcomes]) + "".join(it.text for it in stack.mails)
    for spelled in (base64.b64encode(stack.key.material).decode(), stack.key.material.hex()):
        assert spelled not in written
    assert [call.operation for call in aws.calls if "Parameter" in call.operation] == []


def commands(section):
    """The commands of a section of the README."""
    readme = (ROOT / "functions" / "amis" / "README.md").read_text()
    [text] = re.findall(rf"^## {section}\n(.*?)^## ", readme, re.MULTILINE | re.DOTALL)
    return "".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)).replace("\\\n", "").splitlines()


def words_of(command, values):
    """The words of a command, with what a person enters in the place of `<name>`."""
    return shlex.split(re.sub(r"<(?:output )?(.*?)>", lambda found: values[found[1]], command))


def options(words):
    return {words[at]: words[at + 1] for at in range(len(words) - 1) if words[at].startswith("--")}


def run(aws, command, values):
    """Makes the call of the AWS CLI."""
    _, service, operation, *_ = words = words_of(command, values)
    client, method = aws.client(service), operation.replace("-", "_")
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    members = {f"--{xform_name(member, '-')}": member for member in model.input_shape.members}
    return getattr(client, method)(**{members[name]: value for name, value in options(words).items()})


def test_the_commands_of_the_readme_void_every_link_and_make_new_ones(aws, make):
    stack = make()
    build(stack)
    old, execution = link(stack), stack.executions[0]
    values = {"LinkKeyArn": stack.key.arn, "id of the execution": execution.id, "RequestFunctionName": REQUEST}
    disable, *deploys, cancel = commands("Void all links")
    [ask_again] = commands("Ask again")
    assert fetch(old)[0] == 200

    run(aws, disable, values)
    assert [fetch(old)[0], answer(stack)[0], execution.status] == [403, 403, "Waiting"]
    run(aws, disable.replace("disable-key", "enable-key"), values)
    assert fetch(old)[0] == 200

    # CloudFormation deletes the key with the page, and makes another one.
    deploys = [words_of(command, values) for command in deploys]
    assert [words[:4] for words in deploys] == [["sam", "deploy", "--config-env", "amis"]] * 2
    without, renewed = (make(**dict([options(words)["--parameter-overrides"].split("=")])) for words in deploys)
    assert without.link_key is None
    days = stack.link_key["PendingWindowInDays"]
    aws.client("kms").schedule_key_deletion(KeyId=stack.key.arn, PendingWindowInDays=days)
    for url in (old, f"{renewed.gateway.url}?{old.partition('?')[2]}"):
        assert (fetch(url)[0], answer(renewed, url=url)[0]) == (403, 403)
    assert execution.status == "Waiting"

    # What waits is asked for again once it is cancelled, and the new link decides.
    again = json.loads(options(words_of(ask_again, values))["--payload"])
    assert renewed.invoke(REQUEST, again).payload[0]["outcome"] == "NotRequested"
    run(aws, cancel, values)
    renewed.settle()
    assert json.dumps(again) in renewed.mails[-1].text, "the message about the end has the command"
    assert renewed.invoke(REQUEST, again).payload[0]["outcome"] == "Requested"
    renewed.settle()
    assert answer(renewed, url=link_of_last(renewed))[0] == 200
    assert (execution.status, renewed.executions[-1].status) == ("Cancelled", "Success")
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]
    assert fetch(old)[0] == 403


def test_a_token_that_outlives_the_links_of_this_stack_is_refused(make):
    stack = make(LinkTtlHours="24", ApprovalTimeout=str(HOUR))
    build(stack)
    execution = stack.executions[0]
    expires = datetime.fromtimestamp(int(link(stack).split(".")[-2]), UTC)
    assert expires <= execution.started + timedelta(hours=1), "the link ends with the approval"
    for hours in (2, 24, 24 * 3650):
        token = events.link_token(execution.id, execution.started + timedelta(hours=hours), stack.key.material)
        assert answer(stack, url=f"{stack.gateway.url}?token={token}")[0] == 403
    assert execution.status == "Waiting"


def link_of_last(stack):
    return [mail.link for mail in stack.mails if mail.link][-1]


def test_logs_hold_no_token(make):
    stack = make()
    build(stack)
    token = link(stack).partition("token=")[2]
    fetch(link(stack))
    answer(stack)
    log = "\n".join(line for name, outcome in stack.outcomes for line in outcome.log)
    assert token not in log
    assert token not in "\n".join(stack.gateway.log)
    assert len(stack.gateway.log) == 2


# Approvals ------------------------------------------------------------------------------------


def test_the_page_is_one_of_two_approvals_whoever_clicks(aws, make):
    stack = make(MinimumApprovals="2", ApproverPrincipalArn=PRINCIPAL)
    build(stack)
    execution = stack.executions[0]
    assert "0 of 2" in fetch(link(stack))[2]
    status, text = answer(stack, name="Ana")
    assert (status, "1 of 2" in text) == (200, True)
    assert "ApprovalPageRole" in fetch(link(stack))[2], "the page shows which roles have voted"
    status, text = answer(stack, name="Ben")
    assert (status, execution.status) == (409, "Waiting")
    assert "one approver" in text
    assert shared(aws) == [[], []]
    stack.signal(execution.id, who=PERSON)
    assert execution.status == "Success"
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]


def test_one_rejection_is_enough_where_two_approvals_are_needed(aws, make):
    stack = make(MinimumApprovals="2", ApproverPrincipalArn=PRINCIPAL)
    build(stack)
    answer(stack)
    stack.signal(stack.executions[0].id, "Reject")
    assert (stack.executions[0].status, shared(aws)) == ("Rejected", [[], []])


# No unauthenticated request changes anything --------------------------------------------------

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATHS = ("/approval", "/approval/", "/", "/approve", "/APPROVAL", "/approval/approve", "//approval", "/approval%2f")


def mutated(token, count, seed=8):
    """Tokens that differ from a valid one in one to three places, or in their length."""
    chance = random.Random(seed)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= "
    made = set()
    while len(made) < count:
        text = list(token)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(text))
            change = chance.choice("replace insert delete swap".split())
            if change == "replace":
                text[place] = chance.choice(letters)
            elif change == "insert":
                text.insert(place, chance.choice(letters))
            elif change == "delete" and len(text) > 1:
                del text[place]
            else:
                other = chance.randrange(len(text))
                text[place], text[other] = text[other], text[place]
        if (result := "".join(text)) != token:
            made.add(result)
    return sorted(made)


def test_no_method_and_no_path_changes_anything_without_a_token(aws, make):
    stack = make()
    build(stack)
    host, _, _ = stack.gateway.url.removeprefix("http://").partition("/")
    with aws.recording() as calls:
        for method in METHODS:
            for path in PATHS:
                for body in (None, "decision=approve&name=Ana", "token=&decision=approve&name=Ana"):
                    connection = http.client.HTTPConnection(host, timeout=60)
                    connection.request(method, path, body, {"Content-Type": "application/x-www-form-urlencoded"})
                    status = connection.getresponse().status
                    connection.close()
                    assert 400 <= status < 500, (method, path, body, status)
    assert [call.operation for call in calls if call.writes] == []
    assert (stack.executions[0].status, stack.executions[0].steps[0].decisions) == ("Waiting", {})


def test_a_token_in_the_address_decides_nothing(aws, make):
    """A form that another site sends, or a link that a scanner posts to, has no decision of a person."""
    stack = make()
    build(stack)
    for form in ({}, {"decision": "approve", "name": "Ana"}):
        status, _, _ = fetch(link(stack), form)
        assert status == 400
    assert stack.executions[0].status == "Waiting"


def test_mutated_tokens_change_nothing(aws, make):
    """Ten thousand of them are a property of `approval::link`, in Rust; here the whole way of a few."""
    stack = make()
    build(stack)
    token = link(stack).partition("token=")[2]
    with aws.recording() as calls:
        for number, wrong in enumerate(mutated(token, 60)):
            form = {"token": wrong, "decision": "approve", "name": "Ana"}
            event = (
                events.http_request("POST", {}, form) if number % 2 else events.http_request("GET", {"token": wrong})
            )
            payload = stack.functions[PAGE].invoke(event).payload
            assert payload["statusCode"] in (400, 403, 404), wrong
    assert [call.operation for call in calls if call.writes] == []
    assert "GetAutomationExecution" not in operations(calls), "nothing is read for a token that is not valid"
    assert stack.executions[0].status == "Waiting"
    assert answer(stack)[0] == 200


def test_a_stranger_cannot_signal(make):
    stack = make()
    build(stack)
    with pytest.raises(Exception, match="is not an approver"):
        stack.signal(stack.executions[0].id, who="stranger")


def test_an_unsigned_notice_is_refused(make):
    stack = make()
    event = events.load("amis/request-available.json")
    outcome = stack.invoke(REQUEST, event)
    assert outcome.failed and outcome.error_type == "Refused"
    assert stack.executions == []


# Sharing --------------------------------------------------------------------------------------


def approved(make, **parameters):
    """A stack whose build was approved."""
    stack = make(**parameters)
    build(stack)
    stack.signal(stack.executions[0].id)
    return stack


def test_an_image_that_fails_is_reported_to_the_approvers_and_the_others_are_shared(aws, make):
    stack = make()
    build(stack)
    aws.disturb(
        "refuse",
        service="ec2",
        operation="ModifyImageAttribute",
        region="eu-west-1",
        code="OperationNotPermitted",
        times=None,
    )
    stack.signal(stack.executions[0].id)
    aws.calm()
    assert shared(aws) == [[ACCOUNT], []]
    assert stack.executions[0].status == "Failed"
    failures = [
        mail
        for mail in stack.mails
        if mail.to == "approvers" and IMAGES["eu-west-1"] in mail.text and "OperationNotPermitted" in mail.text
    ]
    assert failures
    told = [mail.text for mail in stack.mails if mail.to == "target accounts"]
    assert len(told) == 1 and IMAGES["us-east-1"] in told[0]
    # Once the cause is gone, a second run shares the rest.
    assert "Sharing it failed" in fetch(link(stack))[2]
    assert not stack.invoke(SHARE, {"executionId": stack.executions[0].id}).failed
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]


def test_one_account_that_ec2_does_not_know_keeps_none_of_the_others_from_the_image(aws, make):
    aws.images.unknown_accounts = {"999999999999"}
    stack = make(TargetAccountIds=f"{ACCOUNT},999999999999,{OTHER_ACCOUNT}", ShareSnapshots="true")
    build(stack)
    stack.signal(stack.executions[0].id)
    assert [sorted(found) for found in shared(aws)] == [[ACCOUNT, OTHER_ACCOUNT]] * 2
    for region, image in IMAGES.items():
        [snapshot] = aws.images.images[region, image].snapshots
        assert snapshot.permissions == [{"UserId": ACCOUNT}, {"UserId": OTHER_ACCOUNT}]
    assert stack.executions[0].status == "Failed"
    assert any("999999999999" in mail.text for mail in stack.mails if mail.subject and "not shared" in mail.subject)
    assert ACCOUNT in shared(aws)[0]


@pytest.mark.parametrize("name", ["Review", "approve-image"])
def test_a_runbook_may_call_its_steps_as_it_likes(aws, make, name):
    stack = make()
    document = aws.ssm_automation._documents["us-east-1", "gatehouse-gatehouse-approval"]
    document["mainSteps"][0]["name"], document["mainSteps"][1]["name"] = name, f"after-{name}"
    build(stack)
    assert answer(stack)[0] == 200
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]


def test_an_image_encrypted_with_an_aws_managed_key_is_refused_before_anything_is_changed(aws, make):
    key = managed_key(aws, "AWS")
    stack = make()
    aws.images.create(IMAGES["us-east-1"], key=key, aws_managed=True)
    build(stack)
    with aws.recording() as calls:
        stack.signal(stack.executions[0].id)
    changed = [call.region for call in calls if call.operation == "ModifyImageAttribute"]
    assert "us-east-1" not in changed
    assert any(key in mail.text and mail.to == "approvers" for mail in stack.mails)


def test_a_customer_managed_key_is_shared_and_the_report_gives_the_statement_for_its_policy(aws, make):
    key = managed_key(aws, "CUSTOMER")
    stack = make()
    aws.images.create(IMAGES["us-east-1"], key=key)
    build(stack)
    stack.signal(stack.executions[0].id)
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]
    [owner] = [mail for mail in stack.mails if key in mail.text]
    assert owner.to == "approvers" and "kms:CreateGrant" in owner.text and ACCOUNT in owner.text
    [told] = [mail.text for mail in stack.mails if mail.to == "target accounts"]
    assert "policy of the key" in told and "kms:" not in told


def managed_key(aws, manager):
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.kms.models import kms_backends

    key = aws.client("kms").create_key()["KeyMetadata"]
    kms_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].keys[key["KeyId"]].key_manager = manager
    return key["Arn"].replace(DEFAULT_ACCOUNT_ID, ACCOUNT_ID)  # moto finds it by its id


def test_watermark_latest_parameter_and_deprecation(aws, make):
    stack = approved(
        make,
        ApprovedWatermark="approved",
        LatestParameter="/golden-ami/{name}/latest",
        DeprecatePreviousAfterDays="30",
    )
    for region, image in IMAGES.items():
        assert list(aws.images.images[region, image].watermarks) == [f"{ACCOUNT_ID}:approved"]
        latest = aws.client("ssm", region).get_parameter(Name="/golden-ami/golden-al2023/latest")["Parameter"]
        assert (latest["Value"], latest["DataType"]) == (image, "aws:ec2:image")
        assert aws.images.images[region, image].deprecated is None
    aws.images.create(NEXT_IMAGES["us-east-1"])
    build(stack, NEXT_IMAGES, notice={"build": 4})
    stack.signal(stack.executions[1].id)
    assert aws.images.images["us-east-1", IMAGES["us-east-1"]].deprecated is not None, "of the same name"
    assert aws.images.images["eu-west-1", IMAGES["eu-west-1"]].deprecated is None
    latest = aws.client("ssm").get_parameter(Name="/golden-ami/golden-al2023/latest")["Parameter"]
    assert latest["Value"] == NEXT_IMAGES["us-east-1"]


def test_a_repeat_of_an_older_approval_never_moves_the_parameter_back(aws, make):
    name = "/golden-ami/golden-al2023/latest"
    stack = approved(make, LatestParameter="/golden-ami/{name}/latest", DeprecatePreviousAfterDays="0")
    older = stack.executions[0]
    newer = aws.images.create(NEXT_IMAGES["us-east-1"])
    build(stack, NEXT_IMAGES, notice={"build": 4})
    stack.signal(stack.executions[1].id)
    with aws.recording() as calls:
        outcome = stack.invoke(SHARE, {"executionId": older.id})
    assert {image["ami_id"]: image["latest"]["outcome"] for image in outcome.payload["images"]} == {
        IMAGES["us-east-1"]: "newer", IMAGES["eu-west-1"]: "unchanged"
    }  # fmt: skip
    assert not {"PutParameter", "EnableImageDeprecation"} & set(operations(calls))
    assert aws.client("ssm").get_parameter(Name=name)["Parameter"]["Value"] == newer.id
    assert newer.deprecated is None


def test_nothing_besides_is_done_for_an_image_that_is_not_of_the_approval(aws, make):
    stack = approved(make, **EFFECTS)
    others = [
        aws.images.create(image, region) for region, image in zip(IMAGES, ["ami-00000000000000001"] * 2, strict=True)
    ]
    assert not stack.invoke(SHARE, {"executionId": stack.executions[0].id}).failed
    for other in others:
        assert (other.watermarks, other.permissions, other.deprecated) == ({}, [], None)
        assert [it.permissions for it in other.snapshots] == [[]]
    names = {
        region: [it["Name"] for it in aws.client("ssm", region).describe_parameters()["Parameters"]]
        for region in IMAGES
    }
    assert names == {region: ["/golden-ami/golden-al2023/latest"] for region in IMAGES}


def test_an_image_of_another_pipeline_is_not_deprecated(aws, make):
    stack = approved(make, LatestParameter="/golden-ami/latest", DeprecatePreviousAfterDays="0")
    aws.images.create(NEXT_IMAGES["us-east-1"])
    build(stack, NEXT_IMAGES, notice={"name": "windows"})
    stack.signal(stack.executions[1].id)
    assert aws.client("ssm").get_parameter(Name="/golden-ami/latest")["Parameter"]["Value"] == NEXT_IMAGES["us-east-1"]
    assert aws.images.images["us-east-1", IMAGES["us-east-1"]].deprecated is None


def test_snapshots_are_shared_with_accounts_and_the_report_says_what_organizations_cannot_get(aws, make):
    stack = approved(make, ShareSnapshots="true", TargetOrganizationArns=ORGANIZATIONS[0])
    for region, image in IMAGES.items():
        [snapshot] = aws.images.images[region, image].snapshots
        assert snapshot.permissions == [{"UserId": ACCOUNT}]
    [told] = [mail.text for mail in stack.mails if mail.to == "target accounts"]
    assert "snapshot" in told.lower()


def test_an_image_that_image_builder_did_not_make_is_refused(aws, make):
    for settings in ({}, {"RequireApproval": "false", "RequireImageBuilder": "true"}):
        stack = make(**settings)
        aws.images.create(IMAGES["us-east-1"], tags={})
        build(stack)
        if execution := next((it for it in stack.executions if it.status == "Waiting"), None):
            stack.signal(execution.id)
        else:
            stack.invoke(SHARE, {"images": [f"us-east-1:{IMAGES['us-east-1']}"]})
            stack.settle()
        assert permissions(aws, IMAGES["us-east-1"]) == []
        assert any(IMAGES["us-east-1"] in mail.text for mail in stack.mails if mail.to == "approvers")


def test_a_dry_run_asks_for_nothing_and_shares_nothing(aws, make):
    stack = make(DryRun="true")
    build(stack)
    assert stack.executions == []
    outcome = stack.invoke(SHARE, {"images": [f"us-east-1:{IMAGES['us-east-1']}"]})
    assert outcome.error_type == "NotApproved"
    outcome = make(DryRun="true", RequireApproval="false").invoke(SHARE, {"ami_id": IMAGES["us-east-1"]})
    assert not outcome.failed
    assert [call.operation for call in aws.calls if call.writes] == []


def test_the_short_form_of_the_input_shares_an_image_of_this_region(aws, make):
    stack = make()
    build(stack)
    aws.disturb("refuse", service="ec2", operation="ModifyImageAttribute", code="OperationNotPermitted", times=None)
    stack.signal(stack.executions[0].id)
    aws.calm()
    event = {"ami_id": IMAGES["us-east-1"], "executionId": stack.executions[0].id}
    assert not stack.invoke(SHARE, event).failed
    assert shared(aws) == [[ACCOUNT], []]


# From the failure queue -----------------------------------------------------------------------


def record(event):
    """What Lambda writes to the queue when an event has failed to the end."""
    return {
        "version": "1.0",
        "timestamp": "2026-01-17T06:40:00.000Z",
        "requestContext": {"requestId": "1", "functionArn": "x", "condition": "RetriesExhausted"},
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
    }


@pytest.mark.parametrize("form", ["record", "undelivered"])
def test_what_is_in_the_failure_queue_can_be_sent_to_the_function_as_it_is(aws, make, form):
    stack = make()
    build(stack)
    execution = stack.executions[0]
    aws.disturb("refuse", service="ec2", operation="ModifyImageAttribute", code="OperationNotPermitted", times=None)
    stack.signal(execution.id)
    aws.calm()
    assert not stack.invoke(SHARE, record({"executionId": execution.id})).failed
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]
    aws.images.create(NEXT_IMAGES["us-east-1"])
    stack.publish(image_builder.notice(NEXT_IMAGES, build=7), form={"record": record, "undelivered": undelivered}[form])
    assert len(stack.executions) == 2


def undelivered(event):
    """What SNS writes to the queue of a subscription when Lambda did not accept the message."""
    message = dict(event["Records"][0]["Sns"])
    return message | {"SigningCertURL": message.pop("SigningCertUrl"), "UnsubscribeURL": message.pop("UnsubscribeUrl")}
