//! Takes SNS messages over HTTPS, verifies them, and publishes them to a topic of this account.
//!
//! | what SNS sends | what is done |
//! |---|---|
//! | a notification | published to `TARGET_TOPIC_ARN`, with its subject |
//! | a subscription confirmation | confirmed by the API, so that unsubscribing needs the rights to do so; by its URL where SNS denies the call |
//! | an unsubscribe confirmation | logged and counted: no more messages will come |
//!
//! It is reachable from the internet. The cheap checks come first, nothing is fetched before they pass, and a
//! sender who is refused gets the same answer whatever the reason; the log has it.
//!
//! # Answers
//!
//! SNS tries again after a 5xx, a 429, or no answer within 15 s: three times, 20 s apart, by default; then the message goes
//! to the redrive queue of the subscription, where it has one. Any other answer is final. So a message that SNS sent is
//! either published or answered 503, whatever went wrong, and always within 10 s.
//!
//! Source: SNS Developer Guide, "Amazon SNS message delivery retries".
//!
//! | status | when |
//! |---|---|
//! | 200 | done |
//! | 400, 405, 413, 415 | not a request that SNS sends |
//! | 403 | not verified, not an accepted topic, too old, relayed in a circle, or a subscription that cannot be confirmed any more |
//! | 429 | by Lambda, where more requests come at once than may run: SNS tries again |
//! | 502 | by Lambda, for invalid settings or a fault of the function: SNS tries again |
//! | 503 | not published or not confirmed for now |
//!
//! # Attributes
//!
//! `gatehouse.origin-topic-arn`, `gatehouse.origin-message-id` and `gatehouse.origin-timestamp` say where the message came
//! from. All three are signed. The message attributes of the origin are not: anybody who once saw the message can send it
//! again with others, so they are left out, but for one: `gatehouse.relayed-through` says through which topics relays
//! brought the message, and stops it where it comes to one of them again. Four attributes in all: a raw delivery to SQS
//! takes ten.
//!
//! # Rights
//!
//! `sns:Publish` on `TARGET_TOPIC_ARN`, and `sns:ConfirmSubscription` on each of `TOPIC_ARNS`, which are its resource type.
//! The policy of a topic in another account cannot name `ConfirmSubscription` and need not: the token proves the right to
//! confirm, whatever account asks. With `AuthenticateOnUnsubscribe` the call must be signed, by any account, and so the role
//! must be allowed to make it. From then on only the owners of the topic and of the subscription can end it. Where SNS
//! denies the call all the same, the URL of the message is opened, once and without redirects: it confirms whatever the
//! account, and leaves a subscription that anybody can end who gets a link to unsubscribe.
//!
//! Source: Service Authorization Reference, "Amazon SNS"; SNS Developer Guide, "Valid Amazon SNS policy actions"; SNS API
//! Reference, `ConfirmSubscription`.
//!
//! # Limitations
//!
//! - A message that is delivered twice is published twice. Subscribers must be idempotent; `gatehouse.origin-message-id`
//!   stays the same.
//! - A flood at the URL throttles the function, and SNS has few attempts: watch the metric `Throttles`.
//! - Whether SNS reports the end of a subscription that was confirmed like this is documented in two ways: always, by the
//!   Developer Guide; only for a subscription that ends without authentication, by the API Reference of `Unsubscribe`.
//!   That no message comes does not prove that the subscription exists.
//! - SNS accepts 256 KiB with all attributes. A message that is larger with those of the relay is not published: it is
//!   answered 503 and goes to the redrive queue. `MaximumMessageSize` of the target topic raises the limit.
//! - The order of messages is not kept. FIFO topics do not deliver over HTTPS.

pub mod config;
pub mod confirmation;
pub mod error;
pub mod outcome;
pub mod request;
pub mod route;
#[cfg(test)]
mod tests;

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::Region;
use aws_sdk_sns::error::ProvideErrorMetadata as _;
use aws_sdk_sns::types::MessageAttributeValue;
use gatehouse_shared::clock;
use gatehouse_shared::deadline::{Deadline, within};
use gatehouse_shared::fetch::{Fetcher, PlainHttp};
use gatehouse_shared::sns::{Channel, Fetching, MessageType, TopicArn, Verified, Verifier};
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::config::Config;
use crate::confirmation::Confirmation;
use crate::error::{Declined, Error};
use crate::outcome::{Done, RelayOutcome, Subject};
use crate::request::{Delivery, RelayRequest};
use crate::route::Route;

/// SNS gives up a request after 15 s, and the answer must come within 10.
const ANSWER_WITHIN: Duration = Duration::from_secs(9);
/// Kept back from Lambda's deadline, to answer.
const RESERVE: Duration = Duration::from_millis(500);

/// How long the URL of a confirmation may take.
const URL_TIMEOUT: Duration = Duration::from_secs(4);
/// SNS answers with some 400 bytes of XML.
const MAX_ANSWER_BYTES: usize = 16 * 1_024;

/// Opens a URL of SNS. A trait, because no SDK client does it.
pub trait OpenUrl: Send + Sync {
    /// The answer, if its status is 200.
    fn open<'a>(&'a self, url: &'a str) -> Fetching<'a>;
}

/// Over HTTPS, without redirects. The client is made when it is needed, which it seldom is.
struct Https;

impl OpenUrl for Https {
    fn open<'a>(&'a self, url: &'a str) -> Fetching<'a> {
        Box::pin(
            async move { Fetcher::new(URL_TIMEOUT, PlainHttp::OnLoopback)?.get(url, MAX_ANSWER_BYTES, |_| ()).await },
        )
    }
}

pub struct MessageRelay {
    config: Config,
    verifier: Verifier,
    sns: Client,
    /// For the Region of `TARGET_TOPIC_ARN`. Made once: each client has connections of its own.
    target: Client,
    urls: Box<dyn OpenUrl>,
}

impl MessageRelay {
    /// The function with its client. Those of other Regions are made from `sns`.
    #[must_use]
    pub fn new(config: Config, verifier: Verifier, sns: Client) -> Self {
        let target = client_for(&sns, &config.target_topic_arn);
        Self { config, verifier, sns, target, urls: Box::new(Https) }
    }

    /// The same, with another way to open URLs.
    #[must_use]
    pub fn with_urls(self, urls: impl OpenUrl + 'static) -> Self {
        Self { urls: Box::new(urls), ..self }
    }

    /// Answers a request of the function URL.
    ///
    /// # Errors
    ///
    /// [`Error::Event`] where the event is no such request.
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<Value, Error> {
        let LambdaEvent { payload, context } = invocation;
        let now = clock::now();
        let stop = Deadline::new(&context).at_most(ANSWER_WITHIN + RESERVE).stop_for_log(RESERVE);
        let (subject, outcome) = self.outcome(RelayRequest::parse(payload)?, stop, now).await;
        outcome::log(&outcome, &subject);
        outcome::metrics(&context.env_config.function_name, now, &outcome).emit();
        Ok(outcome::response(&outcome))
    }

    /// The result of the request, and what the log says of it.
    async fn outcome(&self, request: RelayRequest, stop: Instant, now: OffsetDateTime) -> (Subject, RelayOutcome) {
        let RelayRequest { request_id, source_ip, delivery } = request;
        match delivery {
            Ok(delivery) => {
                let subject = Subject::of(request_id, source_ip, &delivery.envelope);
                (subject, within(stop, self.relay(delivery, now)).await.unwrap_or(Err(Declined::OutOfTime)))
            }
            Err(declined) => (Subject { request_id, source_ip, ..Subject::default() }, Err(declined)),
        }
    }

    async fn relay(&self, delivery: Delivery, now: OffsetDateTime) -> RelayOutcome {
        let Delivery { envelope, route } = delivery;
        let message = self.verifier.verify(envelope, Channel::Https, now).await?;
        match message.message_type() {
            MessageType::Notification => self.publish(&message, &route).await,
            MessageType::SubscriptionConfirmation => self.confirm(&message).await,
            MessageType::UnsubscribeConfirmation => Ok(Done::Unsubscribed),
        }
    }

    async fn publish(&self, message: &Verified, route: &Route) -> RelayOutcome {
        let topic = &self.config.target_topic_arn;
        let through = route.on_to(message.topic_arn(), topic)?;
        if self.config.dry_run {
            return Ok(Done::Planned);
        }
        let answer = self
            .target
            .publish()
            .topic_arn(topic.as_str())
            .message(message.message())
            .set_subject(message.subject().map(ToOwned::to_owned))
            .message_attributes("gatehouse.origin-topic-arn", text_attribute(message.topic_arn()))
            .message_attributes("gatehouse.origin-message-id", text_attribute(message.message_id()))
            .message_attributes("gatehouse.origin-timestamp", text_attribute(message.timestamp()))
            .message_attributes(route::ATTRIBUTE, text_attribute(&through))
            .send()
            .await
            .map_err(|error| error::publish(topic, error))?;
        Ok(Done::Relayed { target_message_id: answer.message_id.unwrap_or_default() })
    }

    async fn confirm(&self, message: &Verified) -> RelayOutcome {
        let confirmation = Confirmation::of(message)?;
        if self.config.dry_run {
            return Ok(Done::Planned);
        }
        let answer = client_for(&self.sns, confirmation.topic())
            .confirm_subscription()
            .topic_arn(confirmation.topic().as_str())
            .token(confirmation.token())
            .authenticate_on_unsubscribe("true")
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(Done::Confirmed { subscription_arn: answer.subscription_arn.unwrap_or_default() }),
            Err(error) if error.code().is_some_and(error::is_denied) => {
                let denied = error::confirm(confirmation.topic(), error);
                self.confirm_by_url(&confirmation, denied).await
            }
            Err(error) => Err(error::confirm(confirmation.topic(), error)),
        }
    }

    /// Opens the URL of the confirmation, once. `denied` says why the call did not do.
    async fn confirm_by_url(&self, confirmation: &Confirmation, denied: Declined) -> RelayOutcome {
        match self.urls.open(&confirmation.url()).await {
            Ok(_) => Ok(Done::ConfirmedByUrl),
            Err(error) if error.is_transient() => {
                Err(Declined::Confirm { topic: confirmation.topic().clone(), source: Box::new(error) })
            }
            Err(_) => Err(denied),
        }
    }
}

/// A client for the Region of the topic.
fn client_for(sns: &Client, topic: &TopicArn) -> Client {
    let region = Region::new(topic.region().to_string());
    Client::from_conf(sns.config().to_builder().region(region).build())
}

#[expect(clippy::expect_used, reason = "the type, which is all that is required, is set")]
fn text_attribute(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().expect("a type")
}
