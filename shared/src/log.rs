//! One structured line for each decision.

use lambda_runtime::tracing::subscriber::filter::{LevelFilter, Targets};
use lambda_runtime::tracing::subscriber::prelude::*;
use lambda_runtime::tracing::subscriber::{fmt, registry};

use crate::env::Env;

/// Sends `tracing` events to stdout: one JSON object a line where Lambda's log format is JSON
/// (`AWS_LAMBDA_LOG_FORMAT`), plain text elsewhere.
///
/// The level is Lambda's (`AWS_LAMBDA_LOG_LEVEL`), `INFO` where it is unset. `debug` asks for Gatehouse's debug lines
/// whatever the level is. Other crates never get below `INFO`: the lines of an HTTP stack may hold headers and bodies.
///
/// # Panics
///
/// When called twice in one process.
pub fn init(env: &Env<'_>, debug: bool) {
    let level = env.text("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let targets = targets(level, debug);
    let json = env.text("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json"));
    // Lambda filters and indexes JSON lines by their keys `timestamp` and `level`; plain lines get
    // their time from CloudWatch.
    if json {
        registry().with(fmt::layer().json().flatten_event(true).with_target(false).with_filter(targets)).init();
    } else {
        registry().with(fmt::layer().without_time().with_target(false).with_ansi(false).with_filter(targets)).init();
    }
}

const OURS: [&str; 4] = ["gatehouse_shared", "ip_ranges_updater", "pipeline_health_gate", "pipeline_retry"];

fn targets(level: LevelFilter, debug: bool) -> Targets {
    let ours = if debug { level.max(LevelFilter::DEBUG) } else { level };
    Targets::new().with_default(level.min(LevelFilter::INFO)).with_targets(OURS.map(|target| (target, ours)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

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
            let targets = targets(level, debug);
            for at in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
                let case = format!("{level} {debug} {at}");
                assert_eq!(targets.would_enable("ip_ranges_updater::region", &at), at <= ours, "{case}");
                assert_eq!(
                    targets.would_enable("hyper_util::client", &at),
                    others.is_some_and(|most| at <= most),
                    "{case}"
                );
            }
        }
    }
}
