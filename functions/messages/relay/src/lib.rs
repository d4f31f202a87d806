//! Takes SNS messages over HTTPS, verifies them, and publishes them to a topic of this account.

pub mod config;
pub mod confirmation;
pub mod error;
pub mod outcome;
mod published;
pub mod request;

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::Region;
use aws_sdk_sns::types::MessageAttributeValue;
use gatehouse_shared::clock;
use gatehouse_shared::sns::{Channel, Envelope, MessageType, TopicArn, Verified, Verifier};
use lambda_runtime::LambdaEvent;
use serde_json::Value;

use crate::config::Config;
use crate::confirmation::Confirmation;
use crate::error::{Declined, Error};
use crate::outcome::{Done, Subject};
use crate::published::Published;
use crate::request::Request;

/// SNS gives up a request after 15 s, and the answer must come within 10.
const ANSWER_WITHIN: Duration = Duration::from_secs(9);
/// Kept back from Lambda's deadline, to answer.
const RESERVE: Duration = Duration::from_millis(500);

/// The function.
pub struct MessageRelay {
    config: Config,
    verifier: Verifier,
    sns: Client,
    published: Published,
}

impl MessageRelay {
    /// The function with its client. Those of other Regions are made from `sns`.
    #[must_use]
    pub fn new(config: Config, verifier: Verifier, sns: Client) -> Self {
        let published = Published::new(verifier.accepted_again_within(Channel::Https));
        Self { config, verifier, sns, published }
    }

    /// Answers a request of the function URL.
    ///
    /// # Errors
    ///
    /// [`Error::Event`] where the event is no such request.
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<Value, Error> {
        let LambdaEvent { payload, context } = invocation;
        let time = clock::until(context.deadline, clock::now()).saturating_sub(RESERVE).min(ANSWER_WITHIN);
        let Request { request_id, source_ip, delivery } = Request::parse(payload)?;
        let (subject, outcome) = match delivery {
            Ok(envelope) => {
                let subject = Subject::of(request_id, source_ip, &envelope);
                // On the heap: nested futures of this depth are more than the compiler lays out.
                let relaying = Box::pin(self.relay(envelope));
                (subject, tokio::time::timeout(time, relaying).await.unwrap_or(Err(Declined::OutOfTime)))
            }
            Err(declined) => (Subject { request_id, source_ip, ..Subject::default() }, Err(declined)),
        };
        outcome::log(&outcome, &subject);
        outcome::metrics(&context.env_config.function_name, clock::now(), &outcome).emit();
        Ok(outcome::response(&outcome))
    }

    async fn relay(&self, envelope: Envelope) -> Result<Done, Declined> {
        let message = self.verifier.verify(envelope, Channel::Https, clock::now()).await?;
        match message.message_type() {
            MessageType::Notification => self.publish(&message).await,
            MessageType::SubscriptionConfirmation => self.confirm(&message).await,
            MessageType::UnsubscribeConfirmation => Ok(Done::Unsubscribed),
        }
    }

    async fn publish(&self, message: &Verified) -> Result<Done, Declined> {
        if self.published.has(message, clock::now()) {
            return Ok(Done::Duplicate);
        }
        if self.config.dry_run {
            return Ok(Done::Planned);
        }
        let topic = &self.config.target_topic_arn;
        let answer = self
            .client_of(topic)
            .publish()
            .topic_arn(topic.as_str())
            .message(message.message())
            .set_subject(message.subject().map(ToOwned::to_owned))
            .message_attributes("gatehouse.origin-topic-arn", text_attribute(message.topic_arn()))
            .message_attributes("gatehouse.origin-message-id", text_attribute(message.message_id()))
            .message_attributes("gatehouse.origin-timestamp", text_attribute(message.timestamp()))
            .send()
            .await
            .map_err(|error| error::publish(topic, error))?;
        self.published.add(message, clock::now());
        Ok(Done::Relayed { target_message_id: answer.message_id.unwrap_or_default() })
    }

    async fn confirm(&self, message: &Verified) -> Result<Done, Declined> {
        let confirmation = Confirmation::of(message)?;
        if self.config.dry_run {
            return Ok(Done::Planned);
        }
        let answer = self
            .client_of(confirmation.topic())
            .confirm_subscription()
            .topic_arn(confirmation.topic().as_str())
            .token(confirmation.token())
            .authenticate_on_unsubscribe("true")
            .send()
            .await
            .map_err(|error| error::confirm(confirmation.topic(), error))?;
        Ok(Done::Confirmed { subscription_arn: answer.subscription_arn.unwrap_or_default() })
    }

    /// A client for the Region of the topic.
    fn client_of(&self, topic: &TopicArn) -> Client {
        let region = Region::new(topic.region().to_string());
        Client::from_conf(self.sns.config().to_builder().region(region).build())
    }
}

#[expect(clippy::expect_used, reason = "the type, which is all that is required, is set")]
fn text_attribute(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().expect("a type")
}
