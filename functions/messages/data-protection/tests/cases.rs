//! Labelled messages: what must be masked and what must stay, where a folder with them is beside the repository.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::path::Path;

use data_protection::{Content, Decision, Direction, Engine, Policy};
use serde_json::{Value, json};

#[test]
fn every_labelled_message_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/real/redactor/cases.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        #[expect(clippy::disallowed_methods, reason = "a test that is skipped where the folder is missing")]
        let required = std::env::var("GATEHOUSE_REQUIRE_REAL").is_ok_and(|value| value == "1");
        assert!(!required, "no labelled messages, though GATEHOUSE_REQUIRE_REAL is 1");
        return;
    };
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let principal = "arn:aws:iam::123456789012:role/Reporting".parse().unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let arn = format!("arn:aws:dataprotection::aws:data-identifier/{}", case["identifier"].as_str().unwrap());
        let mask = json!({ "Deidentify": { "MaskConfig": { "MaskWithCharacter": "~" } } });
        for operation in [mask, json!({ "Deny": {} })] {
            let policy = json!({
                "Name": "case", "Version": "2021-06-01",
                "Statement": [{
                    "DataDirection": "Outbound", "Principal": ["*"], "DataIdentifier": [arn], "Operation": operation,
                }],
            });
            let engine = Engine::new(&Policy::parse(&policy.to_string()).unwrap(), Direction::Outbound, &principal);
            let message = case["message"].as_str().map_or_else(|| case["message"].to_string(), str::to_owned);
            let delivered = match engine.apply(&Content::message(message)).decision {
                Decision::Deliver(content) => content.message,
                Decision::Denied | Decision::NothingLeft => String::new(),
            };
            let value = case["value"].as_str().unwrap();
            if delivered.contains(value) == case["masked"].as_bool().unwrap() {
                wrong.push(format!("{}: {}: {delivered}", case["kind"], case["label"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
