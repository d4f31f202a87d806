//! Whole runs: an event comes in, a document is served on loopback, EC2 and SNS are [`FakeEc2`].

use std::sync::Arc;

use gatehouse_shared::env::Env;
use gatehouse_shared::failure::ErrorType as _;
use gatehouse_shared::verifier;
use gatehouse_testkit::{Signer, StaticCertificates, chat_message, context, lambda_event, notification};
use md5::{Digest, Md5};
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::fake::{FakeEc2, FakeGroup, FakeInterface, Fault};
use crate::region::Region;

const TOPIC: &str = "arn:aws:sns:us-east-1:806199016981:AmazonIpSpaceChanged";
const DOCUMENT: &str = r#"{"syncToken": "1786607225", "createDate": "2026-08-13-07-47-05",
    "prefixes": [{"ip_prefix": "3.0.2.0/24", "region": "GLOBAL", "service": "CLOUDFRONT", "network_border_group": "GLOBAL"}],
    "ipv6_prefixes": []}"#;

/// Serves the document; its URL.
async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ip-ranges.json", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", DOCUMENT.len());
            let _ = stream.write_all(format!("{head}{DOCUMENT}").as_bytes()).await;
        }
    });
    url
}

struct World {
    updater: Updater,
    ec2: FakeEc2,
    certificates: StaticCertificates,
    url: String,
}

async fn world(settings: &[(&str, &str)]) -> World {
    let url = serve().await;
    let table = [("AWS_REGION", "eu-west-1"), ("VPC_ID", "vpc-1"), ("TOPIC_ARNS", TOPIC), ("IP_RANGES_URL", &url)];
    let table: Vec<_> = settings.iter().copied().chain(table).collect();
    let env = Env::of_table(&table);
    let certificates = StaticCertificates::new();
    let verifier = Verifier::with_source(env.read(verifier::settings).unwrap(), certificates.clone());
    let ec2 = FakeEc2::new();
    let config = env.read(Config::from_env).unwrap();
    let fetcher = Fetcher::new(crate::download::TIME_OUT, config.plain_http).unwrap();
    let regions = config.regions.iter().map(|region| Region::connect(region, &ec2.sdk())).collect();
    let sdk = ec2.sdk();
    let notifier = Notifier::for_topics(&sdk, config.notify_topic_arn.as_ref(), config.chat_topic.as_ref());
    let updater = Updater::new(config, verifier, fetcher, regions, notifier);
    World { updater, ec2, certificates, url: url.clone() }
}

impl World {
    async fn handle(&self, event: Value) -> Result<UpdateReport, (&'static str, String)> {
        self.handle_as("1", 300, event).await
    }

    /// An invocation with this request id, and so many seconds until Lambda's deadline.
    async fn handle_as(
        &self,
        request_id: &str,
        seconds: u64,
        event: Value,
    ) -> Result<UpdateReport, (&'static str, String)> {
        let mut context = context(Duration::from_secs(seconds));
        context.request_id = request_id.to_owned();
        context.env_config = Arc::new(lambda_runtime::Config {
            log_group: "/aws/lambda/updater".to_owned(),
            ..lambda_runtime::Config::default()
        });
        let event = LambdaEvent::new(event, context);
        self.updater.handle(event).await.map_err(|error| (error.error_type(), chain(&error)))
    }

    fn calls(&self) -> Vec<String> {
        self.ec2.calls()
    }
}

/// A message of the topic, as SNS hands it to Lambda now.
fn message(topic: &str, body: &str) -> Value {
    let now = clock::now().format(&Rfc3339).unwrap();
    notification(topic, body, &format!("{}.000Z", &now[..19]))
}

fn notice(url: &str) -> String {
    let md5: String = Md5::digest(DOCUMENT).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"create-time": "2026-08-13T07:47:05+00:00", "synctoken": "1786607225", "md5": md5, "url": url}).to_string()
}

#[tokio::test]
async fn a_signed_notice_opens_the_groups() {
    let world = world(&[]).await;
    let report = world.handle(lambda_event([Signer::new().sign(message(TOPIC, &notice(&world.url)))])).await.unwrap();
    assert_eq!((report.trigger, report.sync_token, report.superseded), ("notice", 1_786_607_225, false));
    assert_eq!(world.certificates.fetches(), 1);
    assert_eq!(world.ec2.state().groups.len(), 1);
}

#[tokio::test]
async fn nothing_is_asked_of_anybody_for_a_notice_that_cannot_be_trusted() {
    let world = world(&[]).await;
    let good = message(TOPIC, &notice(&world.url));
    let elsewhere = message(TOPIC, &notice("https://example.com/ip-ranges.json"));
    let mut changed = Signer::new().sign(good.clone());
    changed["Message"] = json!(notice(&world.url).replace("1786607225", "1786607226"));
    let cases = [
        (good, "Refused", "Signature"),
        (changed, "Refused", "was changed"),
        (
            Signer::new().sign(message("arn:aws:sns:us-east-1:123456789012:mine", &notice(&world.url))),
            "Refused",
            "mine",
        ),
        (
            Signer::new().sign(elsewhere),
            "InvalidEvent",
            "the field url is \"https://example.com/ip-ranges.json\": expected http://127",
        ),
        (Signer::new().sign(message(TOPIC, "hello")), "InvalidEvent", "not the JSON of AmazonIpSpaceChanged"),
        (
            Signer::new().sign(message(TOPIC, r#"{"synctoken": "1", "url": "x"}"#)),
            "InvalidEvent",
            "missing field `md5`",
        ),
    ];
    for (message, error_type, text) in cases {
        let error = world.handle(lambda_event([message])).await.unwrap_err();
        assert!(error.0 == error_type && error.1.contains(text), "{error:?}, expected {error_type}: {text}");
    }
    assert_eq!(world.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_signed_confirmation_is_no_notice() {
    let world = world(&[]).await;
    let mut confirmation = message(TOPIC, &notice(&world.url));
    confirmation["Type"] = json!("SubscriptionConfirmation");
    confirmation["Token"] = json!("0123");
    confirmation["SubscribeURL"] = json!("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription");
    let error = world.handle(lambda_event([Signer::new().sign(confirmation)])).await.unwrap_err();
    assert_eq!(
        error,
        ("InvalidEvent", "the message is a SubscriptionConfirmation, expected a Notification".to_owned())
    );
}

#[tokio::test]
async fn a_service_that_is_not_there_does_not_hold_up_the_others() {
    let world = world(&[("SERVICE", "CLOUDFRNT,CLOUDFRONT")]).await;
    let (error_type, text) = world.handle(json!({})).await.unwrap_err();
    assert_eq!(error_type, "UnknownService");
    assert!(text.contains("SERVICE names \"CLOUDFRNT\"") && text.contains("did you mean CLOUDFRONT?"), "{text}");
    assert_eq!(world.ec2.state().groups.len(), 1);
}

const CHANGES: (&str, &str) = ("NOTIFY_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:changes");

impl World {
    /// What was published since the last time this was asked: subject and text.
    fn published(&self) -> Vec<(String, String)> {
        let published = self.ec2.aws.calls_of("Publish");
        self.ec2.aws.forget();
        published.iter().map(|call| (call.text("Subject").to_owned(), call.text("Message").to_owned())).collect()
    }

    fn subjects(&self) -> Vec<String> {
        self.published().into_iter().map(|(subject, _)| subject).collect()
    }
}

#[tokio::test]
async fn changes_and_failures_are_published_and_nothing_else() {
    let world = world(&[CHANGES]).await;
    world.handle(json!({"dry_run": true})).await.unwrap();
    assert_eq!(world.published(), [], "a dry run changes nothing");
    world.handle(json!({})).await.unwrap();
    let [(subject, text)] = &world.published()[..] else { panic!("published other than once") };
    assert_eq!(subject, "Gatehouse ip-ranges: 1 added, 0 removed");
    assert!(text.contains("AUTOUPDATE_CLOUDFRONT_80_1 (sg-new1), created\n  + 3.0.2.0/24\n"), "{text}");
    world.handle(json!({})).await.unwrap();
    assert_eq!(world.published(), [], "nothing changed");
    world.ec2.state().broken.insert("DescribeSecurityGroups", Fault::Denied);
    world.handle(json!({})).await.unwrap_err();
    assert_eq!(world.subjects(), ["Gatehouse ip-ranges: FAILED in part: 0 added, 0 removed, 1 not done"]);
    world.handle(json!({"Records": []})).await.unwrap_err();
    assert_eq!(world.subjects(), ["Gatehouse ip-ranges: FAILED, nothing was changed"]);
}

/// Whatever a plan meets, whoever asks for it gets it; a run that is not asked for fails.
#[tokio::test]
async fn a_direct_dry_run_answers_its_plan_with_the_failures_in_it() {
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&[("CREATE", "never")], "NoCapacity"),
        (&[("SERVICE", "CLOUDFRONT,NOSUCH")], "UnknownService"),
        (&[("VPC_ID", "vpc-1"), ("PORTS", "443")], "Abandoned"),
    ];
    for (settings, kind) in cases {
        for always in ["false", "true"] {
            let settings: Vec<_> = settings.iter().copied().chain([("DRY_RUN", always)]).collect();
            let world = world(&settings).await;
            if kind == "Abandoned" {
                let name = "AUTOUPDATE_CLOUDFRONT_80_1".to_owned();
                let description = "CLOUDFRONT ranges on port 80, kept by Gatehouse".to_owned();
                let tags = [("prefix-name", "AUTOUPDATE"), ("service", "CLOUDFRONT"), ("port", "80")];
                let tags = tags.map(|(key, value)| (format!("gatehouse:{key}"), value.to_owned())).into();
                let group = FakeGroup { name, description, vpc_id: "vpc-1".to_owned(), tags, ..FakeGroup::default() };
                let interface = FakeInterface { groups: ["sg-1".to_owned()].into(), ..FakeInterface::default() };
                world.ec2.state().groups.insert("sg-1".to_owned(), group);
                world.ec2.state().interfaces.insert("eni-1".to_owned(), interface);
            }
            let report = world.handle(json!({"dry_run": true})).await.unwrap();
            let kinds: Vec<_> = report.all_failures().map(|(_, failure)| failure.kind.name()).collect();
            assert_eq!((kinds, report.regions.len()), (vec![kind], 1));
            // A schedule in the same state fails, so that the alarm goes off.
            let error = world.handle(json!({"detail-type": "Scheduled Event"})).await.unwrap_err();
            assert_eq!(error.0, kind);
        }
    }
}

/// Whoever names a group relies on it.
#[tokio::test]
async fn what_adopt_names_and_no_region_keeps_is_a_failure() {
    let untagged = FakeGroup { name: "edge".to_owned(), vpc_id: "vpc-1".to_owned(), ..FakeGroup::default() };
    for (settings, missing) in [
        (vec![("ADOPT", "sg-0a1b2c3d,sg-0a1b2c3e")], vec!["keeping sg-0a1b2c3d", "keeping sg-0a1b2c3e"]),
        (vec![("ADOPT", "pl-0a1b2c3d"), ("TARGET", "prefix-lists")], vec!["keeping pl-0a1b2c3d"]),
        // Of another target.
        (vec![("ADOPT", "pl-0a1b2c3d")], vec![]),
        (vec![("ADOPT", "tagged")], vec![]),
    ] {
        let world = world(&settings).await;
        world.ec2.state().groups.insert("sg-0a1b2c3d".to_owned(), untagged.clone());
        let report = world.handle(json!({"dry_run": true})).await.unwrap();
        let failures: Vec<_> = report.failures.iter().map(|failure| failure.what.as_str()).collect();
        assert_eq!(failures, missing);
        assert!(report.failures.iter().all(|failure| failure.reason.contains("gatehouse:prefix-name=AUTOUPDATE")));
    }
}

#[tokio::test]
async fn a_failure_that_lasts_is_published_once_for_an_event() {
    let world = world(&[CHANGES]).await;
    world.ec2.state().broken.insert("DescribeSecurityGroups", Fault::Denied);
    for event in [json!({}), json!({"Records": []})] {
        // Lambda gives an event that failed to the function twice more.
        for _ in 0..3 {
            world.handle_as("first", 300, event.clone()).await.unwrap_err();
        }
        assert_eq!(world.subjects().len(), 1);
        world.handle_as("second", 300, event).await.unwrap_err();
        assert_eq!(world.subjects().len(), 1, "another event is told of again");
    }
    // Another failure of the same event is news.
    world.ec2.state().broken.insert("CreateSecurityGroup", Fault::Denied);
    world.handle_as("third", 300, json!({})).await.unwrap_err();
    world.ec2.state().broken.remove("DescribeSecurityGroups");
    world.handle_as("third", 300, json!({})).await.unwrap_err();
    assert_eq!(world.subjects().len(), 2);
}

#[tokio::test]
async fn a_summary_that_cannot_be_published_fails_the_run_and_is_published_by_a_later_one() {
    let world = world(&[CHANGES]).await;
    world.ec2.state().broken.insert("Publish", Fault::Denied);
    let (error_type, text) = world.handle(json!({})).await.unwrap_err();
    assert!(error_type == "Partial" && text.starts_with("publishing to NOTIFY_TOPIC_ARN"), "{error_type}: {text}");
    assert_eq!(world.ec2.state().groups.len(), 1, "the ranges are let in all the same");
    world.ec2.state().broken.clear();
    world.published();
    // The retry finds nothing to change, and the summary is published all the same.
    world.handle(json!({})).await.unwrap();
    assert_eq!(world.subjects(), ["Gatehouse ip-ranges: 1 added, 0 removed"]);
    world.handle(json!({})).await.unwrap();
    assert_eq!(world.subjects(), Vec::<String>::new());
}

#[tokio::test]
async fn a_notification_has_a_twin_in_chat_and_a_chat_that_refuses_changes_nothing() {
    const CHAT: &str = "arn:aws:sns:us-east-1:444455556666:chat";
    for settings in [&[CHANGES, ("CHAT_TOPIC_ARN", CHAT)][..], &[("CHAT_TOPIC_ARN", CHAT)]] {
        let world = world(settings).await;
        world.handle(json!({})).await.unwrap();
        let published = world.published();
        let (subject, message) = published.last().unwrap();
        assert_eq!((published.len(), subject.as_str()), (settings.len(), ""));
        let message = chat_message(message).unwrap();
        assert_eq!(message["content"]["title"], "Gatehouse ip-ranges: 1 added, 0 removed");
        assert_eq!(message["metadata"]["threadId"], "ip-ranges/1786607225");
        let link = message["content"]["nextSteps"][0].as_str().unwrap();
        assert!(link.starts_with("<https://eu-west-1.console.aws.amazon.com/cloudwatch/"), "{link}");
        assert!(link.ends_with("$252Faws$252Flambda$252Fupdater|Open the log, which has the report>"), "{link}");

        world.handle_as("7", 300, json!({"Records": []})).await.unwrap_err();
        let published = world.published();
        let message = chat_message(&published.last().unwrap().1).unwrap();
        assert_eq!(message["metadata"]["threadId"], "7", "there is no document yet");
    }

    // The only topic is that of chat, so each refusal is one of it.
    let world = world(&[("CHAT_TOPIC_ARN", CHAT)]).await;
    world.ec2.state().broken.insert("Publish", Fault::Denied);
    let report = world.handle(json!({})).await.unwrap();
    assert_eq!(report.failures.len(), 0);
    world.ec2.state().broken.clear();
    world.published();
    world.handle(json!({})).await.unwrap();
    assert_eq!(world.published(), [], "nothing waits for chat");
}

#[tokio::test]
async fn a_run_stops_in_time_before_lambdas_deadline() {
    let world = world(&[]).await;
    let (error_type, text) = world.handle_as("1", 0, json!({})).await.unwrap_err();
    assert_eq!(error_type, "OutOfTime", "{text}");
    assert_eq!(world.calls(), Vec::<String>::new());
    // The document arrives, the calls to EC2 take too long.
    world.ec2.state().latencies = [0, 0, 60_000].into();
    let start = Instant::now();
    let (error_type, text) = world.handle_as("1", 4, json!({})).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(3), "half of so little time is kept for the report");
    assert!(error_type == "OutOfTime" && text.contains("a call that was under way may have taken effect"), "{text}");
    world.handle_as("1", 300, json!({})).await.unwrap();
    assert_eq!(world.ec2.state().groups.len(), 1);
}

#[tokio::test]
async fn a_region_of_the_ranges_that_does_not_exist_changes_nothing() {
    let world = world(&[("RANGE_REGIONS", "GLOBAL,eu-wset-1")]).await;
    let (error_type, text) = world.handle(json!({})).await.unwrap_err();
    assert!(error_type == "UnknownRegion" && text.contains("eu-wset-1"), "{error_type}: {text}");
    assert_eq!(world.ec2.state().groups.len(), 0);
}

#[test]
fn failures_of_several_kinds_are_partial_and_the_first_are_spelt_out() {
    let failure = |kind, what: &str| Failure { kind, what: what.to_owned(), reason: "r".to_owned() };
    let report = |failures| UpdateReport { failures, ..UpdateReport::default() };
    assert!(verdict(&report(vec![])).is_ok());
    let one = verdict(&report(vec![failure(FailureKind::NoCapacity, "a")])).unwrap_err();
    assert_eq!((one.error_type(), one.to_string().as_str()), ("NoCapacity", "a: r"));
    let mixed = ["a", "b", "c", "d"].map(|what| failure(FailureKind::NoCapacity, what)).into_iter();
    let mixed = verdict(&report(mixed.chain([failure(FailureKind::ShrinkRefused, "e")]).collect())).unwrap_err();
    assert_eq!(mixed.error_type(), "Partial");
    assert_eq!(mixed.to_string(), "a: r; b: r; c: r; and 2 more, see the report in the log");
}
