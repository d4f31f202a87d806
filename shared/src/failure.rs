//! What Lambda, its alarms and the person on call see when something failed.

use std::error::Error;
use std::fmt::Write as _;

/// An error of any type, as the source of another one.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// An error with a name that stays the same from release to release, so that alarms, retry rules
/// and searches can rely on it.
///
/// [`lambda::run`](crate::lambda::run) logs a failure under that name and answers Lambda with it.
pub trait ErrorType: Error {
    /// The stable name, such as `NoCapacity`. `InvalidSettings`, `InvalidEvent` and `Refused` mean the same in every
    /// function: the settings are wrong; the event is not one that the function understands; the event is not trusted.
    fn error_type(&self) -> &'static str;
}

impl ErrorType for crate::env::SettingsError {
    fn error_type(&self) -> &'static str {
        "InvalidSettings"
    }
}

/// What was done, or the first failure, after everything else was done. Each further failure is logged here: the first is
/// logged as the failure of the invocation.
///
/// # Errors
///
/// The first of `failures`.
pub fn all_or_first<T, E: ErrorType>(done: T, failures: Vec<E>) -> Result<T, E> {
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else { return Ok(done) };
    for error in failures {
        tracing::error!(errorType = error.error_type(), error = chain(&error), "one more message failed");
    }
    Err(first)
}

/// An error and all its sources in one line, joined by `": "`.
///
/// A source whose text the error before it already ends with is not repeated.
///
/// ```
/// use gatehouse_shared::failure::chain;
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("reading the document")]
/// struct Reading(#[source] std::num::ParseIntError);
///
/// let error = Reading("x".parse::<u8>().unwrap_err());
/// assert_eq!(chain(&error), "reading the document: invalid digit found in string");
/// ```
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            let _ = write!(text, ": {next}");
        }
        source = error.source();
    }
    text
}
