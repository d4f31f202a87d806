//! Settings of the function.

use std::net::IpAddr;
use std::str::FromStr;

use ami_approval::effects::Effects;
use ami_approval::link::LinkKeyArn;
use ami_approval::target::Targets;
use gatehouse_shared::chat::ChatTopic;
use gatehouse_shared::env::Reader;
use gatehouse_shared::sns::TopicArn;
use time::Duration;
use url::{Host, Url};

/// Settings, read once at cold start. Those that begin with `SNS_`, and `TOPIC_ARNS`, belong to
/// [`gatehouse_shared::verifier`].
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `APPROVER_TOPIC_ARN`: the topic of the approvers.
    pub approver_topic_arn: TopicArn,
    /// `CHAT_TOPIC_ARN`: the topic of Amazon Q Developer in chat applications.
    pub chat_topic: Option<ChatTopic>,
    /// `AUTOMATION_DOCUMENT`: the name or ARN of the Automation document that waits for the approval and then shares.
    pub automation_document: String,
    /// `TARGET_ACCOUNT_IDS`, `TARGET_ORGANIZATION_ARNS`, `TARGET_OU_ARNS`: who receives an approved image. The execution
    /// records it, and `ami-share` compares.
    pub targets: Targets,
    /// `SHARE_SNAPSHOTS`, `APPROVED_WATERMARK`, `LATEST_PARAMETER`, `DEPRECATE_PREVIOUS_AFTER_DAYS`: what is done with an
    /// approved image besides. The execution records it, too. The watermark is taken away from an image that inherited it.
    pub effects: Effects,
    /// `APPROVAL_LINK`, `APPROVAL_PAGE_URL`, `LINK_KEY_ARN`, `LINK_TTL_HOURS`: the link in the approvers' mail;
    /// `None` where `APPROVAL_LINK` is `false`, the default.
    pub link: Option<LinkConfig>,
    /// `DRY_RUN`: log what would be done and stop.
    pub dry_run: bool,
}

/// Settings of the link.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    /// `APPROVAL_PAGE_URL`: the page, with its path `/approval`.
    pub page_url: PageUrl,
    /// `LINK_KEY_ARN`: the KMS key that makes the MAC of a link.
    pub key_arn: LinkKeyArn,
    /// `LINK_TTL_HOURS`: how long a link may be used, from the start of the execution; 72 where it is unset, 720 (30
    /// days, the longest time an approval can wait) at most. It ends with the approval in any case.
    pub ttl: Duration,
}

impl Config {
    /// Reads the settings.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        let approver_topic_arn = env.required("APPROVER_TOPIC_ARN", "expected the ARN of the approvers' topic");
        let chat_topic = ChatTopic::from_env(env);
        let automation_document = document(env);
        let targets = Targets::from_env(env);
        let effects = Effects::from_env(env);
        let link = link(env);
        let dry_run = env.flag("DRY_RUN", false);
        Some(Self {
            approver_topic_arn: approver_topic_arn?,
            chat_topic,
            automation_document,
            targets: targets?,
            effects,
            link,
            dry_run,
        })
    }
}

/// Systems Manager API Reference, `StartAutomationExecution`: `DocumentName` matches `[a-zA-Z0-9_\-.:/]{3,128}`; an ARN
/// of a shared document may be longer.
fn document(env: &Reader<'_>) -> String {
    const EXPECTED: &str = "expected the name or ARN of an Automation document";
    let name = env.text("AUTOMATION_DOCUMENT").unwrap_or_default();
    if name.len() < 3 || !is_made_of(&name, b"_-.:/") {
        env.fault("AUTOMATION_DOCUMENT", &name, EXPECTED);
    }
    name
}

/// The settings of the link. They are read whether or not it is wanted, so that a fault is known before somebody wants it.
fn link(env: &Reader<'_>) -> Option<LinkConfig> {
    let is_wanted = env.flag("APPROVAL_LINK", false);
    let must_be_set = |name: &str, what: &str| {
        if is_wanted && env.text(name).is_none() {
            env.fault(name, "", &format!("expected {what}, as APPROVAL_LINK is true"));
        }
    };
    must_be_set("APPROVAL_PAGE_URL", "the URL of the approval page");
    let page_url = env.parsed("APPROVAL_PAGE_URL");
    must_be_set("LINK_KEY_ARN", "the ARN of a KMS key");
    let key_arn = env.parsed("LINK_KEY_ARN");
    let ttl = Duration::hours(env.within("LINK_TTL_HOURS", 1..=720).unwrap_or(72));
    // A missing setting is a fault already, and no settings are given then.
    page_url.zip(key_arn).filter(|_| is_wanted).map(|(page_url, key_arn)| LinkConfig { page_url, key_arn, ttl })
}

fn is_made_of(text: &str, others: &[u8]) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

/// The URL of the approval page.
///
/// ```
/// use ami_approval_request::config::PageUrl;
///
/// let url: PageUrl = "https://abc123.execute-api.eu-west-1.amazonaws.com/approval".parse().unwrap();
/// assert_eq!(url.with_token("v2.x"), "https://abc123.execute-api.eu-west-1.amazonaws.com/approval?token=v2.x");
/// assert!("http://example.com/approval".parse::<PageUrl>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageUrl(String);

impl PageUrl {
    /// The link with its token, which has only characters that need no escape in a URL.
    #[must_use]
    pub fn with_token(&self, token: &str) -> String {
        format!("{}?token={token}", self.0)
    }
}

impl FromStr for PageUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected https://<host>/approval without a query; http is accepted for 127.0.0.1 and localhost alone";
        let url = Url::parse(text).map_err(|_| EXPECTED)?;
        let is_loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
            None => return Err(EXPECTED),
        };
        let is_plain = url.username().is_empty() && url.password().is_none();
        let is_page = url.path().ends_with("/approval") && url.query().is_none() && url.fragment().is_none();
        if (url.scheme() == "https" || url.scheme() == "http" && is_loopback) && is_plain && is_page {
            Ok(Self(url.into()))
        } else {
            Err(EXPECTED)
        }
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_shared::env::Env;

    use super::*;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:Automation-approvers";
    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn little_is_required() {
        let env = Env::of_table(&[
            ("APPROVER_TOPIC_ARN", TOPIC),
            ("AUTOMATION_DOCUMENT", "ApproveAndShare"),
            ("TARGET_ACCOUNT_IDS", "444455556666"),
        ]);
        let config = env.read(Config::from_env).unwrap();
        assert_eq!(config.approver_topic_arn.as_str(), TOPIC);
        assert_eq!(config.automation_document, "ApproveAndShare");
        assert_eq!((config.link, config.dry_run), (None, false));
    }

    #[test]
    fn every_setting_is_read() {
        let env = Env::of_table(&[
            ("APPROVER_TOPIC_ARN", TOPIC),
            ("AUTOMATION_DOCUMENT", "arn:aws:ssm:eu-west-1:111122223333:document/ApproveAndShare"),
            ("APPROVAL_LINK", "TRUE"),
            ("APPROVAL_PAGE_URL", "https://abc.execute-api.eu-west-1.amazonaws.com/approval"),
            ("LINK_KEY_ARN", KEY),
            ("LINK_TTL_HOURS", "24"),
            ("TARGET_ACCOUNT_IDS", "444455556666"),
            ("SHARE_SNAPSHOTS", "true"),
            ("APPROVED_WATERMARK", "approved"),
            ("DRY_RUN", "true"),
        ]);
        let config = env.read(Config::from_env).unwrap();
        let link = config.link.unwrap();
        assert_eq!(link.page_url.with_token("t"), "https://abc.execute-api.eu-west-1.amazonaws.com/approval?token=t");
        assert_eq!((link.key_arn.as_str(), link.ttl), (KEY, Duration::hours(24)));
        assert_eq!(config.targets.len(), 1);
        assert_eq!(config.effects.to_values(), ["snapshots=true", "watermark=approved"]);
        assert!(config.dry_run);
    }

    #[test]
    fn all_faults_are_reported_together() {
        let env = Env::of_table(&[("APPROVAL_LINK", "true"), ("LINK_TTL_HOURS", "0")]);
        assert_eq!(
            env.read(Config::from_env).unwrap_err().to_string(),
            "invalid settings: \
             APPROVER_TOPIC_ARN is \"\": expected the ARN of the approvers' topic; \
             AUTOMATION_DOCUMENT is \"\": expected the name or ARN of an Automation document; \
             TARGET_ACCOUNT_IDS is \"\": expected at least one of TARGET_ACCOUNT_IDS, TARGET_ORGANIZATION_ARNS and \
             TARGET_OU_ARNS; \
             APPROVAL_PAGE_URL is \"\": expected the URL of the approval page, as APPROVAL_LINK is true; \
             LINK_KEY_ARN is \"\": expected the ARN of a KMS key, as APPROVAL_LINK is true; \
             LINK_TTL_HOURS is \"0\": expected a whole number from 1 to 720"
        );
    }

    #[test]
    fn the_settings_of_a_link_that_is_not_wanted_are_checked_too() {
        let env = Env::of_table(&[
            ("APPROVER_TOPIC_ARN", TOPIC),
            ("AUTOMATION_DOCUMENT", "ApproveAndShare"),
            ("APPROVAL_PAGE_URL", "/approval"),
            ("TARGET_ACCOUNT_IDS", "444455556666"),
            ("LINK_KEY_ARN", "/gatehouse/amis/link-key"),
            ("LINK_TTL_HOURS", "721"),
        ]);
        let error = env.read(Config::from_env).unwrap_err().to_string();
        for name in ["APPROVAL_PAGE_URL", "LINK_KEY_ARN", "LINK_TTL_HOURS"] {
            assert!(error.contains(&format!("{name} is \"")), "{name}: {error}");
        }
    }

    #[test]
    fn the_page_has_tls_unless_it_is_on_this_machine() {
        for text in [
            "https://example.com/approval",
            "https://example.com/prod/approval",
            "http://127.0.0.1:3000/approval",
            "http://localhost:3000/approval",
            "http://[::1]:3000/approval",
        ] {
            assert!(text.parse::<PageUrl>().is_ok(), "{text}");
        }
        for text in [
            "http://example.com/approval",
            "http://localhost.example.com/approval",
            "https://example.com",
            "https://example.com/approval/",
            "https://example.com/approval?token=x",
            "https://example.com/approval#x",
            "https://user@example.com/approval",
            "ftp://localhost/approval",
            "/approval",
        ] {
            assert!(text.parse::<PageUrl>().is_err(), "{text}");
        }
    }
}
