//! Whole invocations with a real client: what is published, what is told, what is logged.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use aws_sdk_sns::operation::publish::PublishOutput;
use aws_smithy_mocks::{MockResponseInterceptor, Rule, RuleMode, create_mock_http_client, mock};
use gatehouse_shared::clock;
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sns::{Settings, Verifier};
use gatehouse_shared::testing::{Signer, StaticCertificates, lambda_event, notification};
use lambda_runtime::{Context, LambdaEvent};
use message_redactor::Redactor;
use message_redactor::config::Config;
use message_redactor::publish::Publisher;
use message_redactor::report::Outcome;
use serde_json::{Value, json};
use time::Duration;
use time::format_description::well_known::Rfc3339;

/// A client that answers by the rules. The macro of aws-smithy-mocks needs a feature that compiles the SDK once more.
macro_rules! client {
    ($sdk:ident, $rules:expr) => {{
        let rules: &[&Rule] = &$rules;
        let interceptor = MockResponseInterceptor::new().rule_mode(RuleMode::MatchAny);
        let interceptor = rules.iter().fold(interceptor, |interceptor, rule| interceptor.with_rule(rule));
        let config = $sdk::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::latest())
            .region($sdk::config::Region::new("eu-west-1"))
            .credentials_provider($sdk::config::Credentials::new("test", "test", None, None, "test"))
            .http_client(create_mock_http_client())
            .interceptor(interceptor)
            .build();
        $sdk::Client::from_conf(config)
    }};
}

const ORIGIN: &str = "arn:aws:sns:eu-west-1:111122223333:approved-expenses";
const TARGET: &str = "arn:aws:sns:eu-west-1:111122223333:reporting";
const DENIED: &str = "arn:aws:sns:eu-west-1:111122223333:owners";
const CARD: &str = "4539894458086459";

fn policy(operation: &Value) -> String {
    json!({
        "Name": "expenses", "Version": "2021-06-01",
        "Statement": [{
            "DataDirection": "Outbound", "Principal": ["arn:aws:iam::111122223333:role/Reporting"],
            "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/CreditCardNumber"], "Operation": operation,
        }],
    })
    .to_string()
}

fn mask() -> Value {
    json!({ "Deidentify": { "MaskConfig": { "MaskWithCharacter": "#" } } })
}

fn redactor(policy: &str, sns: &aws_sdk_sns::Client, ssm: aws_sdk_ssm::Client, dry_run: bool) -> Redactor {
    let dry_run = dry_run.to_string();
    let table = [
        ("DATA_PROTECTION_POLICY", policy),
        ("SUBSCRIBER_PRINCIPAL", "arn:aws:iam::111122223333:role/Reporting"),
        ("TARGET_TOPIC_ARN", TARGET),
        ("DENIED_TOPIC_ARN", DENIED),
        ("TOPIC_ARNS", ORIGIN),
        ("DRY_RUN", dry_run.as_str()),
    ];
    let env = Env::of_table(&table);
    let (config, settings) = env.finish((Config::from_env(&env), Settings::from_env(&env))).unwrap();
    let verifier = Verifier::with_source(settings, StaticCertificates::new());
    let builder = || sns.config().to_builder();
    let publisher = Publisher::new(builder(), &config.target_topic_arn);
    let denied = config.denied_topic_arn.as_ref().map(|topic| Notifier::new(builder(), topic));
    Redactor::new(config, verifier, ssm, publisher, denied)
}

fn invocation(message: &str, attributes: Value) -> LambdaEvent<Value> {
    let now = clock::now().replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap();
    let mut event = lambda_event([Signer::new().sign(notification(ORIGIN, message, &now))]);
    event["Records"][0]["Sns"]["MessageAttributes"] = attributes;
    let mut context = Context::default();
    context.deadline = u64::try_from((clock::now() + Duration::MINUTE).unix_timestamp() * 1_000).unwrap();
    LambdaEvent::new(event, context)
}

#[tokio::test]
async fn a_message_is_published_masked_with_its_attributes() {
    let rule = mock!(aws_sdk_sns::Client::publish)
        .match_requests(|request| {
            let attribute = request.message_attributes().unwrap().get("card").unwrap();
            request.topic_arn() == Some(TARGET)
                && request.message() == Some("{\"card\":\"################\"}")
                && attribute.data_type() == "String"
                && attribute.string_value() == Some("################")
        })
        .then_output(|| PublishOutput::builder().message_id("m-2").build());
    let sns = client!(aws_sdk_sns, [&rule]);
    let function = redactor(&policy(&mask()), &sns, client!(aws_sdk_ssm, []), false);
    let attributes = json!({ "card": { "Type": "Number", "Value": CARD } });
    let reports = function.handle(invocation(&format!("{{\"card\":{CARD}}}"), attributes)).await.unwrap();
    assert_eq!(rule.num_calls(), 1);
    assert_eq!((reports[0].outcome, reports[0].published_message_id.as_deref()), (Outcome::Published, Some("m-2")));
    let report = serde_json::to_value(&reports).unwrap();
    assert_eq!(
        report[0]["findings"],
        json!([
            { "path": "$.card", "identifier": "CreditCardNumber", "operation": "Mask", "count": 1 },
            { "path": "attributes.card", "identifier": "CreditCardNumber", "operation": "Mask", "count": 1 },
        ])
    );
    assert!(!report.to_string().contains(CARD) && !format!("{reports:?}").contains(CARD));
}

#[tokio::test]
async fn of_a_denied_message_the_owners_learn_the_identifier_and_no_value() {
    let rule = mock!(aws_sdk_sns::Client::publish)
        .match_requests(|request| {
            let text = request.message().unwrap();
            request.topic_arn() == Some(DENIED)
                && text.contains("- CreditCardNumber (1) in message")
                && !text.contains(CARD)
        })
        .then_output(|| PublishOutput::builder().build());
    let sns = client!(aws_sdk_sns, [&rule]);
    let function = redactor(&policy(&json!({ "Deny": {} })), &sns, client!(aws_sdk_ssm, []), false);
    let reports = function.handle(invocation(&format!("card {CARD}"), json!({}))).await.unwrap();
    assert_eq!((reports[0].outcome, rule.num_calls()), (Outcome::Denied, 1));
}

#[tokio::test]
async fn a_dry_run_publishes_nothing() {
    let sns = client!(aws_sdk_sns, []);
    let function = redactor(&policy(&mask()), &sns, client!(aws_sdk_ssm, []), true);
    let reports = function.handle(invocation(CARD, json!({}))).await.unwrap();
    assert_eq!(reports[0].outcome, Outcome::Planned);
}

#[tokio::test]
async fn a_policy_in_a_parameter_is_read_once_and_one_with_faults_delivers_nothing() {
    let answer = |text: String| {
        let parameter = aws_sdk_ssm::types::Parameter::builder().value(text).build();
        aws_sdk_ssm::operation::get_parameter::GetParameterOutput::builder().parameter(parameter).build()
    };
    let publish =
        mock!(aws_sdk_sns::Client::publish).then_output(|| PublishOutput::builder().message_id("m-2").build());
    let sns = client!(aws_sdk_sns, [&publish]);
    let good = mock!(aws_sdk_ssm::Client::get_parameter).then_output(move || answer(policy(&mask())));
    let function = redactor("ssm:/policy", &sns, client!(aws_sdk_ssm, [&good]), false);
    for _ in 0..2 {
        function.handle(invocation("hello", json!({}))).await.unwrap();
    }
    assert_eq!((good.num_calls(), publish.num_calls()), (1, 2));

    let bad = mock!(aws_sdk_ssm::Client::get_parameter).then_output(move || answer(policy(&json!({}))));
    let function = redactor("ssm:/policy", &sns, client!(aws_sdk_ssm, [&bad]), false);
    let error = function.handle(invocation("hello", json!({}))).await.unwrap_err();
    assert_eq!(error.error_type(), "InvalidSettings");
    assert!(chain(&error).contains("$.Statement[0].Operation is an empty object"), "{}", chain(&error));
    assert_eq!(publish.num_calls(), 2);
}

#[tokio::test]
async fn a_forged_message_is_refused() {
    let sns = client!(aws_sdk_sns, []);
    let function = redactor(&policy(&mask()), &sns, client!(aws_sdk_ssm, []), false);
    let mut forged = invocation("hello", json!({}));
    forged.payload["Records"][0]["Sns"]["Message"] = "other".into();
    assert_eq!(function.handle(forged).await.unwrap_err().error_type(), "Refused");
}

#[test]
fn faults_of_the_settings_are_reported_together() {
    let table = [("DATA_PROTECTION_POLICY", "{}"), ("TARGET_TOPIC_ARN", ORIGIN), ("TOPIC_ARNS", ORIGIN)];
    let env = Env::of_table(&table);
    let error = env.finish(Config::from_env(&env)).unwrap_err().to_string();
    for part in [
        "DATA_PROTECTION_POLICY $.Name",
        "$.Version",
        "$.Statement",
        "SUBSCRIBER_PRINCIPAL",
        "TARGET_TOPIC_ARN",
        "invoke itself",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}
