//! What Lambda, its alarms and the person on call are told when something failed.

use std::error::Error;
use std::fmt::Write as _;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;

/// An error with a name that stays the same from release to release, so that alarms, retry rules
/// and searches can rely on it.
pub trait ErrorType: Error {
    /// The stable name, such as `NoCapacity`.
    fn error_type(&self) -> &'static str;
}

impl ErrorType for crate::env::EnvError {
    fn error_type(&self) -> &'static str {
        "InvalidSettings"
    }
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

/// What Lambda answers for an error: its stable name and the whole chain.
///
/// A type of another crate can be turned into a `Diagnostic` only where the error lives, so each
/// function has `impl From<Error> for Diagnostic` that calls this.
#[must_use]
pub fn diagnostic(error: &impl ErrorType) -> Diagnostic {
    Diagnostic { error_type: error.error_type().to_owned(), error_message: chain(error) }
}

/// Answers every invocation with one error that was met at cold start, such as invalid settings.
///
/// A process that ends instead is reported by Lambda as `Runtime.ExitError` and started again: the
/// caller is never told what is wrong.
///
/// # Errors
///
/// Whatever makes the Lambda runtime itself give up.
pub async fn answer_always(error: impl ErrorType) -> Result<(), lambda_runtime::Error> {
    let diagnostic = diagnostic(&error);
    tracing::error!(error_type = diagnostic.error_type, error = diagnostic.error_message, "cannot start");
    lambda_runtime::run(service_fn(|_: LambdaEvent<Value>| {
        let diagnostic = diagnostic.clone();
        async move { Err::<Value, _>(diagnostic) }
    }))
    .await
}
