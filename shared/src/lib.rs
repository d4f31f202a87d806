//! What every Gatehouse function leans on.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@env`] | typed settings, read once at cold start; all faults are reported together |
//! | [`failure`] | the error chain as text, and as Lambda's `Diagnostic` |
//! | [`region`] | the name of a Region, its partition and DNS suffix; parsed here and nowhere else |
//! | [`clock`] | the only reader of the system time |
//! | [`fetch`] | the only HTTP GET: size limit, time-out, HTTPS, no redirects |
//! | [`log`] | one JSON line for each decision |
//! | [`sns`] | messages: parsing, signature, certificate, topic, age |
//! | [`metrics`] | CloudWatch embedded metric format |
//! | `notify` | a summary published to a topic (feature `notify`) |
//! | `testing` | a labelled test key and certificate, a signer (feature `testing`) |

pub mod clock;
pub mod env;
pub mod failure;
pub mod fetch;
pub mod log;
pub mod metrics;
#[cfg(feature = "notify")]
pub mod notify;
pub mod region;
pub mod sns;
#[cfg(feature = "testing")]
pub mod testing;

/// How each message of the pipeline health gate begins. People, and the retry function, see by it who failed a stage.
pub const HEALTH_GATE_MARK: &str = "[health-gate] ";
