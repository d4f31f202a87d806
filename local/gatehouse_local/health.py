"""AWS Health, as far as DescribeEvents and DescribeEventTypes go: moto has none of it.

Tests open and close events; `eventbridge` gives what EventBridge would say of one.
"""

import base64
import uuid
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID

from gatehouse_local.parts import Front, Invocation
from gatehouse_local.wire import AwsError

# Members of EventFilter that list values, and the member of an event they are compared with.
COMPARED = {
    "eventArns": "arn",
    "eventTypeCodes": "eventTypeCode",
    "services": "service",
    "regions": "region",
    "availabilityZones": "availabilityZone",
    "eventTypeCategories": "eventTypeCategory",
    "eventStatusCodes": "statusCode",
    "actionabilities": "actionability",
    "personas": "personas",  # of which an event has several
}
# What DescribeEventTypes knows of: some services, and the one that stands for many.
SERVICES = ("EC2", "ELASTICLOADBALANCING", "IAM", "LAMBDA", "RDS", "S3", "MULTIPLE_SERVICES")
RANGES = {"startTimes": "startTime", "endTimes": "endTime", "lastUpdatedTimes": "lastUpdatedTime"}

Event = dict[str, Any]


class Health:
    """The events that AWS Health knows of. The limits of a filter, 10 of each, are those of the service's model.

    `subscribed` is whether the account's support plan includes the API. `page_size` caps the pages: small ones show
    that a client reads them all. AWS Health is one for all Regions; that of an event is a member of the event.
    """

    subscribed = True
    page_size = 100

    def __init__(self, aws: Front):
        self.events: dict[str, Event] = {}
        aws.handlers["health", "DescribeEvents"] = self._describe_events
        aws.handlers["health", "DescribeEventTypes"] = self._describe_event_types

    def reset(self) -> None:
        """No events, a support plan, AWS's own page size."""
        self.events.clear()
        for name in ("subscribed", "page_size"):
            self.__dict__.pop(name, None)

    # Arranging ---------------------------------------------------------------------------------

    def open(self, service: str = "EC2", region: str = "us-east-1", **members: Any) -> str:
        """An issue that is open since now, but for what `members` say; its ARN."""
        code = members.get("eventTypeCode", f"AWS_{service}_OPERATIONAL_ISSUE")
        now = datetime.now(UTC)
        event = {
            "arn": f"arn:aws:health:{region}::event/{service}/{code}/{code}_{uuid.uuid4().hex[:8].upper()}",
            "service": service,
            "eventTypeCode": code,
            "eventTypeCategory": "issue",
            "region": region,
            "startTime": now,
            "lastUpdatedTime": now,
            "statusCode": "open",
            "eventScopeCode": "PUBLIC",
            **members,
        }
        self.events[event["arn"]] = event
        return event["arn"]

    def close(self, arn: str) -> None:
        """The issue is over."""
        now = datetime.now(UTC)
        self.events[arn] |= {"statusCode": "closed", "endTime": now, "lastUpdatedTime": now}

    def eventbridge(self, arn: str, delivered_in: str | None = None) -> dict[str, Any]:
        """The event as EventBridge delivers it now, in its own Region or in `delivered_in`.

        AWS also sends each public event to a backup Region: us-west-2, and us-east-1 for those of us-west-2. Global
        events go to us-east-1 and us-west-2. `region` is where it was delivered, `detail.eventRegion` where it
        happened.

        Source: AWS Health User Guide, "Reference: AWS Health events Amazon EventBridge schema".
        """
        event = self.events[arn]
        times = {
            name: format_datetime(event[name], usegmt=True)
            for name in ("startTime", "endTime", "lastUpdatedTime")
            if name in event
        }
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "AWS Health Event",
            "source": "aws.health",
            "account": ACCOUNT_ID,
            "time": event["lastUpdatedTime"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": delivered_in or ("us-east-1" if event["region"] == "global" else event["region"]),
            "resources": [],
            "detail": {
                "eventArn": arn,
                "service": event["service"],
                "eventTypeCode": event["eventTypeCode"],
                "eventTypeCategory": event["eventTypeCategory"],
                "eventScopeCode": event["eventScopeCode"],
                "communicationId": f"{uuid.uuid4().hex}-1",
                **times,
                "statusCode": event["statusCode"],
                "eventRegion": event["region"],
                "eventDescription": [{"language": "en_US", "latestDescription": "An issue made up on this machine."}],
                "affectedEntities": [],
                "page": "1",
                "totalPages": "1",
                "affectedAccount": ACCOUNT_ID,
            },
        }

    # Answering -----------------------------------------------------------------------------------

    def _describe_event_types(self, call: "Invocation") -> dict[str, Any]:
        wanted = call.params.get("filter", {}).get("services", SERVICES)
        kinds = [
            {"service": service, "code": f"AWS_{service}_OPERATIONAL_ISSUE", "category": "issue"}
            for service in SERVICES
            if service in wanted
        ]
        start = _read_token(call.params.get("nextToken"))
        size = min(call.params.get("maxResults", 10), self.page_size)
        page: dict[str, Any] = {"eventTypes": kinds[start : start + size]}
        if start + size < len(kinds):
            page["nextToken"] = base64.urlsafe_b64encode(f"page {start + size}".encode()).decode()
        return page

    def _describe_events(self, call: "Invocation") -> dict[str, Any]:
        if not self.subscribed:
            raise AwsError(
                "SubscriptionRequiredException",
                "The AWS Support API requires an AWS Business Support+ plan or a higher one.",
            )
        condition = call.params.get("filter", {})
        unknown = condition.keys() - COMPARED.keys() - RANGES.keys()
        if unknown:
            raise AwsError(
                "NotImplemented", f"the local AWS Health does not filter by {', '.join(sorted(unknown))}", 501
            )
        found = [event for event in self.events.values() if _matches(event, condition)]
        start = _read_token(call.params.get("nextToken"))
        size = min(call.params.get("maxResults", 10), self.page_size)
        page: dict[str, Any] = {"events": found[start : start + size]}
        if start + size < len(found):
            page["nextToken"] = base64.urlsafe_b64encode(f"page {start + size}".encode()).decode()
        return page


def _matches(event: Event, condition: dict[str, Any]) -> bool:
    for name, member in COMPARED.items():
        value = event.get(member)
        values = value if isinstance(value, list) else [value]
        if name in condition and not set(values) & set(condition[name]):
            return False
    for name, member in RANGES.items():
        if name in condition and not any(_within(event.get(member), limits) for limits in condition[name]):
            return False
    return True


def _within(moment: datetime | None, limits: dict[str, datetime]) -> bool:
    if moment is None:
        return False
    return limits.get("from", moment) <= moment <= limits.get("to", moment)


def _read_token(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("page "))
    except ValueError:
        raise AwsError("InvalidPaginationToken", "The specified pagination token is not valid.") from None
