//! What is refused before anything is fetched, and the settings that decide it.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect should stop there")]

mod common;

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{chain, real};
use gatehouse_sns::testing::{Signer, StaticCertificates, notification};
use gatehouse_sns::{
    CertificateUrl, Channel, Envelope, Mode, Settings, SignatureVersion, TopicArn, Topics, Verified, Verifier,
    VerifyError,
};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:example";
const SENT: &str = "2026-03-06T20:00:26.893Z";
const SENT_AT: OffsetDateTime = datetime!(2026-03-06 20:00:26.893 UTC);

fn signed() -> Value {
    Signer::new().sign(notification(TOPIC, "hello", SENT))
}

/// The verdict, and how often a certificate was fetched for it.
async fn verdict(
    settings: Settings,
    message: &Value,
    channel: Channel,
    now: OffsetDateTime,
) -> (Result<Verified, VerifyError>, usize) {
    let source = StaticCertificates::new();
    let verifier = Verifier::with_source(settings, source.clone());
    let verdict = verifier.verify(Envelope::from_value(message).unwrap(), channel, now).await;
    (verdict, source.fetches())
}

/// Refused with this error, all its causes joined, and nothing was fetched.
async fn assert_refused_unfetched(settings: Settings, message: &Value, expected: &str) {
    let (verdict, fetches) = verdict(settings, message, Channel::Lambda, SENT_AT).await;
    assert_eq!(chain(&verdict.unwrap_err()), expected);
    assert_eq!(fetches, 0, "{message}");
}

/// The rows of a table of the real inputs, without its heading.
fn rows(table: &str) -> Vec<Vec<String>> {
    let Some(path) = real(table) else { return Vec::new() };
    let text = fs::read_to_string(path).unwrap();
    let rows: Vec<Vec<String>> =
        text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    assert!(!rows.is_empty(), "{table} is empty");
    rows
}

#[tokio::test]
async fn every_url_of_the_table_gets_its_verdict_and_refused_ones_are_not_fetched() {
    for row in rows("sns-negative/urls.tsv") {
        let [url, expected, why] = &row[..] else { panic!("{row:?}") };
        let parsed = CertificateUrl::parse(url);
        assert_eq!(parsed.is_ok(), expected == "accept", "{url}: {why}");
        // The topic is in the Region of the URL where there is one, so that nothing but the URL decides.
        let region = parsed.as_ref().map_or("us-east-1", |url| url.region().as_str());
        let partition = parsed.as_ref().map_or("aws", |url| url.region().partition());
        let topic = format!("arn:{partition}:sns:{region}:123456789012:example");
        let mut message = Signer::new().sign(notification(&topic, "hello", SENT));
        message["SigningCertURL"] = url.as_str().into();
        let (verdict, fetches) = verdict(Settings::default(), &message, Channel::Lambda, SENT_AT).await;
        assert_eq!(fetches, usize::from(parsed.is_ok()), "{url}: {why}");
        assert_eq!(matches!(verdict, Err(VerifyError::CertificateUrl(_))), parsed.is_err(), "{url}: {verdict:?}");
    }
}

#[tokio::test]
async fn no_disguise_of_a_url_is_fetched() {
    const FILE: &str = "SimpleNotificationService-0a1b.pem";
    let disguises = [
        format!("http://sns.us-east-1.amazonaws.com/{FILE}"),
        format!("https:sns.us-east-1.amazonaws.com/{FILE}"),
        format!("https:///sns.us-east-1.amazonaws.com/{FILE}"),
        format!("https:\\\\sns.us-east-1.amazonaws.com/{FILE}"),
        format!(" https://sns.us-east-1.amazonaws.com/{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com/{FILE} "),
        format!("https://sns.us-east-1.amazonaws.com/{FILE}\t"),
        format!("ht\ttps://sns.us-east-1.amazonaws.com/{FILE}"),
        format!("https://s\tns.us-east-1.amazonaws.com/{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com\r/{FILE}"),
        format!("https://user@sns.us-east-1.amazonaws.com/{FILE}"),
        format!("https://user:password@sns.us-east-1.amazonaws.com/{FILE}"),
        format!("https://@sns.us-east-1.amazonaws.com/{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com:8443/{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com:/{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com:0443/{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com:443:443/{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com./{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com//{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com/./{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com/a/../{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com/%2e%2e/{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com\\{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com/{FILE}#fragment"),
        format!("https://sns.us-east-1.amazonaws.com/{FILE}?"),
        format!("https://sns.us-east-1.amazonaws.com/{FILE}/"),
        format!("https://sns.us-east-1.amazonaws.com/{FILE}/x.pem"),
        format!("https://sns%2eus-east-1.amazonaws.com/{FILE}"),
        format!("https://sns。us-east-1.amazonaws.com/{FILE}"),
        format!("https://sns.us-ea\u{17f}t-1.amazonaws.com/{FILE}"),
        format!("https://ſns.us-east-1.amazonaws.com/{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com.cn/{FILE}"),
        format!("https://sns.cn-north-1.amazonaws.com/{FILE}"),
        format!("https://sns.us-iso-east-1.amazonaws.com/{FILE}"),
        format!("https://sns.us-east-1.c2s.ic.gov/{FILE}"),
        format!("https://sns.us-east-1/{FILE}"),
        format!("https://sns..amazonaws.com/{FILE}"),
        format!("https://sns.us-east-1..amazonaws.com/{FILE}"),
        format!("https://sns-us-east-1.amazonaws.com/{FILE}"),
        format!("https://sns.compute-1.amazonaws.com/{FILE}"),
        format!("https://sns.s3-website-us-east-1.amazonaws.com/{FILE}"),
        format!("https://sns.us-east-1.s3.amazonaws.com/{FILE}"),
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-.pem".to_owned(),
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-a%20b.pem".to_owned(),
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-a-b.pem".to_owned(),
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-é.pem".to_owned(),
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-a.pem.pem".to_owned(),
        "https://sns.us-east-1.amazonaws.com/simplenotificationservice-a.pem".to_owned(),
        "https://sns.us-east-1.amazonaws.com/".to_owned(),
        "https://sns.us-east-1.amazonaws.com".to_owned(),
    ];
    for url in disguises {
        let mut message = signed();
        message["SigningCertURL"] = url.as_str().into();
        let (verdict, fetches) = verdict(Settings::default(), &message, Channel::Lambda, SENT_AT).await;
        assert!(matches!(verdict, Err(VerifyError::CertificateUrl(_))), "{url}: {verdict:?}");
        assert_eq!(fetches, 0, "{url}");
    }
}

#[tokio::test]
async fn the_error_for_a_url_names_the_part_that_is_wrong() {
    let mut message = signed();
    message["SigningCertURL"] = "https://example.com/SimpleNotificationService-0a1b.pem".into();
    assert_refused_unfetched(
        Settings::default(),
        &message,
        "refusing to fetch the signing certificate: \
         the field SigningCertURL is \"https://example.com/SimpleNotificationService-0a1b.pem\": \
         expected https://sns.<region>.<dns suffix>/SimpleNotificationService-<letters and digits>.pem, \
         but the host is another",
    )
    .await;
}

#[tokio::test]
async fn the_certificate_of_another_region_is_not_fetched() {
    let mut message = signed();
    message["SigningCertURL"] = "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-0a1b.pem".into();
    assert_refused_unfetched(
        Settings::default(),
        &message,
        "the field SigningCertURL names the Region us-west-2: expected us-east-1, that of the TopicArn",
    )
    .await;
}

#[tokio::test]
async fn a_message_without_signature_is_refused() {
    for field in ["SignatureVersion", "Signature", "SigningCertURL"] {
        let mut message = signed();
        message.as_object_mut().unwrap().remove(field);
        let expected = format!(
            "the field {field} is missing: expected a signed message; FIFO topics do not sign, so use a standard topic"
        );
        assert_refused_unfetched(Settings::default(), &message, &expected).await;
    }
}

#[tokio::test]
async fn other_versions_are_refused() {
    for version in ["3", "0", "", "1.0", "v2", " 1"] {
        let mut message = signed();
        message["SignatureVersion"] = version.into();
        let expected = format!("the field SignatureVersion is {version:?}: expected \"1\" or \"2\"");
        assert_refused_unfetched(Settings::default(), &message, &expected).await;
    }
}

#[tokio::test]
async fn a_signature_that_is_not_base64_is_refused() {
    let mut message = signed();
    message["Signature"] = "EXAMPLE".into();
    assert_refused_unfetched(
        Settings::default(),
        &message,
        "the field Signature is \"EXAMPLE\": expected base64; samples with the word EXAMPLE need SNS_VERIFY=off: \
         Invalid padding",
    )
    .await;
}

#[tokio::test]
async fn a_timestamp_that_is_no_time_is_refused() {
    for timestamp in ["", "yesterday", "2026-03-06", "2026-13-06T20:00:26.893Z", "2026-03-06T20:00:26.893"] {
        let message = Signer::new().sign(notification(TOPIC, "hello", timestamp));
        let (verdict, fetches) = verdict(Settings::default(), &message, Channel::Lambda, SENT_AT).await;
        assert!(matches!(verdict, Err(VerifyError::Timestamp { .. })), "{timestamp}: {verdict:?}");
        assert_eq!(fetches, 0);
    }
}

#[tokio::test]
async fn a_topic_arn_that_is_none_is_refused() {
    for topic in [
        "arn:aws:sns:EXAMPLE",
        "arn:aws:sqs:us-east-1:123456789012:example",
        "arn:aws:sns:us-east-1:123456789012:example:subscription",
        "arn:aws-cn:sns:us-east-1:123456789012:example",
        "arn:aws:sns:us-east-1:12345678901:example",
        "arn:aws:sns:us-east-1:12345678901x:example",
        "arn:aws:sns:us-east-1:123456789012:",
        "arn:aws:sns:us-east-1:123456789012:exa mple",
    ] {
        let mut message = signed();
        message["TopicArn"] = topic.into();
        let (verdict, fetches) = verdict(Settings::default(), &message, Channel::Lambda, SENT_AT).await;
        assert!(matches!(verdict, Err(VerifyError::TopicArn { .. })), "{topic}: {verdict:?}");
        assert_eq!(fetches, 0);
    }
}

#[tokio::test]
async fn a_topic_that_is_not_on_the_list_is_refused_whether_signatures_are_checked_or_not() {
    let topics: Vec<TopicArn> = ["arn:aws:sns:us-east-1:123456789012:one", "arn:aws:sns:us-east-1:123456789012:two"]
        .map(|topic| topic.parse().unwrap())
        .to_vec();
    for mode in [Mode::Enforce, Mode::Off] {
        let topics = Topics::only(topics.clone()).unwrap();
        let settings = Settings { mode, topics, ..Settings::default() };
        assert_refused_unfetched(
            settings.clone(),
            &signed(),
            "the field TopicArn is \"arn:aws:sns:us-east-1:123456789012:example\": expected one of TOPIC_ARNS, which has \
             arn:aws:sns:us-east-1:123456789012:one, arn:aws:sns:us-east-1:123456789012:two; add it if it is wanted",
        )
        .await;
        let listed = Signer::new().sign(notification("arn:aws:sns:us-east-1:123456789012:two", "hello", SENT));
        assert!(verdict(settings, &listed, Channel::Lambda, SENT_AT).await.0.is_ok());
    }
}

#[tokio::test]
async fn age_decides_by_channel_and_setting() {
    const HOUR: Duration = Duration::HOUR;
    const DAY: Duration = Duration::DAY;
    const INSTANT: Duration = Duration::MILLISECOND;
    let cases = [
        (Channel::Lambda, None, DAY * 40, true),
        (Channel::Lambda, None, DAY * 40 + INSTANT, false),
        (Channel::Sqs, None, DAY * 40, true),
        (Channel::Sqs, None, DAY * 40 + INSTANT, false),
        (Channel::Https, None, Duration::minutes(75), true),
        (Channel::Https, None, Duration::minutes(75) + INSTANT, false),
        (Channel::Https, Some(DAY), DAY, true),
        (Channel::Https, Some(DAY), DAY + INSTANT, false),
        (Channel::Lambda, Some(HOUR), HOUR, true),
        (Channel::Lambda, Some(HOUR), HOUR + INSTANT, false),
        (Channel::Lambda, None, Duration::minutes(-15), true),
        (Channel::Lambda, None, Duration::minutes(-15) - INSTANT, false),
        (Channel::Https, None, Duration::minutes(-15) - INSTANT, false),
    ];
    for (channel, max_age, age, accepted) in cases {
        let topics = Topics::only([TOPIC.parse().unwrap()]).unwrap();
        let settings = Settings { max_age, topics, ..Settings::default() };
        let (verdict, fetches) = verdict(settings, &signed(), channel, SENT_AT + age).await;
        let case = format!("{channel:?}, limit {max_age:?}, age {age}: {verdict:?}");
        assert_eq!(fetches, usize::from(accepted), "{case}");
        match verdict {
            Ok(_) => assert!(accepted, "{case}"),
            Err(VerifyError::TooOld { .. }) => assert!(!accepted && age.is_positive(), "{case}"),
            Err(VerifyError::InFuture { .. }) => assert!(!accepted && age.is_negative(), "{case}"),
            Err(_) => panic!("{case}"),
        }
    }
}

#[tokio::test]
async fn a_message_over_https_is_refused_where_no_topics_are_named() {
    for mode in [Mode::Enforce, Mode::Off] {
        let settings = Settings { mode, ..Settings::default() };
        let (verdict, fetches) = verdict(settings, &signed(), Channel::Https, SENT_AT).await;
        assert_eq!(
            verdict.unwrap_err().to_string(),
            "a message over HTTPS is refused while TOPIC_ARNS is unset: expected the ARNs of the topics to accept"
        );
        assert_eq!(fetches, 0);
    }
}

#[tokio::test]
async fn a_signature_of_an_impossible_length_is_refused_before_anything_is_fetched() {
    for (bytes, possible) in [(0, false), (255, false), (256, true), (1_024, true), (1_025, false)] {
        let mut message = signed();
        message["Signature"] = BASE64_STANDARD.encode(vec![7; bytes]).into();
        let (verdict, fetches) = verdict(Settings::default(), &message, Channel::Lambda, SENT_AT).await;
        let error = verdict.unwrap_err();
        assert_eq!(matches!(error, VerifyError::Signature { .. }), possible, "{bytes}: {error:?}");
        assert_eq!(fetches, usize::from(possible), "{bytes}");
        assert!(!error.is_transient());
        if !possible {
            assert_eq!(
                error.to_string(),
                format!(
                    "the field Signature has {bytes} bytes: expected 256 to 1024, as RSA keys of 2048 to 8192 bits make"
                )
            );
        }
    }
}

#[tokio::test]
async fn sha1_is_refused_where_the_settings_say_so() {
    let file = format!("{}/testing/messages/notification-v1.json", env!("CARGO_MANIFEST_DIR"));
    let version_1: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let version_2 = Signer::new().sign(version_1.clone());
    let now = OffsetDateTime::parse(version_1["Timestamp"].as_str().unwrap(), &Rfc3339).unwrap();
    for (min_signature_version, message, accepted) in [
        (SignatureVersion::V1, &version_1, true),
        (SignatureVersion::V1, &version_2, true),
        (SignatureVersion::V2, &version_1, false),
        (SignatureVersion::V2, &version_2, true),
    ] {
        let settings = Settings { min_signature_version, ..Settings::default() };
        for channel in [Channel::Lambda, Channel::Sqs] {
            let (verdict, fetches) = verdict(settings.clone(), message, channel, now).await;
            assert_eq!((verdict.is_ok(), fetches), (accepted, usize::from(accepted)), "{min_signature_version:?}");
        }
    }
    let settings = Settings { min_signature_version: SignatureVersion::V2, ..Settings::default() };
    let error = verdict(settings, &version_1, Channel::Lambda, now).await.0.unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(
        error.to_string(),
        format!(
            "the field SignatureVersion is \"1\", which is SHA1: expected \"2\", as SNS_SIGNATURE_VERSIONS says; let the \
             topic sign with SHA256: aws sns set-topic-attributes --topic-arn {} --attribute-name SignatureVersion \
             --attribute-value 2",
            version_1["TopicArn"].as_str().unwrap()
        )
    );
}

/// What deliveries look like beside the textbook: read, or refused with the field, what it holds, what was expected.
#[test]
fn deliveries_are_read_tolerantly_and_refused_by_name() {
    let event = |sns: Value| json!({"Records": [{"Sns": signed()}, {"Sns": sns}]});
    let with = |field: &str, value: Value| {
        let mut message = signed();
        message[field] = value;
        message
    };
    let mut fifo = notification("arn:aws:sns:us-east-1:123456789012:example.fifo", "hello", SENT);
    fifo["SequenceNumber"] = "10000000000000000000".into();
    let cases: &[(Value, Result<usize, &str>)] = &[
        (event(signed()), Ok(2)),
        (event(fifo), Ok(2)),
        (event(with("Subject", Value::Null)), Ok(2)),
        (event(with("Subject", "x".repeat(4_096).into())), Ok(2)),
        (event(with("MessageAttributes", json!({"a": {"Type": "String", "Value": "b"}}))), Ok(2)),
        (
            json!(null),
            Err("the field Records is missing: expected an array of records, as SNS sends to a Lambda function"),
        ),
        (
            json!({"Records": {}}),
            Err("the field Records is not an array: expected an array of records, as SNS sends to a Lambda function"),
        ),
        (
            json!({"Records": []}),
            Err("the field Records is empty: expected an array of records, as SNS sends to a Lambda function"),
        ),
        (event(Value::Null), Err("the field Records[1].Sns is missing: expected an SNS message")),
        (
            event(json!("secret")),
            Err("the field Records[1].Sns is a text: expected an SNS message, which is a JSON object"),
        ),
        (
            event(json!({})),
            Err(
                "the field Records[1].Sns.Type is missing: expected Notification, SubscriptionConfirmation or UnsubscribeConfirmation",
            ),
        ),
        (
            event(with("Type", "notification".into())),
            Err(
                "the field Records[1].Sns.Type is \"notification\": expected Notification, SubscriptionConfirmation or UnsubscribeConfirmation",
            ),
        ),
        (
            event(with("Type", "SubscriptionConfirmation".into())),
            Err("the field Records[1].Sns.Token is missing: expected one line of text"),
        ),
        (
            event(with("Message", json!({"not": "text"}))),
            Err("the field Records[1].Sns.Message is an object: expected text"),
        ),
        (
            event(with("SignatureVersion", json!(2))),
            Err("the field Records[1].Sns.SignatureVersion is 2: expected text"),
        ),
        (
            event(with("Subject", "a\nb".into())),
            Err("the field Records[1].Sns.Subject is text with a line break: expected one line of text"),
        ),
        (
            event(with("MessageId", "x".repeat(4_097).into())),
            Err("the field Records[1].Sns.MessageId is 4097 bytes long: expected at most 4096 bytes"),
        ),
        (
            event(with("SigningCertUrl", "https://example.com/".into())),
            Err("the field Records[1].Sns.SigningCertURL is given twice: expected each field once"),
        ),
    ];
    for (event, expected) in cases {
        let read = gatehouse_sns::envelopes_of_lambda_event(event);
        let read = read.map(|envelopes| envelopes.len()).map_err(|error| error.to_string());
        assert_eq!(read.as_ref().map_err(String::as_str), expected.as_ref().map_err(|error| *error), "{event}");
    }
}

#[test]
fn a_field_that_is_given_twice_is_refused() {
    let body = signed().to_string();
    let confirmation = {
        let file = format!("{}/testing/messages/subscription-confirmation-v1.json", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(file).unwrap()
    };
    let twice = |body: &str, field: &str, value: &str| {
        let body = body.trim_start().strip_prefix('{').unwrap();
        format!("{{\"{field}\": {value}, {body}")
    };
    for field in
        ["Type", "MessageId", "TopicArn", "Message", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL"]
    {
        for value in [json!("first"), json!(signed()[field]), json!(null), json!(7), json!(["a"])] {
            let error = Envelope::from_json(twice(&body, field, &value.to_string())).unwrap_err();
            assert_eq!(error.to_string(), format!("the field {field} is given twice: expected each field once"));
        }
    }
    for field in ["Token", "SubscribeURL"] {
        let error = Envelope::from_json(twice(&confirmation, field, "\"first\"")).unwrap_err();
        assert_eq!(error.to_string(), format!("the field {field} is given twice: expected each field once"));
    }
    let subject = twice(&twice(&body, "Subject", "null"), "Subject", "\"a\"");
    let error = Envelope::from_json(subject).unwrap_err();
    assert_eq!(error.to_string(), "the field Subject is given twice: expected each field once");
    // A key is compared as it is read, not as it is written.
    let escaped = twice(&body, "\\u004dessage", "\"first\"");
    let error = Envelope::from_json(escaped).unwrap_err();
    assert_eq!(error.to_string(), "the field Message is given twice: expected each field once");
    // In either spelling.
    let spelled = twice(&body, "SigningCertUrl", &signed()["SigningCertURL"].to_string());
    let error = Envelope::from_json(spelled).unwrap_err();
    assert_eq!(error.to_string(), "the field SigningCertURL is given twice: expected each field once");
    // What is no field of a message may be there as often as it likes.
    Envelope::from_json(twice(&twice(&body, "Other", "1"), "Other", "[2]")).unwrap();
}

#[test]
fn a_body_and_a_value_are_read_alike() {
    for (field, value, seen) in [
        ("Message", json!(true), "true"),
        ("Message", json!(-7), "-7"),
        ("Message", json!(7), "7"),
        ("Message", json!(0.5), "0.5"),
        ("Message", json!([1, [2], {"a": "b"}]), "an array"),
        ("Message", json!({"a": {"b": []}}), "an object"),
        ("Type", json!({}), "an object"),
    ] {
        let mut message = signed();
        message[field] = value;
        let expected = format!("the field {field} is {seen}: expected text");
        assert_eq!(Envelope::from_value(&message).unwrap_err().to_string(), expected);
        assert_eq!(Envelope::from_json(message.to_string()).unwrap_err().to_string(), expected);
    }
    for (message, seen) in [("null", "null"), ("[]", "an array"), ("7", "7"), ("\"a\\u0020b\"", "a text")] {
        let expected =
            format!("the field (the whole message) is {seen}: expected an SNS message, which is a JSON object");
        assert_eq!(Envelope::from_json(message).unwrap_err().to_string(), expected);
        let value: Value = serde_json::from_str(message).unwrap();
        assert_eq!(Envelope::from_value(&value).unwrap_err().to_string(), expected);
    }
    let mut message = signed();
    message["Message"] = "quotes \" and\nlines and \u{1f600}".into();
    assert_eq!(Envelope::from_json(message.to_string()).unwrap(), Envelope::from_value(&message).unwrap());
    let lambda = message.to_string().replace("SigningCertURL", "SigningCertUrl");
    assert_eq!(Envelope::from_json(lambda).unwrap(), Envelope::from_value(&message).unwrap());
}

#[test]
fn a_body_with_more_after_the_message_is_refused() {
    for more in ["}", "{}", " x", ","] {
        let error = Envelope::from_json(format!("{}{more}", signed())).unwrap_err();
        assert!(chain(&error).contains("trailing characters"), "{}", chain(&error));
    }
    Envelope::from_json(format!(" {}\r\n", signed())).unwrap();
}

#[test]
fn a_body_that_is_not_json_is_refused() {
    let error = Envelope::from_json("an alarm rang").unwrap_err();
    assert_eq!(
        chain(&error),
        "reading an SNS message, which is a JSON object (is raw message delivery on? turn it off): \
         expected value at line 1 column 1"
    );
    let error = Envelope::from_json("\"an alarm rang\"").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the field (the whole message) is a text: expected an SNS message, which is a JSON object"
    );
}
