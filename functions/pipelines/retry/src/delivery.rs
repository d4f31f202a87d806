//! The ways in which an event arrives.
//!
//! | invocation | from | what makes it trustworthy |
//! |---|---|---|
//! | `Records[].Sns` | SNS | the function's policy, and the signature of SNS |
//! | `Records[].body` with an SNS message | SNS → SQS | the queue's policy, and the signature of SNS |
//! | `Records[].body` with an EventBridge event of CodePipeline or AWS Health | EventBridge → SQS | the queue's policy alone |
//! | the event itself | EventBridge, or a person | who may invoke the function |
//!
//! EventBridge does not sign. So whoever may send to the queue can have a stage retried that the health gate held back
//! (which asks the gate again, within `MAX_RETRIES` and `PIPELINES`), with no signature to stop them: the queue's policy
//! must admit the topic and the EventBridge rule only. The other unsigned shape, the one of CodeStar Notifications, is
//! refused in a queue, because it gets there only when raw message delivery takes the signature away.

use gatehouse_shared::sns::{Envelope, ParseError, envelopes_of_lambda_event};
use gatehouse_shared::sqs::{Message, RecordsError, messages};
use serde_json::Value;

/// The messages of one invocation.
#[derive(Debug)]
pub enum Delivery {
    /// An event as it is.
    Direct(Value),
    /// SNS invoked the function.
    Sns(Vec<Envelope>),
    /// SQS invoked the function.
    Sqs(Vec<Message>),
}

/// Why a delivery cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The records are not those of SNS.
    #[error("reading the records of SNS")]
    Sns(#[from] ParseError),
    /// The records are those of neither SNS nor SQS.
    #[error(transparent)]
    Sqs(#[from] RecordsError),
    /// The body of a record is not JSON.
    #[error("reading the body of the record, which is a JSON object")]
    Body(#[source] serde_json::Error),
    /// The body of a record holds an event without the SNS message around it.
    #[error(
        "the body of the record is not signed: expected an SNS message (turn raw message delivery off), or an \
         EventBridge event of aws.codepipeline or aws.health"
    )]
    Unsigned,
}

impl Delivery {
    /// Sorts an invocation by its shape.
    ///
    /// # Errors
    ///
    /// [`DeliveryError`] when it has `Records` that are neither those of SNS nor those of SQS.
    pub fn parse(payload: Value) -> Result<Self, DeliveryError> {
        if payload.pointer("/Records/0/Sns").is_some() {
            return Ok(Self::Sns(envelopes_of_lambda_event(&payload)?));
        }
        match messages(&payload) {
            Some(messages) => Ok(Self::Sqs(messages?)),
            None => Ok(Self::Direct(payload)),
        }
    }
}

/// The body of an SQS record.
#[derive(Debug)]
pub enum Body {
    /// An SNS message; its signature is yet to be checked.
    Sns(Envelope),
    /// An event that EventBridge sent to the queue.
    EventBridge(Value),
}

impl Body {
    /// Reads the body of an SQS record.
    ///
    /// # Errors
    ///
    /// [`DeliveryError`] when it is not JSON, or neither of the two.
    pub fn parse(body: &str) -> Result<Self, DeliveryError> {
        let body: Value = serde_json::from_str(body).map_err(DeliveryError::Body)?;
        if body.get("Type").is_some() {
            return Ok(Self::Sns(Envelope::from_value(&body)?));
        }
        let is_of_aws = body.get("source").is_some_and(|source| source == "aws.codepipeline" || source == "aws.health");
        if is_of_aws && body.get("detail-type").is_some() {
            return Ok(Self::EventBridge(body));
        }
        Err(DeliveryError::Unsigned)
    }
}
