"""What the checks by expansion give the parameters of our templates."""

from gatehouse_local import ROOT, cloudformation

from .expansion import Expansion
from .template import load

TEMPLATES = [
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "template.yaml", *sorted(ROOT.glob("functions/**/*.yaml"))]
    if "Resources" in cloudformation.load(path)
]

ROLE = "arn:aws:iam::111122223333:role/gatehouse"
TOPIC = "arn:aws:sns:us-east-1:111122223333:topic"
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
EMAIL = "on-call@example.com"
ORGANIZATION = "arn:aws:organizations::111122223333:organization/o-abcdefghij"
UNIT = "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-cdefghij"


def longest(item: str, length: int) -> str:
    """As many items as fit: what a list of names or ARNs can grow to."""
    return ",".join([item] * (length // (len(item) + 1)))


# What stands for a parameter that a condition or a rule asks about. The first is what leaves most away. The last of a
# list is as long as its template takes it; lists that nothing asks about are here for that.
FORMS = {
    "Actionabilities": ["", longest("ACTION_REQUIRED", 100)],
    "Adopt": ["", "tagged", longest("sg-0123456789abcdef0", 300)],
    "AlarmTopicArn": ["", TOPIC],
    "AmisTargetAccountIds": ["", longest("111122223333", 1300)],
    "ApprovalTopicArn": [TOPIC],
    "ApprovedWatermark": ["", "approved by ops"],
    "ApproverEmail": ["", EMAIL],
    "ApproverPrincipalArn": ["", ROLE],
    "AvailabilityZone": ["", "us-east-1a"],
    "BuildTopicArn": [TOPIC],
    "Categories": [longest("accountNotification", 100)],
    "ChatTopicArn": ["", TOPIC],
    "ConnectionArn": ["", "arn:aws:codeconnections:us-east-1:111122223333:connection/0f1e2d3c"],
    "DataProtectionPolicy": ["", '{"Name":"' + "p" * 2980 + '"}', "ssm:/gatehouse/messages/policy"],
    "DeprecatePreviousAfterDays": ["", "30"],
    "ExcludeEventNames": ["", longest("CreateServiceLinkedRole", 300)],
    "ExcludePrincipalArns": ["", longest(f"{ROLE}/*", 400)],
    "FailureQueueArn": ["", "arn:aws:sqs:us-east-1:111122223333:queue"],
    "FullRepositoryId": ["", "owner/repository"],
    "FurtherApproverEndpoints": ["", f"{longest(EMAIL, 3970)},https://example.com/hook"],
    "HealthGateFunctionName": ["gate"],
    "HubAccountIds": ["", longest("111122223333", 4000)],
    "HubBusArn": ["arn:aws:events:us-east-1:111122223333:event-bus/hub"],
    "HubOrganizationId": ["", "o-abcdefghij"],
    "IgnoreEventArns": ["", longest("arn:aws:health:us-east-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/1", 1600)],
    "IgnoreEventTypeCodes": ["", longest("AWS_EC2_OPERATIONAL_ISSUE", 600)],
    "InstanceType": [longest("m7i.large", 200)],
    "IpRangesPorts": [longest("10000-10001", 150)],
    "IpRangesService": [longest("ROUTE53_HEALTHCHECKS", 300)],
    "IpRangesVpcId": [longest("us-east-1/vpc-0123456789abcdef0", 650)],
    "LatestParameter": ["", "/golden-ami/{name}/latest"],
    "MinimumApprovals": ["1", "2", "3"],
    "NotificationKeyArn": ["", KEY],
    "NotificationTopicArn": [TOPIC],
    "NotifiedPipeline": ["", "web"],
    "NotifyEmail": ["", EMAIL],
    "NotifyTopicArn": ["", TOPIC],
    "NotifyTopicKeyArn": ["", KEY],
    "ParameterPrefix": ["", "/gatehouse/ip-ranges"],
    "PermissionsBoundary": ["", "arn:aws:iam::111122223333:policy/boundary"],
    "Personas": ["", longest("OPERATIONS", 100)],
    "Pipelines": ["", longest("p" * 24, 1500), longest("p", 120)],
    "PipelinesPipelines": [longest("p" * 24, 1500)],
    "Ports": [longest("10000-10001", 150)],
    "Principals": ["111122223333"],
    "PublisherArns": ["", longest(ROLE, 4000)],
    "QueueKeyArn": ["", KEY],
    "RangeRegions": ["", longest("us-gov-west-1", 200)],
    "Region": ["", longest("ap-southeast-2", 250)],
    "Regions": ["", f"{longest('ap-southeast-2', 392)},-global"],
    "RelayConcurrency": ["0", "5"],
    "RelaySnsMaxAgeSeconds": ["", "3600"],
    "RelayTargetTopicArn": ["", f"{TOPIC}-target"],
    "RelayTopicArns": ["", longest(TOPIC, 3000)],
    "ReportingFunctionArn": ["arn:aws:lambda:us-east-1:111122223333:function:reporting"],
    "RoleArn": [ROLE],
    "Scopes": ["", longest("PUBLIC", 100)],
    "SecondApproverArn": ["", ROLE],
    "SecurityGroupId": ["", "sg-0123456789abcdef0"],
    "Service": [longest("ROUTE53_HEALTHCHECKS", 300)],
    "Services": ["", longest("ELASTICLOADBALANCING", 500)],
    "SnsMaxAgeSeconds": ["", "3600"],
    "SourceTopicArn": ["", TOPIC],
    "Statuses": [longest("upcoming", 100)],
    "SubnetId": ["", "subnet-0123456789abcdef0"],
    "SubscriberPrincipalArn": ["", ROLE],
    "Tags": ["", longest("cost-center=012345678901234567890", 950)],
    "TargetAccountEmail": ["", EMAIL],
    "TargetAccountIds": ["", longest("111122223333", 1300)],
    "TargetOrganizationArns": ["", longest(ORGANIZATION, 300)],
    "TargetOuArns": ["", longest(UNIT, 500)],
    "TargetRegion": ["eu-west-1"],
    "TopicArns": ["", longest(TOPIC, 300)],
    "TopicKeyArn": ["", KEY],
    "Version": ["1a2b3c"],
    "VpcId": ["", "vpc-0123456789abcdef0", longest("us-east-1/vpc-0123456789abcdef0", 650)],
}  # fmt: skip
# Where a parameter of the same name takes less.
OTHERS = {"functions/ip-ranges/shared-prefix-lists.yaml": {"Service": ["CLOUDFRONT"]}}
# Parameters that need not meet all others: what they decide stands alone, and 17 together are 200,000 combinations.
ALONE = {
    # Resources that nothing refers to, targets of rules, actions of alarms, a property of roles: so in each template.
    "functions/iam-alerts/template.yaml": {"Dashboard", "ChatTopicArn", "PermissionsBoundary"},
    "functions/ip-ranges/template.yaml": {"Dashboard", "ChatTopicArn", "PermissionsBoundary"},
    "functions/pipelines/template.yaml": {"Dashboard", "ChatTopicArn", "PermissionsBoundary"},
    "functions/messages/audience.yaml": {"ChatTopicArn"},
    "functions/amis/template.yaml": {
        "ChatTopicArn",
        "Dashboard",
        "DeprecatePreviousAfterDays",  # one policy of a role that is there in any case
        "FurtherApproverEndpoints",  # a condition of one statement
        "MinimumApprovals",  # a number, and two rules about who can approve
        "PermissionsBoundary",
        "TargetAccountEmail",  # one subscription
        "TargetOuArns",  # a variable, and the rule that TargetOrganizationArns is in too
        "TopicArns",  # a variable
    },
    "functions/messages/template.yaml": {
        "ChatTopicArn",
        "Dashboard",
        "Debug",  # the level of the logs
        "PermissionsBoundary",
        "RelayConcurrency",  # a property of the relay
        "RelaySnsMaxAgeSeconds",  # a variable
        "SnsMaxAgeSeconds",  # a variable
    },
}


def expansion(template: str) -> Expansion:
    """The template after the transform, with the forms above. What has no default is always given."""
    document = load(template)
    known = FORMS | OTHERS.get(template, {})
    optional = {name for name, spec in document.get("Parameters", {}).items() if "Default" in spec}
    forms = {name: [form for form in given if form or name in optional] for name, given in known.items()}
    return Expansion(document, forms, ALONE.get(template, ()))
