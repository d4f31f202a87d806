//! AWS's data protection policies: the policy language, the managed data identifiers, and what a subscriber receives.
//!
//! ```
//! use data_protection::{Content, Decision, Direction, Engine, Policy};
//!
//! let policy = Policy::parse(
//!     r#"{
//!         "Name": "reports", "Version": "2021-06-01",
//!         "Statement": [{
//!             "DataDirection": "Outbound", "Principal": ["role/Reporting"],
//!             "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/Ssn-US"],
//!             "Operation": { "Deidentify": { "MaskConfig": { "MaskWithCharacter": "*" } } }
//!         }]
//!     }"#,
//! )
//! .unwrap();
//! let principal = "arn:aws:iam::111122223333:role/Reporting".parse().unwrap();
//! policy.applies_to(Direction::Outbound, &principal).unwrap();
//! let engine = Engine::new(&policy, Direction::Outbound, &principal);
//! let outcome = engine.apply(&Content::message(r#"{"ssn": ["536228726"]}"#));
//! assert_eq!((outcome.findings[0].path.as_str(), outcome.findings[0].range.clone()), ("$.ssn[0]", 0..9));
//! let Decision::Deliver(content) = outcome.decision else { panic!() };
//! assert_eq!(content.message, r#"{"ssn": ["*********"]}"#);
//! ```
//!
//! # What is searched
//!
//! Message, subject and attributes. In JSON, keys, texts and numbers are each one text; texts that are JSON themselves are
//! searched as JSON. All keys that lead to a value count as words near it. A text is searched as it is written and as it is
//! read once its escapes are decoded; findings are masked where they are written, and everything else stays byte for byte.
//!
//! # Limitations
//!
//! - Values that are parted between two fields are not found, nor what is in base64, compressed or encrypted.
//! - Names and addresses are not found: no pattern does.
//! - A search of a custom regex that finds nothing takes linear time. One with an alternative that runs ahead and fails, such
//!   as `.*x|a`, runs ahead again for each finding: the time is quadratic in the length of a line, or of the text where the
//!   regex matches line breaks.

mod decode;
mod embedded;
mod engine;
mod identifiers;
mod json;
mod normalize;
mod path;
mod policy;
mod principal;
mod rewrite;
mod words;

pub use crate::engine::{Engine, Options};
pub use crate::identifiers::Managed;
pub use crate::policy::{Direction, Fault, Faults, LogsPolicy, NothingApplies, Policy};
pub use crate::principal::Principal;
pub use crate::rewrite::{Attribute, AttributeValue, Content, Decision, Done, Finding, Outcome};
