"""The sample events of `events/`: input for `sam local invoke -e`, for the demo and for tests.

`python -m gatehouse_local.events` writes them. They are in the repository because people read them there; a test
compares them with what is made here.
"""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from gatehouse_local import ROOT, image_builder, ranges, sns
from gatehouse_local.functions import Function
from gatehouse_local.ranges import Document
from gatehouse_local.runtime_api import ACCOUNT_ID

EVENTS = ROOT / "events"
TOPIC_ARN = "arn:aws:sns:us-east-1:806199016981:AmazonIpSpaceChanged"
PIPELINES_TOPIC_ARN = "arn:aws:sns:eu-west-1:111122223333:pipeline-notifications"

# The samples of the amis capability: topics, images by Region, and an approval that waits. All are of the account in
# the ARN that SAM's container tells a function, since a function shares only images of its own account.
AMIS_TOPIC_ARN = f"arn:aws:sns:eu-west-1:{ACCOUNT_ID}:{{}}"
AMIS_IMAGES = {"eu-west-1": "ami-0123456789abcdef0", "us-east-1": "ami-0fedcba9876543210"}
AMIS_EXECUTION = "333ba70b-2333-48db-b17e-a5e69c6f4d1c"
AMIS_TARGET = "111122223333"
LINK_KEY_ARN = f"arn:aws:kms:eu-west-1:{ACCOUNT_ID}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
LINK_KEY = b"This sample key protects nothing"
OTHER_KEY = b"Nobody signs with this other key"
LINK_EXPIRES = datetime(2036, 1, 1, tzinfo=UTC)

# The samples of the messages capability: topics, the expense report of AWS's announcement, and a policy.
MESSAGES_TOPIC_ARN = "arn:aws:sns:eu-west-1:123456789012:{}"
EXPENSE_REPORT = {
    "report": "CID-000012348-CA",
    "employee": "EID-123456789-US",
    "card": "4539894458086459",
    "amount": 1234.5,
    "purpose": "Conference in Sydney",
}
SAMPLE_TOKEN = "2336412f37fb687f5d51e6e241d09c80" * 4
REPORTING_ROLE = "arn:aws:iam::123456789012:role/reporting"
MESSAGES_POLICY = {
    "Name": "expense-reports",
    "Version": "2021-06-01",
    "Configuration": {"CustomDataIdentifier": [{"Name": "EmployeeId", "Regex": r"EID-\d{9}-US"}]},
    "Statement": [
        {
            "Sid": "RefuseKeys",
            "DataDirection": "Outbound",
            "Principal": ["*"],
            "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/AwsSecretKey"],
            "Operation": {"Deny": {}},
        },
        {
            "Sid": "MaskForReporting",
            "DataDirection": "Outbound",
            "Principal": [REPORTING_ROLE],
            "DataIdentifier": ["EmployeeId", "arn:aws:dataprotection::aws:data-identifier/CreditCardNumber"],
            "Operation": {"Deidentify": {"MaskConfig": {"MaskWithCharacter": "#"}}},
        },
    ],
}

# Ten years: the samples keep their dates, and a function refuses messages older than 40 days otherwise.
SAMPLE_AGE = {"SNS_MAX_AGE_SECONDS": "315360000"}


def notice(document: Document, **changes: str) -> dict[str, Any]:
    """The message with which AWS announces `document`, unsigned; `changes` replace fields of its body."""
    published = datetime.fromtimestamp(document.sync_token, UTC)
    body = {
        "create-time": published.isoformat(),
        "synctoken": str(document.sync_token),
        "md5": document.md5,
        "url": ranges.URL,
    }
    return {
        "Type": "Notification",
        "MessageId": f"95df01b4-ee98-5cb9-9903-{document.sync_token:012d}",
        "TopicArn": TOPIC_ARN,
        "Subject": "IP Space Changed",
        "Message": json.dumps(body | changes),
        "Timestamp": (published + timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "UnsubscribeUrl": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=EXAMPLE",
        "MessageAttributes": {},
    }


def signed_notice(document: Document, version: str = "1", **changes: str) -> dict[str, Any]:
    """The Lambda event for `document`, properly signed by the test key."""
    return sns.lambda_event(sns.sign(notice(document, **changes), version))


def schedule() -> dict[str, Any]:
    """What an EventBridge rule with a schedule sends."""
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-01-17T06:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/ip-ranges-UpdaterSchedule"],
        "detail": {},
    }


def ip_ranges() -> dict[str, Any]:
    """The files of `events/ip-ranges`, by name."""
    example = {"SignatureVersion": "1", "Signature": "EXAMPLE", "SigningCertUrl": "EXAMPLE"}
    return {
        "sns-notice.json": sns.lambda_event(notice(ranges.first()) | example),
        "sns-notice-signed.json": signed_notice(ranges.first(), version="1"),
        "sns-notice-signed-second.json": signed_notice(ranges.second(), version="2"),
        "schedule.json": schedule(),
        "direct.json": {},
        "direct-dry-run.json": {"dry_run": True},
        "direct-force.json": {"force": True},
    }


def link_token(execution: str, expires: datetime, key: bytes = LINK_KEY) -> str:
    """The token of a link to the approval page, with the MAC that AWS KMS makes with this key."""
    claims = f"v2.{execution}.{int(expires.timestamp())}"
    signed = b"gatehouse/amis/approval-link\n" + claims.encode()
    mac = hmac.digest(key, signed, hashlib.sha256)
    return f"{claims}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def http_request(method: str, query: dict[str, str], form: dict[str, str] | None = None) -> dict[str, Any]:
    """The event of an HTTP API, payload format 2.0. The body of a form is base64, as API Gateway sends it."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": f"{method} /approval",
        "rawPath": "/approval",
        "rawQueryString": urlencode(query),
        "headers": {"accept": "text/html", "host": "example.execute-api.eu-west-1.amazonaws.com"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "example",
            "domainName": "example.execute-api.eu-west-1.amazonaws.com",
            "domainPrefix": "example",
            "http": {
                "method": method,
                "path": "/approval",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "Mozilla/5.0",
            },
            "requestId": "JTHoQgr2oAMEPMg=",
            "routeKey": f"{method} /approval",
            "stage": "$default",
            "time": "17/Jan/2026:06:00:00 +0000",
            "timeEpoch": 1768629600000,
        },
        "isBase64Encoded": form is not None,
    }
    if query:
        event["queryStringParameters"] = query
    if form is not None:
        event["headers"]["content-type"] = "application/x-www-form-urlencoded"
        event["body"] = base64.b64encode(urlencode(form).encode()).decode()
    return event


def function_url(headers: dict[str, str], body: str, method: str = "POST") -> dict[str, Any]:
    """The event of a function URL without IAM, payload format 2.0. Text bodies are not base64 there."""
    host = "example.lambda-url.eu-west-1.on.aws"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"host": host, "x-forwarded-proto": "https"}
        | {name.lower(): value for name, value in headers.items()},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "example",
            "domainName": host,
            "domainPrefix": "example",
            "http": {
                "method": method,
                "path": "/",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": headers.get("User-Agent", ""),
            },
            "requestId": "27539f31-d444-419e-b1ad-4382657b7e04",
            "routeKey": "$default",
            "stage": "$default",
            "time": "17/Jan/2026:06:00:00 +0000",
            "timeEpoch": 1768629600000,
        },
        "isBase64Encoded": False,
    }
    if method == "POST":
        event["body"] = body
    return event


def notification(topic_arn: str, text: str, **more: Any) -> dict[str, Any]:
    """A notification as Lambda delivers it, unsigned."""
    region = topic_arn.split(":")[3]
    return {
        "Type": "Notification",
        "MessageId": "1c1fc1ea-71d5-5f05-a3f8-a04e1e5f8d46",
        "TopicArn": topic_arn,
        "Subject": "Expense report",
        "Message": text,
        "Timestamp": "2026-01-17T06:30:00.000Z",
        "UnsubscribeUrl": f"https://sns.{region}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=EXAMPLE",
        "MessageAttributes": {"office": {"Type": "String", "Value": "Sydney"}},
    } | more


def delivery_over_https(message: dict[str, Any]) -> dict[str, Any]:
    """A delivery to the function URL of the relay."""
    headers = {
        "x-amz-sns-message-type": message["Type"],
        "x-amz-sns-message-id": message["MessageId"],
        "x-amz-sns-topic-arn": message["TopicArn"],
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
    }
    return function_url(headers, sns.http_body(message))


def messages() -> dict[str, Any]:
    """The files of `events/messages`, by name."""
    report = json.dumps(EXPENSE_REPORT)
    masked = report
    for value in (EXPENSE_REPORT["card"], EXPENSE_REPORT["employee"]):
        masked = masked.replace(value, "#" * len(value))
    approval, reporting, origin = (
        MESSAGES_TOPIC_ARN.format(name)
        for name in ("gatehouse-messages-approval", "gatehouse-messages-reporting", "orders")
    )
    example = {"SignatureVersion": "2", "Signature": "EXAMPLE", "SigningCertUrl": "EXAMPLE"}
    secret = json.dumps(EXPENSE_REPORT | {"purpose": "key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"})
    signed = sns.sign(notification(origin, report), "2")
    query = urlencode({"Action": "ConfirmSubscription", "TopicArn": origin, "Token": SAMPLE_TOKEN}, safe=":")
    confirmation = notification(origin, f"You have chosen to subscribe to the topic {origin}.", Subject=None) | {
        "Type": "SubscriptionConfirmation",
        "Token": SAMPLE_TOKEN,
        "SubscribeURL": f"https://sns.eu-west-1.amazonaws.com/?{query}",
    }
    for name in ("UnsubscribeUrl", "MessageAttributes"):
        del confirmation[name]
    return {
        "redactor-expense.json": sns.lambda_event(notification(approval, report) | example),
        "redactor-expense-signed.json": sns.lambda_event(sns.sign(notification(approval, report), "2")),
        "redactor-denied.json": sns.lambda_event(notification(approval, secret) | example),
        "relay-notification.json": delivery_over_https(notification(origin, report) | example),
        "relay-notification-signed.json": delivery_over_https(signed),
        "relay-forged-signed.json": delivery_over_https(signed | {"Message": report.replace("1234.5", "9234.5")}),
        "relay-confirmation-signed.json": delivery_over_https(sns.sign(confirmation, "2")),
        "relay-get.json": function_url({"User-Agent": "Mozilla/5.0"}, "", "GET"),
        "payment-expense.json": sns.lambda_event(notification(approval, report) | example),
        "reporting-expense.json": sns.lambda_event(notification(reporting, masked) | example),
    }


def amis() -> dict[str, Any]:
    """The files of `events/amis`, by name."""
    available = image_builder.notice(AMIS_IMAGES, region="eu-west-1")
    failed = image_builder.failed_notice(region="eu-west-1")
    token = link_token(AMIS_EXECUTION, LINK_EXPIRES)
    form = {"token": token, "name": "Ana Example", "comment": "Tested in staging."}
    images = [f"{region}:{image}" for region, image in AMIS_IMAGES.items()]
    return {
        "request-available.json": sns.lambda_event(_unsigned(available)),
        "request-failed.json": sns.lambda_event(_unsigned(failed)),
        # A person asks again, after an execution that was rejected or timed out.
        "request-again.json": {"again": AMIS_EXECUTION},
        "page-get.json": http_request("GET", {"token": token}),
        "page-head.json": http_request("HEAD", {"token": token}),
        "page-forged.json": http_request("GET", {"token": link_token(AMIS_EXECUTION, LINK_EXPIRES, OTHER_KEY)}),
        "page-approve.json": http_request("POST", {}, form | {"decision": "approve"}),
        "page-reject.json": http_request("POST", {}, form | {"decision": "reject"}),
        "share-images.json": {
            "images": images,
            "imageName": available["name"],
            "buildArn": available["arn"],
            "executionId": AMIS_EXECUTION,
        },
        # Its Region is that of the function; in SAM's container this is always us-east-1.
        "share-ami-id.json": {"ami_id": AMIS_IMAGES["us-east-1"], "executionId": AMIS_EXECUTION},
    }


def iam_event(name: str, identity: dict[str, Any], record_id: str, **fields: Any) -> dict[str, Any]:
    """What EventBridge hands on for a call of IAM; `fields` are further fields of CloudTrail's record."""
    account = identity.get("accountId", "123456789012")
    record = {
        "eventVersion": "1.11",
        "userIdentity": identity,
        "eventTime": "2026-01-17T02:41:07Z",
        "eventSource": "iam.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": "192.0.2.44",
        "userAgent": "aws-cli/2.31.0 md/awscrt#0.28.1 os/linux lang/python#3.13.9 md/command#iam",
        "requestParameters": None,
        "responseElements": None,
        "requestID": f"{record_id[:-1]}0",
        "eventID": record_id,
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
    }
    return {
        "version": "0",
        "id": f"e{record_id[1:]}",
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.iam",
        "account": account,
        "time": record["eventTime"],
        "region": "us-east-1",
        "resources": [],
        "detail": record | fields,
    }


IAM_ACCOUNT = "123456789012"


def iam_role(role: str, session: str, path: str = "/") -> dict[str, Any]:
    """The identity of the session of a role."""
    return {
        "type": "AssumedRole",
        "principalId": f"AROAEXAMPLEROLEID0000:{session}",
        "arn": f"arn:aws:sts::{IAM_ACCOUNT}:assumed-role/{role}/{session}",
        "accountId": IAM_ACCOUNT,
        "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": "AROAEXAMPLEROLEID0000",
                "arn": f"arn:aws:iam::{IAM_ACCOUNT}:role{path}{role}",
                "accountId": IAM_ACCOUNT,
                "userName": role,
            },
            "attributes": {"creationDate": "2026-01-17T02:30:00Z", "mfaAuthenticated": "false"},
        },
    }


def sqs_batch(*bodies: dict[str, Any]) -> dict[str, Any]:
    """What Lambda hands over for messages of a queue that EventBridge fills."""
    return {
        "Records": [
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-{number:012d}",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": json.dumps(body),
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1768617667000",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1768617668000",
                },
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(json.dumps(body).encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:us-east-1:{IAM_ACCOUNT}:gatehouse-iam-alerts",
                "awsRegion": "us-east-1",
            }
            for number, body in enumerate(bodies, start=1)
        ]
    }


def iam_alerts() -> dict[str, Any]:
    """The files of `events/iam-alerts`, by name."""
    user = {
        "type": "IAMUser",
        "principalId": "AIDAEXAMPLEUSERID0000",
        "arn": f"arn:aws:iam::{IAM_ACCOUNT}:user/Ana",
        "accountId": IAM_ACCOUNT,
        "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "userName": "Ana",
    }
    root = {
        "type": "Root",
        "principalId": IAM_ACCOUNT,
        "arn": f"arn:aws:iam::{IAM_ACCOUNT}:root",
        "accountId": IAM_ACCOUNT,
        "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
        "sessionContext": {"attributes": {"creationDate": "2026-01-17T02:30:00Z", "mfaAuthenticated": "true"}},
    }
    person = iam_role("AWSReservedSSO_ReadOnlyAccess_0123456789abcdef", "Ana", "/aws-reserved/sso.amazonaws.com/")
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
    key = {"userName": "root", "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "status": "Active"}
    denied = (
        f"User: {person['arn']} is not authorized to perform: iam:CreateUser on resource: arn:aws:iam::{IAM_ACCOUNT}"
        ":user/backdoor because no identity-based policy allows the iam:CreateUser action"
    )
    calls = {
        "put-role-policy.json": iam_event(
            "PutRolePolicy",
            iam_role("deploy", "ci-4711"),
            "11111111-0000-4000-8000-000000000001",
            requestParameters={
                "roleName": "web",
                "policyName": "everything",
                "policyDocument": json.dumps(policy, separators=(",", ":")),
            },
        ),
        "root-access-key.json": iam_event(
            "CreateAccessKey", root, "11111111-0000-4000-8000-000000000002", responseElements={"accessKey": key}
        ),
        "denied.json": iam_event(
            "CreateUser",
            person,
            "11111111-0000-4000-8000-000000000003",
            errorCode="AccessDenied",
            errorMessage=denied,
        ),
        "tag-role.json": iam_event(
            "TagRole",
            user,
            "11111111-0000-4000-8000-000000000004",
            requestParameters={"roleName": "web", "tags": [{"key": "team", "value": "shop"}]},
        ),
        "get-role.json": iam_event(
            "GetRole",
            user,
            "11111111-0000-4000-8000-000000000005",
            requestParameters={"roleName": "web"},
            readOnly=True,
        ),
        "not-understood.json": iam_event("CreateUser", user, "11111111-0000-4000-8000-000000000006", eventName=None),
    }
    several = [calls[name] for name in ("denied.json", "put-role-policy.json", "denied.json", "root-access-key.json")]
    return calls | {"batch.json": sqs_batch(*several)}


def _unsigned(notice: dict[str, Any]) -> dict[str, Any]:
    return {
        "Type": "Notification",
        "MessageId": "d20f3241-8071-5003-a5e2-68d8a2d35d66",
        "TopicArn": AMIS_TOPIC_ARN.format("gatehouse-amis-builds"),
        "Subject": None,
        "Message": json.dumps(notice),
        "Timestamp": "2026-01-17T06:30:00.000Z",
        "UnsubscribeUrl": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=EXAMPLE",
        "MessageAttributes": {},
        "SignatureVersion": "2",
        "Signature": "EXAMPLE",
        "SigningCertUrl": "EXAMPLE",
    }


def environment() -> dict[str, dict[str, str]]:
    """`events/env.json`: settings for `sam local invoke --env-vars`, which uses the caller's own AWS account.

    So the functions change nothing there, and accept samples whose signature is the word EXAMPLE. SAM resolves a
    reference to a topic of the stack to its logical id, which is no ARN: those settings are replaced here. An empty
    text means the same as no setting.
    """
    return {
        "IpRangesUpdaterFunction": {"SNS_VERIFY": "off", "DRY_RUN": "true", "DEBUG": "true"},
        "PipelineHealthGateFunction": {"WAIT_MINUTES": "0", "NOTIFY_TOPIC_ARN": ""},
        "PipelineRetryFunction": {
            "SNS_VERIFY": "off",
            "DRY_RUN": "true",
            "TOPIC_ARNS": PIPELINES_TOPIC_ARN,
            "NOTIFY_TOPIC_ARN": "",
        },
        "AmiApprovalRequestFunction": {
            "SNS_VERIFY": "off",
            "DRY_RUN": "true",
            "TOPIC_ARNS": AMIS_TOPIC_ARN.format("gatehouse-amis-builds"),
            "APPROVER_TOPIC_ARN": AMIS_TOPIC_ARN.format("Automation-gatehouse-amis-approvers"),
            "AUTOMATION_DOCUMENT": "gatehouse-amis-approval",
            "TARGET_ACCOUNT_IDS": AMIS_TARGET,
        },
        "AmiApprovalPageFunction": {"DRY_RUN": "true", "LINK_KEY_ARN": LINK_KEY_ARN, "PAGE_ROLE_ARN": ""},
        "AmiShareFunction": {
            "DRY_RUN": "true",
            "REQUIRE_APPROVAL": "false",
            "AUTOMATION_DOCUMENT": "gatehouse-amis-approval",
            "TARGET_ACCOUNT_IDS": AMIS_TARGET,
            "TARGET_TOPIC_ARN": AMIS_TOPIC_ARN.format("gatehouse-amis-targets"),
            "APPROVER_TOPIC_ARN": AMIS_TOPIC_ARN.format("Automation-gatehouse-amis-approvers"),
        },
        "IamAlertMailFunction": {
            "DRY_RUN": "true",
            "NOTIFY_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:gatehouse-iam-alerts",
        },
        "MessageRedactorFunction": {
            "SNS_VERIFY": "off",
            "DRY_RUN": "true",
            "DATA_PROTECTION_POLICY": json.dumps(MESSAGES_POLICY),
            "SUBSCRIBER_PRINCIPAL": REPORTING_ROLE,
            "TOPIC_ARNS": MESSAGES_TOPIC_ARN.format("gatehouse-messages-approval"),
            "TARGET_TOPIC_ARN": MESSAGES_TOPIC_ARN.format("gatehouse-messages-reporting"),
            "DENIED_TOPIC_ARN": MESSAGES_TOPIC_ARN.format("gatehouse-messages-denied"),
        },
        "MessageRelayFunction": {
            "SNS_VERIFY": "off",
            "DRY_RUN": "true",
            "TOPIC_ARNS": MESSAGES_TOPIC_ARN.format("orders"),
            "TARGET_TOPIC_ARN": MESSAGES_TOPIC_ARN.format("gatehouse-messages-approval"),
        },
        "PaymentSubscriberFunction": {
            "SNS_VERIFY": "off",
            "TOPIC_ARNS": MESSAGES_TOPIC_ARN.format("gatehouse-messages-approval"),
        },
        "ReportingSubscriberFunction": {
            "SNS_VERIFY": "off",
            "TOPIC_ARNS": MESSAGES_TOPIC_ARN.format("gatehouse-messages-reporting"),
        },
    }


def of(function: Function) -> list[str]:
    """The samples that are meant for a function, by their paths within `events/`."""
    return [path.relative_to(EVENTS).as_posix() for path in function.events()]


def written(value: Any) -> str:
    """How a sample is written to its file."""
    return json.dumps(value, indent=2) + "\n"


def load(name: str) -> Any:
    """A sample by its path within `events/`."""
    return json.loads((EVENTS / name).read_text())


def main() -> None:
    """Writes every sample."""
    files = {"env.json": environment()}
    made_by = {"ip-ranges": ip_ranges, "amis": amis, "iam-alerts": iam_alerts, "messages": messages}
    for capability, made in made_by.items():
        files |= {f"{capability}/{name}": event for name, event in made().items()}
    for name, value in files.items():
        path = EVENTS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written(value))
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
