//! 10,000 mixed and mutated events: each gives decisions or a reason, none a panic. The fuzz target goes further.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::fs;

use aws_sdk_codepipeline::Client;
use gatehouse_shared::env::Env;
use gatehouse_shared::sns::Verifier;
use gatehouse_shared::verifier;
use gatehouse_testkit::{Aws, Reply, StaticCertificates, invocation};
use pipeline_retry::PipelineRetry;
use pipeline_retry::config::Config;
use pipeline_retry::report::{RetryResponse, StageOutcome};
use serde_json::Value;

const EVENTS: usize = 10_000;

/// Numbers that are the same at each run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// Changes one value somewhere in the event; in half of the texts that are JSON, inside of it.
fn mutate(value: &mut Value, donor: &Value, dice: &mut Dice) {
    match value {
        Value::Object(fields) if !fields.is_empty() && dice.below(8) > 0 => {
            let name = fields.keys().nth(dice.below(fields.len())).unwrap().clone();
            match dice.below(10) {
                0 => drop(fields.remove(&name)),
                1 => {
                    let field = fields.remove(&name).unwrap();
                    fields.insert(name.to_uppercase(), field);
                }
                _ => mutate(&mut fields[&name], donor, dice),
            }
        }
        Value::Array(items) if !items.is_empty() && dice.below(8) > 0 => {
            let index = dice.below(items.len());
            match dice.below(10) {
                0 => drop(items.remove(index)),
                1 => items.push(items[index].clone()),
                _ => mutate(&mut items[index], donor, dice),
            }
        }
        Value::String(text) if dice.below(4) > 0 => match serde_json::from_str::<Value>(text) {
            Ok(mut inner) if dice.below(2) > 0 => {
                mutate(&mut inner, donor, dice);
                *text = inner.to_string();
            }
            _ => {
                let at = text.floor_char_boundary(dice.below(text.len() + 1));
                match dice.below(3) {
                    0 => text.truncate(at),
                    1 => text.insert(at, ['\u{0}', '"', '\n', 'é', '\u{202e}', '{'][dice.below(6)]),
                    _ => *text = text.repeat(dice.below(50)),
                }
            }
        },
        _ => {
            let replacements =
                [Value::Null, true.into(), 6.0.into(), i64::MIN.into(), "".into(), Value::Array(vec![]), donor.clone()];
            *value = replacements[dice.below(replacements.len())].clone();
        }
    }
}

#[tokio::test]
async fn ten_thousand_mutated_events() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../events/pipelines");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap().to_str().unwrap().starts_with("retry-"));
    files.sort();
    let samples: Vec<Value> =
        files.iter().map(|file| serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()).collect();

    // Without signatures, so that the mutations get as far as the events. The one pipeline that is allowed has no stage.
    let env = Env::of_table(&[("SNS_VERIFY", "off"), ("PIPELINES", "empty")]);
    let (config, sns) = env.read(|env| Config::from_env(env).zip(verifier::settings(env))).unwrap();
    let aws = Aws::new(|call| match call.operation.as_str() {
        "GetPipelineState" | "ListPipelineExecutions" => Reply::Empty,
        other => panic!("{other} is not expected"),
    });
    let verifier = Verifier::with_source(sns, StaticCertificates::new());
    let function = PipelineRetry::new(config, verifier, Client::new(&aws.sdk()), None);

    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut skipped, mut ignored, mut batches, mut failed) = (0, 0, 0, 0);
    for _ in 0..EVENTS {
        let mut event = samples[dice.below(samples.len())].clone();
        let donor = &samples[dice.below(samples.len())];
        for _ in 0..dice.below(4) {
            mutate(&mut event, donor, &mut dice);
        }
        match function.handle(invocation(event)).await {
            Ok(RetryResponse::Report { decisions }) => {
                skipped += usize::from(decisions.iter().any(|decision| decision.outcome == StageOutcome::Skipped));
                ignored += usize::from(decisions.iter().any(|decision| decision.outcome == StageOutcome::Ignored));
            }
            Ok(RetryResponse::Batch(_)) => batches += 1,
            Err(_) => failed += 1,
        }
    }
    // Every way through the function was taken, many times.
    for (name, times) in [("skipped", skipped), ("ignored", ignored), ("batches", batches), ("failed", failed)] {
        assert!(times > EVENTS / 50, "{name}: {times}");
    }
}
