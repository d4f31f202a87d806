//! What becomes of every event that was ever seen, and of those that were not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::fs;
use std::path::{Path, PathBuf};

use pipeline_retry::delivery::{Body, Delivery, DeliveryError};
use pipeline_retry::event::{Event, Failed, HealthClosed, Level};
use proptest::prelude::*;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;

fn parsed(file: &Path) -> String {
    let event = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    match Event::parse(&event) {
        Ok(Event::Failed(Failed { pipeline, execution_id, stage, level, time })) => {
            let time = time.format(&Rfc3339).unwrap();
            format!("{level:?} of {pipeline} {execution_id} failed in {} at {time}", stage.as_deref().unwrap_or("?"))
        }
        Ok(Event::HealthClosed(event)) => format!("closed: {}", event.arn),
        Ok(Event::Ignored { reason }) => format!("ignored: {reason}"),
        Err(error) => format!("refused: {error}"),
    }
}

/// Every file of the folder has its row, and every row its file.
fn check(folder: &Path, table: &[(&str, &str)]) {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let seen: Vec<_> =
        files.iter().map(|file| (file.file_name().unwrap().to_str().unwrap().to_owned(), parsed(file))).collect();
    let expected: Vec<_> = table.iter().map(|(file, verdict)| ((*file).to_owned(), (*verdict).to_owned())).collect();
    assert_eq!(seen, expected);
}

#[test]
fn real_events_of_codepipeline() {
    const NO_SOURCE: &str = "refused: the field source is missing: expected aws.codepipeline or aws.health";
    const PATTERN: &str = "refused: the field source is an array: expected aws.codepipeline or aws.health";
    let ignored = |state: &str| format!("ignored: the state is {state:?}: only FAILED is retried");
    let Some(folder) = gatehouse_testkit::real("codepipeline") else { return };
    check(
        &folder,
        &[
            ("action-referen-02-job.json", NO_SOURCE),
            ("actions-invoke-01-other-.json", NO_SOURCE),
            ("actions-invoke-03-other-.json", NO_SOURCE),
            ("actions-invoke-04-other-.json", NO_SOURCE),
            ("approvals-json-01-approval.json", NO_SOURCE),
            (
                "body-codestar-action-failed-codedeploy.json",
                "Action of meerkat 8bdcdf4b-2dd1-4bbe-8aeb-562ff8b55969 failed in DeployToExternalAccount at 2022-04-02T08:23:12Z",
            ),
            (
                "body-codestar-pipeline-failed-4-actions.json",
                "Pipeline of meerkat 8bdcdf4b-2dd1-4bbe-8aeb-562ff8b55969 failed in DeployToExternalAccount at 2022-04-02T08:23:13Z",
            ),
            (
                "body-codestar-stage-failed-4-actions.json",
                "Stage of meerkat 8bdcdf4b-2dd1-4bbe-8aeb-562ff8b55969 failed in DeployToExternalAccount at 2022-04-02T08:23:13Z",
            ),
            ("detect-state-c-01-emitted-pipeline-started.json", &ignored("STARTED")),
            ("detect-state-c-02-processed-pipeline-started.json", &ignored("STARTED")),
            ("detect-state-c-03-emitted-pipeline-stopping.json", &ignored("STOPPING")),
            ("detect-state-c-04-emitted-pipeline-succeeded.json", &ignored("SUCCEEDED")),
            ("detect-state-c-05-processed-pipeline-succeeded.json", &ignored("SUCCEEDED")),
            (
                "detect-state-c-06-emitted-pipeline-failed.json",
                "Pipeline of myPipeline 12345678-1234-5678-abcd-12345678abcd failed in ? at 2020-01-31T18:55:43Z",
            ),
            ("detect-state-c-09-processed-stage-started.json", &ignored("STARTED")),
            ("detect-state-c-10-emitted-stage-stopping.json", &ignored("STOPPING")),
            ("detect-state-c-11-emitted-stage-stopped.json", &ignored("STOPPED")),
            ("detect-state-c-13-processed-action-started.json", &ignored("STARTED")),
            ("detect-state-c-14-emitted-action-succeeded.json", &ignored("SUCCEEDED")),
            ("detect-state-c-15-processed-action-succeeded.json", &ignored("SUCCEEDED")),
            (
                "detect-state-c-16-emitted-action-failed.json",
                "Action of myPipeline 12345678-1234-5678-abcd-12345678abcd failed in Deploy at 2020-01-31T18:55:43Z",
            ),
            (
                "detect-state-c-17-processed-action-failed.json",
                "Action of myPipeline 12345678-1234-5678-abcd-12345678abcd failed in Deploy at 2021-06-24T00:46:16Z",
            ),
            ("detect-state-c-18-emitted-action-abandoned.json", &ignored("ABANDONED")),
            ("detect-state-c-19-emitted-action-.json", PATTERN),
            ("detect-state-c-20-emitted-action-.json", PATTERN),
            ("detect-state-c-21-emitted-pipeline-.json", PATTERN),
        ],
    );
}

#[test]
fn real_events_of_health() {
    let Some(folder) = gatehouse_testkit::real("health") else { return };
    check(
        &folder,
        &[
            ("describe-events-1.json", "refused: the field source is missing: expected aws.codepipeline or aws.health"),
            (
                "describe-events-2-ec2-closed.json",
                "refused: the field source is missing: expected aws.codepipeline or aws.health",
            ),
            (
                "eventbridge-ebs-lost-volume.json",
                "refused: the field (the whole event) is an array: expected an object with the field source",
            ),
        ],
    );
}

#[test]
fn real_records_of_sqs() {
    let delivery = |file: &str| {
        let path = gatehouse_testkit::real(&format!("lambda-events/{file}"))?;
        Some(Delivery::parse(serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()).unwrap())
    };
    let Some(two) = delivery("sqs-two-records.json") else { return };
    let Delivery::Sqs(records) = two else { panic!("{two:?}") };
    let ids: Vec<_> = records.iter().map(|record| record.message_id.as_str()).collect();
    assert_eq!(ids, ["059f36b4-87a3-44ab-83d2-661975830a7d", "2e1424d4-f796-459a-8184-9c92662be6da"]);
    let errors = records.iter().map(|record| Body::parse(&record.body).unwrap_err());
    assert!(matches!(&errors.collect::<Vec<_>>()[..], [DeliveryError::Body(_), DeliveryError::Unsigned]));

    let enveloped = delivery("sqs-sns-envelope.json").unwrap();
    let Delivery::Sqs(records) = enveloped else { panic!("{enveloped:?}") };
    assert!(matches!(Body::parse(&records[0].body), Ok(Body::Sns(_))));
}

fn health(detail: Value) -> Value {
    json!({"source": "aws.health", "detail-type": "AWS Health Event", "detail": detail})
}

#[test]
fn an_event_of_health_is_closed_when_it_says_so() {
    let detail = |status: Value| {
        json!({
            "eventArn": "arn:aws:health:us-west-2::event/EC2/A/A_1", "eventTypeCode": "A", "service": "EC2",
            "eventRegion": "us-west-2", "statusCode": status,
        })
    };
    // us-east-1 is the backup Region for public events of us-west-2: where it happened is what counts.
    let mut event = health(detail("closed".into()));
    event["region"] = "us-east-1".into();
    event["time"] = "2026-08-13T08:06:00Z".into();
    let closed = HealthClosed {
        arn: "arn:aws:health:us-west-2::event/EC2/A/A_1".to_owned(),
        type_code: "A".to_owned(),
        service: "EC2".to_owned(),
        region: Some("us-west-2".to_owned()),
        time: Some(datetime!(2026-08-13 08:06:00 UTC)),
    };
    assert_eq!(Event::parse(&event), Ok(Event::HealthClosed(closed.clone())));
    // Abuse has a detail-type of its own. The Region and the time are not needed to find the stage.
    event["detail-type"] = "AWS Health Abuse Event".into();
    assert_eq!(Event::parse(&event), Ok(Event::HealthClosed(closed.clone())));
    event["detail"].as_object_mut().unwrap().remove("eventRegion");
    event.as_object_mut().unwrap().remove("time");
    let bare = HealthClosed { region: None, time: None, ..closed };
    assert_eq!(Event::parse(&event), Ok(Event::HealthClosed(bare)));
    for status in [json!("open"), json!("upcoming"), json!(null), json!(7)] {
        let event = Event::parse(&health(detail(status.clone()))).unwrap();
        assert!(matches!(event, Event::Ignored { .. }), "{status}");
    }
    for name in ["eventArn", "eventTypeCode", "service"] {
        let mut event = health(detail("closed".into()));
        event["detail"].as_object_mut().unwrap().remove(name);
        let error = Event::parse(&event).unwrap_err().to_string();
        assert_eq!(error, format!("the field detail.{name} is missing: expected text"));
    }
}

#[test]
fn what_is_missing_is_named() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut event = json!({
            "source": "aws.codepipeline",
            "detail-type": "CodePipeline Action Execution State Change",
            "time": "2026-08-13T07:47:06Z",
            "detail": {"pipeline": "web", "execution-id": "e-1", "stage": "Production", "state": "FAILED"},
        });
        change(&mut event);
        Event::parse(&event).unwrap_err().to_string()
    };
    assert_eq!(
        with(&|event| event["source"] = "aws.s3".into()),
        "the field source is \"aws.s3\": expected aws.codepipeline or aws.health"
    );
    assert_eq!(with(&|event| event["detail-type"] = Value::Null), "the field detail-type is null: expected text");
    assert_eq!(with(&|event| event["detail"] = "FAILED".into()), "the field detail is \"FAILED\": expected an object");
    for (time, seen) in
        [(json!("yesterday"), "\"yesterday\""), (json!(1_786_607_226), "1786607226"), (Value::Null, "null")]
    {
        assert_eq!(
            with(&|event| event["time"] = time.clone()),
            format!("the field time is {seen}: expected a time such as 2026-08-13T07:47:06Z")
        );
    }
    for name in ["state", "stage", "pipeline", "execution-id"] {
        let removed = with(&|event| drop(event["detail"].as_object_mut().unwrap().remove(name)));
        assert_eq!(removed, format!("the field detail.{name} is missing: expected text"));
        assert_eq!(
            with(&|event| event["detail"][name] = 7.into()),
            format!("the field detail.{name} is 7: expected text")
        );
    }
    assert_eq!(
        with(&|event| *event = "FAILED".into()),
        "the field (the whole event) is \"FAILED\": expected an object with the field source"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec!["FAILED", "closed", "aws.health", "{}", "{\"state\":\"FAILED\"}"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let name = prop_oneof![
            any::<String>(),
            prop::sample::select(vec!["source", "detail", "detailType", "stage", "state", "failedStage", "statusCode"])
                .prop_map(str::to_owned),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name, inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_gives_an_event_or_a_reason(source in prop::sample::select(vec!["aws.codepipeline", "aws.health"]),
                                           kind in prop::sample::select(vec!["Action", "Stage", "Pipeline"]),
                                           detail in any_json(), attributes in any_json()) {
        let event = json!({
            "source": source,
            "detailType": format!("CodePipeline {kind} Execution State Change"),
            "time": "2026-08-13T07:47:06Z",
            "detail": detail,
            "additionalAttributes": attributes,
        });
        if let Ok(Event::Failed(failed)) = Event::parse(&event) {
            prop_assert!(!failed.pipeline.is_empty() && !failed.execution_id.is_empty());
            prop_assert!(failed.level == Level::Pipeline || failed.stage.is_some());
        }
    }

    #[test]
    fn what_a_retry_does_not_need_changes_nothing(version in any_json(), attributes in any_json(), codestar in any::<bool>()) {
        let detail = json!({
            "pipeline": "web", "execution-id": "e-1", "stage": "Production", "state": "FAILED", "version": version,
        });
        let event = json!({
            "source": "aws.codepipeline",
            if codestar { "detailType" } else { "detail-type" }: "CodePipeline Stage Execution State Change",
            "time": "2026-08-13T07:47:06.123Z",
            "detail": detail,
            "version": version,
            "additionalAttributes": attributes,
        });
        let expected = Failed {
            pipeline: "web".to_owned(),
            execution_id: "e-1".to_owned(),
            stage: Some("Production".to_owned()),
            level: Level::Stage,
            time: datetime!(2026-08-13 07:47:06.123 UTC),
        };
        prop_assert_eq!(Event::parse(&event), Ok(Event::Failed(expected)));
    }
}
