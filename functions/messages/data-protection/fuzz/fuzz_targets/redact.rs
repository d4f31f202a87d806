//! Any text as a policy and as a message: no panic, and JSON stays JSON.

#![no_main]

use std::sync::LazyLock;

use data_protection::{Content, Decision, Direction, Engine, Managed, Policy};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static RULES: LazyLock<Engine> = LazyLock::new(|| {
    let arn = |managed: Managed| format!("arn:aws:dataprotection::aws:data-identifier/{}", managed.name());
    let identifiers: Vec<String> = Managed::all().map(arn).collect();
    let policy = json!({
        "Name": "fuzz", "Version": "2021-06-01",
        "Statement": [{
            "DataDirection": "Outbound", "Principal": ["*"], "DataIdentifier": identifiers,
            "Operation": { "Deidentify": { "MaskConfig": { "MaskWithCharacter": "\\" } } },
        }],
    });
    let policy = Policy::parse(&policy.to_string()).expect("a policy without faults");
    let principal = "arn:aws:iam::123456789012:role/Reporting".parse().expect("a principal");
    Engine::new(&policy, Direction::Outbound, &principal)
});

fuzz_target!(|text: &str| {
    drop(Policy::parse(text));
    let is_document = text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<Value>(text).is_ok();
    let content = Content { message: text.to_owned(), subject: Some(text.to_owned()), attributes: Vec::new() };
    if let Decision::Deliver(content) = RULES.apply(&content).decision {
        assert!(!is_document || serde_json::from_str::<Value>(&content.message).is_ok());
    }
});
