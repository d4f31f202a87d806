//! The loop of a function: takes events from Lambda, hands them to the handler, answers, and logs a failure.
//!
//! ```no_run
//! use gatehouse_shared::env::{Env, EnvError};
//! use gatehouse_shared::{lambda, log};
//! use lambda_runtime::LambdaEvent;
//! use serde_json::Value;
//!
//! # struct Function;
//! # impl Function {
//! #     fn from_env(_: &Env<'_>) -> Self { Self }
//! #     async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, EnvError> { Ok(event.payload) }
//! # }
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), lambda_runtime::Error> {
//!     let env = Env::of_process();
//!     log::init(&env, env!("CARGO_CRATE_NAME"));
//!     let function = match env.finish(Function::from_env(&env)) {
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
use serde_json::Value;

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
    lambda_runtime::run(service_fn(|event| logged(handler(event)))).await
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
    use crate::env::{Env, EnvError};

    fn settings_fault() -> EnvError {
        let env = Env::of_table(&[("DRY_RUN", "maybe")]);
        env.flag("DRY_RUN", false);
        env.finish(()).unwrap_err()
    }

    #[tokio::test]
    async fn an_answer_is_handed_on() {
        assert_eq!(logged(async { Ok::<_, EnvError>(7) }).await, Ok(7));
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
                Ok::<_, EnvError>(())
            };
            let failure = logged(work).await.unwrap_err();
            assert_eq!((failure.error_type.as_str(), failure.error_message.as_str()), ("Panic", expected));
        }
    }
}
