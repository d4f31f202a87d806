//! The only reader of the system time.
//!
//! Code that decides gets the time as an argument; only the entry points of a function read it here.

use time::OffsetDateTime;

/// The current time in UTC.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the only place that reads the clock")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
