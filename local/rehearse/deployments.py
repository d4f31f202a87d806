"""The stacks that are rehearsed: each config-env of samconfig.toml with default and with rich parameters.

The parameters are those that a person types. `@topic` and `@key` stand for what exists beforehand.
"""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gatehouse_local import ROOT
from rehearse.expected import REGION
from rehearse.flows import amis, iam_alerts, ip_ranges, messages, pipelines
from rehearse.world import HUB, SPOKE, Stack

SUITE = "default"  # the config-env of the suite
EMAIL = "you@example.com"
POLICY = (
    '{"Name": "rehearsed", "Version": "2021-06-01", '
    '"Configuration": {"CustomDataIdentifier": [{"Name": "EmployeeId", "Regex": "EID-\\\\d{9}-US"}]}, '
    '"Statement": [{"Sid": "Mask", "DataDirection": "Outbound", "Principal": ["*"], "DataIdentifier": ["EmployeeId", '
    '"arn:aws:dataprotection::aws:data-identifier/CreditCardNumber"], "Operation": {"Deidentify": {"MaskConfig": '
    '{"MaskWithCharacter": "*"}}}}]}'
)


@dataclass(frozen=True)
class Flow:
    """Something to try on a stack, or on the one nested in it by the logical id `nested`."""

    act: Callable[[Stack], str]
    nested: str = ""


@dataclass(frozen=True)
class Deployment:
    """One `sam deploy`. `update` are the parameters of a second one, with flows of its own.

    `on_top` makes of its stack another deployment, which needs it. `file` is the template in the capability's folder.
    """

    config_env: str
    which: str
    parameters: dict[str, str] = field(default_factory=dict)
    flows: tuple[Flow, ...] = ()
    update: dict[str, str] = field(default_factory=dict)
    after_update: tuple[Flow, ...] = ()
    on_top: "Callable[[Stack], Deployment] | None" = None
    file: str = "template.yaml"
    account: str = HUB

    @property
    def template(self) -> Path:
        """What is deployed."""
        return ROOT / self.file if self.config_env == SUITE else ROOT / "functions" / self.config_env / self.file

    @property
    def stack(self) -> str:
        """Its name: that of samconfig.toml where the parameters are the default ones."""
        name = "gatehouse" if self.config_env == SUITE else f"gatehouse-{self.config_env}"
        return name if self.which == "default" else f"{name}-{self.which}"

    def given(self, there: dict[str, str]) -> dict[str, str]:
        """The parameters, with what exists beforehand filled in."""
        return filled(self.parameters, there)


def filled(parameters: dict[str, str], there: dict[str, str]) -> dict[str, str]:
    """The parameters with what exists beforehand in the place of its name."""
    return {name: there.get(value, value) for name, value in parameters.items()}


def overrides(parameters: dict[str, str]) -> list[str]:
    """What `--parameter-overrides` is given. Without quotes SAM cuts a value at a blank or a brace."""
    return [f"{name}={value if _is_plain(value) else _quoted(value)}" for name, value in parameters.items()]


def _is_plain(value: str) -> bool:
    return bool(value) and not set(value) & set(" \"'{}")


def _quoted(value: str) -> str:
    """In quotes that SAM itself takes away."""
    return shlex.quote(value) if '"' in value else f'"{value}"'


def spoke_of(hub: Stack) -> Deployment:
    """The spoke in another account, on a hub that was deployed."""
    bus = f"arn:aws:events:{REGION}:{hub.account}:event-bus/{hub.ids['HubBus']}"
    flow = Flow(iam_alerts.mails_a_change_through(hub))
    return Deployment("iam-alerts", "spoke", {"HubBusArn": bus}, (flow,), file="spoke.yaml", account=SPOKE)


def audience_of(source: Stack) -> Deployment:
    """One more audience of a topic that was deployed, with a policy of its own."""
    statement = {
        "DataDirection": "Outbound",
        "Principal": [SUPPORT],
        "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/CreditCardNumber"],
        "Operation": {"Deidentify": {"MaskConfig": {"MaskWithCharacter": "#"}}},
    }
    policy = {"Name": "support", "Version": "2021-06-01", "Statement": [statement]}
    parameters = {
        "SourceTopicArn": source.ids["ApprovalTopic"],
        "SubscriberPrincipalArn": SUPPORT,
        "DataProtectionPolicy": json.dumps(policy),
        "NotifyEmail": EMAIL,
        "TopicKeyArn": "@key",
        "SnsVerify": "off",
        **OPERATED,
    }
    flow = Flow(messages.masks_for_another_audience(source))
    return Deployment("messages", "audience", parameters, (flow,), file="audience.yaml")


SUPPORT = f"arn:aws:iam::{HUB}:role/support"
RECEIVER = {"TargetAccountIds": amis.TARGET}
OPERATED = {"AlarmTopicArn": "@topic", "Tracing": "on", "LogRetentionDays": "30", "Debug": "true"}

DEPLOYMENTS: tuple[Deployment, ...] = (
    Deployment("ip-ranges", "default", flows=(Flow(ip_ranges.plans_when_asked),)),
    Deployment(
        "ip-ranges",
        "rich",
        {
            "Service": "CLOUDFRONT_ORIGIN_FACING",
            "Ports": "443",
            "PrefixName": "REHEARSED",
            "SnsVerify": "off",
            "DryRun": "true",
            "ScheduleExpression": "rate(12 hours)",
            "ParameterPrefix": "/gatehouse/ip-ranges",
            "NotifyTopicArn": "@topic",
            "NotifyTopicKeyArn": "@key",
            "ReserveConcurrency": "Yes",
            **OPERATED,
        },
        (Flow(ip_ranges.plans_only),),
        update={"DryRun": "false"},
        after_update=(Flow(ip_ranges.follows_the_notice),),
    ),
    Deployment("ip-ranges", "lists", {"Target": "prefix-lists", "Region": "us-east-1,eu-west-1"}),
    Deployment("ip-ranges", "sets", {"Target": "waf-ip-sets", "WafScope": "CLOUDFRONT", "Region": "us-east-1"}),
    Deployment("pipelines", "default", flows=(Flow(pipelines.gate_answers),)),
    Deployment(
        "pipelines",
        "rich",
        {
            "Regions": "us-east-1,eu-west-1",
            "Pipelines": "web",
            "RetryDelaySeconds": "60",
            "NotifiedPipeline": "web",
            "NotifyEmail": EMAIL,
            "NotificationKeyArn": "@key",
            **OPERATED,
        },
        (Flow(pipelines.retries_after_the_issue),),
    ),
    Deployment("amis", "default", RECEIVER, (Flow(amis.refuses_another_signature),)),
    Deployment(
        "amis",
        "rich",
        {
            **RECEIVER,
            "ApproverEmail": EMAIL,
            "ApprovalLink": "true",
            "TargetAccountEmail": EMAIL,
            "LatestParameter": "/golden-ami/{name}/latest",
            "DeprecatePreviousAfterDays": "30",
            "NotificationKeyArn": "@key",
            "SnsVerify": "off",
            **OPERATED,
        },
        (Flow(amis.shares_what_was_approved),),
    ),
    Deployment(
        "amis",
        "organization",
        {
            **RECEIVER,
            "TargetOrganizationArns": f"arn:aws:organizations::{HUB}:organization/o-abcdefghij",
            "ApproverPrincipalArn": f"arn:aws:iam::{HUB}:role/approvers",
            "SecondApproverArn": f"arn:aws:iam::{HUB}:role/release",
            "MinimumApprovals": "2",
            "ShareSnapshots": "true",
            "RequireImageBuilder": "true",
            "ApprovedWatermark": "approved by ops",
            "ApprovalLink": "true",
            "KeepLogs": "Yes",
        },
        (Flow(amis.refuses_another_signature),),
    ),
    Deployment("iam-alerts", "default", flows=(Flow(iam_alerts.mails_a_change),)),
    Deployment(
        "iam-alerts",
        "rich",
        {
            "NotifyEmail": EMAIL,
            "ExcludeEventNames": "TagRole,UntagRole",
            "HubAccountIds": SPOKE,
            "CreateTrail": "Yes",
            "NotificationKeyArn": "@key",
            **OPERATED,
        },
        (Flow(iam_alerts.mails_a_change),),
        on_top=spoke_of,
    ),
    Deployment("messages", "default", flows=(Flow(messages.refuses_another_signature),)),
    Deployment(
        "messages",
        "rich",
        {"DataProtectionPolicy": POLICY, "NotifyEmail": EMAIL, "TopicKeyArn": "@key", "SnsVerify": "off", **OPERATED},
        (Flow(messages.masks_for_reporting),),
        on_top=audience_of,
    ),
    Deployment(
        "messages",
        "relay",
        {"RelayTopicArns": f"arn:aws:sns:eu-west-1:{SPOKE}:orders", **OPERATED},
        (Flow(messages.refuses_a_forged_request),),
    ),
    Deployment("messages", "source", {"SourceTopicArn": "@topic", **OPERATED}),
    Deployment(
        SUITE,
        "default",
        flows=(Flow(ip_ranges.plans_when_asked, "IpRanges"), Flow(pipelines.gate_answers, "Pipelines")),
    ),
    Deployment(
        SUITE,
        "rich",
        {
            "NotifyEmail": EMAIL,
            "DeployAmis": "Yes",
            "AmisTargetAccountIds": amis.TARGET,
            "DeployIamAlerts": "Yes",
            "DeployMessages": "Yes",
            "IpRangesService": "CLOUDFRONT_ORIGIN_FACING",
            "IpRangesPorts": "80,443",
            "PipelinesPipelines": "web",
            "PipelinesNotifiedPipeline": "web",
            "Tracing": "on",
            "LogRetentionDays": "30",
        },
        (
            Flow(ip_ranges.runs_on_schedule, "IpRanges"),
            Flow(pipelines.gate_answers, "Pipelines"),
            Flow(amis.refuses_another_signature, "Amis"),
            Flow(iam_alerts.mails_a_change, "IamAlerts"),
            Flow(messages.refuses_another_signature, "Messages"),
        ),
    ),
)


def chosen(names: list[str]) -> tuple[Deployment, ...]:
    """The deployments of these stacks or config-envs; all, where there are no names.

    Raises ValueError for an unknown one.
    """
    known = {it.stack for it in DEPLOYMENTS} | {it.config_env for it in DEPLOYMENTS}
    if unknown := set(names) - known:
        raise ValueError(f"no such stack: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    return tuple(it for it in DEPLOYMENTS if not names or {it.stack, it.config_env} & set(names))
