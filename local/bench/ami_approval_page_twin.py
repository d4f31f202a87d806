"""The approval page in Python and boto3, as one would write it for Lambda with care: what the bench compares with.

It does what the function does: check the token, read the approval, show the page with the scan results, send the
decision. The style sheet is that of the function. A client is made when it is first needed.
"""

import base64
import functools
import hashlib
import json
import os
import re
import time
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from urllib.parse import parse_qs

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from python_runtime import serve

LINK_KEY_ARN = os.environ["LINK_KEY_ARN"]
LINK_TTL = 3600 * int(os.environ.get("LINK_TTL_HOURS", "72"))
RECEIVERS = {
    ":organization/": "All accounts of the organization",
    ":ou/": "All accounts of the organizational unit",
    "": "Account",
}
PAGE_ROLE = os.environ.get("PAGE_ROLE_ARN", "").split(":")
TOKEN = re.compile(r"v2\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(\d{1,11})")
IMAGE = re.compile(r"([a-z0-9-]+):(ami-(?:[0-9a-f]{8}|[0-9a-f]{17}))")
LONGEST_BODY, LONGEST_NAME, LONGEST_COMMENT = 8 * 1024, 64, 400
STYLE = Path(__file__).parents[2].joinpath("functions/amis/approval-page/templates/style.css").read_text().rstrip("\n")
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow",
    "strict-transport-security": "max-age=31536000",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
config = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})


@functools.cache
def ssm():
    """Systems Manager."""
    return boto3.client("ssm", config=config)


@functools.cache
def kms():
    """AWS KMS."""
    return boto3.client("kms", config=config)


@functools.cache
def ec2(region):
    """EC2 in a Region."""
    return boto3.client("ec2", region_name=region, config=config)


def handler(event, _request_id):
    """Answers a request of an HTTP API."""
    http = event["requestContext"]["http"]
    try:
        status, html = answer(event, http["method"])
    except Exception as error:
        print(json.dumps({"level": "ERROR", "errorType": type(error).__name__, "error": str(error)}))
        status, html = message(503, "Not available at the moment", "Wait a minute, then open the link again.")
    line = {"timestamp": datetime.now(UTC).isoformat(), "message": "answered", "source_ip": http.get("sourceIp")}
    print(json.dumps(line | {"status": status}))
    names = [{"Name": name, "Unit": "Count"} for name in ("Forged", "Failed")]
    metrics = {"Namespace": "Gatehouse", "Dimensions": [["FunctionName"]], "Metrics": names}
    emf = {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metrics]}}
    print(json.dumps(emf | {"Forged": int(status == 403), "Failed": int(status == 503)}))
    body = "" if http["method"] == "HEAD" else html
    return {"statusCode": status, "headers": HEADERS, "body": body, "isBase64Encoded": False}


def answer(event, method):
    """Status and page."""
    if not event["rawPath"].endswith("/approval"):
        return message(404, "Page not found", "Open the whole link from the mail.")
    if method not in ("GET", "HEAD", "POST"):
        return message(405, "Not allowed", "This page can be opened, and its form can be sent.")
    fields = parse_qs(body_of(event) if method == "POST" else event["rawQueryString"])
    if len(fields.get("token", [])) != 1:
        return message(400, "The link is not complete", "Open the whole link from the mail.")
    [token] = fields["token"]
    claims = signed_claims(token)
    if claims is None:
        return message(
            403, "This link is not valid", "Open the whole link from the mail, or decide in Systems Manager."
        )
    execution_id, expires = claims
    if expires <= time.time():
        return message(410, "This link has expired", "It can be decided in Systems Manager as long as it waits.")
    approval = approval_of(execution_id)
    if approval is not None and expires > approval["until"]:
        return message(403, "This link is not valid", "Open the whole link from the mail.")
    if approval is None:
        return message(404, "No such approval", "Systems Manager keeps executions for a limited time.")
    if approval["status"] not in ("Waiting", "PendingApproval", "InProgress"):
        text = f"The approval has ended ({approval['status']})."
        return message(410 if approval["status"] == "TimedOut" else 409, ended(approval), text, approval["name"])
    if method == "POST":
        return decide(execution_id, approval, fields)
    return 200, page(approval, token, expires)


def body_of(event):
    """The body of a form."""
    body = event.get("body") or ""
    if len(body) > LONGEST_BODY * 4 // 3 + 4:
        raise ValueError("the body is too long")
    return base64.b64decode(body, validate=True).decode() if event.get("isBase64Encoded") else body


def signed_claims(token):
    """Execution and expiry of a token that AWS KMS made the MAC of; None for any other text."""
    claims, _, mac = token.rpartition(".")
    found = TOKEN.fullmatch(claims)
    if not found or not re.fullmatch(r"[A-Za-z0-9_-]{43}", mac):
        return None
    try:
        kms().verify_mac(
            KeyId=LINK_KEY_ARN,
            MacAlgorithm="HMAC_SHA_256",
            Message=f"gatehouse/amis/approval-link\n{claims}".encode(),
            Mac=base64.urlsafe_b64decode(mac + "="),
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in ("KMSInvalidMacException", "DisabledException"):
            return None
        raise
    return found[1], int(found[2])


def approval_of(execution_id):
    """What Systems Manager knows of an approval; None where there is none."""
    try:
        found = ssm().get_automation_execution(AutomationExecutionId=execution_id)["AutomationExecution"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "AutomationExecutionNotFoundException":
            return None
        raise
    steps = [it for it in found["StepExecutions"] if it["Action"] == "aws:approve"]
    images = [IMAGE.fullmatch(text) for text in found["Parameters"].get("images", [])]
    if not steps or not images or not all(images):
        return None
    parameters = {name: values[0] for name, values in found["Parameters"].items() if values}
    outputs = {name.lower(): values for name, values in steps[0].get("Outputs", {}).items()}
    votes = [json.loads(text) for text in outputs.get("approverdecisions", [])]
    votes = [{key.lower(): value for key, value in vote.items()} for vote in votes]
    return {
        "images": [image.groups() for image in images],
        "receivers": ",".join(found["Parameters"]["receivers"]).split(","),
        "until": min(
            found["ExecutionStartTime"].timestamp() + LINK_TTL,
            steps[0]["ExecutionStartTime"].timestamp() + steps[0]["TimeoutSeconds"],
        ),
        "ends": steps[0]["ExecutionStartTime"].timestamp() + steps[0]["TimeoutSeconds"],
        "name": parameters.get("imageName") or images[0][0],
        "build": parameters.get("buildArn"),
        "summary": parameters.get("summary"),
        "status": steps[0]["StepStatus"],
        "execution": found["AutomationExecutionStatus"],
        "needed": int(steps[0].get("Inputs", {}).get("MinRequiredApprovals", "1").strip('"')),
        "given": sum(vote["decision"].lower().startswith("approve") for vote in votes),
        "voted": any(is_page_role(vote["approver"]) for vote in votes),
    }


def is_page_role(arn):
    """Whether the ARN is that of the role of this function, or of a session of it."""
    parts = arn.split(":")
    if len(PAGE_ROLE) < 6 or len(parts) < 6 or parts[4] != PAGE_ROLE[4]:
        return False
    kind, _, rest = parts[5].partition("/")
    name = {"role": rest.rpartition("/")[2], "assumed-role": rest.partition("/")[0]}.get(kind)
    return name == PAGE_ROLE[5].rpartition("/")[2]


def decide(execution_id, approval, fields):
    """Sends the decision."""
    decision = fields.get("decision", [""])
    name, comment = (fields.get(key, [""])[0].strip() for key in ("name", "comment"))
    if decision not in (["approve"], ["reject"]):
        return message(400, "No decision", "Go back, then choose Approve or Reject.")
    if not name or len(name) > LONGEST_NAME or len(comment) > LONGEST_COMMENT:
        return message(400, "Your name is missing", "Go back, enter your name, then choose Approve or Reject.")
    if approval["voted"]:
        text = f"{approval['given']} of {approval['needed']} approvals are given. This page counts as one approver."
        return message(409, "This page has given its vote", text, approval["name"])
    try:
        ssm().send_automation_signal(
            AutomationExecutionId=execution_id,
            SignalType=decision[0].capitalize(),
            Payload={"Comment": [f"{name} (approval page)" + (f": {comment}" if comment else "")]},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidAutomationSignalException":
            raise
        now = approval_of(execution_id)
        return message(409, ended(now), "Systems Manager did not accept the decision.", approval["name"])
    if decision == ["reject"]:
        return message(200, "Rejected", "The image is not shared.", approval["name"])
    if approval["given"] + 1 < approval["needed"]:
        text = f"{approval['given'] + 1} of {approval['needed']} approvals are given."
        return message(200, "Your approval is recorded", text, approval["name"])
    now = approval_of(execution_id)
    text = "The image is shared." if now["execution"] == "Success" else "The image will be shared now."
    return message(200, "Approved", text, approval["name"])


def ended(approval):
    """The heading for an approval that waits no more."""
    known = {
        "Success": "Already approved",
        "Approved": "Already approved",
        "Rejected": "Already rejected",
        "TimedOut": "Too late",
    }
    return known.get(approval["status"], "The approval has ended")


def scans(images):
    """What Amazon Inspector found, one call a Region; an image that EC2 does not answer for is left out."""
    found = {}
    for region in sorted({region for region, _ in images}):
        try:
            answered = ec2(region).describe_images(ImageIds=[image for at, image in images if at == region])
        except ClientError as error:
            print(json.dumps({"level": "WARN", "region": region, "error": str(error)}))
            continue
        for image in answered["Images"]:
            results = image.get("ScanResults")
            severity = results and results.get("HighestFindingSeverityLabel")
            text = f"highest severity: {severity}" if severity else "no findings"
            if results and results.get("FindingScanDate"):
                text += f" (scan of {results['FindingScanDate']:%Y-%m-%d %H:%M} UTC)"
            found[region, image["ImageId"]] = text if results else "not scanned"
    return found


def visible(text):
    """The text, what cannot be seen written out, fit for HTML."""
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


def page(approval, token, expires):
    """The image, who will receive it, and two buttons."""
    found = scans(approval["images"])
    images = "\n".join(
        f'<li>{escape(region)} <code>{escape(image)}</code><br><span class="soft">Amazon Inspector: '
        f"{escape(found.get((region, image), 'not available'))}</span></li>"
        for region, image in approval["images"]
    )
    receivers = "\n".join(
        f"<li>{next(what for part, what in RECEIVERS.items() if part in target)} <code>{escape(target)}</code></li>"
        for target in approval["receivers"]
    )
    rows = ""
    if approval["summary"]:
        rows += f"<dt>Details</dt><dd><bdi>{visible(approval['summary'])}</bdi></dd>\n"
    if approval["build"]:
        rows += f"<dt>Build</dt><dd><code><bdi>{visible(approval['build'])}</bdi></code></dd>\n"
    given = f"{approval['given']} of {approval['needed']}"
    count = len(approval["images"])
    if approval["voted"]:
        decision = f"""<h2 id="decide">This page has given its vote</h2>
<p>{given} approvals are given. This page counts as one approver, whoever uses it.</p>"""
    else:
        decision = f"""<h2 id="decide">Your decision</h2>
<form method="post" action="?">
<button type="submit" disabled hidden>Choose one of the buttons below</button>
<input type="hidden" name="token" value="{escape(token)}">
<label for="name">Your name</label>
<input id="name" name="name" type="text" required maxlength="{LONGEST_NAME}" autocomplete="name">
<label for="comment">Comment <span class="soft">(optional)</span></label>
<textarea id="comment" name="comment" maxlength="{LONGEST_COMMENT}"></textarea>
<p class="soft">Name and comment are kept with the decision in Systems Manager.</p>
<div class="buttons">
<button type="submit" name="decision" value="approve">Approve and share</button>
<button type="submit" name="decision" value="reject" class="reject">Reject</button>
</div>
</form>"""
    main = f"""<div class="card">
<h1>Approve <bdi>{visible(approval["name"])}</bdi>?</h1>
<p>When this image is approved, it is shared with the accounts below. Until then nothing is shared.</p>
<dl>
{rows}<dt>Approvals</dt><dd>{given} given</dd>
<dt>Link expires</dt><dd>{datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M} UTC</dd>
<dt>Approval ends</dt><dd>{datetime.fromtimestamp(approval["ends"], UTC):%Y-%m-%d %H:%M} UTC</dd>
</dl>
</div>
<section class="card" aria-labelledby="images">
<h2 id="images">{count} {"AMI" if count == 1 else "AMIs"} to share</h2>
<ul>
{images}
</ul>
</section>
<section class="card" aria-labelledby="receivers">
<h2 id="receivers">Who receives it</h2>
<ul>
{receivers}
</ul>
</section>
<section class="card" aria-labelledby="decide">
{decision}
</section>"""
    return document("Approve an image", main)


def message(status, title, text, name=None):
    """A page with one message."""
    image = f'<p class="soft">Image: <bdi>{visible(name)}</bdi></p>' if name else ""
    return status, document(title, f'<div class="card">\n<h1>{title}</h1>\n<p>{escape(text)}</p>\n{image}\n</div>')


def document(title, main):
    """The whole page."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>{title} - Gatehouse</title>
<style>{STYLE}</style>
</head>
<body>
<header>Gatehouse</header>
<main>
{main}
</main>
</body>
</html>
"""


if __name__ == "__main__":
    serve(handler)
