//! What AWS publishes, what is wanted of it, and what to change for that. Pure: nothing here knows a client, a clock or
//! the environment, so it is tested and timed without any.
//!
//! A crate of its own also because it is optimised for speed while the rest of the function is optimised for size
//! (`Cargo.toml` of the workspace).

pub mod document;
pub mod family;
pub mod plan;
