//! The loop of a function: takes events from Lambda, hands them to the handler, answers, and logs a failure.
//!
//! ```no_run
//! use gatehouse_shared::env::{Env, Reader, SettingsError};
//! use gatehouse_shared::{lambda, log};
//! use lambda_runtime::LambdaEvent;
//! use serde_json::Value;
//!
//! # struct Function;
//! # impl Function {
//! #     fn from_env(_: &Reader<'_>) -> Option<Self> { Some(Self) }
//! #     async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, SettingsError> { Ok(event.payload) }
//! # }
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), lambda_runtime::Error> {
//!     let env = Env::of_process();
//!     log::init(&env, env!("CARGO_CRATE_NAME"));
//!     let function = match env.read(Function::from_env) {
//!         Ok(function) => function,
//!         Err(error) => return lambda::answer_always(error).await,
//!     };
//!     lambda::run(|event| function.handle(event)).await
//! }
//! ```

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::{ErrorType, chain};

/// Hands every event to `handler` until Lambda ends the process.
///
/// A failure is logged once, here, as one line with the fields `errorType` and `error`; Lambda is answered with the
/// same two texts. A panic is a failure with the `errorType` `Panic`; the process goes on.
///
/// # Errors
///
/// Those that make the Lambda runtime itself give up.
pub async fn run<H, F, T, E>(handler: H) -> Result<(), lambda_runtime::Error>
where
    H: Fn(LambdaEvent<Value>) -> F,
    F: Future<Output = Result<T, E>>,
    T: Serialize,
    E: ErrorType,
{
    let handler = |event: LambdaEvent<Value>| {
        let LambdaEvent { payload, context } = event;
        // On the heap: as a part of the runtime's own futures it is deeper than the compiler looks.
        logged(Box::pin(handler(LambdaEvent { payload: sent_again(payload), context })))
    };
    lambda_runtime::run(service_fn(handler)).await
}

/// The event in what a failure queue keeps, so that a person sends it again as it is.
///
/// | in the queue | put there by | the event |
/// |---|---|---|
/// | a record with `requestContext` and `requestPayload` | Lambda, of an event that failed to the end | `requestPayload` |
/// | a signed SNS message | SNS, of a message that it could not deliver | that which SNS invokes a function with |
/// | an event | EventBridge, of one that it could not deliver | itself |
///
/// Sources: Lambda Developer Guide, "Retaining records of asynchronous invocations"; SNS Developer Guide, "Amazon SNS
/// dead-letter queues".
fn sent_again(payload: Value) -> Value {
    let has_all = |names: &[&str]| names.iter().all(|name| payload.get(name).is_some());
    if has_all(&["requestContext", "requestPayload"]) {
        let Value::Object(mut record) = payload else { return payload };
        return record.remove("requestPayload").unwrap_or_default();
    }
    if has_all(&["Type", "MessageId", "TopicArn", "Signature"]) {
        return json!({ "Records": [{ "EventSource": "aws:sns", "Sns": payload }] });
    }
    payload
}

/// Answers every invocation with one error that was met at the cold start, such as invalid settings.
///
/// A process that ends instead is reported by Lambda as `Runtime.ExitError` and started again: whoever invoked it never
/// learns what is wrong.
///
/// # Errors
///
/// Those that make the Lambda runtime itself give up.
pub async fn answer_always(error: impl ErrorType) -> Result<(), lambda_runtime::Error> {
    let diagnostic = diagnostic(&error);
    let answer = |_: LambdaEvent<Value>| {
        let diagnostic = diagnostic.clone();
        async move {
            log(&diagnostic);
            Err::<Value, _>(diagnostic)
        }
    };
    lambda_runtime::run(service_fn(answer)).await
}

/// The outcome for Lambda; a failure, or a panic, is logged.
async fn logged<T, E: ErrorType>(work: impl Future<Output = Result<T, E>>) -> Result<T, Diagnostic> {
    let failure = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => diagnostic(&error),
        Err(panic) => Diagnostic { error_type: "Panic".to_owned(), error_message: panic_text(&*panic) },
    };
    log(&failure);
    Err(failure)
}

/// The only place that logs a failure of an invocation. `log::init` silences the line that the Lambda runtime writes.
fn log(Diagnostic { error_type, error_message }: &Diagnostic) {
    tracing::error!(errorType = error_type, error = error_message, "the invocation failed");
}

fn diagnostic(error: &impl ErrorType) -> Diagnostic {
    Diagnostic { error_type: error.error_type().to_owned(), error_message: chain(error) }
}

/// What a panic says of itself, with what to do next.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the function has a fault of its own: {}; report it with this log", text.unwrap_or("no details"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Env, SettingsError};

    fn settings_fault() -> SettingsError {
        Env::of_table(&[("DRY_RUN", "maybe")]).read(|env| Some(env.flag("DRY_RUN", false))).unwrap_err()
    }

    #[test]
    fn what_a_failure_queue_keeps_is_the_event_again() {
        let event = json!({ "Records": [{ "Sns": { "Message": "m" } }] });
        let record = json!({ "version": "1.0", "requestContext": {}, "requestPayload": event, "responsePayload": {} });
        assert_eq!(sent_again(record), event);

        let message = json!({ "Type": "Notification", "MessageId": "1", "TopicArn": "t", "Signature": "s" });
        assert_eq!(sent_again(message.clone()), json!({ "Records": [{ "EventSource": "aws:sns", "Sns": message }] }));

        let of_http = json!({ "version": "2.0", "requestContext": {}, "body": "{\"requestPayload\": 1}" });
        let of_event_bridge = json!({ "source": "aws.health", "detail": { "requestPayload": 1 } });
        for unchanged in [event, of_http, of_event_bridge, json!({}), json!([1]), json!(null)] {
            assert_eq!(sent_again(unchanged.clone()), unchanged);
        }
    }

    #[tokio::test]
    async fn an_answer_is_handed_on() {
        assert_eq!(logged(async { Ok::<_, SettingsError>(7) }).await, Ok(7));
    }

    #[tokio::test]
    async fn a_failure_has_its_stable_name_and_the_whole_chain() {
        let failure = logged(async { Err::<(), _>(settings_fault()) }).await.unwrap_err();
        assert_eq!(failure.error_type, "InvalidSettings");
        assert_eq!(failure.error_message, "invalid settings: DRY_RUN is \"maybe\": expected true or false");
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_too() {
        let cases: [(fn(), &str); 2] = [
            (|| panic!("at the disco"), "the function has a fault of its own: at the disco; report it with this log"),
            (|| std::panic::panic_any(7), "the function has a fault of its own: no details; report it with this log"),
        ];
        for (fault, expected) in cases {
            let work = async {
                fault();
                Ok::<_, SettingsError>(())
            };
            let failure = logged(work).await.unwrap_err();
            assert_eq!((failure.error_type.as_str(), failure.error_message.as_str()), ("Panic", expected));
        }
    }
}
