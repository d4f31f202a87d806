//! What tests of every crate need: SNS as [`gatehouse_sns::testing`] speaks it, the lines of the log, real inputs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lambda_runtime::tracing::subscriber;
use lambda_runtime::tracing::subscriber::fmt::MakeWriter;
use serde_json::Value;

pub use gatehouse_sns::testing::*;

/// The lines that `tracing` logs, in the JSON that Lambda gets from [`log::init`](crate::log::init). Clones share them.
#[derive(Debug, Clone, Default)]
pub struct LogLines(Arc<Mutex<Vec<u8>>>);

impl LogLines {
    /// Captures the lines of this process from now on.
    ///
    /// For a test that is the only one of its process: `tracing` decides once for all threads whether a line is of
    /// interest.
    ///
    /// # Panics
    ///
    /// When called twice in one process.
    #[must_use]
    pub fn capture() -> Self {
        let lines = Self::default();
        subscriber::fmt().json().flatten_event(true).with_target(false).with_writer(lines.clone()).init();
        lines
    }

    /// The lines since the last time, without their `timestamp`.
    ///
    /// # Panics
    ///
    /// When a line is not a JSON object.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a test that meets such a line should fail right there")]
    pub fn take(&self) -> Vec<Value> {
        let text = String::from_utf8(std::mem::take(&mut *self.bytes())).unwrap();
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("timestamp");
            line
        };
        text.lines().map(line).collect()
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MakeWriter<'_> for LogLines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for LogLines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.bytes().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/real");
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
