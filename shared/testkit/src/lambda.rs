//! Invocations as the Lambda runtime hands them over.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lambda_runtime::{Context, LambdaEvent};

/// The function in a [`context`].
pub const FUNCTION_ARN: &str = "arn:aws:lambda:eu-west-1:111122223333:function:gatehouse";

/// The id of the request in a [`context`].
pub const REQUEST_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";

/// The context of an invocation that Lambda stops after `left`.
///
/// # Panics
///
/// When the deadline is not a time in milliseconds.
#[must_use]
#[expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "for tests alone; Lambda's deadline is a wall-clock time"
)]
pub fn context(left: Duration) -> Context {
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970") + left;
    let mut context = Context::default();
    context.request_id = REQUEST_ID.to_owned();
    context.invoked_function_arn = FUNCTION_ARN.to_owned();
    context.deadline = u64::try_from(deadline.as_millis()).expect("a deadline in milliseconds");
    context
}

/// An invocation with this event that Lambda stops after a minute.
#[must_use]
pub fn invocation<T>(event: T) -> LambdaEvent<T> {
    LambdaEvent::new(event, context(Duration::from_secs(60)))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "Lambda's deadline is a wall-clock time")]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_is_in_milliseconds_since_1970() {
        let left =
            |context: &Context| context.deadline().duration_since(SystemTime::now()).unwrap_or_default().as_secs();
        assert!((55..=60).contains(&left(&invocation(()).context)));
        assert_eq!(left(&context(Duration::ZERO)), 0);
    }
}
