//! The protocols of AWS: from a signed HTTP request to its operation and parameters, and from an output to a response.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use crate::aws::Call;

/// How a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// AWS JSON 1.0 and 1.1: CodePipeline, SSM, AWS WAF, KMS.
    Json,
    /// Smithy RPC v2 CBOR: AWS Health.
    Cbor,
    /// AWS Query: SNS, ELB.
    Query,
    /// The form of Query that EC2 has.
    Ec2,
}

/// What a request asks for. The script adds which one it is, and when it came.
#[expect(clippy::expect_used, reason = "a request that is not one of the SDK should fail the test right here")]
pub(crate) fn call(request: &HttpRequest) -> (Protocol, Call) {
    let header = |name| request.headers().get(name);
    let body = request.body().bytes().expect("a body in memory");
    // AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260306/eu-west-1/sns/aws4_request, …
    let mut scope = header("authorization").expect("a signed request").split('/').skip(2);
    let region = scope.next().expect("a Region").to_owned();
    let service = scope.next().expect("a service").to_owned();
    let host = request.uri().split('/').nth(2).expect("a host").to_owned();
    let last = |text: &str| text.rsplit(['.', '/']).next().unwrap_or_default().to_owned();
    let (protocol, operation, parameters) = if header("smithy-protocol") == Some("rpc-v2-cbor") {
        (Protocol::Cbor, last(request.uri()), ciborium::from_reader(body).expect("a CBOR body"))
    } else if let Some(target) = header("x-amz-target") {
        (Protocol::Json, last(target), serde_json::from_slice(body).expect("a JSON body"))
    } else {
        let mut form: BTreeMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
        form.remove("Version");
        let operation = form.remove("Action").expect("an action");
        (if service == "ec2" { Protocol::Ec2 } else { Protocol::Query }, operation, json!(form))
    };
    (protocol, Call { service, region, host, operation, parameters, earlier: 0, after: Duration::ZERO })
}

impl Protocol {
    /// The response of a call that succeeded: a JSON object, or the XML inside the element of the result.
    pub(crate) fn output(self, call: &Call, output: Option<Value>) -> HttpResponse {
        let operation = &call.operation;
        match (self, output.unwrap_or_else(|| self.empty())) {
            (Self::Json, output @ Value::Object(_)) => response(200, output.to_string()),
            (Self::Cbor, output @ Value::Object(_)) => Self::cbor(200, &output),
            (Self::Ec2, Value::String(inner)) => {
                response(200, format!("<{operation}Response>{inner}</{operation}Response>"))
            }
            (Self::Query, Value::String(inner)) => {
                let result = format!("<{operation}Result>{inner}</{operation}Result>");
                response(200, format!("<{operation}Response>{result}</{operation}Response>"))
            }
            (_, output) => panic!("{} does not reply like this: {output}", call.service),
        }
    }

    fn empty(self) -> Value {
        match self {
            Self::Json | Self::Cbor => json!({}),
            Self::Query | Self::Ec2 => "".into(),
        }
    }

    /// The response of a call that failed.
    pub(crate) fn error(self, status: u16, code: &str, message: &str) -> HttpResponse {
        let (json, xml) = (
            json!({ "__type": code, "message": message }),
            format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"),
        );
        match self {
            Self::Json => response(status, json.to_string()),
            Self::Cbor => Self::cbor(status, &json),
            Self::Query => response(status, format!("<ErrorResponse>{xml}<RequestId>r-1</RequestId></ErrorResponse>")),
            Self::Ec2 => {
                response(status, format!("<Response><Errors>{xml}</Errors><RequestID>r-1</RequestID></Response>"))
            }
        }
    }

    #[expect(clippy::expect_used, reason = "JSON can be written as CBOR, and into memory")]
    fn cbor(status: u16, value: &Value) -> HttpResponse {
        /// What AWS documents as JSON, as AWS Health sends it: times are tagged.
        fn convert(name: &str, value: &Value) -> ciborium::Value {
            match value {
                Value::Object(fields) => {
                    let fields = fields.iter().map(|(name, value)| (name.clone().into(), convert(name, value)));
                    ciborium::Value::Map(fields.collect())
                }
                Value::Array(items) => ciborium::Value::Array(items.iter().map(|item| convert(name, item)).collect()),
                Value::Number(seconds) if name.ends_with("Time") => {
                    ciborium::Value::Tag(1, Box::new(seconds.as_f64().expect("seconds").into()))
                }
                other => ciborium::Value::serialized(other).expect("CBOR"),
            }
        }
        let mut bytes = Vec::new();
        ciborium::into_writer(&convert("", value), &mut bytes).expect("CBOR");
        response(status, bytes)
    }
}

#[expect(clippy::expect_used, reason = "a test that invents a status should fail right here")]
pub(crate) fn response(status: u16, body: impl Into<SdkBody>) -> HttpResponse {
    HttpResponse::new(status.try_into().expect("an HTTP status"), body.into())
}
