//! What every Gatehouse function uses. It names no function and no capability.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@env`] | typed settings, read once at cold start; all faults are reported together |
//! | [`failure`] | stable names of errors; the error chain as text |
//! | [`field`] | a field of an event or a message that does not have its form |
//! | [`lambda`] | the loop of a function, which logs failures |
//! | [`sdk`] | what the AWS SDK takes from the environment |
//! | [`aws_error`] | what an error of AWS means: transient or not |
//! | [`clock`] | the only reader of the system time |
//! | [`deadline`] | until when an invocation may work, so that it reports in time |
//! | [`log`] | one JSON line for each decision; the report |
//! | [`sns`] | the crate `gatehouse-sns`: messages and their verification; with it [`arn`], [`region`] and [`fetch`] |
//! | [`verifier`] | its verifier, with settings from the environment |
//! | [`metrics`] | CloudWatch embedded metric format |
//! | [`text`], [`mod@harmless`] | names that others chose, fit for a mail or a page |
//! | [`console`] | pages of the AWS console |
//! | `sqs` | the messages of a queue, and which of them are delivered again (feature `sqs`) |
//! | `notify`, `chat` | a notification, by mail and in chat (feature `notify`; chat is Amazon Q Developer in chat applications) |

pub mod aws_error;
#[cfg(feature = "notify")]
pub mod chat;
pub mod clock;
pub mod console;
pub mod deadline;
pub mod env;
pub mod failure;
pub mod field;
pub mod harmless;
pub mod lambda;
pub mod log;
pub mod metrics;
#[cfg(feature = "notify")]
pub mod notify;
pub mod sdk;
#[cfg(feature = "sqs")]
pub mod sqs;
pub mod text;
pub mod verifier;

pub use gatehouse_sns as sns;

/// The one HTTP GET: size limit, time-out, HTTPS, no redirects.
pub mod fetch {
    pub use gatehouse_sns::{FetchError, Fetcher, PlainHttp};
}

/// ARNs in their parts, and ids of accounts; parsed in `gatehouse-sns` and nowhere else.
pub mod arn {
    pub use gatehouse_sns::{AccountId, Arn};
}

/// The name of a Region, its partition and DNS suffix; parsed in `gatehouse-sns` and nowhere else.
pub mod region {
    pub use gatehouse_sns::{Region, RegionError};
}
