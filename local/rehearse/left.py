"""What is left after every stack was deleted."""

from collections.abc import Iterator

from rehearse.faults import LOG_GROUPS
from rehearse.world import HUB, SPOKE, World

SAM_STACK = "aws-sam-cli-managed-default"  # sam's own, with the bucket for code; it stays
SUITE_PREFIX = "gatehouse"  # s3_prefix of the suite in samconfig.toml, which `sam delete` does not delete here
KEPT = "-Kept"  # in the names of the logs that KeepLogs=Yes keeps, as the template says
BEFOREHAND = "rehearsal"  # what the rehearsal itself made begins with this


def left_over(world: World) -> list[str]:
    """Whatever is left in the two accounts that should have gone with its stack."""
    return [f"left in {account}: {what}" for account in (HUB, SPOKE) for what in _in(world, account)]


def _in(world: World, account: str) -> Iterator[str]:
    def client(service: str):
        return world.client(service, account)

    for stack in client("cloudformation").describe_stacks()["Stacks"]:
        if stack["StackName"] != SAM_STACK and stack["StackStatus"] != "DELETE_COMPLETE":
            yield f"stack {stack['StackName']}, {stack['StackStatus']}"
    for function in client("lambda").list_functions()["Functions"]:
        yield f"function {function['FunctionName']}"
    for mapping in client("lambda").list_event_source_mappings()["EventSourceMappings"]:
        yield f"event source mapping of {mapping['EventSourceArn']}"
    for topic in client("sns").list_topics()["Topics"]:
        if not topic["TopicArn"].rpartition(":")[2].startswith(BEFOREHAND):
            yield f"topic {topic['TopicArn']}"
    for queue in client("sqs").list_queues().get("QueueUrls", []):
        yield f"queue {queue}"
    for alarm in client("cloudwatch").describe_alarms()["MetricAlarms"]:
        yield f"alarm {alarm['AlarmName']}"
    for bus in client("events").list_event_buses()["EventBuses"]:
        for rule in client("events").list_rules(EventBusName=bus["Name"])["Rules"]:
            yield f"rule {rule['Name']} on {bus['Name']}"
        if bus["Name"] != "default":
            yield f"bus {bus['Name']}"
    for role in client("iam").list_roles()["Roles"]:
        yield f"role {role['RoleName']}"
    for group in client("logs").describe_log_groups()["logGroups"]:
        if not group["logGroupName"].startswith(LOG_GROUPS) and KEPT not in group["logGroupName"]:
            yield f"log group {group['logGroupName']}"
    yield from _buckets(client("s3"))


def _buckets(s3) -> Iterator[str]:
    """The trail's bucket stays, as the template says: it holds a record. Of sam's bucket the code must be gone."""
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        if name.startswith(SAM_STACK):
            for kept in s3.list_objects_v2(Bucket=name).get("Contents", []):
                if not kept["Key"].startswith(f"{SUITE_PREFIX}/"):
                    yield f"code {kept['Key']} in {name}"
        elif "trailbucket" not in name.lower():
            yield f"bucket {name}"
