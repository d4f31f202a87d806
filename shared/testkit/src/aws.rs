//! One scripted AWS behind the HTTP interface of the SDK: a test sees each request as it is on the wire, and decides on
//! the reply.
//!
//! `aws-smithy-mocks` replies before a request is made, and `StaticReplayClient` in a fixed order; neither loses a
//! reply, and neither knows which of two Regions or topics a request goes to.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde_json::Value;
use tokio::time::Instant;

use crate::protocol::{self, Protocol};
use crate::record::record;

/// One request: an attempt of the SDK, of which a call may make several.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The service in the signature, such as `ssm`.
    pub service: String,
    /// The Region in the signature.
    pub region: String,
    /// The host that the request was sent to.
    pub host: String,
    /// The operation, such as `GetParameter`.
    pub operation: String,
    /// The parameters: a JSON object, for EC2, ELB and SNS with the names as they are on the wire, such as `UserId.1`.
    pub parameters: Value,
    /// How many requests of this operation were made before.
    pub earlier: usize,
    /// The time since the script began, by the clock of Tokio.
    pub after: Duration,
}

impl Call {
    /// What of it is the caller's choice: service, Region, operation and parameters.
    #[must_use]
    pub fn wire(&self) -> (&str, &str, &str, Value) {
        (&self.service, &self.region, &self.operation, self.parameters.clone())
    }

    /// A parameter that is text; empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.parameters[name].as_str().unwrap_or_default()
    }
}

/// What AWS does with one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Success without a field.
    Empty,
    /// The output of a service whose protocol is JSON or CBOR.
    Json(Value),
    /// The output of a service whose protocol is EC2 or Query: what is inside the element of the response or result.
    Xml(String),
    /// An error with its code and status 400, which the SDK does not retry, unless the code says so.
    Error(&'static str),
    /// An error with its status, code and message.
    ErrorWith(u16, &'static str, String),
    /// The error by which the service throttles, which the SDK retries.
    Throttled,
    /// A 500, which the SDK retries.
    Unavailable,
    /// A page of HTML with status 200.
    Unreadable,
    /// No reply arrives, though the request did and the rule was applied; the SDK retries.
    Lost,
    /// Nothing ever arrives.
    Hang,
}

type Rule = Box<dyn FnMut(&Call) -> Reply + Send>;
type Arrival = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The scripted AWS. Clones share the rule and the calls.
#[derive(Clone)]
pub struct Aws {
    rule: Arc<Mutex<Rule>>,
    calls: Arc<Mutex<Vec<Call>>>,
    started: Instant,
    arrival: Option<Arrival>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

impl Aws {
    /// An AWS that replies to each request as `rule` says. A rule may keep state, and panic.
    pub fn new(rule: impl FnMut(&Call) -> Reply + Send + 'static) -> Self {
        Self {
            rule: Arc::new(Mutex::new(Box::new(rule))),
            calls: Arc::default(),
            started: Instant::now(),
            arrival: None,
        }
    }

    /// An AWS that must not be called.
    #[must_use]
    pub fn unused() -> Self {
        Self::new(|call| panic!("AWS must not be called: {call:?}"))
    }

    /// The same AWS; each request by this handle is on its way until the future has ended.
    #[must_use]
    pub fn delayed<F>(&self, arrival: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { arrival: Some(Arc::new(move || Box::pin(arrival()))), ..self.clone() }
    }

    /// What clients are made from: the Region `eu-west-1`, three attempts without pauses worth noting.
    #[must_use]
    pub fn sdk(&self) -> SdkConfig {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let retry = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1));
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(retry)
            .http_client(self.clone())
            .build()
    }

    /// The same without retries: a call is one attempt.
    #[must_use]
    pub fn sdk_without_retries(&self) -> SdkConfig {
        self.sdk().into_builder().retry_config(RetryConfig::disabled()).build()
    }

    /// Every request so far, in the order of their arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    /// The requests of one operation.
    #[must_use]
    pub fn calls_of(&self, operation: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.operation == operation).collect()
    }

    /// The operations, in the order they were called.
    #[must_use]
    pub fn operations(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.operation).collect()
    }

    /// The time since the script began, by the clock of Tokio.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        lock(&self.calls).clear();
    }

    fn reply(&self, request: &HttpRequest) -> (Protocol, Call, Reply) {
        record(request);
        let (protocol, mut call) = protocol::call(request);
        call.after = self.elapsed();
        {
            let mut calls = lock(&self.calls);
            call.earlier = calls.iter().filter(|other| other.operation == call.operation).count();
            calls.push(call.clone());
        }
        let reply = (lock(&self.rule))(&call);
        (protocol, call, reply)
    }
}

/// A rule that panicked is a case of some tests.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HttpClient for Aws {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let aws = self.clone();
        HttpConnectorFuture::new(async move {
            if let Some(arrival) = &aws.arrival {
                arrival().await;
            }
            let (protocol, call, reply) = aws.reply(&request);
            respond(protocol, &call, reply).await
        })
    }
}

async fn respond(protocol: Protocol, call: &Call, reply: Reply) -> Result<HttpResponse, ConnectorError> {
    let error = |status, code: &str, message: &str| protocol.error(status, code, message);
    Ok(match reply {
        Reply::Empty => protocol.output(call, None),
        Reply::Json(output) => protocol.output(call, Some(output)),
        Reply::Xml(inner) => protocol.output(call, Some(inner.into())),
        Reply::Error(code) => error(400, code, "as tested"),
        Reply::ErrorWith(status, code, message) => error(status, code, &message),
        Reply::Throttled => match protocol {
            Protocol::Ec2 => error(503, "RequestLimitExceeded", "Request limit exceeded."),
            Protocol::Query => error(400, "Throttling", "Rate exceeded"),
            Protocol::Json | Protocol::Cbor => error(400, "ThrottlingException", "Rate exceeded"),
        },
        Reply::Unavailable => error(500, "InternalServerError", "as tested"),
        Reply::Unreadable => protocol::response(200, "<html>"),
        Reply::Lost => return Err(ConnectorError::io("connection reset by peer".into())),
        Reply::Hang => std::future::pending().await,
    })
}
