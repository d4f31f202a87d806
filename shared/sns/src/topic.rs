//! The name of a topic, and the topics whose messages are accepted.

use std::fmt;
use std::str::FromStr;

use crate::{AccountId, Arn, Region};

/// The ARN of an SNS topic, such as `arn:aws:sns:us-east-1:806199016981:AmazonIpSpaceChanged`.
///
/// ```
/// use gatehouse_sns::TopicArn;
///
/// let topic: TopicArn = "arn:aws:sns:us-east-1:806199016981:AmazonIpSpaceChanged".parse().unwrap();
/// assert_eq!(topic.region().as_str(), "us-east-1");
/// assert_eq!(topic.to_string(), "arn:aws:sns:us-east-1:806199016981:AmazonIpSpaceChanged");
/// assert!("arn:aws:sns:us-east-1:806199016981:*".parse::<TopicArn>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicArn {
    text: String,
    region: Region,
}

impl TopicArn {
    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The Region of the topic.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Whether this is a FIFO topic. Those do not sign, and deliver to queues alone.
    ///
    /// ```
    /// # use gatehouse_sns::TopicArn;
    /// let is_fifo = |arn: &str| arn.parse::<TopicArn>().unwrap().is_fifo();
    /// assert!(is_fifo("arn:aws:sns:us-east-1:123456789012:orders.fifo"));
    /// assert!(!is_fifo("arn:aws:sns:us-east-1:123456789012:fifo"));
    /// ```
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.text.ends_with(".fifo")
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not the ARN of a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicArnError {
    /// It does not have the form of one.
    #[error("expected arn:<partition>:sns:<region>:<12 digits>:<topic name>")]
    Form,
    /// Its partition is not that of its Region.
    #[error("expected the partition {expected}, in which {region} is")]
    Partition {
        /// The Region named in the ARN.
        region: Region,
        /// The partition of that Region.
        expected: &'static str,
    },
}

impl FromStr for TopicArn {
    type Err = TopicArnError;

    /// Source: SNS API Reference, `CreateTopic`: names have up to 256 letters, digits, hyphens and underscores, and
    /// those of FIFO topics end with `.fifo`.
    fn from_str(text: &str) -> Result<Self, TopicArnError> {
        let arn = Arn::parse(text).filter(|arn| arn.service == "sns").ok_or(TopicArnError::Form)?;
        let Arn { partition, region, account, resource: name, .. } = arn;
        let region: Region = region.parse().map_err(|_| TopicArnError::Form)?;
        let stem = name.strip_suffix(".fifo").unwrap_or(name);
        let is_name = !stem.is_empty()
            && name.len() <= 256
            && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if account.parse::<AccountId>().is_err() || !is_name {
            return Err(TopicArnError::Form);
        }
        let expected = region.partition();
        if partition != expected {
            return Err(TopicArnError::Partition { region, expected });
        }
        Ok(Self { text: text.to_owned(), region })
    }
}

/// Any topic, or only these: never an empty list, which somebody could read either way.
///
/// ```
/// use gatehouse_sns::{TopicArn, Topics};
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
