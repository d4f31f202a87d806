//! A record of CloudTrail, as far as the mail needs it.

use serde::Deserialize;
use serde_json::Value;

/// A record. Only the name of the call is required: old records lack most of the rest.
///
/// Source: CloudTrail User Guide, "CloudTrail record contents for management, data, and network activity events".
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Such as `CreateUser`.
    pub event_name: String,
    /// Such as `iam.amazonaws.com`.
    pub event_source: Option<String>,
    /// In UTC, such as `2026-01-17T02:41:07Z`.
    pub event_time: Option<String>,
    /// The Region in which CloudTrail has the record.
    pub aws_region: Option<String>,
    /// An address, or the name of the AWS service that called.
    #[serde(rename = "sourceIPAddress")]
    pub source_ip_address: Option<String>,
    /// The program that called.
    pub user_agent: Option<String>,
    /// Present where the call failed, such as `AccessDenied`.
    pub error_code: Option<String>,
    /// What the service said about it.
    pub error_message: Option<String>,
    /// The id of the record.
    #[serde(rename = "eventID")]
    pub event_id: Option<String>,
    /// The account in which it happened.
    pub recipient_account_id: Option<String>,
    /// Who called.
    pub user_identity: Option<UserIdentity>,
    /// What was requested.
    pub request_parameters: Option<Value>,
    /// What was answered.
    pub response_elements: Option<Value>,
    /// More that the service recorded.
    pub additional_event_data: Option<Value>,
    /// Details of an event that no call led to (`AwsServiceEvent`).
    pub service_event_details: Option<Value>,
    /// The VPC endpoint through which the call came.
    pub vpc_endpoint_id: Option<Value>,
    /// The account of that endpoint.
    pub vpc_endpoint_account_id: Option<Value>,
    /// `"true"` where the credentials are those of a session in the console.
    pub session_credential_from_console: Option<Value>,
}

/// Who called.
///
/// Source: CloudTrail User Guide, "CloudTrail userIdentity element".
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserIdentity {
    /// Such as `Root`, `IAMUser` or `AssumedRole`. Events of AWS services may lack it.
    pub r#type: Option<String>,
    /// The ARN of the user, or of the session of a role.
    pub arn: Option<String>,
    /// The account of the caller.
    pub account_id: Option<String>,
    /// The unique id; for the session of a role `<id of the role>:<name of the session>`.
    pub principal_id: Option<String>,
    /// The name of the user.
    pub user_name: Option<String>,
    /// The access key that signed the call.
    pub access_key_id: Option<String>,
    /// The AWS service that called on behalf of the identity.
    pub invoked_by: Option<String>,
    /// The identity provider of a SAML or web identity user.
    pub identity_provider: Option<String>,
    /// The session of temporary credentials.
    pub session_context: Option<SessionContext>,
    /// The user of IAM Identity Center on whose behalf the call was made.
    pub on_behalf_of: Option<Value>,
    /// What the credentials were issued to, such as a Lambda function.
    pub in_scope_of: Option<Value>,
}

/// The session of temporary credentials.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionContext {
    /// Who the temporary credentials were made for: the role, or the user of a federated user.
    pub session_issuer: Option<SessionIssuer>,
    /// More on the session.
    pub attributes: Option<Attributes>,
    /// `"true"` for a session of the root user that another account took with `AssumeRoot`.
    pub assumed_root: Option<Value>,
    /// The person behind the session, where the identity provider was asked for it.
    pub source_identity: Option<String>,
    /// The provider of the token for which the credentials were given, and what the token says, such as the repository.
    pub web_id_federation_data: Option<Value>,
}

/// Who the temporary credentials were made for.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionIssuer {
    /// The ARN of the role or user.
    pub arn: Option<String>,
    /// The name of the role or user.
    pub user_name: Option<String>,
}

/// More on the session.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attributes {
    /// `"true"` or `"false"`.
    pub mfa_authenticated: Option<Value>,
}

impl Record {
    /// The record in an event's `detail`.
    ///
    /// # Errors
    ///
    /// What is not as documented, such as a number where a text belongs. Such a record is mailed as it is.
    pub fn of(detail: &Value) -> Result<Self, String> {
        let record = Self::deserialize(detail).map_err(|error| error.to_string())?;
        if record.event_name.trim().is_empty() { Err("eventName is empty".to_owned()) } else { Ok(record) }
    }

    /// Whether the call failed, so that nothing was changed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.error_code.is_some() || self.error_message.is_some()
    }
}

/// Whether a flag of a record is set. CloudTrail writes flags as text.
pub(crate) fn is_true(flag: Option<&Value>) -> bool {
    matches!(flag, Some(Value::Bool(true))) || flag.and_then(Value::as_str) == Some("true")
}
