//! Whether a stage is retried. Pure: no client, no clock, no environment.

use aws_sdk_codepipeline::types::{
    ActionExecution, ActionExecutionDetail, ActionExecutionStatus, StageExecutionStatus, StageRetryMode, StageState,
};
use gatehouse_shared::HEALTH_GATE_MARK;

use crate::config::Config;
use crate::event::Failed;

/// What is to be done about a failed stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Retry it.
    Retry {
        /// How often it failed so far.
        failures: usize,
    },
    /// The retries are spent.
    GiveUp {
        /// How often it failed so far.
        failures: usize,
        /// Why it failed the last time.
        message: String,
    },
    /// Not a case for a retry, now or later.
    Leave {
        /// Why not.
        reason: String,
    },
    /// Not to be told at this moment: ask again later.
    NotYet {
        /// What is missing.
        reason: String,
    },
}

/// The stages of a pipeline that are failed, each with the id of the execution that failed in it: the stage that a
/// notice names, or all of them, and of the execution that it names.
///
/// # Errors
///
/// Why there is none: gone, superseded by another execution, retried by somebody else already.
pub fn failed_stages<'a>(
    stages: &'a [StageState],
    notice: Option<&Failed>,
) -> Result<Vec<(&'a StageState, &'a str)>, String> {
    let wanted = notice.map(|notice| notice.execution_id.as_str());
    if let Some(name) = notice.and_then(|notice| notice.stage.as_deref()) {
        let stage = stages.iter().find(|stage| stage.stage_name() == Some(name));
        let Some(stage) = stage else { return Err("the pipeline has no such stage any more".to_owned()) };
        let Some(latest) = stage.latest_execution() else { return Err("the stage has not run".to_owned()) };
        let execution_id = latest.pipeline_execution_id();
        if Some(execution_id) != wanted {
            return Err(format!("superseded: the stage's latest execution is {execution_id}"));
        }
        if latest.status() != &StageExecutionStatus::Failed {
            return Err(format!("the stage is {}, not Failed", latest.status()));
        }
        return Ok(vec![(stage, execution_id)]);
    }
    let failed_in = |stage: &'a StageState| {
        let latest = stage.latest_execution().filter(|latest| latest.status() == &StageExecutionStatus::Failed)?;
        let execution_id = latest.pipeline_execution_id();
        wanted.is_none_or(|wanted| wanted == execution_id).then_some((stage, execution_id))
    };
    let failed: Vec<_> = stages.iter().filter_map(failed_in).collect();
    match (failed.is_empty(), notice) {
        (false, _) => Ok(failed),
        (true, None) => Err("no stage is failed".to_owned()),
        (true, Some(_)) => Err("no stage is failed in this execution: retried already, or superseded".to_owned()),
    }
}

/// Decides about a failed stage. `history` has the action executions of the pipeline execution that failed in it.
///
/// Which actions failed, and why, stands in the state of the stage. An action that has not run in this execution shows
/// what it did in an earlier one, so only those count that the history knows.
///
/// The failures are counted for each action and the highest count is taken: two gates that fail side by side are one
/// failure of the stage.
#[must_use]
pub fn verdict(stage: &StageState, history: &[ActionExecutionDetail], config: &Config) -> Verdict {
    let running = with_status(stage, &ActionExecutionStatus::InProgress).next();
    if let Some((action, _)) = running.filter(|_| config.retry_mode == StageRetryMode::AllActions) {
        let reason = format!("the action {action} is in progress, and ALL_ACTIONS must wait until it ends");
        return Verdict::NotYet { reason };
    }

    let is_of_this_execution = |execution: &ActionExecution| {
        // Executions before March 2020 have no id.
        execution
            .action_execution_id()
            .is_none_or(|id| history.iter().any(|past| past.action_execution_id() == Some(id)))
    };
    let is_retried =
        |execution: &ActionExecution| config.retry_any_failure || message(execution).starts_with(HEALTH_GATE_MARK);
    let (failed, earlier): (Vec<_>, Vec<_>) =
        with_status(stage, &ActionExecutionStatus::Failed).partition(|(_, execution)| is_of_this_execution(execution));

    if let Some((action, execution)) = failed.iter().find(|(_, execution)| !is_retried(execution)) {
        let reason = match execution.error_details() {
            Some(_) => format!("the action {action} did not fail at the health gate; see its message in CodePipeline"),
            None => format!("the action {action} failed without a message, so not at the health gate"),
        };
        return Verdict::Leave { reason };
    }
    let Some((_, latest)) = failed.first() else {
        return match earlier.iter().find(|(_, execution)| is_retried(execution)) {
            Some((action, _)) => {
                let reason = format!("the history of the execution does not show the failure of the action {action}");
                Verdict::NotYet { reason }
            }
            None => Verdict::Leave { reason: "no action of the stage failed in this execution".to_owned() },
        };
    };

    let failures_of = |action: &str| {
        let is_failure = |past: &&ActionExecutionDetail| {
            past.stage_name() == stage.stage_name()
                && past.action_name() == Some(action)
                && past.status() == Some(&ActionExecutionStatus::Failed)
        };
        history.iter().filter(is_failure).count()
    };
    let failures = failed.iter().map(|(action, _)| failures_of(action)).fold(1, usize::max);
    if failures > config.max_retries {
        return Verdict::GiveUp { failures, message: message(latest).to_owned() };
    }
    Verdict::Retry { failures }
}

/// The actions of a stage whose latest execution has this status, by name.
fn with_status<'a>(
    stage: &'a StageState,
    status: &'a ActionExecutionStatus,
) -> impl Iterator<Item = (&'a str, &'a ActionExecution)> {
    stage.action_states().iter().filter_map(move |action| {
        let execution = action.latest_execution().filter(|execution| execution.status() == Some(status))?;
        Some((action.action_name().unwrap_or_default(), execution))
    })
}

fn message(execution: &ActionExecution) -> &str {
    execution.error_details().and_then(|error| error.message()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use aws_sdk_codepipeline::types::{ActionState, ErrorDetails, StageExecution};
    use gatehouse_shared::env::Env;

    use super::*;
    use crate::event::Level;

    /// An action as the state shows it: name, id of its latest execution, status, message.
    type Action = (&'static str, Option<&'static str>, &'static str, Option<&'static str>);
    /// An action execution as the history has it: stage, action, id, status.
    type Past = (&'static str, &'static str, &'static str, &'static str);

    const GATE: Option<&str> = Some("[health-gate] 1 open AWS Health event: EC2");
    const REAL: Option<&str> = Some("Deployment d-KH37TM9SF failed");

    fn stage(name: &str, execution_id: &str, status: &str, actions: &[Action]) -> StageState {
        let action = |&(name, id, status, message): &Action| {
            let error = message.map(|message| ErrorDetails::builder().code("JobFailed").message(message).build());
            let latest = ActionExecution::builder()
                .set_action_execution_id(id.map(str::to_owned))
                .status(status.into())
                .set_error_details(error)
                .build();
            ActionState::builder().action_name(name).latest_execution(latest).build()
        };
        let latest = StageExecution::builder().pipeline_execution_id(execution_id).status(status.into()).build();
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

    fn decide(settings: &[(&str, &str)], actions: &[Action], history: &[Past]) -> String {
        let env = Env::of_table(settings);
        let config = env.finish(Config::from_env(&env)).unwrap();
        match verdict(&stage("Production", "e-2", "Failed", actions), &past(history), &config) {
            Verdict::Retry { failures } => format!("retry after {failures}"),
            Verdict::GiveUp { failures, message } => format!("give up after {failures}: {message}"),
            Verdict::Leave { reason } => format!("leave: {reason}"),
            Verdict::NotYet { reason } => format!("not yet: {reason}"),
        }
    }

    #[test]
    fn verdicts() {
        struct Case {
            name: &'static str,
            settings: &'static [(&'static str, &'static str)],
            actions: &'static [Action],
            history: &'static [Past],
            expected: &'static str,
        }
        const ONE: &[Past] = &[("Production", "Gate", "g1", "Failed")];
        const TWICE: &[Past] = &[("Production", "Gate", "g2", "Failed"), ("Production", "Gate", "g1", "Failed")];
        const BOTH: &[Past] = &[("Production", "Deploy", "d1", "Failed"), ("Production", "Gate", "g1", "Failed")];
        let cases = [
            Case {
                name: "the gate failed once",
                settings: &[],
                actions: &[("Gate", Some("g1"), "Failed", GATE)],
                history: ONE,
                expected: "retry after 1",
            },
            Case {
                name: "the last retry",
                settings: &[("MAX_RETRIES", "2")],
                actions: &[("Gate", Some("g2"), "Failed", GATE)],
                history: TWICE,
                expected: "retry after 2",
            },
            Case {
                name: "the retries are spent",
                settings: &[("MAX_RETRIES", "1")],
                actions: &[("Gate", Some("g2"), "Failed", GATE)],
                history: TWICE,
                expected: "give up after 2: [health-gate] 1 open AWS Health event: EC2",
            },
            Case {
                name: "no retries wanted at all",
                settings: &[("MAX_RETRIES", "0")],
                actions: &[("Gate", Some("g1"), "Failed", GATE)],
                history: ONE,
                expected: "give up after 1: [health-gate] 1 open AWS Health event: EC2",
            },
            Case {
                name: "only failures of this stage and this action count",
                settings: &[("MAX_RETRIES", "1")],
                actions: &[("Gate", Some("g1"), "Failed", GATE)],
                history: &[
                    ("Production", "Gate", "g1", "Failed"),
                    ("Staging", "Gate", "s1", "Failed"),
                    ("Production", "Test", "t1", "Failed"),
                    ("Production", "Gate", "g0", "Succeeded"),
                    ("Production", "Gate", "g9", "Abandoned"),
                ],
                expected: "retry after 1",
            },
            Case {
                name: "two gates side by side are one failure",
                settings: &[("MAX_RETRIES", "2")],
                actions: &[("Gate", Some("g2"), "Failed", GATE), ("GateUs", Some("u1"), "Failed", GATE)],
                history: &[
                    ("Production", "Gate", "g2", "Failed"),
                    ("Production", "GateUs", "u1", "Failed"),
                    ("Production", "Gate", "g1", "Failed"),
                ],
                expected: "retry after 2",
            },
            Case {
                name: "a real failure",
                settings: &[],
                actions: &[("Gate", Some("g1"), "Succeeded", None), ("Deploy", Some("d1"), "Failed", REAL)],
                history: BOTH,
                expected: "leave: the action Deploy did not fail at the health gate; see its message in CodePipeline",
            },
            Case {
                name: "a second, real failure beside the gate's",
                settings: &[],
                actions: &[("Gate", Some("g1"), "Failed", GATE), ("Deploy", Some("d1"), "Failed", REAL)],
                history: BOTH,
                expected: "leave: the action Deploy did not fail at the health gate; see its message in CodePipeline",
            },
            Case {
                name: "a real failure is retried when asked",
                settings: &[("RETRY_ANY_FAILURE", "true")],
                actions: &[("Gate", Some("g1"), "Failed", GATE), ("Deploy", Some("d1"), "Failed", REAL)],
                history: BOTH,
                expected: "retry after 1",
            },
            Case {
                name: "the mark must begin the message",
                settings: &[],
                actions: &[("Gate", Some("g1"), "Failed", Some("it said [health-gate]"))],
                history: ONE,
                expected: "leave: the action Gate did not fail at the health gate; see its message in CodePipeline",
            },
            Case {
                name: "a failure without a message",
                settings: &[],
                actions: &[("Gate", Some("g1"), "Failed", None)],
                history: ONE,
                expected: "leave: the action Gate failed without a message, so not at the health gate",
            },
            Case {
                name: "a real failure of an earlier execution, shown by an action that has not run in this one",
                settings: &[],
                actions: &[("Gate", Some("g1"), "Failed", GATE), ("Deploy", Some("d0"), "Failed", REAL)],
                history: ONE,
                expected: "retry after 1",
            },
            Case {
                name: "the history lags behind the state",
                settings: &[],
                actions: &[("Gate", Some("g1"), "Failed", GATE)],
                history: &[],
                expected: "not yet: the history of the execution does not show the failure of the action Gate",
            },
            Case {
                name: "a stage that failed on a condition",
                settings: &[],
                actions: &[("Gate", Some("g1"), "Succeeded", None), ("Deploy", Some("d0"), "Failed", REAL)],
                history: &[("Production", "Gate", "g1", "Succeeded")],
                expected: "leave: no action of the stage failed in this execution",
            },
            Case {
                name: "an action without an id",
                settings: &[],
                actions: &[("Gate", None, "Failed", GATE)],
                history: &[],
                expected: "retry after 1",
            },
            Case {
                name: "failed actions can be retried beside one in progress",
                settings: &[],
                actions: &[("Gate", Some("g1"), "Failed", GATE), ("Build", Some("b1"), "InProgress", None)],
                history: ONE,
                expected: "retry after 1",
            },
            Case {
                name: "all actions can not",
                settings: &[("RETRY_MODE", "ALL_ACTIONS")],
                actions: &[("Gate", Some("g1"), "Failed", GATE), ("Build", Some("b1"), "InProgress", None)],
                history: ONE,
                expected: "not yet: the action Build is in progress, and ALL_ACTIONS must wait until it ends",
            },
        ];
        for Case { name, settings, actions, history, expected } in cases {
            assert_eq!(decide(settings, actions, history), expected, "{name}");
        }
    }

    #[test]
    fn stages() {
        let stages = [
            stage("Source", "e-3", "Succeeded", &[]),
            stage("Staging", "e-2", "Failed", &[]),
            stage("Production", "e-1", "Failed", &[]),
            StageState::builder().stage_name("New").build(),
        ];
        let chosen = |notice: Option<(Option<&str>, &str)>| {
            let notice = notice.map(|(stage, execution_id)| Failed {
                pipeline: "web".to_owned(),
                execution_id: execution_id.to_owned(),
                stage: stage.map(str::to_owned),
                level: Level::Pipeline,
            });
            failed_stages(&stages, notice.as_ref()).map(|stages| {
                stages.iter().map(|(stage, _)| stage.stage_name().unwrap()).collect::<Vec<_>>().join(", ")
            })
        };
        let err = |reason: &str| Err(reason.to_owned());
        assert_eq!(chosen(Some((Some("Staging"), "e-2"))), Ok("Staging".to_owned()));
        assert_eq!(chosen(Some((Some("Staging"), "e-1"))), err("superseded: the stage's latest execution is e-2"));
        assert_eq!(chosen(Some((Some("Source"), "e-3"))), err("the stage is Succeeded, not Failed"));
        assert_eq!(chosen(Some((Some("Gone"), "e-2"))), err("the pipeline has no such stage any more"));
        assert_eq!(chosen(Some((Some("New"), "e-2"))), err("the stage has not run"));
        assert_eq!(chosen(Some((None, "e-1"))), Ok("Production".to_owned()));
        assert_eq!(
            chosen(Some((None, "e-3"))),
            err("no stage is failed in this execution: retried already, or superseded")
        );
        assert_eq!(chosen(None), Ok("Staging, Production".to_owned()));
        assert_eq!(failed_stages(&[], None), Err("no stage is failed".to_owned()));
    }
}
