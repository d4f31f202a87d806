//! A message of 256 KiB with all identifiers, and texts made to be slow.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use data_protection::{Content, Direction, Engine, Managed, Policy, Principal};
use serde_json::json;

const SIZE: usize = 256 * 1024;

fn rules() -> Engine {
    let mut identifiers: Vec<String> = Managed::all()
        .map(|managed| format!("arn:aws:dataprotection::aws:data-identifier/{}", managed.name()))
        .collect();
    identifiers.push("EmployeeId".to_owned());
    let policy = json!({
        "Name": "bench",
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

fn redact(criterion: &mut Criterion) {
    let rules = rules();
    let repeated = |text: &str| text.repeat(SIZE / text.len());
    let messages = [
        ("orders, JSON", orders()),
        ("orders, a quarter", {
            let all = orders();
            let end = all[..SIZE / 4].rfind("},").expect("an order");
            format!("{}}}]", &all[..end])
        }),
        ("one letter", repeated("a")),
        ("one digit", repeated("4")),
        ("dots", repeated(".")),
        ("at signs", repeated("@")),
        ("1.1.1.1.", repeated("1.")),
        ("a@a.a@a.", repeated("a@a.")),
        ("digits in groups of four", repeated("4539 ")),
        ("cards in account numbers", repeated("FR82 4539 8944 5808 6459 0000 007 ")),
        ("small numbers in a row", repeated("536 22 8726 ")),
        ("begin of keys", repeated("-----BEGIN RSA PRIVATE KEY-----")),
    ];
    let mut group = criterion.benchmark_group("redact");
    group.sample_size(20);
    for (name, message) in messages {
        let content = Content { message, subject: None, attributes: Vec::new() };
        group.bench_function(name, |bencher| bencher.iter(|| rules.apply(black_box(&content))));
    }
    group.finish();
}

criterion_group!(benches, redact);
criterion_main!(benches);
