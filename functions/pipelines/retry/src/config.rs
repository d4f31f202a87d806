//! Settings of the function.

use std::str::FromStr;

use aws_sdk_codepipeline::types::StageRetryMode;
use gatehouse_shared::chat::ChatTopic;
use gatehouse_shared::env::Reader;
use gatehouse_shared::sns::TopicArn;
use time::Duration;

/// Settings, read once at cold start. Those that begin with `SNS_`, and `TOPIC_ARNS`, belong to
/// [`gatehouse_shared::verifier`].
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `PIPELINES`: names of the pipelines that may be retried, comma-separated; unset means any. An AWS Health event
    /// names no pipeline, so it retries those listed here, and none where the list is unset.
    pub pipelines: Option<Vec<PipelineName>>,
    /// `MAX_RETRIES`: how often one stage is retried in one pipeline execution; 5 where it is unset.
    pub max_retries: usize,
    /// `RETRY_DELAY_SECONDS`: how long the queue delays a notice. An attempt that began sooner after the failure before
    /// was not started by a delayed retry, and does not count as one; 0, the default, counts every attempt.
    pub retry_delay: Duration,
    /// `HEALTH_GATE_FUNCTION_NAME`: by it a gate that gave no answer is recognised in the history.
    pub health_gate_function_name: Option<String>,
    /// `RETRY_MODE`: `FAILED_ACTIONS`, the default, or `ALL_ACTIONS`, which also runs those that succeeded again and
    /// must wait until no action of the stage is in progress.
    pub retry_mode: StageRetryMode,
    /// `RETRY_ANY_FAILURE`: retry a stage whatever it failed for, not only at the health gate. What only a person can
    /// fix, and an approval that was rejected or timed out, is not retried even so.
    pub retry_any_failure: bool,
    /// `NOTIFY_TOPIC_ARN`: the topic that gets a message when the retries are used up, and when stages were retried
    /// because an AWS Health event closed.
    pub notify_topic_arn: Option<TopicArn>,
    /// `CHAT_TOPIC_ARN`: the topic of Amazon Q Developer in chat applications, for the same.
    pub chat_topic: Option<ChatTopic>,
    /// `DRY_RUN`: log what would be done and stop.
    pub dry_run: bool,
}

/// The name of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineName(String);

/// Source: Lambda API Reference, CreateFunction.
fn function_name(env: &Reader<'_>) -> Option<String> {
    let name = env.text("HEALTH_GATE_FUNCTION_NAME")?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.len() > 64 || !name.chars().all(is_name) {
        env.fault("HEALTH_GATE_FUNCTION_NAME", &name, "expected the name of a Lambda function, not its ARN");
    }
    Some(name)
}

/// The text is not the name of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a pipeline, not its ARN")]
pub struct PipelineNameError;

impl Config {
    /// Reads the settings.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        Some(Self {
            pipelines: env.list("PIPELINES"),
            max_retries: env.within("MAX_RETRIES", 0..=100).unwrap_or(5),
            retry_delay: Duration::seconds(env.within("RETRY_DELAY_SECONDS", 0..=900).unwrap_or(0)),
            health_gate_function_name: function_name(env),
            retry_mode: retry_mode(env),
            retry_any_failure: env.flag("RETRY_ANY_FAILURE", false),
            notify_topic_arn: env.parsed("NOTIFY_TOPIC_ARN"),
            chat_topic: ChatTopic::from_env(env),
            dry_run: env.flag("DRY_RUN", false),
        })
    }
}

impl PipelineName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PipelineName {
    type Err = PipelineNameError;

    /// Source: CodePipeline API Reference, `GetPipelineState`: 1 to 100 characters of `[A-Za-z0-9.@\-_]`.
    fn from_str(name: &str) -> Result<Self, PipelineNameError> {
        let is_name = (1..=100).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".@-_".contains(&byte));
        if is_name { Ok(Self(name.to_owned())) } else { Err(PipelineNameError) }
    }
}

fn retry_mode(env: &Reader<'_>) -> StageRetryMode {
    let Some(text) = env.text("RETRY_MODE") else { return StageRetryMode::FailedActions };
    StageRetryMode::try_parse(&text).unwrap_or_else(|_| {
        env.fault("RETRY_MODE", &text, "expected FAILED_ACTIONS or ALL_ACTIONS");
        StageRetryMode::FailedActions
    })
}

#[cfg(test)]
mod tests {
    use gatehouse_shared::env::Env;

    use super::*;

    #[test]
    fn nothing_set_gives_the_documented_defaults() {
        let env = Env::of_table(&[]);
        let config = env.read(Config::from_env).unwrap();
        let expected = Config {
            pipelines: None,
            max_retries: 5,
            retry_delay: Duration::ZERO,
            health_gate_function_name: None,
            retry_mode: StageRetryMode::FailedActions,
            retry_any_failure: false,
            notify_topic_arn: None,
            chat_topic: None,
            dry_run: false,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn every_setting_is_read() {
        let env = Env::of_table(&[
            ("PIPELINES", "web, api-v2 ,web"),
            ("MAX_RETRIES", "0"),
            ("RETRY_DELAY_SECONDS", "900"),
            ("HEALTH_GATE_FUNCTION_NAME", "gate"),
            ("RETRY_MODE", "ALL_ACTIONS"),
            ("RETRY_ANY_FAILURE", "true"),
            ("NOTIFY_TOPIC_ARN", "arn:aws:sns:eu-west-1:111122223333:people"),
            ("DRY_RUN", "TRUE"),
        ]);
        let config = env.read(Config::from_env).unwrap();
        let pipelines = config.pipelines.unwrap();
        assert_eq!(pipelines.iter().map(PipelineName::as_str).collect::<Vec<_>>(), ["web", "api-v2"]);
        assert_eq!(config.max_retries, 0);
        assert_eq!(config.retry_delay, Duration::minutes(15));
        assert_eq!(config.health_gate_function_name.as_deref(), Some("gate"));
        assert_eq!(config.retry_mode, StageRetryMode::AllActions);
        assert!(config.retry_any_failure);
        assert_eq!(config.notify_topic_arn.unwrap().as_str(), "arn:aws:sns:eu-west-1:111122223333:people");
        assert!(config.dry_run);
    }

    #[test]
    fn all_faults_are_reported_together() {
        let env = Env::of_table(&[
            ("PIPELINES", "web,arn:aws:codepipeline:eu-west-1:111122223333:api"),
            ("MAX_RETRIES", "-1"),
            ("RETRY_DELAY_SECONDS", "901"),
            ("RETRY_MODE", "all_actions"),
            ("RETRY_ANY_FAILURE", "yes"),
            ("NOTIFY_TOPIC_ARN", "people"),
            ("DRY_RUN", "1"),
        ]);
        assert_eq!(
            env.read(Config::from_env).unwrap_err().to_string(),
            "invalid settings: \
             PIPELINES is \"arn:aws:codepipeline:eu-west-1:111122223333:api\": expected the name of a pipeline, not its \
             ARN; \
             MAX_RETRIES is \"-1\": expected a whole number from 0 to 100; \
             RETRY_DELAY_SECONDS is \"901\": expected a whole number from 0 to 900; \
             RETRY_MODE is \"all_actions\": expected FAILED_ACTIONS or ALL_ACTIONS; \
             RETRY_ANY_FAILURE is \"yes\": expected true or false; \
             NOTIFY_TOPIC_ARN is \"people\": expected arn:<partition>:sns:<region>:<12 digits>:<topic name>; \
             DRY_RUN is \"1\": expected true or false"
        );
    }

    #[test]
    fn a_list_of_commas_does_not_admit_every_pipeline() {
        let env = Env::of_table(&[("PIPELINES", " , ")]);
        let error = env.read(Config::from_env).unwrap_err();
        assert!(error.to_string().starts_with("invalid settings: PIPELINES is \",\""), "{error}");
    }

    #[test]
    fn names_of_pipelines_have_1_to_100_characters() {
        for (name, accepted) in
            [("a.b@c_d-E9", true), (&"a".repeat(100), true), (&"a".repeat(101), false), ("a b", false), ("", false)]
        {
            assert_eq!(name.parse::<PipelineName>().is_ok(), accepted, "{name}");
        }
    }
}
