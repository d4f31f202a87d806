//! What a waiting stage remembers from one invocation to the next: CodePipeline keeps it as the continuation token.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

const VERSION: u8 = 1;

/// Two hosts' clocks may differ by this much.
const CLOCK_SKEW: Duration = Duration::minutes(5);

/// CodePipeline ends a Lambda action after 24 hours, so an older token is not of this action.
///
/// Source: CodePipeline User Guide, "Quotas in AWS CodePipeline".
const MAX_AGE: Duration = Duration::hours(25);

/// The state of a wait. As text: `{"v":1,"started":1786607225,"open":2}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    v: u8,
    started: i64,
    /// How many events were open when AWS Health was last heard.
    pub open: usize,
}

/// Why a continuation token cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the continuation token cannot be used, {0}, so the wait counts as over")]
pub struct TokenError(&'static str);

impl Token {
    /// A wait that began at `started`.
    #[must_use]
    pub fn new(started: OffsetDateTime, open: usize) -> Self {
        Self { v: VERSION, started: started.unix_timestamp(), open }
    }

    /// Reads a token and checks that a wait of this action can have made it.
    ///
    /// # Errors
    ///
    /// [`TokenError`] for text of another origin, another version, a start in the future or too long ago.
    pub fn parse(text: &str, now: OffsetDateTime) -> Result<Self, TokenError> {
        let token: Self = serde_json::from_str(text).map_err(|_| TokenError("it is not one of this gate"))?;
        let age = Duration::seconds(now.unix_timestamp().saturating_sub(token.started));
        match token {
            Self { v, .. } if v != VERSION => Err(TokenError("it is of another version of this gate")),
            _ if age < -CLOCK_SKEW => Err(TokenError("it starts in the future")),
            _ if age > MAX_AGE => Err(TokenError("it is older than an action can be")),
            _ => Ok(token),
        }
    }

    /// How long the stage has been waiting.
    #[must_use]
    pub fn waited(&self, now: OffsetDateTime) -> Duration {
        Duration::seconds(now.unix_timestamp().saturating_sub(self.started)).max(Duration::ZERO)
    }

    /// The same wait, after AWS Health was heard again.
    #[must_use]
    pub fn seen(self, open: usize) -> Self {
        Self { open, ..self }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"{{"v":{},"started":{},"open":{}}}"#, self.v, self.started, self.open)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-08-13 08:00:00 UTC);

    #[test]
    fn a_token_survives_the_journey() {
        let token = Token::new(NOW - Duration::minutes(12), 2);
        assert_eq!(token.to_string(), r#"{"v":1,"started":1786607280,"open":2}"#);
        assert_eq!(Token::parse(&token.to_string(), NOW), Ok(token));
        assert_eq!(token.waited(NOW), Duration::minutes(12));
    }

    #[test]
    fn what_cannot_be_ours_is_refused() {
        let of = |age: Duration| Token::new(NOW - age, 0).to_string();
        for (text, refused) in [
            (of(Duration::ZERO), None),
            (of(Duration::minutes(-5)), None),
            (of(Duration::hours(25)), None),
            (of(Duration::minutes(-6)), Some("future")),
            (of(Duration::hours(26)), Some("older")),
            (r#"{"v":2,"started":1786607280,"open":2}"#.to_owned(), Some("version")),
            (r#"{"v":1,"started":9223372036854775807,"open":0}"#.to_owned(), Some("future")),
            (r#"{"v":1,"started":-9223372036854775808,"open":0}"#.to_owned(), Some("older")),
            (r#"{"v":1}"#.to_owned(), Some("not one of this gate")),
            ("token_ID".to_owned(), Some("not one of this gate")),
            (String::new(), Some("not one of this gate")),
        ] {
            let error = Token::parse(&text, NOW).err().map(|error| error.to_string());
            match refused {
                None => assert_eq!(error, None, "{text}"),
                Some(word) => assert!(error.is_some_and(|error| error.contains(word)), "{text}"),
            }
        }
    }

    #[test]
    fn a_clock_that_runs_behind_has_not_waited() {
        assert_eq!(Token::new(NOW + Duration::minutes(3), 0).waited(NOW), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in any::<String>(), started in any::<i64>(), v in any::<u8>()) {
            let _ = Token::parse(&text, NOW);
            let made = format!(r#"{{"v":{v},"started":{started},"open":0}}"#);
            if let Ok(token) = Token::parse(&made, NOW) {
                prop_assert!(token.waited(NOW) <= MAX_AGE);
            }
        }
    }
}
