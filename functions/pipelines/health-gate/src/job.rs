//! The job that CodePipeline hands to a Lambda action, or what invokes the gate without one.

use serde_json::Value;

use crate::config::KEYS;
use crate::error::Error;

/// What the gate needs of a job.
///
/// Read field by field, because a job that is odd in one of them can still be answered as long as it has an id, and
/// one that is not answered keeps the action running until CodePipeline gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What the answer has to name. Without one the invocation itself is the answer, see [`Job::parse`].
    pub id: Option<String>,
    /// `UserParameters` of the action or rule.
    pub user_parameters: Option<String>,
    /// What this gate answered the last time, if the stage is waiting.
    pub continuation_token: Option<String>,
}

impl Job {
    /// Reads the event of a Lambda action, or of a `LambdaInvoke` rule of a condition.
    ///
    /// AWS documents the event of an action. Of a rule it documents that the function gets the `UserParameters` "in
    /// key-value pair format": so an event without a job may be them, or have them in a field of that name.
    ///
    /// Source: CodePipeline User Guide, "AWS Lambda invoke action reference", example JSON event; "LambdaInvoke" in the
    /// rule reference.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEvent`] where it is neither: it names the keys of the event and no value, because a job holds
    /// credentials.
    pub fn parse(event: &Value) -> Result<Self, Error> {
        let invalid = || {
            let keys = event.as_object().map(|event| event.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
            Error::InvalidEvent { keys: keys.join(", ") }
        };
        let Some(job) = event.get("CodePipeline.job") else {
            let fields = event.as_object().ok_or_else(invalid)?;
            let user_parameters = match fields.get("UserParameters") {
                Some(parameters) => text(parameters),
                None if fields.keys().all(|key| KEYS.contains(&key.as_str())) => Some(event.to_string()),
                None => return Err(invalid()),
            };
            return Ok(Self { id: None, user_parameters, continuation_token: None });
        };
        let id = job["id"].as_str().filter(|id| !id.is_empty()).ok_or_else(invalid)?;
        let data = &job["data"];
        Ok(Self {
            id: Some(id.to_owned()),
            user_parameters: text(&data["actionConfiguration"]["configuration"]["UserParameters"]),
            continuation_token: text(&data["continuationToken"]),
        })
    }
}

/// A field that should be text. Anything else is kept as JSON, so that it is refused by name or, being an object, read.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gatehouse_testkit::real;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_event_of_the_user_guide_is_read() {
        let Some(path) = real("codepipeline/action-referen-02-job.json") else { return };
        let event = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let expected = Job {
            id: Some("11111111-abcd-1111-abcd-111111abcdef".to_owned()),
            user_parameters: Some("input_parameter".to_owned()),
            continuation_token: Some("token_ID".to_owned()),
        };
        assert_eq!(Job::parse(&event).unwrap(), expected);
    }

    #[test]
    fn only_the_id_is_needed() {
        let minimal = |configuration: Value| {
            let data = json!({ "actionConfiguration": { "configuration": configuration } });
            Job::parse(&json!({ "CodePipeline.job": { "id": "1", "data": data } })).unwrap().user_parameters
        };
        assert_eq!(minimal(json!({ "FunctionName": "gate" })), None);
        assert_eq!(minimal(json!({ "UserParameters": null })), None);
        assert_eq!(minimal(json!({ "UserParameters": "" })).as_deref(), Some(""));
        assert_eq!(
            minimal(json!({ "UserParameters": { "wait_minutes": 3 } })).as_deref(),
            Some(r#"{"wait_minutes":3}"#)
        );
        assert!(Job::parse(&json!({ "CodePipeline.job": { "id": "1", "data": "odd" } })).is_ok());
    }

    #[test]
    fn without_a_job_the_event_is_the_user_parameters() {
        let parameters = r#"{"regions":"eu-west-1"}"#;
        for (event, expected) in [
            (json!({ "regions": "eu-west-1" }), Some(parameters)),
            (json!({ "UserParameters": parameters, "pipeline": "web" }), Some(parameters)),
            (json!({ "UserParameters": { "regions": "eu-west-1" } }), Some(parameters)),
            (json!({ "UserParameters": null }), None),
            (json!({}), Some("{}")),
        ] {
            let job = Job::parse(&event).unwrap();
            assert_eq!(
                (job.id, job.user_parameters.as_deref(), job.continuation_token),
                (None, expected, None),
                "{event}"
            );
        }
    }

    #[test]
    fn the_error_names_keys_and_no_values() {
        let event = json!({ "CodePipeline.job": { "data": { "artifactCredentials": "secret" } }, "Records": [] });
        assert_eq!(
            Job::parse(&event).unwrap_err().to_string(),
            "the event is not one of CodePipeline: expected CodePipeline.job with an id, as a Lambda action sends it, or \
             only UserParameters, as a rule of a condition sends them; got the keys CodePipeline.job, Records",
        );
        for event in [
            json!(null),
            json!([]),
            json!("x"),
            json!({ "CodePipeline.job": { "id": "" } }),
            json!({ "CodePipeline.job": null }),
            json!({ "regions": "eu-west-1", "artifactCredentials": "secret" }),
        ] {
            assert!(Job::parse(&event).is_err_and(|error| !error.to_string().contains("secret")), "{event}");
        }
    }

    proptest! {
        #[test]
        fn any_event_is_read_or_refused_without_a_panic(id in any::<Option<String>>(), field in ".{0,20}", value in any::<String>()) {
            let event = json!({ "CodePipeline.job": { "id": id, "data": { field: value } } });
            prop_assert_eq!(Job::parse(&event).is_ok(), id.is_some_and(|id| !id.is_empty()));
        }
    }
}
