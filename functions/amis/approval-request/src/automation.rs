//! The calls to Systems Manager: starting the execution, and the key that signs the link.

use std::time::Duration;

use ami_approval::link::{Key, Token};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::ProvideErrorMetadata;
use aws_sdk_ssm::types::{AutomationExecutionStatus, ParameterType, Tag};
use time::OffsetDateTime;

use crate::config::LinkConfig;
use crate::error::{self, Error};
use crate::request::Request;

/// How often a new execution is asked for, as Systems Manager may not know it everywhere at once.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// What became of the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Started {
    /// The execution of this build: a new one, or that of an earlier delivery of the notice.
    Execution(String),
    /// An execution with this client token was started before, with other parameters.
    Mismatch,
}

/// Starts the execution, or finds the one that an earlier delivery started.
pub(crate) async fn start(ssm: &Client, document: &str, request: &Request) -> Result<Started, Error> {
    let images = request.images.iter().map(ToString::to_string).collect();
    let tags = request.tags.iter().filter_map(|(key, value)| Tag::builder().key(*key).value(value).build().ok());
    let started = ssm
        .start_automation_execution()
        .document_name(document)
        .client_token(&request.client_token)
        .parameters("images", images)
        .parameters("imageName", vec![request.image_name.clone()])
        .parameters("buildArn", vec![request.build.to_string()])
        .parameters("summary", vec![request.summary.clone()])
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

/// When the execution began; `None` where it has ended and there is nothing to decide any more.
pub(crate) async fn began(ssm: &Client, execution_id: &str) -> Result<Option<OffsetDateTime>, Error> {
    let mut attempt = 1;
    let execution = loop {
        match ssm.get_automation_execution().automation_execution_id(execution_id).send().await {
            Ok(answer) => break answer.automation_execution,
            Err(error)
                if attempt < ATTEMPTS
                    && error
                        .as_service_error()
                        .is_some_and(|error| error.is_automation_execution_not_found_exception()) =>
            {
                tokio::time::sleep(PAUSE * attempt).await;
                attempt += 1;
            }
            Err(error) => return Err(error::automation("GetAutomationExecution", error)),
        }
    };
    let incomplete = || Error::Automation {
        operation: "GetAutomationExecution",
        next: "it is tried again when the notice is delivered again",
        source: "the answer has no execution with its start time".into(),
    };
    let execution = execution.ok_or_else(incomplete)?;
    if execution.automation_execution_status().is_some_and(has_ended) {
        return Ok(None);
    }
    let began = execution.execution_start_time().ok_or_else(incomplete)?;
    OffsetDateTime::from_unix_timestamp(began.secs()).map(Some).map_err(|_| incomplete())
}

/// Whether an execution with this status can be approved no more. A status that is not known is taken for one that can.
fn has_ended(status: &AutomationExecutionStatus) -> bool {
    use AutomationExecutionStatus::{
        Approved, Cancelled, Cancelling, CompletedWithFailure, CompletedWithSuccess, Exited, Failed, Rejected, Success,
        Timedout,
    };
    matches!(
        status,
        Approved
            | Cancelled
            | Cancelling
            | CompletedWithFailure
            | CompletedWithSuccess
            | Exited
            | Failed
            | Rejected
            | Success
            | Timedout
    )
}

/// The link to the page for this execution, and until when it may be used.
pub(crate) async fn link(
    ssm: &Client,
    config: &LinkConfig,
    execution_id: &str,
    began: OffsetDateTime,
) -> Result<(String, OffsetDateTime), Error> {
    let token = Token::new(execution_id, began + config.ttl).ok_or_else(|| Error::Automation {
        operation: "StartAutomationExecution",
        next: "see the execution in the console of Systems Manager",
        source: format!("the execution id is {execution_id:?}: expected a UUID").into(),
    })?;
    let key = key(ssm, &config.key_parameter).await?;
    Ok((config.page_url.with_token(&token.sign(&key)), token.expires_at()))
}

/// The key in the parameter, which is made where it is missing. Whoever makes it first wins: the others read that one.
async fn key(ssm: &Client, parameter: &str) -> Result<Key, Error> {
    if let Some(key) = stored_key(ssm, parameter).await? {
        return Ok(key);
    }
    let made = Key::generate_base64();
    let put = ssm
        .put_parameter()
        .name(parameter)
        .description("Signs the links in mails that ask for the approval of an AMI. Made by Gatehouse; see its README.")
        .r#type(ParameterType::SecureString)
        .value(&made)
        .overwrite(false)
        .send()
        .await;
    match put {
        Ok(_) => tracing::info!(parameter, "made the key that signs links"),
        // Another execution was faster, or the reply to an earlier attempt was lost.
        Err(error) if error.as_service_error().is_some_and(|error| error.is_parameter_already_exists()) => {}
        Err(error) => return Err(error::key(parameter, error)),
    }
    // What was stored, not what was made, signs: it is the only one that the page reads.
    for attempt in 1..=ATTEMPTS {
        if let Some(key) = stored_key(ssm, parameter).await? {
            return Ok(key);
        }
        tokio::time::sleep(PAUSE * attempt).await;
    }
    Err(Error::Key {
        parameter: parameter.to_owned(),
        next: "it is tried again when the notice is delivered again",
        source: "the parameter was made and is not found".into(),
    })
}

async fn stored_key(ssm: &Client, parameter: &str) -> Result<Option<Key>, Error> {
    match ssm.get_parameter().name(parameter).with_decryption(true).send().await {
        Ok(answer) => {
            let value = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
            Key::from_base64(&value).map(Some).map_err(|source| Error::Key {
                parameter: parameter.to_owned(),
                next: "links are not made until it is right",
                source: Box::new(source),
            })
        }
        Err(error) if error.as_service_error().is_some_and(|error| error.is_parameter_not_found()) => Ok(None),
        Err(error) => Err(error::key(parameter, error)),
    }
}
