//! The updater's pure modules, from its own sources: they know no AWS client, so timing them needs none.

#[path = "../../../functions/ip-ranges/updater/src/config.rs"]
pub mod config;
#[path = "../../../functions/ip-ranges/updater/src/document.rs"]
pub mod document;
#[path = "../../../functions/ip-ranges/updater/src/plan.rs"]
pub mod plan;
