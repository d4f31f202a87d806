//! Looks at a pipeline and does what the verdict says.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_codepipeline::types::{
    ActionExecutionDetail, ActionExecutionFilter, ExecutionMode, PipelineExecutionStatus, PipelineExecutionSummary,
    StageState,
};
use gatehouse_shared::console;
use gatehouse_shared::deadline::within;
use gatehouse_shared::notify::Notification;
use gatehouse_shared::region::Region;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::config::Config;
use crate::error::{Error, Refusal, refusal};
use crate::event::{Failed, HealthClosed, Level};
use crate::report::{StageDecision, StageOutcome, Work};
use crate::verdict::{
    MAX_AGE, NoStage, Release, Trigger, Verdict, failed_at_the_gate, failed_stages, parallel_stages, verdict,
};

const SUPERSEDED: &str = "superseded by a later execution";

/// Retries failed stages. What people should hear of it is given back, to be sent after it is logged.
pub(crate) struct Retrier {
    config: Config,
    codepipeline: Client,
}

/// A failed stage of one pipeline execution.
struct Target<'a> {
    pipeline: &'a str,
    stage: &'a str,
    execution_id: &'a str,
}

impl Target<'_> {
    /// In chat, what is about one execution is one thread, which the gate's notification begins.
    fn notification(
        &self,
        subject: String,
        text: String,
        label: &'static str,
        region: Option<&Region>,
    ) -> Notification {
        let Target { pipeline, stage, execution_id } = *self;
        let page = region.and_then(|region| console::pipeline_execution(region, pipeline, execution_id));
        Notification::new(subject, text)
            .in_thread(execution_id)
            .with_link(label, page)
            .with_context("pipeline", pipeline)
            .with_context("stage", stage)
            .with_context("executionId", execution_id)
    }
}

impl Retrier {
    pub(crate) fn new(config: Config, codepipeline: Client) -> Self {
        Self { config, codepipeline }
    }

    /// Answers the notice of a failure.
    pub(crate) async fn failed(&self, notice: &Failed) -> Work {
        let mut work = if self.is_allowed(&notice.pipeline) {
            self.pipeline(&notice.pipeline, &Trigger::Failed(notice)).await
        } else {
            StageDecision::new(StageOutcome::Skipped, "the pipeline is not one of PIPELINES").into()
        };
        // What was decided before a stage was looked at concerns the one that the notice names.
        for decision in &mut work.decisions {
            decision.pipeline.get_or_insert_with(|| notice.pipeline.clone());
            decision.stage = decision.stage.take().or_else(|| notice.stage.clone());
            decision.execution_id.get_or_insert_with(|| notice.execution_id.clone());
        }
        work
    }

    /// Answers an AWS Health event that closed: looks at each pipeline in `PIPELINES`, until `stop`.
    pub(crate) async fn health_closed(&self, event: &HealthClosed, now: OffsetDateTime, stop: Instant) -> Work {
        let Some(pipelines) = &self.config.pipelines else {
            let reason = "an AWS Health event closed, but PIPELINES is unset: name the pipelines that it retries";
            return StageDecision::new(StageOutcome::Skipped, reason).into();
        };
        let trigger = Trigger::HealthClosed { arn: &event.arn, sent: event.time, now };
        let mut decisions = Vec::new();
        for pipeline in pipelines {
            let work = work_within(stop, self.pipeline(pipeline.as_str(), &trigger)).await;
            decisions.extend(work.decisions.into_iter().map(|mut decision| {
                decision.pipeline.get_or_insert_with(|| pipeline.as_str().to_owned());
                decision
            }));
        }
        let mail = closed_mail(event, &decisions, self.region().as_ref());
        Work { decisions, mail }
    }

    /// Where the pipelines are.
    fn region(&self) -> Option<Region> {
        self.codepipeline.config().region()?.as_ref().parse().ok()
    }

    fn is_allowed(&self, pipeline: &str) -> bool {
        self.config.pipelines.as_ref().is_none_or(|names| names.iter().any(|name| name.as_str() == pipeline))
    }

    async fn pipeline(&self, pipeline: &str, trigger: &Trigger<'_>) -> Work {
        let state = match self.codepipeline.get_pipeline_state().name(pipeline).send().await {
            Ok(state) => state,
            Err(error) => return decision_of("GetPipelineState", pipeline, error).into(),
        };
        let stages = state.stage_states();
        match (failed_stages(stages, trigger), trigger) {
            (Err(NoStage::Superseded { by }), Trigger::Failed(notice)) => self.not_latest(stages, notice, &by).await,
            (Err(reason), Trigger::Failed(_)) => StageDecision::new(StageOutcome::Skipped, reason.to_string()).into(),
            (Ok(failed), Trigger::Failed(_)) => self.stages(pipeline, &failed, trigger).await,
            (Ok(failed), Trigger::HealthClosed { now, .. }) => {
                let mut work = self.stages(pipeline, &failed, trigger).await;
                let shown: Vec<_> = failed.iter().map(|(_, execution_id)| *execution_id).collect();
                work.extend(self.others(pipeline, stages, &shown, trigger, *now).await);
                work
            }
            (Err(reason), Trigger::HealthClosed { now, .. }) => {
                let work = self.others(pipeline, stages, &[], trigger, *now).await;
                if work.decisions.is_empty() {
                    return StageDecision::new(StageOutcome::Ignored, reason.to_string()).into();
                }
                work
            }
        }
    }

    /// The failed stages that the state shows, each with its execution.
    async fn stages(&self, pipeline: &str, failed: &[(&StageState, &str)], trigger: &Trigger<'_>) -> Work {
        let mut work = Work::default();
        for (stage, execution_id) in failed {
            let target = Target { pipeline, stage: stage.stage_name().unwrap_or_default(), execution_id };
            let (decision, mail) = match self.history(&target).await {
                Ok(history) => self.stage(&target, stage, &history, trigger).await,
                Err(decision) => (decision, None),
            };
            work.extend(target.work(decision, mail));
        }
        work
    }

    /// What a closed event stopped in a pipeline of mode `PARALLEL`, in executions that the state does not show.
    async fn others(
        &self,
        pipeline: &str,
        stages: &[StageState],
        shown: &[&str],
        trigger: &Trigger<'_>,
        now: OffsetDateTime,
    ) -> Work {
        let executions = match self.executions(pipeline).await {
            Ok(executions) => executions,
            Err(decision) => return decision.into(),
        };
        let oldest = (now - MAX_AGE).unix_timestamp();
        let failed = executions.iter().filter(|execution| {
            is_parallel(execution)
                && execution.status() == Some(&PipelineExecutionStatus::Failed)
                && execution.last_update_time().is_none_or(|changed| changed.secs() >= oldest)
        });
        let mut work = Work::default();
        for execution in failed.filter_map(|execution| execution.pipeline_execution_id()) {
            if !shown.contains(&execution) {
                work.extend(self.parallel(pipeline, execution, stages, None, trigger).await);
            }
        }
        work
    }

    /// One execution of a pipeline of mode `PARALLEL`: its failed stages, or the one that is named.
    async fn parallel(
        &self,
        pipeline: &str,
        execution_id: &str,
        stages: &[StageState],
        named: Option<&str>,
        trigger: &Trigger<'_>,
    ) -> Work {
        let of_execution = Target { pipeline, stage: named.unwrap_or_default(), execution_id };
        let history = match self.history(&of_execution).await {
            Ok(history) => history,
            Err(decision) => return decision.into(),
        };
        let mut work = Work::default();
        for own in parallel_stages(stages, execution_id, &history) {
            let target = Target { stage: own.stage_name().unwrap_or_default(), ..of_execution };
            if named.is_none_or(|named| named == target.stage) {
                let (decision, mail) = self.stage(&target, &own, &history, trigger).await;
                work.extend(target.work(decision, mail));
            }
        }
        work
    }

    async fn stage(
        &self,
        target: &Target<'_>,
        stage: &StageState,
        history: &[ActionExecutionDetail],
        trigger: &Trigger<'_>,
    ) -> (StageDecision, Option<Notification>) {
        let verdict = verdict(stage, history, trigger, &self.config);
        tracing::debug!(
            pipeline = target.pipeline,
            stage = target.stage,
            action_executions = history.len(),
            ?verdict,
            "looked at the stage"
        );
        let decision = match verdict {
            Verdict::Skip { reason } => StageDecision::new(StageOutcome::Skipped, reason),
            Verdict::NotAffected => {
                StageDecision::new(StageOutcome::Ignored, "the message of the failure does not name the closed event")
            }
            Verdict::NotYet { reason } => Error::NotYet { reason }.into(),
            Verdict::Held { reason, release } => return self.held(target, trigger, &reason, &release),
            Verdict::Retry { reason } => return self.retry(target, trigger, &reason).await,
            Verdict::GiveUp { failures, message } => return self.give_up(target, trigger, failures, &message),
        };
        (decision, None)
    }

    /// The latest executions of the pipeline, the newest first: as many as one answer has, which is more than may run at
    /// once.
    async fn executions(&self, pipeline: &str) -> Result<Vec<PipelineExecutionSummary>, StageDecision> {
        let request = self.codepipeline.list_pipeline_executions().pipeline_name(pipeline).max_results(100);
        let answer = request.send().await.map_err(|error| decision_of("ListPipelineExecutions", pipeline, error))?;
        Ok(answer.pipeline_execution_summaries.unwrap_or_default())
    }

    async fn history(&self, target: &Target<'_>) -> Result<Vec<ActionExecutionDetail>, StageDecision> {
        let filter = ActionExecutionFilter::builder().pipeline_execution_id(target.execution_id).build();
        let request = self.codepipeline.list_action_executions().pipeline_name(target.pipeline).filter(filter);
        let pages = request.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        pages.map_err(|error| decision_of("ListActionExecutions", target.pipeline, error))
    }

    async fn retry(
        &self,
        target: &Target<'_>,
        trigger: &Trigger<'_>,
        reason: &str,
    ) -> (StageDecision, Option<Notification>) {
        let Config { retry_mode, dry_run, .. } = &self.config;
        let reason = format!("{reason}, {retry_mode}");
        if *dry_run {
            return (StageDecision::new(StageOutcome::Planned, reason), None);
        }
        let request = self
            .codepipeline
            .retry_stage_execution()
            .pipeline_name(target.pipeline)
            .stage_name(target.stage)
            .pipeline_execution_id(target.execution_id)
            .retry_mode(retry_mode.clone());
        let Err(error) = request.send().await else {
            return (StageDecision::new(StageOutcome::Retried, reason), None);
        };
        match refusal("RetryStageExecution", target.pipeline, error) {
            Refusal::Superseded => {
                let mail = is_of_stage(trigger).then(|| superseded_mail(target, "another one", self.region().as_ref()));
                (StageDecision::new(StageOutcome::Skipped, SUPERSEDED), mail)
            }
            Refusal::Final(reason) => (StageDecision::new(StageOutcome::Skipped, reason), None),
            Refusal::Again(error) => (error.into(), None),
        }
    }

    /// The notices of the action and of the pipeline say the same as that of the stage, so only the latter is mailed.
    fn give_up(
        &self,
        target: &Target<'_>,
        trigger: &Trigger<'_>,
        failures: usize,
        message: &str,
    ) -> (StageDecision, Option<Notification>) {
        let Target { pipeline, stage, execution_id } = *target;
        let Config { max_retries, dry_run, .. } = self.config;
        let used_up = format!("failed {failures} times, and MAX_RETRIES is {max_retries}");
        if dry_run {
            return (
                StageDecision::new(StageOutcome::Planned, format!("{used_up}; a notification would be sent")),
                None,
            );
        }
        let mail = is_of_stage(trigger).then(|| {
            let subject = format!("Gatehouse pipelines: stage {stage} of pipeline {pipeline} is not retried any more");
            let text = format!(
                "Stage {stage} of pipeline {pipeline} {used_up}. It is not retried any more.\n\n\
                 Pipeline execution: {execution_id}\n\
                 It failed with:\n{message}\n\n\
                 When the cause is gone, retry it in the CodePipeline console, or with:\n{}\n",
                self.command(pipeline, stage, execution_id)
            );
            target.notification(subject, text, "Retry the stage when the cause is gone", self.region().as_ref())
        });
        (StageDecision::new(StageOutcome::GaveUp, used_up), mail)
    }

    /// Only a person lets the stage go on, so a person must know that it is not retried.
    fn held(
        &self,
        target: &Target<'_>,
        trigger: &Trigger<'_>,
        reason: &str,
        release: &Release,
    ) -> (StageDecision, Option<Notification>) {
        let Target { pipeline, stage, execution_id } = *target;
        let mail = (is_of_stage(trigger) && !self.config.dry_run).then(|| {
            let (label, release) = match release {
                Release::Retry => (
                    "Retry the stage when it may go on",
                    format!(
                        "retry it in the CodePipeline console, or with:\n{}",
                        self.command(pipeline, stage, execution_id)
                    ),
                ),
                Release::Override(condition) => (
                    "Override the condition when the stage may go on",
                    format!(
                        "override the condition in the CodePipeline console, or with:\n\
                         aws codepipeline override-stage-condition --pipeline-name {pipeline} --stage-name {stage} \
                         --pipeline-execution-id {execution_id} --condition-type {condition}"
                    ),
                ),
            };
            let subject = format!("Gatehouse pipelines: stage {stage} of pipeline {pipeline} is not retried");
            let text = format!(
                "Stage {stage} of pipeline {pipeline} failed at the health gate, and is not retried: {reason}.\n\n\
                 Pipeline execution: {execution_id}\n\n\
                 When it may go on, {release}\n"
            );
            target.notification(subject, text, label, self.region().as_ref())
        });
        (StageDecision::new(StageOutcome::Skipped, reason), mail)
    }

    /// Another execution is the latest of the stage. In mode `PARALLEL` that says nothing about this one, which has a state
    /// of its own there. AWS does not document whether CodePipeline retries it, so it is asked: where it refuses, people are
    /// notified, as in the other modes.
    async fn not_latest(&self, stages: &[StageState], notice: &Failed, by: &str) -> Work {
        let Failed { pipeline, execution_id, stage, .. } = notice;
        let executions = match self.executions(pipeline).await {
            Ok(executions) => executions,
            Err(decision) => return decision.into(),
        };
        let this = executions.iter().find(|execution| execution.pipeline_execution_id() == Some(execution_id));
        if !this.is_some_and(is_parallel) {
            return self.superseded(notice, by).await;
        }
        let trigger = Trigger::Failed(notice);
        let work = self.parallel(pipeline, execution_id, stages, stage.as_deref(), &trigger).await;
        if work.decisions.is_empty() {
            return StageDecision::new(StageOutcome::Skipped, "the stage is not failed any more in this execution")
                .into();
        }
        work
    }

    /// CodePipeline retries only the latest execution of a stage, so what the gate stopped is dropped, and people are
    /// notified.
    async fn superseded(&self, notice: &Failed, by: &str) -> Work {
        let Failed { pipeline, execution_id, stage, level, .. } = notice;
        let reason = format!("superseded: the latest execution of the stage is {by}");
        let skipped = StageDecision::new(StageOutcome::Skipped, reason.as_str());
        let stage = stage.as_deref().unwrap_or_default();
        if self.config.dry_run || *level != Level::Stage {
            return skipped.into();
        }
        let target = Target { pipeline, stage, execution_id };
        let history = match self.history(&target).await {
            Ok(history) => history,
            Err(decision) if decision.error.is_some() => return decision.into(),
            Err(_) => return skipped.into(),
        };
        let mail = failed_at_the_gate(stage, &history, &self.config)
            .then(|| superseded_mail(&target, by, self.region().as_ref()));
        Work { decisions: vec![skipped], mail }
    }

    fn command(&self, pipeline: &str, stage: &str, execution_id: &str) -> String {
        format!(
            "aws codepipeline retry-stage-execution --pipeline-name {pipeline} --stage-name {stage} \
             --pipeline-execution-id {execution_id} --retry-mode {}",
            self.config.retry_mode
        )
    }
}

impl Target<'_> {
    /// What was decided about this stage.
    fn work(&self, decision: StageDecision, mail: Option<Notification>) -> Work {
        let decision = StageDecision {
            pipeline: Some(self.pipeline.to_owned()),
            stage: Some(self.stage.to_owned()),
            execution_id: Some(self.execution_id.to_owned()),
            ..decision
        };
        Work { decisions: vec![decision], mail }
    }
}

fn is_parallel(execution: &PipelineExecutionSummary) -> bool {
    execution.execution_mode() == Some(&ExecutionMode::Parallel)
}

/// The notices of the action and of the pipeline say the same as that of the stage, so only the latter is mailed.
fn is_of_stage(trigger: &Trigger<'_>) -> bool {
    matches!(trigger, Trigger::Failed(Failed { level: Level::Stage, .. }))
}

fn superseded_mail(target: &Target<'_>, by: &str, region: Option<&Region>) -> Notification {
    let Target { pipeline, stage, execution_id } = *target;
    target.notification(
        format!("Gatehouse pipelines: stage {stage} of pipeline {pipeline} is not retried"),
        format!(
            "Stage {stage} of pipeline {pipeline} failed at the health gate in the execution {execution_id}. It is not \
             retried, because {by} is the latest execution of the stage, and CodePipeline retries no other.\n\n\
             What the earlier execution would have deployed is not deployed, unless the later one has it too: in a \
             pipeline of mode SUPERSEDED it does, in one of mode QUEUED or PARALLEL it may not. To deploy the latest \
             revision again:\n\
             aws codepipeline start-pipeline-execution --name {pipeline}\n"
        ),
        "Open the pipeline execution",
        region,
    )
}

/// What people hear of a closed AWS Health event: nothing where no stage failed because of it.
///
/// Where some call failed, and nothing was retried, the event is delivered again: then the mail is that one's.
fn closed_mail(event: &HealthClosed, decisions: &[StageDecision], own_region: Option<&Region>) -> Option<Notification> {
    let concerned: Vec<_> = decisions
        .iter()
        .filter(|decision| decision.stage.is_some() && decision.outcome != StageOutcome::Ignored)
        .collect();
    let (retried, not_retried): (Vec<&StageDecision>, Vec<_>) =
        concerned.iter().partition(|decision| decision.outcome == StageOutcome::Retried);
    let is_final = decisions.iter().all(|decision| decision.error.is_none());
    let is_dry_run = decisions.iter().any(|decision| decision.outcome == StageOutcome::Planned);
    if is_dry_run || concerned.is_empty() || (retried.is_empty() && !is_final) {
        return None;
    }
    let HealthClosed { arn, type_code, service, region, .. } = event;
    let region = region.as_deref().unwrap_or("(unknown)");
    let plural = if retried.len() == 1 { "stage" } else { "stages" };
    let mut text = format!("AWS closed {type_code} of {service} in {region}.\nEvent: {arn}\n");
    for (title, decisions) in [("Retried", retried.as_slice()), ("Not retried", &not_retried)] {
        if !decisions.is_empty() {
            let _ = write!(text, "\n{title}:\n");
        }
        for StageDecision { pipeline, stage, execution_id, reason, .. } in decisions {
            let text_of = |field: &Option<String>| field.clone().unwrap_or_default();
            let (pipeline, stage, execution_id) = (text_of(pipeline), text_of(stage), text_of(execution_id));
            let _ = writeln!(text, "- stage {stage} of pipeline {pipeline} (execution {execution_id}): {reason}");
        }
    }
    let subject = format!("Gatehouse pipelines: an AWS issue closed, {} {plural} retried", retried.len());
    // One execution has its own thread, which the gate began; several have one of the event.
    let executions: BTreeSet<_> = concerned.iter().filter_map(|decision| decision.execution_id.as_deref()).collect();
    let thread = executions.first().filter(|_| executions.len() == 1).copied().unwrap_or(arn);
    let notification = Notification::new(subject, text).in_thread(thread).about(arn);
    Some(concerned.iter().fold(notification, |notification, decision| {
        let ids = decision.pipeline.as_deref().zip(decision.execution_id.as_deref()).zip(own_region);
        let page = ids.and_then(|((pipeline, id), region)| console::pipeline_execution(region, pipeline, id));
        notification.with_link("Open a pipeline execution", page)
    }))
}

/// Does the work, or as much of it as there is time for.
pub(crate) async fn work_within(stop: Instant, work: impl Future<Output = Work>) -> Work {
    within(stop, work).await.unwrap_or_else(|| Error::OutOfTime.into())
}

fn decision_of<E>(operation: &'static str, pipeline: &str, error: SdkError<E>) -> StageDecision
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match refusal(operation, pipeline, error) {
        Refusal::Final(reason) => StageDecision::new(StageOutcome::Skipped, reason),
        Refusal::Superseded => StageDecision::new(StageOutcome::Skipped, SUPERSEDED),
        Refusal::Again(error) => error.into(),
    }
}
