//! What an error of a call to AWS means: whether the same call may succeed a little later, and what it lacks else.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// The kind of an error that the SDK returned after its own attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The role or a policy does not allow the call.
    Denied,
    /// AWS accepts no call like this one: the request, or what it names, must change first.
    Refused,
    /// AWS asked to slow down.
    Throttled,
    /// The credentials or the time of the request were not valid. Those of a function are temporary, and new ones are not
    /// known everywhere at once.
    Interrupted,
    /// No connection, no reply in time, or an error of the server. The call may have taken effect.
    Unreachable,
    /// A reply without an error code, so not one of AWS, or one that cannot be read. The call may have taken effect.
    Unreadable,
}

impl ErrorKind {
    /// Whether the same call may succeed a little later, although nothing is corrected.
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            Self::Denied | Self::Refused => false,
            Self::Throttled | Self::Interrupted | Self::Unreachable | Self::Unreadable => true,
        }
    }

    /// The kind of an error with this code; `None` where the code alone does not say it.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        if THROTTLED.iter().any(|part| code.contains(part)) {
            return Some(Self::Throttled);
        }
        CODES.iter().find(|(_, codes)| codes.contains(&code)).map(|(kind, _)| *kind)
    }
}

impl<E: ProvideErrorMetadata> From<&SdkError<E, Response>> for ErrorKind {
    fn from(error: &SdkError<E, Response>) -> Self {
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        match (error, error.code()) {
            _ if status == 429 => Self::Throttled,
            (SdkError::ConstructionFailure(_), _) => Self::Refused,
            (SdkError::TimeoutError(_) | SdkError::DispatchFailure(_), _) => Self::Unreachable,
            (_, Some(code)) => {
                let otherwise = if status >= 500 { Self::Unreachable } else { Self::Refused };
                Self::from_code(code).unwrap_or(otherwise)
            }
            (_, None) if status >= 500 => Self::Unreachable,
            // Each refusal of AWS has a code.
            (_, None) => Self::Unreadable,
        }
    }
}

/// What codes of throttling contain: `Throttling`, `ThrottledException`, `KMSThrottling`, `EC2ThrottledException` and more.
///
/// Source: `THROTTLING_ERRORS` of the crate aws-runtime, which the SDK itself goes by. Of its list, `LimitExceededException`
/// is left out: AWS KMS, Systems Manager and CodePipeline report quotas by it.
const THROTTLED: [&str; 6] = [
    "Throttl",
    "TooManyRequests",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "SlowDown",
    "PriorRequestNotComplete",
];

/// Codes that mean the same in all services.
///
/// Sources: IAM User Guide, "Troubleshoot IAM" and "Common errors" of the API references; EC2 API Reference, "Error codes";
/// SNS API Reference, `Publish`; Image Builder API Reference, "Common errors"; `TRANSIENT_ERRORS` of the crate aws-runtime.
const CODES: [(ErrorKind, &[&str]); 3] = [
    (
        ErrorKind::Denied,
        &["AccessDenied", "AccessDeniedException", "AuthorizationError", "ForbiddenException", "UnauthorizedOperation"],
    ),
    (
        ErrorKind::Interrupted,
        &[
            "UnrecognizedClientException",
            "InvalidClientTokenId",
            "ExpiredToken",
            "ExpiredTokenException",
            "RequestExpired",
            "RequestTimeTooSkewed",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
        ],
    ),
    (ErrorKind::Unreachable, &["RequestTimeout", "RequestTimeoutException"]),
];

/// What a person does about a publication that SNS refused; `None` where the code does not say it, or it may be transient.
///
/// Source: SNS API Reference, `Publish`, "Errors".
#[must_use]
pub fn next_of_publish(code: Option<&str>) -> Option<&'static str> {
    let code = code?;
    match (code, ErrorKind::from_code(code)) {
        ("KMSAccessDenied", _) => Some(
            "allow kms:GenerateDataKey and kms:Decrypt for the topic's key in the function's role and in the key's policy",
        ),
        (_, Some(ErrorKind::Denied)) => {
            Some("allow sns:Publish on the topic in the function's role and in the topic's policy")
        }
        (_, Some(_)) => None,
        ("NotFound", None) => Some("the topic does not exist: correct the setting"),
        ("InvalidParameter" | "InvalidParameterValue" | "ParameterValueInvalid", None) => Some(
            "SNS refuses the message: where the function made it too large for the topic, raise the topic's MaximumMessageSize",
        ),
        (code, None) if code.starts_with("KMS") => {
            Some("the key that encrypts the topic cannot be used: check its state")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    fn of_service(code: Option<&str>, status: u16) -> SdkError<ErrorMetadata, Response> {
        let mut metadata = ErrorMetadata::builder();
        if let Some(code) = code {
            metadata = metadata.code(code);
        }
        SdkError::service_error(metadata.build(), Response::new(status.try_into().unwrap(), SdkBody::empty()))
    }

    #[test]
    fn an_error_is_transient_where_the_same_call_may_succeed_later() {
        use ErrorKind::{Denied, Interrupted, Refused, Throttled, Unreachable, Unreadable};
        let codes: [(ErrorKind, u16, &[&str]); 6] = [
            (
                Throttled,
                400,
                &[
                    // Those of aws-runtime, and SNS's own.
                    "Throttling",
                    "ThrottlingException",
                    "ThrottledException",
                    "RequestThrottledException",
                    "TooManyRequestsException",
                    "RequestLimitExceeded",
                    "BandwidthLimitExceeded",
                    "RequestThrottled",
                    "SlowDown",
                    "PriorRequestNotComplete",
                    "EC2ThrottledException",
                    "Throttled",
                    "KMSThrottling",
                ],
            ),
            (Throttled, 429, &["SomethingNew", "AccessDenied"]),
            (Denied, 403, CODES[0].1),
            (Interrupted, 403, CODES[1].1),
            (Unreachable, 400, CODES[2].1),
            (Refused, 400, &["ValidationException", "InvalidParameter", "LimitExceededException", "SomethingNew", ""]),
        ];
        for (kind, status, codes) in codes {
            for code in codes {
                let error = of_service(Some(code), status);
                assert_eq!(ErrorKind::from(&error), kind, "{code}");
                let is_transient = !matches!(kind, Denied | Refused);
                assert_eq!(ErrorKind::from(&error).is_transient(), is_transient, "{code}");
            }
        }
        let no_reply = "no reply";
        for (error, kind) in [
            (of_service(Some("InternalError"), 500), Unreachable),
            (of_service(Some("ServiceUnavailable"), 503), Unreachable),
            (of_service(None, 502), Unreachable),
            (of_service(None, 404), Unreadable),
            (of_service(None, 200), Unreadable),
            (SdkError::timeout_error(no_reply), Unreachable),
            (SdkError::dispatch_failure(ConnectorError::io(no_reply.into())), Unreachable),
            (SdkError::construction_failure(no_reply), Refused),
        ] {
            assert_eq!(ErrorKind::from(&error), kind, "{error:?}");
            assert_eq!(kind.is_transient(), kind != Refused);
        }
    }
}
