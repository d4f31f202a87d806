//! Whether a stage is retried. Pure: no client, no clock, no environment.
//!
//! Which actions failed, why, and when, is read from the state of the stage; how often, from the history of the pipeline
//! execution. The history has a field for the error too, but AWS documents only for the state that it is the message
//! that the gate gave, so the message is read there.

use aws_sdk_codepipeline::types::{
    ActionExecution, ActionExecutionDetail, ActionExecutionStatus, ExecutionType, StageExecutionStatus, StageRetryMode,
    StageState,
};
use time::{Duration, OffsetDateTime};

use crate::config::Config;
use crate::event::Failed;

/// How the health gate begins the message of a failure that may be over later.
///
/// Both marks are those of the crate `pipeline-health-gate`; a test compares them.
pub const GATE_MARK: &str = "[health-gate] ";

/// How the health gate begins the message of a failure that a person must mend.
pub const SETUP_MARK: &str = "[health-gate:setup] ";

/// A notice has the time of its event in whole seconds, the state that of the action, from another clock.
const CLOCK_TOLERANCE: Duration = Duration::minutes(1);

/// After that, nobody expects that a stage starts again because an AWS Health event closed.
const MAX_AGE: Duration = Duration::days(1);

/// Why a stage is looked at.
#[derive(Debug, Clone, Copy)]
pub enum Trigger<'a> {
    /// CodePipeline's notice that it failed.
    Failed(&'a Failed),
    /// An AWS Health event closed.
    HealthClosed {
        /// The ARN of that event.
        arn: &'a str,
        /// The present.
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
    /// The stage did not fail because of the AWS Health event that closed.
    NotAffected,
    /// It cannot be decided yet: look again later.
    NotYet {
        /// What is missing.
        reason: String,
    },
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
) -> Result<Vec<(&'a StageState, &'a str)>, String> {
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
    if found.is_empty() { Err(none.to_owned()) } else { Ok(found) }
}

fn named_stage<'a>(
    stages: &'a [StageState],
    name: &str,
    execution_id: &str,
) -> Result<(&'a StageState, &'a str), String> {
    let stage = stages.iter().find(|stage| stage.stage_name() == Some(name));
    let stage = stage.ok_or("the pipeline does not have this stage any more")?;
    let latest = stage.latest_execution().ok_or("the stage has not run")?;
    if latest.pipeline_execution_id() != execution_id {
        return Err(format!("superseded: the latest execution of the stage is {}", latest.pipeline_execution_id()));
    }
    if latest.status() != &StageExecutionStatus::Failed {
        return Err(format!("the stage has status {}", latest.status()));
    }
    Ok((stage, latest.pipeline_execution_id()))
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
    let (failed, earlier): (Vec<_>, Vec<_>) =
        failed_actions(stage).partition(|action| history.iter().any(|past| past.action_execution_id() == action.id));
    let shown = if failed.is_empty() { &earlier } else { &failed };
    if let Trigger::HealthClosed { arn, .. } = trigger
        && !shown.iter().any(|action| may_name(action.message, arn))
    {
        return Verdict::NotAffected;
    }
    let Some(latest) = failed.iter().max_by_key(|action| action.at) else {
        return match earlier.iter().find(|action| action.is_retried(config)) {
            Some(FailedAction { name, .. }) => {
                let reason = format!("the history of the execution does not show the failure of the action {name} yet");
                Verdict::NotYet { reason }
            }
            None => Verdict::Skip { reason: "no action of the stage failed in this execution".to_owned() },
        };
    };
    if let Some(reason) = objection(stage, &failed, latest, trigger, config) {
        return Verdict::Skip { reason };
    }
    let running = actions_with(stage, &ActionExecutionStatus::InProgress).next();
    if let Some((action, _)) = running.filter(|_| config.retry_mode == StageRetryMode::AllActions) {
        let reason = format!("the action {action} is in progress, and ALL_ACTIONS must wait until it ends");
        return Verdict::NotYet { reason };
    }
    if let Trigger::HealthClosed { .. } = trigger {
        return Verdict::Retry { reason: "the message of the failure names the closed event".to_owned() };
    }
    let (failures, limit) = (failures(stage, &failed, history), config.max_retries);
    if failures > limit {
        return Verdict::GiveUp { failures, message: latest.message.to_owned() };
    }
    Verdict::Retry { reason: format!("retry {failures} of {limit}") }
}

/// Why the stage is not retried, whatever the budget says.
fn objection(
    stage: &StageState,
    failed: &[FailedAction<'_>],
    latest: &FailedAction<'_>,
    trigger: &Trigger<'_>,
    config: &Config,
) -> Option<String> {
    if let Some(FailedAction { name, .. }) = failed.iter().find(|action| action.message.starts_with(SETUP_MARK)) {
        return Some(format!("the action {name} failed for a reason that only a person can mend; see its message"));
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
        _ => None,
    }
}

/// An action whose latest execution failed.
struct FailedAction<'a> {
    name: &'a str,
    /// Of the execution of the action.
    id: Option<&'a str>,
    message: &'a str,
    at: OffsetDateTime,
}

impl FailedAction<'_> {
    fn is_retried(&self, config: &Config) -> bool {
        config.retry_any_failure || self.message.starts_with(GATE_MARK)
    }
}

fn failed_actions(stage: &StageState) -> impl Iterator<Item = FailedAction<'_>> {
    actions_with(stage, &ActionExecutionStatus::Failed).map(|(name, execution)| FailedAction {
        name,
        id: execution.action_execution_id(),
        message: execution.error_details().and_then(|error| error.message()).unwrap_or_default(),
        at: execution
            .last_status_change()
            .and_then(|time| OffsetDateTime::from_unix_timestamp(time.secs()).ok())
            .unwrap_or(OffsetDateTime::UNIX_EPOCH),
    })
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

/// How often the stage failed in this execution. Counted for each action, and the highest count is taken: two gates that
/// fail side by side are one failure of the stage.
fn failures(stage: &StageState, failed: &[FailedAction<'_>], history: &[ActionExecutionDetail]) -> usize {
    let of_action = |action: &FailedAction<'_>| {
        let is_failure = |past: &&ActionExecutionDetail| {
            past.stage_name() == stage.stage_name()
                && past.action_name() == Some(action.name)
                && past.status() == Some(&ActionExecutionStatus::Failed)
        };
        history.iter().filter(is_failure).count()
    };
    failed.iter().map(of_action).max().unwrap_or_default()
}

/// Whether a message of the health gate names this AWS Health event, or was cut, so that it may.
fn may_name(message: &str, arn: &str) -> bool {
    let words = message.split(|c: char| c.is_whitespace() || c == ',');
    let is_cut = message.ends_with('…')
        || message.lines().last().and_then(|line| line.strip_prefix("- and ")?.strip_suffix(" more")).is_some();
    message.starts_with(GATE_MARK) && (is_cut || words.into_iter().any(|word| word == arn))
}

#[cfg(test)]
mod tests {
    use aws_sdk_codepipeline::primitives::DateTime;
    use aws_sdk_codepipeline::types::{ActionState, ErrorDetails, StageExecution};
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
            name: "what only a person can mend",
            actions: &[("Gate", "g1", "Failed", SETUP)],
            notice: "skip: the action Gate failed for a reason that only a person can mend; see its message",
            closed: "not affected",
            ..CASE
        },
        Case {
            name: "what only a person can mend, beside an open event, whatever is retried",
            settings: &[("RETRY_ANY_FAILURE", "true")],
            actions: &[("Gate", "g1", "Failed", GATE), ("GateUs", "u1", "Failed", SETUP)],
            history: &[("Production", "Gate", "g1", "Failed"), ("Production", "GateUs", "u1", "Failed")],
            notice: "skip: the action GateUs failed for a reason that only a person can mend; see its message",
            closed: "skip: the action GateUs failed for a reason that only a person can mend; see its message",
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
            Verdict::NotAffected => "not affected".to_owned(),
            Verdict::NotYet { reason } => format!("not yet: {reason}"),
        }
    }

    #[test]
    fn verdicts() {
        for case in CASES {
            let env = Env::of_table(case.settings);
            let config = env.finish(Config::from_env(&env)).unwrap();
            let (stage, history) = (stage("Production", "e-2", "Failed", case.actions, case), past(case.history));
            let notice = notice(Some("Production"), "e-2");
            let now = FAILED_AT + Duration::seconds(case.later + case.age);
            for (trigger, expected) in
                [(Trigger::Failed(&notice), case.notice), (Trigger::HealthClosed { arn: ARN, now }, case.closed)]
            {
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
        let config = Config::from_env(&env);
        let mut notice = notice(Some("Production"), "e-2");
        let decided = |notice: &Failed| text(verdict(&stage, &history, &Trigger::Failed(notice), &config));
        assert!(decided(&notice).starts_with("skip: the action Gate failed again"));
        notice.time += Duration::seconds(90);
        assert_eq!(decided(&notice), "give up after 1");
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
            failed_stages(&stages, &trigger).map(|stages| {
                stages.iter().map(|(stage, _)| stage.stage_name().unwrap()).collect::<Vec<_>>().join(", ")
            })
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
        let closed = Trigger::HealthClosed { arn: ARN, now: FAILED_AT };
        assert_eq!(chosen(closed), Ok("Staging, Production".to_owned()));
        assert_eq!(failed_stages(&[], &closed), err("no stage has status Failed").map(|_: String| vec![]));
    }
}
