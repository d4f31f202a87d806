//! The only reader of the system time.
//!
//! Everything that decides takes the time as an argument; only the edge of a function reads it here.

use std::time::Duration;

use time::OffsetDateTime;

/// The present, in UTC.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one home of the clock")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// How long Lambda still lets this invocation run; zero once the deadline has passed.
///
/// `deadline` is the runtime's own: milliseconds since 1970-01-01, the header
/// `Lambda-Runtime-Deadline-Ms`, in `Context::deadline`.
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
