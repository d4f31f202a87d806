"""The sample events and the generated document are what they say."""

import base64
import datetime
import gzip
import itertools
import json

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding

from gatehouse_local import events, ranges, sns

GENERATED = {
    "ip-ranges": events.ip_ranges,
    "amis": events.amis,
    "iam-alerts": events.iam_alerts,
    "messages": events.messages,
}


@pytest.mark.parametrize("capability", GENERATED)
def test_the_samples_in_the_repository_are_the_generated_ones(capability):
    there = {path.name: path.read_text() for path in (events.EVENTS / capability).iterdir()}
    made = {name: events.written(sample) for name, sample in GENERATED[capability]().items()}
    assert there.keys() == made.keys()
    assert [name for name in made if there[name] != made[name]] == [], "run `python -m gatehouse_local.events`"


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("sns-notice.json", ranges.first),
        ("sns-notice-signed.json", ranges.first),
        ("sns-notice-signed-second.json", ranges.second),
    ],
)
def test_a_notice_names_the_document_that_the_demo_serves(name, document):
    body = json.loads(events.load(f"ip-ranges/{name}")["Records"][0]["Sns"]["Message"])
    assert body["md5"] == document().md5
    assert body["synctoken"] == str(document().sync_token)


@pytest.mark.parametrize("name", ["sns-notice-signed.json", "sns-notice-signed-second.json"])
def test_a_signed_notice_fits_the_test_certificate_and_nothing_else(name):
    message = events.load(f"ip-ranges/{name}")["Records"][0]["Sns"]
    key = x509.load_pem_x509_certificate(sns.certificate()).public_key()
    signature = base64.b64decode(message["Signature"])
    algorithm = sns.HASHES[message["SignatureVersion"]]()
    text = "".join(f"{field}\n{message[field]}\n" for field in sns.SIGNED_FIELDS).encode()
    key.verify(signature, text, padding.PKCS1v15(), algorithm)
    with pytest.raises(InvalidSignature):
        key.verify(signature, text[:-2] + b"\n\n", padding.PKCS1v15(), algorithm)


def test_a_notice_of_a_build_has_the_form_of_a_real_one(real):
    """Names of fields and types as in the messages that Image Builder sent; values are ours."""
    for sample, name in (("request-available.json", "available"), ("request-failed.json", "failed")):
        ours = json.loads(events.load(f"amis/{sample}")["Records"][0]["Sns"]["Message"])
        theirs = json.loads((real / "imagebuilder" / f"{name}.json").read_text())
        assert ours.keys() - {"osVersion", "testExecutionId", "buildExecutionId"} <= theirs.keys() | {
            "accountId",
            "buildType",
        }
        assert ours["imageRecipe"].keys() <= theirs["imageRecipe"].keys()
        assert ours["semver"] > 2**64


def test_the_token_of_a_sample_is_the_same_in_both_languages():
    """The Rust test `the_text_of_a_token_stays_the_same_from_release_to_release` has the same text before the MAC."""
    key = bytes([7]) * 32
    expires = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)
    assert events.link_token("333ba70b-2333-48db-b17e-a5e69c6f4d1c", expires, key) == (
        "v2.333ba70b-2333-48db-b17e-a5e69c6f4d1c.1795867200.wjYfUDoNT6OZZHOBKDlPmutZgX6pkVghUsMFkJldmPc"
    )


def test_the_document_has_the_size_of_the_real_one():
    for document in (ranges.first(), ranges.second()):
        families = [sum(entry.version == version for entry in document.ranges) for version in (4, 6)]
        assert families[0] >= 10_600 and families[1] >= 6_100
        assert 2_500_000 < len(document.body) < 2_700_000
    first = ranges.first()
    assert (len(first.prefixes("CLOUDFRONT", 4)), len(first.prefixes("CLOUDFRONT", 6))) == (211, 32)
    assert sum(":" not in rule for rule in first.rules("CLOUDFRONT")) == 180


def test_the_editions_differ_by_a_little():
    first, second = ranges.first(), ranges.second()
    assert second.sync_token > first.sync_token
    for service in ("CLOUDFRONT", "CLOUDFRONT_ORIGIN_FACING", "S3", "ROUTE53_HEALTHCHECKS"):
        old, new = first.rules(service), second.rules(service)
        assert new - old and old - new
        assert len(old & new) > 0.9 * len(old)


def test_the_document_is_written_like_the_real_one(real):
    newest = max((real / "ip-ranges").glob("*.json.gz"))
    theirs, ours = gzip.decompress(newest.read_bytes()), ranges.first().body

    def skeleton(body, lines):
        # Field names and indentation of the first entries and of the end, without the values.
        text = body.decode().splitlines()
        return [line.split(": ")[0] for line in itertools.chain(text[:lines], text[-lines:])]

    assert skeleton(ours, 20) == skeleton(theirs, 20)
    assert ours.endswith(b"}") == theirs.endswith(b"}")
    real_document, made = json.loads(theirs), json.loads(ours)
    assert list(made) == list(real_document)
    for family in ("prefixes", "ipv6_prefixes"):
        assert list(made[family][0]) == list(real_document[family][0])
    services = {entry["service"] for entry in real_document["prefixes"]}
    assert {entry["service"] for entry in made["prefixes"]} == services
