//! Inputs that were recorded from AWS.

use std::path::{Path, PathBuf};

/// A file or folder of real inputs: what AWS or its users sent, which is not ours to publish.
///
/// They are kept beside the repository, in `../shared/real`. Where that folder does not exist, this says so and gives
/// `None`, and the test passes without them.
///
/// # Panics
///
/// When the folder does not exist though `GATEHOUSE_REQUIRE_REAL` is `1`, or when it exists without `path`.
#[must_use]
#[expect(clippy::print_stderr, clippy::disallowed_methods, reason = "for tests alone; not a setting of a function")]
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
