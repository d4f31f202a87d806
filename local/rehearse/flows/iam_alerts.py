"""iam-alerts: a call of IAM that changes something is mailed, one that reads is not."""

import copy
import json
from collections.abc import Callable
from typing import Any

from gatehouse_local import events
from rehearse.world import SPOKE, FlowFailed, Stack, expect


def mails_a_change(stack: Stack) -> str:
    """A change and a read in the stack's own account."""
    with stack.world.listen(stack.ids["AlertTopic"], stack.account) as mails:
        _put(stack, stack.account, "get-role.json", "put-role-policy.json")
        [mail] = mails.wait(1, stack.world)
    _about(mail, stack.account)
    return "1 mail for a change, none for a read"


def mails_a_change_through(hub: Stack) -> Callable[[Stack], str]:
    """The flow of a spoke: its hub sends the mail."""

    def mails_a_change_of_the_spoke(stack: Stack) -> str:
        """A change and a read in the spoke's account."""
        with hub.world.listen(hub.ids["AlertTopic"], hub.account) as mails:
            _put(stack, SPOKE, "get-role.json", "put-role-policy.json")
            [mail] = mails.wait(1, hub.world)
        _about(mail, SPOKE)
        return "1 mail of the hub for a change in the spoke's account"

    return mails_a_change_of_the_spoke


def _put(stack: Stack, account: str, *names: str) -> None:
    """What CloudTrail tells EventBridge. AWS admits the source aws.iam from itself alone; LocalStack from all."""
    entries = []
    for name in names:
        event = copy.deepcopy(events.load(f"iam-alerts/{name}"))
        detail = event["detail"] | {"recipientAccountId": account}
        entries.append({"Source": event["source"], "DetailType": event["detail-type"], "Detail": json.dumps(detail)})
    answer = stack.world.client("events", account).put_events(Entries=entries)
    expect("events that EventBridge refused", answer["FailedEntryCount"], 0)


def _about(mail: dict[str, Any], account: str) -> None:
    if "PutRolePolicy" not in mail["Subject"] + mail["Message"] or account not in mail["Message"]:
        raise FlowFailed(f"the mail does not name PutRolePolicy and the account {account}: {mail}")
