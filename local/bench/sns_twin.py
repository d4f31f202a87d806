"""The check of SNS messages that the twins share, in the order of `shared/sns`.

Only the first message loads the library that checks signatures, so that a twin pays for it where its function does.
"""

import base64
import os
import re
import urllib.request
from datetime import UTC, datetime, timedelta

TOPICS = {arn for arn in os.environ.get("TOPIC_ARNS", "").split(",") if arn}
MAX_AGE = timedelta(seconds=int(os.environ.get("SNS_MAX_AGE_SECONDS") or 40 * 24 * 3600))
SIGNED_FIELDS = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
certificates = {}


def verified(message):
    """What was published, if SNS signed it for an accepted topic; ValueError or InvalidSignature otherwise."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    if TOPICS and message["TopicArn"] not in TOPICS:
        raise ValueError(f"{message['TopicArn']} is not an accepted topic")
    algorithm = {"1": hashes.SHA1, "2": hashes.SHA256}[message["SignatureVersion"]]()
    region = message["TopicArn"].split(":")[3]
    url = message["SigningCertUrl"]
    path = r"/SimpleNotificationService-[0-9a-f]{32}\.pem"
    if not re.fullmatch(rf"https://sns\.{re.escape(region)}\.amazonaws\.com{path}", url):
        raise ValueError(f"{url} is not a certificate of SNS in {region}")
    sent = datetime.fromisoformat(message["Timestamp"])
    if not timedelta(minutes=-15) <= datetime.now(UTC) - sent <= MAX_AGE:
        raise ValueError(f"the message is of {sent}")
    certificate = certificate_at(url)
    if not certificate.not_valid_before_utc <= sent <= certificate.not_valid_after_utc:
        raise ValueError(f"the certificate was not valid at {sent}")
    if not names_of(certificate) & {"sns.amazonaws.com", f"sns-signing.{region}.amazonaws.com"}:
        raise ValueError("the certificate is not that of SNS")
    text = "".join(f"{name}\n{message[name]}\n" for name in SIGNED_FIELDS if message.get(name) is not None)
    signature = base64.b64decode(message["Signature"])
    certificate.public_key().verify(signature, text.encode(), padding.PKCS1v15(), algorithm)
    return message["Message"]


def certificate_at(url):
    """The certificate at `url`, which is fetched once."""
    from cryptography import x509

    if url not in certificates:
        certificates[url] = x509.load_pem_x509_certificate(fetch(url))
    return certificates[url]


def names_of(certificate):
    """The names of the SAN, else the common names."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return set(names.value.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        found = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return {attribute.value for attribute in found}


def fetch(url):
    """The bytes at `url`."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read(16 * 1024 * 1024)
