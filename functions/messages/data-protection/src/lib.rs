//! AWS's data protection policies: the policy language, the managed data identifiers, and what a subscriber receives.

mod identifiers;
mod json;
mod normalize;
mod path;
mod policy;
mod principal;
mod rewrite;
mod rules;

pub use crate::identifiers::Managed;
pub use crate::policy::{Direction, Fault, Faults, Policy};
pub use crate::principal::Principal;
pub use crate::rewrite::{Attribute, AttributeValue, Content, Decision, Done, Finding, Verdict, apply};
pub use crate::rules::Rules;
