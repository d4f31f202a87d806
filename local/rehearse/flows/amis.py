"""amis: an image is shared after a person approved it. Systems Manager Automation is the local AWS."""

import copy
import json
import re
from typing import Any
from urllib.parse import urlencode

from gatehouse_local import events, image_builder
from gatehouse_local.ssm_automation import SsmAutomation
from gatehouse_local.wire import Request
from rehearse.recording import Invocation
from rehearse.world import REGION, FlowFailed, Stack, expect

TARGET = "444455556666"
CALLER = re.compile(r"Credential=([^/]+)/")
LINK = re.compile(r"^https?://\S+\?token=(\S+)$", re.MULTILINE)


def shares_what_was_approved(stack: Stack) -> str:
    """Image Builder's notice asks for an approval; the approver follows the link in the mail; the image is shared."""
    ec2, world = stack.world.client("ec2", stack.account), stack.world
    build = image_builder.notice({})["arn"].replace(image_builder.ACCOUNT_ID, stack.account)
    tags = {"CreatedBy": "EC2 Image Builder", "Ec2ImageBuilderArn": build}
    image = ec2.register_image(Name="golden-al2023", RootDeviceName="/dev/xvda")["ImageId"]
    ec2.create_tags(Resources=[image], Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
    automation = _automation(stack)
    with (
        world.listen(stack.ids["ApproverTopic"], stack.account) as approvers,
        world.listen(stack.ids["TargetTopic"], stack.account) as receivers,
    ):
        asked = _publish(stack, image_builder.notice({REGION: image}))
        if asked.failed:
            raise FlowFailed(f"the approval request failed: {asked.answer}")
        [execution] = automation.executions.values()
        expect("the execution before the approval", execution.status, "Waiting")
        expect("the receivers of the image before the approval", _receivers(stack, image), [])
        [mail] = approvers.wait(1, world)
        _follow(stack, mail["Message"])
        automation.wait()
        expect("the execution after the approval", (execution.status, execution.steps[-1].failure), ("Success", ""))
        expect("the receivers of the image", _receivers(stack, image), [TARGET])
        receivers.wait(1, world)
    ec2.deregister_image(ImageId=image)
    return "an image is shared after its approval by the link, and its receivers are mailed"


def refuses_another_signature(stack: Stack) -> str:
    """LocalStack signs with a key of its own, so with SnsVerify=enforce no approval may be asked for."""
    automation = _automation(stack)
    refusal = _publish(stack, image_builder.notice({REGION: "ami-0123456789abcdef0"}))
    if not refusal.failed:
        raise FlowFailed(f"the approval request took a notice that SNS did not sign: {refusal.answer}")
    expect("the approvals that were asked for", len(automation.executions), 0)
    return f"a notice that SNS did not sign is refused: {refusal.answer['errorType']}"


def _automation(stack: Stack) -> SsmAutomation:
    """Automation with the runbook of the template. Who calls it is known from LocalStack, which gave the role's key."""
    automation, content = stack.world.aws.ssm_automation, stack.content("ApprovalDocument")
    for step in content["mainSteps"]:
        step["inputs"].pop("NotificationArn", None)  # its own mail beside that of the function
    automation.reset()
    name = stack.expected.resources["ApprovalDocument"]["Properties"]["Name"]
    automation.create(name, content, REGION)
    automation.also_call(stack.ids["ApprovalDocument"], name, REGION)  # what a reference to it gives in LocalStack
    automation.lambda_function(stack.ids["AmiShareFunction"], lambda payload: _invoke(stack, payload))

    def identify(request: Request) -> None:
        caller = CALLER.search(request.headers.get("authorization", ""))
        if caller:
            session = stack.world.client("sts", caller[1]).get_caller_identity()["Arn"]
            role = re.sub(r":sts:(.*):assumed-role/([^/]+)/.*", r":iam:\1:role/\2", session)
            automation.assume(caller[1], role)

    stack.world.aws.before = identify
    return automation


def _publish(stack: Stack, notice: dict[str, Any]) -> Invocation:
    """Image Builder publishes a notice of this account; what the approval request answered."""
    world, since, request = stack.world, stack.world.now, stack.ids["AmiApprovalRequestFunction"]
    text = json.dumps(notice).replace(image_builder.ACCOUNT_ID, stack.account)
    world.client("sns", stack.account).publish(TopicArn=stack.ids["BuildTopic"], Message=text)
    return world.wait("the answer of the approval request", lambda: world.invocations(request, since))[0]


def _follow(stack: Stack, mail: str) -> None:
    """The approver opens the link of the mail and approves. LocalStack has no HTTP API: its event is given here."""
    found = LINK.search(mail)
    if not found:
        raise FlowFailed(f"the mail to the approvers has no link: {mail}")
    shown = copy.deepcopy(events.load("amis/page-get.json"))
    shown["rawQueryString"] = f"token={found[1]}"
    shown["queryStringParameters"] = {"token": found[1]}
    form = urlencode({"token": found[1], "decision": "approve", "name": "Ana", "comment": "rehearsed"})
    sent = events.load("amis/page-approve.json") | {"body": form, "isBase64Encoded": False}
    for what, event in (("the page", shown), ("the approval", sent)):
        answer = stack.world.invoke(stack.ids["AmiApprovalPageFunction"], event)
        expect(f"the status of {what}", answer["statusCode"], 200)


def _invoke(stack: Stack, payload: dict[str, Any]) -> tuple[Any, bool]:
    """Automation invokes the deployed function."""
    try:
        return stack.world.invoke(stack.ids["AmiShareFunction"], payload), False
    except FlowFailed as failed:
        return {"errorMessage": str(failed)}, True


def _receivers(stack: Stack, image: str) -> list[str]:
    ec2 = stack.world.client("ec2", stack.account)
    found = ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")["LaunchPermissions"]
    return sorted(value for permission in found for value in permission.values())
