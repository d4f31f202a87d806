//! Which subscription a message asks to confirm.
//!
//! Pure: no AWS client, no clock.

use gatehouse_shared::sns::{TopicArn, Verified};
use url::form_urlencoded;

use crate::error::SubscribeUrlError;

/// A subscription that waits to be confirmed.
#[derive(Clone, PartialEq, Eq)]
pub struct Confirmation {
    topic: TopicArn,
    token: String,
}

impl Confirmation {
    /// Reads a SubscriptionConfirmation.
    ///
    /// The API can do more than the URL, `AuthenticateOnUnsubscribe`, and so the URL is visited only where SNS denies the
    /// call. It is checked in any case, like the certificate's: SNS sends one that fits the topic and the token, and
    /// anything else is refused.
    ///
    /// # Errors
    ///
    /// [`SubscribeUrlError`] names the part that does not fit.
    pub fn of(message: &Verified) -> Result<Self, SubscribeUrlError> {
        let topic: TopicArn = message.topic_arn().parse().map_err(|_| SubscribeUrlError { part: "TopicArn" })?;
        let token = message.token().unwrap_or_default().to_owned();
        check(message.subscribe_url().unwrap_or_default(), &topic, &token)?;
        Ok(Self { topic, token })
    }

    #[must_use]
    pub fn topic(&self) -> &TopicArn {
        &self.topic
    }

    /// The URL that confirms it when it is opened: that of the message, put together again from the parts that were
    /// checked, so that nothing else of it counts. It holds the token.
    #[must_use]
    pub fn url(&self) -> String {
        let region = self.topic.region();
        let token: String = form_urlencoded::byte_serialize(self.token.as_bytes()).collect();
        let query = format!("Action=ConfirmSubscription&TopicArn={}&Token={token}", self.topic);
        format!("https://sns.{region}.{}/?{query}", region.dns_suffix())
    }

    /// What proves that the endpoint got the message. It is a secret.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

/// Accepts exactly what SNS sends, `https://sns.<region>.<dns suffix>/?Action=ConfirmSubscription&TopicArn=…&Token=…`,
/// with Region, topic and token of the message.
fn check(url: &str, topic: &TopicArn, token: &str) -> Result<(), SubscribeUrlError> {
    let refused = |part| Err(SubscribeUrlError { part });
    let region = topic.region();
    let Some(rest) = url.strip_prefix("https://") else { return refused("scheme") };
    let Some((host, query)) = rest.split_once("/?") else { return refused("path") };
    if host != format!("sns.{region}.{}", region.dns_suffix()) {
        return refused("host");
    }
    let expected = [("Action", "ConfirmSubscription"), ("TopicArn", topic.as_str()), ("Token", token)];
    for (name, value) in expected {
        let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        if values.next().is_none_or(|(_, seen)| seen != value) || values.next().is_some() {
            return refused(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_url_of_the_topic_and_the_token_is_accepted() {
        const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:example";
        let topic: TopicArn = TOPIC.parse().unwrap();
        let query = format!("Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc");
        for (url, expected) in [
            (format!("https://sns.eu-west-1.amazonaws.com/?{query}"), None),
            (format!("https://sns.eu-west-1.amazonaws.com/?{}", query.replace(':', "%3A")), None),
            (format!("http://sns.eu-west-1.amazonaws.com/?{query}"), Some("scheme")),
            (format!("https://sns.us-east-1.amazonaws.com/?{query}"), Some("host")),
            (format!("https://sns.eu-west-1.amazonaws.com.example.com/?{query}"), Some("host")),
            (format!("https://sns.eu-west-1.amazonaws.com@example.com/?{query}"), Some("host")),
            (format!("https://sns.s3-us-west-2.amazonaws.com/?{query}"), Some("host")),
            (format!("https://sns.eu-west-1.amazonaws.com:8443/?{query}"), Some("host")),
            (format!("https://sns.eu-west-1.amazonaws.com/path?{query}"), Some("path")),
            ("https://sns.eu-west-1.amazonaws.com/".to_owned(), Some("path")),
            (String::new(), Some("scheme")),
            (format!("https://sns.eu-west-1.amazonaws.com/?{}", query.replace("Confirm", "Un")), Some("Action")),
            (format!("https://sns.eu-west-1.amazonaws.com/?{query}x"), Some("Token")),
            (format!("https://sns.eu-west-1.amazonaws.com/?{query}&Token=abc"), Some("Token")),
            (format!("https://sns.eu-west-1.amazonaws.com/?{}", query.replace("example", "other")), Some("TopicArn")),
        ] {
            assert_eq!(check(&url, &topic, "abc").err().map(|error| error.part), expected, "{url}");
        }
    }
}
