"""ip-ranges: security groups hold what AWS publishes."""

import json
from typing import Any

from gatehouse_local import events, ranges
from rehearse.world import AWS_OWN, FlowFailed, Stack, World, expect

TOPIC = "AmazonIpSpaceChanged"


def make_topic(world: World) -> str:
    """AWS's own topic, which a real account has already; its ARN."""
    return world.client("sns", AWS_OWN).create_topic(Name=TOPIC)["TopicArn"]


def plans_when_asked(stack: Stack) -> str:
    """Somebody runs the command of the output DryRunCommand: all ranges have a place, and nothing is made."""
    stack.world.invoke(stack.ids["IpRangesUpdaterFunction"], events.load("ip-ranges/direct-dry-run.json"))
    expect("the security groups that were made", _groups(stack), [])
    return "a dry run plans, and nothing is changed"


def runs_on_schedule(stack: Stack) -> str:
    """EventBridge's schedule fires: here its event is given to the function."""
    stack.world.invoke(stack.ids["IpRangesUpdaterFunction"], events.load("ip-ranges/schedule.json"))
    return _judge(stack)


def plans_only(stack: Stack) -> str:
    """AWS's notice with DryRun=true: a plan, and nothing is made."""
    _notice(stack)
    expect("the security groups that were made", _groups(stack), [])
    return "AWS's notice is planned, and nothing is changed"


def follows_the_notice(stack: Stack) -> str:
    """AWS's notice arrives through the subscription to the topic in AWS's account."""
    _notice(stack)
    return _judge(stack)


def _notice(stack: Stack) -> None:
    function, since = stack.ids["IpRangesUpdaterFunction"], stack.world.now
    notice = events.load("ip-ranges/sns-notice.json")["Records"][0]["Sns"]["Message"]
    document = ranges.second()
    notice = json.dumps(json.loads(notice) | {"synctoken": str(document.sync_token), "md5": document.md5})
    topic = f"arn:aws:sns:us-east-1:{AWS_OWN}:{TOPIC}"
    stack.world.client("sns", AWS_OWN).publish(TopicArn=topic, Message=notice)
    [answer, *_] = stack.world.wait("the updater's answer", lambda: stack.world.invocations(function, since))
    if answer.failed:
        raise FlowFailed(f"the updater failed: {answer.answer}")


def _groups(stack: Stack) -> list[dict[str, Any]]:
    prefix = _settings(stack)["PREFIX_NAME"]
    filters = [{"Name": "tag:gatehouse:prefix-name", "Values": [prefix]}]
    return stack.world.client("ec2", stack.account).describe_security_groups(Filters=filters)["SecurityGroups"]


def _settings(stack: Stack) -> dict[str, str]:
    return stack.expected.resources["IpRangesUpdaterFunction"]["Properties"]["Environment"]["Variables"]


def _judge(stack: Stack) -> str:
    """The groups hold what the document has, and are deleted: they outlive the stack, as its output says."""
    groups, settings = _groups(stack), _settings(stack)
    held = {
        cidr["CidrIp"] if "CidrIp" in cidr else cidr["CidrIpv6"]
        for group in groups
        for rule in group["IpPermissions"]
        for cidr in rule["IpRanges"] + rule["Ipv6Ranges"]
    }
    published = ranges.second().rules(settings["SERVICE"])
    missing, foreign = published - held, held - published
    if missing or foreign or not held:
        raise FlowFailed(
            f"{len(groups)} groups lack {len(missing)} ranges, and have {len(foreign)} that are not published"
        )
    for group in groups:
        stack.world.client("ec2", stack.account).delete_security_group(GroupId=group["GroupId"])
    noun = "security group holds" if len(groups) == 1 else "security groups hold"
    return f"{len(groups)} {noun} the {len(held)} published ranges"
