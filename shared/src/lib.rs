//! What every Gatehouse function uses. It names no function and no capability.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@env`] | typed settings, read once at cold start; all faults are reported together |
//! | [`failure`] | stable names of errors; the error chain as text |
//! | [`lambda`] | the loop of a function, which logs failures |
//! | [`region`] | the name of a Region, its partition and DNS suffix; parsed here and nowhere else |
//! | [`clock`] | the only reader of the system time |
//! | [`fetch`] | the only HTTP GET: size limit, time-out, HTTPS, no redirects |
//! | [`log`] | one JSON line for each decision; the report |
//! | [`sns`] | messages: parsing, signature, certificate, topic, age |
//! | [`metrics`] | CloudWatch embedded metric format |
//! | [`text`] | names that others chose, fit for a mail or a page |
//! | `notify` | a summary published to a topic (feature `notify`) |
//! | `testing` | a labelled test key and certificate, a signer (feature `testing`) |

pub mod clock;
pub mod env;
pub mod failure;
pub mod fetch;
pub mod lambda;
pub mod log;
pub mod metrics;
#[cfg(feature = "notify")]
pub mod notify;
pub mod region;
pub mod sns;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
