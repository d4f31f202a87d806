//! The only reader of the system time.
//!
//! Code that decides gets the time as an argument; only the entry points of a function read it here.

use std::time::Duration;

use time::OffsetDateTime;

/// The current time in UTC.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the only place that reads the clock")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// The time from `now` to Lambda's deadline for this invocation; zero once it has passed.
///
/// `deadline` is in milliseconds since 1970-01-01, as in `Context::deadline`, which comes from the header
/// `Lambda-Runtime-Deadline-Ms`.
///
/// ```
/// use std::time::Duration;
/// use gatehouse_shared::clock;
///
/// let now = clock::now();
/// let deadline = (now.unix_timestamp() as u64 + 3) * 1_000;
/// assert!(clock::until(deadline, now) <= Duration::from_secs(3));
/// assert_eq!(clock::until(0, now), Duration::ZERO);
/// ```
#[must_use]
pub fn until(deadline: u64, now: OffsetDateTime) -> Duration {
    let now = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    Duration::from_millis(deadline.saturating_sub(now))
}
