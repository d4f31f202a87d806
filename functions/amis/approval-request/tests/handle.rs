//! Whole invocations against a Systems Manager that behaves like AWS's: a client token starts one execution, a parameter
//! is made once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::fs;
use std::sync::{Arc, Mutex};

use ami_approval::link::{Token, UnverifiedToken};
use ami_approval_request::ApprovalRequest;
use ami_approval_request::config::Config;
use ami_approval_request::error::Error;
use ami_approval_request::report::{ApprovalOutcome, ApprovalReport};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gatehouse_shared::clock;
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sns::Verifier;
use gatehouse_shared::verifier;
use gatehouse_testkit::{
    Aws, Call, Reply, Signer, StaticCertificates, chat_message, context, invocation, lambda_event, notification, real,
};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

const EXECUTION: &str = "333ba70b-2333-48db-b17e-a5e69c6f4d1c";
const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:image-builder";
const CHAT: &str = "arn:aws:sns:us-east-1:444455556666:chat";
const APPROVERS: &str = "arn:aws:sns:eu-west-1:111122223333:Automation-approvers";
const BUILD: &str = "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3";
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const LINK: [(&str, &str); 3] = [
    ("APPROVAL_LINK", "true"),
    ("APPROVAL_PAGE_URL", "https://abc.execute-api.eu-west-1.amazonaws.com/approval"),
    ("LINK_KEY_ARN", KEY),
];

/// What Systems Manager and SNS know.
#[derive(Default)]
struct World {
    /// Client token and parameters of the executions that were started.
    executions: Vec<(String, Value)>,
    began: i64,
    status: &'static str,
    /// `AutomationExecutionStatus` of the approve step, where it differs from that of the execution.
    approval: Option<&'static str>,
    /// Watermarks: Region and id of the image, key, source image.
    watermarks: Vec<(String, String, String)>,
    /// What chat got.
    shown: Vec<Value>,
    mails: Vec<(String, String)>,
    /// The operation, how often it fails, and with what.
    faults: Vec<(&'static str, usize, Reply)>,
}

type Shared = Arc<Mutex<World>>;

fn world() -> (Shared, Aws) {
    let began = clock::now().unix_timestamp() - 60;
    let world = Arc::new(Mutex::new(World { began, status: "Waiting", ..World::default() }));
    let state = world.clone();
    (world, Aws::new(move |call| state.lock().unwrap().answer(call)))
}

impl World {
    fn answer(&mut self, call: &Call) -> Reply {
        let operation = call.operation.as_str();
        if let Some(fault) = self.faults.iter_mut().find(|(name, left, _)| *name == operation && *left > 0) {
            fault.1 -= 1;
            let reply = fault.2.clone();
            // The request of a lost reply takes effect.
            if matches!(reply, Reply::Lost) {
                self.effect(call);
            }
            return reply;
        }
        self.effect(call)
    }

    fn effect(&mut self, call: &Call) -> Reply {
        match call.operation.as_str() {
            "StartAutomationExecution" => {
                let token = call.text("ClientToken");
                assert_eq!(token, token.to_lowercase());
                match self.executions.iter().find(|(known, _)| known == token) {
                    Some((_, parameters)) if *parameters == call.parameters => {}
                    Some(_) => return Reply::Error("IdempotentParameterMismatch"),
                    None => self.executions.push((token.to_owned(), call.parameters.clone())),
                }
                Reply::Json(json!({ "AutomationExecutionId": EXECUTION }))
            }
            "GetAutomationExecution" => Reply::Json(json!({ "AutomationExecution": self.execution(call) })),
            "GenerateMac" => {
                assert_eq!((call.text("KeyId"), call.text("MacAlgorithm")), (KEY, "HMAC_SHA_256"));
                // The test sees which message it was asked for.
                let message = BASE64_STANDARD.decode(call.text("Message")).unwrap();
                let mac = BASE64_STANDARD.encode(digest(&SHA256, &message));
                Reply::Json(json!({ "KeyId": KEY, "Mac": mac, "MacAlgorithm": "HMAC_SHA_256" }))
            }
            "ListTagsForResource" => {
                assert_eq!((call.text("ResourceType"), call.text("ResourceId")), ("Automation", EXECUTION));
                Reply::Json(json!({ "TagList": [
                    { "Key": "gatehouse:capability", "Value": "amis" },
                    { "Key": "gatehouse:pipeline", "Value": "web-weekly" },
                    { "Key": "aws:ssm:x", "Value": "y" },
                ]}))
            }
            "DescribeImages" => {
                let mut items = String::new();
                for (image, key, source) in &self.watermarks {
                    let (region, id) = image.split_once(':').unwrap();
                    if region == call.region {
                        items.push_str(&format!(
                            "<item><imageId>{id}</imageId><imageWatermarkSet><item><watermarkKey>{key}</watermarkKey>\
                             <sourceImageId>{source}</sourceImageId></item></imageWatermarkSet></item>"
                        ));
                    }
                }
                Reply::Xml(format!("<imagesSet>{items}</imagesSet>"))
            }
            "DetachImageWatermark" => {
                let image = format!("{}:{}", call.region, call.text("ImageId"));
                self.watermarks.retain(|(known, key, _)| *known != image || key != call.text("WatermarkKey"));
                Reply::Xml("<return>true</return>".to_owned())
            }
            "Publish" if call.text("TopicArn") == CHAT => {
                assert_eq!(call.region, "us-east-1");
                self.shown.push(chat_message(call.text("Message")).unwrap());
                Reply::Xml("<MessageId>m-1</MessageId>".to_owned())
            }
            "Publish" => {
                assert_eq!(call.text("TopicArn"), APPROVERS);
                self.mails.push((call.text("Subject").to_owned(), call.text("Message").to_owned()));
                Reply::Xml("<MessageId>m-1</MessageId>".to_owned())
            }
            other => panic!("{other} is not expected"),
        }
    }
}

impl World {
    fn execution(&self, call: &Call) -> Value {
        let status = self.approval.unwrap_or(self.status);
        json!({
            "AutomationExecutionId": call.text("AutomationExecutionId"),
            "DocumentName": "ApproveAndShare",
            "AutomationExecutionStatus": self.status,
            "ExecutionStartTime": self.began,
            "Parameters": {
                "images": ["eu-west-1:ami-0123456789abcdef0", "us-east-1:ami-0fedcba9876543210"],
                "imageName": ["Web"],
                "buildArn": [BUILD],
                "summary": ["Recipe: web 1.0.0"],
                "receivers": ["444455556666"],
                "effects": ["snapshots=false"],
            },
            "StepExecutions": [{
                "StepName": "Approve",
                "Action": "aws:approve",
                "StepStatus": status,
                "TimeoutSeconds": 604_800,
                "ExecutionStartTime": self.began,
            }],
        })
    }
}

fn function(aws: &Aws, settings: &[(&str, &str)]) -> ApprovalRequest {
    let mut table = settings.to_vec();
    table.extend([
        ("APPROVER_TOPIC_ARN", APPROVERS),
        ("AUTOMATION_DOCUMENT", "ApproveAndShare"),
        ("TOPIC_ARNS", TOPIC),
        ("TARGET_ACCOUNT_IDS", "444455556666"),
    ]);
    let env = Env::of_table(&table);
    let (config, sns) = env.read(|env| Config::from_env(env).zip(verifier::settings(env))).unwrap();
    let verifier = Verifier::with_source(sns, StaticCertificates::new());
    let sdk = aws.sdk();
    let notifier = Notifier::new(&sdk, &config.approver_topic_arn).with_chat(&sdk, config.chat_topic.as_ref());
    ApprovalRequest::new(config, verifier, aws.sdk(), notifier)
}

fn notice() -> Value {
    json!({
        "arn": BUILD,
        "name": "Web",
        "state": { "status": "AVAILABLE" },
        "imageRecipe": { "name": "web", "version": "1.0.0" },
        "sourcePipelineArn": "arn:aws:imagebuilder:eu-west-1:111122223333:image-pipeline/web-weekly",
        "outputResources": { "amis": [
            { "region": "eu-west-1", "image": "ami-0123456789abcdef0", "accountId": "111122223333" },
            { "region": "us-east-1", "image": "ami-0fedcba9876543210", "accountId": "111122223333" },
            { "region": "us-east-1", "image": "ami-0aaaaaaaaaaaaaaaa", "accountId": "444455556666" },
        ]},
    })
}

fn event(message: &Value) -> Value {
    let now = clock::now().replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap();
    lambda_event([Signer::new().sign(notification(TOPIC, &message.to_string(), &now))])
}

async fn invoke(function: &ApprovalRequest, event: Value) -> Result<Vec<ApprovalReport>, Error> {
    function.handle(invocation(event)).await
}

async fn report(function: &ApprovalRequest, message: &Value) -> ApprovalReport {
    invoke(function, event(message)).await.unwrap().remove(0)
}

/// The token in the last mail.
fn token(world: &Shared) -> String {
    let world = world.lock().unwrap();
    let text = &world.mails.last().unwrap().1;
    let link = text.lines().find(|line| line.starts_with("https://")).unwrap();
    link.strip_prefix("https://abc.execute-api.eu-west-1.amazonaws.com/approval?token=").unwrap().to_owned()
}

#[tokio::test]
async fn an_available_image_starts_one_execution_with_all_its_amis_of_this_account() {
    let (world, aws) = world();
    let report = report(&function(&aws, &[]), &notice()).await;
    assert_eq!(report.outcome, ApprovalOutcome::Requested);
    assert_eq!(report.execution_id.as_deref(), Some(EXECUTION));
    // Exactly what is on the wire.
    let parameters = json!({
                    "DocumentName": "ApproveAndShare",
                    "ClientToken": "a34c586f-3aad-8db4-a35d-65055f5ea83d",
                    "Parameters": {
                        "images": ["eu-west-1:ami-0123456789abcdef0", "us-east-1:ami-0fedcba9876543210"],
                        "imageName": ["Web"],
                        "buildArn": [BUILD],
                        "summary": ["Recipe: web 1.0.0. Pipeline: web-weekly"],
                        "imagesText": ["eu-west-1:ami-0123456789abcdef0, us-east-1:ami-0fedcba9876543210"],
                        "receivers": ["444455556666"],
                        "effects": ["snapshots=false"],
                        "receiversText": ["Account 444455556666"],
                    },
                    "Tags": [
                        { "Key": "gatehouse:capability", "Value": "amis" },
                        { "Key": "gatehouse:image-name", "Value": "Web" },
                        { "Key": "gatehouse:build", "Value": "1.0.0/3" },
                        { "Key": "gatehouse:pipeline", "Value": "web-weekly" },
                    ],
    });
    let started = aws.calls_of("StartAutomationExecution");
    let expected = [("ssm", "eu-west-1", "StartAutomationExecution", parameters)];
    assert_eq!(started.iter().map(Call::wire).collect::<Vec<_>>(), expected);
    assert_eq!(world.lock().unwrap().mails, [], "without the link, Systems Manager sends the mail");
}

#[tokio::test]
async fn a_second_delivery_starts_nothing_and_repeats_the_same_link() {
    let (world, aws) = world();
    let function = function(&aws, &LINK);
    for _ in 0..2 {
        assert_eq!(report(&function, &notice()).await.outcome, ApprovalOutcome::Requested);
    }
    let world = world.lock().unwrap();
    assert_eq!(world.executions.len(), 1);
    assert_eq!(world.mails.len(), 2);
    assert_eq!(world.mails[0], world.mails[1]);
}

#[tokio::test]
async fn the_mail_has_a_link_that_the_page_accepts_on_a_line_of_its_own() {
    let (world, aws) = world();
    let report = report(&function(&aws, &LINK), &notice()).await;
    assert_eq!(report.mail.as_deref(), Some("Gatehouse amis: approve Web"));
    let token = verified(&token(&world));
    assert_eq!(token.execution_id(), EXECUTION);
    let began = OffsetDateTime::from_unix_timestamp(world.lock().unwrap().began).unwrap();
    assert_eq!(token.expires_at(), began + Duration::hours(72));
    // A link does not outlive the approval, which ends after 7 days here.
    let settings = [LINK[0], LINK[1], LINK[2], ("LINK_TTL_HOURS", "720")];
    self::report(&function(&aws, &settings), &notice()).await;
    assert_eq!(verified(&self::token(&world)).expires_at(), began + Duration::days(7));
}

/// The token, whose MAC is the one that the key made of its message.
fn verified(text: &str) -> Token {
    let unverified = UnverifiedToken::parse(text).unwrap();
    assert_eq!(unverified.mac(), digest(&SHA256, &unverified.message()).as_ref());
    unverified.after_verification()
}

#[tokio::test]
async fn both_mails_name_the_receivers_and_what_is_done_besides() {
    let (world, aws) = world();
    let settings = [LINK[0], LINK[1], LINK[2], ("SHARE_SNAPSHOTS", "true"), ("LATEST_PARAMETER", "/golden/{name}")];
    report(&function(&aws, &settings), &notice()).await;
    assert!(world.lock().unwrap().mails[0].1.contains(
        "Besides:\n  Snapshots: shared with the accounts\n  Parameter of the latest image: /golden/{name}\n"
    ));
    assert!(world.lock().unwrap().mails[0].1.contains("They will be shared with:\n  Account 444455556666\n"));
    let started = aws.calls_of("StartAutomationExecution").remove(0);
    let parameters = &started.parameters["Parameters"];
    assert_eq!(parameters["receiversText"][0], "Account 444455556666");
    assert_eq!(
        parameters["effectsText"][0],
        "Snapshots: shared with the accounts, Parameter of the latest image: /golden/{name}"
    );
    assert_eq!(parameters["effects"], json!(["snapshots=true", "latest=/golden/{name}"]));
}

#[tokio::test]
async fn lost_replies_and_throttling_change_nothing() {
    for fault in [Reply::Lost, Reply::Error("ThrottlingException"), Reply::Unavailable] {
        for operation in ["StartAutomationExecution", "GetAutomationExecution", "GenerateMac"] {
            let (world, aws) = world();
            world.lock().unwrap().faults = vec![(operation, 1, fault.clone())];
            let case = format!("{operation} {fault:?}");
            assert_eq!(report(&function(&aws, &LINK), &notice()).await.outcome, ApprovalOutcome::Requested, "{case}");
            assert_eq!(world.lock().unwrap().executions.len(), 1, "{case}");
            verified(&token(&world));
        }
    }
}

#[tokio::test]
async fn a_new_execution_that_is_not_found_yet_is_asked_for_again() {
    let (world, aws) = world();
    world.lock().unwrap().faults =
        vec![("GetAutomationExecution", 2, Reply::Error("AutomationExecutionNotFoundException"))];
    report(&function(&aws, &LINK), &notice()).await;
    assert_eq!(aws.calls_of("GetAutomationExecution").len(), 3);
    assert_eq!(world.lock().unwrap().mails.len(), 1);
}

#[tokio::test]
async fn other_parameters_under_the_same_token_start_nothing_and_are_told() {
    let (world, aws) = world();
    let function = function(&aws, &[]);
    report(&function, &notice()).await;
    let mut other = notice();
    other["name"] = "Renamed".into();
    let report = report(&function, &other).await;
    assert_eq!(report.outcome, ApprovalOutcome::NotRequested);
    assert!(report.reason.unwrap().contains("IdempotentParameterMismatch"));
    let world = world.lock().unwrap();
    assert_eq!((world.executions.len(), world.mails.len()), (1, 1));
    assert_eq!(world.mails[0].0, "Gatehouse amis: Renamed was not requested");
}

#[tokio::test]
async fn two_documents_ask_each_for_itself() {
    let (world, aws) = world();
    for document in ["One", "Other"] {
        report(&function(&aws, &[("AUTOMATION_DOCUMENT", document)]), &notice()).await;
    }
    let tokens: std::collections::BTreeSet<String> =
        world.lock().unwrap().executions.iter().map(|(token, _)| token.clone()).collect();
    assert_eq!(tokens.len(), 2);
}

/// A table of who hears of what.
#[tokio::test]
async fn what_has_ended_when_the_notice_comes_again_is_told_unless_it_was_shared() {
    for (status, approval, mails) in [
        ("Success", "Success", 0),
        ("Rejected", "Rejected", 1),
        ("TimedOut", "TimedOut", 1),
        ("Cancelled", "Cancelled", 1),
        ("Failed", "Success", 1),
    ] {
        for settings in [&LINK[..], &[]] {
            let (world, aws) = world();
            world.lock().unwrap().status = status;
            world.lock().unwrap().approval = Some(approval);
            let report = report(&function(&aws, settings), &notice()).await;
            assert!(report.reason.is_some(), "{status}");
            let world = world.lock().unwrap();
            assert_eq!(world.mails.len(), mails, "{status}");
            assert!(world.mails.iter().all(|(_, text)| text.contains(&format!("'{{\"again\": \"{EXECUTION}\"}}'"))));
            assert!(world.mails.iter().all(|(_, text)| !text.contains("token=")), "no link is sent");
        }
    }
    let (world, aws) = world();
    world.lock().unwrap().began -= 73 * 3_600;
    let report = report(&function(&aws, &LINK), &notice()).await;
    assert!(report.reason.unwrap().contains("expired"));
    let (_, text) = world.lock().unwrap().mails.remove(0);
    assert!(!text.contains("token=") && text.contains("Decide in the console"), "{text}");
}

fn ended(status: &str) -> Value {
    json!({
        "detail-type": "EC2 Automation Execution Status-change Notification",
        "detail": { "ExecutionId": EXECUTION, "Definition": "ApproveAndShare", "Status": status },
    })
}

#[tokio::test]
async fn the_end_of_an_approval_is_told_with_the_command_that_asks_again() {
    for (status, approval, subject) in [
        ("Rejected", "Rejected", "Gatehouse amis: Web was rejected"),
        ("TimedOut", "TimedOut", "Gatehouse amis: Web was not approved in time"),
        ("Cancelled", "Cancelled", "Gatehouse amis: Web is not approved"),
        ("Failed", "Success", "Gatehouse amis: Web was approved, and sharing ended as Failed"),
    ] {
        let (world, aws) = world();
        world.lock().unwrap().status = status;
        world.lock().unwrap().approval = Some(approval);
        let report = invoke(&function(&aws, &[]), ended(status)).await.unwrap().remove(0);
        assert_eq!((report.outcome, report.after_execution_id.as_deref()), (ApprovalOutcome::Ended, Some(EXECUTION)));
        let (found, text) = world.lock().unwrap().mails.remove(0);
        assert_eq!(found, subject);
        let command = format!(
            "aws lambda invoke --function-name gatehouse --region eu-west-1 --cli-binary-format \
             raw-in-base64-out --payload '{{\"again\": \"{EXECUTION}\"}}' /dev/stdout"
        );
        assert!(text.contains(&command), "{text}");
    }
    // One that was started by hand, without the tag that the rights are bound to.
    let (world, aws) = world();
    world.lock().unwrap().faults = vec![("GetAutomationExecution", 9, Reply::Error("AccessDeniedException"))];
    invoke(&function(&aws, &[]), ended("TimedOut")).await.unwrap();
    assert!(world.lock().unwrap().mails[0].1.contains("started by hand"));
}

#[tokio::test]
async fn asking_again_starts_a_fresh_execution_once_for_each_that_ended() {
    let (world, aws) = world();
    let function = function(&aws, &LINK);
    report(&function, &notice()).await;
    let first = world.lock().unwrap().executions[0].clone();
    world.lock().unwrap().status = "Rejected";
    // The fresh one waits, of course.
    let state = world.clone();
    let asked = Aws::new(move |call| {
        let mut world = state.lock().unwrap();
        if call.operation == "StartAutomationExecution" {
            world.status = "Waiting";
        }
        world.answer(call)
    });
    drop(function);
    let function = self::function(&asked, &LINK);
    for _ in 0..2 {
        world.lock().unwrap().status = "Rejected";
        let report = invoke(&function, json!({ "again": EXECUTION })).await.unwrap().remove(0);
        assert_eq!((report.outcome, report.execution_id.as_deref()), (ApprovalOutcome::Requested, Some(EXECUTION)));
    }
    let world = world.lock().unwrap();
    assert_eq!(world.executions.len(), 2, "the second delivery of the question finds the execution of the first");
    let second = &world.executions[1];
    assert_ne!(first.0, second.0);
    for name in ["images", "imageName", "buildArn", "receivers", "effects"] {
        assert_eq!(first.1["Parameters"][name], second.1["Parameters"][name], "{name}");
    }
    assert_eq!(
        second.1["Tags"],
        json!([
            { "Key": "gatehouse:capability", "Value": "amis" },
            { "Key": "gatehouse:pipeline", "Value": "web-weekly" },
        ])
    );
    assert!(world.mails.last().unwrap().1.contains("token=v2."), "{:?}", world.mails.last());
}

#[tokio::test]
async fn asking_again_is_refused_where_it_makes_no_sense_and_that_is_told() {
    for (status, approval, reason) in [
        ("Waiting", "Waiting", "it still waits"),
        ("InProgress", "Success", "sharing goes on"),
        ("Success", "Success", "the image is shared"),
    ] {
        let (world, aws) = world();
        world.lock().unwrap().status = status;
        world.lock().unwrap().approval = Some(approval);
        let report = invoke(&function(&aws, &[]), json!({ "again": EXECUTION })).await.unwrap().remove(0);
        assert_eq!(report.outcome, ApprovalOutcome::NotRequested);
        assert!(report.reason.unwrap().contains(reason));
        assert_eq!(world.lock().unwrap().executions.len(), 0);
        assert!(world.lock().unwrap().mails[0].1.contains(reason));
    }
    let (world, aws) = world();
    let other = function(&aws, &[("AUTOMATION_DOCUMENT", "Other")]);
    world.lock().unwrap().status = "Rejected";
    let report = invoke(&other, json!({ "again": EXECUTION })).await.unwrap().remove(0);
    assert!(report.reason.unwrap().contains("of the document ApproveAndShare"));
}

const MARK: [(&str, &str); 1] = [("APPROVED_WATERMARK", "approved")];

#[tokio::test]
async fn an_inherited_watermark_is_detached_at_the_notice_and_when_it_ended() {
    let key = "111122223333:approved".to_owned();
    let marks = vec![
        ("eu-west-1:ami-0123456789abcdef0".to_owned(), key.clone(), "ami-00000000".to_owned()),
        ("us-east-1:ami-0fedcba9876543210".to_owned(), key, "ami-0fedcba9876543210".to_owned()),
    ];
    for (event, status) in
        [(event(&notice()), "Waiting"), (ended("Rejected"), "Rejected"), (ended("TimedOut"), "TimedOut")]
    {
        let (world, aws) = world();
        world.lock().unwrap().watermarks.clone_from(&marks);
        world.lock().unwrap().status = status;
        invoke(&function(&aws, &MARK), event).await.unwrap();
        assert_eq!(world.lock().unwrap().watermarks, marks[1..], "its own mark stays");
        let operations = aws.operations();
        let at = |name: &str| operations.iter().position(|operation| operation == name);
        assert!(
            at("DetachImageWatermark") < at("StartAutomationExecution") || at("StartAutomationExecution").is_none()
        );
    }
    // After an approval, the share function attaches it anew.
    let (world, aws) = world();
    world.lock().unwrap().watermarks = marks;
    world.lock().unwrap().status = "Failed";
    world.lock().unwrap().approval = Some("Success");
    invoke(&function(&aws, &MARK), ended("Failed")).await.unwrap();
    assert_eq!(aws.calls_of("DetachImageWatermark"), []);
}

#[tokio::test]
async fn a_watermark_that_cannot_be_detached_is_told_and_tried_again() {
    let (world, aws) = world();
    world.lock().unwrap().watermarks = vec![(
        "eu-west-1:ami-0123456789abcdef0".to_owned(),
        "111122223333:approved".to_owned(),
        "ami-00000000".to_owned(),
    )];
    world.lock().unwrap().faults = vec![("DetachImageWatermark", 9, Reply::Error("UnauthorizedOperation"))];
    let error = invoke(&function(&aws, &MARK), event(&notice())).await.unwrap_err();
    assert_eq!(error.error_type(), "Watermark");
    let world = world.lock().unwrap();
    assert_eq!(world.executions.len(), 1, "it is asked for all the same");
    assert!(world.mails[0].0.contains("inherited watermark") && world.mails[0].1.contains("DetachImageWatermark"));
}

#[tokio::test]
async fn what_is_no_available_ami_of_this_account_is_told_and_starts_nothing() {
    let with = |pointer: &str, value: Value| {
        let mut notice = notice();
        *notice.pointer_mut(pointer).unwrap() = value;
        notice
    };
    let many: Value = (0..51).map(|n| json!({ "region": "eu-west-1", "image": format!("ami-{n:08x}") })).collect();
    let cases = [
        (with("/state", json!({ "status": "FAILED", "reason": "no disk" })), "Web FAILED", "Reason: no disk"),
        (with("/state", json!({ "status": "CANCELLED" })), "Web CANCELLED", "status CANCELLED"),
        (with("/outputResources", json!({})), "Web has no AMI", "container image"),
        (
            with(
                "/outputResources/amis",
                json!([{ "region": "eu-west-1", "image": "ami-11111111", "accountId": "444455556666" }]),
            ),
            "Web is already distributed",
            "account 444455556666",
        ),
        (with("/outputResources/amis", many), "Web has too many AMIs to approve", "eu-west-1  ami-00000032"),
    ];
    for (notice, subject, part) in cases {
        let (world, aws) = world();
        let report = report(&function(&aws, &LINK), &notice).await;
        assert_ne!(report.outcome, ApprovalOutcome::Requested, "{subject}");
        let world = world.lock().unwrap();
        assert_eq!(world.mails.len(), 1, "{subject}");
        assert_eq!(world.mails[0].0, format!("Gatehouse amis: {subject}"));
        assert!(world.mails[0].1.contains(part), "{part} is missing in: {}", world.mails[0].1);
        assert_eq!(aws.operations(), ["Publish"], "{subject}");
    }
}

#[tokio::test]
async fn a_dry_run_calls_nothing() {
    let (_, aws) = world();
    let mut failed = notice();
    failed["state"] = json!({ "status": "FAILED" });
    let function = function(&aws, &[LINK[0], LINK[1], LINK[2], ("DRY_RUN", "true")]);
    assert_eq!(report(&function, &notice()).await.outcome, ApprovalOutcome::Planned);
    assert_eq!(report(&function, &failed).await.outcome, ApprovalOutcome::NothingToApprove);
    assert_eq!(aws.calls(), []);
}

#[tokio::test]
async fn failures_say_what_to_do_and_are_delivered_again() {
    let cases = [
        (
            ("StartAutomationExecution", "AccessDeniedException"),
            "Automation",
            "calling StartAutomationExecution; allow this in the function's role",
        ),
        (
            ("StartAutomationExecution", "AutomationDefinitionNotFoundException"),
            "Automation",
            "calling StartAutomationExecution; set AUTOMATION_DOCUMENT to a document of this account and Region",
        ),
        (
            ("StartAutomationExecution", "AutomationExecutionLimitExceededException"),
            "Automation",
            "calling StartAutomationExecution; too many executions run; it is tried again when the notice is delivered again",
        ),
        (
            ("GenerateMac", "AccessDeniedException"),
            "Key",
            "the key arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab of the links \
             (LINK_KEY_ARN) cannot be used; allow this in the function's role",
        ),
        (
            ("GenerateMac", "DisabledException"),
            "Key",
            "the key arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab of the links \
             (LINK_KEY_ARN) cannot be used; enable it, or deploy the stack with a new one",
        ),
        (
            ("Publish", "AuthorizationError"),
            "Notify",
            "publishing to APPROVER_TOPIC_ARN; it is tried again when the notice is delivered again",
        ),
    ];
    for ((operation, code), error_type, text) in cases {
        let (world, aws) = world();
        world.lock().unwrap().faults = vec![(operation, 9, Reply::Error(code))];
        let function = function(&aws, &LINK);
        let error = invoke(&function, event(&notice())).await.unwrap_err();
        assert_eq!(error.error_type(), error_type);
        assert!(chain(&error).starts_with(text), "{}", chain(&error));
        // The next delivery finds its way.
        world.lock().unwrap().faults.clear();
        assert_eq!(report(&function, &notice()).await.outcome, ApprovalOutcome::Requested, "{operation}");
        let world = world.lock().unwrap();
        assert_eq!((world.executions.len(), world.mails.len()), (1, 1), "{operation}");
    }
}

#[tokio::test]
async fn what_sns_did_not_sign_is_refused() {
    let (_, aws) = world();
    let mut forged = event(&notice());
    forged["Records"][0]["Sns"]["Message"] = notice().to_string().replace("ami-0123", "ami-9999").into();
    let error = invoke(&function(&aws, &[]), forged).await.unwrap_err();
    assert_eq!(error.error_type(), "Refused");
    for payload in [json!({}), json!({ "Records": [] }), json!({ "Records": [{ "body": "{}" }] })] {
        assert_eq!(invoke(&function(&aws, &[]), payload).await.unwrap_err().error_type(), "InvalidEvent");
    }
    let error = invoke(&function(&aws, &[]), event(&json!("hello"))).await.unwrap_err();
    assert_eq!(error.error_type(), "InvalidEvent");
    assert_eq!(aws.calls(), []);
}

#[tokio::test]
async fn one_bad_message_does_not_keep_back_the_others() {
    let (world, aws) = world();
    let mut both = event(&json!("hello"));
    let good = event(&notice())["Records"][0].clone();
    both["Records"].as_array_mut().unwrap().push(good);
    let error = invoke(&function(&aws, &[]), both).await.unwrap_err();
    assert_eq!(error.error_type(), "InvalidEvent");
    assert_eq!(world.lock().unwrap().executions.len(), 1);
}

#[tokio::test]
async fn without_time_nothing_begins() {
    let (_, aws) = world();
    let event = LambdaEvent::new(event(&notice()), context(std::time::Duration::ZERO));
    let error = function(&aws, &[]).handle(event).await.unwrap_err();
    assert_eq!(error.error_type(), "OutOfTime");
}

/// The real deliveries, whose signatures are example values.
#[tokio::test]
async fn real_deliveries_start_what_they_say() {
    for (name, account, images) in [
        ("available-accounts", "123456789012", vec!["us-east-1:ami-0260900d063de06d6"]),
        ("available-linux", "123456789012", vec!["ap-southeast-2:ami-066e5a16212730635"]),
    ] {
        let Some(file) = real(&format!("lambda-events/sns-imagebuilder-{name}.json")) else { return };
        let event: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let topic = event["Records"][0]["Sns"]["TopicArn"].as_str().unwrap().to_owned();
        let (world, aws) = world();
        let table = [
            ("APPROVER_TOPIC_ARN", APPROVERS),
            ("AUTOMATION_DOCUMENT", "ApproveAndShare"),
            ("TOPIC_ARNS", &topic),
            ("SNS_VERIFY", "off"),
            ("TARGET_ACCOUNT_IDS", "444455556666"),
        ];
        let env = Env::of_table(&table);
        let (config, sns) = env.read(|env| Config::from_env(env).zip(verifier::settings(env))).unwrap();
        let notifier = Notifier::new(&aws.sdk(), &config.approver_topic_arn);
        let verifier = Verifier::with_source(sns, StaticCertificates::new());
        let function = ApprovalRequest::new(config, verifier, aws.sdk(), notifier);
        let mut event = invocation(event);
        event.context.invoked_function_arn = format!("arn:aws:lambda:us-east-1:{account}:function:x");
        let reports = function.handle(event).await.unwrap();
        assert_eq!(reports[0].images, images, "{name}");
        assert_eq!(world.lock().unwrap().executions.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn chat_asks_for_the_approval_without_the_link_and_hears_the_end_in_the_thread_of_the_build() {
    let chat = ("CHAT_TOPIC_ARN", CHAT);
    for settings in [&[chat][..], &[LINK[0], LINK[1], LINK[2], chat]] {
        let (world, aws) = world();
        let function = function(&aws, settings);
        report(&function, &notice()).await;
        world.lock().unwrap().status = "TimedOut";
        let ended = json!({ "source": "aws.ssm", "detail-type": "EC2 Automation Execution Status-change Notification",
                            "detail": { "ExecutionId": EXECUTION, "Status": "TimedOut" } });
        invoke(&function, ended).await.unwrap();
        let world = world.lock().unwrap();
        let [asked, ended] = &world.shown[..] else { panic!("{:?}", world.shown) };
        assert_eq!(world.mails.len(), settings.len().min(2), "Systems Manager sends the mail without a link");
        for message in [asked, ended] {
            assert_eq!(message["metadata"]["threadId"], BUILD);
            assert!(!message.to_string().contains("token="), "{message}");
        }
        assert_eq!(asked["content"]["title"], "Gatehouse amis: approve Web");
        assert!(asked["content"]["nextSteps"][0].as_str().unwrap().ends_with("|Approve or reject>"), "{asked}");
        assert!(ended["content"]["title"].as_str().unwrap().contains("was not approved in time"), "{ended}");
    }
}

#[tokio::test]
async fn a_chat_that_refuses_loses_no_mail_and_fails_nothing() {
    let (world, aws) = world();
    let function = function(&aws, &[LINK[0], LINK[1], LINK[2], ("CHAT_TOPIC_ARN", CHAT)]);
    report(&function, &notice()).await;
    assert_eq!(aws.calls_of("Publish").len(), 2);
    // The mail is the first call, chat the second one.
    let calls = aws.calls_of("Publish");
    assert_eq!((calls[0].text("TopicArn"), calls[1].text("TopicArn")), (APPROVERS, CHAT));
    let refusing = Aws::new(move |call| match (call.operation.as_str(), call.text("TopicArn")) {
        ("Publish", CHAT) => Reply::Error("AuthorizationError"),
        _ => world.lock().unwrap().answer(call),
    });
    let function = self::function(&refusing, &[LINK[0], LINK[1], LINK[2], ("CHAT_TOPIC_ARN", CHAT)]);
    assert_eq!(report(&function, &notice()).await.mail.as_deref(), Some("Gatehouse amis: approve Web"));
    assert_eq!(refusing.calls_of("Publish").len(), 2);
}
