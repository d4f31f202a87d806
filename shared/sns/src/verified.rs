//! A message that SNS signed.

use std::fmt;

use crate::{Envelope, MessageType};

/// A message that passed every check; only [`Verifier::verify`](crate::Verifier::verify) makes one.
#[derive(Clone)]
pub struct Verified {
    pub(crate) envelope: Envelope,
    pub(crate) signature_checked: bool,
}

impl Verified {
    /// What SNS says the message is.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        self.envelope.message_type
    }

    /// What was published.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.envelope.message
    }

    /// The subject, if it was published with one.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.envelope.subject.as_deref()
    }

    /// The ARN of the topic.
    #[must_use]
    pub fn topic_arn(&self) -> &str {
        &self.envelope.topic_arn
    }

    /// SNS's identifier of the message: the same at each delivery and retry.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.envelope.message_id
    }

    /// When it was published, as SNS wrote it: `2026-03-06T20:00:26.893Z`.
    #[must_use]
    pub fn timestamp(&self) -> &str {
        &self.envelope.timestamp
    }

    /// The token that confirms the subscription. Confirmations alone have one; it is a secret.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.envelope.token.as_deref()
    }

    /// The URL that confirms the subscription when it is visited. Confirmations alone have one; it holds the token.
    #[must_use]
    pub fn subscribe_url(&self) -> Option<&str> {
        self.envelope.subscribe_url.as_deref()
    }

    /// `false` only where `SNS_VERIFY=off`.
    #[must_use]
    pub fn signature_checked(&self) -> bool {
        self.signature_checked
    }
}

/// Shows what identifies the message and hides what may be secret.
impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("envelope", &self.envelope)
            .field("signature_checked", &self.signature_checked)
            .finish()
    }
}
