"""The costs in the READMEs are what `make costs` computes of the templates and the price list."""

import re
from datetime import date

import pytest

from gatehouse_local.functions import capabilities
from template_checks import costs
from template_checks.complete import tables
from template_checks.costs import LIST, MONTHS, Month, Runs


def test_each_table_is_what_the_script_computes():
    written = costs.written()
    assert [path for path, text in written.items() if path.read_text() != text] == [], "run make costs"
    assert len(written) > len(capabilities())
    assert all(costs.START in text and costs.END in text for text in written.values())


def test_each_capability_has_a_small_and_a_large_estate():
    assert sorted(MONTHS) == capabilities()
    for capability, (small, large) in MONTHS.items():
        assert sum(costs.costs(capability, small).values()) < sum(costs.costs(capability, large).values()), capability


def test_the_price_list_says_its_region_and_where_each_price_was_looked_up():
    compared = date.fromisoformat(LIST["compared"])
    assert date(2026, 1, 1) <= compared <= date.today()
    assert re.fullmatch(r"[a-z]{2}-[a-z]+-\d", LIST["region"]) and LIST["currency"] == "USD"
    for item, price in LIST["prices"].items():
        assert price["price"] > 0 and price["per"] >= 1, item
        assert re.fullmatch(r"https://aws\.amazon\.com/[a-z-]+/pricing/", price["source"]), item
        if quoted := price["quoted"]:
            assert quoted["by"].startswith("https://"), item
            assert quoted["of"] is None or date.fromisoformat(quoted["of"]) <= compared, item


def test_a_price_from_memory_is_marked_wherever_it_counts(monkeypatch):
    for item in LIST["prices"]:
        monkeypatch.setitem(LIST["prices"][item], "quoted", {"by": "https://example.com/", "of": None})
    for text in (costs.page(), *map(costs.table, capabilities())):
        assert "not looked up" not in text.replace('"not looked up"', "")
    monkeypatch.setitem(LIST["prices"]["kms keys"], "quoted", None)
    assert "| key, and its requests (kms keys: not looked up) | 1.00 |" in costs.table("amis")
    assert "not looked up" not in costs.table("pipelines"), "it has no key"
    assert "| kms keys | 1 | 1 | <https://aws.amazon.com/kms/pricing/> | **not looked up** |" in costs.page()


def test_every_item_of_the_price_list_is_in_one_row():
    rows = [item for items in costs.ROWS.values() for item in items]
    assert sorted(rows) == sorted(LIST["prices"])


# By hand, once: 1,000,000 runs of 0.1 s with 256 MB, 2 KB of log each, kept 90 days.
def test_a_month_is_computed_as_by_hand():
    month = Month(
        "one", {"IamAlertMailFunction": Runs(1_000_000, 0.1, 2_000)}, 100_000, {"NotifyEmail": "a@example.com"}
    )
    used = costs.quantities("iam-alerts", month)
    assert used["lambda requests"] == 1_000_000
    assert used["lambda GB-seconds, arm64"] == pytest.approx(25_000) and used["lambda GB-seconds, x86_64"] == 0
    assert used["log GB taken in"] == pytest.approx(2) and used["log GB-months kept"] == pytest.approx(6)
    paid = costs.costs("iam-alerts", month)
    assert paid["Lambda: requests and time"] == pytest.approx(0.20 + 25_000 * 0.0000133334)
    assert paid["SNS: messages and mails"] == pytest.approx(2.00 + 0.05)
    assert paid["logs"] == pytest.approx(1.00 + 0.18)


def test_what_the_templates_have_is_counted():
    pipelines, amis = (costs.quantities(capability, MONTHS[capability][1]) for capability in ("pipelines", "amis"))
    assert pipelines["dashboards"] == 1 and costs.quantities("pipelines", MONTHS["pipelines"][0])["dashboards"] == 0
    assert pipelines["sqs requests"] >= costs.POLLS and amis["sqs requests"] == 0
    assert amis["kms keys"] == 1 and pipelines["kms keys"] == 0
    assert amis["automation steps"] > MONTHS["amis"][1].approvals
    x86 = costs.Month("x86", MONTHS["pipelines"][1].runs, 0, {"Architecture": "x86_64"})
    dearer = costs.costs("pipelines", x86)["Lambda: requests and time"]
    assert dearer > costs.costs("pipelines", MONTHS["pipelines"][1])["Lambda: requests and time"]
    # An alarm on several metrics is paid for each of them.
    iam = costs.quantities("iam-alerts", MONTHS["iam-alerts"][0])
    assert iam["metrics watched by alarms"] > 3


def test_a_metric_is_paid_for_the_hours_in_which_it_came():
    runs = {"IamAlertMailFunction": Runs(73, 0.1, 100)}
    tenth = costs.quantities("iam-alerts", Month("few", runs, 0))["metrics of ours"]
    whole = costs.quantities("iam-alerts", Month("many", {"IamAlertMailFunction": Runs(10**6, 0.1, 100)}, 0))
    assert tenth * 10 == pytest.approx(whole["metrics of ours"])


def test_a_function_that_nobody_thought_of_is_named():
    with pytest.raises(ValueError, match="IamAlertMailFunction"):
        costs.quantities("iam-alerts", Month("none", {}, 0))


def test_the_sum_of_a_table_is_the_sum_of_its_rows():
    for capability in capabilities():
        [table] = [it for it in tables(costs.table(capability)) if it.header[1].startswith("small")]
        *rows, together = table.rows
        for column in (1, 2):
            amounts = [float(row[column].replace(",", "")) for row in rows if re.match(r"[\d,.]+$", row[column])]
            assert float(together[column].strip("*").replace(",", "")) == pytest.approx(sum(amounts), abs=0.05)


def test_a_readme_without_the_two_comments_stays_as_it_is():
    assert costs.with_table("# a\n", "table") == "# a\n"
