//! A field of an event or a message that does not have its form.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

use crate::text::quoted;

/// A field that cannot be used: its path, what it is, and what is expected of it.
///
/// ```
/// use gatehouse_shared::field::{self, FieldError};
///
/// let error = field::parse::<u16>("detail.port", "many").unwrap_err();
/// assert_eq!(error.to_string(), r#"the field detail.port is "many": invalid digit found in string"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the field {field} is {seen}: {expected}")]
pub struct FieldError {
    field: String,
    seen: String,
    expected: String,
}

impl FieldError {
    /// `seen` is shown as it is: untrusted text is [`quoted`] or [`seen`]. `expected` begins with that word, as the errors of
    /// our types do.
    #[must_use]
    pub fn new(field: impl Into<String>, seen: impl Into<String>, expected: impl Display) -> Self {
        Self { field: field.into(), seen: seen.into(), expected: expected.to_string() }
    }
}

/// The value that the text of a field has.
///
/// # Errors
///
/// [`FieldError`], with the text and the error of the type.
pub fn parse<T>(field: &str, text: &str) -> Result<T, FieldError>
where
    T: FromStr<Err: Display>,
{
    text.parse().map_err(|error| FieldError::new(field, quoted(text), error))
}

/// A JSON value, fit for an error: a short text in quotes, and of an array or an object only that it is one.
///
/// ```
/// use gatehouse_shared::field::seen;
/// use serde_json::json;
///
/// assert_eq!([seen(None), seen(Some(&json!("a"))), seen(Some(&json!([1])))], ["missing", "\"a\"", "an array"]);
/// ```
#[must_use]
pub fn seen(value: Option<&Value>) -> String {
    match value {
        None => "missing".to_owned(),
        Some(Value::String(text)) => quoted(text),
        Some(Value::Array(_)) => "an array".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
        Some(other) => other.to_string(),
    }
}
