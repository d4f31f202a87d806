//! Whole jobs: from the event to the one answer that CodePipeline takes, against an AWS that misbehaves.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_codepipeline::types::FailureType;
use futures::future::BoxFuture;
use gate_message::GateMessage;
use gatehouse_shared::clock;
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::{BoxError, ErrorType, chain};
use gatehouse_shared::notify::Notifier;
use gatehouse_testkit::{Aws, Call, REQUEST_ID, Reply, chat_message, invocation, real};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::answer::{self, JobOutcome};
use crate::config::Config;
use crate::endpoint::{Endpoint, Resolver};
use crate::error::Error;
use crate::health::{self, Health};
use crate::token::Token;
use crate::verdict::{HealthCheck, JobResult, Verdict};
use crate::{Gate, GateReport};

const JOB_ID: &str = "11111111-abcd-1111-abcd-111111abcdef";

/// AWS Health answers with these events, CodePipeline takes every answer.
fn with_events(events: Value) -> Aws {
    with_health(move |_| Reply::Json(json!({ "events": events })))
}

/// AWS Health does this, CodePipeline takes every answer.
fn with_health(health: impl Fn(usize) -> Reply + Send + 'static) -> Aws {
    Aws::new(move |call| if call.operation == "DescribeEvents" { health(call.earlier) } else { Reply::Empty })
}

/// AWS Health knows of nothing, CodePipeline does this.
fn with_codepipeline(codepipeline: impl Fn(&Call) -> Reply + Send + 'static) -> Aws {
    Aws::new(move |call| match call.operation.as_str() {
        "DescribeEvents" => Reply::Json(json!({ "events": [] })),
        _ => codepipeline(call),
    })
}

/// The answers to jobs: PutJobSuccessResult and PutJobFailureResult.
fn answers(aws: &Aws) -> Vec<Call> {
    aws.calls().into_iter().filter(|call| call.operation.starts_with("PutJob")).collect()
}

/// The only answer that was given, and its operation.
fn only_answer(aws: &Aws) -> (String, Value) {
    let [answer] = &answers(aws)[..] else { panic!("{aws:?}") };
    assert_eq!(answer.parameters["jobId"], JOB_ID);
    (answer.operation.clone(), answer.parameters.clone())
}

/// The DNS: us-east-2 is active.
struct Active;

impl Resolver for Active {
    fn cname<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<String, BoxError>> {
        Box::pin(async { Ok("health.us-east-2.amazonaws.com.".to_owned()) })
    }
}

fn job(configuration: &Value, token: Option<&str>) -> Value {
    let data = json!({ "actionConfiguration": { "configuration": configuration }, "continuationToken": token });
    json!({ "CodePipeline.job": { "id": JOB_ID, "accountId": "111122223333", "data": data } })
}

fn plain_job() -> Value {
    job(&json!({ "FunctionName": "gate" }), None)
}

/// As `main` builds it.
fn gate(aws: &Aws, settings: &[(&str, &str)]) -> Gate {
    let table: Vec<_> = settings.iter().copied().chain([("AWS_REGION", "eu-west-1")]).collect();
    let env = Env::of_table(&table);
    let config = env.read(Config::from_env);
    let sdk = aws.sdk();
    let topics = config.as_ref().map_or((None, None), |it| (it.notify_topic_arn.as_ref(), it.chat_topic.as_ref()));
    let notifier = Notifier::for_topics(&sdk, topics.0, topics.1);
    Gate::new(config, Health::new(health::client(&sdk), Endpoint::new(&env, Active)), answer::client(&sdk), notifier)
}

async fn run(aws: &Aws, settings: &[(&str, &str)], payload: Value) -> Result<GateReport, Error> {
    gate(aws, settings).handle(invocation(payload)).await
}

fn issue(id: usize) -> Value {
    json!({
        "arn": format!("arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_{id}"),
        "service": "EC2",
        "eventTypeCode": "AWS_EC2_OPERATIONAL_ISSUE",
        "eventTypeCategory": "issue",
        "region": "eu-west-1",
        "startTime": 1_786_607_225.53,
        "lastUpdatedTime": 1_786_607_345.905,
        "statusCode": "open",
        "eventScopeCode": "PUBLIC",
    })
}

#[tokio::test]
async fn a_stage_goes_on_while_nothing_is_open() {
    let aws = with_events(json!([]));
    let report = run(&aws, &[], plain_job()).await.unwrap();
    assert_eq!((report.verdict, report.outcome), ("pass", JobOutcome::Answered));
    let message = "[health-gate] no open event affects this stage in eu-west-1, global";
    let (operation, body) = only_answer(&aws);
    assert_eq!(operation, "PutJobSuccessResult");
    assert_eq!(
        body,
        json!({
            "jobId": JOB_ID,
            "executionDetails": {
                "summary": message,
                "externalExecutionId": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                "percentComplete": 100,
            },
            "outputVariables": {
                "message": message, "openEvents": "0", "checked": "true", "checkedRegions": "eu-west-1,global",
            },
        })
    );
    let asked = aws.calls_of("DescribeEvents");
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].parameters,
        json!({
            "filter": { "regions": ["eu-west-1", "global"], "eventTypeCategories": ["issue"], "eventStatusCodes": ["open"] },
            "maxResults": 100,
        })
    );
    assert_eq!(asked[0].host, "health.us-east-2.amazonaws.com");
    assert_eq!(asked[0].region, "us-east-2");
}

#[tokio::test]
async fn a_stage_fails_while_something_is_open() {
    let aws = with_events(json!([issue(1)]));
    let report = run(&aws, &[], plain_job()).await.unwrap();
    assert_eq!((report.verdict, report.open_events, report.outcome), ("fail", 1, JobOutcome::Answered));
    let (operation, body) = only_answer(&aws);
    assert_eq!(operation, "PutJobFailureResult");
    assert_eq!(
        body["failureDetails"],
        json!({
            "type": "JobFailed",
            "message": report.message,
            "externalExecutionId": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        })
    );
    assert!(report.message.starts_with("[health-gate] 1 AWS Health event in eu-west-1, global: the stage fails."));
    assert!(report.message.ends_with(
        "- EC2 in eu-west-1: AWS_EC2_OPERATIONAL_ISSUE, open since 2026-08-13T07:47:05Z, \
         arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_1"
    ));
}

#[tokio::test]
async fn a_stage_that_waits_goes_on_when_the_issue_is_over() {
    let settings = [("WAIT_MINUTES", "60")];
    let aws = with_events(json!([issue(1)]));
    let report = run(&aws, &settings, plain_job()).await.unwrap();
    assert_eq!(report.verdict, "wait");
    let (operation, body) = only_answer(&aws);
    assert_eq!(operation, "PutJobSuccessResult");
    assert_eq!(body["executionDetails"]["percentComplete"], 0);
    assert_eq!(body["executionDetails"]["summary"], report.message);
    assert_eq!(body.get("outputVariables"), None, "CodePipeline refuses them beside a token");

    let aws = with_events(json!([]));
    let payload = job(&json!({}), body["continuationToken"].as_str());
    assert_eq!(run(&aws, &settings, payload).await.unwrap().verdict, "pass");
    assert_eq!(only_answer(&aws).1.get("continuationToken"), None);

    let aws = with_events(json!([issue(1)]));
    let long_ago = Token::new(clock::now() - Duration::from_secs(61 * 60), 1).to_string();
    let report = run(&aws, &settings, job(&json!({}), Some(&long_ago))).await.unwrap();
    assert_eq!(report.verdict, "fail");
    assert!(report.message.contains("(61 of 60 minutes waited)"), "{}", report.message);
}

#[tokio::test]
async fn the_sample_events_are_answered() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../events/pipelines");
    for (name, regions, verdict) in [
        ("gate-user-parameters", "eu-west-1 us-east-1 global", "wait"),
        ("gate-region-list", "eu-west-1 us-east-1 global", "fail"),
        ("gate-no-parameters", "eu-west-1 global", "fail"),
        // Its wait began in 2026.
        ("gate-waiting", "eu-west-1 global", "fail"),
    ] {
        let event = serde_json::from_str(&fs::read_to_string(folder.join(format!("{name}.json"))).unwrap()).unwrap();
        let report = run(&with_events(json!([issue(1)])), &[], event).await.unwrap();
        assert_eq!((report.checked_regions.join(" ").as_str(), report.verdict), (regions, verdict), "{name}");
    }
}

#[tokio::test]
async fn real_replies_of_aws_health_are_read() {
    // Two of the first file are of BILLING and SECURITY, which do not count unless they are named.
    for (file, events, known, notifications, closed) in
        [("describe-events-1.json", 10, 8, 1, 7), ("describe-events-2-ec2-closed.json", 3, 3, 0, 3)]
    {
        let Some(path) = real(&format!("health/{file}")) else { return };
        let reply: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(reply["events"].as_array().unwrap().len(), events);
        let aws = with_events(reply["events"].clone());
        for (categories, statuses, counted) in [
            ("issue", "open", 0),
            ("accountNotification", "open", notifications),
            ("issue", "closed", closed),
            ("issue,accountNotification", "open,closed", known),
        ] {
            let report = run(&aws, &[("CATEGORIES", categories), ("STATUSES", statuses)], plain_job()).await.unwrap();
            assert_eq!(report.open_events, counted, "{file} {categories} {statuses}");
        }
    }
}

#[tokio::test]
async fn bad_parameters_and_bad_settings_answer_the_job() {
    let bad = [("WAIT_MINUTES", "soon")];
    for (settings, parameters, named) in [
        ([].as_slice(), r#"{"region": "eu-west-1"}"#, "did you mean regions?"),
        (&[], r#"{"wait_minutes": -1}"#, r#"wait_minutes is "-1""#),
        (&[], "input_parameter", r#"regions is "input_parameter""#),
        (&[], r#"{"regions""#, "expected a JSON object, or a list of Regions"),
        (&bad, r#"{"wait_minutes": 5}"#, r#"WAIT_MINUTES is "soon""#),
    ] {
        let aws = with_events(json!([]));
        let report = run(&aws, settings, job(&json!({ "UserParameters": parameters }), None)).await.unwrap();
        assert_eq!(report.verdict, "fail");
        let (operation, body) = only_answer(&aws);
        assert_eq!(operation, "PutJobFailureResult");
        assert_eq!(body["failureDetails"]["type"], "ConfigurationError");
        let message = body["failureDetails"]["message"].as_str().unwrap();
        assert!(message.starts_with("[health-gate:setup] invalid settings: ") && message.contains(named), "{message}");
        assert!(aws.calls_of("DescribeEvents").is_empty());
    }
}

#[tokio::test]
async fn an_event_without_a_job_id_fails_and_calls_nobody() {
    let aws = with_events(json!([]));
    let error = run(&aws, &[], json!({ "Records": [] })).await.unwrap_err();
    assert_eq!(error.error_type(), "InvalidEvent");
    assert!(aws.calls().is_empty());
}

#[tokio::test]
async fn a_panic_answers_the_job() {
    let aws = with_health(|_| panic!("the sky fell"));
    let report = run(&aws, &[("ON_UNKNOWN", "allow")], plain_job()).await.unwrap();
    let (operation, body) = only_answer(&aws);
    assert_eq!((report.verdict, operation.as_str()), ("fail", "PutJobFailureResult"));
    assert_eq!(body["failureDetails"]["type"], "SystemUnavailable");
    assert!(report.message.starts_with("[health-gate:setup] the function has a fault of its own: the sky fell;"));
}

#[tokio::test(start_paused = true)]
async fn whatever_aws_health_does_the_job_is_answered_in_time() {
    type Health = fn(usize) -> Reply;
    let cases: [(&str, Health, &str, &str); 12] = [
        ("hangs", |_| Reply::Hang, "SystemUnavailable", "AWS Health cannot be reached"),
        ("breaks", |_| Reply::Lost, "SystemUnavailable", "connection reset"),
        (
            "fails",
            |_| Reply::ErrorWith(503, "ServiceUnavailableException", String::new()),
            "SystemUnavailable",
            "cannot be reached",
        ),
        ("throttles", |_| Reply::Error("ThrottlingException"), "SystemUnavailable", "throttled every attempt"),
        ("has no plan", |_| Reply::Error("SubscriptionRequiredException"), "PermissionError", "Enterprise On-Ramp"),
        ("denies", |_| Reply::Error("AccessDeniedException"), "PermissionError", "must allow health:DescribeEvents"),
        (
            "does not know new credentials yet",
            |_| Reply::ErrorWith(403, "UnrecognizedClientException", String::new()),
            "SystemUnavailable",
            "for a transient reason",
        ),
        ("refuses", |_| Reply::Error("ValidationException"), "SystemUnavailable", "refused the request"),
        ("sends HTML", |_| Reply::Unreadable, "SystemUnavailable", "cannot be read"),
        ("sends no list", |_| Reply::Empty, "SystemUnavailable", "it has no list of events"),
        (
            "turns in circles",
            |_| Reply::Json(json!({ "events": [], "nextToken": "same" })),
            "SystemUnavailable",
            "its next page is the same page",
        ),
        (
            "never ends",
            |page| Reply::Json(json!({ "events": [], "nextToken": format!("page{page}") })),
            "SystemUnavailable",
            "had not answered in full when the function's time was up",
        ),
    ];
    for (name, health, kind, text) in cases {
        let aws = with_health(move |before| {
            // An endless row of pages takes time, as it does in life.
            if name == "never ends" && before % 10 == 9 { Reply::Hang } else { health(before) }
        });
        let report = run(&aws, &[], plain_job()).await.unwrap();
        let (operation, body) = only_answer(&aws);
        assert_eq!((report.verdict, operation.as_str()), ("fail", "PutJobFailureResult"), "{name}");
        assert_eq!(body["failureDetails"]["type"], kind, "{name}");
        let is_setup = ["has no plan", "denies", "refuses"].contains(&name);
        let mark = if is_setup { "[health-gate:setup]" } else { "[health-gate]" };
        assert!(report.message.starts_with(&format!("{mark} the stage fails: AWS Health ")), "{name}");
        assert_eq!((report.checked, report.checked_regions.len()), (false, 0), "{name}");
        assert!(
            report.message.contains(text) && report.message.contains("ON_UNKNOWN=allow"),
            "{name}: {}",
            report.message
        );
        let answered = answers(&aws)[0].after;
        assert!(answered <= Duration::from_secs(57), "{name}: answered after {answered:?} of 60 s");

        let aws = with_health(health);
        if name != "never ends" {
            let report = run(&aws, &[("ON_UNKNOWN", "allow")], plain_job()).await.unwrap();
            let (operation, body) = only_answer(&aws);
            assert_eq!((report.verdict, operation.as_str()), ("pass", "PutJobSuccessResult"), "{name}");
            assert_eq!(body["outputVariables"]["checked"], "false", "{name}");
            assert_eq!(body["outputVariables"]["checkedRegions"], "", "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_found_counts_though_time_is_up() {
    let regions =
        "us-east-1,us-east-2,us-west-1,us-west-2,eu-west-1,eu-west-2,eu-west-3,eu-north-1,eu-south-1,sa-east-1";
    let settings = [("REGIONS", regions), ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")];
    // Ten Regions and global are two calls: the first finds something, the second never ends.
    let aws = Aws::new(|call| match call.operation.as_str() {
        "DescribeEvents" if call.parameters["filter"]["regions"] != json!(["global"]) => {
            Reply::Json(json!({ "events": [issue(1)] }))
        }
        "DescribeEvents" if call.earlier % 10 == 9 => Reply::Hang,
        "DescribeEvents" => Reply::Json(json!({ "events": [], "nextToken": format!("page{}", call.earlier) })),
        _ => Reply::Empty,
    });
    let report = run(&aws, &settings, plain_job()).await.unwrap();
    assert_eq!((report.verdict, report.open_events), ("fail", 1));
    assert_eq!(only_answer(&aws).1["failureDetails"]["type"], "JobFailed");
    assert!(report.message.contains("(perhaps more: AWS Health had not answered in full"), "{}", report.message);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_may_wait_waits_out_a_silent_aws_health() {
    let aws = with_health(|_| Reply::Hang);
    let report = run(&aws, &[("WAIT_MINUTES", "10")], plain_job()).await.unwrap();
    assert_eq!(report.verdict, "wait");
    assert!(only_answer(&aws).1["continuationToken"].as_str().unwrap().contains(r#""open":0"#));
}

#[tokio::test(start_paused = true)]
async fn the_passive_endpoint_is_asked_when_the_active_one_is_down() {
    let aws = Aws::new(|call| match (call.operation.as_str(), call.host.as_str()) {
        ("DescribeEvents", "health.us-east-2.amazonaws.com") => Reply::Lost,
        ("DescribeEvents", _) => Reply::Json(json!({ "events": [] })),
        _ => Reply::Empty,
    });
    assert_eq!(run(&aws, &[], plain_job()).await.unwrap().verdict, "pass");
    let last = aws.calls_of("DescribeEvents").pop().unwrap();
    assert_eq!(last.host, "health.us-east-1.amazonaws.com");
    assert_eq!(last.region, "us-east-1");
}

#[tokio::test]
async fn an_endpoint_of_the_environment_is_signed_for_the_own_region() {
    let aws = with_events(json!([]));
    run(&aws, &[("AWS_ENDPOINT_URL_HEALTH", "http://127.0.0.1:4566")], plain_job()).await.unwrap();
    assert_eq!(aws.calls_of("DescribeEvents")[0].region, "eu-west-1");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_or_throttled_is_given_again_until_it_is_taken() {
    type CodePipeline = fn(usize) -> Reply;
    let cases: [(&str, CodePipeline, usize, JobOutcome); 7] = [
        (
            "throttled",
            |before| if before < 9 { Reply::Error("ThrottlingException") } else { Reply::Empty },
            10,
            JobOutcome::Answered,
        ),
        (
            "down for a moment",
            |before| if before < 2 { Reply::Unavailable } else { Reply::Empty },
            3,
            JobOutcome::Answered,
        ),
        (
            "not known yet with new credentials",
            |before| {
                if before < 2 {
                    Reply::ErrorWith(403, "UnrecognizedClientException", String::new())
                } else {
                    Reply::Empty
                }
            },
            3,
            JobOutcome::Answered,
        ),
        ("lost", |before| if before < 1 { Reply::Lost } else { Reply::Empty }, 2, JobOutcome::Answered),
        (
            "taken, but the reply was lost",
            |before| if before < 1 { Reply::Hang } else { Reply::Error("InvalidJobStateException") },
            2,
            JobOutcome::Answered,
        ),
        (
            "answered by another run",
            |before| Reply::Error(if before < 1 { "ThrottlingException" } else { "InvalidJobStateException" }),
            2,
            JobOutcome::AnsweredBefore,
        ),
        ("of no job", |_| Reply::Error("JobNotFoundException"), 1, JobOutcome::NoSuchJob),
    ];
    for (name, codepipeline, calls, outcome) in cases {
        let aws = with_codepipeline(move |call| codepipeline(call.earlier));
        let report = run(&aws, &[], plain_job()).await.unwrap();
        let answers = answers(&aws);
        assert_eq!((report.outcome, answers.len()), (outcome, calls), "{name}");
        assert!(
            answers
                .iter()
                .all(|answer| answer.operation == "PutJobSuccessResult" && answer.parameters == answers[0].parameters)
        );
    }
}

#[tokio::test]
async fn a_verdict_that_codepipeline_refuses_becomes_a_failure() {
    for (code, kind) in [("ValidationException", "SystemUnavailable"), ("AccessDeniedException", "PermissionError")] {
        let aws = with_codepipeline(move |call| match call.operation.as_str() {
            "PutJobSuccessResult" => Reply::Error(code),
            _ => Reply::Empty,
        });
        let report = run(&aws, &[], plain_job()).await.unwrap();
        assert_eq!((report.verdict, report.outcome), ("pass", JobOutcome::AnsweredAsFailure), "{code}");
        let details = aws.calls_of("PutJobFailureResult")[0].parameters["failureDetails"].clone();
        assert_eq!(details["type"], kind);
        let message = details["message"].as_str().unwrap();
        assert!(
            message.starts_with("[health-gate:setup] CodePipeline refused the verdict: ") && message.contains(code)
        );
        assert!(message.contains("It was: [health-gate] no open event"), "{message}");
        assert_eq!(answers(&aws).len(), 2);
    }
}

#[tokio::test]
async fn a_pipeline_full_of_variables_does_not_stop_the_stage() {
    let aws = with_codepipeline(|call| match call.earlier {
        0 => Reply::Error("OutputVariablesSizeExceededException"),
        _ => Reply::Empty,
    });
    assert_eq!(run(&aws, &[], plain_job()).await.unwrap().outcome, JobOutcome::Answered);
    let answers = answers(&aws);
    assert_eq!(answers.len(), 2);
    assert_eq!(
        (answers[1].operation.as_str(), answers[1].parameters.get("outputVariables")),
        ("PutJobSuccessResult", None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_answered_fails_the_invocation_before_the_deadline() {
    type CodePipeline = fn() -> Reply;
    let cases: [(CodePipeline, &str); 3] = [
        (|| Reply::Error("AccessDeniedException"), "AccessDeniedException"),
        (|| Reply::Error("ThrottlingException"), "ThrottlingException"),
        (|| Reply::Hang, "timeout"),
    ];
    for (codepipeline, reason) in cases {
        let aws = with_codepipeline(move |_| codepipeline());
        let error = run(&aws, &[], plain_job()).await.unwrap_err();
        assert_eq!(error.error_type(), "Unanswered");
        assert!(error.to_string().contains(JOB_ID) && error.to_string().contains(reason), "{error}");
        assert!(aws.elapsed() < Duration::from_secs(60), "{reason}: {:?}", aws.elapsed());
    }
}

const PEOPLE: (&str, &str) = ("NOTIFY_TOPIC_ARN", "arn:aws:sns:eu-west-1:111122223333:people");

#[tokio::test]
async fn people_are_notified_once_when_a_stage_begins_to_wait() {
    let settings = [("WAIT_MINUTES", "60"), PEOPLE];
    let aws = with_events(json!([issue(1)]));
    run(&aws, &settings, plain_job()).await.unwrap();
    let [published] = &aws.calls_of("Publish")[..] else { panic!("{:?}", aws.calls()) };
    assert_eq!(published.text("TopicArn"), PEOPLE.1);
    assert!(published.text("Subject").starts_with("Gatehouse pipelines: "), "{published:?}");
    for part in ["AWS_EC2_OPERATIONAL_ISSUE_1", JOB_ID, REQUEST_ID] {
        assert!(published.text("Message").contains(part), "{part} is missing in {published:?}");
    }
    assert!(published.after >= answers(&aws)[0].after, "the answer comes first");

    let token = answers(&aws)[0].parameters["continuationToken"].as_str().unwrap().to_owned();
    let aws = with_events(json!([issue(1)]));
    assert_eq!(run(&aws, &settings, job(&json!({}), Some(&token))).await.unwrap().verdict, "wait");
    assert!(aws.calls_of("Publish").is_empty());
}

#[tokio::test]
async fn a_job_that_lambda_delivers_twice_notifies_once_and_the_label_says_of_what() {
    let aws = Aws::new(|call| match call.operation.as_str() {
        "DescribeEvents" => Reply::Json(json!({ "events": [issue(1)] })),
        "PutJobSuccessResult" if call.earlier > 0 => Reply::Error("InvalidJobStateException"),
        _ => Reply::Empty,
    });
    let (gate, other_process) = (gate(&aws, &[PEOPLE]), gate(&aws, &[PEOPLE]));
    let payload = job(&json!({ "UserParameters": r#"{"wait_minutes": 30.0, "label": "execution 4711"}"# }), None);
    for (gate, outcome) in [
        (&gate, JobOutcome::Answered),
        (&gate, JobOutcome::AnsweredBefore),
        (&other_process, JobOutcome::AnsweredBefore),
    ] {
        let report = gate.handle(invocation(payload.clone())).await.unwrap();
        assert_eq!(
            (report.verdict, report.outcome, report.label.as_deref()),
            ("wait", outcome, Some("execution 4711"))
        );
    }
    let [published] = &aws.calls_of("Publish")[..] else { panic!("{:?}", aws.calls()) };
    assert!(published.text("Message").contains("execution 4711"), "{published:?}");
}

#[tokio::test]
async fn nobody_is_notified_of_a_stage_that_does_not_wait() {
    for (settings, events) in [
        (vec![PEOPLE], json!([issue(1)])),
        (vec![PEOPLE, ("WAIT_MINUTES", "60")], json!([])),
        (vec![("WAIT_MINUTES", "60")], json!([issue(1)])),
    ] {
        let aws = with_events(events);
        run(&aws, &settings, plain_job()).await.unwrap();
        assert!(aws.calls_of("Publish").is_empty(), "{settings:?}");
    }
    // CodePipeline does not wait for an answer to this job: nothing waits.
    let aws = Aws::new(|call| match call.operation.as_str() {
        "DescribeEvents" => Reply::Json(json!({ "events": [issue(1)] })),
        _ => Reply::Error("JobNotFoundException"),
    });
    let report = run(&aws, &[PEOPLE, ("WAIT_MINUTES", "60")], plain_job()).await.unwrap();
    assert_eq!((report.outcome, aws.calls_of("Publish").len()), (JobOutcome::NoSuchJob, 0));
}

const CHAT: (&str, &str) = ("CHAT_TOPIC_ARN", "arn:aws:sns:us-east-1:444455556666:chat");
const EXECUTION: &str = "8bdcdf4b-2dd1-4bbe-8aeb-562ff8b55969";

/// The message that chat got; it is the last of so many that were published.
fn shown(aws: &Aws, published: usize) -> Value {
    let calls = aws.calls_of("Publish");
    assert_eq!(calls.len(), published, "{calls:?}");
    assert_eq!(calls[published - 1].text("TopicArn"), CHAT.1);
    chat_message(calls[published - 1].text("Message")).unwrap()
}

/// The gate tells in the thread of the pipeline execution, which the retry uses, too.
#[tokio::test(start_paused = true)]
async fn chat_shows_that_a_stage_waits_in_the_thread_of_its_execution_or_else_of_the_job() {
    type CodePipeline = fn() -> Reply;
    let context = || {
        Reply::Json(json!({ "jobDetails": { "id": JOB_ID, "data": { "pipelineContext": {
            "pipelineName": "web", "stage": { "name": "Production" }, "pipelineExecutionId": EXECUTION,
            "pipelineArn": "arn:aws:codepipeline:eu-west-1:111122223333:web",
        }}}}))
    };
    let cases: [(CodePipeline, &str); 4] = [
        (context, EXECUTION),
        (|| Reply::Error("JobNotFoundException"), JOB_ID),
        (|| Reply::Hang, JOB_ID),
        (|| Reply::Empty, JOB_ID),
    ];
    for (details, thread) in cases {
        let aws = Aws::new(move |call| match call.operation.as_str() {
            "DescribeEvents" => Reply::Json(json!({ "events": [issue(1)] })),
            "GetJobDetails" => details(),
            _ => Reply::Empty,
        });
        let report = run(&aws, &[PEOPLE, CHAT, ("WAIT_MINUTES", "60")], plain_job()).await.unwrap();
        assert_eq!((report.verdict, report.outcome), ("wait", JobOutcome::Answered));
        let message = shown(&aws, 2);
        assert_eq!(message["metadata"]["threadId"], thread);
        let steps = message["content"]["nextSteps"].to_string();
        assert!(steps.contains("|Look at AWS Health>"), "{steps}");
        let page = format!("/codesuite/codepipeline/pipelines/web/executions/{EXECUTION}/timeline?region=eu-west-1|");
        assert_eq!(steps.contains(&page), thread == EXECUTION, "{steps}");
        assert!(answers(&aws)[0].after < Duration::from_secs(1), "asking does not hold up the answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chat_that_refuses_or_hangs_is_no_failure_and_nothing_is_mailed_twice() {
    type Sns = fn() -> Reply;
    let cases: [Sns; 2] = [|| Reply::ErrorWith(403, "AuthorizationError", String::new()), || Reply::Hang];
    for sns in cases {
        let aws = Aws::new(move |call| match call.operation.as_str() {
            "DescribeEvents" => Reply::Json(json!({ "events": [issue(1)] })),
            "Publish" if call.host.contains("us-east-1") => sns(),
            _ => Reply::Empty,
        });
        let gate = gate(&aws, &[("WAIT_MINUTES", "60"), PEOPLE, CHAT]);
        let mails = |aws: &Aws| aws.calls_of("Publish").iter().filter(|call| call.host.contains("eu-west-1")).count();
        gate.handle(invocation(plain_job())).await.unwrap();
        assert_eq!(mails(&aws), 1);
        assert!(aws.elapsed() < Duration::from_secs(10));
    }
    // Where nothing waits, or there is no chat, CodePipeline is not asked.
    for (settings, events) in
        [(vec![PEOPLE, ("WAIT_MINUTES", "60")], json!([issue(1)])), (vec![PEOPLE, CHAT], json!([issue(1)]))]
    {
        let aws = with_events(events);
        run(&aws, &settings, plain_job()).await.unwrap();
        assert!(aws.calls_of("GetJobDetails").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_notification_that_cannot_be_published_fails_the_invocation_and_is_sent_when_it_runs_again() {
    type Sns = fn() -> Reply;
    let cases: [(Sns, &str); 2] = [
        (|| Reply::ErrorWith(403, "AuthorizationError", String::new()), "AuthorizationError"),
        (|| Reply::Hang, "no reply before"),
    ];
    for (sns, reason) in cases {
        let is_mended = Arc::new(AtomicBool::new(false));
        let works = is_mended.clone();
        let aws = Aws::new(move |call| match call.operation.as_str() {
            "DescribeEvents" => Reply::Json(json!({ "events": [issue(1)] })),
            "Publish" if works.load(Ordering::Relaxed) => Reply::Empty,
            "Publish" => sns(),
            _ if call.earlier > 0 => Reply::Error("InvalidJobStateException"),
            _ => Reply::Empty,
        });
        let gate = gate(&aws, &[("WAIT_MINUTES", "60"), PEOPLE]);
        let error = gate.handle(invocation(plain_job())).await.unwrap_err();
        assert_eq!(error.error_type(), "Notify");
        assert!(chain(&error).contains(reason) && chain(&error).contains(JOB_ID), "{}", chain(&error));
        assert_eq!(aws.calls_of("PutJobSuccessResult").len(), 1);
        assert!(aws.elapsed() < Duration::from_secs(60));

        // Lambda runs the event again: CodePipeline has its answer, and people are notified once.
        let published = aws.calls_of("Publish").len();
        is_mended.store(true, Ordering::Relaxed);
        for _ in 0..2 {
            let report = gate.handle(invocation(plain_job())).await.unwrap();
            assert_eq!(report.outcome, JobOutcome::AnsweredBefore);
        }
        assert_eq!(aws.calls_of("Publish").len(), published + 1);
    }
}

#[tokio::test]
async fn without_a_job_the_invocation_is_the_answer() {
    for (events, parameters, blocked) in [
        (json!([]), json!({}), None),
        (json!([issue(1)]), json!({}), Some("[health-gate] 1 AWS Health event in ")),
        (
            json!([issue(1)]),
            json!({ "UserParameters": r#"{"wait_minutes": 60}"# }),
            Some("[health-gate] 1 AWS Health event in "),
        ),
        (json!([]), json!({ "regions": "eu-wset-1" }), Some("[health-gate:setup] ")),
        (
            json!([]),
            json!({ "UserParameters": { "region": "eu-west-1" } }),
            Some("[health-gate:setup] invalid settings: region is "),
        ),
    ] {
        let aws = with_events(events);
        let result = run(&aws, &[PEOPLE], parameters.clone()).await;
        match (result, blocked) {
            (Ok(report), None) => {
                assert_eq!((report.verdict, report.job_id, report.outcome), ("pass", None, JobOutcome::NoJob));
            }
            (Err(error), Some(message)) => {
                assert_eq!(error.error_type(), "Blocked");
                assert!(error.to_string().starts_with(message), "{parameters}: {error}");
                assert!(error.to_string().parse::<GateMessage>().is_ok());
            }
            (result, _) => panic!("{parameters}: {result:?}"),
        }
        assert!(answers(&aws).is_empty() && aws.calls_of("Publish").is_empty(), "{:?}", aws.calls());
    }
}

/// AWS Health knows these services, one on each page.
fn with_services(known: &'static [&'static str]) -> Aws {
    Aws::new(move |call| match call.operation.as_str() {
        "DescribeEvents" => Reply::Json(json!({ "events": [] })),
        "DescribeEventTypes" => {
            let asked = call.parameters["filter"]["services"].as_array().unwrap();
            let found: Vec<_> = known.iter().filter(|service| asked.contains(&json!(service))).collect();
            let number: usize = call.text("nextToken").strip_prefix("page").map_or(0, |number| number.parse().unwrap());
            let page: Vec<_> =
                found.iter().skip(number).take(1).map(|it| json!({ "service": it, "code": "A" })).collect();
            let next = (number + 1 < found.len()).then(|| format!("page{}", number + 1));
            Reply::Json(json!({ "eventTypes": page, "nextToken": next }))
        }
        _ => Reply::Empty,
    })
}

#[tokio::test]
async fn a_region_or_service_that_does_not_exist_is_a_fault_of_the_settings() {
    let open = |call: &Call| match call.operation.as_str() {
        "DescribeEvents" => Reply::Json(json!({ "events": [issue(1)] })),
        "DescribeEventTypes" => Reply::Json(json!({ "eventTypes": [] })),
        _ => Reply::Empty,
    };
    for (parameters, named, calls) in [
        (r#"{"regions": ["eu-wset-1", "-global"]}"#, "Region eu-wset-1", 0),
        (r#"{"regions": ["eu-isoe-west-1", "-global"]}"#, "Region eu-isoe-west-1", 0),
        (r#"{"regions": "eu-west-1,cn-north-1"}"#, "Region cn-north-1", 0),
        (r#"{"services": ["ECC2", "-MULTIPLE_SERVICES"]}"#, "service ECC2", 1),
        (r#"{"services": ["-ECC2"]}"#, "service ECC2", 1),
    ] {
        let aws = Aws::new(open);
        let report = run(&aws, &[], job(&json!({ "UserParameters": parameters }), None)).await.unwrap();
        let (operation, body) = only_answer(&aws);
        assert_eq!((report.verdict, operation.as_str()), ("fail", "PutJobFailureResult"), "{parameters}");
        assert_eq!(body["failureDetails"]["type"], "ConfigurationError");
        let start = format!("[health-gate:setup] not known in this partition: {named}. ");
        assert!(report.message.starts_with(&start), "{}", report.message);
        assert_eq!((report.checked, report.checked_regions.len()), (false, 0), "{parameters}");
        assert_eq!(aws.calls_of("DescribeEvents").len(), calls, "{parameters}");
    }
}

#[tokio::test]
async fn a_region_or_service_that_nobody_knows_is_named_in_the_message() {
    let aws = with_services(&["EC2", "LAMBDA"]);
    let settings = [("REGIONS", "eu-west-1,eu-west-9"), ("SERVICES", "EC2,LAMBDA,EC22"), ("ON_UNFAMILIAR", "warn")];
    let gate = gate(&aws, &settings);
    for runs in [1, 2] {
        let report = gate.handle(invocation(plain_job())).await.unwrap();
        assert_eq!(
            report.message,
            "[health-gate] no open event affects this stage in eu-west-1, eu-west-9, global. Unknown, so nothing is found \
             for it: Region eu-west-9, service EC22; check the spelling"
        );
        assert_eq!(report.checked_regions, ["eu-west-1", "global"]);
        // Those that exist are requested once.
        let asked: Vec<_> = aws
            .calls_of("DescribeEventTypes")
            .iter()
            .map(|call| call.parameters["filter"]["services"].clone())
            .collect();
        let (all, unknown) = (json!(["EC2", "LAMBDA", "EC22"]), json!(["EC22"]));
        assert_eq!(asked, [all.clone(), all, unknown][..1 + runs]);
    }
    let aws = with_services(&["EC2"]);
    let report = run(&aws, &[("SERVICES", "EC2")], plain_job()).await.unwrap();
    assert_eq!(report.message, "[health-gate] no open event affects this stage in eu-west-1, global");
    assert_eq!(aws.calls_of("DescribeEventTypes")[0].region, "us-east-2");
    let aws = with_services(&[]);
    run(&aws, &[], plain_job()).await.unwrap();
    assert!(aws.calls_of("DescribeEventTypes").is_empty(), "without SERVICES there is nothing to check");
}

#[tokio::test(start_paused = true)]
async fn names_that_cannot_be_checked_delay_an_answer_by_three_seconds_and_change_nothing() {
    for (behaviour, limit) in [(0, 4), (1, 4)] {
        let aws = Aws::new(move |call| match (call.operation.as_str(), behaviour) {
            ("DescribeEvents", _) => Reply::Json(json!({ "events": [] })),
            ("DescribeEventTypes", 0) => Reply::Error("AccessDeniedException"),
            ("DescribeEventTypes", _) => Reply::Hang,
            _ => Reply::Empty,
        });
        let report = run(&aws, &[("SERVICES", "EC22")], plain_job()).await.unwrap();
        assert_eq!((report.verdict, report.checked), ("pass", true));
        assert_eq!(report.message, "[health-gate] no open event affects this stage in eu-west-1, global");
        assert!(answers(&aws)[0].after < Duration::from_secs(limit));
    }
}

/// What goes over the wire for each answer.
#[tokio::test]
async fn the_wire_form_of_the_answers() {
    let message = "[health-gate] because";
    let written: GateMessage = message.parse().unwrap();
    let started = OffsetDateTime::from_unix_timestamp(1_786_607_225).unwrap();
    let details = |percent| json!({ "summary": message, "externalExecutionId": "run-1", "percentComplete": percent });
    for (answer, operation, expected) in [
        (
            JobResult::Pass { message: written.clone() },
            "PutJobSuccessResult",
            json!({
                "jobId": JOB_ID,
                "executionDetails": details(100),
                "outputVariables": {
                    "message": message, "openEvents": "3", "checked": "true", "checkedRegions": "eu-west-1,global",
                },
            }),
        ),
        (
            JobResult::Wait { token: Token::new(started, 3), percent: 40, message: written.clone() },
            "PutJobSuccessResult",
            json!({
                "jobId": JOB_ID,
                "continuationToken": r#"{"v":1,"started":1786607225,"open":3}"#,
                "executionDetails": details(40),
            }),
        ),
        (
            JobResult::Fail { kind: FailureType::JobFailed, message: written.clone() },
            "PutJobFailureResult",
            json!({
                "jobId": JOB_ID,
                "failureDetails": { "type": "JobFailed", "message": message, "externalExecutionId": "run-1" },
            }),
        ),
    ] {
        let aws = Aws::new(|_| Reply::Empty);
        let regions = vec!["eu-west-1".to_owned(), "global".to_owned()];
        let verdict = Verdict { answer, open_events: 3, check: HealthCheck::Complete(regions) };
        let reply = answer::Reply { job_id: JOB_ID, request_id: "run-1", verdict: &verdict };
        let outcome = reply.put(&answer::client(&aws.sdk()), Instant::now() + Duration::from_secs(5)).await;
        assert_eq!(outcome.unwrap(), JobOutcome::Answered);
        let [call] = &aws.calls()[..] else { panic!("{aws:?}") };
        assert_eq!(call.wire(), ("codepipeline", "eu-west-1", operation, expected));
    }
}
