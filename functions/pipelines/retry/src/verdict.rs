//! Whether a stage is retried. Pure: no client, no clock, no environment.
//!
//! Which actions failed, why, and when, is read from the state of the stage; how often, from the history of the pipeline
//! execution. The history has a field for the error too, but AWS documents only for the state that it is the message
//! that the gate gave, so the message is read there; in the history only for an execution of mode `PARALLEL` that the
//! state does not show.
//!
//! The conditions of the stage are read, too: the gate may be a rule of one, and a condition may be why the stage failed,
//! or what CodePipeline does about the failure.

use std::collections::BTreeSet;
use std::fmt;

use aws_sdk_codepipeline::primitives::DateTime;
use aws_sdk_codepipeline::types::{
    ActionCategory, ActionExecution, ActionExecutionDetail, ActionExecutionStatus, ActionState,
    ConditionExecutionStatus, ConditionType, ExecutionType, RuleExecutionStatus, RuleState, StageConditionState,
    StageExecution, StageExecutionStatus, StageRetryMode, StageState,
};
use gate_message::{Cause, GateMessage};
use time::{Duration, OffsetDateTime};

use crate::config::Config;
use crate::event::Failed;

/// A notice has the time of its event in whole seconds, the state that of the action, from another clock.
const CLOCK_TOLERANCE: Duration = Duration::minutes(1);

/// After that, nobody expects that a stage starts again because an AWS Health event closed.
pub(crate) const MAX_AGE: Duration = Duration::days(1);

/// So long the history of an execution may lag behind the state. What failed earlier is of another execution.
const HISTORY_LAG: Duration = Duration::minutes(5);

/// So much before `RETRY_DELAY_SECONDS` is over, a delayed retry may seem to begin: its notice also answers a failure of up
/// to `CLOCK_TOLERANCE` later, and the times come from several clocks.
const DELAY_TOLERANCE: Duration = Duration::minutes(2);

/// How many attempts may begin after an AWS Health event closed before it retries nothing more: one at once, and one where
/// AWS Health reported to the gate for some minutes that the event was still open.
const ATTEMPTS_OF_A_CLOSED_EVENT: usize = 2;

/// Why a stage is looked at.
#[derive(Debug, Clone, Copy)]
pub enum Trigger<'a> {
    /// CodePipeline's notice that it failed.
    Failed(&'a Failed),
    /// An AWS Health event closed.
    HealthClosed {
        /// The ARN of that event.
        arn: &'a str,
        /// When AWS sent it.
        sent: Option<OffsetDateTime>,
        now: OffsetDateTime,
    },
}

/// What is to be done about a failed stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Retry it.
    Retry {
        /// Which retry it is, or why there is one more.
        reason: String,
    },
    /// The retries are used up.
    GiveUp {
        /// How often the stage failed.
        failures: usize,
        /// Why it failed the last time.
        message: String,
    },
    /// No retry, now or later.
    Skip {
        /// Why not.
        reason: String,
    },
    /// Only a person lets it go on: no retry, and a notification.
    Held {
        /// Why.
        reason: String,
        /// How the person does it.
        release: Release,
    },
    /// The stage did not fail because of the AWS Health event that closed.
    NotAffected,
    /// It cannot be decided yet: look again later.
    NotYet {
        /// What is missing.
        reason: String,
    },
}

/// What lets a stage go on that the retry leaves to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// `RetryStageExecution`.
    Retry,
    /// `OverrideStageCondition`: CodePipeline retries a stage only where an action failed.
    Override(ConditionType),
}

/// Why there is no failed stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoStage {
    /// Another execution is the latest one of the stage.
    Superseded { by: String },
    /// The stage has another status than Failed.
    NotFailed(StageExecutionStatus),
    /// There is none.
    None(&'static str),
}

impl fmt::Display for NoStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superseded { by } => write!(f, "superseded: the latest execution of the stage is {by}"),
            Self::NotFailed(status) => write!(f, "the stage has status {status}"),
            Self::None(reason) => f.write_str(reason),
        }
    }
}

/// The failed stages of a pipeline, each with the id of the execution that failed in it: for a notice, the stage and the
/// execution that it names; for a closed AWS Health event, all of them.
///
/// # Errors
///
/// Why there is none: it does not exist, another execution is in it, it is retried already.
pub fn failed_stages<'a>(
    stages: &'a [StageState],
    trigger: &Trigger<'_>,
) -> Result<Vec<(&'a StageState, &'a str)>, NoStage> {
    let failed = |wanted: Option<&str>| -> Vec<_> {
        let in_stage = |stage: &'a StageState| {
            let latest = stage.latest_execution().filter(|latest| latest.status() == &StageExecutionStatus::Failed)?;
            let execution_id = latest.pipeline_execution_id();
            wanted.is_none_or(|wanted| wanted == execution_id).then_some((stage, execution_id))
        };
        stages.iter().filter_map(in_stage).collect()
    };
    let (found, none) = match trigger {
        Trigger::HealthClosed { .. } => (failed(None), "no stage has status Failed"),
        Trigger::Failed(Failed { stage: None, execution_id, .. }) => {
            (failed(Some(execution_id)), "no stage has status Failed in this execution: it was retried, or superseded")
        }
        Trigger::Failed(Failed { stage: Some(name), execution_id, .. }) => {
            return named_stage(stages, name, execution_id).map(|found| vec![found]);
        }
    };
    if found.is_empty() { Err(NoStage::None(none)) } else { Ok(found) }
}

fn named_stage<'a>(
    stages: &'a [StageState],
    name: &str,
    execution_id: &str,
) -> Result<(&'a StageState, &'a str), NoStage> {
    let stage = stages.iter().find(|stage| stage.stage_name() == Some(name));
    let stage = stage.ok_or(NoStage::None("the pipeline does not have this stage any more"))?;
    let latest = stage.latest_execution().ok_or(NoStage::None("the stage has not run"))?;
    if latest.pipeline_execution_id() != execution_id {
        return Err(NoStage::Superseded { by: latest.pipeline_execution_id().to_owned() });
    }
    if latest.status() != &StageExecutionStatus::Failed {
        return Err(NoStage::NotFailed(latest.status().clone()));
    }
    Ok((stage, latest.pipeline_execution_id()))
}

/// The stages in which an execution of a pipeline of mode `PARALLEL` failed, as its own history tells: `GetPipelineState`
/// shows only the latest execution of a stage, and that may be another one.
///
/// What holds for all executions is taken from the state: the actions of a stage, and whether a person has frozen it. The
/// conditions there are those of the latest execution, so none is known. Mode `PARALLEL` has no rollbacks.
#[must_use]
pub fn parallel_stages(
    stages: &[StageState],
    execution_id: &str,
    history: &[ActionExecutionDetail],
) -> Vec<StageState> {
    let of_execution = |stage: &StageState| {
        let actions = stage.action_states().iter().filter_map(|action| {
            let past = newest_attempt(history, stage.stage_name(), action.action_name())?;
            Some(
                ActionState::builder()
                    .set_action_name(action.action_name().map(str::to_owned))
                    .latest_execution(past_execution(past))
                    .build(),
            )
        });
        let actions: Vec<_> = actions.collect();
        let latest = StageExecution::builder().pipeline_execution_id(execution_id).status(StageExecutionStatus::Failed);
        let own = StageState::builder()
            .set_stage_name(stage.stage_name().map(str::to_owned))
            .set_inbound_transition_state(stage.inbound_transition_state().cloned())
            .set_action_states(Some(actions))
            .set_latest_execution(latest.build().ok())
            .build();
        let is_failed = actions_with(&own, &ActionExecutionStatus::Failed).next().is_some();
        is_failed.then_some(own)
    };
    stages.iter().filter_map(of_execution).collect()
}

fn past_execution(past: &ActionExecutionDetail) -> ActionExecution {
    let result = past.output().and_then(|output| output.execution_result());
    ActionExecution::builder()
        .set_action_execution_id(past.action_execution_id().map(str::to_owned))
        .set_status(past.status().cloned())
        .set_last_status_change(past.last_update_time().copied())
        .set_error_details(result.and_then(|result| result.error_details()).cloned())
        .build()
}

/// Decides about a failed stage. `history` has the action executions of the pipeline execution that failed in it.
#[must_use]
pub fn verdict(
    stage: &StageState,
    history: &[ActionExecutionDetail],
    trigger: &Trigger<'_>,
    config: &Config,
) -> Verdict {
    // An action that has not run in this execution shows what it did in an earlier one.
    let (failed, earlier): (Vec<_>, Vec<_>) = failed_actions(stage, history).partition(|action| action.past.is_some());
    let latest = failed.iter().max_by_key(|action| action.at);
    let recent = recent(&earlier, trigger);
    // Where the history lags, what failed just now may have failed in this execution.
    let action_failed = latest.map(|action| action.at).or_else(|| recent.iter().map(|action| action.at).max());
    if let Some(condition) = FailedCondition::find(stage, action_failed) {
        return condition.verdict(trigger);
    }
    let shown = if failed.is_empty() { &earlier } else { &failed };
    if let Trigger::HealthClosed { arn, .. } = trigger
        && !shown.iter().any(|action| action.may_name(arn))
    {
        return Verdict::NotAffected;
    }
    let Some(latest) = latest else {
        return without_failed_action(&recent, config);
    };
    if let Some(reason) = objection(stage, &failed, latest, trigger, config) {
        return Verdict::Skip { reason };
    }
    if let Some(transition) = stage.inbound_transition_state().filter(|transition| !transition.enabled()) {
        let why = transition.disabled_reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        let reason = format!("the transition into the stage is disabled{why}");
        return Verdict::Held { reason, release: Release::Retry };
    }
    if let Some(verdict) = failure_condition(stage, latest.at) {
        return verdict;
    }
    let running = actions_with(stage, &ActionExecutionStatus::InProgress).next();
    if let Some((action, _)) = running.filter(|_| config.retry_mode == StageRetryMode::AllActions) {
        let reason = format!("the action {action} is in progress, and ALL_ACTIONS must wait until it ends");
        return Verdict::NotYet { reason };
    }
    if let Trigger::HealthClosed { .. } = trigger {
        return Verdict::Retry { reason: "the message of the failure names the closed event".to_owned() };
    }
    let (attempts, limit) = (attempts(stage, &failed, history, config), config.max_retries);
    if attempts.retries >= limit {
        return Verdict::GiveUp { failures: attempts.failures, message: latest.message.to_owned() };
    }
    Verdict::Retry { reason: format!("retry {} of {limit}", attempts.retries + 1) }
}

/// Of the failed actions that the history of the execution does not show, those that failed so short a time ago that it may
/// lag behind the state.
fn recent<'a, 'b>(earlier: &'b [FailedAction<'a>], trigger: &Trigger<'_>) -> Vec<&'b FailedAction<'a>> {
    let notice = match trigger {
        Trigger::Failed(notice) => notice.time,
        Trigger::HealthClosed { now, .. } => *now,
    };
    earlier.iter().filter(|action| (notice - action.at).abs() <= HISTORY_LAG).collect()
}

/// No action of this execution failed, and no condition: the history lags behind the state, or another status is shown.
fn without_failed_action(recent: &[&FailedAction<'_>], config: &Config) -> Verdict {
    match recent.iter().find(|action| action.is_retried(config)) {
        Some(FailedAction { name, .. }) => {
            let reason = format!("the history of the execution does not show the failure of the action {name} yet");
            Verdict::NotYet { reason }
        }
        None => Verdict::Skip { reason: "no action of the stage failed in this execution".to_owned() },
    }
}

/// A condition on which the stage failed.
struct FailedCondition<'a> {
    kind: ConditionType,
    /// The name of a rule that failed, the gate if it is one of them.
    rule: Option<&'a str>,
    /// What that rule says, if it is the health gate.
    gate: Option<GateMessage>,
}

impl<'a> FailedCondition<'a> {
    /// The entry or success condition that stopped this execution. The state shows the latest run of a condition, also
    /// where that was in an earlier execution: beside an action that failed in this one, or that may have, only a run that
    /// ended in the same second or later counts.
    fn find(stage: &'a StageState, action_failed: Option<OffsetDateTime>) -> Option<Self> {
        let conditions = [
            (ConditionType::BeforeEntry, stage.before_entry_condition_state()),
            (ConditionType::OnSuccess, stage.on_success_condition_state()),
        ];
        let (kind, condition) = conditions.into_iter().find_map(|(kind, condition)| {
            let condition = condition.filter(|condition| {
                let is_no_earlier =
                    action_failed.is_none_or(|failed| changed(condition).is_some_and(|at| at >= failed));
                matches!(status(condition), Some(ConditionExecutionStatus::Failed | ConditionExecutionStatus::Errored))
                    && is_no_earlier
            })?;
            Some((kind, condition))
        })?;
        let failed: Vec<_> = rules(condition).filter(|rule| is_failed(rule)).collect();
        let gate = failed.iter().find_map(|rule| Some((*rule, gate_message(rule)?)));
        let rule = gate.as_ref().map(|(rule, _)| *rule).or_else(|| failed.first().copied());
        Some(Self { kind, rule: rule.and_then(RuleState::rule_name), gate: gate.map(|(_, message)| message) })
    }

    /// CodePipeline retries a stage only where an action failed, so a person overrides the condition.
    ///
    /// Source: CodePipeline API Reference, `RetryStageExecution`, `OverrideStageCondition`.
    fn verdict(self, trigger: &Trigger<'_>) -> Verdict {
        let Self { kind, rule, gate } = self;
        let cause = gate.as_ref().map(GateMessage::cause);
        let may_name = |arn| cause == Some(Cause::Transient) && gate.as_ref().is_some_and(|gate| gate.may_name(arn));
        if let Trigger::HealthClosed { arn, .. } = trigger
            && !may_name(arn)
        {
            return Verdict::NotAffected;
        }
        let condition = if kind == ConditionType::BeforeEntry { "entry" } else { "success" };
        let rule = rule.map(|rule| format!(" (rule {rule})")).unwrap_or_default();
        match cause {
            Some(Cause::Transient) => Verdict::Held {
                reason: format!(
                    "the {condition} condition failed at the health gate{rule}, and CodePipeline retries only actions"
                ),
                release: Release::Override(kind),
            },
            Some(Cause::Setup) => {
                let reason = format!("the {condition} condition{rule} failed for a reason that only a person can fix");
                Verdict::Skip { reason: format!("{reason}; see the message of the rule") }
            }
            None => Verdict::Skip {
                reason: format!(
                    "the stage failed on its {condition} condition{rule}; CodePipeline retries only actions"
                ),
            },
        }
    }
}

/// What the failure condition of a stage has to say after an action failed: while CodePipeline evaluates it, and where
/// its result is engaged, CodePipeline acts by itself.
///
/// Source: CodePipeline User Guide, "How do stage conditions work?": the result is engaged when the condition fails.
fn failure_condition(stage: &StageState, action_failed: OffsetDateTime) -> Option<Verdict> {
    let condition = stage.on_failure_condition_state()?;
    if changed(condition).is_some_and(|at| at + CLOCK_TOLERANCE < action_failed) {
        return None; // of an earlier failure
    }
    let skip = |reason: String| Some(Verdict::Skip { reason });
    match status(condition)? {
        ConditionExecutionStatus::InProgress => {
            Some(Verdict::NotYet { reason: "the failure condition of the stage is in progress".to_owned() })
        }
        status @ (ConditionExecutionStatus::Failed | ConditionExecutionStatus::Errored) => skip(format!(
            "the failure condition of the stage has status {status}, so CodePipeline does what the condition says"
        )),
        ConditionExecutionStatus::Succeeded
        | ConditionExecutionStatus::Cancelled
        | ConditionExecutionStatus::Abandoned
        | ConditionExecutionStatus::Overridden => None,
        unknown => skip(format!("the failure condition of the stage has the unknown status {unknown}")),
    }
}

fn status(condition: &StageConditionState) -> Option<&ConditionExecutionStatus> {
    condition.latest_execution()?.status()
}

/// When the status of a condition changed last.
fn changed(condition: &StageConditionState) -> Option<OffsetDateTime> {
    let executions = condition.condition_states().iter().filter_map(|state| state.latest_execution());
    executions.filter_map(|execution| at(execution.last_status_change())).max()
}

fn rules(condition: &StageConditionState) -> impl Iterator<Item = &RuleState> {
    condition.condition_states().iter().flat_map(|state| state.rule_states())
}

fn is_failed(rule: &RuleState) -> bool {
    let status = rule.latest_execution().and_then(|execution| execution.status());
    status == Some(&RuleExecutionStatus::Failed)
}

/// What the health gate says as a rule. AWS does not document which field has it, nor what may be put around it where the
/// gate fails its invocation; what follows from it is a notification and nothing else.
fn gate_message(rule: &RuleState) -> Option<GateMessage> {
    let execution = rule.latest_execution()?;
    let message = execution.error_details().and_then(|error| error.message());
    [message, execution.summary()].into_iter().flatten().find_map(GateMessage::find)
}

/// Whether the health gate, and nothing else, stopped an execution in this stage, as its history shows: of the newest
/// attempts of the actions at least one failed, and each that failed is the gate. What failed before a retry does not count.
#[must_use]
pub fn failed_at_the_gate(stage: &str, history: &[ActionExecutionDetail], config: &Config) -> bool {
    let in_stage = history.iter().filter(|past| past.stage_name() == Some(stage));
    let actions: BTreeSet<_> = in_stage.map(|past| past.action_name()).collect();
    let newest = actions.into_iter().filter_map(|action| newest_attempt(history, Some(stage), action));
    let mut failed = newest.filter(|past| is_failure(past, stage)).peekable();
    failed.peek().is_some() && failed.all(|past| is_gate(past, config))
}

/// The newest execution of an action in the history of a pipeline execution.
fn newest_attempt<'a>(
    history: &'a [ActionExecutionDetail],
    stage: Option<&str>,
    action: Option<&str>,
) -> Option<&'a ActionExecutionDetail> {
    let of_action = history.iter().filter(|past| past.stage_name() == stage && past.action_name() == action);
    // The newest comes first: reversed, so that of two of one instant it is taken.
    of_action.rev().max_by_key(|past| exactly(past.start_time()))
}

/// Why the stage is not retried, whatever the budget says.
fn objection(
    stage: &StageState,
    failed: &[FailedAction<'_>],
    latest: &FailedAction<'_>,
    trigger: &Trigger<'_>,
    config: &Config,
) -> Option<String> {
    if let Some(FailedAction { name, .. }) = failed.iter().find(|action| action.cause() == Some(Cause::Setup)) {
        return Some(format!("the action {name} failed for a reason that only a person can fix; see its message"));
    }
    if let Some(FailedAction { name, .. }) = failed.iter().find(|action| action.is_approval()) {
        return Some(format!("the action {name} is an approval, which was rejected or timed out"));
    }
    if let Some(FailedAction { name, message, .. }) = failed.iter().find(|action| !action.is_retried(config)) {
        return Some(if message.is_empty() {
            format!("the action {name} failed without a message, so not at the health gate")
        } else {
            format!("the action {name} did not fail at the health gate; see its message")
        });
    }
    if stage.latest_execution().and_then(|latest| latest.r#type()) == Some(&ExecutionType::Rollback) {
        return Some("the execution is a rollback, and a retry would deploy the old release".to_owned());
    }
    match trigger {
        Trigger::Failed(notice) if latest.at > notice.time + CLOCK_TOLERANCE => Some(format!(
            "the action {} failed again after this notice, and that failure has a notice of its own",
            latest.name
        )),
        Trigger::HealthClosed { now, .. } if *now - latest.at > MAX_AGE => {
            Some("the failure is more than a day old".to_owned())
        }
        Trigger::HealthClosed { sent: Some(sent), .. } => {
            let begun = |action: &FailedAction<'_>| action.begun_after(*sent);
            let attempts = failed.iter().map(begun).max().unwrap_or_default();
            (attempts >= ATTEMPTS_OF_A_CLOSED_EVENT)
                .then(|| format!("{attempts} attempts failed since the event closed; the delayed retries go on"))
        }
        _ => None,
    }
}

/// An action whose latest execution failed.
struct FailedAction<'a> {
    name: &'a str,
    message: &'a str,
    /// What the message says, if it is one of the health gate.
    gate: Option<GateMessage>,
    at: OffsetDateTime,
    /// This failure in the history of the execution.
    past: Option<&'a ActionExecutionDetail>,
    /// All executions of the action in the execution.
    attempts: Vec<&'a ActionExecutionDetail>,
}

impl FailedAction<'_> {
    fn cause(&self) -> Option<Cause> {
        self.gate.as_ref().map(GateMessage::cause)
    }

    fn may_name(&self, arn: &str) -> bool {
        self.cause() == Some(Cause::Transient) && self.gate.as_ref().is_some_and(|message| message.may_name(arn))
    }

    fn is_approval(&self) -> bool {
        let kind = self.past.and_then(|past| past.input()).and_then(|input| input.action_type_id());
        kind.is_some_and(|kind| kind.category() == &ActionCategory::Approval)
    }

    /// The gate says so, or gave no answer: then CodePipeline writes a message of its own.
    fn is_retried(&self, config: &Config) -> bool {
        let is_silent_gate = self.gate.is_none() && self.past.is_some_and(|past| is_gate(past, config));
        config.retry_any_failure || is_silent_gate || self.cause() == Some(Cause::Transient)
    }

    /// How many attempts began after an event was sent, whose time is in whole seconds: what began within that second counts
    /// as begun before.
    fn begun_after(&self, sent: OffsetDateTime) -> usize {
        let begun = self.attempts.iter().filter_map(|past| at(past.start_time()));
        begun.filter(|begun| *begun - sent >= Duration::SECOND).count()
    }
}

fn failed_actions<'a>(
    stage: &'a StageState,
    history: &'a [ActionExecutionDetail],
) -> impl Iterator<Item = FailedAction<'a>> {
    actions_with(stage, &ActionExecutionStatus::Failed).map(move |(name, execution)| {
        let message = execution.error_details().and_then(|error| error.message()).unwrap_or_default();
        let is_of_action = |past: &&ActionExecutionDetail| {
            past.action_name().is_none_or(|past| past == name) && past.stage_name() == stage.stage_name()
        };
        // Where an id is missing, the name and the status tell.
        let is_this =
            |past: &&ActionExecutionDetail| match (past.action_execution_id(), execution.action_execution_id()) {
                (Some(past), Some(this)) => past == this,
                _ => is_of_action(past) && past.status() == Some(&ActionExecutionStatus::Failed),
            };
        FailedAction {
            name,
            message,
            gate: message.parse().ok(),
            at: at(execution.last_status_change()).unwrap_or(OffsetDateTime::UNIX_EPOCH),
            past: history.iter().find(is_this),
            attempts: history.iter().filter(is_of_action).collect(),
        }
    })
}

/// To the second, as the times of events are: an attempt is not later than an event of the same second.
fn at(time: Option<&DateTime>) -> Option<OffsetDateTime> {
    exactly(time).map(OffsetDateTime::truncate_to_second)
}

fn exactly(time: Option<&DateTime>) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(time?.as_nanos()).ok()
}

/// Whether this is an execution of the health gate's function.
fn is_gate(past: &ActionExecutionDetail, config: &Config) -> bool {
    let configuration = past.input().and_then(|input| input.configuration());
    let function = configuration.and_then(|configuration| configuration.get("FunctionName"));
    function.is_some() && function == config.health_gate_function_name.as_ref()
}

fn is_failure(past: &ActionExecutionDetail, stage: &str) -> bool {
    past.stage_name() == Some(stage) && past.status() == Some(&ActionExecutionStatus::Failed)
}

/// The actions of a stage whose latest execution has this status, by name.
fn actions_with<'a>(
    stage: &'a StageState,
    status: &'a ActionExecutionStatus,
) -> impl Iterator<Item = (&'a str, &'a ActionExecution)> {
    stage.action_states().iter().filter_map(move |action| {
        let execution = action.latest_execution().filter(|execution| execution.status() == Some(status))?;
        Some((action.action_name().unwrap_or_default(), execution))
    })
}

/// How often a stage was tried in this execution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Attempts {
    /// How many of the attempts that failed a delayed retry started.
    retries: usize,
    /// How many failed.
    failures: usize,
}

/// Counted for each action, and the highest count is taken: two gates that fail side by side are one failure of the stage.
///
/// CodePipeline does not say who started an attempt. But a delayed retry cannot begin before the delay is over, so what
/// began sooner after the failure before was started by CodePipeline itself, by a closed event or by a person. The limit is
/// `DELAY_TOLERANCE` less than the delay, but no less than half of it; without a delay every attempt counts. CodePipeline
/// counts the attempts of its own.
fn attempts(
    stage: &StageState,
    failed: &[FailedAction<'_>],
    history: &[ActionExecutionDetail],
    config: &Config,
) -> Attempts {
    let automatic = stage.retry_stage_metadata().and_then(|attempts| attempts.auto_stage_retry_attempt());
    let automatic = automatic.and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
    let of_action = |action: &FailedAction<'_>| {
        // The newest comes first. Reversed before it is sorted, so that attempts of one instant stay in their order.
        let mut past: Vec<_> = history
            .iter()
            .rev()
            .filter(|past| is_failure(past, stage.stage_name().unwrap_or_default()))
            .filter(|past| past.action_name() == Some(action.name))
            .collect();
        past.sort_by_key(|past| exactly(past.start_time()));
        let shortest = (config.retry_delay - DELAY_TOLERANCE).max(config.retry_delay / 2);
        let is_delayed = |pair: &&[&ActionExecutionDetail]| {
            let (ended, begun) = (exactly(pair[0].last_update_time()), exactly(pair[1].start_time()));
            config.retry_delay.is_zero() || ended.zip(begun).is_none_or(|(ended, begun)| begun - ended >= shortest)
        };
        let retries = past.windows(2).filter(is_delayed).count();
        let failures = past.len();
        Attempts { retries: retries.min(failures.saturating_sub(1 + automatic)), failures }
    };
    failed.iter().map(of_action).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use aws_sdk_codepipeline::types::{
        ActionExecutionInput, ActionExecutionOutput, ActionExecutionResult, ActionOwner, ActionTypeId,
        ConditionExecution, ConditionState, ErrorDetails, RetryStageMetadata, RuleExecution, StageConditionsExecution,
        TransitionState,
    };
    use gatehouse_shared::env::Env;
    use time::macros::datetime;

    use super::*;
    use crate::event::Level;

    /// An action as the state shows it: name, id of its latest execution, status, message.
    type Action = (&'static str, &'static str, &'static str, &'static str);
    /// An action execution as the history has it: stage, action, id, status.
    type Past = (&'static str, &'static str, &'static str, &'static str);

    const FAILED_AT: OffsetDateTime = datetime!(2026-08-13 07:47:06 UTC);
    const ARN: &str = "arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_1";
    const GATE: &str = "[health-gate] 2 AWS Health events in eu-west-1: the stage fails. Retry it when they are closed\n\
        - EC2 in eu-west-1: AWS_EC2_OPERATIONAL_ISSUE, open since 2026-08-13T05:46:42Z, \
        arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_1\n\
        - EC2 in eu-west-1: AWS_EC2_OPERATIONAL_ISSUE, open since 2026-08-13T05:46:41Z, \
        arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_23";
    const SETUP: &str = "[health-gate:setup] the stage fails: AWS Health may not be asked";
    const REAL: &str = "Deployment d-KH37TM9SF failed";

    /// What happened, and what is decided: for the notice of the failure, and for the closed event `ARN`.
    struct Case {
        name: &'static str,
        settings: &'static [(&'static str, &'static str)],
        actions: &'static [Action],
        history: &'static [Past],
        rollback: bool,
        /// Seconds from the notice to the failure that the state shows.
        later: i64,
        /// Seconds from that failure to the closed event.
        age: i64,
        notice: &'static str,
        closed: &'static str,
    }

    const FAILED: &[Action] = &[("Gate", "g1", "Failed", GATE)];
    const ONCE: &[Past] = &[("Production", "Gate", "g1", "Failed")];
    const TWICE: &[Past] = &[("Production", "Gate", "g2", "Failed"), ("Production", "Gate", "g1", "Failed")];
    const BOTH: &[Past] = &[("Production", "Deploy", "d1", "Failed"), ("Production", "Gate", "g1", "Failed")];
    const CASE: Case = Case {
        name: "the gate failed once",
        settings: &[],
        actions: FAILED,
        history: ONCE,
        rollback: false,
        later: 0,
        age: 3_600,
        notice: "retry 1 of 5",
        closed: "retry: the message of the failure names the closed event",
    };

    const CASES: &[Case] = &[
        CASE,
        Case {
            name: "the last retry",
            settings: &[("MAX_RETRIES", "2")],
            actions: &[("Gate", "g2", "Failed", GATE)],
            history: TWICE,
            notice: "retry 2 of 2",
            ..CASE
        },
        Case {
            name: "the retries are used up",
            settings: &[("MAX_RETRIES", "1")],
            actions: &[("Gate", "g2", "Failed", GATE)],
            history: TWICE,
            notice: "give up after 2",
            ..CASE
        },
        Case {
            name: "no retries wanted, but for closed events",
            settings: &[("MAX_RETRIES", "0")],
            notice: "give up after 1",
            ..CASE
        },
        Case {
            name: "only failures of this stage and this action count",
            history: &[
                ("Production", "Gate", "g1", "Failed"),
                ("Staging", "Gate", "s1", "Failed"),
                ("Production", "Test", "t1", "Failed"),
                ("Production", "Gate", "g0", "Succeeded"),
                ("Production", "Gate", "g9", "Abandoned"),
            ],
            ..CASE
        },
        Case {
            name: "two gates side by side are one failure",
            actions: &[("Gate", "g2", "Failed", GATE), ("GateUs", "u1", "Failed", GATE)],
            history: &[
                ("Production", "Gate", "g2", "Failed"),
                ("Production", "GateUs", "u1", "Failed"),
                ("Production", "Gate", "g1", "Failed"),
            ],
            notice: "retry 2 of 5",
            ..CASE
        },
        Case {
            name: "one of two gates names the closed event",
            actions: &[("Gate", "g1", "Failed", GATE), ("GateUs", "u1", "Failed", "[health-gate] 1 AWS Health event")],
            history: &[("Production", "Gate", "g1", "Failed"), ("Production", "GateUs", "u1", "Failed")],
            ..CASE
        },
        Case {
            name: "the failure names another event, whose ARN begins alike",
            actions: &[(
                "Gate",
                "g1",
                "Failed",
                "[health-gate] 1 AWS Health event\n- EC2, \
                 arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_12",
            )],
            closed: "not affected",
            ..CASE
        },
        Case {
            name: "the list of events was cut, so that it may have named the closed one",
            actions: &[("Gate", "g1", "Failed", "[health-gate] 200 AWS Health events\n- EC2, other\n- and 199 more")],
            ..CASE
        },
        Case {
            name: "the message was cut within its first line",
            actions: &[("Gate", "g1", "Failed", "[health-gate] 200 AWS Health events in eu-west-1, eu-we…")],
            ..CASE
        },
        Case {
            name: "a message of somebody else that names the closed event",
            settings: &[("RETRY_ANY_FAILURE", "true")],
            actions: &[("Gate", "g1", "Failed", ARN)],
            closed: "not affected",
            ..CASE
        },
        Case {
            name: "a real failure",
            actions: &[("Gate", "g1", "Succeeded", ""), ("Deploy", "d1", "Failed", REAL)],
            history: BOTH,
            notice: "skip: the action Deploy did not fail at the health gate; see its message",
            closed: "not affected",
            ..CASE
        },
        Case {
            name: "a second, real failure beside the gate's",
            actions: &[("Gate", "g1", "Failed", GATE), ("Deploy", "d1", "Failed", REAL)],
            history: BOTH,
            notice: "skip: the action Deploy did not fail at the health gate; see its message",
            closed: "skip: the action Deploy did not fail at the health gate; see its message",
            ..CASE
        },
        Case {
            name: "a real failure is retried when asked",
            settings: &[("RETRY_ANY_FAILURE", "true")],
            actions: &[("Gate", "g1", "Failed", GATE), ("Deploy", "d1", "Failed", REAL)],
            history: BOTH,
            ..CASE
        },
        Case {
            name: "what only a person can fix",
            actions: &[("Gate", "g1", "Failed", SETUP)],
            notice: "skip: the action Gate failed for a reason that only a person can fix; see its message",
            closed: "not affected",
            ..CASE
        },
        Case {
            name: "what only a person can fix, beside an open event, whatever is retried",
            settings: &[("RETRY_ANY_FAILURE", "true")],
            actions: &[("Gate", "g1", "Failed", GATE), ("GateUs", "u1", "Failed", SETUP)],
            history: &[("Production", "Gate", "g1", "Failed"), ("Production", "GateUs", "u1", "Failed")],
            notice: "skip: the action GateUs failed for a reason that only a person can fix; see its message",
            closed: "skip: the action GateUs failed for a reason that only a person can fix; see its message",
            ..CASE
        },
        Case {
            name: "the mark must begin the message",
            actions: &[("Gate", "g1", "Failed", "it said [health-gate] ")],
            notice: "skip: the action Gate did not fail at the health gate; see its message",
            closed: "not affected",
            ..CASE
        },
        Case {
            name: "a failure without a message",
            actions: &[("Gate", "g1", "Failed", "")],
            notice: "skip: the action Gate failed without a message, so not at the health gate",
            closed: "not affected",
            ..CASE
        },
        Case {
            name: "a rollback",
            rollback: true,
            notice: "skip: the execution is a rollback, and a retry would deploy the old release",
            closed: "skip: the execution is a rollback, and a retry would deploy the old release",
            ..CASE
        },
        Case { name: "a minute apart is the same failure", later: 60, ..CASE },
        Case {
            name: "a later failure than the one of the notice",
            later: 61,
            notice: "skip: the action Gate failed again after this notice, and that failure has a notice of its own",
            ..CASE
        },
        Case { name: "a failure of before the notice", later: -300, ..CASE },
        Case { name: "a failure of a day ago", age: 86_400, ..CASE },
        Case {
            name: "a failure of more than a day ago",
            age: 86_401,
            closed: "skip: the failure is more than a day old",
            ..CASE
        },
        Case {
            name: "a real failure of an earlier execution, shown by an action that has not run in this one",
            actions: &[("Gate", "g1", "Failed", GATE), ("Deploy", "d0", "Failed", REAL)],
            ..CASE
        },
        Case {
            name: "an earlier execution failed because of the event, this one for another reason",
            actions: &[("Gate", "g0", "Failed", GATE), ("Deploy", "d1", "Failed", REAL)],
            history: &[("Production", "Deploy", "d1", "Failed")],
            notice: "skip: the action Deploy did not fail at the health gate; see its message",
            closed: "not affected",
            ..CASE
        },
        Case {
            name: "the history lags behind the state",
            history: &[],
            notice: "not yet: the history of the execution does not show the failure of the action Gate yet",
            closed: "skip: no action of the stage failed in this execution",
            ..CASE
        },
        Case {
            name: "the history lags behind the state, and the event closed just now",
            history: &[],
            age: 60,
            notice: "not yet: the history of the execution does not show the failure of the action Gate yet",
            closed: "not yet: the history of the execution does not show the failure of the action Gate yet",
            ..CASE
        },
        Case {
            name: "a stage that failed on a condition, a day after the gate stopped an earlier execution",
            history: &[],
            later: -86_400,
            age: 86_400,
            notice: "skip: no action of the stage failed in this execution",
            closed: "skip: no action of the stage failed in this execution",
            ..CASE
        },
        Case {
            name: "a stage that failed on a condition, a minute after the gate stopped an earlier execution",
            history: &[],
            later: -60,
            age: 60,
            notice: "not yet: the history of the execution does not show the failure of the action Gate yet",
            closed: "not yet: the history of the execution does not show the failure of the action Gate yet",
            ..CASE
        },
        Case {
            name: "a stage that failed on a condition",
            actions: &[("Gate", "g1", "Succeeded", ""), ("Deploy", "d0", "Failed", REAL)],
            history: &[("Production", "Gate", "g1", "Succeeded")],
            notice: "skip: no action of the stage failed in this execution",
            closed: "not affected",
            ..CASE
        },
        Case {
            name: "failed actions can be retried beside one in progress",
            actions: &[("Gate", "g1", "Failed", GATE), ("Build", "b1", "InProgress", "")],
            ..CASE
        },
        Case {
            name: "all actions can not",
            settings: &[("RETRY_MODE", "ALL_ACTIONS")],
            actions: &[("Gate", "g1", "Failed", GATE), ("Build", "b1", "InProgress", "")],
            notice: "not yet: the action Build is in progress, and ALL_ACTIONS must wait until it ends",
            closed: "not yet: the action Build is in progress, and ALL_ACTIONS must wait until it ends",
            ..CASE
        },
    ];

    fn stage(name: &str, execution_id: &str, status: &str, actions: &[Action], case: &Case) -> StageState {
        let at = DateTime::from_secs(FAILED_AT.unix_timestamp() + case.later);
        let action = |&(name, id, status, message): &Action| {
            let error = ErrorDetails::builder().code("JobFailed").message(message).build();
            let latest = ActionExecution::builder()
                .action_execution_id(id)
                .status(status.into())
                .last_status_change(at)
                .set_error_details((!message.is_empty()).then_some(error))
                .build();
            ActionState::builder().action_name(name).latest_execution(latest).build()
        };
        let kind = if case.rollback { ExecutionType::Rollback } else { ExecutionType::Standard };
        let latest =
            StageExecution::builder().pipeline_execution_id(execution_id).status(status.into()).r#type(kind).build();
        StageState::builder()
            .stage_name(name)
            .latest_execution(latest.unwrap())
            .set_action_states(Some(actions.iter().map(action).collect()))
            .build()
    }

    fn past(executions: &[Past]) -> Vec<ActionExecutionDetail> {
        let detail = |&(stage, action, id, status): &Past| {
            ActionExecutionDetail::builder()
                .stage_name(stage)
                .action_name(action)
                .action_execution_id(id)
                .status(status.into())
                .build()
        };
        executions.iter().map(detail).collect()
    }

    fn notice(stage: Option<&str>, execution_id: &str) -> Failed {
        Failed {
            pipeline: "web".to_owned(),
            execution_id: execution_id.to_owned(),
            stage: stage.map(str::to_owned),
            level: Level::Stage,
            time: FAILED_AT,
        }
    }

    fn text(verdict: Verdict) -> String {
        match verdict {
            Verdict::Retry { reason } if reason.starts_with("retry ") => reason,
            Verdict::Retry { reason } => format!("retry: {reason}"),
            Verdict::GiveUp { failures, message } => {
                assert_eq!(message, GATE);
                format!("give up after {failures}")
            }
            Verdict::Skip { reason } => format!("skip: {reason}"),
            Verdict::Held { reason, release: Release::Retry } => format!("held: {reason}"),
            Verdict::Held { reason, release: Release::Override(kind) } => format!("override {kind}: {reason}"),
            Verdict::NotAffected => "not affected".to_owned(),
            Verdict::NotYet { reason } => format!("not yet: {reason}"),
        }
    }

    #[test]
    fn verdicts() {
        for case in CASES {
            let env = Env::of_table(case.settings);
            let config = env.read(Config::from_env).unwrap();
            let (stage, history) = (stage("Production", "e-2", "Failed", case.actions, case), past(case.history));
            let notice = notice(Some("Production"), "e-2");
            let now = FAILED_AT + Duration::seconds(case.later + case.age);
            for (trigger, expected) in [
                (Trigger::Failed(&notice), case.notice),
                (Trigger::HealthClosed { arn: ARN, sent: None, now }, case.closed),
            ] {
                assert_eq!(text(verdict(&stage, &history, &trigger, &config)), expected, "{}, {trigger:?}", case.name);
            }
        }
    }

    #[test]
    fn the_latest_of_several_failures_decides_which_notice_it_answers_and_what_is_mailed() {
        let mut stage =
            stage("Production", "e-2", "Failed", &[("Gate", "g2", "Failed", GATE)], &Case { later: 90, ..CASE });
        let earlier =
            super::tests::stage("Production", "e-2", "Failed", &[("GateUs", "u1", "Failed", "[health-gate] x")], &CASE);
        stage.action_states.get_or_insert_default().extend(earlier.action_states.unwrap_or_default());
        let history = past(&[("Production", "Gate", "g2", "Failed"), ("Production", "GateUs", "u1", "Failed")]);
        let env = Env::of_table(&[("MAX_RETRIES", "0")]);
        let config = env.read(Config::from_env).unwrap();
        let mut notice = notice(Some("Production"), "e-2");
        let decided = |notice: &Failed| text(verdict(&stage, &history, &Trigger::Failed(notice), &config));
        assert!(decided(&notice).starts_with("skip: the action Gate failed again"));
        notice.time += Duration::seconds(90);
        assert_eq!(decided(&notice), "give up after 1");
    }

    /// What is decided for the notice, and for the closed event a minute after the failure.
    fn both(stage: &StageState, history: &[ActionExecutionDetail], settings: &[(&str, &str)]) -> [String; 2] {
        let env = Env::of_table(settings);
        let config = env.read(Config::from_env).unwrap();
        let notice = notice(Some("Production"), "e-2");
        let closed = Trigger::HealthClosed { arn: ARN, sent: Some(FAILED_AT), now: FAILED_AT + Duration::minutes(1) };
        [Trigger::Failed(&notice), closed].map(|trigger| text(verdict(stage, history, &trigger, &config)))
    }

    /// The gate failed, `GATE` or another message.
    fn gate_failed(message: &'static str) -> StageState {
        stage("Production", "e-2", "Failed", &[("Gate", "g1", "Failed", message)], &CASE)
    }

    fn input(category: ActionCategory, function: Option<&str>) -> ActionExecutionInput {
        let kind = ActionTypeId::builder().category(category).owner(ActionOwner::Aws).provider("x").version("1");
        let configuration = function.map(|name| [("FunctionName".to_owned(), name.to_owned())].into());
        ActionExecutionInput::builder().action_type_id(kind.build().unwrap()).set_configuration(configuration).build()
    }

    #[test]
    fn a_stage_that_a_person_has_frozen_is_not_retried() {
        let mut stage = gate_failed(GATE);
        let transition = TransitionState::builder().enabled(false);
        stage.inbound_transition_state = Some(transition.clone().disabled_reason("incident 4711").build());
        let any = [("RETRY_ANY_FAILURE", "true")];
        let held = "held: the transition into the stage is disabled: incident 4711";
        assert_eq!(both(&stage, &past(ONCE), &any), [held; 2]);
        stage.inbound_transition_state = Some(transition.build());
        assert_eq!(both(&stage, &past(ONCE), &[]), ["held: the transition into the stage is disabled"; 2]);
        stage.inbound_transition_state = Some(TransitionState::builder().enabled(true).build());
        assert_eq!(both(&stage, &past(ONCE), &[])[0], CASE.notice);
    }

    #[test]
    fn an_approval_is_never_asked_for_again() {
        for message in ["Rejected by arn:aws:sts::111122223333:assumed-role/approvers/user1: no", ""] {
            let stage = stage(
                "Production",
                "e-2",
                "Failed",
                &[("Gate", "g1", "Failed", GATE), ("Approve", "a1", "Failed", message)],
                &CASE,
            );
            let mut history =
                past(&[("Production", "Gate", "g1", "Failed"), ("Production", "Approve", "a1", "Failed")]);
            history[1].input = Some(input(ActionCategory::Approval, None));
            let skipped = "skip: the action Approve is an approval, which was rejected or timed out";
            assert_eq!(both(&stage, &history, &[("RETRY_ANY_FAILURE", "true")]), [skipped; 2]);
        }
    }

    #[test]
    fn a_gate_that_gave_no_answer_is_recognised_by_its_function() {
        let silent = "The AWS Lambda function gate failed to return a result. Check the function";
        let skipped = "skip: the action Gate did not fail at the health gate; see its message";
        for (message, function, expected) in [
            (silent, "gate", "retry 1 of 5"),
            ("", "gate", "retry 1 of 5"),
            (silent, "other", skipped),
            (SETUP, "gate", "skip: the action Gate failed for a reason that only a person can fix; see its message"),
        ] {
            let mut history = past(ONCE);
            history[0].input = Some(input(ActionCategory::Invoke, Some(function)));
            let [notice, closed] = both(&gate_failed(message), &history, &[("HEALTH_GATE_FUNCTION_NAME", "gate")]);
            assert_eq!((notice.as_str(), closed.as_str()), (expected, "not affected"), "{function}");
            let [unset, _] = both(&gate_failed(silent), &history, &[]);
            assert_eq!(unset, skipped);
        }
    }

    /// A condition with one rule, which failed with this message; `changed` in seconds after the failure of the notice.
    fn condition(status: ConditionExecutionStatus, message: &str, changed: Option<i64>) -> StageConditionState {
        let time = changed.map(|second| DateTime::from_secs(FAILED_AT.unix_timestamp() + second));
        let error = ErrorDetails::builder().code("JobFailed").message(message).build();
        let failed = RuleExecution::builder().status(RuleExecutionStatus::Failed).error_details(error).build();
        let rule = RuleState::builder().rule_name("Rule").latest_execution(failed).build();
        let execution = ConditionExecution::builder().status(status.clone()).set_last_status_change(time).build();
        let state = ConditionState::builder().latest_execution(execution).rule_states(rule).build();
        let latest = StageConditionsExecution::builder().status(status).build();
        StageConditionState::builder().latest_execution(latest).condition_states(state).build()
    }

    fn with(mut stage: StageState, kind: &str, condition: StageConditionState) -> StageState {
        let state = match kind {
            "entry" => &mut stage.before_entry_condition_state,
            "success" => &mut stage.on_success_condition_state,
            _ => &mut stage.on_failure_condition_state,
        };
        *state = Some(condition);
        stage
    }

    /// Each status that GetPipelineState documents, where it is shown, and what is decided for the notice of a failure.
    /// Where it is the status of a condition, no action failed, or the gate failed ("beside the gate"); the rule is another
    /// one than the gate.
    const STATES: &[(&str, &str, &str)] = &[
        ("stage", "Cancelled", "the stage has status Cancelled"),
        ("stage", "Failed", "retry 1 of 5"),
        ("stage", "InProgress", "the stage has status InProgress"),
        ("stage", "Skipped", "the stage has status Skipped"),
        ("stage", "Stopped", "the stage has status Stopped"),
        ("stage", "Stopping", "the stage has status Stopping"),
        ("stage", "Succeeded", "the stage has status Succeeded"),
        ("action", "Abandoned", "skip: no action of the stage failed in this execution"),
        ("action", "Failed", "retry 1 of 5"),
        ("action", "InProgress", "skip: no action of the stage failed in this execution"),
        ("action", "Succeeded", "skip: no action of the stage failed in this execution"),
        ("action beside the gate", "Abandoned", "retry 1 of 5"),
        (
            "action beside the gate",
            "Failed",
            "skip: the action Deploy did not fail at the health gate; see its message",
        ),
        ("action beside the gate", "InProgress", "retry 1 of 5"),
        ("action beside the gate", "Succeeded", "retry 1 of 5"),
        ("entry condition", "Abandoned", "skip: no action of the stage failed in this execution"),
        ("entry condition", "Cancelled", "skip: no action of the stage failed in this execution"),
        (
            "entry condition",
            "Errored",
            "skip: the stage failed on its entry condition (rule Rule); CodePipeline retries only actions",
        ),
        (
            "entry condition",
            "Failed",
            "skip: the stage failed on its entry condition (rule Rule); CodePipeline retries only actions",
        ),
        ("entry condition", "InProgress", "skip: no action of the stage failed in this execution"),
        ("entry condition", "Overridden", "skip: no action of the stage failed in this execution"),
        ("entry condition", "Succeeded", "skip: no action of the stage failed in this execution"),
        ("success condition", "Abandoned", "skip: no action of the stage failed in this execution"),
        ("success condition", "Cancelled", "skip: no action of the stage failed in this execution"),
        (
            "success condition",
            "Errored",
            "skip: the stage failed on its success condition (rule Rule); CodePipeline retries only actions",
        ),
        (
            "success condition",
            "Failed",
            "skip: the stage failed on its success condition (rule Rule); CodePipeline retries only actions",
        ),
        ("success condition", "InProgress", "skip: no action of the stage failed in this execution"),
        ("success condition", "Overridden", "skip: no action of the stage failed in this execution"),
        ("success condition", "Succeeded", "skip: no action of the stage failed in this execution"),
        ("failure condition beside the gate", "Abandoned", "retry 1 of 5"),
        ("failure condition beside the gate", "Cancelled", "retry 1 of 5"),
        (
            "failure condition beside the gate",
            "Errored",
            "skip: the failure condition of the stage has status Errored, so CodePipeline does what the condition says",
        ),
        (
            "failure condition beside the gate",
            "Failed",
            "skip: the failure condition of the stage has status Failed, so CodePipeline does what the condition says",
        ),
        (
            "failure condition beside the gate",
            "InProgress",
            "not yet: the failure condition of the stage is in progress",
        ),
        ("failure condition beside the gate", "Overridden", "retry 1 of 5"),
        ("failure condition beside the gate", "Succeeded", "retry 1 of 5"),
        (
            "rule of a failed entry condition, the gate",
            "Abandoned",
            "skip: the stage failed on its entry condition; CodePipeline retries only actions",
        ),
        (
            "rule of a failed entry condition, the gate",
            "Failed",
            "override BEFORE_ENTRY: the entry condition failed at the health gate (rule Rule), and CodePipeline retries only actions",
        ),
        (
            "rule of a failed entry condition, the gate",
            "InProgress",
            "skip: the stage failed on its entry condition; CodePipeline retries only actions",
        ),
        (
            "rule of a failed entry condition, the gate",
            "Succeeded",
            "skip: the stage failed on its entry condition; CodePipeline retries only actions",
        ),
    ];

    /// What is decided where this is shown.
    fn decided(place: &str, shown: &str) -> String {
        let config = Env::of_table(&[]).read(Config::from_env).unwrap();
        let notice = notice(Some("Production"), "e-2");
        let trigger = Trigger::Failed(&notice);
        let (without, ran) = (stage("Production", "e-2", "Failed", &[], &CASE), past(ONCE));
        let failed = condition(shown.into(), REAL, None);
        let (stage, history) = match place {
            "stage" => (stage("Production", "e-2", shown, FAILED, &CASE), ran),
            "action" => {
                let actions = [("Gate", "g1", leak(shown), GATE)];
                (
                    stage("Production", "e-2", "Failed", &actions, &CASE),
                    past(&[("Production", "Gate", "g1", leak(shown))]),
                )
            }
            "action beside the gate" => {
                let actions = [("Gate", "g1", "Failed", GATE), ("Deploy", "d1", leak(shown), REAL)];
                (stage("Production", "e-2", "Failed", &actions, &CASE), past(BOTH))
            }
            "entry condition" => (with(without, "entry", failed), vec![]),
            "success condition" => (with(without, "success", failed), vec![]),
            "failure condition beside the gate" => (with(gate_failed(GATE), "failure", failed), ran),
            "rule of a failed entry condition, the gate" => {
                let mut failed = condition(ConditionExecutionStatus::Failed, GATE, None);
                let rule = &mut failed.condition_states.as_mut().unwrap()[0].rule_states.as_mut().unwrap()[0];
                rule.latest_execution.as_mut().unwrap().status = Some(shown.into());
                (with(without, "entry", failed), vec![])
            }
            other => panic!("{other}"),
        };
        match failed_stages(&[stage], &trigger) {
            Ok(found) => text(verdict(found[0].0, &history, &trigger, &config)),
            Err(none) => none.to_string(),
        }
    }

    fn leak(text: &str) -> &'static str {
        text.to_owned().leak()
    }

    #[test]
    fn each_state_of_a_stage_has_its_decision() {
        for (place, status, expected) in STATES {
            assert_eq!(decided(place, status), *expected, "{place}: {status}");
        }
    }

    #[test]
    fn every_status_that_codepipeline_documents_is_in_the_table() {
        let places: std::collections::BTreeSet<_> = STATES.iter().map(|(place, ..)| *place).collect();
        for place in places {
            let mut documented = match place {
                "stage" => StageExecutionStatus::values(),
                "action" | "action beside the gate" => ActionExecutionStatus::values(),
                "rule of a failed entry condition, the gate" => RuleExecutionStatus::values(),
                _ => ConditionExecutionStatus::values(),
            }
            .to_vec();
            documented.sort_unstable();
            let in_table: Vec<_> = STATES.iter().filter(|state| state.0 == place).map(|state| state.1).collect();
            assert_eq!(in_table, documented, "{place}: add each new status to STATES, with what is decided");
        }
    }

    #[test]
    fn a_status_that_is_new_retries_nothing() {
        for (place, expected) in [
            ("stage", "the stage has status New"),
            ("action", "skip: no action of the stage failed in this execution"),
            ("entry condition", "skip: no action of the stage failed in this execution"),
            (
                "failure condition beside the gate",
                "skip: the failure condition of the stage has the unknown status New",
            ),
        ] {
            assert_eq!(decided(place, "New"), expected, "{place}");
        }
    }

    #[test]
    fn the_gate_as_a_rule_of_a_condition_is_left_to_a_person() {
        let failed = ConditionExecutionStatus::Failed;
        let (entry, success) = ("override BEFORE_ENTRY: the entry", "override ON_SUCCESS: the success");
        let rest = "condition failed at the health gate (rule Rule), and CodePipeline retries only actions";
        let stage = || stage("Production", "e-2", "Failed", &[], &CASE);
        let before = |message: &str| with(stage(), "entry", condition(failed.clone(), message, None));
        assert_eq!(both(&before(GATE), &[], &[]), [format!("{entry} {rest}"), format!("{entry} {rest}")]);
        let on_success = condition(failed.clone(), GATE, None);
        let after = with(stage(), "success", on_success);
        assert_eq!(both(&after, &[], &[])[0], format!("{success} {rest}"));
        // CodePipeline may put something around the message of an invocation that failed.
        let wrapped = format!(r#"{{"errorType":"Blocked","errorMessage":"{}"}}"#, GATE.replace('\n', "\\n"));
        assert_eq!(both(&before(&wrapped), &[], &[])[0], format!("{entry} {rest}"));
        let other = "[health-gate] 1 AWS Health event\n- EC2, arn:aws:health:eu-west-1::event/EC2/OTHER/OTHER_1";
        assert_eq!(both(&before(other), &[], &[])[1], "not affected");
        let setup = "skip: the entry condition (rule Rule) failed for a reason that only a person can fix; see the \
                     message of the rule";
        assert_eq!(both(&before(SETUP), &[], &[]), [setup, "not affected"]);
        assert_eq!(both(&before(REAL), &[], &[])[1], "not affected");
    }

    #[test]
    fn a_condition_of_an_earlier_run_decides_nothing() {
        let failed = |changed| condition(ConditionExecutionStatus::Failed, REAL, changed);
        let skipped = "skip: the stage failed on its entry condition (rule Rule); CodePipeline retries only actions";
        for (changed, expected) in
            [(None, CASE.notice), (Some(-600), CASE.notice), (Some(-1), CASE.notice), (Some(10), skipped)]
        {
            let stage = with(gate_failed(GATE), "entry", failed(changed));
            assert_eq!(both(&stage, &past(ONCE), &[])[0], expected, "entry, {changed:?}");
        }
        let engaged =
            "skip: the failure condition of the stage has status Failed, so CodePipeline does what the condition says";
        for (changed, expected) in [(None, engaged), (Some(-600), CASE.notice), (Some(10), engaged)] {
            let stage = with(gate_failed(GATE), "failure", failed(changed));
            assert_eq!(both(&stage, &past(ONCE), &[])[0], expected, "failure, {changed:?}");
        }
        // The gate failed just now, or in an earlier execution: the history shows no failure of this one yet.
        let not_yet = "not yet: the history of the execution does not show the failure of the action Gate yet";
        for kind in ["entry", "success"] {
            let skipped = format!(
                "skip: the stage failed on its {kind} condition (rule Rule); CodePipeline retries only actions"
            );
            for (changed, expected) in [
                (None, not_yet),
                (Some(-86_400), not_yet),
                (Some(-10), not_yet),
                (Some(0), &skipped),
                (Some(10), &skipped),
            ] {
                let stage = with(gate_failed(GATE), kind, failed(changed));
                assert_eq!(both(&stage, &[], &[])[0], expected, "{kind}, {changed:?}, the history lags");
            }
            // What failed a day ago is of an earlier execution, so the condition is why this one failed.
            let yesterday = Case { later: -86_400, ..CASE };
            for changed in [None, Some(-10)] {
                let stage = with(stage("Production", "e-2", "Failed", FAILED, &yesterday), kind, failed(changed));
                assert_eq!(both(&stage, &[], &[])[0], skipped, "{kind}, {changed:?}, after a failure of yesterday");
            }
        }
    }

    #[test]
    fn an_action_without_an_id_is_found_by_its_name() {
        let mut without = gate_failed(GATE);
        let states = without.action_states.as_mut().unwrap();
        states[0].latest_execution.as_mut().unwrap().action_execution_id = None;
        assert_eq!(both(&without, &past(ONCE), &[])[0], CASE.notice);
        let mut history = past(ONCE);
        history[0].action_execution_id = None;
        assert_eq!(both(&gate_failed(GATE), &history, &[])[0], CASE.notice);
        history[0].action_name = Some("Other".to_owned());
        assert!(both(&gate_failed(GATE), &history, &[])[0].starts_with("not yet: "));
    }

    /// Failures of the gate: when each attempt began, in seconds before or after the failure of the notice; each lasts ten.
    fn attempts_at(begun: &[i64]) -> Vec<ActionExecutionDetail> {
        let time = |second: i64| DateTime::from_secs(FAILED_AT.unix_timestamp() + second);
        let attempt = |(number, begun): (usize, &i64)| {
            ActionExecutionDetail::builder()
                .stage_name("Production")
                .action_name("Gate")
                .action_execution_id(format!("g{number}"))
                .status(ActionExecutionStatus::Failed)
                .start_time(time(*begun))
                .last_update_time(time(*begun + 10))
                .build()
        };
        // CodePipeline gives the newest first.
        begun.iter().rev().enumerate().map(|(number, begun)| attempt((number + 1, begun))).collect()
    }

    /// An attempt may fail at once, and the next one begin within the same second.
    #[test]
    fn retries_within_one_second_are_counted() {
        for (delay, begun, lasts) in
            [("1", [0, 600, 1_200], 0), ("1", [100, 700, 1_300], 90), ("0", [900, 900, 900], 400)]
        {
            let mut attempts = attempts_at(&[0, 0, 0]);
            for (attempt, begun) in attempts.iter_mut().rev().zip(begun) {
                let time = |millis: i64| DateTime::from_millis(FAILED_AT.unix_timestamp() * 1_000 + millis);
                attempt.start_time = Some(time(begun));
                attempt.last_update_time = Some(time(begun + lasts));
            }
            let settings = [("MAX_RETRIES", "2"), ("RETRY_DELAY_SECONDS", delay)];
            assert_eq!(both(&gate_failed(GATE), &attempts, &settings)[0], "give up after 3", "begun at {begun:?} ms");
        }
    }

    #[test]
    fn delayed_retries_alone_are_counted() {
        let settings = |limit| [("MAX_RETRIES", limit), ("RETRY_DELAY_SECONDS", "900")];
        for (name, begun, automatic, limit, expected) in [
            ("delayed ones", &[-2_000, -1_000, -10][..], 0, "5", "retry 3 of 5"),
            ("five by closed events", &[-320, -250, -190, -130, -70, -10], 0, "5", "retry 1 of 5"),
            ("one of CodePipeline's own", &[-25, -10], 0, "1", "retry 1 of 1"),
            ("one of CodePipeline's own that took long", &[-2_000, -10], 1, "1", "retry 1 of 1"),
            ("one of each", &[-1_500, -1_400, -10], 0, "1", "give up after 3"),
            ("one by an event that closed ten minutes later", &[-620, -10], 0, "1", "retry 1 of 1"),
            ("one within the tolerance", &[-800, -10], 0, "1", "give up after 2"),
        ] {
            let mut stage = gate_failed(GATE);
            let metadata = RetryStageMetadata::builder().auto_stage_retry_attempt(automatic).build();
            stage.retry_stage_metadata = Some(metadata);
            assert_eq!(both(&stage, &attempts_at(begun), &settings(limit))[0], expected, "{name}");
        }
    }

    #[test]
    fn a_closed_event_starts_two_attempts_and_no_more() {
        for (begun, expected) in [
            (&[-10][..], CASE.closed),
            (&[-10, 20], CASE.closed),
            (&[-10, 20, 40], "skip: 2 attempts failed since the event closed; the delayed retries go on"),
        ] {
            assert_eq!(both(&gate_failed(GATE), &attempts_at(begun), &[])[1], expected, "{begun:?}");
        }
        // The time of the event is in whole seconds, those of CodePipeline are not.
        let mut attempts = attempts_at(&[0, 20]);
        attempts[1].start_time = Some(DateTime::from_millis(FAILED_AT.unix_timestamp() * 1_000 + 900));
        assert_eq!(both(&gate_failed(GATE), &attempts, &[])[1], CASE.closed);
    }

    /// Each action with what its attempts came to, the oldest first. The actions `Gate…` are the gate.
    #[test]
    fn the_newest_attempt_of_each_action_tells_whether_the_gate_stopped_an_execution() {
        let config = Env::of_table(&[("HEALTH_GATE_FUNCTION_NAME", "gate")]).read(Config::from_env).unwrap();
        for (name, runs, expected) in [
            ("the gate failed", &[("Gate", "Failed")][..], true),
            ("it failed again", &[("Gate", "Failed"), ("Gate", "Failed")], true),
            ("after a retry it passed", &[("Gate", "Failed"), ("Gate", "Succeeded"), ("Deploy", "Succeeded")], false),
            (
                "after a retry it passed, and another action failed",
                &[("Gate", "Failed"), ("Gate", "Succeeded"), ("Deploy", "Failed")],
                false,
            ),
            ("another action failed beside it", &[("Gate", "Failed"), ("Test", "Failed")], false),
            (
                "another action failed beside it, and passed after a retry",
                &[("Test", "Failed"), ("Gate", "Failed"), ("Test", "Succeeded"), ("Gate", "Failed")],
                true,
            ),
            ("one of two gates passed", &[("Gate", "Succeeded"), ("GateUs", "Failed")], true),
            ("it runs again", &[("Gate", "Failed"), ("Gate", "InProgress")], false),
            ("nothing ran", &[], false),
        ] {
            let attempt = |(number, (action, status)): (i64, &(&str, &str))| {
                let function = if action.starts_with("Gate") { "gate" } else { "other" };
                ActionExecutionDetail::builder()
                    .stage_name("Production")
                    .action_name(*action)
                    .status((*status).into())
                    .input(input(ActionCategory::Invoke, Some(function)))
                    // Within one second, as two attempts may be.
                    .start_time(DateTime::from_millis(FAILED_AT.unix_timestamp() * 1_000 + number))
                    .build()
            };
            // CodePipeline gives the newest first; here the order of the list decides nothing.
            let mut history: Vec<_> = (0..).zip(runs).map(attempt).collect();
            for _ in 0..2 {
                assert_eq!(failed_at_the_gate("Production", &history, &config), expected, "{name}");
                assert!(!failed_at_the_gate("Staging", &history, &config), "{name}");
                history.reverse();
            }
        }
    }

    #[test]
    fn the_history_tells_where_an_execution_of_mode_parallel_failed() {
        let transition = TransitionState::builder().enabled(false).disabled_reason("incident 4711").build();
        let mut shown = [
            stage("Source", "e-9", "Succeeded", &[("Fetch", "f9", "Succeeded", "")], &CASE),
            stage(
                "Production",
                "e-9",
                "InProgress",
                &[("Gate", "g9", "InProgress", ""), ("Deploy", "d8", "Failed", REAL)],
                &CASE,
            ),
        ];
        shown[1].inbound_transition_state = Some(transition.clone());
        shown[1].before_entry_condition_state = Some(condition(ConditionExecutionStatus::Failed, REAL, Some(60)));
        let in_order = |runs: &[Past]| {
            let mut history = past(runs);
            for (second, run) in history.iter_mut().rev().enumerate() {
                let time = DateTime::from_secs(FAILED_AT.unix_timestamp() + i64::try_from(second).unwrap());
                (run.start_time, run.last_update_time) = (Some(time), Some(time));
                let error = ErrorDetails::builder().code("JobFailed").message(GATE).build();
                let result = ActionExecutionResult::builder().error_details(error).build();
                run.output = Some(ActionExecutionOutput::builder().execution_result(result).build());
            }
            history
        };
        let failed = in_order(&[("Production", "Gate", "g1", "Failed"), ("Source", "Fetch", "f1", "Succeeded")]);
        let [own] = &parallel_stages(&shown, "e-2", &failed)[..] else { panic!("one stage failed") };
        assert_eq!((own.stage_name(), own.inbound_transition_state()), (Some("Production"), Some(&transition)));
        assert_eq!(own.latest_execution().unwrap().pipeline_execution_id(), "e-2");
        assert_eq!(own.before_entry_condition_state(), None);
        assert_eq!(both(own, &failed, &[]), ["held: the transition into the stage is disabled: incident 4711"; 2]);
        shown[1].inbound_transition_state = None;
        let own = &parallel_stages(&shown, "e-2", &failed)[0];
        assert_eq!(both(own, &failed, &[]), [CASE.notice, CASE.closed]);

        // The latest run of an action counts, in whatever order the history has them.
        let mut again = in_order(&[("Production", "Gate", "g2", "InProgress"), ("Production", "Gate", "g1", "Failed")]);
        assert_eq!(parallel_stages(&shown, "e-2", &again), []);
        again.reverse();
        assert_eq!(parallel_stages(&shown, "e-2", &again), []);
        assert_eq!(parallel_stages(&shown, "e-2", &[]), []);
    }

    #[test]
    fn stages() {
        let stages = [
            stage("Source", "e-3", "Succeeded", &[], &CASE),
            stage("Staging", "e-2", "Failed", &[], &CASE),
            stage("Production", "e-1", "Failed", &[], &CASE),
            StageState::builder().stage_name("New").build(),
        ];
        let chosen = |trigger: Trigger<'_>| {
            failed_stages(&stages, &trigger)
                .map(|stages| {
                    stages.iter().map(|(stage, _)| stage.stage_name().unwrap()).collect::<Vec<_>>().join(", ")
                })
                .map_err(|reason| reason.to_string())
        };
        let err = |reason: &str| Err(reason.to_owned());
        for (stage, execution_id, expected) in [
            (Some("Staging"), "e-2", Ok("Staging".to_owned())),
            (Some("Staging"), "e-1", err("superseded: the latest execution of the stage is e-2")),
            (Some("Source"), "e-3", err("the stage has status Succeeded")),
            (Some("Gone"), "e-2", err("the pipeline does not have this stage any more")),
            (Some("New"), "e-2", err("the stage has not run")),
            (None, "e-1", Ok("Production".to_owned())),
            (None, "e-3", err("no stage has status Failed in this execution: it was retried, or superseded")),
        ] {
            assert_eq!(chosen(Trigger::Failed(&notice(stage, execution_id))), expected, "{stage:?} {execution_id}");
        }
        let closed = Trigger::HealthClosed { arn: ARN, sent: None, now: FAILED_AT };
        assert_eq!(chosen(closed), Ok("Staging, Production".to_owned()));
        assert_eq!(failed_stages(&[], &closed), Err(NoStage::None("no stage has status Failed")));
    }
}
