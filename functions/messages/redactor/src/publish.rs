//! Publishes to the subscriber's topic.

use aws_sdk_sns::Client;
use aws_sdk_sns::config::{Builder, Region};
use aws_sdk_sns::error::ProvideErrorMetadata as _;
use aws_sdk_sns::primitives::Blob;
use aws_sdk_sns::types::MessageAttributeValue;
use gatehouse_shared::sns::TopicArn;

use crate::error::{Error, next_of_publish};
use data_protection::{Attribute, AttributeValue, Content};

/// Publishes to one topic, in the topic's own Region.
#[derive(Debug, Clone)]
pub struct Publisher {
    client: Client,
    topic_arn: String,
}

impl Publisher {
    /// A publisher for the topic. `config` is the SDK's; its Region is replaced by that of the topic.
    #[must_use]
    pub fn new(config: impl Into<Builder>, topic_arn: &TopicArn) -> Self {
        let config = config.into().region(Region::new(topic_arn.region().to_string())).build();
        Self { client: Client::from_conf(config), topic_arn: topic_arn.to_string() }
    }

    /// Publishes what the message of this id became; gives SNS's identifier of what was published.
    pub(crate) async fn publish(&self, message_id: &str, content: Content) -> Result<String, Error> {
        let failure = |next, source| Error::Publish { message_id: message_id.to_owned(), next, source };
        let Content { message, subject, attributes } = content;
        let mut request = self.client.publish().topic_arn(&self.topic_arn).message(message).set_subject(subject);
        for Attribute { name, data_type, value } in attributes {
            let attribute = MessageAttributeValue::builder().data_type(data_type);
            let attribute = match value {
                AttributeValue::Text(text) => attribute.string_value(text),
                AttributeValue::Binary(bytes) => attribute.binary_value(Blob::new(bytes)),
            };
            let attribute = attribute
                .build()
                .map_err(|error| failure("this is a fault of the function: report it with this log", error.into()))?;
            request = request.message_attributes(name, attribute);
        }
        let answer = request.send().await.map_err(|error| failure(next_of_publish(error.code()), error.into()))?;
        Ok(answer.message_id.unwrap_or_default())
    }
}
