//! The lines of the log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lambda_runtime::tracing::subscriber;
use lambda_runtime::tracing::subscriber::fmt::MakeWriter;
use serde_json::Value;

/// The lines that `tracing` logs, in the JSON that Lambda gets from a function's log. Clones share them.
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
