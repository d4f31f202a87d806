//! Whole invocations against a CodePipeline that behaves like AWS's: a stage that was retried is not failed any more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::fs;
use std::sync::{Arc, Mutex};

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::config::retry::RetryConfig;
use aws_sdk_codepipeline::operation::get_pipeline_state::GetPipelineStateOutput;
use aws_sdk_codepipeline::operation::list_action_executions::ListActionExecutionsOutput;
use aws_sdk_codepipeline::operation::retry_stage_execution::RetryStageExecutionOutput;
use aws_sdk_codepipeline::types::{
    ActionExecution, ActionExecutionDetail, ActionExecutionStatus, ActionState, ErrorDetails, StageExecution,
    StageExecutionStatus, StageState,
};
use aws_sdk_sns::operation::publish::PublishOutput;
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock, mock_client};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sns::{Settings, Verifier};
use gatehouse_shared::testing::{Signer, StaticCertificates, lambda_event, notification};
use lambda_runtime::{Context, LambdaEvent};
use pipeline_retry::PipelineRetry;
use pipeline_retry::config::Config;
use pipeline_retry::error::Error;
use pipeline_retry::report::{Answer, Outcome};
use serde_json::{Value, json};

const EXECUTION: &str = "8bdcdf4b-2dd1-4bbe-8aeb-562ff8b55969";
const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:pipeline-notifications";
const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:people";
const GATE: &str = "[health-gate] 1 open AWS Health event: EC2 eu-west-1";

/// What CodePipeline knows: one pipeline called `web`, with the stage `Production`, in which the gate failed.
struct Pipeline {
    status: StageExecutionStatus,
    failures: usize,
    message: &'static str,
    /// The operation that answers with an error code instead.
    fault: Option<(&'static str, &'static str)>,
}

struct World {
    pipeline: Arc<Mutex<Pipeline>>,
    retry: Rule,
    publish: Rule,
    codepipeline: Client,
    sns: aws_sdk_sns::Client,
}

impl World {
    /// The gate failed this often.
    fn failed(failures: usize) -> Self {
        Self::of(Pipeline { status: StageExecutionStatus::Failed, failures, message: GATE, fault: None })
    }

    fn faulty(operation: &'static str, code: &'static str) -> Self {
        let fault = Some((operation, code));
        Self::of(Pipeline { status: StageExecutionStatus::Failed, failures: 1, message: GATE, fault })
    }

    fn of(pipeline: Pipeline) -> Self {
        let pipeline = Arc::new(Mutex::new(pipeline));
        let world = pipeline.clone();
        let state = mock!(Client::get_pipeline_state).then_compute_response(move |request| {
            let pipeline = world.lock().unwrap();
            if request.name() != Some("web") {
                return MockResponse::Http(refusal("PipelineNotFoundException"));
            }
            let Some(answer) = pipeline.refusal("GetPipelineState") else {
                return MockResponse::Output(pipeline.state());
            };
            MockResponse::Http(answer)
        });
        let world = pipeline.clone();
        let history = mock!(Client::list_action_executions).then_compute_response(move |request| {
            assert_eq!(request.filter().and_then(|filter| filter.pipeline_execution_id()), Some(EXECUTION));
            let pipeline = world.lock().unwrap();
            let Some(answer) = pipeline.refusal("ListActionExecutions") else {
                return MockResponse::Output(pipeline.page(request.next_token()));
            };
            MockResponse::Http(answer)
        });
        let world = pipeline.clone();
        let retry = mock!(Client::retry_stage_execution).then_compute_response(move |request| {
            assert_eq!(request.stage_name(), Some("Production"));
            assert_eq!(request.pipeline_execution_id(), Some(EXECUTION));
            let mut pipeline = world.lock().unwrap();
            let Some(answer) = pipeline.refusal("RetryStageExecution") else {
                pipeline.status = StageExecutionStatus::InProgress;
                return MockResponse::Output(RetryStageExecutionOutput::builder().build());
            };
            MockResponse::Http(answer)
        });
        let world = pipeline.clone();
        let publish = mock!(aws_sdk_sns::Client::publish).then_compute_response(move |request| {
            assert_eq!(request.topic_arn(), Some(PEOPLE));
            let text = request.message().unwrap();
            for part in ["Production", "web", EXECUTION, GATE, "--retry-mode FAILED_ACTIONS"] {
                assert!(text.contains(part), "{part} is missing in: {text}");
            }
            match world.lock().unwrap().refusal("Publish") {
                Some(answer) => MockResponse::Http(answer),
                None => MockResponse::Output(PublishOutput::builder().build()),
            }
        });
        let codepipeline =
            mock_client!(aws_sdk_codepipeline, RuleMode::MatchAny, [&state, &history, &retry], |config| config
                .retry_config(RetryConfig::disabled()));
        let sns = mock_client!(aws_sdk_sns, RuleMode::MatchAny, [&publish], |config| config
            .retry_config(RetryConfig::disabled()));
        Self { pipeline, retry, publish, codepipeline, sns }
    }

    fn set(&self, change: impl FnOnce(&mut Pipeline)) {
        change(&mut self.pipeline.lock().unwrap());
    }

    /// The function, with signatures checked against the test certificate.
    fn function(&self, settings: &[(&str, &str)]) -> PipelineRetry {
        function(settings, self.codepipeline.clone(), &self.sns)
    }
}

impl Pipeline {
    fn refusal(&self, operation: &str) -> Option<HttpResponse> {
        self.fault.filter(|(failing, _)| *failing == operation).map(|(_, code)| refusal(code))
    }

    fn state(&self) -> GetPipelineStateOutput {
        let latest = ActionExecution::builder()
            .action_execution_id(format!("gate-{}", self.failures))
            .status(ActionExecutionStatus::Failed)
            .error_details(ErrorDetails::builder().code("JobFailed").message(self.message).build())
            .build();
        let stage =
            StageExecution::builder().pipeline_execution_id(EXECUTION).status(self.status.clone()).build().unwrap();
        let production = StageState::builder()
            .stage_name("Production")
            .latest_execution(stage)
            .action_states(ActionState::builder().action_name("HealthGate").latest_execution(latest).build());
        GetPipelineStateOutput::builder().stage_states(production.build()).build()
    }

    /// One execution a page, the newest first. Without failures, the history has not caught up with the state.
    fn page(&self, token: Option<&str>) -> ListActionExecutionsOutput {
        let number = token.map_or(self.failures, |token| token.parse().unwrap());
        if number == 0 {
            return ListActionExecutionsOutput::builder().build();
        }
        let execution = ActionExecutionDetail::builder()
            .stage_name("Production")
            .action_name("HealthGate")
            .action_execution_id(format!("gate-{number}"))
            .status(ActionExecutionStatus::Failed);
        ListActionExecutionsOutput::builder()
            .action_execution_details(execution.build())
            .set_next_token((number > 1).then(|| (number - 1).to_string()))
            .build()
    }
}

/// An error as it is on the wire.
fn refusal(code: &str) -> HttpResponse {
    let body = json!({"__type": code, "message": "as tested"}).to_string();
    HttpResponse::new(400.try_into().unwrap(), SdkBody::from(body))
}

fn function(settings: &[(&str, &str)], codepipeline: Client, sns: &aws_sdk_sns::Client) -> PipelineRetry {
    let env = Env::of_table(settings);
    let (config, sns_settings) = env.finish((Config::from_env(&env), Settings::from_env(&env))).unwrap();
    let verifier = Verifier::with_source(sns_settings, StaticCertificates::new());
    let topic = config.notify_topic_arn.as_ref();
    let notifier = topic.map(|topic| Notifier::new(sns.config().to_builder(), topic.to_string()));
    PipelineRetry::new(config, verifier, codepipeline, notifier)
}

fn sample(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../events/pipelines");
    serde_json::from_str(&fs::read_to_string(format!("{folder}/{name}.json")).unwrap()).unwrap()
}

async fn invoke(function: &PipelineRetry, event: Value) -> Result<Answer, Error> {
    function.handle(LambdaEvent::new(event, Context::default())).await
}

/// The outcomes of an invocation that is not a batch.
async fn outcomes(function: &PipelineRetry, event: Value) -> Vec<Outcome> {
    match invoke(function, event).await.unwrap() {
        Answer::Report { decisions } => decisions.iter().map(|decision| decision.outcome).collect(),
        Answer::Batch { .. } => panic!("a batch"),
    }
}

async fn reason(function: &PipelineRetry, event: Value) -> String {
    match invoke(function, event).await.unwrap() {
        Answer::Report { decisions } => {
            assert_eq!(decisions.len(), 1);
            decisions[0].reason.clone()
        }
        Answer::Batch { .. } => panic!("a batch"),
    }
}

/// The ids of the records that failed.
async fn failures(function: &PipelineRetry, event: Value) -> Vec<String> {
    match invoke(function, event).await.unwrap() {
        Answer::Batch { failures } => failures.into_iter().map(|failure| failure.item_identifier).collect(),
        Answer::Report { .. } => panic!("not a batch"),
    }
}

fn batch(bodies: &[(&str, String)]) -> Value {
    let record = |(id, body): &(&str, String)| json!({"messageId": id, "eventSource": "aws:sqs", "body": body});
    json!({"Records": bodies.iter().map(record).collect::<Vec<_>>()})
}

/// A message that SNS signed just now.
fn signed(message: &str) -> Value {
    let now = gatehouse_shared::clock::now().format(&time::format_description::well_known::Rfc3339).unwrap();
    Signer::new().sign(notification(TOPIC, message, &now))
}

#[tokio::test]
async fn every_sample_event_does_what_its_name_says() {
    let cases: &[(&str, &[Outcome], usize)] = &[
        ("retry-sns-codestar-stage-failed", &[Outcome::Retried], 1),
        ("retry-codestar-pipeline-failed", &[Outcome::Retried], 1),
        ("retry-eventbridge-action-failed", &[Outcome::Retried], 1),
        ("retry-eventbridge-stage-failed", &[Outcome::Retried], 1),
        ("retry-eventbridge-pipeline-failed", &[Outcome::Retried], 1),
        ("retry-health-closed", &[Outcome::Retried], 1),
        ("retry-health-open", &[Outcome::Ignored], 0),
    ];
    for (name, expected, retries) in cases {
        let world = World::failed(1);
        // The samples carry the word EXAMPLE as their signature.
        let function = world.function(&[("SNS_VERIFY", "off"), ("TOPIC_ARNS", TOPIC), ("PIPELINES", "web")]);
        assert_eq!(outcomes(&function, sample(name)).await, *expected, "{name}");
        assert_eq!(world.retry.num_calls(), *retries, "{name}");
        // The same event again finds the stage in progress.
        let again = outcomes(&function, sample(name)).await;
        assert!(again.iter().all(|outcome| matches!(outcome, Outcome::Left | Outcome::Ignored)), "{name}: {again:?}");
        assert_eq!(world.retry.num_calls(), *retries, "{name}");
    }
}

#[tokio::test]
async fn the_notices_of_action_stage_and_pipeline_retry_once() {
    for name in ["retry-sqs-codestar-failed", "retry-sqs-eventbridge-stage-failed"] {
        let world = World::failed(1);
        let function = world.function(&[("SNS_VERIFY", "off"), ("TOPIC_ARNS", TOPIC)]);
        assert!(failures(&function, sample(name)).await.is_empty(), "{name}");
        assert!(failures(&function, sample(name)).await.is_empty(), "{name}");
        assert_eq!(world.retry.num_calls(), 1, "{name}");
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
    assert_eq!(world.retry.num_calls(), 0);

    assert_eq!(outcomes(&function, lambda_event([signed(&event)])).await, [Outcome::Retried]);
    world.set(|pipeline| pipeline.status = StageExecutionStatus::Failed);
    assert!(failures(&function, batch(&[("signed", signed(&event).to_string())])).await.is_empty());
    assert_eq!(world.retry.num_calls(), 2);
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
        ("text for people", signed("Gave up: stage Production of pipeline web stays failed").to_string()),
        ("request for approval", signed(r#"{"region": "us-east-2", "approval": {"pipelineName": "web"}}"#).to_string()),
        ("signed", signed(&event).to_string()),
        ("from EventBridge", event_bridge),
    ];
    let failed = failures(&function, batch(&bodies)).await;
    assert_eq!(failed, ["not JSON", "no envelope", "health in the queue", "malformed", "unsigned"]);
    assert_eq!(world.retry.num_calls(), 1);
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
        (json!({"Records": []}), "reading the delivery: the field Records is empty: expected records of SNS or SQS"),
        (
            json!({"Records": [{"s3": {}}]}),
            "reading the delivery: reading the records of SQS, which have messageId and body: missing field `messageId`",
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
    let left = reason(&world.function(&[]), event()).await;
    assert_eq!(left, "the action HealthGate did not fail at the health gate; see its message in CodePipeline");
    assert_eq!(outcomes(&world.function(&[("RETRY_ANY_FAILURE", "true")]), event()).await, [Outcome::Retried]);

    let world = World::failed(1);
    let mut superseded = event();
    superseded["detail"]["execution-id"] = "12345678-1234-5678-abcd-12345678abcd".into();
    let left = reason(&world.function(&[]), superseded).await;
    assert_eq!(left, format!("superseded: the stage's latest execution is {EXECUTION}"));

    let function = world.function(&[("PIPELINES", "api")]);
    assert_eq!(reason(&function, event()).await, "the pipeline is not one of PIPELINES");
    assert_eq!(world.retry.num_calls(), 0);
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
    assert_eq!(world.retry.num_calls(), 1);
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let settings = [("DRY_RUN", "true"), ("NOTIFY_TOPIC_ARN", PEOPLE)];
    for failures in [1, 6] {
        let world = World::failed(failures);
        let function = world.function(&settings);
        assert_eq!(outcomes(&function, sample("retry-eventbridge-stage-failed")).await, [Outcome::Planned]);
        assert_eq!((world.retry.num_calls(), world.publish.num_calls()), (0, 0));
    }
}

#[tokio::test]
async fn spent_retries_are_told_once() {
    let world = World::failed(6);
    let function = world.function(&[("NOTIFY_TOPIC_ARN", PEOPLE), ("PIPELINES", "web")]);
    let notices = [
        "retry-eventbridge-action-failed",
        "retry-eventbridge-stage-failed",
        "retry-eventbridge-stage-failed",
        "retry-codestar-pipeline-failed",
        "retry-health-closed",
    ];
    for name in notices {
        assert_eq!(outcomes(&function, sample(name)).await, [Outcome::GaveUp], "{name}");
    }
    assert_eq!((world.retry.num_calls(), world.publish.num_calls()), (0, 1));

    // A person retried it, and the gate failed once more: that is another failure.
    world.set(|pipeline| pipeline.failures = 7);
    assert_eq!(outcomes(&function, sample("retry-eventbridge-stage-failed")).await, [Outcome::GaveUp]);
    assert_eq!(world.publish.num_calls(), 2);
}

#[tokio::test]
async fn spent_retries_that_nobody_was_told_of_are_told_at_the_next_delivery() {
    let world = World::failed(6);
    let function = world.function(&[("NOTIFY_TOPIC_ARN", PEOPLE)]);
    world.set(|pipeline| pipeline.fault = Some(("Publish", "InternalError")));
    let error = invoke(&function, sample("retry-eventbridge-stage-failed")).await.unwrap_err();
    assert_eq!(error.error_type(), "Notify");
    world.set(|pipeline| pipeline.fault = None);
    assert_eq!(
        reason(&function, sample("retry-eventbridge-stage-failed")).await,
        "failed 6 times, and MAX_RETRIES is 5; people were told"
    );
    assert_eq!(world.publish.num_calls(), 2);

    let function = world.function(&[]);
    assert_eq!(
        reason(&function, sample("retry-eventbridge-stage-failed")).await,
        "failed 6 times, and MAX_RETRIES is 5; nobody is told: NOTIFY_TOPIC_ARN is unset"
    );
}

#[tokio::test]
async fn a_closed_health_event_goes_on_past_a_pipeline_that_fails() {
    let world = World::failed(1);
    let closed = || sample("retry-health-closed");
    let left = reason(&world.function(&[]), closed()).await;
    assert!(left.ends_with("closed, but PIPELINES is unset: name the pipelines that it retries"), "{left}");
    assert_eq!(world.retry.num_calls(), 0);

    let function = world.function(&[("PIPELINES", "gone,web")]);
    assert_eq!(outcomes(&function, closed()).await, [Outcome::Left, Outcome::Retried]);

    world.set(|pipeline| {
        pipeline.status = StageExecutionStatus::Failed;
        pipeline.fault = Some(("RetryStageExecution", "ThrottlingException"));
    });
    let error = invoke(&function, closed()).await.unwrap_err();
    assert_eq!(error.error_type(), "Partial");
    let text = chain(&error);
    let start = "1 of 2 decisions failed, all are in the log; the first one: \
                 calling RetryStageExecution for the pipeline web; it is tried again when the event is delivered again: ";
    assert!(text.starts_with(start) && text.contains("ThrottlingException"), "{text}");
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
                assert_eq!(made, [Outcome::Left], "{operation}: {code}");
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
    let exchange = |operation: &str, request: Value, response: Value| {
        let mut expected = HttpRequest::new(SdkBody::from(request.to_string()));
        expected.set_method("POST").unwrap();
        expected.set_uri("https://codepipeline.eu-west-1.amazonaws.com/").unwrap();
        expected.headers_mut().insert("x-amz-target", format!("CodePipeline_20150709.{operation}"));
        let response = HttpResponse::new(200.try_into().unwrap(), SdkBody::from(response.to_string()));
        ReplayEvent::from((expected, response))
    };
    let failed = json!({"actionExecutionId": "gate-1", "status": "Failed",
        "errorDetails": {"code": "JobFailed", "message": GATE}});
    let state = json!({"pipelineName": "web", "stageStates": [{
        "stageName": "Production",
        "actionStates": [{"actionName": "HealthGate", "latestExecution": failed}],
        "latestExecution": {"pipelineExecutionId": EXECUTION, "status": "Failed"},
    }]});
    let past = json!({"stageName": "Production", "actionName": "HealthGate", "actionExecutionId": "gate-1",
        "pipelineExecutionId": EXECUTION, "status": "Failed"});
    let filter = json!({"pipelineExecutionId": EXECUTION});
    let http = StaticReplayClient::new(vec![
        exchange("GetPipelineState", json!({"name": "web"}), state),
        exchange(
            "ListActionExecutions",
            json!({"pipelineName": "web", "filter": filter}),
            json!({"actionExecutionDetails": [past], "nextToken": "page 2"}),
        ),
        exchange(
            "ListActionExecutions",
            json!({"pipelineName": "web", "filter": filter, "nextToken": "page 2"}),
            json!({"actionExecutionDetails": []}),
        ),
        exchange(
            "RetryStageExecution",
            json!({"pipelineName": "web", "stageName": "Production", "pipelineExecutionId": EXECUTION,
                "retryMode": "ALL_ACTIONS"}),
            json!({"pipelineExecutionId": EXECUTION}),
        ),
    ]);
    let config = aws_sdk_codepipeline::Config::builder()
        .with_test_defaults_v2()
        .region(aws_sdk_codepipeline::config::Region::new("eu-west-1"))
        .http_client(http.clone());
    let world = World::failed(1);
    let function = function(&[("RETRY_MODE", "ALL_ACTIONS")], Client::from_conf(config.build()), &world.sns);
    assert_eq!(outcomes(&function, sample("retry-eventbridge-stage-failed")).await, [Outcome::Retried]);
    http.assert_requests_match(&[]);
}
