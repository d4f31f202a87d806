//! The calls to Systems Manager, and to the key that signs the link.

use std::time::Duration;

use ami_approval::execution::Execution;
use ami_approval::link::Token;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::MacAlgorithmSpec;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::ProvideErrorMetadata;
use aws_sdk_ssm::types::{AutomationExecution, ResourceTypeForTagging, Tag};
use time::OffsetDateTime;

use crate::config::LinkConfig;
use crate::error::{self, Error};
use crate::request::StartRequest;

/// How often a new execution is requested, as Systems Manager may not know it everywhere at once.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// The result of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Started {
    /// The execution of this request: a new one, or that of an earlier delivery.
    Execution(String),
    /// An execution with this client token was started before, with other parameters.
    Mismatch,
}

/// Starts the execution, or finds the one that an earlier delivery started.
pub(crate) async fn start(ssm: &Client, document: &str, request: &StartRequest) -> Result<Started, Error> {
    let tags = request.tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok());
    let started = ssm
        .start_automation_execution()
        .document_name(document)
        .client_token(&request.client_token)
        .set_parameters(Some(request.parameters()))
        .set_tags(Some(tags.collect()))
        .send()
        .await;
    match started {
        Ok(started) => started.automation_execution_id.map(Started::Execution).ok_or(Error::Automation {
            operation: "StartAutomationExecution",
            next: "it is tried again when the notice is delivered again",
            source: "the answer has no execution id".into(),
        }),
        // The SDK names it without the suffix that it has on the wire in some releases of the model.
        Err(error) if error.code().is_some_and(|code| code.starts_with("IdempotentParameterMismatch")) => {
            Ok(Started::Mismatch)
        }
        Err(error) => Err(error::automation("StartAutomationExecution", error)),
    }
}

/// An execution that was just started.
pub(crate) async fn started(ssm: &Client, execution_id: &str) -> Result<Execution, Error> {
    let mut attempt = 1;
    let answer = loop {
        match ssm.get_automation_execution().automation_execution_id(execution_id).send().await {
            Ok(answer) => break answer,
            Err(error) if attempt < ATTEMPTS && error.code() == Some("AutomationExecutionNotFoundException") => {
                tokio::time::sleep(PAUSE * attempt).await;
                attempt += 1;
            }
            Err(error) => return Err(error::automation("GetAutomationExecution", error)),
        }
    };
    read(answer.automation_execution())
}

/// An execution that a person or an event names; `None` where this capability has none with that id. The role may read
/// executions with the tag of the capability alone.
pub(crate) async fn find(ssm: &Client, execution_id: &str) -> Result<Option<Execution>, Error> {
    match ssm.get_automation_execution().automation_execution_id(execution_id).send().await {
        Ok(answer) => read(answer.automation_execution()).map(Some),
        Err(error)
            if matches!(error.code(), Some("AutomationExecutionNotFoundException" | "AccessDeniedException")) =>
        {
            Ok(None)
        }
        Err(error) => Err(error::automation("GetAutomationExecution", error)),
    }
}

fn read(execution: Option<&AutomationExecution>) -> Result<Execution, Error> {
    let failed = |source| Error::Automation {
        operation: "GetAutomationExecution",
        next: "the README lists what a runbook of your own must have",
        source,
    };
    let execution = execution.ok_or_else(|| failed("the answer has no execution".into()))?;
    Execution::read(execution).map_err(|error| failed(error.into()))
}

/// The tags of an execution that this function set when it was started.
pub(crate) async fn tags(ssm: &Client, execution_id: &str) -> Result<Vec<(String, String)>, Error> {
    let listed = ssm
        .list_tags_for_resource()
        .resource_type(ResourceTypeForTagging::Automation)
        .resource_id(execution_id)
        .send()
        .await
        .map_err(|error| error::automation("ListTagsForResource", error))?;
    let tags = listed.tag_list().iter().filter(|tag| tag.key().starts_with("gatehouse:"));
    Ok(tags.map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
}

/// The link to the page for this execution.
pub(crate) async fn link(
    kms: &aws_sdk_kms::Client,
    config: &LinkConfig,
    execution_id: &str,
    expires_at: OffsetDateTime,
) -> Result<String, Error> {
    let token = Token::new(execution_id, expires_at).ok_or_else(|| Error::Automation {
        operation: "StartAutomationExecution",
        next: "see the execution in the console of Systems Manager",
        source: format!("the execution id is {execution_id:?}: expected a UUID").into(),
    })?;
    let key = &config.key_arn;
    let made = kms
        .generate_mac()
        .key_id(key.as_str())
        .mac_algorithm(MacAlgorithmSpec::HmacSha256)
        .message(Blob::new(token.message()))
        .send()
        .await
        .map_err(|error| error::key(key, error))?;
    let mac = made.mac().ok_or_else(|| Error::Key {
        key: key.to_string(),
        next: "it is tried again when the notice is delivered again",
        source: "the answer has no MAC".into(),
    })?;
    Ok(config.page_url.with_token(&token.with_mac(mac.as_ref())))
}
