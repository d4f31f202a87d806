//! Settings of the function.

use aws_sdk_codepipeline::types::StageRetryMode;
use gatehouse_shared::env::Env;
use gatehouse_shared::sns::TopicArn;

/// Settings, read once at cold start. `SNS_VERIFY`, `TOPIC_ARNS` and `SNS_MAX_AGE_SECONDS` belong to
/// [`gatehouse_shared::sns`].
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `PIPELINES`: names of the pipelines that may be retried, comma-separated; empty means any. An AWS Health event
    /// names no pipeline, so it retries those listed here, and none where the list is empty.
    pub pipelines: Vec<String>,
    /// `MAX_RETRIES`: how often one stage is retried in one pipeline execution; 5 where it is unset.
    pub max_retries: usize,
    /// `RETRY_MODE`: `FAILED_ACTIONS`, the default, or `ALL_ACTIONS`, which runs those that succeeded again too and must
    /// wait until no action of the stage is in progress.
    pub retry_mode: StageRetryMode,
    /// `RETRY_ANY_FAILURE`: retry a stage whatever it failed for, not only at the health gate; a rejected approval is
    /// asked for again.
    pub retry_any_failure: bool,
    /// `NOTIFY_TOPIC_ARN`: the topic that is told when the retries are spent.
    pub notify_topic_arn: Option<TopicArn>,
    /// `DRY_RUN`: log what would be done and stop.
    pub dry_run: bool,
}

impl Config {
    /// Reads the settings. Whatever is wrong with them is told by [`Env::finish`].
    #[must_use]
    pub fn from_env(env: &Env<'_>) -> Self {
        Self {
            pipelines: pipelines(env),
            max_retries: env.parsed("MAX_RETRIES").unwrap_or(5),
            retry_mode: retry_mode(env),
            retry_any_failure: env.flag("RETRY_ANY_FAILURE", false),
            notify_topic_arn: env.parsed("NOTIFY_TOPIC_ARN"),
            dry_run: env.flag("DRY_RUN", false),
        }
    }
}

/// CodePipeline API Reference, `GetPipelineState`: 1 to 100 characters of `[A-Za-z0-9.@\-_]`.
fn pipelines(env: &Env<'_>) -> Vec<String> {
    let is_name = |name: &str| {
        name.len() <= 100 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".@-_".contains(&byte))
    };
    let names: Vec<String> = env.list("PIPELINES");
    for name in names.iter().filter(|name| !is_name(name)) {
        env.fault("PIPELINES", name, "expected names of pipelines, not their ARNs, comma-separated");
    }
    // A list of nothing but commas would admit every pipeline, which nobody who sets it can want.
    if let Some(text) = env.text("PIPELINES").filter(|_| names.is_empty()) {
        env.fault("PIPELINES", &text, "expected names of pipelines, comma-separated, or nothing to admit any");
    }
    names
}

fn retry_mode(env: &Env<'_>) -> StageRetryMode {
    let Some(text) = env.text("RETRY_MODE") else { return StageRetryMode::FailedActions };
    StageRetryMode::try_parse(&text).unwrap_or_else(|_| {
        env.fault("RETRY_MODE", &text, "expected FAILED_ACTIONS or ALL_ACTIONS");
        StageRetryMode::FailedActions
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_gives_the_documented_defaults() {
        let env = Env::of_table(&[]);
        let config = env.finish(Config::from_env(&env)).unwrap();
        let expected = Config {
            pipelines: vec![],
            max_retries: 5,
            retry_mode: StageRetryMode::FailedActions,
            retry_any_failure: false,
            notify_topic_arn: None,
            dry_run: false,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn every_setting_is_read() {
        let env = Env::of_table(&[
            ("PIPELINES", "web, api-v2 ,"),
            ("MAX_RETRIES", "0"),
            ("RETRY_MODE", "ALL_ACTIONS"),
            ("RETRY_ANY_FAILURE", "true"),
            ("NOTIFY_TOPIC_ARN", "arn:aws:sns:eu-west-1:111122223333:people"),
            ("DRY_RUN", "TRUE"),
        ]);
        let config = env.finish(Config::from_env(&env)).unwrap();
        assert_eq!(config.pipelines, ["web", "api-v2"]);
        assert_eq!(config.max_retries, 0);
        assert_eq!(config.retry_mode, StageRetryMode::AllActions);
        assert!(config.retry_any_failure);
        assert_eq!(config.notify_topic_arn.unwrap().as_str(), "arn:aws:sns:eu-west-1:111122223333:people");
        assert!(config.dry_run);
    }

    #[test]
    fn faults_are_told_all_together() {
        let env = Env::of_table(&[
            ("PIPELINES", "web,arn:aws:codepipeline:eu-west-1:111122223333:api"),
            ("MAX_RETRIES", "-1"),
            ("RETRY_MODE", "all_actions"),
            ("RETRY_ANY_FAILURE", "yes"),
            ("NOTIFY_TOPIC_ARN", "people"),
            ("DRY_RUN", "1"),
        ]);
        assert_eq!(
            env.finish(Config::from_env(&env)).unwrap_err().to_string(),
            "invalid settings: \
             PIPELINES is \"arn:aws:codepipeline:eu-west-1:111122223333:api\": expected names of pipelines, not their \
             ARNs, comma-separated; \
             MAX_RETRIES is \"-1\": invalid digit found in string; \
             RETRY_MODE is \"all_actions\": expected FAILED_ACTIONS or ALL_ACTIONS; \
             RETRY_ANY_FAILURE is \"yes\": expected true or false; \
             NOTIFY_TOPIC_ARN is \"people\": expected arn:<partition>:sns:<region>:<12 digits>:<topic name>; \
             DRY_RUN is \"1\": expected true or false"
        );
    }

    #[test]
    fn a_list_of_commas_does_not_admit_every_pipeline() {
        let env = Env::of_table(&[("PIPELINES", " , ")]);
        let error = env.finish(Config::from_env(&env)).unwrap_err();
        assert!(error.to_string().starts_with("invalid settings: PIPELINES is \",\""), "{error}");
    }
}
