//! One structured line for each decision.

use lambda_runtime::tracing::subscriber::filter::{LevelFilter, Targets};
use lambda_runtime::tracing::subscriber::prelude::*;
use lambda_runtime::tracing::subscriber::{fmt, registry};

use crate::env::Env;

/// Sends `tracing` events to stdout: one JSON object a line where Lambda's log format is JSON
/// (`AWS_LAMBDA_LOG_FORMAT`), plain text elsewhere.
///
/// The level is Lambda's (`AWS_LAMBDA_LOG_LEVEL`), `INFO` where it is unset. `debug` turns on the
/// debug lines of Gatehouse's own crates and nobody else's: those of an HTTP stack may hold
/// headers and bodies.
///
/// # Panics
///
/// When called twice in one process.
pub fn init(env: &Env<'_>, debug: bool) {
    let level = env.text("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let mut targets = Targets::new().with_default(level);
    if debug {
        let ours = ["gatehouse_shared", "ip_ranges_updater", "pipeline_health_gate", "pipeline_retry"];
        targets = targets.with_targets(ours.map(|target| (target, LevelFilter::DEBUG)));
    }
    let json = env.text("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json"));
    // Lambda filters and indexes JSON lines by their keys `timestamp` and `level`; plain lines get
    // their time from CloudWatch.
    if json {
        registry().with(fmt::layer().json().flatten_event(true).with_target(false).with_filter(targets)).init();
    } else {
        registry().with(fmt::layer().without_time().with_target(false).with_ansi(false).with_filter(targets)).init();
    }
}
