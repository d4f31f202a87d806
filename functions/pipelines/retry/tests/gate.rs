//! What the health gate writes is what the retry reads: two crates, one contract.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use aws_sdk_codepipeline::primitives::DateTime;
use aws_sdk_codepipeline::types::{
    ActionExecution, ActionExecutionDetail, ActionExecutionStatus, ActionState, ErrorDetails, FailureType,
    StageExecution, StageExecutionStatus, StageState,
};
use aws_sdk_health::types::Event;
use gatehouse_shared::env::Env;
use pipeline_health_gate::health::Unknown;
use pipeline_health_gate::verdict::{self as gate, Asked};
use pipeline_retry::config::Config;
use pipeline_retry::verdict::{GATE_MARK, SETUP_MARK, Trigger, Verdict, verdict};
use time::OffsetDateTime;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn arn(number: usize) -> String {
    format!("arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_{number}")
}

/// The gate's answer where so many events are open, or AWS Health is not known.
fn message(events: usize, unknown: Option<&Unknown>) -> String {
    let env = Env::of_table(&[("AWS_REGION", "eu-west-1")]);
    let config = env.finish(pipeline_health_gate::config::Config::from_env(&env)).unwrap();
    let events: Vec<_> = (0..events).map(|number| Event::builder().arn(arn(number)).service("EC2").build()).collect();
    let asked = Asked { events: &events, unknown, unfamiliar: &[] };
    gate::decide(&config, &asked, None, NOW).answer.message().to_owned()
}

/// What the retry decides about a stage whose gate failed with this message, when the event number 0 closed.
fn closed(message: &str) -> Verdict {
    let error = ErrorDetails::builder().message(message).build();
    let failed = ActionExecution::builder()
        .action_execution_id("g1")
        .status(ActionExecutionStatus::Failed)
        .last_status_change(DateTime::from_secs(0))
        .error_details(error);
    let latest =
        StageExecution::builder().pipeline_execution_id("e-1").status(StageExecutionStatus::Failed).build().unwrap();
    let stage = StageState::builder()
        .stage_name("Production")
        .latest_execution(latest)
        .action_states(ActionState::builder().action_name("Gate").latest_execution(failed.build()).build())
        .build();
    let history = [ActionExecutionDetail::builder().action_execution_id("g1").build()];
    let env = Env::of_table(&[]);
    verdict(&stage, &history, &Trigger::HealthClosed { arn: &arn(0), now: NOW }, &Config::from_env(&env))
}

#[test]
fn the_marks_are_the_same() {
    assert_eq!((GATE_MARK, SETUP_MARK), (gate::MARK, gate::SETUP_MARK));
    assert!(message(1, None).starts_with(GATE_MARK));
    assert!(message(0, Some(&Unknown::OutOfTime)).starts_with(GATE_MARK));
    assert!(message(0, Some(&Unknown::Subscription)).starts_with(SETUP_MARK));
    assert!(gate::Verdict::setup(FailureType::ConfigurationError, "x").answer.message().starts_with(SETUP_MARK));
}

#[test]
fn an_event_that_the_gate_lists_is_found_and_another_is_not() {
    assert!(matches!(closed(&message(1, None)), Verdict::Retry { .. }));
    assert!(matches!(closed(&message(3, None)), Verdict::Retry { .. }));
    assert_eq!(closed(&message(3, None).replace("ISSUE_0", "ISSUE_00")), Verdict::NotAffected);
    assert_eq!(closed(&message(0, Some(&Unknown::OutOfTime))), Verdict::NotAffected);
}

#[test]
fn a_list_that_the_gate_cut_may_name_any_event() {
    let cut = message(200, None);
    assert!(cut.len() <= gate::MESSAGE_LIMIT && cut.contains(" more"));
    assert!(matches!(closed(&cut.replace(&arn(0), "other")), Verdict::Retry { .. }));
}
