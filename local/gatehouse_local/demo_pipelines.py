"""`make demo-pipelines`: a deployment meets an issue of AWS, waits it out, and goes on by itself.

The two functions of the pipelines capability are the real binaries behind the Lambda runtime API. AWS Health,
CodePipeline, the topic and the queue are the local AWS. Everything that happens is printed with its time.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatehouse_local import ROOT, demo, runtime_api
from gatehouse_local.aws import LocalAws, operations
from gatehouse_local.codepipeline import Action, gate
from gatehouse_local.demo import StoryFailed
from gatehouse_local.retry_queue import RetryQueue
from gatehouse_local.runtime_api import Outcome, RuntimeApi
from gatehouse_local.web import Web

BINARIES = ("pipeline-health-gate", "pipeline-retry")
LOG = ROOT / "local" / ".work" / "demo-pipelines.log"
PIPELINE, STAGE = "web", "Production"
DELAY = 2  # seconds; RetryDelaySeconds of the template is minutes
MAX_RETRIES = 3
COLOURS = {"AWS Health": "magenta", "CodePipeline": "cyan", "health gate": "yellow", "retry": "green"}


@dataclass
class Moment:
    """Something that happened: seconds since the start, who did it, and what, of which the first line is the gist."""

    seconds: float
    who: str
    what: str


class Story:
    """What happens, step by step. `play` goes on to the next step each time it is asked."""

    def __init__(
        self,
        aws: LocalAws,
        web: Web,
        gate_binary: Path,
        retry_binary: Path,
        tell: Callable[[Moment], None] = lambda _: None,
    ):
        self.aws = aws
        self.retry_queue = RetryQueue(aws, web, delay=DELAY)
        stages = {
            "Source": [Action("Fetch", "S3")],
            "Staging": [Action("Deploy")],
            STAGE: [gate('{"services": ["EC2", "ELASTICLOADBALANCING"]}'), Action("Deploy")],
        }
        self.pipeline = aws.codepipeline.create(PIPELINE, stages)
        self.moments: list[Moment] = []
        self.outcomes: list[tuple[str, Outcome]] = []
        self._tell = tell
        self._told = 0  # of the pipeline's events
        self._mailed = 0  # of the notifications
        self._started = time.monotonic()
        settings = {"AWS_ENDPOINT_URL": aws.url} | web.environment
        retry_settings = {
            "PIPELINES": PIPELINE,
            "MAX_RETRIES": str(MAX_RETRIES),
            "TOPIC_ARNS": self.retry_queue.topic_arn,
            "NOTIFY_TOPIC_ARN": self.retry_queue.topic_arn,
        }
        self._gate = RuntimeApi([str(gate_binary)], runtime_api.environment(settings))
        self._retry = RuntimeApi([str(retry_binary)], runtime_api.environment(settings | retry_settings))

    def play(self) -> Iterator[str]:
        """Does one step after the other, and gives the name of each when it is done."""
        with self._gate, self._retry:
            issue = self.aws.health.open("EC2", "us-east-1")
            self._say("AWS Health", f"an issue opens: EC2 in us-east-1\n{issue}")
            yield "issue opens"

            self.aws.codepipeline.start(self.pipeline)
            self._pipeline_events()
            yield "deployment starts"

            self._answer_job()
            yield "gate fails"
            self._notify()
            yield "notice waits"
            self._retry_from_queue()
            yield "first retry"

            self._answer_job()
            yield "gate fails again"
            self._notify()

            self.aws.health.close(issue)
            self._say("AWS Health", "the issue is over")
            yield "issue closes"

            self._say("EventBridge", "the rule for closed issues invokes the retry function")
            self._report(self._invoke("retry", self.aws.health.eventbridge(issue)))
            self._pipeline_events()
            yield "second retry"

            self._answer_job()
            yield "gate passes"

            self._retry_from_queue()
            yield "late notice is skipped"

    @property
    def stage_status(self) -> str:
        """The status of the stage with the gate."""
        return self.pipeline.stage(STAGE).status

    def decisions(self) -> list[dict[str, Any]]:
        """What the retry function logged that it decided, in order."""
        records = [record for who, outcome in self.outcomes if who == "retry" for record in outcome.records]
        return [record for record in records if record.get("message") == "decided"]

    def _say(self, who: str, what: str) -> None:
        moment = Moment(time.monotonic() - self._started, who, what)
        self.moments.append(moment)
        self._tell(moment)

    def _invoke(self, who: str, event: Any) -> Outcome:
        outcome = (self._gate if who == "health gate" else self._retry).invoke(event)
        self.outcomes.append((who, outcome))
        if outcome.failed:
            raise StoryFailed(f"The {who} failed: {outcome.error_type}: {outcome.error_message}")
        return outcome

    def _answer_job(self) -> None:
        """CodePipeline invokes the gate with its job."""
        job = self.aws.codepipeline.next_job()
        if job is None:
            raise StoryFailed(f"CodePipeline has no job for the gate: the stage {STAGE} is {self.stage_status}.")
        outcome = self._invoke("health gate", job)
        took = f"({outcome.seconds * 1000:,.0f} ms)"
        self._say("health gate", f"answers: {outcome.payload['verdict']} {took}\n{outcome.payload['message']}")
        self._pipeline_events()

    def _pipeline_events(self) -> None:
        events = self.aws.codepipeline.events[self._told :]
        self._told += len(events)
        for event in events:
            detail = event["detail"]
            if "stage" in detail and not (detail.get("action") and detail["stage"] != STAGE):
                name = "/".join(filter(None, [detail["stage"], detail.get("action")]))
                self._say("CodePipeline", f"{name} {detail['state'].lower()}")
            elif "stage" not in detail:
                self._say("CodePipeline", f"the pipeline execution has {detail['state'].lower()}")

    def _notify(self) -> None:
        """CodeStar Notifications publishes what failed; the stage's failure goes on to the queue."""
        failed = [event for event in self.aws.codepipeline.events[-3:] if event["detail"]["state"] == "FAILED"]
        self.retry_queue.publish(*(self.aws.codepipeline.notification(event) for event in failed))
        queued = self.retry_queue.queued
        if queued != 1:
            raise StoryFailed(f"{queued} messages are in the retry queue; one was expected.")
        self._say("SNS, SQS", f"the signed notice of the stage's failure waits in the retry queue for {DELAY} s")

    def _retry_from_queue(self) -> None:
        outcome = self.retry_queue.deliver(lambda event: self._invoke("retry", event), wait=DELAY + 5)
        if outcome is None:
            raise StoryFailed("No message of the retry queue became due.")
        self._report(outcome)
        self._pipeline_events()

    def _report(self, outcome: Outcome) -> None:
        took = f"({outcome.seconds * 1000:,.0f} ms)"
        for record in outcome.records:
            if record.get("message") == "decided":
                self._say("retry", f"{record['outcome'].lower()}: {record['stage']} {took}\n{record['reason']}")
        mails = [call.params for call in self.aws.calls if call.operation == "Publish"]
        for mail in mails[self._mailed :]:
            self._say("SNS", f"a notification is sent to the topic: {mail['Subject']}")
        self._mailed = len(mails)


def _printer(out: Console) -> Callable[[Moment], None]:
    def show(moment: Moment) -> None:
        gist, *rest = moment.what.splitlines()
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_column(width=9, justify="right", style="dim")
        line.add_column(width=13, style=COLOURS.get(moment.who, "blue"))
        line.add_column(overflow="fold")
        line.add_row(f"+{moment.seconds:.2f} s", moment.who, gist)
        for text in rest:
            line.add_row("", "", Text(text, style="dim"))
        out.print(line)

    return show


def _summary(out: Console, story: Story) -> None:
    runs = [run.status for run in story.pipeline.runs if run.action == "HealthGate"]
    retried = sum(decision["outcome"] == "Retried" for decision in story.decisions())
    calls = ", ".join(f"{name} {count}" for name, count in operations(story.aws.calls).items())
    out.rule("[bold]Summary", align="left")
    out.print(f"The gate was asked {len(runs)} times: {', '.join(runs)}.")
    out.print(f"The stage was retried {retried} times of at most {MAX_RETRIES}; it is {story.stage_status} now.")
    out.print(f"AWS calls: {calls}.", soft_wrap=True)


def play(out: Console, binary: demo.Binary) -> None:
    """Sets the stage, tells the story, and sums it up."""
    with contextlib.ExitStack() as stack:
        aws, web = stack.enter_context(LocalAws()), stack.enter_context(Web())
        out.print(
            f"A pipeline of three stages: Source, Staging, {STAGE}. The health gate asks AWS Health before {STAGE} "
            f"deploys.\nA failure waits {DELAY} s in the retry queue (minutes on AWS); {MAX_RETRIES} retries are "
            "allowed.\n"
        )
        story = Story(aws, web, *map(binary, BINARIES), tell=_printer(out))
        try:
            for _ in story.play():
                out.print()
        finally:
            demo.keep_log(LOG, story.outcomes)
        _summary(out, story)
        if story.stage_status != "Succeeded":
            raise StoryFailed(f"The stage {STAGE} is {story.stage_status}, and should have succeeded.")
    out.print("All of it was on this machine, and is stopped now.")
    out.print(f"The functions' log is in {LOG.relative_to(ROOT)}.")


def main() -> int:
    """Runs the demo; 0 where every step ended as it should."""
    return demo.perform(demo.options(__doc__).parse_args().bin_dir, BINARIES, play, LOG)


if __name__ == "__main__":
    sys.exit(main())
