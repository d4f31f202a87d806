"""The redactor in Python and boto3, as one would write it for Lambda with care: what the bench compares with.

It knows the identifiers of the sample policy: card numbers (with Luhn), secret keys, and those of one's own.
"""

import functools
import json
import os
import re
import time

import boto3
from botocore.config import Config
from python_runtime import serve
from sns_twin import verified

TARGET, DENIED = os.environ["TARGET_TOPIC_ARN"], os.environ["DENIED_TOPIC_ARN"]
PRINCIPAL = os.environ["SUBSCRIBER_PRINCIPAL"]
MANAGED = {
    "CreditCardNumber": re.compile(r"(?<![0-9])[2-6][0-9](?:[ -]?[0-9]){11,17}(?![0-9])"),
    "AwsSecretKey": re.compile(r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"),
}


def compiled():
    """The statements for the subscriber: operation and patterns."""
    policy = json.loads(os.environ["DATA_PROTECTION_POLICY"])
    own = {it["Name"]: re.compile(it["Regex"]) for it in policy["Configuration"]["CustomDataIdentifier"]}
    statements = []
    for statement in policy["Statement"]:
        if statement["DataDirection"] == "Outbound" and {"*", PRINCIPAL} & set(statement["Principal"]):
            names = [name.rpartition("/")[2] for name in statement["DataIdentifier"]]
            patterns = [(name, own.get(name) or MANAGED[name]) for name in names]
            statements.append((statement["Operation"], patterns))
    return statements


STATEMENTS = compiled()


@functools.cache
def sns():
    """SNS in the Region of the target topic."""
    config = Config(read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
    return boto3.client("sns", region_name=TARGET.split(":")[3], config=config)


def handler(event, _request_id):
    """Handles each message."""
    return [handle(record["Sns"]) for record in event["Records"]]


def handle(message):
    """What became of one message."""
    text = verified(message)
    for operation, patterns in STATEMENTS:
        if "Deny" in operation and (found := next((name for name, _ in hits(text, patterns)), None)):
            sns().publish(TopicArn=DENIED, Subject="Gatehouse messages: refused", Message=f"It holds {found}.")
            return {"outcome": "Denied"}
    for operation, patterns in STATEMENTS:
        if "Deidentify" in operation:
            mask = operation["Deidentify"]["MaskConfig"]["MaskWithCharacter"]
            text = json.dumps(walk(json.loads(text), patterns, mask))
    attributes = {
        name: {"DataType": it["Type"], "StringValue": it["Value"]} for name, it in message["MessageAttributes"].items()
    }
    sns().publish(TopicArn=TARGET, Subject=message["Subject"], Message=text, MessageAttributes=attributes)
    print(json.dumps({"message": "report", "message_id": message["MessageId"], "at": time.time()}))
    return {"outcome": "Published"}


def walk(value, patterns, mask):
    """The value with every text in it masked."""
    if isinstance(value, dict):
        return {key: walk(item, patterns, mask) for key, item in value.items()}
    if isinstance(value, list):
        return [walk(item, patterns, mask) for item in value]
    if isinstance(value, str):
        for _, (start, end) in hits(value, patterns):
            value = value[:start] + mask * (end - start) + value[end:]
    return value


def hits(text, patterns):
    """Identifier and place of each finding."""
    for name, pattern in patterns:
        for found in pattern.finditer(text):
            if name != "CreditCardNumber" or luhn(found[0]):
                yield name, found.span()


def luhn(text):
    """Whether the check digit of a card number fits."""
    digits = [int(c) for c in text if c.isdigit()][::-1]
    return sum(d if i % 2 == 0 else d * 2 - 9 * (d > 4) for i, d in enumerate(digits)) % 10 == 0


if __name__ == "__main__":
    serve(handler)
