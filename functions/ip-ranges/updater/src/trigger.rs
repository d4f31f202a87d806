//! What started a run: the SNS notice, a schedule, or a person.

use gatehouse_shared::field::FieldError;
use gatehouse_shared::sns::{self, Envelope};
use gatehouse_shared::text::quoted;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A run's reason, as it arrived: the notice in it has not been checked.
#[derive(Debug)]
pub enum Trigger {
    /// AWS published a new document.
    Notice(Box<Envelope>),
    /// The time has come to look for drift and missed notices.
    Schedule,
    /// Somebody invoked the function.
    Direct(Direct),
}

/// What a direct invocation may ask for: `{}` or `{"dry_run": true, "force": true}`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Direct {
    /// Change nothing, whatever `DRY_RUN` says.
    #[serde(default)]
    pub dry_run: bool,
    /// Remove more than `MAX_SHRINK_PERCENT` allows, and go back to an older document.
    #[serde(default)]
    pub force: bool,
}

/// Why an event starts nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TriggerError {
    /// Has `Records`, but not one SNS record.
    #[error("the event's Records are not a delivery of SNS")]
    Records(#[source] sns::ParseError),
    /// SNS hands Lambda one message at a time.
    #[error("the event has {0} Records, expected 1: subscribe the function to the topic directly")]
    Count(usize),
    /// An EventBridge event that is no schedule.
    #[error("the event's detail-type is {0}, expected \"Scheduled Event\"")]
    DetailType(Value),
    /// Nothing that is known.
    #[error(
        "the event is neither an SNS notice (it has no Records) nor a schedule (no detail-type) nor a direct invocation such as {{}} or {{\"dry_run\": true}}"
    )]
    Unknown(#[source] serde_json::Error),
}

impl Trigger {
    /// The [`Trigger::name`] of a direct invocation.
    pub const DIRECT: &'static str = "direct";

    /// Tells one event from another.
    ///
    /// # Errors
    ///
    /// [`TriggerError`], which names what was found and what was expected.
    pub fn parse(event: &Value) -> Result<Self, TriggerError> {
        if event.get("Records").is_some() {
            let envelopes = sns::envelopes_of_lambda_event(event).map_err(TriggerError::Records)?;
            let [envelope] = <[Envelope; 1]>::try_from(envelopes).map_err(|all| TriggerError::Count(all.len()))?;
            return Ok(Self::Notice(Box::new(envelope)));
        }
        match event.get("detail-type") {
            Some(Value::String(text)) if text == "Scheduled Event" => Ok(Self::Schedule),
            Some(other) => Err(TriggerError::DetailType(other.clone())),
            // An object only: serde would take a list for the fields in their order, and `[]` for `{}`.
            None => Map::deserialize(event)
                .and_then(|members| Direct::deserialize(Value::Object(members)))
                .map(Self::Direct)
                .map_err(TriggerError::Unknown),
        }
    }

    /// The reason in one word, for logs and the report.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Notice(_) => "notice",
            Self::Schedule => "schedule",
            Self::Direct(_) => Self::DIRECT,
        }
    }
}

/// The body of a message of the topic `AmazonIpSpaceChanged`.
///
/// Source: VPC User Guide, "AWS IP address ranges notifications". `create-time`, which comes in two
/// forms, is not read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Notice {
    /// MD5 of the document, 32 hexadecimal digits.
    pub md5: String,
    /// The document's `syncToken`, seconds since 1970-01-01.
    pub synctoken: String,
    /// Where the document is.
    pub url: String,
}

/// Why the body of a notice is not understood. Nothing is fetched then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoticeError {
    /// SNS signs confirmations of subscriptions too.
    #[error("the message is a {0}, expected a Notification")]
    Type(&'static str),
    /// Not the JSON that AWS sends.
    #[error("the notice's message is not the JSON of AmazonIpSpaceChanged, which has synctoken, md5 and url")]
    Malformed(#[source] serde_json::Error),
    /// A field does not have its form.
    #[error(transparent)]
    Field(#[from] FieldError),
}

impl Notice {
    /// Reads the body of a message, and holds its URL against the only one that is ever fetched.
    ///
    /// # Errors
    ///
    /// [`NoticeError`].
    pub fn parse(message: &str, ip_ranges_url: &str) -> Result<Self, NoticeError> {
        let notice: Self = serde_json::from_str(message).map_err(NoticeError::Malformed)?;
        let field = |field, value: &str, expected: &str| {
            Err(FieldError::new(field, quoted(value), format_args!("expected {expected}")).into())
        };
        if notice.md5.len() != 32 || !notice.md5.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return field("md5", &notice.md5, "32 hexadecimal digits");
        }
        if notice.synctoken.parse::<u64>().is_err() {
            return field("synctoken", &notice.synctoken, "seconds since 1970-01-01");
        }
        if notice.url != ip_ranges_url {
            return field("url", &notice.url, &format!("{ip_ranges_url}, as IP_RANGES_URL says"));
        }
        Ok(notice)
    }

    /// The document's `syncToken` as a number; [`Notice::parse`] has seen that it is one.
    #[must_use]
    pub fn sync_token(&self) -> u64 {
        self.synctoken.parse().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_shared::failure::chain;
    use serde_json::json;

    const URL: &str = "https://ip-ranges.amazonaws.com/ip-ranges.json";

    #[test]
    fn each_trigger_is_told_from_the_others() {
        let schedule = json!({"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}});
        assert!(matches!(Trigger::parse(&schedule), Ok(Trigger::Schedule)));
        let cases = [
            (json!({}), Direct { dry_run: false, force: false }),
            (json!({"dry_run": true}), Direct { dry_run: true, force: false }),
            (json!({"dry_run": true, "force": true}), Direct { dry_run: true, force: true }),
        ];
        for (event, expected) in cases {
            assert!(matches!(Trigger::parse(&event), Ok(Trigger::Direct(direct)) if direct == expected), "{event}");
        }
    }

    #[test]
    fn other_events_are_refused_with_what_was_expected() {
        let cases = [
            (json!({"Records": []}), "Records is empty"),
            (json!({"Records": [{"eventSource": "aws:s3"}]}), "not a delivery of SNS"),
            (json!({"detail-type": "EC2 Instance State-change Notification"}), "expected \\\"Scheduled Event\\\""),
            (json!({"dryrun": true}), "unknown field `dryrun`"),
            (json!({"dry_run": "yes"}), "expected a boolean"),
            (json!("hello"), "it has no Records"),
            (json!(null), "it has no Records"),
            (json!([]), "expected a map"),
            (json!([true, true]), "expected a map"),
        ];
        for (event, expected) in cases {
            let error = chain(&Trigger::parse(&event).unwrap_err());
            assert!(error.contains(&expected.replace('\\', "")), "{event}: {error}");
        }
    }

    #[test]
    fn a_notice_is_read_or_refused_by_field() {
        let body = |md5: &str, synctoken: &str, url: &str| {
            json!({"create-time": "2022-04-27-19-03-26", "md5": md5, "synctoken": synctoken, "url": url}).to_string()
        };
        let md5 = "59e4cd7f4757a9f380c626d772a5eef2";
        assert_eq!(Notice::parse(&body(md5, "1633105993", URL), URL).unwrap().sync_token(), 1_633_105_993);
        let cases = [
            ("hello".to_owned(), "not the JSON of AmazonIpSpaceChanged"),
            (json!({"synctoken": "1", "url": URL}).to_string(), "missing field `md5`"),
            (body("59e4", "1", URL), "the field md5 is \"59e4\": expected 32 hexadecimal digits"),
            (body(md5, "now", URL), "synctoken is \"now\""),
            (
                body(md5, "1", "https://example.com/ip-ranges.json"),
                "url is \"https://example.com/ip-ranges.json\": expected https://ip-ranges",
            ),
        ];
        for (message, expected) in cases {
            let error = chain(&Notice::parse(&message, URL).unwrap_err());
            assert!(error.contains(expected), "{message}: {error}");
        }
    }

    #[test]
    fn real_notices_are_read() {
        let Some(folder) = gatehouse_testkit::real("ip-space-changed") else { return };
        for name in ["body-2021-10-01.json", "body-2022-04-27.json"] {
            let body = std::fs::read_to_string(folder.join(name)).unwrap();
            assert!(Notice::parse(&body, URL).is_ok(), "{name}");
        }
    }
}
