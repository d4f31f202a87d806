"""The health gate in Python and boto3, as one would write it for Lambda with care: what the bench compares with.

It does what the gate does for a job without a wait: read the parameters, ask AWS Health for all Regions, ten at a time
and all pages, and answer. Clients are made while the module loads, so only once, and only the two that are needed.
"""

import json
import os

import boto3
from botocore.config import Config
from python_runtime import serve

PREFIX = "[health-gate] "
OWN_REGION = os.environ["AWS_REGION"]
config = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
health = boto3.client("health", config=config)
codepipeline = boto3.client("codepipeline", config=config)


def handler(event, request_id):
    """Answers one job; never leaves it unanswered."""
    job = event["CodePipeline.job"]
    configuration = job["data"]["actionConfiguration"]["configuration"]
    try:
        regions = regions_of(configuration.get("UserParameters") or "")
        events = open_issues(regions)
    except Exception as error:
        fail(job["id"], f"{PREFIX}the stage fails: {error}", request_id, "SystemUnavailable")
        return {"job_id": job["id"], "verdict": "fail"}
    if events:
        lines = [f"- {e['service']} in {e['region']}: {e['eventTypeCode']}, {e['arn']}" for e in events.values()]
        fail(job["id"], "\n".join([f"{PREFIX}{len(events)} AWS Health events", *lines]), request_id)
        return {"job_id": job["id"], "verdict": "fail"}
    message = f"{PREFIX}no AWS Health event stands against this stage in {', '.join(regions)}"
    codepipeline.put_job_success_result(
        jobId=job["id"],
        executionDetails={"summary": message, "externalExecutionId": request_id, "percentComplete": 100},
        outputVariables={"message": message, "openEvents": "0", "checkedRegions": ",".join(regions)},
    )
    return {"job_id": job["id"], "verdict": "pass"}


def regions_of(parameters):
    """The Regions to ask about: those of the parameters, else the function's own; and the global services."""
    if parameters.startswith("{"):
        regions = json.loads(parameters).get("regions", [])
    else:
        regions = [region.strip() for region in parameters.split(",") if region.strip()]
    return [*(regions or [OWN_REGION]), "global"]


def open_issues(regions):
    """Open issues by ARN, from all pages."""
    found = {}
    pages = health.get_paginator("describe_events")
    for start in range(0, len(regions), 10):
        condition = {
            "regions": regions[start : start + 10],
            "eventTypeCategories": ["issue"],
            "eventStatusCodes": ["open"],
        }
        for page in pages.paginate(filter=condition, PaginationConfig={"PageSize": 100}):
            found.update((event["arn"], event) for event in page["events"])
    return found


def fail(job_id, message, request_id, kind="JobFailed"):
    """Fails the job with a message that CodePipeline has room for."""
    details = {"type": kind, "message": message[:5000], "externalExecutionId": request_id}
    codepipeline.put_job_failure_result(jobId=job_id, failureDetails=details)


if __name__ == "__main__":
    serve(handler)
