//! Whole invocations against a CodePipeline that behaves like AWS's: a stage that was retried is not failed any more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::fs;
use std::sync::{Arc, Mutex};

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::{ExecutionMode, ExecutionType, StageExecutionStatus};
use gatehouse_shared::clock;
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sdk::SdkConfig;
use gatehouse_shared::sns::Verifier;
use gatehouse_shared::verifier;
use gatehouse_testkit::{
    Aws, Call, Reply, Signer, StaticCertificates, chat_message, context, invocation, lambda_event, notification,
};
use lambda_runtime::LambdaEvent;
use pipeline_retry::config::Config;
use pipeline_retry::error::Error;
use pipeline_retry::report::{RetryResponse, StageOutcome};
use pipeline_retry::{PipelineRetry, REPORT_RESERVE};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

const EXECUTION: &str = "8bdcdf4b-2dd1-4bbe-8aeb-562ff8b55969";
/// An execution that is not the latest of the stage any more.
const EARLIER: &str = "12345678-1234-5678-abcd-12345678abcd";
const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:pipeline-notifications";
const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:people";
const CHAT: &str = "arn:aws:sns:eu-west-1:444455556666:chat";
const EVENT: &str =
    "arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_VKTXI_EXAMPLE111";
const GATE: &str = "[health-gate] 1 AWS Health event in eu-west-1: the stage fails\n- EC2 in eu-west-1, \
                    arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_VKTXI_EXAMPLE111";
/// The time of the sample notices.
const NOTICE: OffsetDateTime = datetime!(2026-08-13 07:47:06 UTC);

/// What CodePipeline knows: one pipeline called `web`, with the stage `Production`, in which the gate failed.
struct Pipeline {
    status: StageExecutionStatus,
    failures: usize,
    message: &'static str,
    failed_at: OffsetDateTime,
    kind: ExecutionType,
    mode: ExecutionMode,
    /// When the execution that is not the latest any more ended.
    earlier_failed_at: OffsetDateTime,
    /// The executions whose stage was retried.
    retried: Vec<String>,
    /// Why the transition into the stage is disabled, if it is.
    frozen: Option<&'static str>,
    /// The entry condition on which the stage failed, instead of at its action.
    condition: Option<Value>,
    /// What chat got.
    shown: Vec<Value>,
    /// What was published, subject first.
    mails: Vec<String>,
    /// The operation that answers with an error code instead.
    fault: Option<(&'static str, &'static str)>,
}

struct World {
    pipeline: Arc<Mutex<Pipeline>>,
    aws: Aws,
}

impl World {
    /// The gate failed this often.
    fn failed(failures: usize) -> Self {
        let kind = ExecutionType::Standard;
        let status = StageExecutionStatus::Failed;
        Self::of(Pipeline {
            status,
            failures,
            message: GATE,
            failed_at: NOTICE,
            kind,
            mode: ExecutionMode::Superseded,
            earlier_failed_at: NOTICE,
            retried: vec![],
            frozen: None,
            condition: None,
            shown: Vec::new(),
            mails: vec![],
            fault: None,
        })
    }

    fn faulty(operation: &'static str, code: &'static str) -> Self {
        let world = Self::failed(1);
        world.set(|pipeline| pipeline.fault = Some((operation, code)));
        world
    }

    fn of(pipeline: Pipeline) -> Self {
        let pipeline = Arc::new(Mutex::new(pipeline));
        let world = pipeline.clone();
        Self { pipeline, aws: Aws::new(move |call| world.lock().unwrap().reply(call)) }
    }

    /// How often RetryStageExecution was called.
    fn retries(&self) -> usize {
        self.aws.calls_of("RetryStageExecution").len()
    }

    /// How often Publish was called.
    fn published(&self) -> usize {
        self.aws.calls_of("Publish").len()
    }

    fn mails(&self) -> Vec<String> {
        self.pipeline.lock().unwrap().mails.clone()
    }

    fn set(&self, change: impl FnOnce(&mut Pipeline)) {
        change(&mut self.pipeline.lock().unwrap());
    }

    /// The function, with signatures checked against the test certificate.
    fn function(&self, settings: &[(&str, &str)]) -> PipelineRetry {
        function(settings, &self.aws)
    }
}

impl Pipeline {
    fn reply(&mut self, call: &Call) -> Reply {
        let parameters = &call.parameters;
        if call.operation == "Publish" {
            return self.publish(call);
        }
        if parameters.get("name").is_some_and(|name| name != "web") {
            return Reply::Error("PipelineNotFoundException");
        }
        if let Some(reply) = self.refusal(&call.operation) {
            return reply;
        }
        Reply::Json(match call.operation.as_str() {
            "GetPipelineState" => self.state(),
            "ListActionExecutions" => match parameters["filter"]["pipelineExecutionId"].as_str() {
                Some(EARLIER) => self.earlier(),
                asked => {
                    assert_eq!(asked, Some(EXECUTION));
                    self.page(parameters["nextToken"].as_str())
                }
            },
            "ListPipelineExecutions" => {
                assert_eq!(parameters["maxResults"], 100);
                self.executions()
            }
            "RetryStageExecution" => {
                assert_eq!(parameters["stageName"], "Production");
                let execution = call.text("pipelineExecutionId");
                if execution == EXECUTION {
                    self.status = StageExecutionStatus::InProgress;
                }
                self.retried.push(execution.to_owned());
                json!({ "pipelineExecutionId": execution })
            }
            other => panic!("{other} is not expected"),
        })
    }

    fn publish(&mut self, call: &Call) -> Reply {
        if call.text("TopicArn") == CHAT {
            self.shown.push(chat_message(call.text("Message")).unwrap());
            return self.refusal("Publish to chat").unwrap_or(Reply::Empty);
        }
        assert_eq!(call.text("TopicArn"), PEOPLE);
        let subject = call.text("Subject");
        assert!(subject.starts_with("Gatehouse pipelines: "), "{subject}");
        self.mails.push(format!("{subject}\n\n{}", call.text("Message")));
        self.refusal("Publish").unwrap_or(Reply::Empty)
    }

    fn refusal(&self, operation: &str) -> Option<Reply> {
        self.fault.filter(|(failing, _)| *failing == operation).map(|(_, code)| Reply::Error(code))
    }

    fn state(&self) -> Value {
        let frozen = self.frozen.map(|reason| json!({ "enabled": false, "disabledReason": reason }));
        json!({ "stageStates": [{
            "stageName": "Production",
            "inboundTransitionState": frozen,
            "beforeEntryConditionState": self.condition,
            "latestExecution": {
                "pipelineExecutionId": EXECUTION, "status": self.status.as_str(), "type": self.kind.as_str(),
            },
            "actionStates": [{ "actionName": "HealthGate", "latestExecution": {
                "actionExecutionId": format!("gate-{}", self.failures),
                "status": "Failed",
                "lastStatusChange": self.failed_at.unix_timestamp(),
                "errorDetails": { "code": "JobFailed", "message": self.message },
            }}],
        }]})
    }

    /// The history of the earlier execution: its gate failed, and runs again once it was retried.
    fn earlier(&self) -> Value {
        let time = self.earlier_failed_at.unix_timestamp();
        let failed = json!({
            "stageName": "Production", "actionName": "HealthGate", "actionExecutionId": "earlier-1",
            "status": "Failed", "startTime": time, "lastUpdateTime": time,
            "input": { "configuration": { "FunctionName": "gate" } },
            "output": { "executionResult": { "errorDetails": { "code": "JobFailed", "message": self.message } } },
        });
        let again = json!({
            "stageName": "Production", "actionName": "HealthGate", "actionExecutionId": "earlier-2",
            "status": "InProgress", "startTime": time,
        });
        let is_retried = self.retried.iter().any(|execution| execution == EARLIER);
        json!({ "actionExecutionDetails": if is_retried { vec![again, failed] } else { vec![failed] } })
    }

    /// The executions, the newest first.
    fn executions(&self) -> Value {
        let execution = |id: &str, is_failed: bool, time: OffsetDateTime| {
            json!({
                "pipelineExecutionId": id,
                "status": if is_failed { "Failed" } else { "InProgress" },
                "executionMode": self.mode.as_str(),
                "lastUpdateTime": time.unix_timestamp(),
            })
        };
        json!({ "pipelineExecutionSummaries": [
            execution(EXECUTION, self.status == StageExecutionStatus::Failed, self.failed_at),
            execution(EARLIER, !self.retried.iter().any(|execution| execution == EARLIER), self.earlier_failed_at),
        ]})
    }

    /// One execution a page, the newest first. Without failures, the history has not caught up with the state.
    fn page(&self, token: Option<&str>) -> Value {
        let number = token.map_or(self.failures, |token| token.parse().unwrap());
        if number == 0 || self.condition.is_some() {
            return json!({ "actionExecutionDetails": [] });
        }
        json!({
            "actionExecutionDetails": [{
                "stageName": "Production", "actionName": "HealthGate",
                "actionExecutionId": format!("gate-{number}"), "status": "Failed",
            }],
            "nextToken": (number > 1).then(|| (number - 1).to_string()),
        })
    }
}

/// As `main` builds it, with signatures checked against the test certificate. A call is one attempt.
fn function(settings: &[(&str, &str)], aws: &Aws) -> PipelineRetry {
    function_with(settings, &aws.sdk_without_retries())
}

fn function_with(settings: &[(&str, &str)], sdk: &SdkConfig) -> PipelineRetry {
    let env = Env::of_table(settings);
    let (config, sns_settings) = env.read(|env| Config::from_env(env).zip(verifier::settings(env))).unwrap();
    let verifier = Verifier::with_source(sns_settings, StaticCertificates::new());
    let notifier = Notifier::for_topics(sdk, config.notify_topic_arn.as_ref(), config.chat_topic.as_ref());
    PipelineRetry::new(config, verifier, Client::new(sdk), notifier)
}

fn sample(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../events/pipelines");
    serde_json::from_str(&fs::read_to_string(format!("{folder}/{name}.json")).unwrap()).unwrap()
}

async fn invoke(function: &PipelineRetry, event: Value) -> Result<RetryResponse, Error> {
    function.handle(invocation(event)).await
}

/// The outcomes of an invocation that is not a batch.
async fn outcomes(function: &PipelineRetry, event: Value) -> Vec<StageOutcome> {
    match invoke(function, event).await.unwrap() {
        RetryResponse::Report { decisions } => decisions.iter().map(|decision| decision.outcome).collect(),
        RetryResponse::Batch(_) => panic!("a batch"),
    }
}

async fn reason(function: &PipelineRetry, event: Value) -> String {
    match invoke(function, event).await.unwrap() {
        RetryResponse::Report { decisions } => {
            assert_eq!(decisions.len(), 1);
            decisions[0].reason.clone()
        }
        RetryResponse::Batch(_) => panic!("a batch"),
    }
}

/// The ids of the records that failed.
async fn failures(function: &PipelineRetry, event: Value) -> Vec<String> {
    match invoke(function, event).await.unwrap() {
        RetryResponse::Batch(response) => {
            response.batch_item_failures.into_iter().map(|failed| failed.item_identifier).collect()
        }
        RetryResponse::Report { .. } => panic!("not a batch"),
    }
}

fn batch(bodies: &[(&str, String)]) -> Value {
    let record = |(id, body): &(&str, String)| json!({"messageId": id, "eventSource": "aws:sqs", "body": body});
    json!({"Records": bodies.iter().map(record).collect::<Vec<_>>()})
}

/// A message that SNS signed just now.
fn signed(message: &str) -> Value {
    let now = clock::now().format(&time::format_description::well_known::Rfc3339).unwrap();
    Signer::new().sign(notification(TOPIC, message, &now))
}

#[tokio::test]
async fn every_sample_event_does_what_its_name_says() {
    let cases: &[(&str, &[StageOutcome], usize)] = &[
        ("retry-sns-codestar-stage-failed", &[StageOutcome::Retried], 1),
        ("retry-codestar-pipeline-failed", &[StageOutcome::Retried], 1),
        ("retry-eventbridge-action-failed", &[StageOutcome::Retried], 1),
        ("retry-eventbridge-stage-failed", &[StageOutcome::Retried], 1),
        ("retry-eventbridge-pipeline-failed", &[StageOutcome::Retried], 1),
        ("retry-health-closed", &[StageOutcome::Retried], 1),
        ("retry-health-open", &[StageOutcome::Ignored], 0),
    ];
    for (name, expected, retries) in cases {
        let world = World::failed(1);
        if *name == "retry-health-closed" {
            world.set(|pipeline| pipeline.failed_at = clock::now());
        }
        // The samples carry the word EXAMPLE as their signature.
        let function = world.function(&[("SNS_VERIFY", "off"), ("TOPIC_ARNS", TOPIC), ("PIPELINES", "web")]);
        assert_eq!(outcomes(&function, sample(name)).await, *expected, "{name}");
        assert_eq!(world.retries(), *retries, "{name}");
        // The same event again finds the stage in progress.
        let again = outcomes(&function, sample(name)).await;
        assert!(
            again.iter().all(|outcome| matches!(outcome, StageOutcome::Skipped | StageOutcome::Ignored)),
            "{name}: {again:?}"
        );
        assert_eq!(world.retries(), *retries, "{name}");
    }
}

#[tokio::test]
async fn the_notices_of_action_stage_and_pipeline_retry_once() {
    for name in ["retry-sqs-codestar-failed", "retry-sqs-eventbridge-stage-failed"] {
        let world = World::failed(1);
        let function = world.function(&[("SNS_VERIFY", "off"), ("TOPIC_ARNS", TOPIC)]);
        assert!(failures(&function, sample(name)).await.is_empty(), "{name}");
        assert!(failures(&function, sample(name)).await.is_empty(), "{name}");
        assert_eq!(world.retries(), 1, "{name}");
    }
}

#[tokio::test]
async fn signatures_are_checked_in_a_queue_and_elsewhere() {
    let event = sample("retry-codestar-pipeline-failed").to_string();
    let world = World::failed(1);
    let function = world.function(&[("TOPIC_ARNS", TOPIC)]);

    let error = invoke(&function, sample("retry-sns-codestar-stage-failed")).await.unwrap_err();
    assert_eq!(error.error_type(), "Refused");
    let mut forged = signed(&event);
    forged["Message"] = event.replace("aws.codepipeline", "aws.codepipelinf").into();
    assert_eq!(failures(&function, batch(&[("forged", forged.to_string())])).await, ["forged"]);
    let foreign = Signer::new().sign(notification(PEOPLE, &event, "2026-03-06T20:00:26.893Z")).to_string();
    assert_eq!(failures(&function, batch(&[("other topic", foreign)])).await, ["other topic"]);
    assert_eq!(world.retries(), 0);

    assert_eq!(outcomes(&function, lambda_event([signed(&event)])).await, [StageOutcome::Retried]);
    world.set(|pipeline| pipeline.status = StageExecutionStatus::Failed);
    assert!(failures(&function, batch(&[("signed", signed(&event).to_string())])).await.is_empty());
    assert_eq!(world.retries(), 2);
}

#[tokio::test]
async fn a_record_that_fails_holds_up_no_other() {
    let world = World::failed(1);
    let function = world.function(&[("TOPIC_ARNS", TOPIC)]);
    let event = sample("retry-codestar-pipeline-failed").to_string();
    let event_bridge = sample("retry-eventbridge-stage-failed").to_string();
    let mut malformed = sample("retry-eventbridge-stage-failed");
    malformed["detail"]["execution-id"] = Value::Null;
    let bodies = [
        ("not JSON", "FAILED".to_owned()),
        ("no envelope", event.clone()),
        ("health in the queue", sample("retry-health-closed").to_string()),
        ("malformed", malformed.to_string()),
        ("unsigned", notification(TOPIC, &event, "2026-08-13T07:47:07Z").to_string()),
        (
            "text for people",
            signed("Stage Production of pipeline web failed 6 times. It is not retried any more.").to_string(),
        ),
        ("request for approval", signed(r#"{"region": "us-east-2", "approval": {"pipelineName": "web"}}"#).to_string()),
        ("signed", signed(&event).to_string()),
        ("from EventBridge", event_bridge),
    ];
    let failed = failures(&function, batch(&bodies)).await;
    assert_eq!(failed, ["not JSON", "no envelope", "malformed", "unsigned"]);
    assert_eq!(world.retries(), 1);
}

#[tokio::test]
async fn what_no_event_is_fails() {
    let world = World::failed(1);
    let function = world.function(&[]);
    let cases = [
        (json!({}), "reading the event: the field source is missing: expected aws.codepipeline or aws.health"),
        (
            json!({"CodePipeline.job": {"id": "1"}}),
            "reading the event: the field source is missing: expected aws.codepipeline or aws.health",
        ),
        (json!({"Records": []}), "reading the delivery: the field Records is empty: expected messages of SQS"),
        (
            json!({"Records": [{"s3": {}}]}),
            "reading the delivery: the field Records: expected messages of SQS: missing field `messageId`",
        ),
        (
            json!({"Records": [{"Sns": {"Type": "Notification"}}]}),
            "reading the delivery: reading the records of SNS: the field Records[0].Sns.MessageId is missing: \
             expected one line of text",
        ),
    ];
    for (event, expected) in cases {
        let error = invoke(&function, event.clone()).await.unwrap_err();
        assert_eq!((error.error_type(), chain(&error).as_str()), ("InvalidEvent", expected), "{event}");
    }
}

#[tokio::test]
async fn the_state_of_the_stage_decides() {
    let event = || sample("retry-eventbridge-stage-failed");
    let world = World::failed(2);
    assert_eq!(reason(&world.function(&[]), event()).await, "retry 2 of 5, FAILED_ACTIONS");

    let world = World::failed(1);
    world.set(|pipeline| pipeline.message = "Deployment d-KH37TM9SF failed");
    let skipped = reason(&world.function(&[]), event()).await;
    assert_eq!(skipped, "the action HealthGate did not fail at the health gate; see its message");
    assert_eq!(outcomes(&world.function(&[("RETRY_ANY_FAILURE", "true")]), event()).await, [StageOutcome::Retried]);

    let world = World::failed(1);
    let mut superseded = event();
    superseded["detail"]["execution-id"] = EARLIER.into();
    let skipped = reason(&world.function(&[]), superseded).await;
    assert_eq!(skipped, format!("superseded: the latest execution of the stage is {EXECUTION}"));

    let function = world.function(&[("PIPELINES", "api")]);
    assert_eq!(reason(&function, event()).await, "the pipeline is not one of PIPELINES");
    assert_eq!(world.retries(), 0);
}

#[tokio::test]
async fn what_cannot_be_told_yet_is_delivered_again() {
    let world = World::failed(0);
    let function = world.function(&[]);
    let event = || sample("retry-eventbridge-stage-failed");
    assert_eq!(invoke(&function, event()).await.unwrap_err().error_type(), "NotYet");
    assert_eq!(failures(&function, batch(&[("m-1", event().to_string())])).await, ["m-1"]);

    world.set(|pipeline| pipeline.failures = 1);
    assert!(failures(&function, batch(&[("m-1", event().to_string())])).await.is_empty());
    assert_eq!(world.retries(), 1);
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let settings = [("DRY_RUN", "true"), ("NOTIFY_TOPIC_ARN", PEOPLE)];
    for failures in [1, 6] {
        let world = World::failed(failures);
        let function = world.function(&settings);
        assert_eq!(outcomes(&function, sample("retry-eventbridge-stage-failed")).await, [StageOutcome::Planned]);
        assert_eq!((world.retries(), world.published()), (0, 0));
    }
}

#[tokio::test]
async fn retries_end_and_are_announced_once_for_each_failure() {
    let world = World::failed(6);
    let function = world.function(&[("NOTIFY_TOPIC_ARN", PEOPLE), ("PIPELINES", "web")]);
    for name in ["retry-eventbridge-action-failed", "retry-eventbridge-stage-failed", "retry-codestar-pipeline-failed"]
    {
        assert_eq!(outcomes(&function, sample(name)).await, [StageOutcome::GaveUp], "{name}");
    }
    let expected = format!(
        "Gatehouse pipelines: stage Production of pipeline web is not retried any more\n\n\
         Stage Production of pipeline web failed 6 times, and MAX_RETRIES is 5. It is not retried any more.\n\n\
         Pipeline execution: {EXECUTION}\n\
         It failed with:\n{GATE}\n\n\
         When the cause is gone, retry it in the CodePipeline console, or with:\n\
         aws codepipeline retry-stage-execution --pipeline-name web --stage-name Production \
         --pipeline-execution-id {EXECUTION} --retry-mode FAILED_ACTIONS\n"
    );
    assert_eq!(world.mails(), [expected]);

    // A person retried it, and the gate failed once more: that is another failure, with a notice of its own.
    world.set(|pipeline| {
        pipeline.failures = 7;
        pipeline.failed_at = NOTICE + time::Duration::minutes(15);
    });
    assert_eq!(outcomes(&function, sample("retry-eventbridge-stage-failed")).await, [StageOutcome::Skipped]);
    let mut notice = sample("retry-eventbridge-stage-failed");
    notice["time"] = "2026-08-13T08:02:06Z".into();
    assert_eq!(outcomes(&function, notice).await, [StageOutcome::GaveUp]);
    assert_eq!((world.retries(), world.mails().len()), (0, 2));
}

#[tokio::test]
async fn a_notification_that_was_not_published_is_published_at_the_next_delivery() {
    let world = World::failed(6);
    let function = world.function(&[("NOTIFY_TOPIC_ARN", PEOPLE)]);
    world.set(|pipeline| pipeline.fault = Some(("Publish", "InternalError")));
    let error = invoke(&function, sample("retry-eventbridge-stage-failed")).await.unwrap_err();
    assert_eq!(error.error_type(), "Notify");
    let text = chain(&error);
    assert!(text.contains("is not retried any more") && text.contains("service error"), "{text}");
    let queued = || batch(&[("m-1", sample("retry-eventbridge-stage-failed").to_string())]);
    assert_eq!(failures(&function, queued()).await, ["m-1"]);
    world.set(|pipeline| pipeline.fault = None);
    assert!(failures(&function, queued()).await.is_empty());
    assert_eq!(world.published(), 3);

    let function = world.function(&[]);
    let used_up = reason(&function, sample("retry-eventbridge-stage-failed")).await;
    assert_eq!(used_up, "failed 6 times, and MAX_RETRIES is 5");
    assert_eq!(world.published(), 3);
}

#[tokio::test]
async fn a_notice_answers_the_failure_it_was_sent_for_and_no_later_one() {
    let world = World::failed(1);
    let function = world.function(&[]);
    let notice = || sample("retry-eventbridge-stage-failed");
    assert_eq!(outcomes(&function, notice()).await, [StageOutcome::Retried]);

    // The gate failed again, ten minutes later, and the first notice is delivered once more.
    world.set(|pipeline| {
        pipeline.status = StageExecutionStatus::Failed;
        pipeline.failures = 2;
        pipeline.failed_at = NOTICE + time::Duration::minutes(10);
    });
    assert_eq!(outcomes(&function, notice()).await, [StageOutcome::Skipped]);
    assert_eq!(world.retries(), 1);
}

#[tokio::test]
async fn a_rollback_and_what_only_a_person_can_fix_are_never_retried() {
    let changes: [fn(&mut Pipeline); 2] = [
        |pipeline| pipeline.kind = ExecutionType::Rollback,
        |pipeline| pipeline.message = "[health-gate:setup] invalid settings",
    ];
    for change in changes {
        let world = World::failed(1);
        world.set(change);
        let function = world.function(&[("RETRY_ANY_FAILURE", "true")]);
        assert_eq!(outcomes(&function, sample("retry-eventbridge-stage-failed")).await, [StageOutcome::Skipped]);
        assert_eq!(world.retries(), 0);
    }
}

#[tokio::test]
async fn people_are_notified_of_a_stage_that_a_person_has_frozen() {
    let world = World::failed(1);
    world.set(|pipeline| pipeline.frozen = Some("incident 4711, do not deploy"));
    let function = world.function(&[("NOTIFY_TOPIC_ARN", PEOPLE)]);
    for name in ["retry-eventbridge-action-failed", "retry-eventbridge-stage-failed", "retry-codestar-pipeline-failed"]
    {
        let reason = reason(&function, sample(name)).await;
        assert_eq!(reason, "the transition into the stage is disabled: incident 4711, do not deploy", "{name}");
    }
    let [mail] = &world.mails()[..] else { panic!("{:?}", world.mails()) };
    for part in [
        "stage Production of pipeline web is not retried",
        "failed at the health gate, and is not retried: the transition into the stage is disabled: incident 4711",
        "aws codepipeline retry-stage-execution --pipeline-name web --stage-name Production",
    ] {
        assert!(mail.contains(part), "{mail}");
    }

    world.set(|pipeline| pipeline.failed_at = clock::now());
    let function = world.function(&[("NOTIFY_TOPIC_ARN", PEOPLE), ("PIPELINES", "web")]);
    assert_eq!(outcomes(&function, closed()).await, [StageOutcome::Skipped]);
    assert!(world.mails()[1].contains("Not retried:\n- stage Production of pipeline web"), "{:?}", world.mails());
    assert_eq!(world.retries(), 0);
}

#[tokio::test]
async fn people_get_the_command_that_overrides_the_gate_in_a_condition() {
    let world = World::failed(1);
    let condition = json!({
        "latestExecution": { "status": "Failed" },
        "conditionStates": [{
            // The action failed in an earlier execution, shortly before.
            "latestExecution": { "status": "Failed", "lastStatusChange": NOTICE.unix_timestamp() + 30 },
            "ruleStates": [{ "ruleName": "HealthGate", "latestExecution": {
                "status": "Failed", "errorDetails": { "code": "JobFailed", "message": GATE },
            }}],
        }],
    });
    world.set(|pipeline| pipeline.condition = Some(condition));
    let function = world.function(&[("NOTIFY_TOPIC_ARN", PEOPLE), ("PIPELINES", "web")]);
    for name in ["retry-eventbridge-stage-failed", "retry-codestar-pipeline-failed"] {
        assert_eq!(outcomes(&function, sample(name)).await, [StageOutcome::Skipped], "{name}");
    }
    let [mail] = &world.mails()[..] else { panic!("{:?}", world.mails()) };
    let command = format!(
        "aws codepipeline override-stage-condition --pipeline-name web --stage-name Production \
         --pipeline-execution-id {EXECUTION} --condition-type BEFORE_ENTRY\n"
    );
    assert!(mail.contains(&command), "{mail}");

    assert_eq!(outcomes(&function, closed()).await, [StageOutcome::Skipped]);
    assert!(world.mails()[1].contains("Not retried:\n- stage Production of pipeline web"), "{:?}", world.mails());
    assert_eq!(world.retries(), 0);
}

#[tokio::test]
async fn people_are_notified_of_an_execution_that_the_gate_stopped_and_another_replaced() {
    let world = World::failed(1);
    let superseded = |name: &str| {
        let mut event = sample(name);
        event["detail"]["execution-id"] = EARLIER.into();
        event
    };
    let settings = [("NOTIFY_TOPIC_ARN", PEOPLE), ("HEALTH_GATE_FUNCTION_NAME", "gate")];
    let function = world.function(&settings);
    for name in ["retry-eventbridge-action-failed", "retry-eventbridge-stage-failed"] {
        assert_eq!(outcomes(&function, superseded(name)).await, [StageOutcome::Skipped], "{name}");
    }
    let [mail] = &world.mails()[..] else { panic!("{:?}", world.mails()) };
    assert!(mail.contains(EARLIER) && mail.contains("is the latest execution of the stage"), "{mail}");

    // CodePipeline knew of the other execution later than GetPipelineState.
    let raced = World::faulty("RetryStageExecution", "NotLatestPipelineExecutionException");
    for name in ["retry-eventbridge-action-failed", "retry-eventbridge-stage-failed"] {
        assert_eq!(outcomes(&raced.function(&settings), sample(name)).await, [StageOutcome::Skipped], "{name}");
    }
    let [mail] = &raced.mails()[..] else { panic!("{:?}", raced.mails()) };
    assert!(mail.contains("because another one is the latest execution of the stage"), "{mail}");
    assert!(mail.contains("aws codepipeline start-pipeline-execution --name web"), "{mail}");

    // What failed for another reason is told by CodePipeline.
    let function = world.function(&[("NOTIFY_TOPIC_ARN", PEOPLE), ("HEALTH_GATE_FUNCTION_NAME", "other")]);
    assert_eq!(outcomes(&function, superseded("retry-eventbridge-stage-failed")).await, [StageOutcome::Skipped]);
    assert_eq!((world.mails().len(), world.retries()), (1, 0));
}

#[tokio::test]
async fn an_execution_of_mode_parallel_is_retried_though_another_one_is_the_latest() {
    let settings = [("NOTIFY_TOPIC_ARN", PEOPLE), ("HEALTH_GATE_FUNCTION_NAME", "gate")];
    let notice = || {
        let mut event = sample("retry-eventbridge-stage-failed");
        event["detail"]["execution-id"] = EARLIER.into();
        event
    };
    for (mode, expected) in [
        (ExecutionMode::Superseded, &[][..]),
        (ExecutionMode::Queued, &[]),
        (ExecutionMode::from("A_NEW_MODE"), &[]),
        (ExecutionMode::Parallel, &[EARLIER]),
    ] {
        let world = World::failed(1);
        world.set(|pipeline| pipeline.mode = mode.clone());
        let function = world.function(&settings);
        let outcome = if expected.is_empty() { StageOutcome::Skipped } else { StageOutcome::Retried };
        assert_eq!(outcomes(&function, notice()).await, [outcome], "{mode}");
        assert_eq!(world.pipeline.lock().unwrap().retried, expected, "{mode}");
        // Once more: what runs again is not failed any more.
        assert_eq!(outcomes(&function, notice()).await, [StageOutcome::Skipped], "{mode}");
        assert_eq!(world.pipeline.lock().unwrap().retried, expected, "{mode}");
        assert_eq!(world.mails().len(), if expected.is_empty() { 2 } else { 0 }, "{mode}");
    }

    // Where CodePipeline retries no other than the latest in this mode too, people are notified.
    let world = World::faulty("RetryStageExecution", "NotLatestPipelineExecutionException");
    world.set(|pipeline| pipeline.mode = ExecutionMode::Parallel);
    assert_eq!(outcomes(&world.function(&settings), notice()).await, [StageOutcome::Skipped]);
    let [mail] = &world.mails()[..] else { panic!("{:?}", world.mails()) };
    assert!(mail.contains(EARLIER), "{mail}");
}

#[tokio::test]
async fn a_closed_event_retries_the_executions_of_mode_parallel_that_the_state_does_not_show() {
    let settings = [("PIPELINES", "web"), ("NOTIFY_TOPIC_ARN", PEOPLE)];
    let parallel = || {
        let world = held(1);
        let failed_at = world.pipeline.lock().unwrap().failed_at;
        world.set(|pipeline| {
            pipeline.mode = ExecutionMode::Parallel;
            pipeline.earlier_failed_at = failed_at;
        });
        world
    };
    let world = parallel();
    assert_eq!(outcomes(&world.function(&settings), closed()).await, [StageOutcome::Retried, StageOutcome::Retried]);
    assert_eq!(world.pipeline.lock().unwrap().retried, [EXECUTION, EARLIER]);
    let [mail] = &world.mails()[..] else { panic!("{:?}", world.mails()) };
    assert!(mail.contains("2 stages retried") && mail.contains(EXECUTION) && mail.contains(EARLIER), "{mail}");
    assert_eq!(outcomes(&world.function(&settings), closed()).await, [StageOutcome::Ignored]);

    // The latest one went on, and the state shows no failed stage.
    let world = parallel();
    world.set(|pipeline| pipeline.status = StageExecutionStatus::Succeeded);
    assert_eq!(outcomes(&world.function(&settings), closed()).await, [StageOutcome::Retried]);
    assert_eq!(world.pipeline.lock().unwrap().retried, [EARLIER]);

    // What failed days ago is left alone, and so is another message.
    let world = parallel();
    world.set(|pipeline| pipeline.earlier_failed_at -= time::Duration::days(2));
    assert_eq!(outcomes(&world.function(&settings), closed()).await, [StageOutcome::Retried]);
    assert_eq!(world.pipeline.lock().unwrap().retried, [EXECUTION]);
    let world = parallel();
    world.set(|pipeline| pipeline.message = "[health-gate] 1 AWS Health event in us-east-1");
    assert_eq!(outcomes(&world.function(&settings), closed()).await, [StageOutcome::Ignored, StageOutcome::Ignored]);
}

#[tokio::test]
async fn a_closed_event_comes_through_the_queue_for_a_gate_that_still_said_open() {
    let world = held(6);
    let function = world.function(&[("PIPELINES", "web"), ("NOTIFY_TOPIC_ARN", PEOPLE)]);
    assert_eq!(outcomes(&function, closed()).await, [StageOutcome::Retried]);
    // AWS Health still told the gate that the event is open, so the stage failed again.
    world.set(|pipeline| pipeline.status = StageExecutionStatus::Failed);
    let queued = || batch(&[("m-1", closed().to_string())]);
    assert!(failures(&function, queued()).await.is_empty());
    assert_eq!(world.retries(), 2);
    // The stage goes on, and another delivery finds nothing to do.
    assert!(failures(&function, queued()).await.is_empty());
    assert_eq!((world.retries(), world.mails().len()), (2, 2));
}

fn closed() -> Value {
    sample("retry-health-closed")
}

/// A failure of an hour ago, after so many.
fn held(failures: usize) -> World {
    let world = World::failed(failures);
    world.set(|pipeline| pipeline.failed_at = clock::now() - time::Duration::hours(1));
    world
}

#[tokio::test]
async fn a_closed_event_retries_what_it_stopped_when_the_delayed_retries_are_used_up() {
    let world = held(6);
    let function = world.function(&[("PIPELINES", "web"), ("NOTIFY_TOPIC_ARN", PEOPLE)]);
    assert_eq!(outcomes(&function, closed()).await, [StageOutcome::Retried]);
    let expected = format!(
        "Gatehouse pipelines: an AWS issue closed, 1 stage retried\n\n\
         AWS closed AWS_EC2_OPERATIONAL_ISSUE of EC2 in eu-west-1.\n\
         Event: {EVENT}\n\n\
         Retried:\n\
         - stage Production of pipeline web (execution {EXECUTION}): the message of the failure names the closed event, \
         FAILED_ACTIONS\n"
    );
    assert_eq!(world.mails(), [expected]);

    // It comes again, with its next page or through the backup Region.
    assert_eq!(outcomes(&function, closed()).await, [StageOutcome::Ignored]);
    assert_eq!((world.retries(), world.mails().len()), (1, 1));
}

#[tokio::test]
async fn a_closed_event_leaves_alone_what_it_did_not_stop() {
    let world = held(1);
    let function = world.function(&[("PIPELINES", "web"), ("NOTIFY_TOPIC_ARN", PEOPLE)]);
    let mut other = closed();
    other["detail"]["eventArn"] = EVENT.replace("VKTXI", "OTHER").into();
    assert_eq!(outcomes(&function, other).await, [StageOutcome::Ignored]);
    world.set(|pipeline| pipeline.message = "Deployment d-KH37TM9SF failed");
    assert_eq!(outcomes(&function, closed()).await, [StageOutcome::Ignored]);
    assert_eq!((world.retries(), world.published()), (0, 0));
}

#[tokio::test]
async fn people_read_what_a_closed_event_did_not_retry() {
    let world = held(1);
    world.set(|pipeline| pipeline.failed_at = clock::now() - time::Duration::hours(25));
    let function = world.function(&[("PIPELINES", "web"), ("NOTIFY_TOPIC_ARN", PEOPLE)]);
    assert_eq!(outcomes(&function, closed()).await, [StageOutcome::Skipped]);
    let [mail] = &world.mails()[..] else { panic!("no mail") };
    assert!(mail.starts_with("Gatehouse pipelines: an AWS issue closed, 0 stages retried\n"), "{mail}");
    let not_retried = format!(
        "\n\nNot retried:\n- stage Production of pipeline web (execution {EXECUTION}): the failure is more than a day old\n"
    );
    assert!(mail.ends_with(&not_retried) && !mail.contains("\nRetried:"), "{mail}");
}

#[tokio::test]
async fn a_dry_run_of_a_closed_event_mails_nothing() {
    let world = held(1);
    let function = world.function(&[("PIPELINES", "web"), ("NOTIFY_TOPIC_ARN", PEOPLE), ("DRY_RUN", "true")]);
    assert_eq!(outcomes(&function, closed()).await, [StageOutcome::Planned]);
    assert_eq!((world.retries(), world.published()), (0, 0));
}

#[tokio::test]
async fn a_closed_event_goes_on_past_a_pipeline_that_fails() {
    let world = held(1);
    let skipped = reason(&world.function(&[]), closed()).await;
    assert_eq!(skipped, "an AWS Health event closed, but PIPELINES is unset: name the pipelines that it retries");
    assert_eq!(world.retries(), 0);

    let settings = [("PIPELINES", "gone,web"), ("NOTIFY_TOPIC_ARN", PEOPLE)];
    let function = world.function(&settings);
    assert_eq!(outcomes(&function, closed()).await, [StageOutcome::Skipped, StageOutcome::Retried]);
    assert_eq!(world.mails().len(), 1);
    assert!(!world.mails()[0].contains("gone"), "{:?}", world.mails());

    world.set(|pipeline| {
        pipeline.status = StageExecutionStatus::Failed;
        pipeline.fault = Some(("RetryStageExecution", "ThrottlingException"));
    });
    let error = invoke(&function, closed()).await.unwrap_err();
    assert_eq!(error.error_type(), "CodePipeline");
    let text = chain(&error);
    let start =
        "calling RetryStageExecution for the pipeline web; it is tried again when the event is delivered again: ";
    assert!(text.starts_with(start) && text.contains("ThrottlingException"), "{text}");
    assert_eq!(world.mails().len(), 1, "the mail is sent by the delivery that succeeds");
}

#[tokio::test]
async fn several_failures_of_one_invocation_are_counted() {
    let world = World::failed(1);
    let envelopes = [signed("{}"), signed("{}")].map(|mut envelope| {
        envelope["Message"] = "forged".into();
        envelope
    });
    let error = invoke(&world.function(&[("TOPIC_ARNS", TOPIC)]), lambda_event(envelopes)).await.unwrap_err();
    assert_eq!(
        (error.error_type(), chain(&error).as_str()),
        ("Partial", "2 of 2 decisions failed; each is in the log")
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_deadline_leaves_no_time_for_is_handed_back() {
    let world = World::failed(1);
    let function = world.function(&[]);
    let record = || sample("retry-eventbridge-stage-failed").to_string();
    let out_of_time = |event| LambdaEvent::new(event, context(std::time::Duration::ZERO));
    let two = || batch(&[("first", record()), ("second", record())]);

    let none_left = function.handle(out_of_time(two())).await.unwrap();
    assert_eq!(
        serde_json::to_value(none_left).unwrap(),
        json!({"batchItemFailures": [{"itemIdentifier": "first"}, {"itemIdentifier": "second"}]})
    );
    let error = function.handle(out_of_time(sample("retry-eventbridge-stage-failed"))).await.unwrap_err();
    assert_eq!(error.error_type(), "OutOfTime");
    let function = world.function(&[("PIPELINES", "web")]);
    let error = function.handle(out_of_time(closed())).await.unwrap_err();
    assert_eq!(error.error_type(), "OutOfTime");
    assert_eq!(world.retries(), 0);
}

/// CodePipeline never answers.
#[tokio::test(start_paused = true)]
async fn a_record_that_hangs_leaves_time_to_report() {
    let aws = Aws::new(|_| Reply::Hang);
    let function = function_with(&[], &aws.sdk());
    let started = tokio::time::Instant::now();
    let record = sample("retry-eventbridge-stage-failed").to_string();
    let failed = failures(&function, batch(&[("first", record.clone()), ("second", record)])).await;
    assert_eq!(failed, ["first", "second"]);
    let elapsed = started.elapsed();
    assert!(elapsed <= std::time::Duration::from_secs(60) - REPORT_RESERVE, "{elapsed:?}");
}

#[tokio::test]
async fn each_refusal_of_codepipeline_is_final_or_delivered_again() {
    const READ: [&str; 2] = ["GetPipelineState", "ListActionExecutions"];
    const RETRY: [&str; 1] = ["RetryStageExecution"];
    const ALL: [&str; 3] = ["GetPipelineState", "ListActionExecutions", "RetryStageExecution"];
    let cases: &[(&str, &[&str], bool)] = &[
        ("StageNotRetryableException", &RETRY, true),
        ("NotLatestPipelineExecutionException", &RETRY, true),
        ("StageNotFoundException", &RETRY, true),
        ("PipelineExecutionNotFoundException", &["ListActionExecutions"], true),
        ("PipelineNotFoundException", &ALL, true),
        ("ConflictException", &RETRY, false),
        ("ConcurrentPipelineExecutionsLimitExceededException", &RETRY, false),
        ("InvalidNextTokenException", &READ, false),
        ("ValidationException", &ALL, false),
        ("AccessDeniedException", &ALL, false),
        ("ThrottlingException", &ALL, false),
        ("InternalFailure", &ALL, false),
        ("SomethingNew", &ALL, false),
    ];
    for &(code, operations, is_final) in cases {
        for operation in operations {
            let world = World::faulty(operation, code);
            let function = world.function(&[]);
            let queued = batch(&[("m-1", sample("retry-eventbridge-stage-failed").to_string())]);
            if is_final {
                let made = outcomes(&function, sample("retry-eventbridge-stage-failed")).await;
                assert_eq!(made, [StageOutcome::Skipped], "{operation}: {code}");
                assert!(failures(&function, queued).await.is_empty(), "{operation}: {code}");
            } else {
                let error = invoke(&function, sample("retry-eventbridge-stage-failed")).await.unwrap_err();
                assert_eq!(error.error_type(), "CodePipeline", "{operation}: {code}");
                let text = chain(&error);
                assert!(text.contains(operation) && text.contains(code) && text.contains("as tested"), "{text}");
                assert_eq!(failures(&function, queued).await, ["m-1"], "{operation}: {code}");
            }
        }
    }
}

#[tokio::test]
async fn the_requests_on_the_wire() {
    let failed = json!({"actionExecutionId": "gate-1", "status": "Failed", "lastStatusChange": NOTICE.unix_timestamp(),
        "errorDetails": {"code": "JobFailed", "message": GATE}});
    let state = json!({"pipelineName": "web", "stageStates": [{
        "stageName": "Production",
        "actionStates": [{"actionName": "HealthGate", "latestExecution": failed}],
        "latestExecution": {"pipelineExecutionId": EXECUTION, "status": "Failed"},
    }]});
    let past = json!({"stageName": "Production", "actionName": "HealthGate", "actionExecutionId": "gate-1",
        "pipelineExecutionId": EXECUTION, "status": "Failed"});
    let filter = json!({"pipelineExecutionId": EXECUTION});
    let aws = Aws::new(move |call| {
        Reply::Json(match (call.operation.as_str(), call.earlier) {
            ("GetPipelineState", 0) => state.clone(),
            ("ListActionExecutions", 0) => json!({"actionExecutionDetails": [past.clone()], "nextToken": "page 2"}),
            ("ListActionExecutions", 1) => json!({"actionExecutionDetails": []}),
            ("RetryStageExecution", 0) => json!({"pipelineExecutionId": EXECUTION}),
            _ => panic!("{call:?}"),
        })
    });
    let function = function_with(&[("RETRY_MODE", "ALL_ACTIONS")], &aws.sdk());
    assert_eq!(outcomes(&function, sample("retry-eventbridge-stage-failed")).await, [StageOutcome::Retried]);
    let calls = aws.calls();
    let asked: Vec<_> = calls.iter().map(Call::wire).collect();
    let expected = [
        ("GetPipelineState", json!({"name": "web"})),
        ("ListActionExecutions", json!({"pipelineName": "web", "filter": filter})),
        ("ListActionExecutions", json!({"pipelineName": "web", "filter": filter, "nextToken": "page 2"})),
        (
            "RetryStageExecution",
            json!({"pipelineName": "web", "stageName": "Production", "pipelineExecutionId": EXECUTION,
                "retryMode": "ALL_ACTIONS"}),
        ),
    ];
    assert_eq!(asked, expected.map(|(operation, input)| ("codepipeline", "eu-west-1", operation, input)));
}

/// The notifications about one execution are one thread, which the health gate begins.
#[tokio::test]
async fn what_is_mailed_is_shown_in_chat_in_the_thread_of_its_execution() {
    let settings = [("PIPELINES", "web"), ("NOTIFY_TOPIC_ARN", PEOPLE), ("CHAT_TOPIC_ARN", CHAT)];
    let stage_failed = || sample("retry-eventbridge-stage-failed");
    let used_up = World::failed(6);
    let frozen = World::failed(1);
    frozen.set(|pipeline| pipeline.frozen = Some("incident 4711: ask @oncall, <https://evil.com|here>"));
    let closes = held(1);
    for (world, event, title, link) in [
        (used_up, stage_failed(), "is not retried any more", "Retry the stage when the cause is gone"),
        (
            frozen,
            stage_failed(),
            "stage Production of pipeline web is not retried",
            "Retry the stage when it may go on",
        ),
        (closes, closed(), "an AWS issue closed, 1 stage retried", "Open a pipeline execution"),
    ] {
        outcomes(&world.function(&settings), event).await;
        let shown = std::mem::take(&mut world.pipeline.lock().unwrap().shown);
        let [message] = &shown[..] else { panic!("{title}: {shown:?}") };
        assert_eq!(world.mails().len(), 1);
        assert!(message["content"]["title"].as_str().unwrap().ends_with(title), "{message}");
        assert_eq!(message["metadata"]["threadId"], EXECUTION);
        let page = format!("/codesuite/codepipeline/pipelines/web/executions/{EXECUTION}/timeline");
        let step = message["content"]["nextSteps"][0].as_str().unwrap();
        assert!(step.contains(&page) && step.ends_with(&format!("|{link}>")), "{step}");
    }
}

#[tokio::test]
async fn a_chat_that_refuses_loses_no_mail_and_fails_nothing() {
    let world = World::failed(6);
    world.set(|pipeline| pipeline.fault = Some(("Publish to chat", "AuthorizationError")));
    let function = world.function(&[("NOTIFY_TOPIC_ARN", PEOPLE), ("CHAT_TOPIC_ARN", CHAT)]);
    let queued = batch(&[("m-1", sample("retry-eventbridge-stage-failed").to_string())]);
    assert!(failures(&function, queued).await.is_empty());
    assert_eq!((world.mails().len(), world.pipeline.lock().unwrap().shown.len()), (1, 1));
    // Without a topic for mails, chat gets the notifications all the same.
    let world = World::failed(6);
    let function = world.function(&[("CHAT_TOPIC_ARN", CHAT)]);
    assert_eq!(outcomes(&function, sample("retry-eventbridge-stage-failed")).await, [StageOutcome::GaveUp]);
    assert_eq!((world.mails().len(), world.pipeline.lock().unwrap().shown.len()), (0, 1));
}
