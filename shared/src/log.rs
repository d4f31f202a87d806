//! One structured line for each decision.

use lambda_runtime::tracing::Level;
use lambda_runtime::tracing::subscriber::filter::{LevelFilter, Targets};
use lambda_runtime::tracing::subscriber::prelude::*;
use lambda_runtime::tracing::subscriber::{fmt, registry};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock;
use crate::env::Env;

/// Where the Lambda runtime logs a handler's error in its `Debug` form. [`lambda::run`](crate::lambda::run) logs it
/// as `errorType` and `error`, panics included, so nothing is lost without that line.
const RUNTIME_ERROR_LINES: &str = "lambda_runtime::layers::panic";

/// Sends `tracing` events to stdout: one JSON object a line where Lambda's log format is JSON
/// (`AWS_LAMBDA_LOG_FORMAT`), plain text elsewhere.
///
/// The level is Lambda's (`AWS_LAMBDA_LOG_LEVEL`), `INFO` where it is unset. `DEBUG=true` asks for the debug lines of
/// the function, which is the crate of that name, of this crate and of `gatehouse_sns`, whatever the level is. Other crates never get
/// below `INFO`: the lines of an HTTP stack may hold headers and bodies.
///
/// # Panics
///
/// When called twice in one process.
pub fn init(env: &Env<'_>, crate_name: &str) {
    let env = env.reader();
    let level = env.text("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let targets = targets(level, env.flag("DEBUG", false), crate_name);
    let json = env.text("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json"));
    // Lambda filters and indexes JSON lines by their keys `timestamp` and `level`; plain lines get
    // their time from CloudWatch.
    if json {
        registry().with(fmt::layer().json().flatten_event(true).with_target(false).with_filter(targets)).init();
    } else {
        registry().with(fmt::layer().without_time().with_target(false).with_ansi(false).with_filter(targets)).init();
    }
}

fn targets(level: LevelFilter, debug: bool, crate_name: &str) -> Targets {
    let ours = if debug { level.max(LevelFilter::DEBUG) } else { level };
    Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_targets([crate_name, "gatehouse_shared", "gatehouse_sns"].map(|target| (target, ours)))
        .with_target(RUNTIME_ERROR_LINES, LevelFilter::OFF)
}

/// Logs what an invocation did, as one JSON line whose fields Logs Insights can query: `report.regions.0.region`.
///
/// It is written before anything is mailed, so that the record does not depend on a mail. Like every line it is left out
/// where Lambda's log level is above `INFO`.
///
/// ```
/// use gatehouse_shared::log;
///
/// log::report(&serde_json::json!({ "added": 3, "removed": 0 }));
/// // {"level":"INFO","message":"report","report":{"added":3,"removed":0},"timestamp":"2026-08-13T07:47:05.25Z"}
/// ```
pub fn report(report: &impl Serialize) {
    if tracing::enabled!(Level::INFO) {
        println!("{}", report_line(report, clock::now()));
    }
}

// Not by way of `tracing`, whose fields are texts and numbers: a report would become JSON within a text.
fn report_line(report: &impl Serialize, now: OffsetDateTime) -> String {
    json!({
        "timestamp": now.format(&Rfc3339).unwrap_or_default(),
        "level": "INFO",
        "message": "report",
        "report": report,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use time::macros::datetime;

    #[test]
    fn debug_lines_are_ours_alone() {
        for (level, debug, ours, others) in [
            (LevelFilter::INFO, false, Level::INFO, Some(Level::INFO)),
            (LevelFilter::INFO, true, Level::DEBUG, Some(Level::INFO)),
            (LevelFilter::DEBUG, false, Level::DEBUG, Some(Level::INFO)),
            (LevelFilter::TRACE, true, Level::TRACE, Some(Level::INFO)),
            (LevelFilter::ERROR, false, Level::ERROR, Some(Level::ERROR)),
            (LevelFilter::OFF, true, Level::DEBUG, None),
        ] {
            let targets = targets(level, debug, "some_function");
            for at in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
                let case = format!("{level} {debug} {at}");
                for target in ["some_function::region", "gatehouse_shared::env", "gatehouse_sns::verifier"] {
                    assert_eq!(targets.would_enable(target, &at), at <= ours, "{target} {case}");
                }
                assert_eq!(
                    targets.would_enable("hyper_util::client", &at),
                    others.is_some_and(|most| at <= most),
                    "{case}"
                );
                assert!(!targets.would_enable(RUNTIME_ERROR_LINES, &at), "{case}");
            }
        }
    }

    #[test]
    fn a_report_is_logged_as_fields() {
        let line =
            report_line(&json!({ "regions": [{ "region": "eu-west-1" }] }), datetime!(2026-08-13 07:47:05.25 UTC));
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            line,
            json!({
                "timestamp": "2026-08-13T07:47:05.25Z",
                "level": "INFO",
                "message": "report",
                "report": { "regions": [{ "region": "eu-west-1" }] },
            })
        );
    }
}
