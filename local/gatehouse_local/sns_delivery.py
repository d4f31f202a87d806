"""SNS as subscribers meet it: topics deliver to functions and HTTPS endpoints, signed with the repository's test key.

moto keeps the topics and delivers to queues. Here is what moto does not do: the event of a Lambda delivery with its
attributes, the confirmation of an HTTPS subscription, signatures of both versions, SNS's own limits of a message, and
what happens to a delivery that failed.

Nothing is delivered while a call is answered: `SnsDelivery.deliver` does it, when a flow asks for it. So a function
that publishes while it handles a delivery does not wait for itself.

A `DataProtectionPolicy` of a topic is not applied: how SNS finds and masks data is SNS's own.
"""

import base64
import json
import re
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from gatehouse_local import sns
from gatehouse_local.parts import Front, Invocation
from gatehouse_local.wire import AwsError

OURS = ("lambda", "http", "https")  # protocols; moto has the others
TOKEN_VALID = timedelta(days=2)
LONGEST_MESSAGE = 262_144  # bytes with the attributes, unless the topic's MaximumMessageSize says more
LONGEST_SUBJECT = 100  # characters
ATTRIBUTE_NAME = re.compile(r"(?!(?:aws|amazon)\.)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.IGNORECASE)
ATTRIBUTE_TYPES = ("String", "String.Array", "Number", "Binary")
HTTPS_ATTEMPTS = 4  # SNS's default delivery policy: three retries, 20 s apart

# A function's answer to a delivery: whether it succeeded.
Invoke = Callable[[dict[str, Any]], bool]
# An endpoint's answer to headers and body: the HTTP status; None where there is none.
Post = Callable[[dict[str, str], str], int | None]


@dataclass
class Subscription:
    """A subscription of a function or an HTTPS endpoint."""

    arn: str
    topic_arn: str
    protocol: str
    endpoint: str
    raw: bool = False
    redrive: str | None = None  # ARN of a queue
    confirmed: bool = True
    authenticated: bool = True  # whether who confirmed it, or asked for it, showed who they are
    authenticate_on_unsubscribe: bool = False
    token: str = ""
    asked: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def attributes(self) -> dict[str, str]:
        """As GetSubscriptionAttributes gives them."""
        found = {
            "SubscriptionArn": self.arn,
            "TopicArn": self.topic_arn,
            "Protocol": self.protocol,
            "Endpoint": self.endpoint,
            "Owner": self.topic_arn.split(":")[4],
            "PendingConfirmation": str(not self.confirmed).lower(),
            "ConfirmationWasAuthenticated": str(self.authenticated and self.confirmed).lower(),
            "RawMessageDelivery": str(self.raw).lower(),
        }
        return found | ({"RedrivePolicy": json.dumps({"deadLetterTargetArn": self.redrive})} if self.redrive else {})


@dataclass
class Published:
    """What somebody published to a topic: a reader by email would get subject and message."""

    message_id: str
    subject: str | None
    message: str
    attributes: dict[str, dict[str, str]]  # as delivered: Type and Value


@dataclass
class Delivery:
    """A signed message on its way to one subscription. `statuses` has the answers of an HTTPS endpoint so far."""

    subscription: Subscription
    message: dict[str, Any]  # as Lambda spells its fields
    statuses: list[int | None] = field(default_factory=list)
    delivered: bool = False
    lost: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """Source: SNS Developer Guide, "HTTP/HTTPS headers"."""
        found = {
            "x-amz-sns-message-type": self.message["Type"],
            "x-amz-sns-message-id": self.message["MessageId"],
            "x-amz-sns-topic-arn": self.message["TopicArn"],
            "Content-Type": "text/plain; charset=UTF-8",
            "User-Agent": "Amazon Simple Notification Service Agent",
        }
        if self.message["Type"] != "SubscriptionConfirmation":
            found["x-amz-sns-subscription-arn"] = self.subscription.arn
        return found | ({"x-amz-sns-rawdelivery": "true"} if self.is_raw else {})

    @property
    def is_raw(self) -> bool:
        """Whether the body is the message alone, without its envelope and its signature."""
        return self.subscription.raw and self.message["Type"] == "Notification"

    @property
    def body(self) -> str:
        """The body of the request."""
        return self.message["Message"] if self.is_raw else sns.http_body(self.message)


class SnsDelivery:
    """The deliveries of all Regions. `functions` and `endpoints` say who is behind an ARN of a function or a URL.

    `published` has what was published to each topic, `deliveries` every delivery that was tried.
    """

    def __init__(self, aws: Front):
        self._aws = aws
        self.functions: dict[str, Invoke] = {}
        self.endpoints: dict[str, Post] = {}
        self._forget()
        aws.handlers |= {
            ("sns", "CreateTopic"): self._create_topic,
            ("sns", "SetTopicAttributes"): self._set_topic_attributes,
            ("sns", "Subscribe"): self._subscribe,
            ("sns", "ConfirmSubscription"): self._confirm,
            ("sns", "Unsubscribe"): self._unsubscribe,
            ("sns", "GetSubscriptionAttributes"): self._get_attributes,
            ("sns", "Publish"): self._publish,
        }

    def _forget(self) -> None:
        self.published: dict[str, list[Published]] = {}
        self.deliveries: list[Delivery] = []
        self.subscriptions: dict[str, Subscription] = {}
        self._waiting: deque[Delivery] = deque()
        self._again: list[Delivery] = []
        self._versions: dict[str, str] = {}
        self._limits: dict[str, int] = {}

    def reset(self) -> None:
        """Forgets everything, as if just started."""
        self.functions.clear()
        self.endpoints.clear()
        self._forget()

    # What happens ------------------------------------------------------------------------------

    def deliver(self) -> list[Delivery]:
        """Delivers what waits, and what is published meanwhile; every delivery that was tried."""
        tried = []
        while self._waiting:
            delivery = self._waiting.popleft()
            self._try(delivery)
            tried.append(delivery)
        return tried

    def retry(self) -> list[Delivery]:
        """20 s pass: HTTPS deliveries that were not answered, or with 5xx or 429, are tried again."""
        self._waiting += self._again
        self._again = []
        return self.deliver()

    def rename_token(self, subscription_arn: str, token: str) -> None:
        """Gives a subscription that waits the token that a sample names."""
        self.subscriptions[subscription_arn].token = token

    def pass_time(self, seconds: float) -> None:
        """Time passes for subscriptions that wait for their confirmation, not for the functions."""
        for subscription in self.subscriptions.values():
            subscription.asked -= timedelta(seconds=seconds)

    def _try(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        subscription = delivery.subscription
        if subscription.protocol == "lambda":
            event = sns.lambda_event(delivery.message, subscription.arn)
            # Lambda takes the event and retries by itself, so SNS is done.
            self.functions[subscription.endpoint](event)
            delivery.delivered = True
            return
        post = self.endpoints.get(subscription.endpoint, lambda *_: None)
        status = post(delivery.headers, delivery.body)
        delivery.statuses.append(status)
        # Source: SNS Developer Guide, "Message delivery retries": 5xx and 429 are tried again, nothing else is.
        if status is None or status >= 500 or status == 429:
            if len(delivery.statuses) < HTTPS_ATTEMPTS:
                self._again.append(delivery)
            else:
                self._give_up(delivery)
        elif status >= 400:
            self._give_up(delivery)
        else:
            delivery.delivered = True

    def _give_up(self, delivery: Delivery) -> None:
        queue = delivery.subscription.redrive
        delivery.lost = queue is None
        if queue is not None:
            _, _, _, region, _, name = queue.split(":")
            sqs = self._aws.client("sqs", region)
            sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], MessageBody=delivery.body)

    # Calls -------------------------------------------------------------------------------------

    def _create_topic(self, call: Invocation) -> dict[str, Any]:
        made = call.forward()
        for name, value in call.params.get("Attributes", {}).items():
            self._note(made["TopicArn"], name, value)
        return made

    def _set_topic_attributes(self, call: Invocation) -> dict[str, Any]:
        self._note(call.params["TopicArn"], call.params["AttributeName"], call.params.get("AttributeValue", ""))
        return call.forward()

    def _note(self, topic_arn: str, name: str, value: str) -> None:
        if name == "SignatureVersion":
            if value not in sns.HASHES:
                raise _invalid(f"SignatureVersion Reason: expected 1 or 2, and it is {value}")
            self._versions[topic_arn] = value
        if name == "MaximumMessageSize":
            self._limits[topic_arn] = int(value)

    def _subscribe(self, call: Invocation) -> dict[str, Any]:
        given = call.params
        if given["Protocol"] not in OURS:
            return call.forward()
        self._check_region(call, given["TopicArn"])
        endpoint, protocol = given.get("Endpoint", ""), given["Protocol"]
        form = r"arn:[a-z0-9-]+:lambda:[a-z0-9-]+:\d{12}:function:\S+" if protocol == "lambda" else rf"{protocol}://\S+"
        if not re.fullmatch(form, endpoint):
            raise _invalid(f"Endpoint Reason: it does not fit the protocol {protocol}")
        attributes = given.get("Attributes", {})
        redrive = json.loads(attributes.get("RedrivePolicy", "{}")).get("deadLetterTargetArn")
        raw = attributes.get("RawMessageDelivery", "false") == "true"
        if raw and protocol == "lambda":
            raise _invalid("Delivery protocol [lambda] does not support raw message delivery.")
        key = (given["TopicArn"], protocol, endpoint)
        made = next((it for it in self.subscriptions.values() if _key(it) == key), None)
        if made is None:
            made = Subscription(f"{given['TopicArn']}:{uuid.uuid4()}", *key, raw=raw, redrive=redrive)
            self.subscriptions[made.arn] = made
        if protocol != "lambda" and not (made.confirmed and made.token):
            made.confirmed, made.token, made.asked = False, uuid.uuid4().hex * 4, datetime.now(UTC)
            self._send(made, "SubscriptionConfirmation", _confirmation_text(made.topic_arn), token=made.token)
        is_shown = made.confirmed or given.get("ReturnSubscriptionArn")
        return {"SubscriptionArn": made.arn if is_shown else "pending confirmation"}

    def follow_subscribe_link(self, url: str) -> None:
        """Somebody opens SubscribeURL, without credentials: whatever the account, it confirms."""
        self._confirmed(dict(parse_qsl(urlsplit(url).query)))

    def _confirm(self, call: Invocation) -> dict[str, Any]:
        self._check_region(call, call.params["TopicArn"])
        return self._confirmed(call.params)

    def _confirmed(self, given: dict[str, Any]) -> dict[str, Any]:
        of_topic = [it for it in self.subscriptions.values() if it.topic_arn == given["TopicArn"]]
        found = next((it for it in of_topic if it.token and it.token == given["Token"]), None)
        if found is None or (not found.confirmed and datetime.now(UTC) - found.asked > TOKEN_VALID):
            raise _invalid("Token")
        if not found.confirmed:  # the same token once more changes nothing
            found.confirmed = True
            found.authenticate_on_unsubscribe = given.get("AuthenticateOnUnsubscribe") == "true"
        return {"SubscriptionArn": found.arn}

    def _unsubscribe(self, call: Invocation) -> dict[str, Any]:
        found = self.subscriptions.pop(call.params["SubscriptionArn"], None)
        if found is None:
            return call.forward()
        self._say_goodbye(found)
        return {}

    def follow_unsubscribe_link(self, subscription_arn: str) -> bool:
        """Somebody, such as a mail scanner, opens UnsubscribeURL without credentials; whether it took effect."""
        if self.subscriptions[subscription_arn].authenticate_on_unsubscribe:
            return False
        self._say_goodbye(self.subscriptions.pop(subscription_arn))
        return True

    def _say_goodbye(self, subscription: Subscription) -> None:
        if subscription.protocol != "lambda":
            text = (
                f"You have chosen to deactivate subscription {subscription.arn}.\nTo cancel this operation and restore "
            )
            text += "the subscription, visit the SubscribeURL included in this message."
            self._send(subscription, "UnsubscribeConfirmation", text, token=uuid.uuid4().hex * 4)

    def _get_attributes(self, call: Invocation) -> dict[str, Any]:
        found = self.subscriptions.get(call.params["SubscriptionArn"])
        return call.forward() if found is None else {"Attributes": found.attributes}

    def _publish(self, call: Invocation) -> dict[str, Any]:
        given = call.params
        topic_arn = given.get("TopicArn") or given.get("TargetArn") or ""
        attributes = given.get("MessageAttributes", {})
        self._check_message(topic_arn, given, attributes)
        answer = call.forward()
        if topic_arn:
            published = Published(
                answer["MessageId"],
                given.get("Subject"),
                given["Message"],
                {name: _delivered(value) for name, value in attributes.items()},
            )
            self.published.setdefault(topic_arn, []).append(published)
            for subscription in self.subscriptions.values():
                if subscription.topic_arn == topic_arn and subscription.confirmed:
                    self._notify(subscription, published, given.get("MessageStructure") == "json")
        return answer

    # Checks ------------------------------------------------------------------------------------

    def _check_region(self, call: Invocation, topic_arn: str) -> None:
        if topic_arn.split(":")[3:4] != [call.region]:
            raise _invalid("TopicArn")

    def _check_message(self, topic_arn: str, given: dict[str, Any], attributes: dict[str, Any]) -> None:
        """Source: SNS API Reference, Publish; SNS Developer Guide, "Message attributes"."""
        subject, message = given.get("Subject"), given["Message"]
        if not message:
            raise _invalid("Empty message")
        if subject is not None and (
            not subject or len(subject) > LONGEST_SUBJECT or any(ord(it) < 32 or it == "\x7f" for it in subject)
        ):
            raise _invalid("Subject")
        size = len(message.encode())
        for name, value in attributes.items():
            kind = value["DataType"]
            content = value.get("StringValue", "").encode() or value.get("BinaryValue", b"")
            if not ATTRIBUTE_NAME.fullmatch(name) or len(name) > 256:
                raise _invalid_value(f"The message attribute name '{name}' is not valid.")
            if kind not in ATTRIBUTE_TYPES:
                raise _invalid_value(f"The message attribute '{name}' has an invalid message attribute type.")
            if not content:
                raise _invalid_value(f"The message attribute '{name}' must contain non-empty message attribute value.")
            size += len(name) + len(kind) + len(content)
        if size > self._limits.get(topic_arn, LONGEST_MESSAGE):
            raise _invalid("Message too long")

    # Messages ----------------------------------------------------------------------------------

    def _notify(self, subscription: Subscription, published: Published, structured: bool) -> None:
        text = published.message
        if structured:
            texts = json.loads(text)
            text = texts.get(subscription.protocol, texts["default"])
        self._send(
            subscription, "Notification", text, published.message_id, published.subject, attributes=published.attributes
        )

    def _send(
        self,
        subscription: Subscription,
        kind: str,
        text: str,
        message_id: str | None = None,
        subject: str | None = None,
        token: str | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        region = subscription.topic_arn.split(":")[3]
        message = {
            "Type": kind,
            "MessageId": message_id or str(uuid.uuid4()),
            "TopicArn": subscription.topic_arn,
            "Subject": subject,
            "Message": text,
            "Timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
        }
        if token is None:
            query = urlencode({"Action": "Unsubscribe", "SubscriptionArn": subscription.arn}, safe=":")
            message |= {"UnsubscribeUrl": f"https://sns.{region}.amazonaws.com/?{query}"}
            message |= {"MessageAttributes": attributes or {}}
        else:
            query = urlencode(
                {"Action": "ConfirmSubscription", "TopicArn": subscription.topic_arn, "Token": token}, safe=":"
            )
            message |= {"Token": token, "SubscribeURL": f"https://sns.{region}.amazonaws.com/?{query}"}
        signed = sns.sign(message, self._versions.get(subscription.topic_arn, "1"))
        self._waiting.append(Delivery(subscription, signed))


def _key(subscription: Subscription) -> tuple[str, str, str]:
    return subscription.topic_arn, subscription.protocol, subscription.endpoint


def _delivered(value: dict[str, Any]) -> dict[str, str]:
    content = value.get("StringValue")
    return {
        "Type": value["DataType"],
        "Value": base64.b64encode(value["BinaryValue"]).decode() if content is None else content,
    }


def _confirmation_text(topic_arn: str) -> str:
    return (
        f"You have chosen to subscribe to the topic {topic_arn}.\n"
        "To confirm the subscription, visit the SubscribeURL included in this message."
    )


def _invalid(what: str) -> AwsError:
    return AwsError("InvalidParameter", f"Invalid parameter: {what}")


def _invalid_value(what: str) -> AwsError:
    return AwsError("InvalidParameterValue", what)
