"""`make demo-messages`: an expense report reaches payment as it is, reporting masked, and a forged one nobody.

The functions of the messages capability are the real binaries behind the Lambda runtime API. SNS is the local AWS,
which signs with the repository's test key; the certificate comes over HTTPS from `web`.
"""

import contextlib
import json
import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatehouse_local import ROOT, demo, sns
from gatehouse_local.aws import LocalAws, operations
from gatehouse_local.demo import StoryFailed
from gatehouse_local.messages import EXPENSE_REPORT, PAYMENT, RELAY_URL, REPORTING, Stack, origin_arn
from gatehouse_local.web import Web

BINARIES = ("message-redactor", "message-relay", "expense-subscriber")
LOG = ROOT / "local" / ".work" / "demo-messages.log"
ORIGIN = origin_arn()


def tell(out: Console, stack: Stack) -> None:
    """The whole story. Raises StoryFailed where a step ends otherwise than it should."""
    out.rule("[bold]1. Somebody publishes an expense report", align="left")
    out.print("The policy masks card numbers and employee ids for reporting. Payment receives everything.\n")
    stack.publish(EXPENSE_REPORT)
    payment, reporting = _last(stack, PAYMENT), _last(stack, REPORTING)
    out.print(_compared({"published": EXPENSE_REPORT, "payment": payment, "reporting": reporting}))
    hidden = [name for name in EXPENSE_REPORT if reporting.get(name) != EXPENSE_REPORT[name]]
    if payment != EXPENSE_REPORT or hidden != ["employee", "card"]:
        raise StoryFailed(f"payment received {payment}, reporting received {reporting}")
    out.print("The number of the report, CID-000012348-CA, has a similar form and stays.\n")

    out.rule("[bold]2. A topic of another Region is relayed over HTTPS", align="left")
    stack.subscribe_relay(stack.origin())
    [subscription] = [it for it in stack.aws.sns.subscriptions.values() if it.endpoint == RELAY_URL]
    if not subscription.confirmed:
        raise StoryFailed("The relay did not confirm the subscription.")
    out.print(f"SNS asks the relay to confirm its subscription to {ORIGIN}: confirmed,", soft_wrap=True)
    out.print("and only its owner can end it. Then somebody publishes there:\n")
    *_, delivery = [it for it in stack.publish_at(ORIGIN, EXPENSE_REPORT | {"amount": 77.0}) if it.statuses]
    received = {"payment": _last(stack, PAYMENT), "reporting": _last(stack, REPORTING)}
    out.print(_compared({"published": EXPENSE_REPORT | {"amount": 77.0}} | received))
    if received["payment"].get("amount") != 77.0 or received["reporting"].get("card") == EXPENSE_REPORT["card"]:
        raise StoryFailed(f"the relayed message arrived as {received}")

    out.rule("[bold]3. Somebody sends to the public URL", align="left")
    before = len(stack.received(PAYMENT))
    forged = delivery.message | {"Message": json.dumps(EXPENSE_REPORT | {"amount": 99999})}
    invented = sns.certificate_url("eu-west-1").replace("eu-west-1", "s3-us-west-2")
    sent = {
        "the message with another amount": (sns.http_body(forged), 403, 0),
        "with a certificate of their own bucket": (
            sns.http_body(delivery.message | {"SigningCertUrl": invented}),
            403,
            0,
        ),
        "for a topic that is not relayed": (sns.http_body(forged | {"TopicArn": origin_arn("others")}), 403, 0),
        "something else": ("hello", 400, 0),
        # SNS itself may deliver a message twice, so the relay publishes it again.
        "the genuine message once more": (delivery.body, 200, 1),
    }
    table = Table(box=box.ROUNDED)
    for heading in ("What is sent", "answer", "text", "published"):
        table.add_column(heading)
    for what, (body, expected, publications) in sent.items():
        published = len(stack.aws.sns.published[stack.topics["ApprovalTopic"]])
        answer = stack.request(delivery.headers, body)
        more = len(stack.aws.sns.published[stack.topics["ApprovalTopic"]]) - published
        table.add_row(what, str(answer["statusCode"]), answer["body"].strip(), "yes" if more else "no")
        if (answer["statusCode"], more) != (expected, publications):
            raise StoryFailed(f"{what}: answered {answer['statusCode']}, published {more} messages")
    stack.aws.sns.deliver()
    out.print(table)
    received_since = [json.loads(it["message"]) for it in stack.received(PAYMENT)[before:]]
    if received_since != [EXPENSE_REPORT | {"amount": 77.0}]:
        raise StoryFailed(f"payment received {received_since}, not the genuine message alone")
    out.print("Payment and reporting received only the genuine message again. gatehouse.origin-message-id is the same,")
    out.print("so a subscriber that must act once can tell.\n")

    out.rule("[bold]4. The topic does not take messages for a while", align="left")
    stack.aws.disturb("throttle", service="sns", operation="Publish", times=None)
    *_, late = [it for it in stack.publish_at(ORIGIN, EXPENSE_REPORT | {"amount": 5.0}) if it.statuses]
    stack.aws.calm()
    stack.aws.sns.retry()
    if late.statuses != [503, 200] or _last(stack, PAYMENT).get("amount") != 5.0:
        raise StoryFailed(f"the relay answered {late.statuses}")
    out.print("The relay answers 503, SNS tries again 20 s later, and the relay answers 200: nothing is lost.\n")

    out.rule("[bold]Summary", align="left")
    for name, who in ((PAYMENT, "payment  "), (REPORTING, "reporting")):
        cards = sum(EXPENSE_REPORT["card"] in item["message"] for item in stack.received(name))
        count = len(stack.received(name))
        out.print(f"{who} received {count} messages, {cards} of them with the card number.", highlight=False)
    calls = ", ".join(f"{name} {count}" for name, count in operations(stack.aws.calls).items())
    out.print(f"AWS calls of the functions: {calls}.", soft_wrap=True)


def _last(stack: Stack, name: str) -> dict[str, Any]:
    received = stack.received(name)
    if not received:
        failures = [f"{who}: {it.error_type}: {it.error_message}" for who, it in stack.outcomes if it.failed]
        raise StoryFailed(f"{name} received nothing. {'; '.join(failures)}")
    return json.loads(received[-1]["message"])


def _compared(messages: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=box.ROUNDED)
    table.add_column("")
    for heading in messages:
        table.add_column(heading, no_wrap=True)
    for name in EXPENSE_REPORT:
        table.add_row(name, *(Text(str(message.get(name, ""))) for message in messages.values()))
    return table


def play(out: Console, binary: demo.Binary) -> None:
    """Sets the stage, tells the story, and says what is left."""
    with contextlib.ExitStack() as stop:
        aws, web = stop.enter_context(LocalAws()), stop.enter_context(Web())
        stack = stop.enter_context(Stack(aws, web, binary, RelayTopicArns=ORIGIN))
        try:
            tell(out, stack)
        finally:
            demo.keep_log(LOG, stack.outcomes)
    out.print("All of it was on this machine, and is stopped now.")
    out.print(f"The functions' log is in {LOG.relative_to(ROOT)}.")
    out.print("Next: `make local-aws` for single functions, or functions/messages/README.md to deploy it.")


def main() -> int:
    """Tells the story; 0 where it ended well."""
    return demo.perform(demo.options(__doc__).parse_args().bin_dir, BINARIES, play, LOG)


if __name__ == "__main__":
    sys.exit(main())
