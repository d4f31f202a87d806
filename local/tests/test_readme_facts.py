"""What the READMEs say of AWS was looked up not long ago, and is said wherever a reader needs it."""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from gatehouse_local import ROOT, cloudformation
from gatehouse_local.functions import capabilities

README = ROOT / "README.md"
PAGES = sorted([README, ROOT / "SECURITY.md", *(ROOT / "functions").rglob("*.md")])

HEADER = ("way", "better when", "what remains of ours", "source", "looked up")
MAX_AGE = timedelta(days=120)


def words(text: str) -> str:
    """The text on one line, so that it does not matter where lines are wrapped."""
    return " ".join(text.split())


def readme_of(capability: str) -> Path:
    return ROOT / "functions" / capability / "README.md"


def cells(row: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in row.strip().strip("|").split(" | "))


def faults(page: str, today: date) -> list[str]:
    """What is wrong with the table "AWS's own ways" of a capability's README."""
    needed = re.search(r"^## Do you need it\?\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    table = needed and re.search(r"^### AWS's own ways\n(?:\n.*)*?\n((?:\|.*\n)+)", needed[1], re.MULTILINE)
    if not table:
        return ['no table below "### AWS\'s own ways" in "## Do you need it?"']
    header, _, *rows = table[1].splitlines()
    found = [] if cells(header) == HEADER else [f"the columns are {cells(header)} and not {HEADER}"]
    if not rows:
        found.append("the table has no row")
    for row in rows:
        values = cells(row)
        if len(values) != len(HEADER) or not all(values):
            found.append(f"a row without {len(HEADER)} filled cells: {row}")
            continue
        way, looked_up = values[0], values[-1]
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", looked_up):
            found.append(f"{way}: {looked_up!r} is no date such as {today}")
        elif date.fromisoformat(looked_up) > today:
            found.append(f"{way}: {looked_up} is in the future")
        elif today - date.fromisoformat(looked_up) > MAX_AGE:
            found.append(f"{way}: {looked_up} is more than {MAX_AGE.days} days ago: look it up again and set the date")
    return found


@pytest.mark.parametrize("capability", capabilities())
def test_each_capability_names_the_ways_of_aws_with_a_recent_date(capability):
    assert faults(readme_of(capability).read_text(), date.today()) == []


TODAY = date(2026, 11, 30)
TOP = f"# a\n\n## Do you need it?\n\n### AWS's own ways\n\nA line.\n\n| {' | '.join(HEADER)} |\n|---|---|---|---|---|\n"
END = "\n## Deploy\n"


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        (f"{TOP}| a | b | c | d | 2026-11-30 |\n{END}", None),
        (f"{TOP}| a | b | c | d | 2026-08-02 |\n{END}", None),
        (
            f"{TOP}| a | b | c | d | 2026-11-30 |\n| e | b | c | d | 2026-08-01 |\n{END}",
            "e: 2026-08-01 is more than 120",
        ),
        (f"{TOP}| a | b | c | d | 2026-12-01 |\n{END}", "is in the future"),
        (f"{TOP}| a | b | c | d | November 2026 |\n{END}", "'November 2026' is no date"),
        (f"{TOP}| a | b | c | d |\n{END}", "a row without 5 filled cells"),
        (f"{TOP}| a | b | c |  | 2026-11-30 |\n{END}", "a row without 5 filled cells"),
        (f"{TOP}{END}", "the table has no row"),
        (f"{TOP.replace('source', 'page')}| a | b | c | d | 2026-11-30 |\n{END}", "the columns are"),
        (f"# a\n\n## Do you need it?\n\nYes.\n{END}", "no table below"),
        (
            f"# a\n\n## Do you need it?\n\nYes.\n\n## Other\n{TOP[26:]}| a | b | c | d | 2026-11-30 |\n{END}",
            "no table below",
        ),
    ],
)
def test_a_table_that_is_missing_old_or_undated_is_found(page, fault):
    found = faults(page, TODAY)
    assert len(found) == (fault is not None), found
    assert fault is None or fault in found[0]


def takes_an_email_address(template: Path) -> bool:
    """Whether a parameter holds an address: by its name, or since it is the endpoint of an email subscription."""
    body = cloudformation.load(template)
    parameters = body.get("Parameters", {})
    endpoints = [
        resource["Properties"].get("Endpoint")
        for resource in body["Resources"].values()
        if resource["Type"] == "AWS::SNS::Subscription"
        and str(resource["Properties"].get("Protocol")).startswith("email")
    ]
    return any("email" in name.lower() or {"Ref": name} in endpoints for name in parameters)


TEMPLATES = [ROOT / "template.yaml", *sorted((ROOT / "functions").glob("*/*.yaml"))]
WITH_EMAIL = sorted({template.parent / "README.md" for template in TEMPLATES if takes_an_email_address(template)})


def email_paragraph(page: Path) -> str:
    paragraph = re.search(r"^\*\*Emails of SNS\.\*\*.*?\n\n", page.read_text(), re.MULTILINE | re.DOTALL)
    return words(paragraph[0]) if paragraph else ""


def test_email_parameters_are_found():
    assert {README, readme_of("amis"), readme_of("iam-alerts")} <= set(WITH_EMAIL)


@pytest.mark.parametrize("page", WITH_EMAIL, ids=lambda page: str(page.relative_to(ROOT)))
def test_where_an_email_address_is_a_parameter_the_readme_says_how_no_link_ends_the_subscription(page):
    """One paragraph, the same in each: a mail scanner that opens the link to unsubscribe ends the subscription."""
    paragraph = email_paragraph(page)
    assert "aws sns confirm-subscription --topic-arn … --token … --authenticate-on-unsubscribe true" in paragraph
    assert paragraph == email_paragraph(README)


def test_no_page_or_template_offers_chat_as_a_subscriber():
    """Amazon Q Developer in chat applications drops plain text, which is what the topics for mails get."""
    allowed = ("Amazon Q Developer in chat applications", "AWS User Notifications", "ChatTopicArn")
    sources = [*PAGES, *TEMPLATES, *(ROOT / "functions").rglob("*.rs"), *(ROOT / "shared").rglob("*.rs")]
    offers = [
        f"{source.relative_to(ROOT)}: {paragraph}"
        for source in sources
        for paragraph in re.split(r"\n\s*\n|\n(?=\|)", source.read_text())
        if re.search(r"\bchat\b", paragraph, re.IGNORECASE) and re.search(r"subscri[bp]", paragraph)
        if not any(name in words(paragraph) for name in allowed)
    ]
    assert offers == []


PLAN = r"Business Support\+|Business|Enterprise On-Ramp|Enterprise Support|Unified Operations"


def test_the_readme_and_the_gate_name_the_same_support_plans():
    source = (ROOT / "functions/pipelines/health-gate/src/health.rs").read_text()
    message = re.search(r'"(AWS Health does not answer: this account\'s support plan.*?)"\n', source, re.DOTALL)[1]
    paragraph = re.search(r"^\*\*The API of AWS Health needs.*?\n\n", readme_of("pipelines").read_text(), re.M | re.S)[
        0
    ]
    plans = set(re.findall(PLAN, words(message.replace("\\\n", " "))))
    assert plans >= {"Business Support+", "Enterprise Support"}
    assert set(re.findall(PLAN, words(paragraph))) == plans


def test_quotas_that_a_page_recommends_are_within_what_ec2_allows():
    """Rules in a group times groups on an interface may not exceed 1,000."""
    found = 0
    for page in PAGES:
        for line in page.read_text().splitlines():
            if rules := re.search(r"MaxRulesPerGroup=(\d+)", line):
                groups = re.search(r"MaxGroupsPerInterface=(\d+)", line)
                found += 1
                assert int(rules[1]) * int(groups[1] if groups else 5) <= 1000, f"{page.relative_to(ROOT)}: {line}"
    assert found >= 1
