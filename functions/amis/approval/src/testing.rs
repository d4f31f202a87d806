//! A stand-in for AWS behind the HTTP interface of the SDK: a test sees each request as it is on the wire, and gives the
//! answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sns::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The service in the signature, such as `ssm`.
    pub service: String,
    /// The Region in the signature.
    pub region: String,
    /// The operation.
    pub operation: String,
    /// The parameters: a JSON object, for EC2 and SNS with the names as they are on the wire, such as `UserId.1`.
    pub parameters: Value,
}

impl Call {
    /// A parameter that is text; empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.parameters[name].as_str().unwrap_or_default()
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Of a service with the JSON protocol.
    Json(Value),
    /// Of a service with the Query protocol: what is inside the element of the response.
    Xml(String),
    /// An error with its code; a 4xx that the SDK does not try again, unless the code says so.
    Error(&'static str),
    /// A 500, which the SDK tries again.
    Unavailable,
    /// No reply arrives, though the request did; the SDK tries again.
    Lost,
}

type Answering = Box<dyn FnMut(&Call) -> Reply + Send>;

/// The stand-in. Clones share what was called.
#[derive(Clone)]
pub struct FakeAws {
    answering: Arc<Mutex<Answering>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl fmt::Debug for FakeAws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeAws").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

impl FakeAws {
    /// A stand-in that answers with what `answer` says.
    pub fn new(answer: impl FnMut(&Call) -> Reply + Send + 'static) -> Self {
        Self { answering: Arc::new(Mutex::new(Box::new(answer))), calls: Arc::default() }
    }

    /// What clients are made from: the Region `eu-west-1`, three attempts without pauses worth noting.
    #[must_use]
    pub fn sdk(&self) -> SdkConfig {
        let credentials = Credentials::new("test", "test", None, None, "test");
        let retry =
            RetryConfig::standard().with_max_attempts(3).with_initial_backoff(std::time::Duration::from_millis(1));
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(retry)
            .http_client(self.clone())
            .build()
    }

    /// Every request so far, each attempt of the SDK on its own.
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

    /// Forgets the requests so far.
    pub fn forget(&self) {
        lock(&self.calls).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HttpClient for FakeAws {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for FakeAws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (call, is_json) = call_of(&request);
        lock(&self.calls).push(call.clone());
        let reply = (lock(&self.answering))(&call);
        HttpConnectorFuture::ready(response(&call, is_json, reply))
    }
}

#[expect(clippy::expect_used, reason = "a request that is not one of the SDK should fail the test right here")]
fn call_of(request: &HttpRequest) -> (Call, bool) {
    let body = request.body().bytes().unwrap_or_default();
    let authorization = request.headers().get("authorization").expect("a signed request");
    let mut scope = authorization.split('/').skip(2);
    let region = scope.next().expect("a Region").to_owned();
    let service = scope.next().expect("a service").to_owned();
    let (operation, parameters, is_json) = match request.headers().get("x-amz-target") {
        Some(target) => {
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            (operation, serde_json::from_slice(body).expect("a JSON body"), true)
        }
        None => {
            let mut form: BTreeMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
            form.remove("Version");
            let operation = form.remove("Action").expect("an action");
            (operation, json!(form), false)
        }
    };
    (Call { service, region, operation, parameters }, is_json)
}

fn response(call: &Call, is_json: bool, reply: Reply) -> Result<HttpResponse, ConnectorError> {
    let Call { service, operation, .. } = call;
    let error = |code: &str| {
        if is_json {
            return json!({ "__type": code, "message": "as tested" }).to_string();
        }
        let error = format!("<Error><Code>{code}</Code><Message>as tested</Message></Error>");
        if service == "ec2" {
            format!("<Response><Errors>{error}</Errors><RequestID>r-1</RequestID></Response>")
        } else {
            format!("<ErrorResponse>{error}<RequestId>r-1</RequestId></ErrorResponse>")
        }
    };
    let (status, body) = match reply {
        Reply::Json(body) => (200, body.to_string()),
        Reply::Xml(inner) if service == "ec2" => (200, format!("<{operation}Response>{inner}</{operation}Response>")),
        Reply::Xml(inner) => {
            (200, format!("<{operation}Response><{operation}Result>{inner}</{operation}Result></{operation}Response>"))
        }
        Reply::Error(code) => (400, error(code)),
        Reply::Unavailable => (500, error("InternalServerError")),
        Reply::Lost => return Err(ConnectorError::io("the connection was reset".into())),
    };
    #[expect(clippy::unwrap_used, reason = "the three numbers above are statuses")]
    Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body)))
}
