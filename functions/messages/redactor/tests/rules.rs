//! Tables of values: what each identifier finds, and what it leaves alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use message_redactor::content::{Content, Decision, apply};
use message_redactor::policy::{Direction, Policy};
use message_redactor::principal::Principal;
use message_redactor::rules::Rules;
use serde_json::{Value, json};

fn rules(identifiers: &[&str], operation: &Value) -> Rules {
    let arn = |name: &&str| format!("arn:aws:dataprotection::aws:data-identifier/{name}");
    let policy = json!({
        "Name": "test", "Version": "2021-06-01",
        "Statement": [{
            "DataDirection": "Outbound", "Principal": ["*"],
            "DataIdentifier": identifiers.iter().map(arn).collect::<Vec<_>>(), "Operation": operation,
        }],
    });
    let principal: Principal = "arn:aws:iam::123456789012:role/Reporting".parse().unwrap();
    Rules::of(&Policy::parse(&policy.to_string()).unwrap(), Direction::Outbound, &principal)
}

fn masked(identifier: &str, text: &str) -> String {
    delivered(&rules(&[identifier], &json!({ "Deidentify": { "MaskConfig": { "MaskWithCharacter": "#" } } })), text)
}

fn delivered(rules: &Rules, text: &str) -> String {
    let content = Content { message: text.to_owned(), subject: None, attributes: Vec::new() };
    match apply(rules, &content).decision {
        Decision::Deliver(content) => content.message,
        other => panic!("{other:?}"),
    }
}

fn finds(identifier: &str, values: &[&str]) {
    for value in values {
        let hidden = "#".repeat(value.chars().count());
        for (before, after) in [("", ""), ("It is ", "."), ("(", ")"), ("a,", ",b"), ("<", ">")] {
            let expected = format!("{before}{hidden}{after}");
            assert_eq!(masked(identifier, &format!("{before}{value}{after}")), expected, "{identifier}");
        }
    }
}

fn leaves(identifier: &str, values: &[&str]) {
    for value in values {
        assert_eq!(masked(identifier, value), *value, "{identifier}");
    }
}

#[test]
fn cards() {
    finds(
        "CreditCardNumber",
        &[
            "4539894458086459",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "378282246310005",
            "3782 822463 10005",
            "30569309025904",
            "6011111111111117",
            "3530111333300000",
            "5105105105105100",
            "2223003122003222",
            "4222222222222",
            "4539 8944\n5808 6459",
            "４５３９８９４４５８０８６４５９",
            "٤٥٣٩٨٩٤٤٥٨٠٨٦٤٥٩",
        ],
    );
    leaves(
        "CreditCardNumber",
        &[
            "4539894458086458",
            "a4539894458086459",
            "4539894458086459.25",
            "0.4539894458086459",
            "1786607225000",
            "7d444840-9dc0-11d1-b245-5ffdce74fad2",
            "978-3-16-148410-0",
            "2026-08-13T07:47:05.893Z",
            "d41d8cd98f00b204e9800998ecf8427e",
            "arn:aws:sns:us-east-1:123456789012:example",
        ],
    );
}

#[test]
fn bank_accounts() {
    finds("BankAccountNumber-DE", &["DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "de89370400440532013000"]);
    finds("BankAccountNumber-GB", &["GB82WEST12345698765432", "GB82 WEST 1234 5698 7654 32"]);
    finds("BankAccountNumber-FR", &["FR1420041010050500013M02606"]);
    finds("BankAccountNumber-ES", &["ES9121000418450200051332"]);
    finds("BankAccountNumber-IT", &["IT60X0542811101000000123456"]);
    leaves(
        "BankAccountNumber-DE",
        &["DE89370400440532013001", "XDE89370400440532013000", "DE893704004405320130001", "GB82WEST12345698765432"],
    );
}

#[test]
fn mail_addresses() {
    finds(
        "EmailAddress",
        &[
            "jane@example.com",
            "jane.doe+tag@mail.example.co.uk",
            "x@x.au",
            "jané@exämple.de",
            "\"jane doe\"@example.com",
        ],
    );
    leaves(
        "EmailAddress",
        &["@example.com", "jane@localhost", "icon@2x.png", "package@1.2.3", "jane.@example.com", "a@b"],
    );
}

#[test]
fn ip_addresses() {
    finds(
        "IpAddress",
        &[
            "192.0.2.1",
            "10.0.0.1",
            "255.255.255.255",
            "2001:db8::1",
            "fe80::a6db:30ff:fe98:e946",
            "::1",
            "::ffff:127.0.0.1",
            "1:2:3:4:5:6:7:8",
        ],
    );
    assert_eq!(masked("IpAddress", "http://192.0.2.1:8080/24"), "http://#########:8080/24");
    leaves(
        "IpAddress",
        &[
            "v1.2.3.4",
            "version 1.2.3.4",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "01.02.03.04",
            "Chrome/124.0.0.0",
            "1.2.3.4-beta",
            "00:1A:2B:3C:4D:5E",
            "00:1A:2B:FF:FE:3C:4D:5E",
            "std::vector",
            "arn:aws:iam::123456789012:role/x",
            "12:34:56",
            "x[1::2]",
            "2026.08.13",
            "{\"version\":\"1.2.3.4\"}",
        ],
    );
}

#[test]
fn social_security_numbers() {
    finds("Ssn-US", &["536-22-8726", "123-45-6789", "536 22 8726", "536–22–8726"]);
    leaves(
        "Ssn-US",
        &[
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "123-00-4567",
            "123-45-0000",
            "078-05-1120",
            "219-09-9999",
            "123-45-67890",
            "536228726",
            "1-536-22-8726",
        ],
    );
    assert_eq!(masked("Ssn-US", "{\"ssn\":536228726}"), "{\"ssn\":\"#########\"}");
}

#[test]
fn phone_numbers() {
    finds(
        "PhoneNumber-US",
        &["415-555-2671", "(415) 555-2671", "+1 415 555 2671", "+14155552671", "415.555.2671", "1-415-555-2671"],
    );
    leaves("PhoneNumber-US", &["115-555-2671", "911-555-2671", "4155552671", "415-555-26711", "2026-08-13"]);
}

#[test]
fn keys() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\nVJTUt9Us8cKj\n";
    for (identifier, label) in [
        ("PkcsPrivateKey", "RSA PRIVATE KEY"),
        ("PkcsPrivateKey", "PRIVATE KEY"),
        ("OpenSshPrivateKey", "OPENSSH PRIVATE KEY"),
        ("PgpPrivateKey", "PGP PRIVATE KEY BLOCK"),
    ] {
        let key = format!("-----BEGIN {label}-----\n{body}-----END {label}-----");
        assert_eq!(masked(identifier, &format!("key: {key} end")), format!("key: {} end", "#".repeat(key.len())));
    }
    leaves(
        "PkcsPrivateKey",
        &["-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", "write -----BEGIN PRIVATE KEY----- first"],
    );
    finds("AwsSecretKey", &["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"]);
    leaves("AwsSecretKey", &["da39a3ee5e6b4b0d3255bfef95601890afd80709", "AWSServiceRoleForApplicationAutoScaling1"]);
}

#[test]
fn the_example_of_aws_reaches_payment_as_it_is_and_reporting_masked() {
    let policy = json!({
        "Name": "expenses", "Version": "2021-06-01",
        "Configuration": { "CustomDataIdentifier": [{ "Name": "EmployeeId", "Regex": "EID-\\d{9}-US" }] },
        "Statement": [{
            "DataDirection": "Outbound", "Principal": ["arn:aws:iam::123456789012:role/Reporting"],
            "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/CreditCardNumber", "EmployeeId"],
            "Operation": { "Deidentify": { "MaskConfig": { "MaskWithCharacter": "#" } } },
        }],
    });
    let policy = Policy::parse(&policy.to_string()).unwrap();
    let report =
        r#"{"card": 4539894458086459, "employee": "EID-123456789-US", "customer": "CID-000012348-CA", "sum": 1.10}"#;
    let side = |name: &str| {
        let principal: Principal = format!("arn:aws:iam::123456789012:role/{name}").parse().unwrap();
        delivered(&Rules::of(&policy, Direction::Outbound, &principal), report)
    };
    assert_eq!(side("Payment"), report);
    let hidden = "#".repeat(16);
    assert_eq!(
        side("Reporting"),
        format!(r#"{{"card": "{hidden}", "employee": "{hidden}", "customer": "CID-000012348-CA", "sum": 1.10}}"#)
    );
}

#[test]
fn deny_delivers_nothing_and_a_whole_value_that_is_redacted_leaves_nothing() {
    let content = |message: &str| Content { message: message.to_owned(), subject: None, attributes: Vec::new() };
    let deny = apply(&rules(&["EmailAddress"], &json!({ "Deny": {} })), &content("{\"a\":[\"jane@example.com\"]}"));
    assert_eq!(deny.decision, Decision::Denied);
    assert_eq!(deny.findings[0].path, "$.a[0]");
    let redact = rules(&["EmailAddress"], &json!({ "Deidentify": { "RedactConfig": {} } }));
    assert_eq!(apply(&redact, &content("jane@example.com")).decision, Decision::NothingLeft);
    assert_eq!(delivered(&redact, "to jane@example.com now"), "to  now");
}

#[test]
fn every_fault_of_a_policy_is_reported_with_its_path() {
    let policy = json!({
        "Version": "2021-06-01", "Extra": 1,
        "Configuration": { "CustomDataIdentifier": [{ "Name": "a b", "Regex": "(x)" }] },
        "Statement": [
            { "DataDirection": "Sideways", "Principal": [], "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/Name"], "Operation": { "Drop": {} } },
            { "DataDirection": "Inbound", "Principal": ["*"], "DataIdentifier": ["a b"], "Operation": { "Audit": { "SampleRate": "100" } } },
            { "DataDirection": "Inbound", "Principal": ["x"], "DataIdentifier": ["c"], "Operation": { "Audit": { "SampleRate": 5 } } },
        ],
    });
    let faults = Policy::parse(&policy.to_string()).unwrap_err();
    let mut paths: Vec<_> = faults.0.iter().map(|fault| fault.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "$.Configuration.CustomDataIdentifier[0].Name",
            "$.Configuration.CustomDataIdentifier[0].Regex",
            "$.Extra",
            "$.Name",
            "$.Statement[0].DataDirection",
            "$.Statement[0].DataIdentifier[0]",
            "$.Statement[0].Operation.Drop",
            "$.Statement[0].Principal",
            "$.Statement[1].Operation.Audit.SampleRate",
            "$.Statement[2].DataIdentifier[0]",
            "$.Statement[2].Operation.Audit",
            "$.Statement[2].Principal[0]",
        ]
    );
    let long = json!({ "Name": "n".repeat(30_720), "Version": "2021-06-01", "Statement": [] }).to_string();
    assert!(Policy::parse(&long).unwrap_err().to_string().contains("characters long: expected at most 30720"));
}
