//! Whole invocations against a Systems Manager that behaves like AWS's: a client token starts one execution, a parameter
//! is made once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::fs;
use std::sync::{Arc, Mutex};

use ami_approval::link::{Key, Token};
use ami_approval::testing::{Call, FakeAws, Reply};
use ami_approval_request::ApprovalRequest;
use ami_approval_request::config::Config;
use ami_approval_request::error::Error;
use ami_approval_request::report::{Outcome, Report};
use gatehouse_shared::clock;
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sns::Verifier;
use gatehouse_shared::testing::{Signer, StaticCertificates, lambda_event, notification, real};
use gatehouse_shared::verifier;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

const EXECUTION: &str = "333ba70b-2333-48db-b17e-a5e69c6f4d1c";
const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:image-builder";
const APPROVERS: &str = "arn:aws:sns:eu-west-1:111122223333:Automation-approvers";
const BUILD: &str = "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3";
const LINK: [(&str, &str); 3] = [
    ("APPROVAL_LINK", "true"),
    ("APPROVAL_PAGE_URL", "https://abc.execute-api.eu-west-1.amazonaws.com/approval"),
    ("LINK_KEY_PARAMETER", "/gatehouse/amis/link-key"),
];

/// What Systems Manager and SNS know.
#[derive(Default)]
struct World {
    /// Client token and parameters of the executions that were started.
    executions: Vec<(String, Value)>,
    began: i64,
    status: &'static str,
    key: Option<String>,
    mails: Vec<(String, String)>,
    /// The operation, how often it fails, and with what.
    faults: Vec<(&'static str, usize, Reply)>,
}

type Shared = Arc<Mutex<World>>;

fn world() -> (Shared, FakeAws) {
    let began = clock::now().unix_timestamp() - 60;
    let world = Arc::new(Mutex::new(World { began, status: "Waiting", ..World::default() }));
    let state = world.clone();
    (world, FakeAws::new(move |call| state.lock().unwrap().answer(call)))
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
            "GetAutomationExecution" => Reply::Json(json!({ "AutomationExecution": {
                "AutomationExecutionId": call.text("AutomationExecutionId"),
                "AutomationExecutionStatus": self.status,
                "ExecutionStartTime": self.began,
            }})),
            "GetParameter" => {
                assert_eq!(call.parameters["WithDecryption"], true);
                match &self.key {
                    Some(key) => Reply::Json(json!({ "Parameter": { "Name": call.text("Name"), "Value": key } })),
                    None => Reply::Error("ParameterNotFound"),
                }
            }
            "PutParameter" => {
                assert_ne!(call.parameters["Overwrite"], true);
                if self.key.is_some() {
                    return Reply::Error("ParameterAlreadyExists");
                }
                self.key = Some(call.text("Value").to_owned());
                Reply::Json(json!({ "Version": 1 }))
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

fn function(aws: &FakeAws, settings: &[(&str, &str)]) -> ApprovalRequest {
    let mut table =
        vec![("APPROVER_TOPIC_ARN", APPROVERS), ("AUTOMATION_DOCUMENT", "ApproveAndShare"), ("TOPIC_ARNS", TOPIC)];
    table.extend(settings);
    let env = Env::of_table(&table);
    let (config, sns) = env.finish((Config::from_env(&env), verifier::settings(&env))).unwrap();
    let verifier = Verifier::with_source(sns, StaticCertificates::new());
    let notifier = Notifier::new(&aws.sdk(), &config.approver_topic_arn);
    ApprovalRequest::new(config, verifier, aws_sdk_ssm::Client::new(&aws.sdk()), notifier)
}

fn context() -> Context {
    let mut context = Context::default();
    context.invoked_function_arn = "arn:aws:lambda:eu-west-1:111122223333:function:ami-approval-request".to_owned();
    context.deadline = u64::try_from((clock::now() + Duration::MINUTE).unix_timestamp() * 1_000).unwrap();
    context
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

async fn invoke(function: &ApprovalRequest, event: Value) -> Result<Vec<Report>, Error> {
    function.handle(LambdaEvent::new(event, context())).await
}

async fn report(function: &ApprovalRequest, message: &Value) -> Report {
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
    assert_eq!(report.outcome, Outcome::Requested);
    assert_eq!(report.execution_id.as_deref(), Some(EXECUTION));
    // Exactly what is on the wire.
    assert_eq!(
        aws.calls(),
        [Call {
            service: "ssm".to_owned(),
            region: "eu-west-1".to_owned(),
            operation: "StartAutomationExecution".to_owned(),
            parameters: json!({
                "DocumentName": "ApproveAndShare",
                "ClientToken": "3d0fa3ef-0901-8ebe-a4e0-7b498e3c2f75",
                "Parameters": {
                    "images": ["eu-west-1:ami-0123456789abcdef0", "us-east-1:ami-0fedcba9876543210"],
                    "imageName": ["Web"],
                    "buildArn": [BUILD],
                    "summary": ["Recipe: web 1.0.0. Pipeline: web-weekly"],
                },
                "Tags": [
                    { "Key": "gatehouse:capability", "Value": "amis" },
                    { "Key": "gatehouse:image-name", "Value": "Web" },
                    { "Key": "gatehouse:build", "Value": "1.0.0/3" },
                    { "Key": "gatehouse:pipeline", "Value": "web-weekly" },
                ],
            }),
        }]
    );
    assert_eq!(world.lock().unwrap().mails, [], "without the link, Systems Manager sends the mail");
}

#[tokio::test]
async fn a_second_delivery_starts_nothing_and_repeats_the_same_link() {
    let (world, aws) = world();
    let function = function(&aws, &LINK);
    for _ in 0..2 {
        assert_eq!(report(&function, &notice()).await.outcome, Outcome::Requested);
    }
    let world = world.lock().unwrap();
    assert_eq!(world.executions.len(), 1);
    assert_eq!(world.mails.len(), 2);
    assert_eq!(world.mails[0], world.mails[1]);
    assert_eq!(aws.calls_of("PutParameter").len(), 1, "the key is made once");
}

#[tokio::test]
async fn the_mail_has_a_link_that_the_page_accepts_on_a_line_of_its_own() {
    let (world, aws) = world();
    let report = report(&function(&aws, &LINK), &notice()).await;
    assert_eq!(report.mail.as_deref(), Some("Gatehouse amis: approve Web"));
    let key = Key::from_base64(world.lock().unwrap().key.as_deref().unwrap()).unwrap();
    let token = Token::verify(&token(&world), [&key], clock::now()).unwrap();
    assert_eq!(token.execution_id(), EXECUTION);
    let began = OffsetDateTime::from_unix_timestamp(world.lock().unwrap().began).unwrap();
    assert_eq!(token.expires_at(), began + Duration::hours(72));
}

#[tokio::test]
async fn the_key_is_made_as_a_secret_without_overwriting() {
    let (_, aws) = world();
    report(&function(&aws, &LINK), &notice()).await;
    let put = aws.calls_of("PutParameter").remove(0);
    assert_eq!(put.text("Name"), "/gatehouse/amis/link-key");
    assert_eq!(put.text("Type"), "SecureString");
    assert_eq!(put.parameters["Overwrite"], false);
    assert!(Key::from_base64(put.text("Value")).is_ok());
}

#[tokio::test]
async fn the_key_of_a_faster_execution_is_used() {
    let (world, aws) = world();
    // The key is not there when it is looked for, and there when it is written.
    let other = Key::generate_base64();
    world.lock().unwrap().faults = vec![("GetParameter", 1, Reply::Error("ParameterNotFound"))];
    world.lock().unwrap().key = Some(other.clone());
    report(&function(&aws, &LINK), &notice()).await;
    assert_eq!(world.lock().unwrap().key.as_deref(), Some(other.as_str()));
    let key = Key::from_base64(&other).unwrap();
    assert!(Token::verify(&token(&world), [&key], clock::now()).is_ok());
}

#[tokio::test]
async fn lost_replies_and_throttling_change_nothing() {
    for fault in [Reply::Lost, Reply::Error("ThrottlingException"), Reply::Unavailable] {
        for operation in ["StartAutomationExecution", "GetAutomationExecution", "GetParameter", "PutParameter"] {
            let (world, aws) = world();
            world.lock().unwrap().faults = vec![(operation, 1, fault.clone())];
            let case = format!("{operation} {fault:?}");
            assert_eq!(report(&function(&aws, &LINK), &notice()).await.outcome, Outcome::Requested, "{case}");
            assert_eq!(world.lock().unwrap().executions.len(), 1, "{case}");
            let key = Key::from_base64(world.lock().unwrap().key.as_deref().unwrap()).unwrap();
            assert!(Token::verify(&token(&world), [&key], clock::now()).is_ok(), "{case}");
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
async fn other_parameters_under_the_same_token_are_final() {
    let (world, aws) = world();
    let function = function(&aws, &LINK);
    report(&function, &notice()).await;
    let mut other = notice();
    other["name"] = "Renamed".into();
    let report = report(&function, &other).await;
    assert_eq!(report.outcome, Outcome::NotRequested);
    assert!(report.reason.unwrap().contains("IdempotentParameterMismatch"));
    let world = world.lock().unwrap();
    assert_eq!((world.executions.len(), world.mails.len()), (1, 1));
}

#[tokio::test]
async fn no_link_is_sent_when_nothing_can_be_decided_any_more() {
    for status in ["Success", "Rejected", "TimedOut", "Cancelled", "Failed"] {
        let (world, aws) = world();
        world.lock().unwrap().status = status;
        let report = report(&function(&aws, &LINK), &notice()).await;
        assert_eq!(report.reason.as_deref(), Some("the execution has ended: no link is sent"), "{status}");
        assert_eq!(world.lock().unwrap().mails, [], "{status}");
    }
    let (world, aws) = world();
    world.lock().unwrap().began -= 73 * 3_600;
    let report = report(&function(&aws, &LINK), &notice()).await;
    assert!(report.reason.unwrap().contains("expired"));
    assert_eq!(world.lock().unwrap().mails, []);
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
        assert_ne!(report.outcome, Outcome::Requested, "{subject}");
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
    assert_eq!(report(&function, &notice()).await.outcome, Outcome::Planned);
    assert_eq!(report(&function, &failed).await.outcome, Outcome::NothingToApprove);
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
            ("GetParameter", "AccessDeniedException"),
            "Key",
            "the key in the parameter /gatehouse/amis/link-key cannot be used; allow this in the function's role",
        ),
        (
            ("PutParameter", "AccessDeniedException"),
            "Key",
            "the key in the parameter /gatehouse/amis/link-key cannot be used; allow this in the function's role",
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
        assert_eq!(report(&function, &notice()).await.outcome, Outcome::Requested, "{operation}");
        let world = world.lock().unwrap();
        assert_eq!((world.executions.len(), world.mails.len()), (1, 1), "{operation}");
    }
}

#[tokio::test]
async fn a_key_that_was_spoiled_makes_no_link() {
    let (world, aws) = world();
    world.lock().unwrap().key = Some("c2hvcnQ=".to_owned());
    let error = invoke(&function(&aws, &LINK), event(&notice())).await.unwrap_err();
    assert_eq!(error.error_type(), "Key");
    assert!(!chain(&error).contains("c2hvcnQ"), "{}", chain(&error));
    assert_eq!(world.lock().unwrap().mails, []);
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
    let mut context = context();
    context.deadline = u64::try_from(clock::now().unix_timestamp() * 1_000).unwrap();
    let function = function(&aws, &[]);
    let error = function.handle(LambdaEvent::new(event(&notice()), context)).await.unwrap_err();
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
        ];
        let env = Env::of_table(&table);
        let (config, sns) = env.finish((Config::from_env(&env), verifier::settings(&env))).unwrap();
        let notifier = Notifier::new(&aws.sdk(), &config.approver_topic_arn);
        let verifier = Verifier::with_source(sns, StaticCertificates::new());
        let function = ApprovalRequest::new(config, verifier, aws_sdk_ssm::Client::new(&aws.sdk()), notifier);
        let mut context = context();
        context.invoked_function_arn = format!("arn:aws:lambda:us-east-1:{account}:function:x");
        let reports = function.handle(LambdaEvent::new(event, context)).await.unwrap();
        assert_eq!(reports[0].images, images, "{name}");
        assert_eq!(world.lock().unwrap().executions.len(), 1, "{name}");
    }
}
