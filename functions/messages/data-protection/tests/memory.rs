//! How much memory a message takes, whatever its structure: the function has 256 MB.
//!
//! The only test of its process, so that the process's peak is the peak of this test.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect should stop there")]

use std::fs;

use data_protection::{Content, Decision, Direction, Engine, Managed, Policy, Principal};
use serde_json::json;

/// The longest message of SNS.
const MESSAGE_BYTES: usize = 256 * 1024;
const MAX_GROWTH: usize = 64 * 1024 * 1024;

/// The largest resident size of this process so far, in bytes. Writing `5` to `clear_refs` starts it anew.
///
/// Source: proc(5), `/proc/pid/status` and `/proc/pid/clear_refs`.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1_024
}

#[test]
fn the_memory_is_bounded_whatever_the_structure() {
    let identifiers: Vec<String> = Managed::all()
        .map(|managed| format!("arn:aws:dataprotection::aws:data-identifier/{}", managed.name()))
        .collect();
    let policy = json!({
        "Name": "all", "Version": "2021-06-01",
        "Statement": [{
            "DataDirection": "Outbound", "Principal": ["*"], "DataIdentifier": identifiers,
            "Operation": { "Deidentify": { "MaskConfig": { "MaskWithCharacter": "#" } } },
        }],
    });
    let principal: Principal = "arn:aws:iam::123456789012:role/Reporting".parse().unwrap();
    let engine = Engine::new(&Policy::parse(&policy.to_string()).unwrap(), Direction::Outbound, &principal);
    let nested = |before: &str, open: &str, inside: &str, close: &str, after: &str| {
        let count = (MESSAGE_BYTES - before.len() - after.len() - inside.len()) / (open.len() + close.len());
        format!("{before}{}{inside}{}{after}", open.repeat(count), close.repeat(count))
    };
    let key = "k".repeat(16_000);
    for (name, message) in [
        ("arrays", nested("", "[", "", "]", "")),
        ("objects", nested("", "{\"a\":", "0", "}", "")),
        ("objects with a long key", nested("", &format!("{{\"{}\":", &key[..200]), "0", "}", "")),
        ("arrays under a long key", nested(&format!("{{\"{key}\":"), "[", "", "]", "}")),
        ("objects under a long key", nested(&format!("{{\"{key}\":"), "{\"a\":", "0", "}", "}")),
        ("arrays under a long key, cut off", nested(&format!("{{\"{key}\":"), "[", "", "[", "")),
        ("keys under a long key", nested(&format!("{{\"{key}\":{{"), "\"a\":0,", "\"a\":0", "", "}}")),
    ] {
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = peak();
        let outcome = engine.apply(&Content::message(message));
        let growth = peak().saturating_sub(before);
        assert!(matches!(outcome.decision, Decision::Deliver(_)), "{name}");
        assert!(growth <= MAX_GROWTH, "{name}: {} MiB", growth >> 20);
    }
}
