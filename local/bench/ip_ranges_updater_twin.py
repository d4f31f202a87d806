"""The ip-ranges updater in Python and boto3, as one would write it for Lambda with care: what the bench compares with.

It does what the updater does in a run that changes nothing: check the notice where there is one, fetch the document,
compare its MD5 with the notice's, parse, filter, join, read the groups, compare. Where something is to change it says
so and stops. The client is made while the module loads, and what only notices need is loaded with the first of them.
"""

import hashlib
import ipaddress
import json
import os

import boto3
from botocore.config import Config
from python_runtime import serve
from sns_twin import fetch, verified

SERVICE = os.environ.get("SERVICE", "CLOUDFRONT")
PORTS = [int(port) for port in os.environ.get("PORTS", "80").split(",")]
VPC_ID = os.environ["VPC_ID"]
URL = os.environ["IP_RANGES_URL"]
ec2 = boto3.client("ec2", config=Config(retries={"mode": "standard", "total_max_attempts": 5}))


def handler(event, _request_id):
    """One run, to the point where something would be written."""
    notice = json.loads(verified(event["Records"][0]["Sns"])) if "Records" in event else None
    body = fetch(URL)
    if notice and hashlib.md5(body, usedforsecurity=False).hexdigest() != notice["md5"]:
        raise ValueError("the document is not the one that the notice announces")
    document = json.loads(body)
    wanted = joined(document)
    held = groups()
    changed = [port for port in PORTS if held.get(port, set()) != wanted]
    if changed:
        raise NotImplementedError(f"ports {changed} would have to change")
    return {"sync_token": int(document["syncToken"]), "ranges": len(wanted)}


def joined(document):
    """The service's ranges, adjacent and contained ones joined."""
    families = (("prefixes", "ip_prefix"), ("ipv6_prefixes", "ipv6_prefix"))
    return {
        str(network)
        for entries, field in families
        for network in ipaddress.collapse_addresses(
            ipaddress.ip_network(entry[field]) for entry in document[entries] if entry["service"] == SERVICE
        )
    }


def groups():
    """The CIDRs that our groups let in, by port."""
    filters = [
        {"Name": "vpc-id", "Values": [VPC_ID]},
        {"Name": "tag:gatehouse:prefix-name", "Values": ["AUTOUPDATE"]},
    ]
    held = {}
    for page in ec2.get_paginator("describe_security_groups").paginate(Filters=filters):
        for group in page["SecurityGroups"]:
            for permission in group["IpPermissions"]:
                if permission["IpProtocol"] == "tcp":
                    cidrs = held.setdefault(permission["FromPort"], set())
                    cidrs.update(entry["CidrIp"] for entry in permission["IpRanges"])
                    cidrs.update(entry["CidrIpv6"] for entry in permission["Ipv6Ranges"])
    return held


if __name__ == "__main__":
    serve(handler)
