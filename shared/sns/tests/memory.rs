//! How much memory the largest body takes, which over HTTPS anybody can send.
//!
//! The only test of its process, so that the process's peak is the peak of this test.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect should stop there")]

use std::fs;

use gatehouse_sns::Envelope;

/// Lambda takes 6 MB from a caller.
const BODY_BYTES: usize = 5_800_000;

/// The largest resident size of this process so far, in bytes. Writing `5` to `clear_refs` starts it anew.
///
/// Source: proc(5), `/proc/pid/status` and `/proc/pid/clear_refs`.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1_024
}

/// By how much the peak grows while this body is read.
fn growth(name: &str, body: &str, is_read: bool) -> usize {
    assert!((BODY_BYTES..BODY_BYTES + 10_000).contains(&body.len()), "{name}: {} bytes", body.len());
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak();
    let envelope = Envelope::from_json(body);
    // The kernel counts in batches, so the peak can seem to fall a little.
    let growth = peak().saturating_sub(before);
    assert_eq!(envelope.is_ok(), is_read, "{name}: {envelope:?}");
    growth
}

#[test]
fn a_body_takes_at_most_three_times_its_size() {
    let start = r#"{"Type": "Notification", "MessageId": "1", "TopicArn": "arn", "Timestamp": "now", "Message": "#;
    let full_of = |text: &str| text.repeat(BODY_BYTES / text.len());
    let bodies = [
        ("one junk array", format!(r#"{start}"hello", "Junk": [0{}]}}"#, full_of(",0")), true),
        ("an array for a text", format!(r"{start}[0{}]}}", full_of(",0")), false),
        ("junk objects", format!(r#"{start}"hello", "Junk": [{{}}{}]}}"#, full_of(r#",{"a":{}}"#)), true),
        (
            "junk arrays in arrays",
            format!(r#"{start}"hello", "Junk": {}{}}}"#, full_of("[]").replace("][", "[["), ""),
            false,
        ),
        ("junk keys", format!(r#"{start}"hello"{}}}"#, full_of(r#","a":0"#)), true),
        ("a long key", format!(r#"{start}"hello", "{}": 0}}"#, full_of("a")), true),
        ("a long key with escapes", format!(r#"{start}"hello", "{}": 0}}"#, full_of(r"\n-----------")), true),
        ("a long message", format!(r#"{start}"{}"}}"#, full_of("a")), true),
        ("a long message with escapes", format!(r#"{start}"{}"}}"#, full_of(r"\n-----------")), true),
        (
            "a long message, twice",
            format!(
                r#"{start}"{}", "Message": "{}"}}"#,
                &full_of("a")[..BODY_BYTES / 2],
                &full_of("b")[..BODY_BYTES / 2]
            ),
            false,
        ),
    ];
    for (name, body, is_read) in &bodies {
        let growth = growth(name, body, *is_read);
        assert!(growth <= 2 * body.len(), "{name}: {} bytes take {growth} more", body.len());
    }
}
