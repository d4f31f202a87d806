"""The bench: it measures what it says, each twin does the same work as its function, and no function is left out."""

import contextlib
import io
import json
import re
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.console import Console

from bench import ami_approval_page, ami_approval_request, ami_share, iam_alert_mail, message_redactor, message_relay
from gatehouse_local import amis, bench, events, functions, messages, ranges, runtime_api, sns
from gatehouse_local.aws import operations
from gatehouse_local.bench_case import ZIP, Bench
from gatehouse_local.codepipeline import Action, gate
from gatehouse_local.figures import zipped
from gatehouse_local.iam_alerts import MAIL
from gatehouse_local.runtime_api import Outcome, RuntimeApi
from gatehouse_local.web import Page

# With `global`, more than one filter of AWS Health takes; Regions that exist, since the gate refuses all others.
REGIONS = (
    "eu-west-1,eu-west-2,eu-west-3,eu-central-1,eu-central-2,eu-north-1,eu-south-1,eu-south-2,"
    "us-east-1,us-east-2,us-west-1,us-west-2"
)
BENCHES = {path.stem.replace("_", "-") for path in (bench.ROOT / "local" / "bench").glob("*.py")}
FUNCTIONS = {function.binary: function for function in functions.functions()}


def _bench(binary: str) -> Bench:
    found = bench.registered(binary)
    assert found is not None
    return found


@pytest.fixture
def printed():
    """A console, and what was printed on it."""
    out = Console(file=io.StringIO(), width=120, highlight=False)
    return out, lambda: out.file.getvalue()


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name in BENCHES])
def test_a_function_is_measured_beside_its_twin(binary, name):
    """Its first case; `make bench` measures every one, and ends where a program does not do its work."""
    commands = {"function": [str(binary(name))], "boto3 twin": [sys.executable, str(_bench(name).twin)]}
    with _bench(name).cases(binary(name)) as cases:
        for figures in bench.measure(cases[0], commands, runs=1):
            (cold,), (warm,) = figures.cold, figures.warm
            if sys.platform == "linux":
                # On the processor: a busy machine can slow down any one run.
                (cold,), (warm,) = figures.cold_cpu, figures.warm_cpu
            assert cold > warm > 0


def test_there_is_no_bench_of_a_function_that_is_gone():
    assert {name for name in BENCHES if not name.endswith(("-twin", "python-runtime"))} <= FUNCTIONS.keys()


def test_a_function_without_a_bench_is_weighed(printed, tmp_path, monkeypatch):
    out, text = printed
    monkeypatch.setattr(bench, "registered", lambda binary: None)
    function = tmp_path / "bootstrap"
    function.write_bytes(b"gatehouse " * 10_000)
    bench.bench(out, next(iter(FUNCTIONS.values())), function, None, runs=1)
    assert "only its zip is weighed" in text()
    assert f"met    zip: 0.00 MB (goal: at most {ZIP / 1e6:.1f} MB)" in text()


def test_a_program_that_does_not_do_its_work_is_not_measured(binary):
    name = "pipeline-health-gate"
    with _bench(name).cases(binary(name)) as cases, pytest.raises(SystemExit, match="did not do its work"):
        bench.measure(cases[0], {"function": [str(binary("bench-empty"))]}, runs=1)


def test_what_a_notice_that_changes_nothing_asks_of_ec2(binary):
    """The bench answers from memory only what was asked before: the second invocation must ask for nothing else."""
    name = "ip-ranges-updater"
    with _bench(name).cases(binary(name)) as cases:
        notice = next(case for case in cases if "signed" in case.title)
        with RuntimeApi([str(binary(name))], notice.env) as function:
            for _ in range(2):
                outcome = function.invoke(notice.event())
                assert not outcome.failed and notice.done(outcome), outcome.payload


@pytest.mark.parametrize("change", ["signature", "document"])
def test_the_updaters_twin_refuses_what_the_updater_refuses(aws, web, binary, change):
    web.serve(sns.CERTIFICATE_URL, Page(sns.certificate(), content_type="application/x-pem-file"))
    url = f"{web.url}/ip-ranges.json"
    web.serve(url, (ranges.second() if change == "document" else ranges.first()).body)
    event = events.signed_notice(ranges.first(), url=url)
    if change == "signature":
        event["Records"][0]["Sns"]["Message"] += " "
    settings = {"AWS_ENDPOINT_URL": aws.url, "IP_RANGES_URL": url, "VPC_ID": aws.ec2.default_vpc()}
    env = runtime_api.environment(settings | events.SAMPLE_AGE | web.environment)
    twin = [sys.executable, str(_bench("ip-ranges-updater").twin)]
    with RuntimeApi(twin, env) as function:
        assert function.invoke(event).failed
    assert not [call for call in aws.calls if call.writes]


@pytest.mark.parametrize("program", ["gate", "twin"])
def test_gate_and_twin_do_the_same(aws, binary, program):
    name = "pipeline-health-gate"
    command = [str(binary(name))] if program == "gate" else [sys.executable, str(_bench(name).twin)]
    with RuntimeApi(command, runtime_api.environment({"AWS_ENDPOINT_URL": aws.url})) as function:
        for opened, verdict, status in (([], "pass", "Succeeded"), (["eu-west-1", "us-west-2"], "fail", "Failed")):
            issues = [aws.health.open("EC2", region) for region in opened]
            pipeline = aws.codepipeline.create("web", {"Production": [gate(REGIONS), Action("Deploy")]})
            aws.codepipeline.start(pipeline)
            assert function.invoke(aws.codepipeline.next_job()).payload["verdict"] == verdict
            assert pipeline.stage("Production").status == status
            error = (pipeline.latest("Production", "HealthGate").error or {}).get("message", "")
            assert all(issue in error for issue in issues)
    assert operations(aws.calls) == {"DescribeEvents": 4, "PutJobSuccessResult": 1, "PutJobFailureResult": 1}


def _both(binary, name):
    """The function and its twin, as commands."""
    return {"function": [str(binary(name))], "twin": [sys.executable, str(_bench(name).twin)]}


def _asked(calls):
    """What AWS was asked, without the text of emails: only their lists of images and their link."""
    kept = re.compile(r"^(?:  |https://).+$", re.MULTILINE)

    def without_text(call):
        if call.operation != "Publish":
            return call.params
        return call.params | {"Message": kept.findall(call.params["Message"])}

    return [(call.operation, call.region, without_text(call)) for call in calls]


@pytest.mark.parametrize("link", [True, False])
def test_approval_request_and_twin_do_the_same(aws, web, binary, link):
    name = "ami-approval-request"
    topics = amis.sample_approval(aws, ami_approval_request.REGION)
    available, failed = (ami_approval_request.signed(f"request-{state}.json") for state in ("available", "failed"))
    certificate = Page(sns.certificate(), content_type="application/x-pem-file")
    web.serve(available["Records"][0]["Sns"]["SigningCertUrl"], certificate)
    here = {"AWS_ENDPOINT_URL": aws.url} | web.environment | ami_approval_request.settings(topics, link)
    env, asked, answered = runtime_api.environment(here, ami_approval_request.REGION), [], []
    for command in _both(binary, name).values():
        with aws.recording() as calls, RuntimeApi(command, env) as function:
            outcomes = [function.invoke(available), function.invoke(failed)]
        assert not any(outcome.failed for outcome in outcomes), [outcome.payload for outcome in outcomes]
        answered.append([report for outcome in outcomes for report in outcome.payload])
        asked.append(_asked(calls))
    assert asked[0] == asked[1]
    assert answered[0] == answered[1]
    operations = [operation for operation, *_ in asked[1]]
    with_link = ["GenerateMac", "Publish"] if link else []
    assert operations == ["StartAutomationExecution", "GetAutomationExecution", *with_link, "Publish"]
    assert len(aws.ssm_automation.executions) == 2, "that of the samples, and one for both deliveries of the notice"


@pytest.mark.parametrize("program", ["function", "twin"])
@pytest.mark.parametrize("change", ["message", "topic", "age"])
def test_approval_request_and_twin_refuse_the_same(aws, web, binary, program, change):
    name = "ami-approval-request"
    topics = amis.sample_approval(aws, ami_approval_request.REGION)
    event = ami_approval_request.signed("request-available.json")
    message = event["Records"][0]["Sns"]
    web.serve(message["SigningCertUrl"], Page(sns.certificate(), content_type="application/x-pem-file"))
    settings = ami_approval_request.settings(topics, link=True)
    if change == "message":
        message["Message"] += " "
    elif change == "topic":
        settings["TOPIC_ARNS"] += "-other"
    else:
        settings["SNS_MAX_AGE_SECONDS"] = "3600"
    here = {"AWS_ENDPOINT_URL": aws.url} | web.environment | settings
    with RuntimeApi(_both(binary, name)[program], runtime_api.environment(here, ami_approval_request.REGION)) as it:
        assert it.invoke(event).failed
    assert not aws.calls


def _facts(page):
    """What a person reads and what the form sends; the twin words some sentences shorter."""
    facts = r"<h1>.*?</h1>|<li>.*?</li>|<d[td]>.*?</d[td]>|<(?:button|input|textarea|form) [^>]*>"
    return page["statusCode"], page["headers"], re.findall(facts, page["body"], re.DOTALL)


def test_approval_page_and_twin_do_the_same(aws, binary):
    name, region = "ami-approval-page", ami_approval_page.REGION
    samples = [f"page-{sample}.json" for sample in ("forged", "get", "head", "approve", "get", "reject")]
    env = runtime_api.environment(ami_approval_page.settings() | {"AWS_ENDPOINT_URL": aws.url}, region)
    asked, answered = [], []
    for command in _both(binary, name).values():
        aws.reset()
        amis.sample_approval(aws, region)
        image = aws.images.images["us-east-1", events.AMIS_IMAGES["us-east-1"]]
        image.scan = {"HighestFindingSeverityLabel": "high", "FindingScanDate": "2026-01-17T06:40:00Z"}
        with RuntimeApi(command, env) as function:
            answered.append([_facts(function.invoke(events.load(f"amis/{sample}")).payload) for sample in samples])
        asked.append(_asked(aws.calls))
        [execution] = aws.ssm_automation.executions.values()
        assert execution.steps[0].status == "Success"
        [(signal, comment, _)] = execution.steps[0].decisions.values()
        assert (signal, comment) == ("Approve", "Ana Example (approval page): Tested in staging.")
    assert asked[0] == asked[1]
    assert answered[0] == answered[1]
    assert [status for status, *_ in answered[1]] == [403, 200, 200, 200, 409, 409]
    assert any("highest severity: high (scan of 2026-01-17 06:40 UTC)" in fact for fact in answered[1][1][2])


def test_share_and_twin_do_the_same(aws, binary):
    asked, answered = [], []
    for command in _both(binary, "ami-share").values():
        aws.reset()
        here = ami_share.settings(ami_share.share_samples(aws)) | {"AWS_ENDPOINT_URL": aws.url}
        with RuntimeApi(command, runtime_api.environment(here, ami_share.REGION)) as function:
            outcome = function.invoke(events.load("amis/share-images.json"))
            assert not outcome.failed, outcome.payload
            answered.append(outcome.payload)
            # The function looks at several images at a time.
            asked.append(sorted(map(str, _asked(aws.calls))))
            next(iter(aws.images.images.values())).state = "failed"
            assert function.invoke(events.load("amis/share-images.json")).failed
        assert not [call for call in aws.calls if call.writes and call.service == "ec2"]
    assert asked[0] == asked[1] and len(asked[1]) == 5
    assert answered[0] == answered[1]


@dataclass
class Run:
    """What a program answered to each event, and what it asked of AWS."""

    outcomes: list[Outcome] = field(default_factory=list)
    asked: list[list[tuple[str, str, dict[str, Any]]]] = field(default_factory=list)  # for each event

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What was published."""
        return [params for calls in self.asked for operation, _, params in calls if operation == "Publish"]


@contextlib.contextmanager
def _case(name, binary, aws):
    """The environment of a function's first case, with this local AWS in place of that of the bench."""
    with _bench(name).cases(binary(name)) as cases:
        topics = aws.client("sns", cases[0].env["AWS_REGION"])
        for topic in ("approval", "reporting", "denied", "iam-alerts"):
            topics.create_topic(Name=topic)
        yield cases[0].env | {"AWS_ENDPOINT_URL": aws.url}


def _run_both(aws, binary, name, env, given):
    """What function and twin made of the same events."""
    runs = []
    for command in _both(binary, name).values():
        run = Run()
        with RuntimeApi(command, env) as function:
            for event in given:
                with aws.recording() as calls:
                    run.outcomes.append(function.invoke(event))
                run.asked.append([(call.operation, call.region, call.params) for call in calls])
        runs.append(run)
    return runs


def test_mail_and_twin_write_the_same_mails(aws, binary, real):
    without = ("batch.json", "not-understood.json")  # the twin takes no batch
    samples = [event for name, event in events.iam_alerts().items() if name not in without]
    recorded = []
    for path in sorted((real / "cloudtrail").glob("*.json")):
        document = json.loads(path.read_text())
        for record in document.get("Records", [document]):
            recorded.append(events.iam_event("x", {}, "1" * 36) | {"detail": record})
    others = [
        events.iam_event("CreateUser", identity, "11111111-0000-4000-8000-000000000007", **fields)
        for identity, fields in (
            ({}, {}),
            ({"type": "AWSAccount", "accountId": "444455556666"}, {"recipientAccountId": "123456789012"}),
            ({"type": "FederatedUser", "arn": "arn:aws:sts::1:federated-user/guest"}, {"awsRegion": "cn-north-1"}),
            ({"type": "AssumedRole", "principalId": "AROA:anna"}, {"awsRegion": "us-iso-east-1"}),
            (events.iam_role("AWSReservedSSO_Admins_0123456789abcdef", "anna"), {}),
            ({"type": "Root", "sessionContext": {"assumedRoot": "true"}}, {"errorMessage": "No."}),
            ({"type": "IAMUser", "userName": "Zoë\r\nBcc: all\u202e" + "x" * 200}, {"eventTime": "yesterday"}),
            ({"accountId": "1", "invokedBy": "sso.amazonaws.com"}, {"eventID": "../x", "userAgent": "y" * 2000}),
            ({}, {"userIdentity": None, "requestParameters": {"password": "hush", "n": 7, "flag": True, "items": []}}),
            (
                {},
                {
                    "userIdentity": None,
                    "responseElements": {"user": {"userName": "b", "policy": "%7B%22a%22%3A%5B%5D%7D"}},
                },
            ),
        )
    ]
    given = [*samples, *recorded, *others, iam_alert_mail.with_policy(200_000), [samples[0], samples[1], samples[0]]]
    given[-2]["detail"]["responseElements"] = {"copy": "é" * 200_000}
    with _case(MAIL, binary, aws) as env:
        function, twin = _run_both(aws, binary, MAIL, env, given)
    assert not any(outcome.failed for run in (function, twin) for outcome in run.outcomes)
    assert len(function.messages) == len(given) + 2 >= 40
    for ours, theirs in zip(function.messages, twin.messages, strict=True):
        assert ours == theirs
    assert function.asked == twin.asked
    assert [it.payload for it in function.outcomes] == [it.payload for it in twin.outcomes]
    assert "CUT HERE" in twin.messages[-4]["Message"]


def test_mail_and_twin_mail_what_they_do_not_understand_as_it_is(aws, binary):
    sample = events.load("iam-alerts/not-understood.json")
    details = [sample["detail"], {}, [], "text", {"eventName": " "}, {"eventName": "A", "userIdentity": "who"}]
    given = [sample | {"detail": detail} for detail in details]
    with _case(MAIL, binary, aws) as env:
        runs = _run_both(aws, binary, MAIL, env, given)
    # Why it is not understood, each says in its own words.
    function, twin = (
        [it | {"Message": re.sub(r"understand \(.*\)\.", "", it["Message"])} for it in run.messages] for run in runs
    )
    assert function == twin and len(twin) == len(given)
    assert {outcome.payload[0]["outcome"] for run in runs for outcome in run.outcomes} == {"NotUnderstood"}


@pytest.mark.parametrize(
    ("settings", "outcome"), [({"EXCLUDE_EVENT_NAMES": "TagRole"}, "Excluded"), ({"DRY_RUN": "true"}, "Planned")]
)
def test_mail_and_twin_leave_out_the_same(aws, binary, settings, outcome):
    with _case(MAIL, binary, aws) as env:
        runs = _run_both(aws, binary, MAIL, env | settings, [events.load("iam-alerts/tag-role.json")])
    assert [(run.outcomes[0].payload[0]["outcome"], run.messages) for run in runs] == [(outcome, [])] * 2


@pytest.mark.parametrize("event", [[], {}, {"source": "aws.iam", "detail-type": "x"}])
def test_mail_and_twin_fail_where_the_event_is_none(aws, binary, event):
    with _case(MAIL, binary, aws) as env:
        runs = _run_both(aws, binary, MAIL, env, [event])
    assert all(run.outcomes[0].failed and not run.messages for run in runs)


def test_redactor_and_twin_publish_the_same(aws, binary):
    name = "message-redactor"
    report, secret = (
        json.loads(events.load(f"messages/redactor-{it}.json")["Records"][0]["Sns"]["Message"])
        for it in ("expense", "denied")
    )
    nested = {"reports": [report, {"card": "4539 8944 5808 6459", "phone": "4539894458086458"}], "amount": 1.5}
    given = [message_redactor.signed(json.dumps(it)) for it in (report, nested, secret)]
    with _case(name, binary, aws) as env:
        function, twin = _run_both(aws, binary, name, env, given)
    assert not any(outcome.failed for run in (function, twin) for outcome in run.outcomes)
    topics = [[it["TopicArn"].rpartition(":")[2] for it in run.messages] for run in (function, twin)]
    assert topics == [["reporting", "reporting", "denied"]] * 2
    # What is said of a denied message, each says in its own words; neither repeats the value.
    assert function.asked[:2] == twin.asked[:2]
    assert all("EXAMPLEKEY" not in run.messages[2]["Message"] for run in (function, twin))
    assert messages.CARD not in str(twin.messages) and "4539894458086458" in twin.messages[1]["Message"]


def test_relay_and_twin_publish_the_same(aws, binary):
    name = "message-relay"
    given = [events.load(f"messages/relay-{it}.json") for it in ("notification-signed", "forged-signed", "get")]
    given.insert(1, given[0])  # a message that is delivered twice is published twice
    plain = sns.sign(events.notification(message_relay.ORIGIN, "no subject", Subject=None) | {"MessageId": "m-2"}, "2")
    given.append(events.delivery_over_https(plain))
    with _case(name, binary, aws) as env:
        function, twin = _run_both(aws, binary, name, env, given)
    assert [it.payload["statusCode"] for it in function.outcomes] == [200, 200, 403, 405, 200]
    assert [it.payload["statusCode"] for it in twin.outcomes] == [200, 200, 403, 405, 200]
    assert function.asked == twin.asked
    assert [len(calls) for calls in twin.asked] == [1, 1, 0, 0, 1]


def test_the_zip_holds_the_binary_compressed(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"gatehouse " * 10_000)
    assert 100 < zipped(binary) < 1_000
