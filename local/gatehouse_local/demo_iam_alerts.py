"""`make demo-iam-alerts`: calls of IAM, which of them the rule matches, and the mail that people get.

The pattern is that of the template. The function is the real binary behind the Lambda runtime API; the rule's queue and
the topic are the local AWS.
"""

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from gatehouse_local import ROOT, cloudformation, events
from gatehouse_local.aws import LocalAws
from gatehouse_local.iam_alerts import MAIL, AlertQueue, Mailer, matches
from gatehouse_local.runtime_api import FunctionDied
from template_checks.template import Deployed

SCOPE = "changes"
CALLS = ["get-role.json", "tag-role.json", "put-role-policy.json", "root-access-key.json", "denied.json"]
SCOPES = ("all", "changes", "authorization")


class StoryFailed(Exception):
    """A step did not end as it should; the text says what was seen."""


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


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Runs the demo; 0 where every step ended as it should."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin-dir", type=Path, default=target / "debug", help="folder of the built binaries")
    binary = parser.parse_args().bin_dir.absolute() / MAIL

    signal.signal(signal.SIGTERM, _terminated)
    out = Console(highlight=False)
    if not binary.is_file():
        out.print(f"{binary} does not exist: run `cargo build -p {MAIL}`.", soft_wrap=True)
        return 1
    try:
        with contextlib.ExitStack() as stack:
            aws = stack.enter_context(LocalAws())
            mailer = stack.enter_context(Mailer(aws, binary))
            calls, mailed = tell(out, aws, mailer)
    except (StoryFailed, FunctionDied) as failure:
        out.print(Text(str(failure), style="bold red"), soft_wrap=True)
        out.print("Everything is stopped.")
        return 1
    except KeyboardInterrupt:
        out.print("\nInterrupted. Everything is stopped.")
        return 130
    out.rule("[bold]Summary", align="left")
    out.print(
        f"{calls} calls of IAM, {mailed} mails with Scope={SCOPE}. All of it was on this machine, and is stopped now."
    )
    out.print(
        "Next: functions/iam-alerts/README.md says how to deploy it. `make local-aws` lets you invoke the function."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
