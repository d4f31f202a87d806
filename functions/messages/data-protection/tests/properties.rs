//! What holds for any message: JSON stays JSON of the same shape, a mask has the length of the value, the time is linear.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::time::{Duration, Instant};

use data_protection::{Content, Decision, Direction, Engine, Managed, Policy, Principal};
use proptest::prelude::*;
use serde_json::{Value, json};

fn rules(character: char) -> Engine {
    let arn = |managed: Managed| format!("arn:aws:dataprotection::aws:data-identifier/{}", managed.name());
    let identifiers: Vec<String> = Managed::all().map(arn).collect();
    let policy = json!({
        "Name": "all", "Version": "2021-06-01",
        "Statement": [{
            "DataDirection": "Outbound", "Principal": ["*"], "DataIdentifier": identifiers,
            "Operation": { "Deidentify": { "MaskConfig": { "MaskWithCharacter": character.to_string() } } },
        }],
    });
    let principal: Principal = "arn:aws:iam::123456789012:role/Reporting".parse().unwrap();
    Engine::new(&Policy::parse(&policy.to_string()).unwrap(), Direction::Outbound, &principal)
}

fn delivered(rules: &Engine, text: &str) -> String {
    let content = Content { message: text.to_owned(), subject: None, attributes: Vec::new() };
    match rules.apply(&content).decision {
        Decision::Deliver(content) => content.message,
        other => panic!("{other:?}"),
    }
}

fn json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        Just("4539894458086459".to_owned()),
        Just("mail jane@example.com, 192.0.2.1 \\ \"x\"".to_owned()),
        Just("{\"inner\":\"4539894458086459\"}".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(4_539_894_458_086_459_u64)),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Any text, with values in it that are masked.
fn text_with_values() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        Just(" 4539 8944 5808 6459 ".to_owned()),
        Just(" jane@example.com ".to_owned()),
        Just("192.0.2.1\n".to_owned()),
        Just("４５３９８９４４５８０８６４５９".to_owned()),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn same_shape(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len() && before.iter().zip(after).all(|(before, after)| same_shape(before, after))
        }
        (Value::Object(before), Value::Object(after)) => before.len() == after.len(),
        (Value::Number(_), Value::Number(_) | Value::String(_)) | (Value::String(_), Value::String(_)) => true,
        (before, after) => before == after,
    }
}

proptest! {
    #[test]
    fn json_stays_json_of_the_same_shape(message in json(), backslash: bool) {
        let after = delivered(&rules(if backslash { '\\' } else { '#' }), &message.to_string());
        if message.is_object() || message.is_array() {
            let after: Value = serde_json::from_str(&after).unwrap();
            prop_assert!(same_shape(&message, &after), "{} {}", message, after);
        }
    }

    #[test]
    fn text_keeps_its_length(text in text_with_values()) {
        let rules = rules('#');
        let after = delivered(&rules, &text);
        if serde_json::from_str::<Value>(&text).is_err() {
            prop_assert_eq!(after.chars().count(), text.chars().count());
        }
    }
}

#[test]
fn what_is_not_found_stays_byte_for_byte() {
    let message = r#" { "b" : 1.10, "a":[1e400, 123456789012345678901234567890, "\u00e9\/\ud800"], "b":"4539894458086459\/\u00e9" } "#;
    let expected = message.replace("4539894458086459", &"#".repeat(16));
    assert_eq!(delivered(&rules('#'), message), expected);
}

#[test]
fn the_time_is_linear_whatever_the_text() {
    let rules = rules('#');
    for text in [
        "a",
        "1",
        ".",
        "@",
        "1.",
        "a@a.",
        "4539 ",
        ":",
        "1:",
        "-----BEGIN RSA PRIVATE KEY-----",
        "DE89",
        "123-45-",
        "[",
        "{\"a\":",
        "\\n4",
        "4539894458086459 ",
        "FR82 4539 8944 5808 6459 0000 007 ",
        "536 22 8726 ",
        "jane|",
        "\"a\"@b.de",
        "e\u{301}@",
        "415-555-2671x",
        "PuTTY-User-Key-File-2",
        "ssn 536228726 ",
        "driver license A1 ",
        "phone 1 ",
        "%34",
        "e1+",
        "{\"ssn\":{",
        "{\"ssn\":\"",
        "x{\"a",
    ] {
        let message = text.repeat(256 * 1024 / text.len());
        let start = Instant::now();
        delivered(&rules, &message);
        // Of a build without optimization, on a machine that does other things. `examples/speed.rs` measures.
        assert!(start.elapsed() < Duration::from_secs(20), "{text}: {:?}", start.elapsed());
    }
}

/// A search that finds nothing ends there: it is not begun again from each place.
#[test]
fn the_time_of_a_regex_that_finds_nothing_is_linear() {
    for regex in [".*x", "[a-w]*x", "a[^x]*x", "\\w+@\\w+", "a{1,100}x"] {
        let policy = json!({
            "Name": "own", "Version": "2021-06-01",
            "Configuration": { "CustomDataIdentifier": [{ "Name": "Own", "Regex": regex }] },
            "Statement": [{
                "DataDirection": "Outbound", "Principal": ["*"], "DataIdentifier": ["Own"], "Operation": { "Deny": {} },
            }],
        });
        let principal: Principal = "arn:aws:iam::123456789012:role/Reporting".parse().unwrap();
        let rules = Engine::new(&Policy::parse(&policy.to_string()).unwrap(), Direction::Outbound, &principal);
        let message = "a".repeat(256 * 1024);
        let start = Instant::now();
        delivered(&rules, &message);
        assert!(start.elapsed() < Duration::from_secs(5), "{regex}: {:?}", start.elapsed());
    }
}
