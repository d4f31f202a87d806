//! Looks at a pipeline and does what the verdict says.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_codepipeline::types::{ActionExecutionDetail, ActionExecutionFilter, StageState};
use gatehouse_shared::notify::Notifier;

use crate::config::Config;
use crate::error::{Error, outcome};
use crate::event::{Failed, Level};
use crate::report::{Decision, Outcome};
use crate::verdict::{Verdict, failed_stages, verdict};

/// How many give-ups are remembered. The memory ends with the process anyway.
const MOST_TOLD: usize = 1_000;

/// Retries failed stages, or tells that the retries are spent.
pub(crate) struct Retrier {
    config: Config,
    codepipeline: Client,
    notifier: Option<Notifier>,
    /// Give-ups that people were told of: pipeline, execution, stage, number of failures.
    told: Mutex<HashSet<(String, String, String, usize)>>,
}

/// A failed stage of one pipeline execution.
struct Target<'a> {
    pipeline: &'a str,
    stage: &'a str,
    execution_id: &'a str,
}

impl Retrier {
    pub(crate) fn new(config: Config, codepipeline: Client, notifier: Option<Notifier>) -> Self {
        Self { config, codepipeline, notifier, told: Mutex::default() }
    }

    /// Answers the notice of a failure.
    pub(crate) async fn failed(&self, notice: &Failed) -> Vec<Decision> {
        let mut decisions = self.pipeline(&notice.pipeline, Some(notice)).await;
        // What was decided before a stage was looked at concerns the one that the notice names.
        for decision in &mut decisions {
            decision.stage = decision.stage.take().or_else(|| notice.stage.clone());
            decision.execution_id = decision.execution_id.take().or_else(|| Some(notice.execution_id.clone()));
        }
        decisions
    }

    /// Answers an AWS Health event that closed: every stage that is failed now, of each pipeline in `PIPELINES`.
    pub(crate) async fn health_closed(&self, event: &str) -> Vec<Decision> {
        if self.config.pipelines.is_empty() {
            let reason = format!("{event} closed, but PIPELINES is unset: name the pipelines that it retries");
            return vec![Decision::new(Outcome::Left, reason)];
        }
        let mut decisions = Vec::new();
        for pipeline in &self.config.pipelines {
            decisions.extend(self.pipeline(pipeline, None).await);
        }
        for decision in &mut decisions {
            decision.reason = format!("{event} closed; {}", decision.reason);
        }
        decisions
    }

    async fn pipeline(&self, pipeline: &str, notice: Option<&Failed>) -> Vec<Decision> {
        let of_pipeline = |decision| vec![Decision { pipeline: Some(pipeline.to_owned()), ..decision }];
        let left = |reason: String| of_pipeline(Decision::new(Outcome::Left, reason));

        let allowed = &self.config.pipelines;
        if !allowed.is_empty() && !allowed.iter().any(|name| name == pipeline) {
            return left("the pipeline is not one of PIPELINES".to_owned());
        }
        let state = match self.codepipeline.get_pipeline_state().name(pipeline).send().await {
            Ok(state) => state,
            Err(error) => return of_pipeline(decision_of("GetPipelineState", pipeline, error)),
        };
        let stages = match failed_stages(state.stage_states(), notice) {
            Ok(stages) => stages,
            Err(reason) => return left(reason),
        };
        let mut decisions = Vec::new();
        for (stage, execution_id) in stages {
            let target = Target { pipeline, stage: stage.stage_name().unwrap_or_default(), execution_id };
            let decision = self.stage(&target, stage, notice.map(|notice| notice.level)).await;
            decisions.push(Decision {
                pipeline: Some(pipeline.to_owned()),
                stage: Some(target.stage.to_owned()),
                execution_id: Some(target.execution_id.to_owned()),
                ..decision
            });
        }
        decisions
    }

    async fn stage(&self, target: &Target<'_>, stage: &StageState, level: Option<Level>) -> Decision {
        let history = match self.history(target).await {
            Ok(history) => history,
            Err(decision) => return decision,
        };
        match verdict(stage, &history, &self.config) {
            Verdict::Leave { reason } => Decision::new(Outcome::Left, reason),
            Verdict::NotYet { reason } => Error::NotYet { reason }.into(),
            Verdict::Retry { failures } => self.retry(target, failures).await,
            Verdict::GiveUp { failures, message } => self.give_up(target, level, failures, &message).await,
        }
    }

    async fn history(&self, target: &Target<'_>) -> Result<Vec<ActionExecutionDetail>, Decision> {
        let filter = ActionExecutionFilter::builder().pipeline_execution_id(target.execution_id).build();
        let request = self.codepipeline.list_action_executions().pipeline_name(target.pipeline).filter(filter);
        let pages = request.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        pages.map_err(|error| decision_of("ListActionExecutions", target.pipeline, error))
    }

    async fn retry(&self, target: &Target<'_>, failures: usize) -> Decision {
        let Config { max_retries, retry_mode, dry_run, .. } = &self.config;
        let reason = format!("retry {failures} of {max_retries}, {retry_mode}");
        if *dry_run {
            return Decision::new(Outcome::Planned, reason);
        }
        let request = self
            .codepipeline
            .retry_stage_execution()
            .pipeline_name(target.pipeline)
            .stage_name(target.stage)
            .pipeline_execution_id(target.execution_id)
            .retry_mode(retry_mode.clone());
        match request.send().await {
            Ok(_) => Decision::new(Outcome::Retried, reason),
            Err(error) => decision_of("RetryStageExecution", target.pipeline, error),
        }
    }

    /// Tells people, once for each failure beyond the last retry.
    ///
    /// The notices of the action and of the pipeline say the same as that of the stage, so only the latter is passed
    /// on. When it comes twice (SNS and SQS deliver at least once; CodeStar Notifications and an EventBridge rule may
    /// both be wired), this process remembers that people know. Two processes at a time share no memory: then, and
    /// after a cold start, a repeated notice is told again. A second mail is better than none.
    async fn give_up(&self, target: &Target<'_>, level: Option<Level>, failures: usize, message: &str) -> Decision {
        let Target { pipeline, stage, execution_id } = *target;
        let max_retries = self.config.max_retries;
        let spent = format!("failed {failures} times, and MAX_RETRIES is {max_retries}");
        let gave_up = |what: &str| Decision::new(Outcome::GaveUp, format!("{spent}; {what}"));

        if self.config.dry_run {
            return Decision::new(Outcome::Planned, format!("{spent}; people would be told"));
        }
        if level != Some(Level::Stage) {
            return gave_up("the notice of the stage's failure tells people");
        }
        let Some(notifier) = &self.notifier else { return gave_up("nobody is told: NOTIFY_TOPIC_ARN is unset") };
        let key = (pipeline.to_owned(), execution_id.to_owned(), stage.to_owned(), failures);
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return gave_up("people were told before");
        }
        let subject = format!("Gave up: stage {stage} of pipeline {pipeline} stays failed");
        let text = format!(
            "The stage {stage} of the pipeline {pipeline} {spent}. It is not retried again.\n\n\
             Pipeline execution: {execution_id}\n\
             It failed with:\n{message}\n\n\
             When the cause is gone, retry it in the console of CodePipeline, or with:\n\
             aws codepipeline retry-stage-execution --pipeline-name {pipeline} --stage-name {stage} \
             --pipeline-execution-id {execution_id} --retry-mode {}\n",
            self.config.retry_mode
        );
        if let Err(error) = notifier.publish(&subject, &text).await {
            return Error::Notify(Box::new(error)).into();
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST_TOLD {
            told.clear();
        }
        told.insert(key);
        drop(told);
        gave_up("people were told")
    }
}

fn decision_of<E>(operation: &'static str, pipeline: &str, error: SdkError<E>) -> Decision
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match outcome(operation, pipeline, error) {
        Ok(reason) => Decision::new(Outcome::Left, reason),
        Err(error) => error.into(),
    }
}
