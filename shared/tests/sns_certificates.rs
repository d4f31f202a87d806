//! What a certificate must be before a signature made with it counts.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect should stop there")]

use std::fs;

use gatehouse_shared::failure::chain;
use gatehouse_shared::region::Region;
use gatehouse_shared::sns::certificate::{Certificate, signing_common_names};
use gatehouse_shared::sns::{Channel, Envelope, Settings, Verified, Verifier, VerifyError};
use gatehouse_shared::testing::{
    self, SIGNING_CERTIFICATE_PEM, SIGNING_KEY_PEM, Signer, StaticCertificates, notification,
};
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
    let Some(path) = testing::real("sns-negative/cert-common-names.tsv") else { return };
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
        let end = format!(
            "the common name of the certificate is \"sns.amazonaws.com\": expected {expected} in the Region {region}"
        );
        assert!(text.starts_with("no signing certificate from https://sns.") && text.ends_with(&end), "{text}");
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
    let cases = [
        (String::new(), "the file holds 0 PEM blocks: expected one PEM block, CERTIFICATE"),
        ("<html>".to_owned(), "the file holds 0 PEM blocks: expected one PEM block, CERTIFICATE"),
        (half.to_owned(), "reading the certificate as PEM: incomplete PEM"),
        (block("***"), "reading the certificate as PEM: base64 decode error"),
        (block("AAAA"), "reading the certificate as X.509: "),
        (block(&body(SIGNING_KEY_PEM)), "reading the certificate as X.509: "),
        (SIGNING_CERTIFICATE_PEM.repeat(2), "the file holds 2 PEM blocks: expected one PEM block, CERTIFICATE"),
        (
            SIGNING_KEY_PEM.to_owned(),
            "the file holds the PEM block \"PRIVATE KEY\": expected one PEM block, CERTIFICATE",
        ),
        (refused("authority"), "the certificate is that of a certificate authority: expected a leaf"),
        (
            refused("elliptic-curve"),
            "reading the public key of the certificate, which is RSA in those of SNS: WrongAlgorithm",
        ),
        (refused("two-names"), "reading the certificate as X.509: "),
        (
            refused("other-name"),
            "the common name of the certificate is \"sns.amazonaws.com.example.com\": \
             expected sns.amazonaws.com in the Region us-east-1",
        ),
    ];
    for (file, expected) in cases {
        let error = verify(&file, "us-east-1", "2026-03-06T20:00:26.893Z").await.unwrap_err();
        assert!(matches!(error, VerifyError::Certificate { .. }), "{error:?}");
        let text = chain(&error);
        assert!(text.contains(&format!("tried again after a minute: {expected}")), "{expected}\n{text}");
    }
}

#[tokio::test]
async fn the_certificate_of_another_key_does_not_fit() {
    let Some(folder) = testing::real("sns-signed/java-v2") else { return };
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
async fn a_certificate_that_cannot_be_fetched_is_asked_for_once() {
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
             it is tried again after a minute: the server answered 503, expected 200; redirects are not followed"
        );
    }
    assert_eq!(source.fetches(), 1);
}
