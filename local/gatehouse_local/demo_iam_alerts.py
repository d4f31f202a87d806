"""`make demo-iam-alerts`: calls of IAM, which of them the rule matches, and the mail that people get.

The pattern is that of the template. The function is the real binary behind the Lambda runtime API; the rule's queue and
the topic are the local AWS.
"""

import contextlib
import sys

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from gatehouse_local import ROOT, cloudformation, demo, events
from gatehouse_local.aws import LocalAws
from gatehouse_local.demo import StoryFailed
from gatehouse_local.iam_alerts import MAIL, AlertQueue, Mailer, matches
from template_checks.template import Deployed

SCOPE = "changes"
CALLS = ["get-role.json", "tag-role.json", "put-role-policy.json", "root-access-key.json", "denied.json"]
SCOPES = ("all", "changes", "authorization")


def patterns() -> dict[str, dict]:
    """The pattern of the rule in each scope, from the template."""
    document = cloudformation.load(ROOT / "functions" / "iam-alerts" / "template.yaml")
    return {
        scope: Deployed(document, region="us-east-1", Scope=scope).properties("IamRule")["EventPattern"]
        for scope in SCOPES
    }


def tell(out: Console, aws: LocalAws, mailer: Mailer) -> tuple[int, int]:
    """Tells of each call; how many there were, and how many were mailed."""
    by_scope, mailed = patterns(), 0
    queue = AlertQueue(aws, by_scope[SCOPE])
    for number, name in enumerate(CALLS, start=1):
        event = events.load(f"iam-alerts/{name}")
        detail = event["detail"]
        failed = f", which failed: {detail['errorCode']}" if "errorCode" in detail else ""
        out.rule(f"[bold]{number}. {detail['eventName']}", align="left")
        out.print(f"CloudTrail records a call by {detail['userIdentity']['arn']}{failed}.", soft_wrap=True)
        verdicts = {scope: matches(pattern, event) for scope, pattern in by_scope.items()}
        out.print("Rule: " + ", ".join(f"{scope} {'matches' if it else 'no match'}" for scope, it in verdicts.items()))
        if not queue.put(event):
            out.print(f"With Scope={SCOPE} nobody is mailed.\n")
            continue
        outcome, mails = mailer.deliver(queue)
        if outcome is None or outcome.failed or len(mails) != 1 or queue.kept:
            why = f"{outcome.error_type} {outcome.error_message}" if outcome else "the queue is empty"
            raise StoryFailed(f"{len(mails)} mails: {why}")
        mailed += 1
        out.print(Panel(Text(mails[0]["Message"].rstrip()), title=Text(mails[0]["Subject"]), title_align="left"))
        out.print()
    return len(CALLS), mailed


def play(out: Console, binary: demo.Binary) -> None:
    """Sets the stage, tells the story, and sums it up."""
    with contextlib.ExitStack() as stack:
        aws = stack.enter_context(LocalAws())
        mailer = stack.enter_context(Mailer(aws, binary(MAIL)))
        calls, mailed = tell(out, aws, mailer)
    out.rule("[bold]Summary", align="left")
    out.print(
        f"{calls} calls of IAM, {mailed} mails with Scope={SCOPE}. All of it was on this machine, and is stopped now."
    )
    out.print(
        "Next: functions/iam-alerts/README.md says how to deploy it. `make local-aws` lets you invoke the function."
    )


def main() -> int:
    """Runs the demo; 0 where every step ended as it should."""
    return demo.perform(demo.options(__doc__).parse_args().bin_dir, [MAIL], play)


if __name__ == "__main__":
    sys.exit(main())
