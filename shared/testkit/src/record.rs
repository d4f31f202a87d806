//! The requests of all tests, on file, so that they are checked against the models of their services.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde_json::{Map, Value, json};

/// The file; without it nothing is recorded. `local/tests/test_wire.py` reads it.
const FILE: &str = "GATEHOUSE_RECORD_REQUESTS";

/// Adds a request to the file, a line of JSON: `uri`, `headers`, and `body` as a list of bytes. A request that this
/// process recorded before is not added again: properties repeat theirs thousands of times.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests, and of no function")]
pub(crate) fn record(request: &HttpRequest) {
    static SEEN: Mutex<Option<HashSet<Vec<u8>>>> = Mutex::new(None);

    let Ok(file) = std::env::var(FILE) else { return };
    let body = request.body().bytes().unwrap_or_default();
    let header = |name: &str| request.headers().get(name).unwrap_or_default();
    let headers: Map<String, Value> = ["authorization", "x-amz-target", "smithy-protocol"]
        .into_iter()
        .filter(|name| !header(name).is_empty())
        .map(|name| (name.to_owned(), header(name).into()))
        .collect();
    let key = [request.uri().as_bytes(), header("x-amz-target").as_bytes(), body].concat();
    if SEEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(key) {
        let line = format!("{}\n", json!({ "uri": request.uri(), "headers": headers, "body": body }));
        // Test programs run one after another, but the threads of one side by side: a line is written at once.
        let written =
            OpenOptions::new().create(true).append(true).open(file).map(|mut it| it.write_all(line.as_bytes()));
        assert!(matches!(written, Ok(Ok(()))), "{FILE}: {written:?}");
    }
}
