//! Metrics in CloudWatch embedded metric format (EMF): CloudWatch reads them from a log line, so
//! they cost no API call.
//!
//! Source: CloudWatch User Guide, "Specification: Embedded metric format".

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

/// The namespace of every metric of the suite.
pub const NAMESPACE: &str = "Gatehouse";

/// The units of CloudWatch that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A duration.
    Seconds,
}

/// The metrics of one invocation. Their dimension is the function's name.
///
/// ```
/// use gatehouse_shared::metrics::{Metrics, Unit};
/// use time::macros::datetime;
///
/// let line = Metrics::of("updater", datetime!(2026-08-13 07:47:05 UTC))
///     .property("sync_token", "1786607225")
///     .metric("RulesAdded", Unit::Count, 3.0)
///     .line();
/// assert_eq!(
///     serde_json::from_str::<serde_json::Value>(&line).unwrap(),
///     serde_json::json!({
///         "_aws": {
///             "Timestamp": 1_786_607_225_000_u64,
///             "CloudWatchMetrics": [{
///                 "Namespace": "Gatehouse",
///                 "Dimensions": [["FunctionName"]],
///                 "Metrics": [{ "Name": "RulesAdded", "Unit": "Count" }],
///             }],
///         },
///         "FunctionName": "updater",
///         "RulesAdded": 3.0,
///         "sync_token": "1786607225",
///     })
/// );
/// ```
#[derive(Debug)]
pub struct Metrics {
    now: OffsetDateTime,
    definitions: Vec<Value>,
    fields: Map<String, Value>,
}

impl Metrics {
    /// Starts without metrics, for the function of this name and the time `now`.
    #[must_use]
    pub fn of(function_name: &str, now: OffsetDateTime) -> Self {
        let mut fields = Map::new();
        fields.insert("FunctionName".to_owned(), function_name.into());
        Self { now, definitions: Vec::new(), fields }
    }

    /// Adds a field to search for; it is not a metric.
    #[must_use]
    pub fn property(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a metric.
    #[must_use]
    pub fn metric(mut self, name: &str, unit: Unit, value: f64) -> Self {
        let unit = match unit {
            Unit::Count => "Count",
            Unit::Seconds => "Seconds",
        };
        self.definitions.push(json!({ "Name": name, "Unit": unit }));
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a metric of the unit `Count`.
    #[must_use]
    pub fn count(self, name: &str, value: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        self.metric(name, Unit::Count, value as f64)
    }

    /// The EMF line.
    #[must_use]
    pub fn line(mut self) -> String {
        let timestamp = i64::try_from(self.now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        let aws = json!({
            "Timestamp": timestamp,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["FunctionName"]],
                "Metrics": self.definitions,
            }],
        });
        self.fields.insert("_aws".to_owned(), aws);
        Value::Object(self.fields).to_string()
    }

    /// Writes the line to stdout, which Lambda sends to CloudWatch Logs.
    pub fn emit(self) {
        println!("{}", self.line());
    }
}
