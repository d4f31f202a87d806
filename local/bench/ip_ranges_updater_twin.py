"""The ip-ranges updater in Python and boto3, as one would write it for Lambda with care: what the bench compares with.

It does what the updater does in a scheduled run that changes nothing: fetch the document, parse, filter, join, read the
groups, compare. Without a notice neither takes an MD5. Where something is to change it says so and stops. The client is
made while the module loads.
"""

import ipaddress
import json
import os
import urllib.request

import boto3
from botocore.config import Config
from python_runtime import serve

SERVICE = os.environ.get("SERVICE", "CLOUDFRONT")
PORTS = [int(port) for port in os.environ.get("PORTS", "80").split(",")]
VPC_ID = os.environ["VPC_ID"]
URL = os.environ["IP_RANGES_URL"]
ec2 = boto3.client("ec2", config=Config(retries={"mode": "standard", "total_max_attempts": 5}))


def handler(event, _request_id):
    """One run, to the point where something would be written."""
    document = json.loads(download())
    wanted = joined(document)
    held = groups()
    changed = [port for port in PORTS if held.get(port, set()) != wanted]
    if changed:
        raise NotImplementedError(f"ports {changed} would have to change")
    return {"sync_token": int(document["syncToken"]), "ranges": len(wanted)}


def download():
    """The document's bytes."""
    with urllib.request.urlopen(URL, timeout=10) as response:
        return response.read(16 * 1024 * 1024)


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
