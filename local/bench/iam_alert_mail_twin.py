"""iam-alert-mail in Python and boto3, as one would write it for Lambda with care: what the bench compares with.

It writes the same mails, word for word, of events by hand; it takes no batch of a queue. Of a record that is not as
documented it gives another reason.
"""

import copy
import functools
import json
import os
import re
import time
import unicodedata
from datetime import UTC, datetime
from urllib.parse import unquote

import boto3
from botocore.config import Config
from python_runtime import serve

TOPIC = os.environ["NOTIFY_TOPIC_ARN"]
EXCLUDED = {name.strip() for name in os.environ.get("EXCLUDE_EVENT_NAMES", "").split(",") if name.strip()}
DRY_RUN = os.environ.get("DRY_RUN") == "true"
LONGEST_MESSAGE, ROOM_FOR_NOTE = 250 * 1024, 200
LONGEST_SUBJECT, ROOM_FOR_WHO, LONGEST_VALUE = 99, 6, 1000
LONGEST_NAME, LONGEST_OTHER, LONGEST_ON_WHAT = 2048, 255, 8192
PAUSE = 0.5  # seconds between two mails
LEFT_OUT = "(left out of this mail: a secret)"
SECRETS = {
    "addprivatekey",
    "authenticationcode1",
    "authenticationcode2",
    "base32stringseed",
    "newpassword",
    "oldpassword",
    "password",
    "privatekey",
    "qrcodepng",
    "secretaccesskey",
    "servicecredentialsecret",
    "servicepassword",
    "sessiontoken",
}
TEXTS = ("eventSource", "eventTime", "awsRegion", "sourceIPAddress", "userAgent", "errorCode", "errorMessage")
IDS = ("eventID", "recipientAccountId")
CONTENTS = (
    ("Request", "requestParameters"),
    ("Answer", "responseElements"),
    ("More", "additionalEventData"),
    ("Details", "serviceEventDetails"),
)
CONSOLES = (
    ("cn-", "console.amazonaws.cn"),
    ("us-gov-", "console.amazonaws-us-gov.com"),
    ("eusc-", "console.amazonaws-eusc.eu"),
    ("us-iso", None),
    ("eu-iso", None),
    ("", "console.aws.amazon.com"),
)
HOLDERS = ("sessionIssuer", "attributes", "sessionContext", "userIdentity")
SHOWN = [
    *(
        (
            "eventName",
            "eventSource",
            "eventTime",
            "awsRegion",
            "sourceIPAddress",
            "userAgent",
            "errorCode",
            "errorMessage",
        )
    ),
    *(("eventID", "recipientAccountId", "requestParameters", "responseElements", "additionalEventData")),
    *(("serviceEventDetails", "vpcEndpointId", "vpcEndpointAccountId")),
    *(
        f"userIdentity.{name}"
        for name in (
            *("type", "arn", "accountId", "accessKeyId", "invokedBy", "identityProvider", "onBehalfOf"),
            *("inScopeOf", "sessionContext.sourceIdentity", "sessionContext.assumedRoot"),
            *("sessionContext.webIdFederationData", "sessionContext.sessionIssuer.arn"),
            *("sessionContext.sessionIssuer.userName", "sessionContext.attributes.mfaAuthenticated"),
            *("sessionContext.sessionIssuer", "sessionContext.attributes", "sessionContext"),
        )
    ),
    "userIdentity",
]
LAST_LABELS = set(
    (
        "agency app arpa autos bid biz bond buzz cam center cfd chat click cloud club com company country cyou dev"
        " digital download edu email example finance foundation fun gov guru help host icu info int life link live"
        " loan lol ltd media men mil mobi mom monster mov net news ninja online org page party pics press pro quest"
        " racing red ren rest review rocks sbs science security services shop site solutions space store stream studio"
        " support systems tech today tokyo top trade vip wang webcam website wiki win work world wtf xyz zip zone"
    ).split()
)
next_mail = [0.0]
UNSEEN = re.compile(
    "[\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)


@functools.cache
def sns():
    """SNS in the Region of the topic."""
    config = Config(read_timeout=5, connect_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
    return boto3.client("sns", region_name=TOPIC.split(":")[3], config=config)


def handler(payload, _request_id):
    """Mails each event; the first failure is raised after the others were tried."""
    events = payload if isinstance(payload, list) else [payload]
    if not events:
        raise ValueError("InvalidEvent: the list is empty")
    for event in events:
        for name in ("source", "detail-type", "detail"):
            if name not in event:
                raise ValueError(f"InvalidEvent: missing field `{name}`")
    reports, failures = [], []
    for event in events:
        try:
            reports.append(alert(event))
        except Exception as error:
            failures.append(error)
    counts = {it: sum(report["outcome"] == it for report in reports) for it in ("Mailed", "NotUnderstood", "Excluded")}
    counts["Failed"] = len(failures)
    metrics = [{"Name": name, "Unit": "Count"} for name in counts]
    described = {"Namespace": "Gatehouse", "Dimensions": [["FunctionName"]], "Metrics": metrics}
    line = {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [described]}}
    print(json.dumps(line | {"FunctionName": os.environ["AWS_LAMBDA_FUNCTION_NAME"]} | counts))
    if failures:
        raise failures[0]
    return reports


def alert(event):
    """One event: decide, log, mail."""
    record, report = event["detail"], {"event_id": event.get("id"), "account": event.get("account")}
    reason = fault(record)
    if reason:
        report |= {"outcome": "NotUnderstood", "reason": reason}
        subject, text = as_it_is(event, reason)
    else:
        identity = record.get("userIdentity") or {}
        report |= {"event_name": record["eventName"], "record_id": record.get("eventID")}
        report |= {"principal_arn": identity.get("arn"), "error_code": record.get("errorCode")}
        if record["eventName"] in EXCLUDED:
            return logged(report | {"outcome": "Excluded"})
        report["outcome"] = "Mailed"
        subject, text = about(event, record)
    if DRY_RUN:
        report["outcome"] = "Planned"
    report = logged(report | {"mail": subject})
    if not DRY_RUN:
        pause()
        sns().publish(TopicArn=TOPIC, Subject=subject, Message=text)
    return report


def pause():
    """Waits until the next mail may be sent: SNS suspends an address that gets more than 10 a second."""
    now = time.monotonic()
    turn = max(next_mail[0], now)
    next_mail[0] = turn + PAUSE
    time.sleep(turn - now)


def logged(report):
    """The report without what is not known, after it was logged."""
    report = {name: value for name, value in report.items() if value is not None}
    print(json.dumps({"level": "INFO", "message": "report", "report": report}))
    return report


def fault(record):
    """What is not as documented; None where nothing is."""
    if not isinstance(record, dict):
        return "the record is no object"
    if not isinstance(record.get("eventName"), str) or not record["eventName"].strip():
        return "eventName is no name"
    wrong = [name for name in (*TEXTS, *IDS) if not isinstance(record.get(name), str | None)]
    if not isinstance(record.get("userIdentity"), dict | None):
        wrong.append("userIdentity")
    return f"{', '.join(wrong)}: not as documented" if wrong else None


def about(event, record):
    """Subject and text of the mail about one call."""
    identity = record.get("userIdentity") or {}
    account = record.get("recipientAccountId") or event.get("account") or identity.get("accountId")
    account = account or "an unknown account"
    short, long = principal(identity)
    failed = bool(record.get("errorCode") or record.get("errorMessage"))
    start, by, after = "Gatehouse iam-alerts: ", f"{' FAILED' if failed else ''} by ", f" in {shortened(account, 20)}"
    room = LONGEST_SUBJECT - len(start) - len(by) - len(after)
    name = shortened(record["eventName"], room - ROOM_FOR_WHO)
    subject = ascii_only(start + name + by + shortened(harmless(short), room - len(name)) + after)
    return subject, limited(explained("".join(text(event, record, short, long, account, failed))))


def as_it_is(event, reason):
    """Subject and text of the mail about a record that is not as documented."""
    account = event.get("account") or "an unknown account"
    lines = [
        f"EventBridge delivered an event of {value(event['source'])} that Gatehouse does not understand"
        f" ({value(reason)}). Here it is as it is.\n\n",
        line("Account", event.get("account")),
        line("Type", event["detail-type"]),
        line("EventBridge event id", event.get("id")),
        "\n",
        block(event["detail"]),
    ]
    subject = ascii_only(f"Gatehouse iam-alerts: an event that is not understood in {one_line(account)}")
    return subject, limited(explained("".join(lines)))


def text(event, record, short, long, account, failed):
    """The parts of the text: first what matters, then all that the record says of it."""
    code, region = record.get("errorCode"), record.get("awsRegion") or event.get("region")
    ended = f". The call FAILED: {value(code)}." if code else ". The call FAILED." if failed else "."
    yield f"{capitalized(value(long))} called {value(record['eventName'])} in the account {value(account)}{ended}\n\n"
    if short == "ROOT" and long.startswith("the ROOT USER"):
        yield "Nobody needs the root user for daily work. If nobody planned this, act now.\n\n"
    source = record.get("eventSource")
    yield line("What", f"{record['eventName']} ({source})" if source else record["eventName"])
    target = harmless(visible(on_what(record) or "not in the record"))
    yield f"On what: {cut(target, LONGEST_ON_WHAT)}\n"
    if failed:
        yield line("Error", ": ".join(it for it in (code, record.get("errorMessage")) if it))
    yield line("When", when(record.get("eventTime"), region))
    yield line("Account", account)
    yield from who(record, long, account)
    yield line("From", record.get("sourceIPAddress"))
    yield line("With", record.get("userAgent"))
    if record.get("sessionCredentialFromConsole") in (True, "true"):
        yield line("Console", "yes, with the credentials of a session in the console")
    yield line("VPC endpoint", leaves(record.get("vpcEndpointId")))
    yield line("Account of the VPC endpoint", leaves(record.get("vpcEndpointAccountId"))) + "\n"
    link = console_link(record.get("eventID"), region)
    if link:
        yield "The record in CloudTrail, in the console of this account (it can take some minutes to be there):\n"
        yield f"{link}\n\n"
    else:
        yield "Look for the record in the event history of CloudTrail, in this account.\n\n"
    yield line("CloudTrail event id", record.get("eventID"))
    yield line("EventBridge event id", event.get("id"))
    yield "A second mail with the same ids is about the same call: an event can be delivered twice.\n"
    for title, name in CONTENTS:
        if record.get(name) is not None:
            yield f"\n{title}:\n{block(record[name])}"
    more = copy.deepcopy(record)
    for place in SHOWN:
        *path, name = place.split(".")
        parent = functools.reduce(lambda it, key: it.get(key) if isinstance(it, dict) else None, path, more)
        if isinstance(parent, dict) and not (name in HOLDERS and isinstance(parent.get(name), dict) and parent[name]):
            parent.pop(name, None)
    if more:
        yield f"\nMore of the record:\n{block(more)}"


def who(record, long, account):
    """The lines on who called."""
    yield line("Who", long)
    identity = record.get("userIdentity") or {}
    session = identity.get("sessionContext") or {}
    yield line("ARN", identity.get("arn"))
    yield line("Role or user behind it", (session.get("sessionIssuer") or {}).get("arn"))
    yield line("Source identity", session.get("sourceIdentity"))
    if identity.get("accountId") != account:
        yield line("Account of the caller", identity.get("accountId"))
    yield line("Through the AWS service", identity.get("invokedBy"))
    yield line("Access key", identity.get("accessKeyId"))
    yield line("Identity provider", identity.get("identityProvider"))
    yield line("Federated by", leaves(session.get("webIdFederationData")))
    yield line("On behalf of", leaves(identity.get("onBehalfOf")))
    yield line("In scope of", leaves(identity.get("inScopeOf")))
    mfa = (session.get("attributes") or {}).get("mfaAuthenticated")
    assumed_root = session.get("assumedRoot") in (True, "true")
    signs_in = identity.get("type") == "IAMUser" or (identity.get("type") == "Root" and not assumed_root)
    if mfa in (True, "true"):
        yield line("Signed in with MFA", "yes")
    elif mfa is not None and signs_in:
        yield line("Signed in with MFA", "no")


def principal(identity):
    """Who called: for the subject, and for the text."""
    session = identity.get("sessionContext") or {}
    issuer = session.get("sessionIssuer") or {}
    name, arn = identity.get("userName"), identity.get("arn") or ""
    last = arn.rpartition("/")[2] if "/" in arn else None
    match identity.get("type"):
        case "Root":
            assumed = session.get("assumedRoot") in (True, "true")
            return "ROOT", "the ROOT USER, in a session of AssumeRoot" if assumed else "the ROOT USER"
        case "IAMUser":
            name = name or last or "unknown"
            return name, f"the IAM user {name}"
        case "AssumedRole":
            _, colon, named = (identity.get("principalId") or "").partition(":")
            named = named if colon else last or "unknown"
            of_arn = arn.partition(":assumed-role/")[2].partition("/")[0]
            return of_role(issuer.get("userName") or of_arn or "unknown", named)
        case "FederatedUser":
            of = issuer.get("userName")
            asked = f", with credentials that the IAM user {of} asked for" if of else ""
            return last or "unknown", f"the federated user {last or 'unknown'}{asked}"
        case "SAMLUser" | "WebIdentityUser":
            name = name or "unknown"
            return name, f"the user {name} of {identity.get('identityProvider') or 'an unknown identity provider'}"
        case "AWSService":
            return of_service(identity.get("invokedBy"))
        case "AWSAccount":
            account = identity.get("accountId") or "unknown"
            return f"account {account}", f"a principal of the account {account}"
        case kind:
            known = name or identity.get("arn") or identity.get("principalId")
            if known:
                return known, f"{known} ({kind})" if kind else known
            if identity.get("invokedBy"):
                return of_service(identity["invokedBy"])
            if kind:
                return kind, f"an identity of the type {kind}"
            return "an unknown identity", "an identity that the record does not name"


def of_role(role, session):
    """A session of a role, or a person by way of IAM Identity Center."""
    permission_set, underscore, _ = role.removeprefix("AWSReservedSSO_").rpartition("_")
    if role.startswith("AWSReservedSSO_") and underscore:
        return f"{session} ({permission_set})", f"{session} (IAM Identity Center, permission set {permission_set})"
    return f"{role}/{session}", f"the role {role} in the session named {session}"


def of_service(service):
    """A service of AWS."""
    return service or "AWS Internal", f"the AWS service {service or 'AWS Internal'}"


def on_what(record):
    """The names in the request; where it has none, those in the answer."""
    answer = record.get("responseElements")
    made = next(iter(answer.values()), None) if isinstance(answer, dict) else None
    return names(record.get("requestParameters")) or names(made)


def names(content):
    """Names, ARNs and ids, wherever they are; then other values but documents."""
    if not isinstance(content, dict):
        return None
    found, others = [], []
    for name, it in content.items():
        if isinstance(it, str):
            if name.lower() in SECRETS:
                others.append(f"{name} {LEFT_OUT}")
            elif is_name(name):
                found.append(f"{name} {cut(it, LONGEST_NAME)}")
            elif document(it) is None:
                others.append(f"{name} {cut(it, LONGEST_OTHER)}")
        elif isinstance(it, bool | int | float):
            others.append(f"{name} {json.dumps(it)}")
        else:
            found += names_within(it)
    return ", ".join(found + others) or None


def names_within(content):
    """The names in what a member of the request holds."""
    if isinstance(content, list):
        return [it for item in content for it in names_within(item)]
    if not isinstance(content, dict):
        return []
    found = []
    for name, it in content.items():
        if isinstance(it, str) and is_name(name) and name.lower() not in SECRETS:
            found.append(f"{name} {cut(it, LONGEST_NAME)}")
        else:
            found += names_within(it)
    return found


def is_name(member):
    """Whether a member of a request names something."""
    return member.lower().endswith(("name", "arn", "id", "serialnumber"))


def leaves(content):
    """All that a value has, on one line."""
    if isinstance(content, dict):
        each = []
        for name, it in content.items():
            if name.lower() in SECRETS:
                each.append(f"{name} {LEFT_OUT}")
            elif inner := leaves(it):
                each.append(inner if isinstance(it, dict | list) else f"{name} {inner}")
        return ", ".join(each)
    if isinstance(content, list):
        return ", ".join(filter(None, map(leaves, content)))
    return content if isinstance(content, str) or content is None else json.dumps(content)


def when(event_time, region):
    """To the second, in UTC; as it is where it is no time."""
    if event_time is None:
        return "not in the record"
    try:
        written = datetime.fromisoformat(event_time).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        written = event_time
    return f"{written}, recorded in {region}" if region else written


def console_link(record_id, region):
    """The page of the record in the console of CloudTrail; None where it is not known."""
    if not region or not re.fullmatch(r"[A-Za-z0-9-]+", record_id or ""):
        return None
    host = next(host for prefix, host in CONSOLES if region.startswith(prefix))
    return host and f"https://{region}.{host}/cloudtrailv2/home?region={region}#/events/{record_id}"


def readable(content):
    """The value without secrets, and with documents of JSON in place of the texts that hold them."""
    if isinstance(content, dict):
        return {
            name: LEFT_OUT if name.lower() in SECRETS and it is not None else readable(it)
            for name, it in content.items()
        }
    if isinstance(content, list):
        return [readable(it) for it in content]
    if isinstance(content, str):
        found = document(content)
        return content if found is None else readable(found)
    return content


def document(given):
    """The document of JSON that a text holds; None where it holds none."""
    try:
        if given.startswith(("%7B", "%5B")):
            given = unquote(given, errors="strict")
        return json.loads(given) if given.lstrip().startswith(("{", "[")) else None
    except ValueError:
        return None


def block(content):
    """A value as JSON that people can read."""
    written = json.dumps(readable(content), indent=2, ensure_ascii=False)
    return "".join(f"{harmless(visible(it))}\n" for it in written.split("\n"))


def line(name, content):
    """`<name>: <value>`, where there is a value."""
    return f"{name}: {value(content)}\n" if content else ""


def value(given):
    """A value on one line, with what cannot be seen written out, and without links."""
    return cut(harmless(visible(given)), LONGEST_VALUE)


def cut(given, most):
    """At most so many characters."""
    return given if len(given) <= most else given[: most - 1] + "…"


def explained(given):
    """Says how addresses are written, where there are some."""
    if any(mark in given for mark in ("hxxp", "[.]", "[:]")):
        given += "\nAddresses are written with hxxp, [.] and [:], so that no mail program makes links of them.\n"
    return given


def harmless(given):
    """The text with addresses written so that no mail program makes links of them."""

    def written(found):
        word, before, after = found[1], given[: found.start()][-1:], given[found.end(1) :]
        if found[2]:
            at = word.lower().rfind("http")
            of_web = at >= 0 and word[at:].lower() in ("http", "https")
            return f"{word[: at + 1]}xx{word[at + 3 :]}://" if of_web else f"{word}[:]//"
        return word.replace(".", "[.]") if is_linked(word, before, after) else word

    return re.sub(r"([A-Za-z0-9.-]+)(://)?", written, given)


def is_linked(word, before, after):
    """Whether mail programs make a link of the word."""
    host = word.rstrip(".-").lower()
    _, dot, last = host.rpartition(".")
    if not dot or len(last) < 2 or not re.fullmatch("[a-z]+", last):
        return False
    has_path = after.startswith("/")
    service = re.fullmatch(r"[^.]*\.amazonaws\.com(\.cn)?", host) or host == "token.actions.githubusercontent.com"
    if not has_path and (before == "@" or after.startswith("@") or service):
        return False
    begins = not before or not (before.isalnum() or before in "/:._-")
    return host.startswith("www.") or len(last) == 2 or last in LAST_LABELS or (has_path and begins)


def visible(given):
    """The text with what cannot be seen written out."""
    if given.isprintable():
        return UNSEEN.sub(lambda it: escaped(it[0]), given)
    return "".join(escaped(c) if unicodedata.category(c) == "Cc" or UNSEEN.match(c) else c for c in given)


def escaped(c):
    """A character as Rust writes it."""
    return {"\t": "\\t", "\r": "\\r", "\n": "\\n"}.get(c) or f"\\u{{{ord(c):x}}}"


def one_line(given):
    """The text on one line."""
    kept = UNSEEN.sub("", given.strip())
    return "".join(" " if unicodedata.category(c) == "Cc" else c for c in kept)


def shortened(given, most):
    """At most so many characters of ASCII."""
    written = ascii_only(one_line(given))
    return written if len(written) <= most else written[: max(most - 3, 0)] + "..."


def ascii_only(given):
    """Printable ASCII, as SNS takes it in a subject."""
    return "".join(c if " " <= c <= "~" else "?" for c in given)[:LONGEST_SUBJECT]


def capitalized(given):
    """The sentence begins with a capital letter; the name of a person keeps its letters."""
    return given[0].upper() + given[1:] if given.startswith(("the ", "a ", "an ")) else given


def limited(given):
    """The text, cut where SNS would not take it, with a note that says so."""
    whole = given.encode()
    if len(whole) <= LONGEST_MESSAGE:
        return given
    return (
        whole[: LONGEST_MESSAGE - ROOM_FOR_NOTE].decode(errors="ignore")
        + f"\n\nCUT HERE: this mail would have {len(whole)} bytes, and SNS takes {LONGEST_MESSAGE}. "
        "The whole record is in CloudTrail.\n"
    )


if __name__ == "__main__":
    serve(handler)
