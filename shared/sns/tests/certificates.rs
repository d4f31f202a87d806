//! What a certificate must be before a signature made with it counts.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect should stop there")]

mod common;

use std::fs;

use common::{chain, real};
use gatehouse_sns::testing::{
    self, SIGNING_CERTIFICATE_PEM, SIGNING_KEY_PEM, Signer, StaticCertificates, notification,
};
use gatehouse_sns::{
    Certificate, CertificateError, Channel, Envelope, Region, Settings, Topics, Verified, Verifier, VerifyError,
    signing_common_names,
};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Verifies a message sent at `timestamp` to a topic of `region`, at that time, with this file as its certificate.
async fn verify(file: &str, region: &str, timestamp: &str) -> Result<Verified, VerifyError> {
    let partition = region_of(region).partition();
    let topic = format!("arn:{partition}:sns:{region}:123456789012:example");
    let message = Signer::new().sign(notification(&topic, "hello", timestamp));
    let verifier = Verifier::with_source(Settings::default(), StaticCertificates::of(file));
    let now = OffsetDateTime::parse(timestamp, &Rfc3339).unwrap();
    verifier.verify(Envelope::from_value(&message).unwrap(), Channel::Lambda, now).await
}

fn region_of(name: &str) -> Region {
    name.parse().unwrap()
}

fn refused(file: &str) -> String {
    fs::read_to_string(format!("{}/testing/refused/{file}.pem", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn every_region_of_the_table_has_its_common_name_and_no_other_where_it_is_known() {
    let Some(path) = real("sns-negative/cert-common-names.tsv") else { return };
    let table = fs::read_to_string(path).unwrap();
    for line in table.lines().skip(1) {
        let [name, common_name, _source] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let names = signing_common_names(&region_of(name));
        assert_eq!(names[0], common_name, "{name}");
        let is_made_up = ["us-east-9", "foo-bar-1", "cn-northwest-9"].contains(&name);
        assert_eq!(names.len(), if is_made_up { 3 } else { 1 }, "{name}: {names:?}");
    }
}

#[test]
fn a_region_newer_than_the_table_may_use_all_known_forms_of_names() {
    let names = signing_common_names(&region_of("eu-north-2"));
    assert_eq!(names, ["sns.amazonaws.com", "sns-signing.eu-north-2.amazonaws.com", "sns-eu-north-2.amazonaws.com"]);
    let names = signing_common_names(&region_of("us-iso-west-1"));
    assert_eq!(names, ["sns.c2s.ic.gov", "sns-signing.us-iso-west-1.c2s.ic.gov", "sns-us-iso-west-1.c2s.ic.gov"]);
}

#[tokio::test]
async fn a_certificate_with_the_name_of_another_region_is_refused() {
    verify(SIGNING_CERTIFICATE_PEM, "us-east-1", "2026-03-06T20:00:26.893Z").await.unwrap();
    for region in ["me-south-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"] {
        let error = verify(SIGNING_CERTIFICATE_PEM, region, "2026-03-06T20:00:26.893Z").await.unwrap_err();
        let expected = signing_common_names(&region_of(region)).join(" or ");
        let text = chain(&error);
        let end =
            format!("the certificate was issued to \"sns.amazonaws.com\": expected {expected} in the Region {region}");
        assert!(text.starts_with("the certificate at https://sns.") && text.ends_with(&end), "{text}");
    }
}

#[tokio::test]
async fn a_certificate_counts_from_its_first_second_to_its_last() {
    let cases = [
        ("2019-12-31T23:59:59.999Z", false),
        ("2020-01-01T00:00:00.000Z", true),
        ("2120-01-01T00:00:00.000Z", true),
        ("2120-01-01T00:00:00.001Z", false),
    ];
    for (timestamp, accepted) in cases {
        match verify(SIGNING_CERTIFICATE_PEM, "us-east-1", timestamp).await {
            Ok(_) => assert!(accepted, "{timestamp}"),
            Err(VerifyError::CertificateNotValid { .. }) => assert!(!accepted, "{timestamp}"),
            Err(error) => panic!("{timestamp}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_file_that_holds_anything_but_one_leaf_is_refused() {
    let half = &SIGNING_CERTIFICATE_PEM[..SIGNING_CERTIFICATE_PEM.len() / 2];
    let body = |pem: &str| pem.lines().filter(|line| !line.starts_with('-')).collect::<Vec<_>>().join("\n");
    let block = |content: &str| format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n");
    let one = "expected one PEM block, CERTIFICATE";
    let unreadable = [
        (String::new(), format!("the file holds 0 PEM blocks: {one}")),
        ("<html>".to_owned(), format!("the file holds 0 PEM blocks: {one}")),
        (half.to_owned(), "reading the certificate as PEM: incomplete PEM".to_owned()),
        (block("***"), "reading the certificate as PEM: base64 decode error".to_owned()),
        (block("AAAA"), "reading the certificate as X.509: ".to_owned()),
        (block(&body(SIGNING_KEY_PEM)), "reading the certificate as X.509: ".to_owned()),
        (SIGNING_CERTIFICATE_PEM.repeat(2), format!("the file holds 2 PEM blocks: {one}")),
        (SIGNING_KEY_PEM.to_owned(), format!("the file holds the PEM block \"PRIVATE KEY\": {one}")),
    ];
    let invalid = [
        (refused("authority"), "the certificate is that of a certificate authority: expected a leaf"),
        (
            refused("elliptic-curve"),
            "reading the public key of the certificate, which is RSA in those of SNS: WrongAlgorithm",
        ),
        (
            refused("two-names"),
            "the certificate has no DNS name and 2 common names: expected a DNS name, or one common name",
        ),
        (
            refused("other-name"),
            "the certificate was issued to \"sns.amazonaws.com.example.com\": \
             expected sns.amazonaws.com in the Region us-east-1",
        ),
    ]
    .map(|(file, expected)| (file, expected.to_owned()));
    let url = format!("https://sns.us-east-1.amazonaws.com{}", testing::SIGNING_CERTIFICATE_PATH);
    for (transient, cases) in [(true, &unreadable[..]), (false, &invalid)] {
        for (file, expected) in cases {
            let error = verify(file, "us-east-1", "2026-03-06T20:00:26.893Z").await.unwrap_err();
            let start = if transient {
                format!("no signing certificate from {url}; the message must be delivered again: {expected}")
            } else {
                format!("the certificate at {url} is not one that SNS signs with: {expected}")
            };
            let text = chain(&error);
            assert!(text.starts_with(&start), "{start}\n{text}");
            assert_eq!(error.is_transient(), transient, "{text}");
        }
    }
}

#[tokio::test]
async fn the_certificate_of_another_key_does_not_fit() {
    let Some(folder) = real("sns-signed/java-v2") else { return };
    let file =
        fs::read_to_string(folder.join("SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem")).unwrap();
    let error = verify(&file, "us-west-2", "2026-03-06T20:00:26.893Z").await.unwrap_err();
    assert!(matches!(error, VerifyError::Signature { .. }), "{error:?}");
}

#[test]
fn a_certificate_with_bytes_after_it_is_refused() {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    let base64: String = SIGNING_CERTIFICATE_PEM.lines().filter(|line| !line.starts_with('-')).collect();
    let longer = [BASE64_STANDARD.decode(base64).unwrap(), b"more".to_vec()].concat();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64_STANDARD.encode(longer));
    let error = Certificate::from_pem(pem.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "the file holds 4 bytes after the certificate: expected one PEM block, CERTIFICATE");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_fetched_now_is_asked_for_once_and_the_message_may_come_again() {
    let source = StaticCertificates::new();
    source.fail(true);
    let verifier = Verifier::with_source(Settings::default(), source.clone());
    let message = Signer::new().sign(notification(
        "arn:aws:sns:us-east-1:123456789012:example",
        "hello",
        "2026-03-06T20:00:26.893Z",
    ));
    let now = OffsetDateTime::parse("2026-03-06T20:00:26.893Z", &Rfc3339).unwrap();
    for _ in 0..3 {
        let envelope = Envelope::from_value(&message).unwrap();
        let error = verifier.verify(envelope, Channel::Sqs, now).await.unwrap_err();
        assert_eq!(
            chain(&error),
            "no signing certificate from \
             https://sns.us-east-1.amazonaws.com/SimpleNotificationService-00000000000000000000000000000000.pem; \
             the message must be delivered again: the server answered 503, expected 200; redirects are not followed"
        );
        assert!(error.is_transient());
    }
    assert_eq!(source.fetches(), 1);
    source.fail(false);
    let later = now + time::Duration::seconds(10);
    verifier.verify(Envelope::from_value(&message).unwrap(), Channel::Sqs, later).await.unwrap();
    assert_eq!(source.fetches(), 2);
}

/// 150 messages with invented URLs, and then real ones.
#[tokio::test]
async fn invented_urls_cost_a_few_fetches_and_real_messages_pass() {
    const SENT: &str = "2026-03-06T20:00:26.893Z";
    let sent_at = OffsetDateTime::parse(SENT, &Rfc3339).unwrap();
    let message = Signer::new().sign(notification("arn:aws:sns:us-east-1:123456789012:example", "hello", SENT));
    for known in [true, false] {
        let source = StaticCertificates::new();
        let verifier = Verifier::with_source(Settings::default(), source.clone());
        let verify = async |message: &Value, seconds| {
            let now = sent_at + time::Duration::seconds(seconds);
            verifier.verify(Envelope::from_value(message).unwrap(), Channel::Sqs, now).await
        };
        if known {
            verify(&message, 0).await.unwrap();
        }
        source.answer(404);
        for id in 0..150 {
            let mut invented = message.clone();
            invented["SigningCertURL"] =
                format!("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{id}.pem").into();
            assert!(verify(&invented, 30).await.unwrap_err().is_transient(), "{id}");
        }
        assert!(source.fetches() <= 3, "{}", source.fetches());
        source.answer(200);
        match verify(&message, 30).await {
            Ok(_) => assert!(known),
            Err(error) => assert!(!known && error.is_transient()),
        }
        verify(&message, 50).await.unwrap();
    }
}

/// Not known is not refused: the channels differ in nothing here.
#[tokio::test]
async fn whatever_keeps_the_certificate_from_being_read_is_transient_and_over_when_the_host_is_well() {
    const SENT: &str = "2026-03-06T20:00:26.893Z";
    let topic = "arn:aws:sns:us-east-1:123456789012:example";
    let sent_at = OffsetDateTime::parse(SENT, &Rfc3339).unwrap();
    let message = Signer::new().sign(notification(topic, "hello", SENT));
    for channel in [Channel::Https, Channel::Lambda, Channel::Sqs] {
        for status in (201..=599).chain([0]) {
            let source = StaticCertificates::new();
            let settings = Settings { topics: Topics::only([topic.parse().unwrap()]).unwrap(), ..Settings::default() };
            let verifier = Verifier::with_source(settings, source.clone());
            source.answer(status);
            for (seconds, status, accepted) in [(0, status, false), (9, 200, false), (10, 200, true)] {
                source.answer(status);
                let now = sent_at + time::Duration::seconds(seconds);
                match verifier.verify(Envelope::from_value(&message).unwrap(), channel, now).await {
                    Ok(_) => assert!(accepted, "{channel:?} {status} after {seconds} s"),
                    Err(error) => assert!(!accepted && error.is_transient(), "{channel:?} {status}: {error:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_is_known_by_a_dns_name_or_else_by_its_common_name_in_any_kind_of_text() {
    let file =
        |name: &str| fs::read_to_string(format!("{}/testing/names/{name}.pem", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for name in [
        "cn-printable-string",
        "cn-teletex-string",
        "cn-bmp-string",
        "cn-universal-string",
        "dns-name-of-sns",
        "dns-name-alone",
        "no-dns-name",
    ] {
        verify(&file(name), "us-east-1", "2026-03-06T20:00:26.893Z")
            .await
            .unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
    }
    for (name, expected) in [
        (
            "other-dns-name",
            "the certificate was issued to \"example.com, *.amazonaws.com\": expected sns.amazonaws.com in the Region \
             us-east-1",
        ),
        ("no-name", "the certificate has no DNS name and 0 common names: expected a DNS name, or one common name"),
    ] {
        let error = verify(&file(name), "us-east-1", "2026-03-06T20:00:26.893Z").await.unwrap_err();
        assert!(chain(&error).ends_with(expected), "{name}: {}", chain(&error));
    }
}

/// The test certificate with other bytes in place of some: its own signature is not checked.
fn altered(original: &str, from: &[u8], to: &[u8]) -> Result<Certificate, CertificateError> {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    assert_eq!(from.len(), to.len());
    let base64: String = original.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = BASE64_STANDARD.decode(base64).unwrap();
    let places: Vec<usize> = (0..der.len() - from.len()).filter(|start| der[*start..].starts_with(from)).collect();
    assert!(!places.is_empty());
    for place in places {
        der[place..place + to.len()].copy_from_slice(to);
    }
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64_STANDARD.encode(der));
    Certificate::from_pem(pem.as_bytes())
}

#[test]
fn each_type_of_text_is_read_by_its_own_rules() {
    const NAME: &[u8; 17] = b"sns.amazonaws.com";
    let name = |tag: u8, text: &[u8]| [&[tag, 17], text].concat();
    let region = region_of("us-east-1");
    let read = |tag: u8, text: &[u8]| altered(SIGNING_CERTIFICATE_PEM, &name(0x0c, NAME), &name(tag, text));
    // UTF8String, NumericString, PrintableString, TeletexString, IA5String, VisibleString
    for tag in [0x0c, 0x12, 0x13, 0x14, 0x16, 0x1a] {
        read(tag, NAME).unwrap().check_name(&region).unwrap();
        let error = read(tag, b"sns.amazonaws.org").unwrap().check_name(&region).unwrap_err();
        assert!(error.to_string().starts_with("the certificate was issued to \"sns.amazonaws.org\""), "{error}");
    }
    // The letter that is \u{e9} in Latin-1, and no text in UTF-8; then as UTF-8, which is none in ASCII.
    const LATIN_1: &[u8; 17] = b"sns.amazonaws.c\xe9m";
    const UTF_8: &[u8; 17] = b"sns.amazonaws.c\xc3\xa9";
    let issued_to = |certificate: Certificate| certificate.check_name(&region).unwrap_err().to_string();
    assert!(issued_to(read(0x14, LATIN_1).unwrap()).contains("\"sns.amazonaws.c\u{e9}m\""));
    assert!(issued_to(read(0x0c, UTF_8).unwrap()).contains("\"sns.amazonaws.c\u{e9}\""));
    for (tag, text, encoding) in [
        (0x0c, LATIN_1, "Utf8String"),
        (0x13, UTF_8, "PrintableString"),
        (0x13, LATIN_1, "PrintableString"),
        (0x16, UTF_8, "Ia5String"),
        (0x1a, UTF_8, "VisibleString"),
        (0x12, UTF_8, "NumericString"),
        // 17 bytes are no number of characters in these.
        (0x1e, NAME, "BmpString"),
        (0x1c, NAME, "UniversalString"),
        // These are no types for a name.
        (0x04, NAME, "OctetString"),
        (0x1b, NAME, "GeneralString"),
    ] {
        let error = read(tag, text).unwrap_err().to_string();
        assert_eq!(error, format!("reading the name in the certificate: it is not text in the encoding {encoding}"));
    }
}

#[test]
fn wide_characters_that_do_not_exist_are_refused() {
    let file =
        |name: &str| fs::read_to_string(format!("{}/testing/names/{name}.pem", env!("CARGO_MANIFEST_DIR"))).unwrap();
    // Half a surrogate pair; a number above the last character.
    let bmp = altered(&file("cn-bmp-string"), b"\0s\0n\0s\0.", b"\xd8\0\0n\0s\0.").unwrap_err();
    assert!(bmp.to_string().ends_with("encoding BmpString"), "{bmp}");
    let universal = altered(&file("cn-universal-string"), b"\0\0\0s\0\0\0n", b"\0\x11\0\0\0\0\0n").unwrap_err();
    assert!(universal.to_string().ends_with("encoding UniversalString"), "{universal}");
}

#[test]
fn a_dns_name_that_is_no_text_is_refused_though_the_common_name_fits() {
    let file = fs::read_to_string(format!("{}/testing/names/other-dns-name.pem", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for (from, to) in [(b"example.com", b"\xffxample.com"), (b"*.amazonaws", b"\xff.amazonaws")] {
        let error = altered(&file, from, to).unwrap_err();
        assert!(error.to_string().ends_with("it is not text in the encoding Ia5String"), "{error}");
    }
}
