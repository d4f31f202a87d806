//! What an event says happened.
//!
//! The types are our own because real events are looser than those of the event crates: CodeStar Notifications says
//! `detailType` and EventBridge `detail-type`, `version` is 5, 5.0 or "1", `failedActions` may repeat or be absent.
//! Nothing is read but what a retry needs.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// What an event says happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A pipeline execution failed in some stage.
    Failed(Failed),
    /// An AWS Health event closed. It names no pipeline.
    HealthClosed {
        /// The ARN of the AWS Health event, or `an AWS Health event without an ARN`.
        event: String,
    },
    /// Nothing that a retry answers.
    Ignored {
        /// Why it is ignored.
        reason: String,
    },
}

/// A failure as CodePipeline tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Id of the pipeline execution.
    pub execution_id: String,
    /// Name of the stage; `None` where a pipeline-level event of EventBridge leaves it out.
    pub stage: Option<String>,
    /// Which of the notices of one and the same failure this is.
    pub level: Level,
}

/// CodePipeline tells of one failure three times: for the action, for its stage, for the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// An action failed; one notice for each action.
    Action,
    /// A stage failed; one notice for each attempt.
    Stage,
    /// The pipeline execution failed.
    Pipeline,
}

/// Why an event cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// It comes from elsewhere. On a topic for people that is nothing unusual.
    #[error("the field {field} is {seen}: expected {expected}")]
    Foreign {
        /// The field that shows it.
        field: &'static str,
        /// What is in it.
        seen: String,
        /// What is in it in an event of CodePipeline or AWS Health.
        expected: &'static str,
    },
    /// It comes from CodePipeline or AWS Health, and lacks what they always say.
    #[error("the field {field} is {seen}: expected {expected}")]
    Malformed {
        /// The field that is wrong.
        field: &'static str,
        /// What is in it.
        seen: String,
        /// What should be in it.
        expected: &'static str,
    },
}

impl Event {
    /// Reads an event of EventBridge or of CodeStar Notifications.
    ///
    /// ```
    /// use pipeline_retry::event::{Event, Failed, Level};
    /// use serde_json::json;
    ///
    /// let event = json!({
    ///     "source": "aws.codepipeline",
    ///     "detail-type": "CodePipeline Stage Execution State Change",
    ///     "detail": {
    ///         "pipeline": "web",
    ///         "execution-id": "8bdcdf4b-2dd1-4bbe-8aeb-562ff8b55969",
    ///         "stage": "Production",
    ///         "state": "FAILED",
    ///         "version": 16.0
    ///     }
    /// });
    /// let expected = Failed {
    ///     pipeline: "web".to_owned(),
    ///     execution_id: "8bdcdf4b-2dd1-4bbe-8aeb-562ff8b55969".to_owned(),
    ///     stage: Some("Production".to_owned()),
    ///     level: Level::Stage,
    /// };
    /// assert_eq!(Event::parse(&event), Ok(Event::Failed(expected)));
    /// ```
    ///
    /// # Errors
    ///
    /// [`EventError`] names the field, what was in it and what was expected.
    pub fn parse(event: &Value) -> Result<Self, EventError> {
        let Value::Object(event) = event else {
            return Err(foreign("(the whole event)", Some(event), "an object with the field source"));
        };
        // Capitals, and `Detail` as JSON text, are the spelling of `PutEvents`.
        let source = first(event, &["source", "Source"]);
        match source.and_then(Value::as_str) {
            Some("aws.codepipeline") => codepipeline(event),
            // `awshealth.mock` is the source in AWS's sample events, because nobody but AWS may send from `aws.health`.
            Some("aws.health" | "awshealth.mock") => health(event),
            _ => Err(foreign("source", source, "aws.codepipeline or aws.health")),
        }
    }
}

/// Source: CodePipeline User Guide, "Monitoring CodePipeline events" and "Detect and react to changes".
fn codepipeline(event: &Map<String, Value>) -> Result<Event, EventError> {
    let level = match detail_type(event)? {
        "CodePipeline Action Execution State Change" => Level::Action,
        "CodePipeline Stage Execution State Change" => Level::Stage,
        "CodePipeline Pipeline Execution State Change" => Level::Pipeline,
        other => return Ok(ignored(format!("{} is not a change of state", shortened(other)))),
    };
    let detail = detail(event)?;
    let required = |field: &'static str, name: &str| {
        let value = detail.get(name);
        let text = value.and_then(Value::as_str).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| malformed(field, value, "text"))
    };
    let state = required("detail.state", "state")?;
    if state != "FAILED" {
        return Ok(ignored(format!("the state is {}: only FAILED is retried", shortened(&state))));
    }
    let stage = match level {
        Level::Action | Level::Stage => Some(required("detail.stage", "stage")?),
        Level::Pipeline => {
            let stage = event.get("additionalAttributes").and_then(|attributes| attributes.get("failedStage"));
            stage.and_then(Value::as_str).map(str::to_owned)
        }
    };
    Ok(Event::Failed(Failed {
        pipeline: required("detail.pipeline", "pipeline")?,
        execution_id: required("detail.execution-id", "execution-id")?,
        stage,
        level,
    }))
}

/// Source: AWS Health User Guide, "Reference: AWS Health events Amazon EventBridge schema".
fn health(event: &Map<String, Value>) -> Result<Event, EventError> {
    let detail_type = detail_type(event)?;
    if detail_type != "AWS Health Event" {
        return Ok(ignored(format!("{} does not tell of an issue", shortened(detail_type))));
    }
    let detail = detail(event)?;
    let text = |name: &str| detail.get(name).and_then(Value::as_str);
    let event = text("eventArn").unwrap_or("an AWS Health event without an ARN").to_owned();
    let closed = match text("statusCode") {
        Some(status) => status == "closed",
        // Older events have no status, and get an end when they close. That of a planned change is known beforehand.
        None => text("endTime").is_some() && text("eventTypeCategory") != Some("scheduledChange"),
    };
    if !closed {
        return Ok(ignored(format!("{} is not closed", shortened(&event))));
    }
    Ok(Event::HealthClosed { event })
}

fn detail_type(event: &Map<String, Value>) -> Result<&str, EventError> {
    let value = first(event, &["detail-type", "detailType", "DetailType"]);
    value.and_then(Value::as_str).ok_or_else(|| malformed("detail-type", value, "text"))
}

fn detail(event: &Map<String, Value>) -> Result<Cow<'_, Map<String, Value>>, EventError> {
    let value = first(event, &["detail", "Detail"]);
    let parsed = match value {
        Some(Value::Object(detail)) => return Ok(Cow::Borrowed(detail)),
        Some(Value::String(json)) => serde_json::from_str(json).ok(),
        _ => None,
    };
    parsed.map(Cow::Owned).ok_or_else(|| malformed("detail", value, "an object, or the JSON text of one"))
}

fn first<'a>(object: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| object.get(*name))
}

fn ignored(reason: String) -> Event {
    Event::Ignored { reason }
}

fn foreign(field: &'static str, seen: Option<&Value>, expected: &'static str) -> EventError {
    EventError::Foreign { field, seen: described(seen), expected }
}

fn malformed(field: &'static str, seen: Option<&Value>, expected: &'static str) -> EventError {
    EventError::Malformed { field, seen: described(seen), expected }
}

fn described(value: Option<&Value>) -> String {
    match value {
        None => "missing".to_owned(),
        Some(Value::String(text)) => shortened(text),
        Some(Value::Array(_)) => "an array".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// The start of a text in quotes, control characters escaped, fit for a log.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
