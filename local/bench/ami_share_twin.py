"""The share function in Python and boto3, as one would write it for Lambda with care: what the bench compares with.

It does what the function does in a run that changes nothing: read the approval, then each image, and see whether it may
be shared and with whom it is shared. If something is to change, it says so and stops. A client is made when it is first
needed.
"""

import functools
import json
import os
import re
import time
from datetime import UTC, datetime

import boto3
from botocore.config import Config
from python_runtime import serve

IMAGE = re.compile(r"([a-z0-9-]+):(ami-(?:[0-9a-f]{8}|[0-9a-f]{17}))")
WANTED = {
    (kind, target)
    for kind, key in (
        ("UserId", "TARGET_ACCOUNT_IDS"),
        ("OrganizationArn", "TARGET_ORGANIZATION_ARNS"),
        ("OrganizationalUnitArn", "TARGET_OU_ARNS"),
    )
    for target in os.environ.get(key, "").split(",")
    if target
}
KINDS = {"UserId": "accounts", "OrganizationArn": "organizations", "OrganizationalUnitArn": "units"}
MOST_PERMISSIONS = 1000
ACCOUNT = "012345678912"  # as in the ARN of the function; Lambda's own runtime gives it in the context
config = Config(read_timeout=8, retries={"mode": "standard", "total_max_attempts": 5})


@functools.cache
def ec2(region):
    """EC2 in a Region."""
    return boto3.client("ec2", region_name=region, config=config)


@functools.cache
def ssm():
    """Systems Manager."""
    return boto3.client("ssm", config=config)


def approved_build(event):
    """The build that the execution approved, with these images and receivers, and nothing done besides."""
    found = ssm().get_automation_execution(AutomationExecutionId=event["executionId"])["AutomationExecution"]
    steps = [step["StepStatus"] for step in found["StepExecutions"] if step["Action"] == "aws:approve"]
    parameters = found["Parameters"]
    if (
        found["DocumentName"] != os.environ["AUTOMATION_DOCUMENT"]
        or set(steps) != {"Success"}
        or found["AutomationExecutionStatus"] not in ("InProgress", "Waiting", "Success", "Failed", "TimedOut")
        or not set(event["images"]) <= set(parameters["images"])
        or set(",".join(parameters["receivers"]).split(",")) != {target for _, target in WANTED}
        or parameters["effects"] != ["snapshots=false"]
        or [event["buildArn"]] != parameters["buildArn"]
    ):
        raise PermissionError(f"the execution {event['executionId']} does not approve this")
    return event["buildArn"]


def handler(event, _request_id):
    """Looks at all images before anything would be changed."""
    build = approved_build(event)
    images = [IMAGE.fullmatch(text) for text in event["images"]]
    if not images or not all(images) or len(images) > 50:
        raise ValueError("expected 1 to 50 images, each as <Region>:<AMI id>")
    reports = [look(build, *image) for image in dict.fromkeys(image.groups() for image in images)]
    failed = sum(image["outcome"] == "refused" for image in reports)
    report = {"approved": True, "image_name": event.get("imageName"), "images": reports, "failed": failed}
    report["receivers"] = receivers()
    report |= {"execution_id": event["executionId"]} if "executionId" in event else {}
    print(json.dumps({"timestamp": datetime.now(UTC).isoformat(), "message": "report", "report": report}))
    counts = {"Unchanged": len(reports) - failed, "Refused": failed}
    names = [{"Name": name, "Unit": "Count"} for name in counts]
    metrics = {"Namespace": "Gatehouse", "Dimensions": [["FunctionName"]], "Metrics": names}
    print(json.dumps({"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metrics]}, **counts}))
    if failed:
        raise RuntimeError(f"{failed} of {len(reports)} images were not shared")
    return report


def receivers():
    """All receivers but the owner, by their kind."""
    found = {}
    for kind, target in sorted(WANTED - {("UserId", ACCOUNT)}):
        found.setdefault(KINDS[kind], []).append(target)
    return found


def look(build, region, ami_id):
    """Whether the image may be shared, and is."""
    report = {"region": region, "ami_id": ami_id}
    answer = ec2(region).describe_images(ImageIds=[ami_id], IncludeDeprecated=True, IncludeDisabled=True)
    [image] = answer["Images"]
    report["name"] = image.get("Name")
    disks = [mapping["Ebs"] for mapping in image.get("BlockDeviceMappings", []) if "Ebs" in mapping]
    if any(disk.get("Encrypted") for disk in disks):
        raise NotImplementedError("the key of an encrypted image would have to be looked at")
    if build not in [tag["Value"] for tag in image.get("Tags", []) if tag["Key"] == "Ec2ImageBuilderArn"]:
        raise PermissionError(f"{ami_id} is not of the build {build}")
    if image["OwnerId"] != ACCOUNT:
        return report | {"outcome": "refused", "reasons": [f"it belongs to the account {image['OwnerId']}"]}
    found = ec2(region).describe_image_attribute(ImageId=ami_id, Attribute="launchPermission")
    held = {next(iter(permission.items())) for permission in found["LaunchPermissions"]}
    missing = WANTED - {("UserId", ACCOUNT)} - held
    reasons = []
    if image["State"] != "available":
        reasons.append(f"its state is {image['State']}: expected available")
    deprecated = image.get("DeprecationTime")
    if deprecated and datetime.fromisoformat(deprecated) <= datetime.now(UTC):
        reasons.append(f"it is deprecated since {deprecated}")
    if len(held | missing) > MOST_PERMISSIONS:
        reasons.append(f"it would have {len(held | missing)} launch permissions")
    if reasons:
        return report | {"outcome": "refused", "reasons": reasons}
    if missing:
        raise NotImplementedError(f"{ami_id} would have to be shared with {len(missing)} more")
    return report | {"outcome": "unchanged"}


if __name__ == "__main__":
    serve(handler)
