"""The relay in Python and boto3, as one would write it for Lambda with care: what the bench compares with.

It verifies a notification and publishes it with the attributes of its origin. Confirmations it refuses.
"""

import base64
import functools
import json
import os
import time

import boto3
from botocore.config import Config
from python_runtime import serve
from sns_twin import verified

TARGET = os.environ["TARGET_TOPIC_ARN"]
LONGEST_BODY = 1024 * 1024


@functools.cache
def sns():
    """SNS in the Region of the target topic."""
    config = Config(read_timeout=2, retries={"mode": "standard", "total_max_attempts": 3})
    return boto3.client("sns", region_name=TARGET.split(":")[3], config=config)


def handler(event, _request_id):
    """Answers a request."""
    status = relay(event)
    names = {200: "Relayed", 403: "Refused", 503: "RetryLater"}
    metric = names.get(status, "Malformed")
    described = {"Namespace": "Gatehouse", "Dimensions": [["FunctionName"]], "Metrics": [{"Name": metric}]}
    print(json.dumps({"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [described]}, metric: 1}))
    return {"statusCode": status, "headers": {"content-type": "text/plain"}, "body": ""}


def relay(event):
    """The status of the answer."""
    from cryptography.exceptions import InvalidSignature

    headers = event["headers"]
    if event["requestContext"]["http"]["method"] != "POST":
        return 405
    if headers.get("content-type", "").partition(";")[0] not in ("text/plain", "application/json"):
        return 415
    body = base64.b64decode(event["body"]) if event.get("isBase64Encoded") else event["body"].encode()
    if len(body) > LONGEST_BODY:
        return 413
    message = json.loads(body)
    if message.get("Type") != "Notification" or headers.get("x-amz-sns-message-type") != "Notification":
        return 400
    message["SigningCertUrl"] = message.pop("SigningCertURL")
    try:
        text = verified(message)
    except (ValueError, KeyError, InvalidSignature):
        return 403
    except OSError:
        return 503
    names = {"origin-topic-arn": "TopicArn", "origin-message-id": "MessageId", "origin-timestamp": "Timestamp"}
    origin = {name: message[key] for name, key in names.items()}
    before = message.get("MessageAttributes", {}).get("gatehouse.relayed-through", {}).get("Value")
    origin["relayed-through"] = ",".join(filter(None, [before, message["TopicArn"]]))
    attributes = {f"gatehouse.{name}": {"DataType": "String", "StringValue": text} for name, text in origin.items()}
    subject = {"Subject": message["Subject"]} if message.get("Subject") else {}
    try:
        sns().publish(TopicArn=TARGET, Message=text, MessageAttributes=attributes, **subject)
    except Exception as error:
        print(json.dumps({"error": str(error)}))
        return 503
    print(json.dumps({"message": "relayed", "message_id": message["MessageId"]}))
    return 200


if __name__ == "__main__":
    serve(handler)
