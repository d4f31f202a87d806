"""`make demo-amis`: an image is built, a person approves it on a page, and it is shared with another account.

The three functions of the amis capability are the real binaries behind the Lambda runtime API. Image Builder's notices,
Systems Manager, EC2 and the topics are the local AWS; the page is opened in a Chromium of this machine where there is
one. Everything that happens is printed, the emails as people get them.
"""

import contextlib
import functools
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from gatehouse_local import ROOT, browser, demo, image_builder
from gatehouse_local.amis import Stack
from gatehouse_local.aws import LocalAws, operations
from gatehouse_local.demo import StoryFailed
from gatehouse_local.web import Web

BINARIES = ("ami-approval-request", "ami-approval-page", "ami-share")
LOG = ROOT / "local" / ".work" / "amis.log"
IMAGES = {"us-east-1": "ami-0123456789abcdef0", "eu-west-1": "ami-0fedcba9876543210"}
SECOND_BUILD = {"us-east-1": "ami-0aaaaaaaaaaaaaaaa"}
ACCOUNT = "111122223333"
ORGANIZATION = "arn:aws:organizations::444455556666:organization/o-abcdefghij"
PARAMETERS = {
    "ApprovalLink": "true",
    "TargetAccountIds": ACCOUNT,
    "TargetOrganizationArns": ORGANIZATION,
    "ApprovedWatermark": "approved",
    "LatestParameter": "/golden-ami/{name}/latest",
}
BY_HAND = 600  # seconds for a person to answer


Open = Callable[[str, str], str]


class Story:
    """What happens, step by step. `play` goes on to the next step each time it is asked.

    `answer` opens a link, presses `approve` or `reject`, and gives the heading of the page that follows.
    """

    def __init__(self, stack: Stack, answer: Open, tell: Callable[[str, str], None] = lambda *_: None):
        self.stack = stack
        self._answer, self._tell, self._shown = answer, tell, 0

    def play(self) -> Iterator[str]:
        """Does one step after the other, and gives the name of each when it is done."""
        stack, images = self.stack, self.stack.aws.images
        for region, image in [*IMAGES.items(), *SECOND_BUILD.items()]:
            images.create(image, region)

        self._tell("Image Builder", f"the build of golden-al2023 is available: {_listed(IMAGES)}")
        outcome = stack.publish(image_builder.notice(IMAGES))
        if outcome.failed:
            raise StoryFailed(f"The approval request failed: {outcome.error_type}: {outcome.error_message}")
        self._mails()
        yield "approval waits"

        link = self._link()
        self._tell("mail scanner", "opens the link in the email; nothing changes")
        with urllib.request.urlopen(link, timeout=20) as page:
            page.read()
        self._status("Waiting")
        yield "link is prefetched"

        self._tell("approver", "opens the link, reads the page and approves")
        self._tell("page", self._answer(link, "approve"))
        stack.settle()
        self._status("Success")
        self._mails()
        yield "image is shared"

        ec2 = {region: stack.aws.client("ec2", region) for region in IMAGES}
        for region, image in IMAGES.items():
            found = ec2[region].describe_image_attribute(ImageId=image, Attribute="launchPermission")
            targets = [next(iter(permission.values())) for permission in found["LaunchPermissions"]]
            self._tell("EC2", f"{image} in {region} may be launched by {', '.join(targets)}")
        yield "read back"

        self._tell("Image Builder", f"the next build is available: {_listed(SECOND_BUILD)}")
        stack.publish(image_builder.notice(SECOND_BUILD, build=4))
        self._mails()
        self._tell("approver", "rejects it")
        self._tell("page", self._answer(self._link(), "reject"))
        stack.settle()
        self._status("Rejected")
        self._mails()
        yield "image is rejected"

        self._tell("Image Builder", "a third build fails")
        stack.publish(image_builder.failed_notice(build=5))
        self._mails()
        yield "build failed"

    def _link(self) -> str:
        links = [mail.link for mail in self.stack.mails if mail.link]
        if not links:
            raise StoryFailed("No email with a link to the approval page was sent.")
        return links[-1]

    def _status(self, wanted: str) -> None:
        status = self.stack.executions[-1].status
        self._tell("Systems Manager", f"the approval has status {status}")
        if status != wanted:
            raise StoryFailed(f"The approval has status {status}, and should have {wanted}.")

    def _mails(self) -> None:
        for mail in self.stack.mails[self._shown :]:
            self._tell("email", f"To: {mail.to}\nSubject: {mail.subject or '(none)'}\n\n{mail.text}")
        self._shown = len(self.stack.mails)


def _listed(images: dict[str, str]) -> str:
    return ", ".join(f"{image} in {region}" for region, image in images.items())


# Who answers --------------------------------------------------------------------------------------


def in_browser(chromium: Any) -> Open:
    """Somebody who uses a browser, which `browser.started` gave."""

    def answer(link: str, decision: str) -> str:
        with browser.opened(chromium, link) as page:
            page.locator("input[name=name]").fill("Ana Example")
            page.locator("[name=comment]").fill("Tested in staging.")
            page.locator(f"button[name=decision][value={decision}]").click()
            page.wait_for_load_state()
            return page.locator("h1").inner_text()

    return answer


def by_http(link: str, decision: str) -> str:
    """Somebody without a browser: sends the form that the page has."""
    page, _, query = link.partition("?")
    form = dict(urllib.parse.parse_qsl(query)) | {"decision": decision, "name": "Ana Example", "comment": "Tested."}
    with urllib.request.urlopen(page, urllib.parse.urlencode(form).encode(), timeout=60) as answer:
        text = answer.read().decode()
    return text.partition("<h1>")[2].partition("</h1>")[0]


def by_hand(out: Console, stack: Stack) -> Open:
    """The person who started the demo."""

    def answer(link: str, _: str) -> str:
        execution, before = stack.executions[-1], stack.executions[-1].status
        out.print(f"Open this page and answer (within {BY_HAND // 60} minutes):\n{link}", soft_wrap=True)
        deadline = time.monotonic() + BY_HAND
        while execution.status == before and time.monotonic() < deadline:
            time.sleep(0.2)
        return f"answered: {execution.status}"

    return answer


# The command --------------------------------------------------------------------------------------


def printer(out: Console) -> Callable[[str, str], None]:
    """Prints what happens."""

    def tell(who: str, what: str) -> None:
        if who == "email":
            out.print(Panel(Text(what), title="email", title_align="left", border_style="dim"))
        else:
            out.print(Text.assemble((f"{who}: ", "bold cyan"), what), soft_wrap=True)

    return tell


def play(out: Console, binary: demo.Binary, is_by_hand: bool) -> None:
    """Sets the stage, tells the story, and says what was asked of AWS."""
    with contextlib.ExitStack() as stop:
        aws, web = stop.enter_context(LocalAws()), stop.enter_context(Web())
        stack = stop.enter_context(Stack(aws, web, binary, **PARAMETERS))
        path = browser.find()
        if is_by_hand:
            answer = by_hand(out, stack)
        elif path:
            out.print(f"The pages are opened in {path}.\n")
            answer = in_browser(stop.enter_context(browser.started(path)))
        else:
            out.print("There is no Chromium here: the form of the page is sent without a browser.\n")
            answer = by_http
        story = Story(stack, answer, printer(out))
        try:
            for _ in story.play():
                out.print()
        finally:
            demo.keep_log(LOG, stack.outcomes)
        calls = ", ".join(f"{name} {count}" for name, count in operations(aws.calls).items())
        out.print(f"AWS calls of the functions: {calls}.", soft_wrap=True)
    out.print("All of it was on this machine, and is stopped now.")
    out.print(f"The functions' log is in {LOG.relative_to(ROOT)}.")


def main() -> int:
    """Tells the story; 0 where it ended well."""
    options = demo.options(__doc__)
    options.add_argument("--by-hand", action="store_true", help="wait for you to answer in your own browser")
    given = options.parse_args()
    return demo.perform(given.bin_dir, BINARIES, functools.partial(play, is_by_hand=given.by_hand), LOG)


if __name__ == "__main__":
    sys.exit(main())
