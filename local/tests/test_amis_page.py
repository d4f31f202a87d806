"""The approval page in a real Chromium: how it looks, works by keyboard, and what it does with hostile input.

The page is served by the real binary, and the local Systems Manager takes its decisions. Without a Chromium these tests
are skipped, or fail where GATEHOUSE_REQUIRE_BROWSER=1.
"""

import os
import re
from datetime import timedelta

import pytest

from gatehouse_local import ROOT, browser, events, image_builder
from gatehouse_local.amis import PAGE, Stack

IMAGES = {"us-east-1": "ami-0123456789abcdef0", "eu-west-1": "ami-0fedcba9876543210"}
PARAMETERS = {
    "ApprovalLink": "true",
    "TargetAccountIds": "111122223333,444455556666",
    "TargetOrganizationArns": "arn:aws:organizations::123456789012:organization/o-abcdefghij",
    "ShareSnapshots": "true",
    "LatestParameter": "/golden-ami/{name}/latest",
}
APPROVE, REJECT = "Approve and share", "Reject"
SMALL = {"width": 360, "height": 740}
SIZES = {"desktop": browser.DESKTOP, "phone": browser.PHONE, "small phone": {"width": 320, "height": 568}}
PICTURES = ROOT / "local" / ".work" / "pages"


@pytest.fixture(scope="session")
def chromium():
    path = browser.find()
    if path is None:
        message = (
            "no Chromium on this machine: sudo apt-get install chromium (Debian), sudo dnf install chromium (Fedora), "
            "brew install --cask chromium (macOS); CHROMIUM names another one"
        )
        if os.environ.get("GATEHOUSE_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{message}, and GATEHOUSE_REQUIRE_BROWSER=1 asks for it")
        pytest.skip(message)
    with browser.started(path) as started:
        yield started


@pytest.fixture
def make(aws, web, binary, request):
    """A stack with one approval that waits; the name of its image is given."""

    def stack(name: str = "golden-al2023", **parameters: str) -> Stack:
        made = Stack(aws, web, binary, **PARAMETERS | parameters)
        made.__enter__()
        request.addfinalizer(lambda: made.__exit__())
        for region, image in IMAGES.items():
            aws.images.create(image, region)
        notice = image_builder.notice(IMAGES) | {"name": name}
        outcome = made.publish(notice)
        assert not outcome.failed, outcome.error_message
        return made

    return stack


def link(stack):
    return [mail.link for mail in stack.mails if mail.link][-1]


def picture(page, name):
    """For a person to look at; not compared with anything."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def faults(page):
    """What breaks the rules of accessibility (axe-core, WCAG 2.2 A and AA, and best practices)."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{it['id']}: {it['help']}: {[node['html'] for node in it['nodes']]}" for it in found]


def width_of_content(page):
    return page.evaluate("document.documentElement.scrollWidth")


@pytest.mark.parametrize("size", SIZES)
def test_the_page_shows_what_is_decided(make, chromium, size):
    stack = make()
    with browser.opened(chromium, link(stack), SIZES[size]) as page:
        picture(page, f"approval-{size.replace(' ', '-')}")
        text = page.locator("body").inner_text()
        receivers = ("111122223333", "444455556666", "o-abcdefghij")
        besides = ("Snapshots: shared with the accounts", "Parameter of the latest image: /golden-ami/{name}/latest")
        for part in ("golden-al2023", *IMAGES, *IMAGES.values(), *receivers, *besides):
            assert part in text, part
        assert page.title()
        assert page.locator("html").get_attribute("lang") == "en"
        assert width_of_content(page) <= SIZES[size]["width"], "nothing has to be scrolled sideways"
        for name in (APPROVE, REJECT):
            box = page.get_by_role("button", name=name, exact=True).bounding_box()
            assert box["width"] >= 44 and box["height"] >= 44, "a finger hits the button"
        assert faults(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_can_be_read(make, chromium, scheme):
    stack = make()
    context = chromium.new_context(color_scheme=scheme, viewport=browser.DESKTOP)
    page = context.new_page()
    page.goto(link(stack))
    picture(page, f"approval-{scheme}")
    assert faults(page) == []
    context.close()


@pytest.mark.parametrize(
    ("decision", "status", "heading"), [(APPROVE, "Success", "Approved"), (REJECT, "Rejected", "Rejected")]
)
def test_a_person_decides(make, chromium, decision, status, heading):
    stack = make()
    with browser.opened(chromium, link(stack)) as page:
        page.get_by_label("Your name").fill("Ana Example")
        page.get_by_label("Comment").fill("Tested in staging.")
        page.get_by_role("button", name=decision, exact=True).click()
        page.wait_for_load_state()
        assert heading in page.locator("h1").inner_text()
        assert "token" not in page.url, "the token is not left in the address"
        picture(page, f"after-{decision.lower().replace(' ', '-')}")
        assert faults(page) == []
    stack.settle()
    assert stack.executions[0].status == status
    [(_, comment, _)] = stack.executions[0].steps[0].decisions.values()
    assert "Ana Example" in comment and "Tested in staging." in comment


def test_the_keyboard_is_enough(make, chromium):
    stack = make()
    with browser.opened(chromium, link(stack)) as page:
        reached = []
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.name + '=' + (document.activeElement.value || '')"))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            if reached[-1] == "name=":
                assert outline != "none", "the focus is seen"
                page.keyboard.type("Ana")
            if reached[-1] == "decision=approve":
                page.keyboard.press("Enter")
                break
        page.wait_for_load_state()
        assert reached == ["name=", "comment=", "decision=approve"], "in the order in which they are read"
        assert "Approved" in page.locator("h1").inner_text()
    stack.settle()
    assert stack.executions[0].status == "Success"


def test_the_return_key_in_a_field_decides_nothing(make, chromium):
    stack = make()
    with browser.opened(chromium, link(stack)) as page:
        page.get_by_label("Your name").fill("Ana")
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
    stack.settle()
    assert stack.executions[0].status == "Waiting"


def test_a_double_submit_decides_once(make, chromium):
    stack = make()
    with browser.opened(chromium, link(stack)) as first, browser.opened(chromium, link(stack)) as second:
        for page in (first, second):
            page.get_by_label("Your name").fill("Ana")
        for page in (first, second):
            page.get_by_role("button", name=APPROVE, exact=True).click()
            page.wait_for_load_state()
        assert "Approved" in first.locator("h1").inner_text()
        assert "Already approved" in second.locator("h1").inner_text()
        # And the form that the browser sends again when the answer is reloaded.
        answer = first.reload()
        assert answer.status in (200, 400, 409)
    stack.settle()
    assert stack.executions[0].status == "Success"
    assert len(stack.executions[0].steps[0].decisions) == 1


HOSTILE = {
    "script": "<script>document.title='hacked'</script>",
    "attribute": '"><img src=x onerror="document.title=\'hacked\'">',
    "right-to-left": "golden\u202egnp.\u2066exe\u2069",
    "hebrew": "תמונה golden",
    "long": "x" * 255,
    "long words": "golden-" * 36,
    "entities": "&lt;b&gt; &amp;amp; &#x3c;",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_a_hostile_name_is_text_and_stays_in_its_place(make, chromium, kind, size):
    stack = make(HOSTILE[kind])
    with browser.opened(chromium, link(stack), SIZES[size]) as page:
        picture(page, f"hostile-{kind.replace(' ', '-')}-{size}")
        assert page.title() != "hacked"
        assert page.locator("script, img, iframe, object, embed, link, base").count() == 0
        assert page.locator("form").count() == 1
        text = page.locator("body").inner_text()
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", text), "no character turns the text around"
        if kind not in ("right-to-left",):
            assert HOSTILE[kind] in text
        assert width_of_content(page) <= SIZES[size]["width"]
        assert faults(page) == []
        page.get_by_label("Your name").fill("Ana")
        page.get_by_role("button", name=REJECT, exact=True).click()
        page.wait_for_load_state()
        assert "Rejected" in page.locator("h1").inner_text()
        assert page.title() != "hacked"


def test_nothing_is_loaded_and_nothing_runs(make, chromium):
    stack = make()
    context = chromium.new_context()
    page, requested, said = context.new_page(), [], []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(link(stack))
    page.wait_for_load_state("networkidle")
    assert [url for url in requested if "/favicon.ico" not in url] == [link(stack)]
    assert [text for text in said if "Content Security Policy" in text and "style" in text] == [], (
        "the style of the page is the one that its policy admits"
    )
    # A script that some fault would let in does not run.
    page.evaluate("1")
    blocked = page.evaluate(
        """() => { const s = document.createElement('script'); s.textContent = 'document.title = "hacked"';
        document.body.append(s); return document.title; }"""
    )
    assert blocked != "hacked"
    context.close()


def test_a_page_in_a_frame_is_refused(make, chromium, web):
    stack = make()
    context = chromium.new_context()
    page = context.new_page()
    page.set_content(f'<iframe src="{link(stack)}"></iframe>')
    page.wait_for_load_state("networkidle")
    frame = page.frames[-1]
    assert "golden-al2023" not in frame.content()
    context.close()


class Look:
    """Looks at pages without a form, on a small phone, and keeps status and heading of each."""

    def __init__(self, chromium):
        self._chromium, self.seen = chromium, set()

    def at(self, url, status, heading):
        """The page that a link opens."""
        with browser.opened(self._chromium, "about:blank", SMALL) as page:
            self._see(page, page.goto(url).status, (status, heading))

    def after(self, url, status, heading, send):
        """The page that the form of another one leads to."""
        with browser.opened(self._chromium, url, SMALL) as page:
            page.get_by_label("Your name").fill("Ana")
            with page.expect_navigation() as sent:
                send(page)
            self._see(page, sent.value.status, (status, heading))

    def at_answer(self, stack, method, path, status, heading, **changes):
        """The page of an event that the API of the template, or a browser, does not make: others may."""
        answer = stack.invoke(PAGE, stack.gateway.event(method, path, {}, b"") | changes).payload
        with browser.opened(self._chromium, "about:blank", SMALL) as page:
            page.set_content(answer["body"])
            self._see(page, answer["statusCode"], (status, heading))

    def _see(self, page, status, expected):
        heading = page.locator("h1").inner_text()
        picture(page, f"page-{status}-{heading.lower().replace(' ', '-')}")
        assert (status, heading) == expected
        assert page.locator("form").count() == 0
        assert width_of_content(page) <= SMALL["width"]
        assert faults(page) == []
        self.seen.add(expected)


def decide(page):
    page.get_by_role("button", name=APPROVE, exact=True).click()


def past_the_bounds(field, text):
    """Sends what a browser would not."""

    def send(page):
        page.evaluate("for (const it of document.forms[0]) { it.required = false; it.removeAttribute('maxlength') }")
        page.get_by_label(field).fill(text)
        decide(page)

    return send


def of_the_source():
    """Status and heading of each page that the code has, but for those of a decision that was taken."""
    source = (ROOT / "functions/amis/approval-page/src/page.rs").read_text().partition("#[cfg(test)]")[0]
    return {(int(status), heading) for status, heading in re.findall(r'\b([1-5]\d\d),\s+"([^"]+)"', source)}


def test_each_page_without_a_form_is_plain_and_accessible(aws, make, chromium):
    given = {"LinkTtlHours": "1", "ApprovalTimeout": "3600", "MinimumApprovals": "2", "BuildEvents": "on"}
    stack, look = make(**given), Look(chromium)
    url, execution = link(stack), stack.executions[0]

    def with_token(execution_id, hours, of=stack):
        token = events.link_token(execution_id, execution.started + timedelta(hours=hours), of.key.material)
        return f"{of.gateway.url}?token={token}"

    def ask(build):
        stack.build_event(image_builder.notice(IMAGES, build=build))
        return link(stack), stack.executions[-1].id

    look.at(url[:-1] + ("A" if url[-1] != "A" else "Q"), 403, "This link is not valid")
    look.at(stack.gateway.url, 400, "The link is not complete")
    look.at(with_token(execution.id, -1), 410, "This link has expired")
    look.at(with_token(events.AMIS_EXECUTION, 1), 404, "No such approval")
    look.at_answer(stack, "GET", "/", 404, "Page not found")
    look.at_answer(stack, "PUT", "/approval", 405, "Not allowed")

    look.after(url, 400, "No decision", lambda page: page.evaluate("document.forms[0].submit()"))
    look.after(url, 400, "Your name is missing", past_the_bounds("Your name", " "))
    look.after(url, 400, "Too long", past_the_bounds("Your name", "x" * 65))
    look.after(url, 413, "Too long", past_the_bounds("Comment", "x" * 9_000))
    look.at_answer(stack, "POST", "/approval", 400, "Not understood", body="%", isBase64Encoded=True)

    aws.disturb("refuse", service="ssm", operation="GetAutomationExecution", code="AccessDeniedException", times=None)
    look.at(url, 503, "Not available at the moment")
    aws.calm()
    execution.steps[0].status = "Pending"
    look.at(url, 503, "Not ready yet")
    execution.steps[0].status = "Waiting"
    refused = "InvalidAutomationSignalException"
    aws.disturb("refuse", service="ssm", operation="SendAutomationSignal", code=refused, times=None)
    look.after(url, 409, "Not accepted", decide)
    aws.calm()
    dry = make(**given, DryRun="true")
    look.after(with_token(execution.id, 1, of=dry), 200, "Nothing was decided", decide)
    assert (execution.status, execution.steps[0].decisions) == ("Waiting", {})

    def decide_after_another(page):
        look.after(url, 200, "Your approval is recorded", decide)
        decide(page)

    look.after(url, 409, "This page has given its vote", decide_after_another)
    stack.signal(execution.id)
    look.at(url, 409, "Already approved")
    url, rejected = ask(build=4)
    stack.signal(rejected, "Reject")
    look.at(url, 409, "Already rejected")
    url, cancelled = ask(build=5)
    stack.ssm.stop_automation_execution(AutomationExecutionId=cancelled, Type="Cancel")
    look.at(url, 409, "The approval has ended")
    url, _ = ask(build=6)
    stack.pass_time(3601)
    look.at(url, 410, "Too late")

    assert look.seen - of_the_source() == {(200, "Your approval is recorded")}
    assert of_the_source() <= look.seen, "no page that nobody has looked at"


@pytest.mark.parametrize("case", ["shared", "failed", "running"])
def test_the_page_tells_what_happened_after_the_approval(aws, make, chromium, case):
    stack = make()
    if case == "failed":
        aws.disturb("refuse", service="ec2", operation="ModifyImageAttribute", code="OperationNotPermitted", times=None)
    stack.signal(stack.executions[0].id)
    aws.calm()
    if case == "running":
        stack.executions[0].status = stack.executions[0].steps[1].status = "InProgress"
    with browser.opened(chromium, link(stack), browser.PHONE) as page:
        picture(page, f"after-{case}")
        text = page.locator("main").inner_text()
        assert "Already approved" in page.locator("h1").inner_text()
        assert ("The image is shared." in text) == (case == "shared")
        assert ("Sharing it failed" in text) == (case == "failed")
        assert ("will be shared now" in text) == (case == "running")
        assert faults(page) == []


def test_the_page_shows_how_many_approvals_are_given_and_by_which_roles(make, chromium):
    stack = make(MinimumApprovals="2")
    with browser.opened(chromium, link(stack)) as page:
        assert "0 of 2" in page.locator("body").inner_text()
        page.get_by_label("Your name").fill("Ana")
        page.get_by_role("button", name=APPROVE, exact=True).click()
        page.wait_for_load_state()
        assert "1 of 2" in page.locator("body").inner_text()
    stack.settle()
    assert stack.executions[0].status == "Waiting"
    with browser.opened(chromium, link(stack)) as page:
        picture(page, "one-of-two")
        assert "1 of 2 given, by ApprovalPageRole" in page.locator("body").inner_text()
        assert faults(page) == []
