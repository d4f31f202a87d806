//! Prints how long a message of 256 KiB takes with all identifiers, also one that is made to be slow:
//! `cargo run --release -p data-protection --example speed`. With `-- log phone`, only those messages whose names hold one
//! of these texts.

#![allow(clippy::print_stdout, reason = "a command that prints")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use data_protection::{Content, Direction, Engine, Managed, Policy, Principal};
use serde_json::json;

const SIZE: usize = 256 * 1024;
const RUNS: usize = 15;

fn rules() -> Engine {
    let mut identifiers: Vec<String> = Managed::all()
        .map(|managed| format!("arn:aws:dataprotection::aws:data-identifier/{}", managed.name()))
        .collect();
    identifiers.push("EmployeeId".to_owned());
    let policy = json!({
        "Name": "speed",
        "Version": "2021-06-01",
        "Configuration": { "CustomDataIdentifier": [{ "Name": "EmployeeId", "Regex": "EID-\\d{9}-US" }] },
        "Statement": [{
            "DataDirection": "Outbound", "Principal": ["*"], "DataIdentifier": identifiers,
            "Operation": { "Deidentify": { "MaskConfig": { "MaskWithCharacter": "#" } } },
        }],
    });
    let policy = Policy::parse(&policy.to_string()).expect("a policy without faults");
    let principal: Principal = "arn:aws:iam::123456789012:role/Reporting".parse().expect("a principal");
    Engine::new(&policy, Direction::Outbound, &principal)
}

/// A list of orders, as long as a message may be.
fn orders() -> String {
    let order = json!({
        "orderId": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "placed": "2026-08-13T07:47:05Z", "total": 129.90, "items": 3,
        "note": "Please ring twice, the bell is quiet. Leave it with the neighbours at number 12 otherwise.",
        "card": "4539 8944 5808 6459", "mail": "jane.doe@example.com", "address": "192.0.2.17", "employee": "EID-123456789-US",
    });
    let order = order.to_string();
    let orders = vec![order.as_str(); SIZE / (order.len() + 1)];
    format!("[{}]", orders.join(","))
}

/// Prose with a card and a mail address in each paragraph.
fn prose() -> String {
    let paragraph = "Dear Jane, thank you for your order of 13 August 2026. We charged 129.90 EUR to your card \
        4539 8944 5808 6459 and sent the invoice 2026-0815 to jane.doe@example.com. Please ring 415-555-2671 if the \
        parcel has not arrived by Friday; our driver will leave it with the neighbours at number 12 otherwise.\n";
    paragraph.repeat(SIZE / paragraph.len())
}

/// Lines of a log, with links.
fn log() -> String {
    let line = "2026-08-13T07:47:05.123Z INFO [worker-7] GET /orders/4711?mail=jane.doe%40example.com&page=2 from \
        192.0.2.17 took 129 ms, trace 7d4448409dc011d1b2455ffdce74fad2\n";
    line.repeat(SIZE / line.len())
}

/// The fastest of some runs: what others do on the machine makes it slower, never faster.
fn fastest(rules: &Engine, message: String) -> Duration {
    let content = Content { message, subject: None, attributes: Vec::new() };
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        black_box(rules.apply(black_box(&content)));
        start.elapsed()
    });
    times.min().unwrap_or_default()
}

fn main() {
    let start = Instant::now();
    let rules = rules();
    println!("{} identifiers, ready after {:.1} ms", Managed::all().count(), start.elapsed().as_secs_f64() * 1e3);
    let repeated = |text: &str| text.repeat(SIZE / text.len());
    let mut messages = vec![
        ("orders, JSON".to_owned(), orders()),
        ("prose".to_owned(), prose()),
        ("a log with links".to_owned(), log()),
    ];
    for text in [
        "a",
        "4",
        ".",
        "@",
        "1.",
        "a@a.",
        "4539 ",
        "FR82 4539 8944 5808 6459 0000 007 ",
        "536 22 8726 ",
        "-----BEGIN RSA PRIVATE KEY-----",
        "ssn ",
        "ssn 536228726 ",
        "driver license A1 ",
        "phone 1 ",
        "%34",
        "\\u0034",
        "&#52;",
        "{\"a\":",
        "1-1-",
        "12345678 ",
        "A1B2C3 ",
        "e1+",
        "=\n",
        "card 4 cvv 1 exp 1 ",
    ] {
        messages.push((format!("{text:?} repeated"), repeated(text)));
    }
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    messages.retain(|(name, _)| wanted.is_empty() || wanted.iter().any(|text| name.contains(text.as_str())));
    println!("{:<50} {:>9}", format!("message of {} KiB", SIZE / 1024), "ms");
    for (name, message) in messages {
        println!("{name:<50} {:>9.2}", fastest(&rules, message).as_secs_f64() * 1e3);
    }
}
