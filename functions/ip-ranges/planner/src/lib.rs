//! No Lambda function: the part of `ip-ranges-updater` that reads ip-ranges.json and plans what to change.
//!
//! It is a crate of its own because Cargo sets the optimisation level by crate: this one is compiled for speed, the rest
//! of the function for a small zip (`[profile.release.package.ip-ranges-planner]` in the workspace's `Cargo.toml`).
//! Nothing here knows a client, a clock or the environment, so it is tested without any, and without compiling the SDK.

pub mod document;
pub mod family;
pub mod plan;
pub mod service;
pub mod set;
mod special_purpose;
