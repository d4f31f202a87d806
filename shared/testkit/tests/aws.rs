//! The script, seen by clients of all four protocols: JSON, CBOR, Query and that of EC2.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_health::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use gatehouse_testkit::{Aws, Reply};
use serde_json::json;
use tokio::time::{sleep, timeout};

/// One call of each protocol, read-only or not.
const PROTOCOLS: [&str; 4] = ["GetParameter", "DescribeEvents", "Publish", "DescribeVpcs"];

/// The code and message of an error, or the whole of it where the service did not say one.
fn refused<E: ProvideErrorMetadata + std::error::Error + 'static, R: std::fmt::Debug + 'static>(
    error: SdkError<E, R>,
) -> String {
    match (error.code(), error.message()) {
        (Some(code), message) => format!("{code}: {}", message.unwrap_or("no message")),
        _ => DisplayErrorContext(error).to_string(),
    }
}

/// What the client makes of the reply.
async fn call(aws: &Aws, operation: &str) -> Result<String, String> {
    let sdk = aws.sdk();
    match operation {
        "GetParameter" => {
            let output = aws_sdk_ssm::Client::new(&sdk).get_parameter().name("/a").send().await.map_err(refused)?;
            Ok(output.parameter().and_then(|parameter| parameter.value()).unwrap_or_default().to_owned())
        }
        "DescribeEvents" => {
            let output = aws_sdk_health::Client::new(&sdk).describe_events().send().await.map_err(refused)?;
            let event = output.events().first();
            Ok(event.map_or_else(String::new, |event| event.start_time().unwrap().secs().to_string()))
        }
        "Publish" => {
            let publish = aws_sdk_sns::Client::new(&sdk).publish().topic_arn("arn").message("güne").send();
            Ok(publish.await.map_err(refused)?.message_id().unwrap_or_default().to_owned())
        }
        _ => {
            let output =
                aws_sdk_ec2::Client::new(&sdk).describe_vpcs().vpc_ids("vpc-1").send().await.map_err(refused)?;
            Ok(output.vpcs().first().and_then(|vpc| vpc.vpc_id()).unwrap_or_default().to_owned())
        }
    }
}

#[tokio::test]
async fn an_output_is_read_by_the_client_of_its_protocol() {
    let aws = Aws::new(|call| match call.operation.as_str() {
        "GetParameter" => Reply::Json(json!({ "Parameter": { "Value": "a" } })),
        "DescribeEvents" => Reply::Json(json!({ "events": [{ "startTime": 1_786_607_225.53 }] })),
        "Publish" => Reply::Xml("<MessageId>m-1</MessageId>".to_owned()),
        _ => Reply::Xml("<vpcSet><item><vpcId>vpc-1</vpcId></item></vpcSet>".to_owned()),
    });
    let nothing = Aws::new(|_| Reply::Empty);
    for (operation, expected) in PROTOCOLS.into_iter().zip(["a", "1786607225", "m-1", "vpc-1"]) {
        assert_eq!(call(&aws, operation).await, Ok(expected.to_owned()), "{operation}");
        assert_eq!(call(&nothing, operation).await, Ok(String::new()), "{operation}");
    }
}

#[tokio::test]
async fn a_request_is_recorded_as_it_is_on_the_wire() {
    let aws = Aws::new(|_| Reply::Empty);
    for operation in PROTOCOLS {
        call(&aws, operation).await.unwrap();
    }
    call(&aws, "Publish").await.unwrap();
    assert_eq!(aws.operations(), [&PROTOCOLS[..], &["Publish"]].concat());
    let calls = aws.calls();
    let services: Vec<_> = calls.iter().map(|call| (call.service.as_str(), call.host.as_str())).collect();
    assert_eq!(
        services,
        [
            ("ssm", "ssm.eu-west-1.amazonaws.com"),
            ("health", "health.eu-west-1.amazonaws.com"),
            ("sns", "sns.eu-west-1.amazonaws.com"),
            ("ec2", "ec2.eu-west-1.amazonaws.com"),
            ("sns", "sns.eu-west-1.amazonaws.com"),
        ]
    );
    assert!(calls.iter().all(|call| call.region == "eu-west-1"));
    let parameters: Vec<_> = calls[..4].iter().map(|call| call.parameters.clone()).collect();
    assert_eq!(
        parameters,
        [
            json!({ "Name": "/a" }),
            json!({}),
            json!({ "TopicArn": "arn", "Message": "güne" }),
            json!({ "VpcId.1": "vpc-1" })
        ]
    );
    assert_eq!((calls[2].text("Message"), calls[2].text("Subject")), ("güne", ""));
    let publish = aws.calls_of("Publish");
    assert_eq!(publish.iter().map(|call| call.earlier).collect::<Vec<_>>(), [0, 1]);
    aws.forget();
    assert_eq!(aws.calls(), []);
}

/// A reply, how many attempts the SDK makes, and what the error says.
type Case = (&'static str, fn() -> Reply, usize, &'static str);

#[tokio::test]
async fn what_the_sdk_retries_and_what_it_reports() {
    let denied = || Reply::ErrorWith(403, "AccessDenied", "not you".to_owned());
    let cases: [Case; 6] = [
        ("error", || Reply::Error("NotFound"), 1, "NotFound: as tested"),
        ("with", denied, 1, "AccessDenied: not you"),
        ("throttled", || Reply::Throttled, 3, " exceeded"),
        ("unavailable", || Reply::Unavailable, 3, "InternalServerError: as tested"),
        ("unreadable", || Reply::Unreadable, 1, ""),
        ("lost", || Reply::Lost, 3, "connection reset by peer"),
    ];
    for operation in PROTOCOLS {
        for (name, reply, attempts, text) in cases {
            let aws = Aws::new(move |_| reply());
            let error = call(&aws, operation).await.unwrap_err();
            assert!(error.contains(text), "{operation}, {name}: {error}");
            assert_eq!(aws.calls().len(), attempts, "{operation}, {name}: {error}");
        }
    }
    for (operation, expected) in PROTOCOLS.into_iter().zip([
        "ThrottlingException: Rate exceeded",
        "ThrottlingException: Rate exceeded",
        "Throttling: Rate exceeded",
        "RequestLimitExceeded: Request limit exceeded.",
    ]) {
        assert_eq!(call(&Aws::new(|_| Reply::Throttled), operation).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn a_lost_reply_is_of_a_call_that_took_effect() {
    let published = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&published);
    let aws = Aws::new(move |call| {
        *counted.lock().unwrap() += 1;
        if call.earlier == 0 { Reply::Lost } else { Reply::Empty }
    });
    call(&aws, "Publish").await.unwrap();
    assert_eq!(*published.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_hangs_until_the_caller_gives_up() {
    let aws = Aws::new(|_| Reply::Hang);
    for operation in PROTOCOLS {
        let waited = timeout(Duration::from_secs(2), call(&aws, operation)).await;
        assert!(waited.is_err(), "{operation}: {waited:?}");
    }
    assert_eq!(aws.elapsed(), Duration::from_secs(8));
    let arrived: Vec<_> = aws.calls().iter().map(|call| call.after.as_secs()).collect();
    assert_eq!(arrived, [0, 2, 4, 6]);
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_delayed_arrive_later() {
    let aws = Aws::new(|_| Reply::Empty);
    let slow = aws.delayed(|| sleep(Duration::from_secs(5)));
    let (first, second) = tokio::join!(call(&slow, "GetParameter"), call(&aws, "Publish"));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(aws.operations(), ["Publish", "GetParameter"]);
    assert_eq!(aws.calls()[1].after.as_secs(), 5);
}

#[tokio::test]
#[should_panic(expected = "AWS must not be called: Call { service: \"sns\"")]
async fn a_call_that_must_not_be_made_fails_the_test() {
    let _unreachable = call(&Aws::unused(), "Publish").await;
}

#[tokio::test]
#[should_panic(expected = "sns does not reply like this: {}")]
async fn an_output_of_the_wrong_protocol_fails_the_test() {
    let _unreachable = call(&Aws::new(|_| Reply::Json(json!({}))), "Publish").await;
}
