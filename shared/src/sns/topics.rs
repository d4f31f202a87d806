//! The topics whose messages are accepted.

use std::fmt;

use super::TopicArn;

/// Any topic, or only these: never an empty list, which somebody could read either way.
///
/// ```
/// use gatehouse_shared::sns::{TopicArn, Topics};
///
/// let topic: TopicArn = "arn:aws:sns:us-east-1:806199016981:AmazonIpSpaceChanged".parse().unwrap();
/// let topics = Topics::only([topic]).unwrap();
/// assert!(topics.admit("arn:aws:sns:us-east-1:806199016981:AmazonIpSpaceChanged"));
/// assert!(!topics.admit("arn:aws:sns:us-east-1:123456789012:AmazonIpSpaceChanged"));
/// assert!(Topics::any().admit("arn:aws:sns:us-east-1:123456789012:AmazonIpSpaceChanged"));
///
/// assert_eq!(Topics::only([]).unwrap_err().to_string(), "expected one or more topic ARNs");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// `None`: any topic. `Some`: one or more.
    only: Option<Vec<TopicArn>>,
}

/// A list of topics is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one or more topic ARNs")]
pub struct NoTopics;

impl Topics {
    /// Messages of any topic, of any account.
    #[must_use]
    pub fn any() -> Self {
        Self { only: None }
    }

    /// Only messages of these topics.
    ///
    /// # Errors
    ///
    /// [`NoTopics`] for an empty list.
    pub fn only(topics: impl IntoIterator<Item = TopicArn>) -> Result<Self, NoTopics> {
        let topics: Vec<_> = topics.into_iter().collect();
        if topics.is_empty() { Err(NoTopics) } else { Ok(Self { only: Some(topics) }) }
    }

    /// Whether messages of any topic are accepted.
    #[must_use]
    pub fn are_any(&self) -> bool {
        self.only.is_none()
    }

    /// The topics; empty where messages of any topic are accepted.
    pub fn iter(&self) -> impl Iterator<Item = &TopicArn> {
        self.only.iter().flatten()
    }

    /// Whether messages of the topic with this ARN are accepted.
    #[must_use]
    pub fn admit(&self, topic_arn: &str) -> bool {
        self.only.as_ref().is_none_or(|topics| topics.iter().any(|topic| topic.as_str() == topic_arn))
    }
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.only {
            Some(topics) => f.write_str(&topics.iter().map(TopicArn::as_str).collect::<Vec<_>>().join(", ")),
            None => f.write_str("any topic"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_shown_as_in_the_setting() {
        let topics = ["one", "two"].map(|name| format!("arn:aws:sns:us-east-1:123456789012:{name}").parse().unwrap());
        let topics = Topics::only(topics).unwrap();
        assert!(!topics.are_any());
        assert_eq!(
            topics.to_string(),
            "arn:aws:sns:us-east-1:123456789012:one, arn:aws:sns:us-east-1:123456789012:two"
        );
        assert!(Topics::any().are_any());
        assert_eq!(Topics::any().to_string(), "any topic");
    }
}
