"""The amis capability as a whole: from Image Builder's notice to the shared image, with the real binaries.

AWS is the local AWS. The stack is read from the template: runbook, settings, routes and rule.
"""

import http.client
import json
import random
import urllib.error
import urllib.parse
import urllib.request

import pytest

from gatehouse_local import events, image_builder
from gatehouse_local.amis import PAGE, PERSON, REQUEST, SHARE, Stack
from gatehouse_local.aws import operations
from gatehouse_local.runtime_api import ACCOUNT_ID

# As they are called here: each flow names the functions that it runs.
FUNCTIONS = ("ami-approval-request", "ami-approval-page", "ami-share")

ACCOUNT, OTHER_ACCOUNT = "111122223333", "444455556666"
ORGANIZATIONS = [f"arn:aws:organizations::123456789012:organization/o-abcdefghi{n}" for n in range(2)]
OU = "arn:aws:organizations::123456789012:ou/o-abcdefghi0/ou-ab12-cdefghij"
IMAGES = {"us-east-1": "ami-0123456789abcdef0", "eu-west-1": "ami-0fedcba9876543210"}
NEXT_IMAGES = {"us-east-1": "ami-0aaaaaaaaaaaaaaaa"}
HOUR = 3600


@pytest.fixture
def make(aws, web, binary, request):
    """Makes a stack with these parameters; it is stopped after the test."""

    def stack(**parameters: str) -> Stack:
        made = Stack(aws, web, binary, **{"TargetAccountIds": ACCOUNT, "ApprovalLink": "true"} | parameters)
        made.__enter__()
        request.addfinalizer(lambda: made.__exit__())
        for region, image in IMAGES.items():
            aws.images.create(image, region)
        return made

    return stack


def permissions(aws, image, region="us-east-1"):
    """Who may launch an image, read back from EC2."""
    found = aws.client("ec2", region).describe_image_attribute(ImageId=image, Attribute="launchPermission")
    return [next(iter(permission.values())) for permission in found["LaunchPermissions"]]


def shared(aws):
    return [permissions(aws, image, region) for region, image in IMAGES.items()]


def subjects(stack, to="approvers"):
    return [mail.subject for mail in stack.mails if mail.to == to]


def link(stack):
    [found] = {mail.link for mail in stack.mails if mail.link}
    return found


def fetch(url, form=None, method=None):
    """Status, headers and text of a page."""
    body = urllib.parse.urlencode(form).encode() if form is not None else None
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, headers, answer.read().decode()


def answer(stack, decision="approve", url=None, **form):
    """Sends the form of the page; status and text of what follows."""
    page, _, query = (url or link(stack)).partition("?")
    token = dict(urllib.parse.parse_qsl(query))
    status, _, text = fetch(page, token | {"decision": decision, "name": "Ana", "comment": "fine"} | form)
    stack.settle()
    return status, text


def build(stack, images=None, **options):
    """Image Builder ends a build; the outcome of the approval request."""
    outcome = stack.publish(image_builder.notice(images or IMAGES, **options.pop("notice", {})), **options)
    assert not outcome.failed, outcome.error_message
    return outcome


# The whole story ------------------------------------------------------------------------------


def test_an_approved_image_is_shared_and_everyone_hears_of_it(aws, make):
    stack = make(
        TargetAccountIds=f"{ACCOUNT},{OTHER_ACCOUNT}", TargetOrganizationArns=",".join(ORGANIZATIONS), TargetOuArns=OU
    )
    build(stack)
    [execution] = stack.executions
    assert execution.parameters["images"] == [f"{region}:{image}" for region, image in IMAGES.items()]
    assert execution.tags["gatehouse:capability"] == "amis"
    assert execution.status == "Waiting"
    assert shared(aws) == [[], []], "nothing is shared before the approval"
    assert [mail.to for mail in stack.mails] == ["approvers"] * 2, (
        "the one of Systems Manager and the one with the link"
    )

    status, headers, text = fetch(link(stack))
    assert status == 200
    for part in ("golden-al2023", *IMAGES.values(), *IMAGES, ACCOUNT, OTHER_ACCOUNT, *ORGANIZATIONS, OU):
        assert part in text, part
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")

    assert answer(stack, name="Ana Example", comment="Tested in staging.")[0] == 200
    assert execution.status == "Success"
    [(_, comment, _)] = execution.steps[0].decisions.values()
    assert "Ana Example" in comment and "Tested in staging." in comment
    for targets in shared(aws):
        assert sorted(targets) == sorted([ACCOUNT, OTHER_ACCOUNT, *ORGANIZATIONS, OU])
    [told] = [mail for mail in stack.mails if mail.to == "target accounts"]
    assert told.subject.startswith("Gatehouse amis: ")
    assert all(image in told.text for image in IMAGES.values())
    assert [call.error for call in aws.calls if call.error and call.error != "ParameterNotFound"] == []


def test_an_approval_in_the_console_works_without_a_link(aws, make):
    stack = make(ApprovalLink="false")
    build(stack)
    [mail] = stack.mails
    assert (mail.to, mail.link) == ("approvers", None)
    assert mail.subject.startswith("Approval required")
    assert all(image in mail.text for image in IMAGES.values()) and "golden-al2023" in mail.text
    stack.signal(stack.executions[0].id)
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]


def test_a_rejected_image_is_not_shared_and_the_approvers_hear_of_it(aws, make):
    stack = make()
    build(stack)
    before = len(stack.mails)
    assert answer(stack, "reject")[0] == 200
    assert stack.executions[0].status == "Rejected"
    assert shared(aws) == [[], []]
    [mail] = stack.mails[before:]
    assert (mail.to, stack.executions[0].id in mail.text, "Rejected" in mail.text) == ("approvers", True, True)
    assert SHARE not in [name for name, _ in stack.outcomes]


def test_an_approval_that_nobody_answers_times_out(aws, make):
    stack = make(ApprovalTimeout=str(HOUR))
    build(stack)
    before = len(stack.mails)
    stack.pass_time(HOUR + 1)
    [mail] = stack.mails[before:]
    assert "TimedOut" in mail.text
    status, _, text = fetch(link(stack))
    assert (status, "Too late" in text) == (410, True)
    assert answer(stack)[0] == 410
    assert shared(aws) == [[], []]


def test_a_failed_build_asks_for_nothing_and_says_why(make):
    stack = make()
    notice = image_builder.failed_notice()
    assert not stack.publish(notice).failed
    assert stack.executions == []
    [mail] = stack.mails
    assert mail.subject.startswith("Gatehouse amis: ")
    assert "FAILED" in mail.text and notice["state"]["reason"] in mail.text and notice["arn"] in mail.text


def test_a_build_of_a_container_image_asks_for_nothing(make):
    stack = make()
    build(stack, notice={"outputResources": {"containers": []}, "type": "DOCKER"})
    assert stack.executions == []


def test_images_of_other_accounts_are_not_shared_from_here(make):
    stack = make()
    notice = image_builder.notice(IMAGES)
    notice["outputResources"]["amis"][1]["accountId"] = OTHER_ACCOUNT
    assert not stack.publish(notice).failed
    assert stack.executions[0].parameters["images"] == [f"us-east-1:{IMAGES['us-east-1']}"]
    assert any(OTHER_ACCOUNT in mail.text for mail in stack.mails)


# Twice ----------------------------------------------------------------------------------------


def test_a_notice_that_is_delivered_twice_asks_once(make):
    stack = make()
    build(stack, deliveries=2)
    assert len(stack.executions) == 1
    assert len({mail.link for mail in stack.mails if mail.link}) == 1, "the second mail has the same link"


def test_the_next_build_has_an_approval_of_its_own(aws, make):
    stack = make()
    build(stack)
    aws.images.create(NEXT_IMAGES["us-east-1"])
    build(stack, NEXT_IMAGES, notice={"build": 4})
    assert len(stack.executions) == 2


def test_sharing_twice_changes_nothing_and_tells_the_target_accounts_once(aws, make):
    stack = make()
    build(stack)
    answer(stack)
    event = {"images": stack.executions[0].parameters["images"]}
    before = len([mail for mail in stack.mails if mail.to == "target accounts"])
    assert before == 1
    with aws.recording() as calls:
        outcome = stack.invoke(SHARE, event)
    stack.settle()
    assert not outcome.failed
    assert {image["outcome"] for image in outcome.payload["images"]} == {"unchanged"}
    assert "ModifyImageAttribute" not in operations(calls)
    assert len([mail for mail in stack.mails if mail.to == "target accounts"]) == before


# Links ----------------------------------------------------------------------------------------


def test_a_prefetched_link_changes_nothing(aws, make):
    stack = make()
    build(stack)
    with aws.recording() as calls:
        for method in ("GET", "HEAD"):
            status, _, text = fetch(link(stack), method=method)
            assert (status, bool(text)) == (200, method == "GET")
    assert [call.operation for call in calls if call.writes] == []
    assert stack.executions[0].status == "Waiting"


def test_a_replayed_link_says_that_it_is_decided(aws, make):
    stack = make()
    build(stack)
    assert answer(stack)[0] == 200
    before = len(stack.mails)
    for decision in ("approve", "reject"):
        status, text = answer(stack, decision)
        assert (status, "Already approved" in text) == (409, True)
    assert fetch(link(stack))[0] == 409
    assert (stack.executions[0].status, len(stack.mails)) == ("Success", before)


def test_a_link_expires(aws, make):
    stack = make(LinkTtlHours="1")
    build(stack)
    key = stack.ssm.get_parameter(Name=events.LINK_KEY_PARAMETER, WithDecryption=True)["Parameter"]["Value"]
    execution = stack.executions[0]
    from datetime import timedelta

    # The link of an execution that started two hours ago, as the function would sign it.
    token = events.link_token(execution.id, execution.started - timedelta(hours=1), key)
    status, text = answer(stack, url=f"{stack.gateway.url}?token={token}")
    assert (status, "expired" in text) == (410, True)
    assert fetch(f"{stack.gateway.url}?token={token}")[0] == 410
    assert execution.status == "Waiting"
    # The real one is what the function would have signed then.
    expected = events.link_token(execution.id, execution.started + timedelta(hours=1), key)
    assert link(stack).endswith(f"?token={expected}")


def test_the_page_of_an_unknown_execution_and_of_a_service_that_is_down(aws, make):
    stack = make()
    build(stack)
    key = stack.ssm.get_parameter(Name=events.LINK_KEY_PARAMETER, WithDecryption=True)["Parameter"]["Value"]
    token = events.link_token(events.AMIS_EXECUTION, events.LINK_EXPIRES, key)
    assert answer(stack, url=f"{stack.gateway.url}?token={token}")[0] == 404
    aws.disturb("refuse", service="ssm", operation="GetAutomationExecution", code="InternalServerError", times=None)
    status, text = answer(stack)
    assert (status, "<h1>" in text) == (503, True)
    aws.calm()
    assert stack.executions[0].status == "Waiting"


def test_the_key_is_made_once_at_random_and_its_value_appears_nowhere(aws, make):
    stack = make()
    build(stack)
    build(stack, notice={"build": 4})
    key = stack.ssm.get_parameter(Name=events.LINK_KEY_PARAMETER, WithDecryption=True)["Parameter"]
    assert (key["Type"], key["Version"]) == ("SecureString", 1)
    puts = [call for call in aws.calls if call.operation == "PutParameter"]
    assert [call.params.get("Overwrite", False) for call in puts] == [False]
    fetch(link_of_last(stack))
    written = "\n".join(line for _, outcome in stack.outcomes for line in outcome.log)
    written += json.dumps([outcome.payload for _, outcome in stack.outcomes]) + "".join(it.text for it in stack.mails)
    assert key["Value"] not in written


def link_of_last(stack):
    return [mail.link for mail in stack.mails if mail.link][-1]


def test_logs_hold_no_token(make):
    stack = make()
    build(stack)
    token = link(stack).partition("token=")[2]
    fetch(link(stack))
    answer(stack)
    log = "\n".join(line for name, outcome in stack.outcomes for line in outcome.log)
    assert token not in log
    assert token not in "\n".join(stack.gateway.log)
    assert len(stack.gateway.log) == 2


def test_a_rotated_key_accepts_old_links_while_it_is_the_previous_one(aws, make):
    stack = make(LinkPreviousKeyParameter="/gatehouse/amis/link-key-previous")
    build(stack)
    old = stack.ssm.get_parameter(Name=events.LINK_KEY_PARAMETER, WithDecryption=True)["Parameter"]["Value"]
    stack.ssm.put_parameter(Name="/gatehouse/amis/link-key-previous", Type="SecureString", Value=old)
    stack.ssm.put_parameter(Name=events.LINK_KEY_PARAMETER, Type="SecureString", Value=events.LINK_KEY, Overwrite=True)
    assert fetch(link(stack))[0] == 200
    new = events.link_token(stack.executions[0].id, events.LINK_EXPIRES)
    assert fetch(f"{stack.gateway.url}?token={new}")[0] == 200


# Approvals ------------------------------------------------------------------------------------


def test_the_page_is_one_of_two_approvals_whoever_clicks(aws, make):
    stack = make(MinimumApprovals="2")
    build(stack)
    execution = stack.executions[0]
    assert "0 of 2" in fetch(link(stack))[2]
    status, text = answer(stack, name="Ana")
    assert (status, "1 of 2" in text) == (200, True)
    status, text = answer(stack, name="Ben")
    assert (status, execution.status) == (409, "Waiting")
    assert "one approver" in text
    assert shared(aws) == [[], []]
    stack.signal(execution.id, who=PERSON)
    assert execution.status == "Success"
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]


def test_one_rejection_is_enough_where_two_approvals_are_needed(aws, make):
    stack = make(MinimumApprovals="2")
    build(stack)
    answer(stack)
    stack.signal(stack.executions[0].id, "Reject")
    assert (stack.executions[0].status, shared(aws)) == ("Rejected", [[], []])


# No unauthenticated request changes anything --------------------------------------------------

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATHS = ("/approval", "/approval/", "/", "/approve", "/APPROVAL", "/approval/approve", "//approval", "/approval%2f")


def mutated(token, count, seed=8):
    """Tokens that differ from a valid one in one to three places, or in their length."""
    chance = random.Random(seed)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= "
    made = set()
    while len(made) < count:
        text = list(token)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(text))
            change = chance.choice("replace insert delete swap".split())
            if change == "replace":
                text[place] = chance.choice(letters)
            elif change == "insert":
                text.insert(place, chance.choice(letters))
            elif change == "delete" and len(text) > 1:
                del text[place]
            else:
                other = chance.randrange(len(text))
                text[place], text[other] = text[other], text[place]
        if (result := "".join(text)) != token:
            made.add(result)
    return sorted(made)


def test_no_method_and_no_path_changes_anything_without_a_token(aws, make):
    stack = make()
    build(stack)
    host, _, _ = stack.gateway.url.removeprefix("http://").partition("/")
    with aws.recording() as calls:
        for method in METHODS:
            for path in PATHS:
                for body in (None, "decision=approve&name=Ana", "token=&decision=approve&name=Ana"):
                    connection = http.client.HTTPConnection(host, timeout=60)
                    connection.request(method, path, body, {"Content-Type": "application/x-www-form-urlencoded"})
                    status = connection.getresponse().status
                    connection.close()
                    assert 400 <= status < 500, (method, path, body, status)
    assert [call.operation for call in calls if call.writes] == []
    assert (stack.executions[0].status, stack.executions[0].steps[0].decisions) == ("Waiting", {})


def test_a_token_in_the_address_decides_nothing(aws, make):
    """A form that another site sends, or a link that a scanner posts to, has no decision of a person."""
    stack = make()
    build(stack)
    for form in ({}, {"decision": "approve", "name": "Ana"}):
        status, _, _ = fetch(link(stack), form)
        assert status == 400
    assert stack.executions[0].status == "Waiting"


def test_mutated_tokens_change_nothing(aws, make):
    """Ten thousand of them are a property of `approval::link`, in Rust; here the whole way of a few."""
    stack = make()
    build(stack)
    token = link(stack).partition("token=")[2]
    with aws.recording() as calls:
        for number, wrong in enumerate(mutated(token, 60)):
            form = {"token": wrong, "decision": "approve", "name": "Ana"}
            event = (
                events.http_request("POST", {}, form) if number % 2 else events.http_request("GET", {"token": wrong})
            )
            payload = stack.functions[PAGE].invoke(event).payload
            assert payload["statusCode"] in (400, 403, 404), wrong
    assert [call.operation for call in calls if call.writes] == []
    assert "GetAutomationExecution" not in operations(calls), "nothing is read for a token that is not valid"
    assert stack.executions[0].status == "Waiting"
    assert answer(stack)[0] == 200


def test_a_stranger_cannot_signal(make):
    stack = make()
    build(stack)
    with pytest.raises(Exception, match="is not an approver"):
        stack.signal(stack.executions[0].id, who="stranger")


def test_an_unsigned_notice_is_refused(make):
    stack = make()
    event = events.load("amis/request-available.json")
    outcome = stack.invoke(REQUEST, event)
    assert outcome.failed and outcome.error_type == "Refused"
    assert stack.executions == []


# Sharing --------------------------------------------------------------------------------------


def approved(make, **parameters):
    """A stack whose build was approved."""
    stack = make(**parameters)
    build(stack)
    stack.signal(stack.executions[0].id)
    return stack


def test_an_image_that_fails_is_reported_to_the_approvers_and_the_others_are_shared(aws, make):
    stack = make()
    build(stack)
    aws.disturb(
        "refuse",
        service="ec2",
        operation="ModifyImageAttribute",
        region="eu-west-1",
        code="OperationNotPermitted",
        times=None,
    )
    stack.signal(stack.executions[0].id)
    aws.calm()
    assert shared(aws) == [[ACCOUNT], []]
    assert stack.executions[0].status == "Failed"
    failures = [
        mail
        for mail in stack.mails
        if mail.to == "approvers" and IMAGES["eu-west-1"] in mail.text and "OperationNotPermitted" in mail.text
    ]
    assert failures
    told = [mail.text for mail in stack.mails if mail.to == "target accounts"]
    assert len(told) == 1 and IMAGES["us-east-1"] in told[0]
    # Once the cause is gone, a second run shares the rest.
    assert not stack.invoke(SHARE, {"images": stack.executions[0].parameters["images"]}).failed
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]


def test_an_image_encrypted_with_an_aws_managed_key_is_refused_before_anything_is_changed(aws, make):
    key = managed_key(aws, "AWS")
    stack = make()
    aws.images.create(IMAGES["us-east-1"], key=key, aws_managed=True)
    build(stack)
    with aws.recording() as calls:
        stack.signal(stack.executions[0].id)
    changed = [call.region for call in calls if call.operation == "ModifyImageAttribute"]
    assert "us-east-1" not in changed
    assert any(key in mail.text and mail.to == "approvers" for mail in stack.mails)


def test_a_customer_managed_key_is_shared_and_the_report_gives_the_statement_for_its_policy(aws, make):
    key = managed_key(aws, "CUSTOMER")
    stack = make()
    aws.images.create(IMAGES["us-east-1"], key=key)
    build(stack)
    stack.signal(stack.executions[0].id)
    assert shared(aws) == [[ACCOUNT], [ACCOUNT]]
    texts = [mail.text for mail in stack.mails if key in mail.text]
    assert any("kms:CreateGrant" in text and ACCOUNT in text for text in texts)


def managed_key(aws, manager):
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.kms.models import kms_backends

    key = aws.client("kms").create_key()["KeyMetadata"]
    kms_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].keys[key["KeyId"]].key_manager = manager
    return key["Arn"].replace(DEFAULT_ACCOUNT_ID, ACCOUNT_ID)  # moto finds it by its id


def test_watermark_latest_parameter_and_deprecation(aws, make):
    stack = approved(
        make,
        ApprovedWatermark="approved",
        LatestParameter="/golden-ami/{name}/latest",
        DeprecatePreviousAfterDays="30",
    )
    for region, image in IMAGES.items():
        assert list(aws.images.images[region, image].watermarks) == [f"{ACCOUNT_ID}:approved"]
        latest = aws.client("ssm", region).get_parameter(Name="/golden-ami/golden-al2023/latest")["Parameter"]
        assert (latest["Value"], latest["DataType"]) == (image, "aws:ec2:image")
        assert aws.images.images[region, image].deprecated is None
    aws.images.create(NEXT_IMAGES["us-east-1"])
    build(stack, NEXT_IMAGES, notice={"build": 4})
    stack.signal(stack.executions[1].id)
    assert aws.images.images["us-east-1", IMAGES["us-east-1"]].deprecated is not None
    assert aws.images.images["eu-west-1", IMAGES["eu-west-1"]].deprecated is None
    latest = aws.client("ssm").get_parameter(Name="/golden-ami/golden-al2023/latest")["Parameter"]
    assert latest["Value"] == NEXT_IMAGES["us-east-1"]


def test_snapshots_are_shared_with_accounts_and_the_report_says_what_organizations_cannot_get(aws, make):
    stack = approved(make, ShareSnapshots="true", TargetOrganizationArns=ORGANIZATIONS[0])
    for region, image in IMAGES.items():
        [snapshot] = aws.images.images[region, image].snapshots
        assert snapshot.permissions == [{"UserId": ACCOUNT}]
    [told] = [mail.text for mail in stack.mails if mail.to == "target accounts"]
    assert "snapshot" in told.lower()


def test_an_image_that_image_builder_did_not_make_is_refused_where_that_is_asked_for(aws, make):
    stack = make(RequireImageBuilder="true")
    aws.images.create(IMAGES["us-east-1"], tags={})
    build(stack)
    stack.signal(stack.executions[0].id)
    assert permissions(aws, IMAGES["us-east-1"]) == []
    assert any(IMAGES["us-east-1"] in mail.text for mail in stack.mails if mail.to == "approvers")


def test_a_dry_run_asks_for_nothing_and_shares_nothing(aws, make):
    stack = make(DryRun="true")
    build(stack)
    assert stack.executions == []
    outcome = stack.invoke(SHARE, {"images": [f"us-east-1:{IMAGES['us-east-1']}"]})
    assert not outcome.failed
    assert [call.operation for call in aws.calls if call.writes] == []


def test_the_short_form_of_the_input_shares_an_image_of_this_region(aws, make):
    stack = make()
    assert not stack.invoke(SHARE, {"ami_id": IMAGES["us-east-1"]}).failed
    assert shared(aws) == [[ACCOUNT], []]
