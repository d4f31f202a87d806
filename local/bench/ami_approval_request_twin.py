"""The approval request in Python and boto3, as one would write it for Lambda with care: what the bench compares with.

It does what the function does for a build that made images or failed: check the notice, start the approval with a token
that is the same for each delivery, and send the mail with the signed link. What else a notice can say
it refuses. A client is made when it is first needed.
"""

import base64
import functools
import hashlib
import json
import os
import re
import time
from datetime import UTC, datetime, timedelta

import boto3
from botocore.config import Config
from python_runtime import serve
from sns_twin import verified

APPROVER_TOPIC_ARN = os.environ["APPROVER_TOPIC_ARN"]
AUTOMATION_DOCUMENT = os.environ["AUTOMATION_DOCUMENT"]
LINK = os.environ.get("APPROVAL_LINK") == "true"
PAGE_URL = os.environ.get("APPROVAL_PAGE_URL", "")
LINK_KEY_ARN = os.environ.get("LINK_KEY_ARN", "")
TARGETS = sorted(os.environ["TARGET_ACCOUNT_IDS"].split(","))  # the only kind of receiver that the bench has
LINK_TTL = timedelta(hours=int(os.environ.get("LINK_TTL_HOURS", "72")))
BUILD_ARN = re.compile(r"arn:aws[a-z-]*:imagebuilder:[a-z0-9-]+:(\d{12}):image/[a-z0-9_-]+/\d+\.\d+\.\d+/\d+")
WAITING = {"Pending", "InProgress", "Waiting", "PendingApproval"}
MOST_IMAGES = 50
config = Config(read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})


@functools.cache
def ssm():
    """Systems Manager."""
    return boto3.client("ssm", config=config)


@functools.cache
def kms():
    """AWS KMS."""
    return boto3.client("kms", config=config)


@functools.cache
def sns():
    """SNS in the Region of the topic."""
    return boto3.client("sns", region_name=APPROVER_TOPIC_ARN.split(":")[3], config=config)


def handler(event, _request_id):
    """Handles each message."""
    reports = [handle(record["Sns"]) for record in event["Records"]]
    counts = {name: sum(report["outcome"] == name for report in reports) for name in ("Requested", "NothingToApprove")}
    names = [{"Name": name, "Unit": "Count"} for name in counts]
    metrics = {"Namespace": "Gatehouse", "Dimensions": [["FunctionName"]], "Metrics": names}
    print(json.dumps({"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metrics]}, **counts}))
    return reports


def handle(message):
    """What became of one notice."""
    notice = json.loads(verified(message))
    build = BUILD_ARN.fullmatch(notice["arn"])
    if not build:
        raise ValueError(f"the field arn is {notice['arn']!r}")
    name, status = line(notice["name"], 256), notice["state"]["status"]
    report = {"build_arn": notice["arn"], "image_name": name, "status": status}
    if status != "AVAILABLE":
        report |= {"outcome": "NothingToApprove", "mail": f"Gatehouse amis: {name} {status}"}
        text = (
            f"EC2 Image Builder reports the status {status} for the image {name}. There is nothing to approve.\n\n"
            f"Reason: {line(notice['state'].get('reason', 'none given'), 2000)}\n\n{details(notice)}"
        )
    else:
        images = own_images(notice, build[1])
        execution_id = start(notice, name, images)
        report |= {"outcome": "Requested", "images": images, "execution_id": execution_id}
        execution = ssm().get_automation_execution(AutomationExecutionId=execution_id)["AutomationExecution"]
        if execution["AutomationExecutionStatus"] not in WAITING:
            raise NotImplementedError(f"the execution has the status {execution['AutomationExecutionStatus']}")
        if LINK and (link := link_of(execution)):
            report["mail"] = f"Gatehouse amis: approve {name}"
            text = mail(notice, name, images, execution_id, *link)
    print(json.dumps({"timestamp": datetime.now(UTC).isoformat(), "message": "report", "report": report}))
    if "mail" in report:
        sns().publish(TopicArn=APPROVER_TOPIC_ARN, Subject=report["mail"][:99], Message=text)
    return report


def own_images(notice, account):
    """The images of this account, as the runbook wants them."""
    found = []
    for ami in notice["outputResources"]["amis"]:
        if not re.fullmatch(r"ami-([0-9a-f]{8}|[0-9a-f]{17})", ami["image"]):
            raise ValueError(f"{ami['image']!r} is not the id of an AMI")
        found.append((f"{ami['region']}:{ami['image']}", ami.get("accountId", account)))
    images = sorted(image for image, owner in dict.fromkeys(found) if owner == account)
    if not images or len(images) > MOST_IMAGES or len(images) < len(found):
        raise NotImplementedError("no image of this account, too many, or some of other accounts")
    return images


def start(notice, name, images):
    """The execution of this build: a new one, or that of an earlier delivery."""
    pipeline = notice.get("sourcePipelineArn", "").rpartition("/")[2]
    recipe = " ".join(notice["imageRecipe"][key] for key in ("name", "version"))
    parts = {
        "Recipe": recipe,
        "Pipeline": pipeline,
        "Operating system": notice.get("osVersion") or notice.get("platform"),
    }
    receivers = [f"Account {target}" for target in TARGETS]
    tags = {
        "gatehouse:capability": "amis",
        "gatehouse:image-name": tag_value(name),
        "gatehouse:build": "/".join(notice["arn"].split("/")[-2:]),
    }
    if pipeline:
        tags["gatehouse:pipeline"] = tag_value(pipeline)
    started = ssm().start_automation_execution(
        DocumentName=AUTOMATION_DOCUMENT,
        ClientToken=client_token(notice["arn"]),
        Parameters={
            "images": images,
            "receivers": [",".join(TARGETS)],
            "effects": ["snapshots=false"],
            "imagesText": [", ".join(images)],
            "receiversText": [", ".join(receivers)],
            "imageName": [line(name, 512)],
            "buildArn": [notice["arn"]],
            "summary": [line(". ".join(f"{key}: {value}" for key, value in parts.items() if value), 512)],
        },
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    return started["AutomationExecutionId"]


def client_token(build):
    """A UUID of version 8, the same for each notice of a build."""
    digest = bytearray(
        hashlib.sha256(f"gatehouse/amis/client-token\n{AUTOMATION_DOCUMENT}\n{build}".encode()).digest()[:16]
    )
    digest[6], digest[8] = digest[6] & 0x0F | 0x80, digest[8] & 0x3F | 0x80
    text = digest.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def link_of(execution):
    """The link and when it expires; None where it has expired."""
    expires = execution["ExecutionStartTime"].replace(microsecond=0) + LINK_TTL
    if expires <= datetime.now(UTC):
        return None
    claims = f"v2.{execution['AutomationExecutionId']}.{int(expires.timestamp())}"
    signed = f"gatehouse/amis/approval-link\n{claims}".encode()
    mac = kms().generate_mac(KeyId=LINK_KEY_ARN, MacAlgorithm="HMAC_SHA_256", Message=signed)["Mac"]
    return f"{PAGE_URL}?token={claims}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}", expires


def mail(notice, name, images, execution_id, link, expires):
    """What the approvers read."""
    listed = "".join("  {}  {}\n".format(*image.split(":")) for image in images)
    receivers = "".join(f"  Account {target}\n" for target in TARGETS)
    return (
        f"The image {name} is ready and waits for your approval. It is shared when it is approved, and not before.\n\n"
        f"These AMIs will be shared:\n{listed}\n"
        f"They will be shared with:\n{receivers}\n{details(notice)}\n"
        f"Launch an instance of the image and look at it, then approve or reject it on this page:\n\n{link}\n\n"
        f"The link can be used until {expires.astimezone(UTC):%Y-%m-%d %H:%M} UTC. Opening it changes nothing. Whoever "
        "has it can decide: do not pass it on.\n\n"
        "With access to this account, you can decide in the console of Systems Manager (Automation) instead. "
        f"Automation execution: {execution_id}\n"
    )


def details(notice):
    """What people look for in the consoles of Image Builder."""
    recipe = notice.get("imageRecipe", {})
    parts = {
        "Recipe": f"{recipe.get('name')} {recipe.get('version')}" if recipe else None,
        "Pipeline": notice.get("sourcePipelineArn"),
        "Operating system": notice.get("osVersion") or notice.get("platform"),
        "Built": notice.get("dateCreated"),
        "Build": notice["arn"],
        "Build execution": notice.get("buildExecutionId"),
        "Test execution": notice.get("testExecutionId"),
        "Distribution job": notice.get("distributionJobId"),
    }
    return "".join(f"{key}: {line(value, 256)}\n" for key, value in parts.items() if value)


def line(text, most):
    """A text that others chose, on one line."""
    text = "".join(c if c.isprintable() else " " for c in text.strip()).replace("{{", "{ {")
    return text if len(text) <= most else text[: most - 1] + "…"


def tag_value(text):
    """A text as the value of a tag."""
    return "".join(c if c.isalnum() or c in " _.:/=+-@" else "-" for c in text[:256])


if __name__ == "__main__":
    serve(handler)
