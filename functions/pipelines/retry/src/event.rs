//! What an event says happened.
//!
//! The types are our own because real events are looser than those of the event crates: CodeStar Notifications says
//! `detailType` and EventBridge `detail-type`, `version` is 5, 5.0 or "1", `failedActions` may repeat or be absent.
//! Only what a retry needs is read.

use gatehouse_shared::field::{FieldError, seen};
use gatehouse_shared::text::quoted;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What an event says happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A pipeline execution failed in some stage.
    Failed(Failed),
    /// An AWS Health event closed. It names no pipeline.
    HealthClosed(HealthClosed),
    /// Nothing that a retry answers.
    Ignored {
        /// Why it is ignored.
        reason: String,
    },
}

/// CodePipeline's notice of a failure.
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
    /// When it happened.
    pub time: OffsetDateTime,
}

/// CodePipeline announces one failure three times: for the action, for its stage, for the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// An action failed; one notice for each action.
    Action,
    /// A stage failed; one notice for each attempt.
    Stage,
    /// The pipeline execution failed.
    Pipeline,
}

/// An AWS Health event that closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthClosed {
    /// Its ARN, by which the messages of the health gate name it.
    pub arn: String,
    /// The type of the event, such as `AWS_EC2_OPERATIONAL_ISSUE`.
    pub type_code: String,
    /// The service that was affected, such as `EC2`.
    pub service: String,
    /// The Region where it happened. AWS also sends public events to a backup Region, so this may be another one than
    /// the Region that received it. For the notification only.
    pub region: Option<String>,
    /// When AWS sent it: attempts that began later met the gate after the closing.
    pub time: Option<OffsetDateTime>,
}

/// Why an event cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// It comes from elsewhere. On a topic for people that is nothing unusual.
    #[error(transparent)]
    Foreign(FieldError),
    /// It comes from CodePipeline or AWS Health, and lacks a field that their events always have.
    #[error(transparent)]
    Malformed(FieldError),
}

impl Event {
    /// Reads an event of EventBridge or of CodeStar Notifications.
    ///
    /// ```
    /// use pipeline_retry::event::{Event, Failed, Level};
    /// use serde_json::json;
    /// use time::macros::datetime;
    ///
    /// let event = json!({
    ///     "source": "aws.codepipeline",
    ///     "detail-type": "CodePipeline Stage Execution State Change",
    ///     "time": "2026-08-13T07:47:06Z",
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
    ///     time: datetime!(2026-08-13 07:47:06 UTC),
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
        let source = event.get("source");
        match source.and_then(Value::as_str) {
            Some("aws.codepipeline") => codepipeline(event),
            Some("aws.health") => health(event),
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
        other => return Ok(ignored(format!("{} is not a change of state", quoted(other)))),
    };
    let detail = detail(event)?;
    let state = text(detail, "state", "detail.state")?;
    if state != "FAILED" {
        return Ok(ignored(format!("the state is {}: only FAILED is retried", quoted(&state))));
    }
    let stage = match level {
        Level::Action | Level::Stage => Some(text(detail, "stage", "detail.stage")?),
        Level::Pipeline => {
            let stage = event.get("additionalAttributes").and_then(|attributes| attributes.get("failedStage"));
            stage.and_then(Value::as_str).map(str::to_owned)
        }
    };
    Ok(Event::Failed(Failed {
        pipeline: text(detail, "pipeline", "detail.pipeline")?,
        execution_id: text(detail, "execution-id", "detail.execution-id")?,
        stage,
        level,
        time: time(event)?,
    }))
}

/// Source: AWS Health User Guide, "Reference: AWS Health events Amazon EventBridge schema".
fn health(event: &Map<String, Value>) -> Result<Event, EventError> {
    let detail_type = detail_type(event)?;
    // Events about abuse have a type of their own; both say the same.
    if !["AWS Health Event", "AWS Health Abuse Event"].contains(&detail_type) {
        return Ok(ignored(format!("{} is not an AWS Health event", quoted(detail_type))));
    }
    let detail = detail(event)?;
    let arn = text(detail, "eventArn", "detail.eventArn")?;
    if detail.get("statusCode").is_none_or(|status| status != "closed") {
        return Ok(ignored(format!("{} is not closed", quoted(&arn))));
    }
    Ok(Event::HealthClosed(HealthClosed {
        arn,
        type_code: text(detail, "eventTypeCode", "detail.eventTypeCode")?,
        service: text(detail, "service", "detail.service")?,
        region: text(detail, "eventRegion", "detail.eventRegion").ok(),
        time: time(event).ok(),
    }))
}

/// EventBridge and CodeStar Notifications spell it differently.
fn detail_type(event: &Map<String, Value>) -> Result<&str, EventError> {
    let value = event.get("detail-type").or_else(|| event.get("detailType"));
    value.and_then(Value::as_str).ok_or_else(|| malformed("detail-type", value, "text"))
}

fn detail(event: &Map<String, Value>) -> Result<&Map<String, Value>, EventError> {
    let value = event.get("detail");
    value.and_then(Value::as_object).ok_or_else(|| malformed("detail", value, "an object"))
}

fn time(event: &Map<String, Value>) -> Result<OffsetDateTime, EventError> {
    let value = event.get("time");
    let time = value.and_then(Value::as_str).and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    time.ok_or_else(|| malformed("time", value, "a time such as 2026-08-13T07:47:06Z"))
}

/// `path` is `name` with the way to it, for the error.
fn text(detail: &Map<String, Value>, name: &str, path: &'static str) -> Result<String, EventError> {
    let value = detail.get(name);
    let text = value.and_then(Value::as_str).filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| malformed(path, value, "text"))
}

fn ignored(reason: String) -> Event {
    Event::Ignored { reason }
}

fn foreign(field: &str, value: Option<&Value>, expected: &str) -> EventError {
    EventError::Foreign(FieldError::new(field, seen(value), format_args!("expected {expected}")))
}

fn malformed(field: &str, value: Option<&Value>, expected: &str) -> EventError {
    EventError::Malformed(FieldError::new(field, seen(value), format_args!("expected {expected}")))
}
