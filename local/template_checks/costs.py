"""What a capability costs in a month, for a small and a large estate: `make costs`.

Alarms, metrics, keys, queues, memory and days of logs are counted in the templates; prices are those of `prices.json`.
How often something happens is an assumption, and stands here: change it to yours and run it again. The tables in the
READMEs, between two comments, and `docs/costs.md` are written anew.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatehouse_local import ROOT
from gatehouse_local.functions import capabilities, functions

from .sources import Crate
from .template import Deployed, load

LIST = json.loads((ROOT / "local/prices.json").read_text())
START, END = "<!-- Made by `make costs`. -->", "<!-- The end of it. -->"
NOT_LOOKED_UP = "not looked up"
HOURS = 730
# A poller of Lambda waits 20 seconds for a message; five of them look at a queue that is empty.
POLLS = 5 * HOURS * 3600 // 20
# Metrics of which a value comes only when something failed.
RARE = {"ChatFailed"}
EMAIL, TOPIC = "on-call@example.com", "arn:aws:sns:us-east-1:111122223333:topic"


@dataclass(frozen=True)
class Runs:
    """A month of one function: how often it runs, how long, and how many bytes of log a run writes."""

    number: int
    seconds: float
    log: int


@dataclass(frozen=True)
class Month:
    """A month of one capability, with the parameters of its stack."""

    said: str
    runs: dict[str, Runs]
    mails: int
    parameters: dict[str, str] = field(default_factory=dict)
    published: int = 0  # messages, besides the mails
    approvals: int = 0  # executions of the runbook


# By capability: the small estate, and the large one.
MONTHS = {
    "amis": (
        Month(
            "4 images, for one account",
            {
                "AmiApprovalRequestFunction": Runs(8, 2, 3_000),
                "AmiApprovalPageFunction": Runs(12, 0.5, 1_500),
                "AmiShareFunction": Runs(4, 5, 3_000),
            },
            12,
            {"ApproverEmail": EMAIL, "TargetAccountIds": "111122223333", "ApprovalLink": "true"},
            approvals=4,
        ),
        Month(
            "200 images, for an organization",
            {
                "AmiApprovalRequestFunction": Runs(400, 2, 3_000),
                "AmiApprovalPageFunction": Runs(1_000, 0.5, 1_500),
                "AmiShareFunction": Runs(200, 60, 30_000),
            },
            1_000,
            {"ApproverEmail": EMAIL, "TargetAccountIds": "111122223333", "ApprovalLink": "true", "Dashboard": "Yes"},
            approvals=200,
        ),
    ),
    "iam-alerts": (
        Month(
            "200 calls that are mailed", {"IamAlertMailFunction": Runs(200, 0.3, 1_500)}, 200, {"NotifyEmail": EMAIL}
        ),
        Month(
            "an organization: 20,000 calls, each mailed to 3 people",
            {"IamAlertMailFunction": Runs(20_000, 0.3, 1_500)},
            60_000,
            {"NotifyEmail": EMAIL, "HubOrganizationId": "o-abcdefghij", "Dashboard": "Yes"},
        ),
    ),
    "ip-ranges": (
        Month(
            "one Region, one service: a run each day and 20 notices",
            {"IpRangesUpdaterFunction": Runs(50, 5, 5_000)},
            5,
            {"NotifyEmail": EMAIL},
        ),
        Month(
            "10 Regions, 4 services: a run each hour and 20 notices",
            {"IpRangesUpdaterFunction": Runs(750, 60, 50_000)},
            100,
            {"NotifyEmail": EMAIL, "Dashboard": "Yes"},
        ),
    ),
    "messages": (
        Month(
            "100,000 messages for two subscribers",
            {
                "MessageRedactorFunction": Runs(100_000, 0.02, 700),
                "PaymentSubscriberFunction": Runs(100_000, 0.005, 900),
                "ReportingSubscriberFunction": Runs(100_000, 0.005, 900),
            },
            1,
            {"NotifyEmail": EMAIL},
            published=200_000,
        ),
        Month(
            "50 million messages for two subscribers; a tenth of them by the relay",
            {
                "MessageRedactorFunction": Runs(50_000_000, 0.02, 700),
                "MessageRelayFunction": Runs(5_000_000, 0.02, 700),
                "PaymentSubscriberFunction": Runs(50_000_000, 0.005, 900),
                "ReportingSubscriberFunction": Runs(50_000_000, 0.005, 900),
            },
            10,
            {"NotifyEmail": EMAIL, "RelayTopicArns": TOPIC, "Dashboard": "Yes"},
            published=100_000_000,
        ),
    ),
    "pipelines": (
        Month(
            "200 runs of the gate, 5 retries",
            {"PipelineHealthGateFunction": Runs(200, 1, 2_000), "PipelineRetryFunction": Runs(10, 2, 2_000)},
            20,
            {"NotifyEmail": EMAIL},
        ),
        Month(
            "20,000 runs of the gate, 500 retries",
            {"PipelineHealthGateFunction": Runs(20_000, 1, 2_000), "PipelineRetryFunction": Runs(1_000, 2, 2_000)},
            2_000,
            {"NotifyEmail": EMAIL, "Dashboard": "Yes"},
        ),
    ),
}

# The rows of a table: what is paid for, and the items of the price list in it.
ROWS = {
    "Lambda: requests and time": ("lambda requests", "lambda GB-seconds, arm64", "lambda GB-seconds, x86_64"),
    "SNS: messages and mails": ("sns requests", "sns mails"),
    "SQS: requests": ("sqs requests",),
    "logs": ("log GB taken in", "log GB-months kept"),
    "metrics that the code emits": ("metrics of ours",),
    "alarms": ("metrics watched by alarms",),
    "dashboard": ("dashboards",),
    "key, and its requests": ("kms keys", "kms requests"),
    "page and steps of approvals": ("http api requests", "automation steps"),
}


def quantities(capability: str, month: Month) -> dict[str, float]:
    """How much of each item of the price list a month takes."""
    document = load(f"functions/{capability}/template.yaml")
    deployed = Deployed(document, region=LIST["region"], **month.parameters)
    own = {
        it.logical_id: it for it in functions() if it.capability == capability and it.logical_id in deployed.resources
    }
    if month.runs.keys() != own.keys():
        raise ValueError(
            f"costs.py has other functions of {capability} than its template: {month.runs.keys() ^ own.keys()}"
        )
    used = dict.fromkeys(LIST["prices"], 0.0)
    for name, runs in month.runs.items():
        properties = deployed.properties(name)
        gigabytes = runs.number * runs.log / 1e9
        used["lambda requests"] += runs.number
        processor = properties["Architectures"][0]
        used[f"lambda GB-seconds, {processor}"] += runs.number * runs.seconds * int(properties["MemorySize"]) / 1024
        used["log GB taken in"] += gigabytes
        group = deployed.properties(properties["LoggingConfig"]["LogGroup"].strip("<>"))
        used["log GB-months kept"] += gigabytes * int(group["RetentionInDays"]) / 30
        # A metric is paid for the hours in which a value came.
        used["metrics of ours"] += len(Crate.at(own[name].crate).metrics() - RARE) * min(1, runs.number / HOURS)
        polled = [it for it in properties.get("Events", {}).values() if it["Type"] == "SQS"]
        used["sqs requests"] += len(polled) * POLLS
    for alarm in deployed.of_type("AWS::CloudWatch::Alarm").values():
        metrics = [it for it in alarm["Properties"].get("Metrics", []) if "MetricStat" in it]
        used["metrics watched by alarms"] += len(metrics) or 1
    used["dashboards"] = len(deployed.of_type("AWS::CloudWatch::Dashboard"))
    used["kms keys"] = len(deployed.of_type("AWS::KMS::Key"))
    used["sns mails"] = month.mails
    used["sns requests"] = month.mails + month.published
    if month.approvals:
        [runbook] = deployed.of_type("AWS::SSM::Document").values()
        used["automation steps"] = month.approvals * len(runbook["Properties"]["Content"]["mainSteps"])
        used["http api requests"] = month.runs["AmiApprovalPageFunction"].number
        used["kms requests"] = used["http api requests"] + month.approvals
    return used


def costs(capability: str, month: Month) -> dict[str, float]:
    """The costs of a month, by row."""
    used = quantities(capability, month)
    paid = {item: used[item] * price["price"] / price["per"] for item, price in LIST["prices"].items()}
    return {row: sum(paid[item] for item in items) for row, items in ROWS.items()}


def money(amount: float) -> str:
    """An amount, as a reader compares it."""
    return "" if amount == 0 else "below 0.01" if amount < 0.005 else f"{amount:,.2f}"


def basis() -> str:
    """What the prices are."""
    return f"prices of {LIST['region']}, without {LIST['without']}"


def labelled(row: str) -> str:
    """The row, and whether one of its prices is from memory."""
    from_memory = [item for item in ROWS[row] if not LIST["prices"][item]["quoted"]]
    return f"{row} ({', '.join(from_memory)}: {NOT_LOOKED_UP})" if from_memory else row


def looked_up(price: dict[str, Any]) -> str:
    """Where a price was read, and of when that is."""
    quoted = price["quoted"]
    return f"<{quoted['by']}>, {quoted['of'] or 'undated'}" if quoted else f"**{NOT_LOOKED_UP}**"


def table(capability: str) -> str:
    """The table of a capability's README."""
    small, large = MONTHS[capability]
    both = [costs(capability, month) for month in (small, large)]
    lines = [
        f"{LIST['currency']} a month, {basis()}",
        "([what is assumed, and where each price was read](../../docs/costs.md)):",
        "",
        f"| | small: {small.said} | large: {large.said} |",
        "|---|--:|--:|",
        *(
            f"| {labelled(row)} | {money(both[0][row])} | {money(both[1][row])} |"
            for row in ROWS
            if both[0][row] or both[1][row]
        ),
        f"| **together** | **{money(sum(both[0].values()))}** | **{money(sum(both[1].values()))}** |",
    ]
    return "\n".join(lines)


def page() -> str:
    """`docs/costs.md`."""
    rows, totals, assumed = [], [0.0, 0.0], []
    for capability in capabilities():
        sums = [sum(costs(capability, month).values()) for month in MONTHS[capability]]
        totals = [total + added for total, added in zip(totals, sums, strict=True)]
        rows.append(
            f"| [{capability}](../functions/{capability}/README.md#costs) | {money(sums[0])} | {money(sums[1])} |"
        )
        for size, month in zip(("small", "large"), MONTHS[capability], strict=True):
            for name, it in month.runs.items():
                assumed.append(f"| {capability}, {size} | `{name}` | {it.number:,} | {it.seconds:g} | {it.log:,} |")
    prices = [
        f"| {item} | {price['price']:.10f}".rstrip("0").rstrip(".")
        + f" | {price['per']:,} | <{price['source']}> | {looked_up(price)} |"
        for item, price in LIST["prices"].items()
    ]
    return "\n".join(
        [
            "# What it costs",
            "",
            START,
            "",
            f"{LIST['currency']} a month, {basis()}.",
            "`make costs` computes the tables. Alarms, metrics, keys, queues, memory and days of logs are counted",
            "in the templates, prices are in `local/prices.json`, and what happens in a month is assumed in",
            "`local/template_checks/costs.py`. Put your own numbers there and run it again.",
            "",
            "| capability | small estate | large estate |",
            "|---|--:|--:|",
            *rows,
            f"| **all** | **{money(totals[0])}** | **{money(totals[1])}** |",
            "",
            "Not in it: an AWS Support plan with the API of AWS Health (pipelines), a trail of CloudTrail and its",
            "bucket where you have none (iam-alerts; the first copy of management events is free), AWS WAF itself, the",
            "snapshots of shared images.",
            "",
            "## What is assumed",
            "",
            "| estate | function | runs | seconds a run | bytes of log a run |",
            "|---|---|--:|--:|--:|",
            *assumed,
            "",
            f"A queue that a function takes from is polled {POLLS:,} times a month, also when it is empty. A metric is",
            "paid for each hour in which a value came. The large estate has the dashboards.",
            "",
            "## Prices",
            "",
            f"No price was read on AWS's page or in its price list. Each was compared on {LIST['compared']} with a",
            f'page that quotes AWS and is of the date beside it; one with "{NOT_LOOKED_UP}" is from memory. Compare',
            "them with AWS's pages before you decide by them, correct `local/prices.json`, and run `make costs`.",
            "",
            f"| in {LIST['region']} | {LIST['currency']} | for | AWS's page | quoted by, of |",
            "|---|--:|--:|---|---|",
            *prices,
            "",
            END,
            "",
        ]
    )


def with_table(readme: str, made: str) -> str:
    """The text of a README with this table between the two comments."""
    return re.sub(
        f"{re.escape(START)}.*?{re.escape(END)}", lambda _: f"{START}\n\n{made}\n\n{END}", readme, flags=re.DOTALL
    )


def written(root: Path = ROOT) -> dict[Path, str]:
    """Each file that has costs, and what it should say."""
    readmes = {root / f"functions/{capability}/README.md": capability for capability in capabilities(root)}
    made = {path: with_table(path.read_text(), table(capability)) for path, capability in readmes.items()}
    return made | {root / "docs/costs.md": page()}


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text)
    print((ROOT / "docs/costs.md").read_text())
