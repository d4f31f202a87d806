//! What several of these tests need.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::error::Error;
use std::path::{Path, PathBuf};

/// A file or folder of real inputs: what AWS sent, which is not ours to publish. `None`, said aloud, where there are none.
#[allow(clippy::disallowed_methods, clippy::print_stderr, reason = "for tests alone; not a setting of a function")]
pub fn real(path: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/real");
    if folder.is_dir() {
        let found = folder.join(path);
        assert!(found.exists(), "no {path} among the real inputs in {}", folder.display());
        return Some(found);
    }
    let required = std::env::var("GATEHOUSE_REQUIRE_REAL").is_ok_and(|value| value == "1");
    assert!(!required, "no real inputs in {}, though GATEHOUSE_REQUIRE_REAL is 1", folder.display());
    eprintln!("skipped: no real inputs in {}", folder.display());
    None
}

/// An error and its sources in one line; a source that the text before it ends with is not repeated.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}
