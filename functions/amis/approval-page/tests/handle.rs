//! Whole requests against a Systems Manager with one execution that waits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::sync::{Arc, Mutex};

use ami_approval::link::Token;
use ami_approval_page::ApprovalPage;
use ami_approval_page::config::Config;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gatehouse_shared::clock;
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::ErrorType as _;
use gatehouse_testkit::{Aws, Call, Reply, context, invocation};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

const EXECUTION: &str = "333ba70b-2333-48db-b17e-a5e69c6f4d1c";
const UNKNOWN: &str = "00000000-2333-48db-b17e-a5e69c6f4d1c";
const PAGE: &str = "arn:aws:sts::111122223333:assumed-role/page/ami-approval-page";
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
/// What AWS KMS does with the key of the links: the MAC of a message, and that of another key.
const OWN: u8 = 0x5a;
const OTHER: u8 = 0xa5;

struct World {
    began: i64,
    share: &'static str,
    step: &'static str,
    needed: usize,
    votes: Vec<(String, bool)>,
    /// Whether the outputs of the step show the votes, which AWS does not document.
    shows_votes: bool,
    name: String,
    faults: Vec<(&'static str, usize, Reply)>,
}

type Shared = Arc<Mutex<World>>;

fn world() -> (Shared, Aws) {
    let world = Arc::new(Mutex::new(World {
        began: clock::now().unix_timestamp() - 60,
        share: "Pending",
        step: "Waiting",
        needed: 1,
        votes: vec![],
        shows_votes: true,
        name: "Web".to_owned(),
        faults: vec![],
    }));
    let state = world.clone();
    (world, Aws::new(move |call| state.lock().unwrap().answer(call)))
}

impl World {
    fn answer(&mut self, call: &Call) -> Reply {
        let operation = call.operation.as_str();
        if let Some(fault) = self.faults.iter_mut().find(|(name, left, _)| *name == operation && *left > 0) {
            fault.1 -= 1;
            let reply = fault.2.clone();
            if matches!(reply, Reply::Lost) {
                self.effect(call);
            }
            return reply;
        }
        self.effect(call)
    }

    fn effect(&mut self, call: &Call) -> Reply {
        match call.operation.as_str() {
            "VerifyMac" => {
                assert_eq!((call.text("KeyId"), call.text("MacAlgorithm")), (KEY, "HMAC_SHA_256"));
                let bytes = |name| BASE64_STANDARD.decode(call.text(name)).unwrap();
                if mac(&bytes("Message"), OWN).as_ref() == bytes("Mac") {
                    Reply::Json(json!({ "KeyId": KEY, "MacValid": true, "MacAlgorithm": "HMAC_SHA_256" }))
                } else {
                    Reply::Error("KMSInvalidMacException")
                }
            }
            "GetAutomationExecution" if call.text("AutomationExecutionId") != EXECUTION => {
                Reply::Error("AutomationExecutionNotFoundException")
            }
            "GetAutomationExecution" => Reply::Json(json!({ "AutomationExecution": self.execution() })),
            "SendAutomationSignal" => self.signal(call),
            "DescribeImages" => Reply::Xml(format!(
                "<imagesSet><item><imageId>{}</imageId><scanResults><highestFindingSeverityLabel>high\
                 </highestFindingSeverityLabel></scanResults></item></imagesSet>",
                call.text("ImageId.1")
            )),
            other => panic!("{other} is not expected"),
        }
    }

    fn execution(&self) -> Value {
        let votes: Vec<String> = self
            .votes
            .iter()
            .map(|(who, yes)| {
                json!({ "Approver": who, "Decision": if *yes { "Approve" } else { "Reject" } }).to_string()
            })
            .collect();
        json!({
            "AutomationExecutionId": EXECUTION,
            "AutomationExecutionStatus": match (self.step, self.share) {
                ("Waiting", _) => "Waiting",
                ("Success", "Success" | "Failed") => self.share,
                _ => "InProgress",
            },
            "DocumentName": "approval",
            "ExecutionStartTime": self.began,
            "Parameters": {
                "receivers": ["444455556666"],
                "effects": ["snapshots=false"],
                "images": ["eu-west-1:ami-11111111", "us-east-1:ami-22222222"],
                "imageName": [self.name],
                "buildArn": ["arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3"],
                "summary": ["Recipe: web 1.0.0"],
            },
            "StepExecutions": [{
                "StepName": "Approve",
                "Action": "aws:approve",
                "StepStatus": self.step,
                "TimeoutSeconds": 604_800,
                "ExecutionStartTime": self.began,
                "Inputs": { "MinRequiredApprovals": self.needed.to_string() },
                "Outputs": if self.shows_votes { json!({ "approverDecisions": votes }) } else { json!({}) },
            }],
        })
    }

    /// Each principal has one vote; a signal that nobody waits for is invalid.
    fn signal(&mut self, call: &Call) -> Reply {
        if self.step != "Waiting" || self.votes.iter().any(|(who, _)| who == PAGE) {
            return Reply::Error("InvalidAutomationSignalException");
        }
        let approves = call.text("SignalType") == "Approve";
        self.votes.push((PAGE.to_owned(), approves));
        if !approves {
            self.step = "Rejected";
        } else if self.votes.iter().filter(|(_, yes)| *yes).count() >= self.needed {
            self.step = "Success";
        }
        Reply::Json(json!({}))
    }
}

fn function(aws: &Aws, settings: &[(&str, &str)]) -> ApprovalPage {
    let mut table = vec![("LINK_KEY_ARN", KEY), ("PAGE_ROLE_ARN", "arn:aws:iam::111122223333:role/page")];
    table.extend(settings);
    let env = Env::of_table(&table);
    let config = env.read(Config::from_env).unwrap();
    let sdk = aws.sdk();
    let kms = aws_sdk_kms::Client::new(&sdk);
    ApprovalPage::new(config, aws_sdk_ssm::Client::new(&sdk), kms, aws_sdk_ec2::Client::new(&sdk))
}

fn mac(message: &[u8], key: u8) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[key; 32]), message)
}

fn token_at(execution: &str, key: u8, expires_at: OffsetDateTime) -> String {
    let token = Token::new(execution, expires_at).unwrap();
    token.with_mac(mac(&token.message(), key).as_ref())
}

fn token_of(execution: &str, key: u8, hours: i64) -> String {
    token_at(execution, key, clock::now() + Duration::hours(hours))
}

fn token() -> String {
    token_of(EXECUTION, OWN, 1)
}

fn event(method: &str, path: &str, query: &str, body: &str) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "ANY /approval",
        "rawPath": path,
        "rawQueryString": query,
        "headers": { "content-type": "application/x-www-form-urlencoded" },
        "requestContext": { "http": { "method": method, "path": path, "sourceIp": "192.0.2.1" }, "stage": "$default" },
        "body": body,
        "isBase64Encoded": false,
    })
}

async fn send(function: &ApprovalPage, event: Value) -> (u64, String) {
    let response = function.handle(invocation(event)).await.unwrap();
    assert_eq!(response["isBase64Encoded"], false);
    (response["statusCode"].as_u64().unwrap(), response["body"].as_str().unwrap().to_owned())
}

async fn get(function: &ApprovalPage, token: &str) -> (u64, String) {
    send(function, event("GET", "/approval", &format!("token={token}"), "")).await
}

async fn post(function: &ApprovalPage, token: &str, decision: &str) -> (u64, String) {
    let body = format!("token={token}&decision={decision}&name=Alice&comment=looks+good");
    send(function, event("POST", "/approval", "", &body)).await
}

#[tokio::test]
async fn the_page_shows_what_will_be_shared() {
    let (_, aws) = world();
    let (status, html) = get(&function(&aws, &[]), &token()).await;
    assert_eq!(status, 200);
    for part in
        ["ami-11111111", "ami-22222222", "us-east-1", "444455556666", "highest severity: high", "<form", &token()]
    {
        assert!(html.contains(part), "{part} is missing in: {html}");
    }
    let regions: Vec<String> = aws.calls_of("DescribeImages").into_iter().map(|call| call.region).collect();
    assert_eq!(regions, ["eu-west-1", "us-east-1"]);
}

#[tokio::test]
async fn opening_the_page_changes_nothing_however_often() {
    let (world, aws) = world();
    let function = function(&aws, &[]);
    for method in ["GET", "HEAD", "GET"] {
        let (status, body) = send(&function, event(method, "/approval", &format!("token={}", token()), "")).await;
        assert_eq!((status, body.is_empty()), (200, method == "HEAD"));
    }
    assert_eq!(aws.calls_of("SendAutomationSignal"), []);
    assert_eq!(world.lock().unwrap().step, "Waiting");
}

#[tokio::test]
async fn the_buttons_send_the_decision() {
    for (decision, signal, step, title) in
        [("approve", "Approve", "Success", "Approved"), ("reject", "Reject", "Rejected", "Rejected")]
    {
        let (world, aws) = world();
        let (status, html) = post(&function(&aws, &[]), &token(), decision).await;
        assert_eq!(status, 200);
        assert!(html.contains(&format!("<h1>{title}</h1>")), "{html}");
        assert_eq!(world.lock().unwrap().step, step);
        // Exactly what is on the wire.
        let signals = aws.calls_of("SendAutomationSignal");
        let parameters = json!({
            "AutomationExecutionId": EXECUTION,
            "SignalType": signal,
            "Payload": { "Comment": ["Alice (approval page): looks good"] },
        });
        let expected = [("ssm", "eu-west-1", "SendAutomationSignal", parameters)];
        assert_eq!(signals.iter().map(Call::wire).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_second_submit_and_a_replayed_link_change_nothing() {
    let (world, aws) = world();
    let function = function(&aws, &[]);
    assert_eq!(post(&function, &token(), "approve").await.0, 200);
    for decision in ["approve", "reject"] {
        let (status, html) = post(&function, &token(), decision).await;
        assert_eq!(status, 409);
        assert!(html.contains("Already approved"), "{html}");
    }
    assert_eq!(get(&function, &token()).await.0, 409);
    assert_eq!(aws.calls_of("SendAutomationSignal").len(), 1);
    assert_eq!(world.lock().unwrap().votes.len(), 1);
}

#[tokio::test]
async fn the_page_has_one_vote_where_two_are_needed() {
    for shows_votes in [true, false] {
        let (world, aws) = world();
        world.lock().unwrap().needed = 2;
        world.lock().unwrap().shows_votes = shows_votes;
        let function = function(&aws, &[]);
        let (status, html) = get(&function, &token()).await;
        assert!(status == 200 && html.contains("2 approvals are needed"), "{html}");
        let (status, html) = post(&function, &token(), "approve").await;
        assert!(status == 200 && html.contains("1 of 2 approvals are given"), "{html}");
        // Another person with the link is not another approver.
        let (status, html) = post(&function, &token(), "approve").await;
        assert_eq!(status, 409, "{html}");
        assert_eq!(world.lock().unwrap().votes.len(), 1);
        assert_eq!(world.lock().unwrap().step, "Waiting");
        if shows_votes {
            assert!(html.contains("This page has given its vote"), "{html}");
            let (status, html) = get(&function, &token()).await;
            assert!(status == 200 && html.contains("1 of 2 given") && !html.contains("<form"), "{html}");
        }
    }
}

#[tokio::test]
async fn each_case_has_its_own_page_and_status() {
    let expired = token_of(EXECUTION, OWN, -1);
    let forged = token_of(EXECUTION, OTHER, 1);
    let unknown = token_of(UNKNOWN, OWN, 1);
    for method in ["GET", "POST"] {
        for (case, token, step, expected) in [
            ("forged", forged.clone(), "Waiting", 403),
            ("nonsense", "x".repeat(5_000), "Waiting", 403),
            ("unknown", unknown.clone(), "Waiting", 404),
            ("approved", token(), "Success", 409),
            ("rejected", token(), "Rejected", 409),
            ("cancelled", token(), "Cancelled", 409),
            ("link expired", expired.clone(), "Waiting", 410),
            ("approval timed out", token(), "TimedOut", 410),
            ("not yet", token(), "Pending", 503),
        ] {
            let (world, aws) = world();
            world.lock().unwrap().step = step;
            let function = function(&aws, &[]);
            let (status, html) = match method {
                "GET" => get(&function, &token).await,
                _ => post(&function, &token, "approve").await,
            };
            assert_eq!(status, expected, "{method} {case}");
            assert!(html.contains("<h1>") && !html.contains("<form"), "{method} {case}");
            assert_eq!(aws.calls_of("SendAutomationSignal"), [], "{method} {case}");
        }
    }
}

#[tokio::test]
async fn systems_manager_down_is_503_and_says_nothing_of_the_inside() {
    for (operation, reply) in [
        ("VerifyMac", Reply::Unavailable),
        ("VerifyMac", Reply::Error("AccessDeniedException")),
        ("GetAutomationExecution", Reply::Unavailable),
        ("GetAutomationExecution", Reply::Error("ThrottlingException")),
        ("SendAutomationSignal", Reply::Unavailable),
        ("SendAutomationSignal", Reply::Error("AccessDeniedException")),
    ] {
        let (world, aws) = world();
        world.lock().unwrap().faults = vec![(operation, 9, reply)];
        let (status, html) = post(&function(&aws, &[]), &token(), "approve").await;
        assert_eq!(status, 503, "{operation}");
        assert!(!html.contains("as tested") && !html.contains("AccessDenied"), "{html}");
    }
}

#[tokio::test]
async fn a_passing_fault_is_tried_again() {
    for operation in ["VerifyMac", "GetAutomationExecution", "SendAutomationSignal"] {
        for reply in [Reply::Unavailable, Reply::Error("ThrottlingException"), Reply::Lost] {
            let (world, aws) = world();
            world.lock().unwrap().faults = vec![(operation, 1, reply.clone())];
            let (status, html) = post(&function(&aws, &[]), &token(), "approve").await;
            assert_eq!(status, 200, "{operation} {reply:?} {html}");
            assert_eq!(world.lock().unwrap().votes, [(PAGE.to_owned(), true)], "{operation} {reply:?}");
        }
    }
}

#[tokio::test]
async fn somebody_who_was_faster_is_named_by_the_state() {
    let (world, aws) = world();
    // It waits when it is read, and is rejected when the approval arrives.
    let state = world.clone();
    let racing = Aws::new(move |call| {
        let mut world = state.lock().unwrap();
        if call.operation == "SendAutomationSignal" {
            world.step = "Rejected";
        }
        world.answer(call)
    });
    drop(aws);
    let (status, html) = post(&function(&racing, &[]), &token(), "approve").await;
    assert!(status == 409 && html.contains("Already rejected"), "{html}");
}

#[tokio::test]
async fn a_key_that_is_disabled_voids_every_link_at_once() {
    for code in ["DisabledException", "KMSInvalidStateException", "NotFoundException"] {
        let (world, aws) = world();
        let function = function(&aws, &[]);
        assert_eq!(get(&function, &token()).await.0, 200);
        world.lock().unwrap().faults = vec![("VerifyMac", 9, Reply::Error(code))];
        assert_eq!(get(&function, &token()).await.0, 403, "{code}");
        assert_eq!(post(&function, &token(), "approve").await.0, 403, "{code}");
        assert_eq!(aws.calls_of("SendAutomationSignal"), [], "{code}");
    }
}

#[tokio::test]
async fn what_has_not_the_form_of_a_token_is_not_asked_about() {
    let (_, aws) = world();
    let function = function(&aws, &[]);
    for text in ["x", "v1.333ba70b-2333-48db-b17e-a5e69c6f4d1c.1795867200.eMz2i8OuG90kIYBmY5yYpTexg1LnnNsP6CG_I51OgSo"]
    {
        assert_eq!(get(&function, text).await.0, 403);
    }
    assert_eq!(aws.calls(), []);
}

#[tokio::test]
async fn a_token_that_outlives_every_link_of_ours_is_refused_though_its_mac_is_right() {
    for (ttl, hours) in [("72", 72), ("1", 1), ("720", 168)] {
        let (world, aws) = world();
        let settings = [("LINK_TTL_HOURS", ttl)];
        let began = OffsetDateTime::from_unix_timestamp(world.lock().unwrap().began).unwrap();
        let latest = began + Duration::hours(hours);
        assert_eq!(get(&function(&aws, &settings), &token_at(EXECUTION, OWN, latest)).await.0, 200, "{ttl}");
        let later = token_at(EXECUTION, OWN, latest + Duration::SECOND);
        assert_eq!(get(&function(&aws, &settings), &later).await.0, 403, "{ttl}");
        assert_eq!(post(&function(&aws, &settings), &later, "approve").await.0, 403, "{ttl}");
        assert_eq!(aws.calls_of("SendAutomationSignal"), [], "{ttl}");
    }
}

#[tokio::test]
async fn the_page_tells_what_happened_after_the_approval() {
    for (share, text) in
        [("InProgress", "will be shared now"), ("Success", "The image is shared."), ("Failed", "Sharing it failed")]
    {
        let (world, aws) = world();
        world.lock().unwrap().share = share;
        let function = function(&aws, &[]);
        let (status, html) = post(&function, &token(), "approve").await;
        assert!(status == 200 && html.contains(text), "{share}: {html}");
        let (status, html) = get(&function, &token()).await;
        assert!(status == 409 && html.contains(text), "{share}: {html}");
    }
}

#[tokio::test]
async fn a_dry_run_sends_nothing() {
    let (world, aws) = world();
    let (status, html) = post(&function(&aws, &[("DRY_RUN", "true")]), &token(), "approve").await;
    assert!(status == 200 && html.contains("Nothing was decided"), "{html}");
    assert_eq!(world.lock().unwrap().votes, []);
    assert_eq!(aws.calls_of("SendAutomationSignal"), []);
}

#[tokio::test]
async fn scan_results_that_are_not_available_keep_nobody_from_deciding() {
    let (world, aws) = world();
    world.lock().unwrap().faults = vec![("DescribeImages", 99, Reply::Error("UnauthorizedOperation"))];
    let (status, html) = get(&function(&aws, &[]), &token()).await;
    assert!(status == 200 && html.contains("Amazon Inspector: not available") && html.contains("<form"), "{html}");
}

/// Methods, paths, and ways to leave the token out or to bend it: nothing is read of any execution, and nothing changed.
#[tokio::test]
async fn no_request_without_a_token_changes_anything() {
    let good = token();
    let bent = [
        String::new(),
        "x".to_owned(),
        good.to_uppercase(),
        format!("{good}="),
        good.replace("v2", "v1"),
        good[..good.len() - 1].to_owned(),
        format!(" {good}"),
        token_of(EXECUTION, OTHER, 1),
        token_of(EXECUTION, OWN, -1),
    ];
    let mut requests = 0;
    let mut statuses = std::collections::BTreeSet::new();
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "LINK"] {
        for path in [
            "/approval",
            "/prod/approval",
            "/",
            "",
            "/approval/",
            "/approval/x",
            "/Approval",
            "/share",
            "/../approval/.",
        ] {
            for token in &bent {
                let (_, aws) = world();
                let token: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
                let form = format!("token={token}&decision=approve&name=Mallory");
                let (status, _) = send(&function(&aws, &[]), event(method, path, &form, &form)).await;
                let operations = aws.operations();
                assert!(operations.iter().all(|name| name == "VerifyMac"), "{method} {path} {token}: {operations:?}");
                assert!((400..500).contains(&status), "{method} {path} {token}: {status}");
                statuses.insert(status);
                requests += 1;
            }
        }
    }
    assert_eq!(requests, 10 * 9 * 9);
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [400, 403, 404, 405, 410]);
}

#[tokio::test]
async fn only_post_changes_anything_even_with_a_token() {
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let (world, aws) = world();
        let form = format!("token={}&decision=approve&name=Alice", token());
        send(&function(&aws, &[]), event(method, "/approval", &form, &form)).await;
        assert_eq!(aws.calls_of("SendAutomationSignal"), [], "{method}");
        assert_eq!(world.lock().unwrap().votes, [], "{method}");
    }
}

#[tokio::test]
async fn what_is_too_long_is_not_read() {
    let (_, aws) = world();
    let form = format!("token={}&decision=approve&name=Alice&comment={}", token(), "x".repeat(9_000));
    assert_eq!(send(&function(&aws, &[]), event("POST", "/approval", "", &form)).await.0, 413);
    assert_eq!(aws.calls(), []);
}

#[tokio::test]
async fn a_hostile_name_is_text_on_each_page() {
    let (world, aws) = world();
    world.lock().unwrap().name = "<script>alert(1)</script>\u{202e}".to_owned();
    let function = function(&aws, &[]);
    let pages = [
        get(&function, &token()).await.1,
        post(&function, &token(), "approve").await.1,
        get(&function, &token()).await.1,
    ];
    for html in pages {
        assert!(html.contains("&#60;script&#62;") && !html.contains("<script") && !html.contains('\u{202e}'), "{html}");
    }
}

#[tokio::test]
async fn without_time_the_page_says_so() {
    let (_, aws) = world();
    let event = event("GET", "/approval", &format!("token={}", token()), "");
    let response =
        function(&aws, &[]).handle(LambdaEvent::new(event, context(std::time::Duration::ZERO))).await.unwrap();
    assert_eq!(response["statusCode"], 503);
    assert_eq!(response["headers"]["retry-after"], "30");
}

#[tokio::test]
async fn another_event_is_an_error() {
    let (_, aws) = world();
    let error = function(&aws, &[]).handle(invocation(json!({ "Records": [] }))).await.unwrap_err();
    assert_eq!(error.error_type(), "InvalidEvent");
}
