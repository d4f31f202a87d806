//! Through which topics relays brought a message, so that one that goes round in a circle is stopped.
//!
//! Pure: no AWS client, no clock.
//!
//! SNS does not sign attributes, so what they say only ever stops a message. Whoever takes the attribute away gets a copy
//! of a message that was published already.

use gatehouse_shared::sns::TopicArn;
use serde::Deserialize;

/// The message attribute: the ARNs of the topics, comma-separated, the first one first. Each relay adds the topic that
/// it took the message from, and the redactor keeps it.
pub const ATTRIBUTE: &str = "gatehouse.relayed-through";
/// No estate relays so often: what comes this way goes round in a circle that is not seen.
const MAX_TOPICS: usize = 8;

/// The topics that a message came through, as it says itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route(Vec<TopicArn>);

/// Why a message is not relayed further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// It was in this topic before.
    #[error(
        "the message came through {topic} before: what is published to TARGET_TOPIC_ARN comes back to TOPIC_ARNS; take \
         one of these topics out of TOPIC_ARNS of its relay, or end its subscription"
    )]
    Loop {
        /// The topic that it comes from, or would go to.
        topic: String,
    },
    /// It came through too many topics.
    #[error(
        "the message came through {MAX_TOPICS} topics or more: relays probably publish to each other's topics; take one \
         of them out of TOPIC_ARNS of its relay"
    )]
    TooLong,
}

impl Route {
    /// Reads the attribute from the body of a delivery. Without one, or with another form, it is empty.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body {
            #[serde(rename = "MessageAttributes")]
            attributes: Option<Attributes>,
        }
        #[derive(Deserialize)]
        struct Attributes {
            #[serde(rename = "gatehouse.relayed-through")]
            through: Option<Attribute>,
        }
        #[derive(Deserialize)]
        struct Attribute {
            #[serde(rename = "Value")]
            value: String,
        }
        let attribute = serde_json::from_slice::<Body>(body).ok().and_then(|body| body.attributes?.through);
        let value = attribute.map(|attribute| attribute.value).unwrap_or_default();
        // One more than is accepted says enough.
        Self(value.split(',').take(MAX_TOPICS + 1).filter_map(|topic| topic.parse().ok()).collect())
    }

    /// The attribute of a message that goes on from `origin` to `target`.
    ///
    /// # Errors
    ///
    /// [`RouteError`] where it was in one of these before, or came through too many topics.
    pub fn on_to(&self, origin: &str, target: &TopicArn) -> Result<String, RouteError> {
        let is_known = |topic: &str| self.0.iter().any(|known| known.as_str() == topic);
        if let Some(topic) = [target.as_str(), origin].into_iter().find(|topic| is_known(topic)) {
            return Err(RouteError::Loop { topic: topic.to_owned() });
        }
        if self.0.len() >= MAX_TOPICS {
            return Err(RouteError::TooLong);
        }
        let topics = self.0.iter().map(TopicArn::as_str).chain([origin]);
        Ok(topics.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicArn {
        format!("arn:aws:sns:eu-west-1:123456789012:{name}").parse().unwrap()
    }

    fn body(value: &str) -> Vec<u8> {
        let attributes = serde_json::json!({ ATTRIBUTE: { "Type": "String", "Value": value }, "other": { "Type": 1 } });
        serde_json::json!({ "Type": "Notification", "MessageAttributes": attributes }).to_string().into_bytes()
    }

    #[test]
    fn a_message_goes_through_a_chain_and_not_through_a_circle() {
        // a -> b -> c -> d, and from each of them back.
        let mut attribute = String::new();
        let names = ["a", "b", "c", "d"];
        for (index, pair) in names.windows(2).enumerate() {
            let route = Route::from_body(&body(&attribute));
            for before in &names[..index] {
                let topics = [topic(before), topic(pair[0])];
                let circle = Err(RouteError::Loop { topic: topics[0].to_string() });
                assert_eq!(route.on_to(topics[1].as_str(), &topics[0]), circle);
                // The redactor publishes to a topic that its own relay takes messages from.
                assert_eq!(route.on_to(topics[0].as_str(), &topics[1]), circle);
            }
            attribute = route.on_to(topic(pair[0]).as_str(), &topic(pair[1])).unwrap();
        }
        assert_eq!(attribute, ["a", "b", "c"].map(|name| topic(name).to_string()).join(","));
    }

    #[test]
    fn a_route_has_an_end() {
        let long: Vec<String> = (0..20).map(|index| topic(&format!("t{index}")).to_string()).collect();
        let route = Route::from_body(&body(&long.join(",")));
        assert_eq!(route.on_to(topic("origin").as_str(), &topic("target")), Err(RouteError::TooLong));
    }

    #[test]
    fn what_is_no_route_is_none() {
        for body in [
            &b"{}"[..],
            b"",
            b"[",
            br#"{"MessageAttributes": null}"#,
            br#"{"MessageAttributes": []}"#,
            br#"{"MessageAttributes": {"gatehouse.relayed-through": 1}}"#,
            body("####").as_slice(),
            body(",,").as_slice(),
        ] {
            assert_eq!(Route::from_body(body), Route::default(), "{}", String::from_utf8_lossy(body));
        }
    }
}
