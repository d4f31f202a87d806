"""amis: an image is shared after a person approved it. Systems Manager Automation is the local AWS."""

import json
import re
from typing import Any

from gatehouse_local import image_builder
from gatehouse_local.ssm_automation import Execution
from rehearse.world import REGION, FlowFailed, Stack, expect

APPROVER = "approver"  # access key of who assumed the approver role
TARGET = "444455556666"


def shares_what_was_approved(stack: Stack) -> str:
    """Image Builder's notice asks for an approval; the approver gives it; the image is shared."""
    ec2, world = stack.world.client("ec2", stack.account), stack.world
    image = ec2.register_image(
        Name=f"golden-{stack.name}",
        RootDeviceName="/dev/xvda",
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "CreatedBy", "Value": "EC2 Image Builder"}]}],
    )["ImageId"]
    automation = world.aws.ssm_automation
    automation.reset()
    automation.create(stack.ids["ApprovalDocument"], stack.content("ApprovalDocument"), REGION)
    automation.assume(APPROVER, stack.role("ApproverRole"))
    automation.lambda_function(stack.ids["AmiShareFunction"], lambda payload: _invoke(stack, payload))
    with world.listen(stack.ids["TargetTopic"], stack.account) as mails:
        since = world.now
        notice = image_builder.notice({REGION: image}, accountId=stack.account)
        text = json.dumps(notice).replace(image_builder.ACCOUNT_ID, stack.account)
        world.client("sns", stack.account).publish(TopicArn=stack.ids["BuildTopic"], Message=text)
        request = stack.ids["AmiApprovalRequestFunction"]
        [asked, *_] = world.wait("the answer of the approval request", lambda: world.invocations(request, since))
        if asked.failed:
            raise FlowFailed(f"the approval request failed: {asked.answer}")
        [execution] = automation.executions.values()
        expect("the execution before the approval", execution.status, "Waiting")
        expect("the receivers before the approval", _receivers(stack, image), [])
        _approve(stack, execution)
        automation.wait()
        expect("the execution after the approval", (execution.status, execution.steps[-1].failure), ("Success", ""))
        expect("the receivers of the image", _receivers(stack, image), [TARGET])
        mails.wait(1, world)
    ec2.deregister_image(ImageId=image)
    return "an approved image is shared, and its receivers are mailed"


def refuses_another_signature(stack: Stack) -> str:
    """LocalStack signs with a key of its own, so with SnsVerify=enforce no approval may be asked for."""
    world, since = stack.world, stack.world.now
    world.aws.ssm_automation.reset()
    text = json.dumps(image_builder.notice({REGION: "ami-0123456789abcdef0"}))
    world.client("sns", stack.account).publish(TopicArn=stack.ids["BuildTopic"], Message=text)
    request = stack.ids["AmiApprovalRequestFunction"]
    [refusal, *_] = world.wait("the answer of the approval request", lambda: world.invocations(request, since))
    if not refusal.failed:
        raise FlowFailed(f"the approval request took a notice that SNS did not sign: {refusal.answer}")
    expect("the approvals that were asked for", len(world.aws.ssm_automation.executions), 0)
    return f"a notice that SNS did not sign is refused: {refusal.answer['errorType']}"


def _approve(stack: Stack, execution: Execution) -> None:
    client = stack.world.aws.client("ssm", REGION)
    client._request_signer._credentials.access_key = APPROVER
    client.send_automation_signal(AutomationExecutionId=execution.id, SignalType="Approve")


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


def link(text: str) -> str | None:
    """The link to the approval page in a mail, which has a line of its own."""
    found = re.search(r"^(https?://\S+\?token=\S+)$", text, re.MULTILINE)
    return found and found[1]
