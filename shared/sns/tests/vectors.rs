//! `vectors/messages.json`: messages, certificates and verdicts that other languages can run too.
//!
//! `WRITE_VECTORS=1 cargo test -p gatehouse-sns --test vectors` writes the file; without it, the file must be what would
//! be written, and each verdict that of the verifier.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect should stop there")]

use std::collections::BTreeMap;
use std::fs;

use gatehouse_sns::testing::{SIGNING_CERTIFICATE_PEM, Signer, StaticCertificates, notification};
use gatehouse_sns::{Channel, Envelope, Settings, SignatureVersion, Topics, Verifier};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:example";
const SENT: &str = "2026-03-06T20:00:26.893Z";
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/messages.json");

/// The file.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Vectors {
    /// Files by name, as they are at `SigningCertURL`.
    certificates: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Case {
    name: String,
    /// What was delivered, byte for byte.
    body: String,
    /// `lambda`, `sqs` or `https`.
    channel: String,
    /// The clock.
    now: String,
    /// The accepted topics.
    topics: Vec<String>,
    /// The accepted versions of signatures.
    signature_versions: Vec<String>,
    /// A name among `certificates`; null where the host answers nothing.
    certificate: Option<String>,
    verdict: Verdict,
    /// Why not, as a name of `VerifyError` or `ParseError`.
    reason: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// SNS sent it.
    Accept,
    /// It must not be acted on, now or later.
    Refuse,
    /// It is not known: the message must be delivered again.
    Retry,
    /// It is not an SNS message.
    Malformed,
}

/// A body: a text as it is, JSON with its keys in their order, whatever other crates of a workspace ask serde_json for.
trait Body {
    fn text(&self) -> String;
}

impl Body for String {
    fn text(&self) -> String {
        self.clone()
    }
}

impl<T: Body> Body for &T {
    fn text(&self) -> String {
        (*self).text()
    }
}

impl Body for Value {
    fn text(&self) -> String {
        match self {
            Self::Object(fields) => {
                let fields: BTreeMap<_, _> = fields.iter().collect();
                let fields = fields.iter().map(|(key, value)| format!("{}:{}", json!(key), value.text()));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }
            Self::Array(items) => format!("[{}]", items.iter().map(Self::text).collect::<Vec<_>>().join(",")),
            other => other.to_string(),
        }
    }
}

/// A message as the test key signs it at [`SENT`], over Lambda, a minute later.
fn case(name: &str, body: impl Body) -> Case {
    Case {
        name: name.to_owned(),
        body: body.text(),
        channel: "lambda".to_owned(),
        now: "2026-03-06T20:01:26.893Z".to_owned(),
        topics: vec![TOPIC.to_owned()],
        signature_versions: vec!["1".to_owned(), "2".to_owned()],
        certificate: Some("test".to_owned()),
        verdict: Verdict::Accept,
        reason: None,
    }
}

fn message(text: &str) -> Value {
    notification(TOPIC, text, SENT)
}

fn signed(message: Value) -> Value {
    Signer::new().sign(message)
}

fn with(mut message: Value, field: &str, value: impl Into<Value>) -> Value {
    message[field] = value.into();
    message
}

fn file(path: &str) -> String {
    fs::read_to_string(format!("{}/testing/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn confirmation(of_type: &str) -> Value {
    let mut message = message("You have chosen to subscribe.");
    message["Type"] = of_type.into();
    message["Token"] = "a-token".into();
    message["SubscribeURL"] =
        format!("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=a-token")
            .into();
    message
}

fn cases() -> Vec<Case> {
    let good = signed(message("hello"));
    let spelled_as_lambda_does = {
        let mut message = with(good.clone(), "SigningCertUrl", good["SigningCertURL"].clone());
        message.as_object_mut().unwrap().remove("SigningCertURL");
        with(message, "Subject", Value::Null)
    };
    let accepted = [
        case("a notification", &good),
        case("with a subject", signed(with(message("hello"), "Subject", "greeting"))),
        case("with an empty subject", signed(with(message("hello"), "Subject", ""))),
        case("as Lambda spells it, its subject null", spelled_as_lambda_does),
        case("line breaks, quotes and Unicode", signed(message("\"hello\"\n\r\n\u{e9}\u{1f600}\u{2028}\u{0} end\n"))),
        case("an empty message", signed(message(""))),
        case("a subscription confirmation", signed(confirmation("SubscriptionConfirmation"))),
        case("an unsubscribe confirmation", signed(confirmation("UnsubscribeConfirmation"))),
        case("a token that a notification does not sign", with(signed(message("hello")), "Token", "a")),
        case("unknown fields", with(signed(message("hello")), "Other", json!({"a": ["b"]}))),
        case(
            "the host in capitals, with its port",
            with(
                good.clone(),
                "SigningCertURL",
                "https://SNS.us-east-1.amazonaws.com:443/SimpleNotificationService-00000000000000000000000000000000.pem",
            ),
        ),
        Case { certificate: Some("dns-name-of-sns".to_owned()), ..case("a certificate with a DNS name of SNS", &good) },
        Case { certificate: Some("cn-bmp-string".to_owned()), ..case("a common name in UTF-16", &good) },
        Case { now: "2026-04-15T20:00:26.893Z".to_owned(), ..case("40 days old", &good) },
        Case {
            channel: "https".to_owned(),
            now: "2026-03-06T21:15:26.893Z".to_owned(),
            ..case("75 minutes old over HTTPS", &good)
        },
        Case { now: "2026-03-06T19:45:26.893Z".to_owned(), ..case("15 minutes ahead", &good) },
        Case { signature_versions: vec!["2".to_owned()], ..case("SHA256 where only that is accepted", &good) },
    ];
    let version_1 = ["notification", "subscription-confirmation", "unsubscribe-confirmation"].map(|name| {
        let message: Value = serde_json::from_str(&file(&format!("messages/{name}-v1.json"))).unwrap();
        let (topic, sent) = (message["TopicArn"].as_str().unwrap(), message["Timestamp"].as_str().unwrap());
        Case { topics: vec![topic.to_owned()], now: sent.to_owned(), ..case(&format!("SHA1: {name}"), &message) }
    });
    let refused = |name: &str, reason: &str, body: &Value| Case {
        verdict: Verdict::Refuse,
        reason: Some(reason.to_owned()),
        ..case(name, body)
    };
    let mut all = accepted.to_vec();
    all.push(Case {
        signature_versions: vec!["2".to_owned()],
        verdict: Verdict::Refuse,
        reason: Some("Sha1".to_owned()),
        name: "SHA1 where only SHA256 is accepted".to_owned(),
        ..version_1[0].clone()
    });
    all.extend(version_1);
    for (field, value) in [
        ("Message", "hello!"),
        ("MessageId", "da41e39f-ea4d-435a-b922-c6aae3915ebf"),
        ("Subject", "added"),
        ("Timestamp", "2026-03-06T20:00:26.894Z"),
        ("SignatureVersion", "1"),
    ] {
        all.push(refused(&format!("{field} was changed"), "Signature", &with(good.clone(), field, value)));
    }
    all.push(refused(
        "Subject was emptied",
        "Signature",
        &with(signed(with(message("hello"), "Subject", "a")), "Subject", ""),
    ));
    all.push(refused(
        "the type was changed",
        "Signature",
        &with(signed(confirmation("SubscriptionConfirmation")), "Type", "UnsubscribeConfirmation"),
    ));
    for (name, reason, field, value) in [
        ("another topic", "TopicNotAllowed", "TopicArn", json!("arn:aws:sns:us-east-1:123456789012:other")),
        ("version 3", "SignatureVersion", "SignatureVersion", json!("3")),
        ("the signature is no base64", "SignatureEncoding", "Signature", json!("EXAMPLE")),
        ("the signature is too short", "SignatureLength", "Signature", json!("AAAA")),
        ("no time", "Timestamp", "Timestamp", json!("yesterday")),
        ("no signature", "Unsigned", "Signature", Value::Null),
        (
            "a URL of another host",
            "CertificateUrl",
            "SigningCertURL",
            json!("https://example.com/SimpleNotificationService-0.pem"),
        ),
        (
            "a URL without TLS",
            "CertificateUrl",
            "SigningCertURL",
            json!("http://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem"),
        ),
        (
            "a bucket that is called like SNS",
            "CertificateUrl",
            "SigningCertURL",
            json!("https://sns.s3-us-west-2.amazonaws.com/SimpleNotificationService-0.pem"),
        ),
        (
            "a host that ends like SNS",
            "CertificateUrl",
            "SigningCertURL",
            json!("https://sns.us-east-1.amazonaws.com.example.com/SimpleNotificationService-0.pem"),
        ),
        (
            "user info before the host",
            "CertificateUrl",
            "SigningCertURL",
            json!("https://sns.us-east-1.amazonaws.com@example.com/SimpleNotificationService-0.pem"),
        ),
        (
            "another path at the host",
            "CertificateUrl",
            "SigningCertURL",
            json!("https://sns.us-east-1.amazonaws.com/?Action=ListTopics&x=.pem"),
        ),
        (
            "a URL of another Region",
            "CertificateRegion",
            "SigningCertURL",
            json!("https://sns.us-west-2.amazonaws.com/SimpleNotificationService-0.pem"),
        ),
    ] {
        all.push(refused(name, reason, &with(good.clone(), field, value)));
    }
    for (name, reason, certificate) in [
        ("a certificate of another name", "CertificateInvalid", "other-name"),
        ("a certificate of other DNS names", "CertificateInvalid", "other-dns-name"),
        ("the certificate of an authority", "CertificateInvalid", "authority"),
        ("a certificate with an elliptic curve", "CertificateInvalid", "elliptic-curve"),
    ] {
        all.push(Case { certificate: Some(certificate.to_owned()), ..refused(name, reason, &good) });
    }
    let old = signed(notification(TOPIC, "hello", "2019-06-01T00:00:00.000Z"));
    all.extend([
        Case { now: "2026-04-15T20:00:26.894Z".to_owned(), ..refused("older than 40 days", "TooOld", &good) },
        Case {
            channel: "https".to_owned(),
            now: "2026-03-06T21:15:26.894Z".to_owned(),
            ..refused("older than 75 minutes over HTTPS", "TooOld", &good)
        },
        Case { now: "2026-03-06T19:45:26.892Z".to_owned(), ..refused("more than 15 minutes ahead", "InFuture", &good) },
        Case {
            now: "2019-06-01T00:01:00.000Z".to_owned(),
            ..refused("before the certificate is valid", "CertificateNotValid", &old)
        },
    ]);
    let retry = |name: &str, certificate: Option<&str>| Case {
        verdict: Verdict::Retry,
        certificate: certificate.map(str::to_owned),
        reason: Some("CertificateUnavailable".to_owned()),
        ..case(name, &good)
    };
    all.extend([
        retry("the host does not answer", None),
        retry("the page of a proxy", Some("page")),
        retry("half a certificate", Some("half")),
    ]);
    let malformed = |name: &str, reason: &str, body: String| Case {
        verdict: Verdict::Malformed,
        reason: Some(reason.to_owned()),
        ..case(name, body)
    };
    let text = good.text();
    all.extend([
        malformed("no JSON", "Json", "hello".to_owned()),
        malformed("a raw delivery that is JSON", "Missing", r#"{"order": 1}"#.to_owned()),
        malformed("an array", "Unexpected", format!("[{text}]")),
        malformed("no message id", "Missing", with(good.clone(), "MessageId", Value::Null).text()),
        malformed("a message that is no text", "Unexpected", with(good.clone(), "Message", json!({"a": 1})).text()),
        malformed("a field twice", "Unexpected", text.replacen('{', r#"{"Message":"forged","#, 1)),
        malformed(
            "a field in both spellings",
            "Unexpected",
            text.replacen('{', r#"{"SigningCertUrl":"https://example.com/","#, 1),
        ),
        malformed("lines moved into the message id", "Unexpected", with(good, "MessageId", "a\nSubject\nb").text()),
    ]);
    all
}

fn certificates() -> BTreeMap<String, String> {
    let names =
        ["dns-name-of-sns", "cn-bmp-string", "other-dns-name"].map(|name| (name, file(&format!("names/{name}.pem"))));
    let refused =
        ["other-name", "authority", "elliptic-curve"].map(|name| (name, file(&format!("refused/{name}.pem"))));
    let half = SIGNING_CERTIFICATE_PEM[..SIGNING_CERTIFICATE_PEM.len() / 2].to_owned();
    let others = [("test", SIGNING_CERTIFICATE_PEM.to_owned()), ("page", "<html>".to_owned()), ("half", half)];
    names.into_iter().chain(refused).chain(others).map(|(name, file)| (name.to_owned(), file)).collect()
}

/// The name of a variant: what stands before its fields.
fn variant(error: &impl std::fmt::Debug) -> String {
    format!("{error:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()
}

async fn judge(case: &Case, certificates: &BTreeMap<String, String>) -> (Verdict, Option<String>) {
    let envelope = match Envelope::from_json(&case.body) {
        Ok(envelope) => envelope,
        Err(error) => return (Verdict::Malformed, Some(variant(&error))),
    };
    let source = StaticCertificates::of(case.certificate.as_ref().map_or("", |name| &certificates[name]));
    if case.certificate.is_none() {
        source.answer(0);
    }
    let versions = case.signature_versions.iter().map(|version| version.parse::<SignatureVersion>().unwrap());
    let settings = Settings {
        topics: Topics::only(case.topics.iter().map(|topic| topic.parse().unwrap())).unwrap(),
        min_signature_version: versions.min().unwrap(),
        ..Settings::default()
    };
    let channel = match case.channel.as_str() {
        "lambda" => Channel::Lambda,
        "sqs" => Channel::Sqs,
        "https" => Channel::Https,
        other => panic!("{other}"),
    };
    let now = OffsetDateTime::parse(&case.now, &Rfc3339).unwrap();
    match Verifier::with_source(settings, source).verify(envelope, channel, now).await {
        Ok(_) => (Verdict::Accept, None),
        Err(error) if error.is_transient() => (Verdict::Retry, Some(variant(&error))),
        Err(error) => (Verdict::Refuse, Some(variant(&error))),
    }
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "how the file is written; not a setting of a function")]
async fn each_message_gets_the_verdict_of_the_file_and_the_file_is_what_is_generated() {
    let generated = Vectors { certificates: certificates(), cases: cases() };
    if std::env::var("WRITE_VECTORS").is_ok_and(|value| value == "1") {
        fs::write(FILE, serde_json::to_string_pretty(&generated).unwrap() + "\n").unwrap();
    }
    let vectors: Vectors = serde_json::from_str(&fs::read_to_string(FILE).unwrap()).unwrap();
    for case in &vectors.cases {
        let judged = judge(case, &vectors.certificates).await;
        assert_eq!(judged, (case.verdict, case.reason.clone()), "{}", case.name);
    }
    assert!(vectors == generated, "{FILE} is out of date: WRITE_VECTORS=1 cargo test -p gatehouse-sns --test vectors");
}
