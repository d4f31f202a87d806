//! What tests need of AWS and Lambda. For tests alone: crates name it among their `dev-dependencies`.
//!
//! | | |
//! |---|---|
//! | [`Aws`] | one scripted AWS behind the SDK's clients: it replies by rule, records calls, fails, throttles, loses replies, hangs |
//! | [`context`], [`invocation`] | Lambda's context, with a deadline |
//! | [`LogLines`] | the lines of the log |
//! | [`Signer`], [`StaticCertificates`], [`notification`], [`lambda_event`] | SNS messages with a labelled test key (feature `signer`) |
//! | [`chat_message`] | whether a message has the form of Amazon Q Developer in chat applications |
//! | [`real`] | inputs that were recorded from AWS |
//!
//! It depends on no client of a service and on none of the functions' crates, so each of them can use it.

mod aws;
mod chat;
mod lambda;
mod log_lines;
mod protocol;
mod real;
mod record;

pub use aws::{Aws, Call, Reply};
pub use chat::chat_message;
#[cfg(feature = "signer")]
pub use gatehouse_sns::testing::*;
pub use lambda::{FUNCTION_ARN, REQUEST_ID, context, invocation};
pub use log_lines::LogLines;
pub use real::real;
