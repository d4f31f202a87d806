//! Settings of the function.

use std::str::FromStr;

use ami_approval::target::Targets;
use ami_approval::watermark::Watermark;
use gatehouse_shared::chat::ChatTopic;
use gatehouse_shared::env::Reader;
use gatehouse_shared::sns::TopicArn;

/// Settings, read once at cold start.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `TARGET_ACCOUNT_IDS`, `TARGET_ORGANIZATION_ARNS`, `TARGET_OU_ARNS`: who receives the images.
    pub targets: Targets,
    /// `REQUIRE_APPROVAL`, `AUTOMATION_DOCUMENT`: the document whose executions approve images. `None` where
    /// `REQUIRE_APPROVAL` is `false`: then the caller alone decides what is shared.
    pub approval_document: Option<String>,
    /// `TARGET_TOPIC_ARN`: the topic that hears what was shared.
    pub target_topic_arn: Option<TopicArn>,
    /// `APPROVER_TOPIC_ARN`: the topic that hears what failed.
    pub approver_topic_arn: Option<TopicArn>,
    /// `CHAT_TOPIC_ARN`: the topic of Amazon Q Developer in chat applications, for all of it.
    pub chat_topic: Option<ChatTopic>,
    /// `SHARE_SNAPSHOTS`: also let the target accounts make volumes and copies from the snapshots. Snapshots cannot be
    /// shared with organizations or organizational units.
    pub share_snapshots: bool,
    /// `REQUIRE_IMAGE_BUILDER`: refuse images that EC2 Image Builder did not build in this account.
    pub require_image_builder: bool,
    /// `APPROVED_WATERMARK`: the AMI watermark that is attached before an image is shared.
    pub watermark: Option<Watermark>,
    /// `LATEST_PARAMETER`: the parameter that names the newest shared image in each Region; may hold `{name}`.
    pub latest_parameter: Option<LatestParameter>,
    /// `DEPRECATE_PREVIOUS_AFTER_DAYS`: deprecate the image that the parameter named before, after so many days.
    pub deprecate_previous_after_days: Option<i64>,
    /// `DRY_RUN`: log the plan and stop.
    pub dry_run: bool,
}

impl Config {
    /// Reads the settings.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        let latest_parameter = env.parsed("LATEST_PARAMETER");
        let days = env.within("DEPRECATE_PREVIOUS_AFTER_DAYS", 0..=3_650);
        if let (Some(days), None) = (days, env.text("LATEST_PARAMETER")) {
            let reason = "expected LATEST_PARAMETER as well, which tells the previous image";
            env.fault("DEPRECATE_PREVIOUS_AFTER_DAYS", &days.to_string(), reason);
        }
        let targets = Targets::from_env(env);
        let approval_document = approval_document(env);
        let target_topic_arn = env.parsed("TARGET_TOPIC_ARN");
        let approver_topic_arn = env.parsed("APPROVER_TOPIC_ARN");
        let chat_topic = ChatTopic::from_env(env);
        let share_snapshots = env.flag("SHARE_SNAPSHOTS", false);
        let require_image_builder = env.flag("REQUIRE_IMAGE_BUILDER", false);
        let watermark = env.parsed("APPROVED_WATERMARK");
        let dry_run = env.flag("DRY_RUN", false);
        Some(Self {
            targets: targets?,
            approval_document,
            target_topic_arn,
            approver_topic_arn,
            chat_topic,
            share_snapshots,
            require_image_builder,
            watermark,
            latest_parameter,
            deprecate_previous_after_days: days,
            dry_run,
        })
    }
}

/// The document is read whether or not it is needed, so that a fault is known before it is.
fn approval_document(env: &Reader<'_>) -> Option<String> {
    let is_required = env.flag("REQUIRE_APPROVAL", true);
    let document = env.text("AUTOMATION_DOCUMENT");
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_.:/-".contains(c);
    if let Some(name) = document.as_ref().filter(|name| name.len() < 3 || !name.chars().all(is_name)) {
        env.fault("AUTOMATION_DOCUMENT", name, "expected the name or ARN of an Automation document");
    }
    if is_required && document.is_none() {
        let reason = "expected the name of the document that waits for the approval; or REQUIRE_APPROVAL=false, where the \
                      caller alone decides what is shared";
        env.fault("AUTOMATION_DOCUMENT", "", reason);
    }
    document.filter(|_| is_required)
}

/// The name of a parameter, in which `{name}` stands for the name of the image.
///
/// ```
/// use ami_share::config::LatestParameter;
///
/// let parameter: LatestParameter = "/golden-ami/{name}/latest".parse().unwrap();
/// assert_eq!(parameter.of("web"), "/golden-ami/web/latest");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestParameter(String);

impl LatestParameter {
    /// The name for this image.
    #[must_use]
    pub fn of(&self, image_name: &str) -> String {
        self.0.replace("{name}", image_name)
    }

    /// Whether the name depends on the image.
    #[must_use]
    pub fn needs_name(&self) -> bool {
        self.0.contains("{name}")
    }
}

impl FromStr for LatestParameter {
    type Err = &'static str;

    /// Source: Systems Manager API Reference, `PutParameter`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.replace("{name}", "x");
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte);
        let is_reserved = ["aws", "ssm"]
            .iter()
            .any(|start| name.trim_start_matches('/').get(..3).is_some_and(|given| given.eq_ignore_ascii_case(start)));
        if name.len() <= 512 && name.starts_with('/') && name.bytes().all(is_allowed) && !is_reserved {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected the name of a parameter, such as /golden-ami/{name}/latest")
        }
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_shared::env::Env;

    use super::*;

    #[test]
    fn targets_are_all_that_is_required() {
        let env = Env::of_table(&[("TARGET_ACCOUNT_IDS", "444455556666"), ("AUTOMATION_DOCUMENT", "approval")]);
        let config = env.read(Config::from_env).unwrap();
        let expected = Config {
            targets: config.targets.clone(),
            approval_document: Some("approval".to_owned()),
            target_topic_arn: None,
            approver_topic_arn: None,
            chat_topic: None,
            share_snapshots: false,
            require_image_builder: false,
            watermark: None,
            latest_parameter: None,
            deprecate_previous_after_days: None,
            dry_run: false,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn every_setting_is_read() {
        let env = Env::of_table(&[
            ("TARGET_ACCOUNT_IDS", "444455556666"),
            ("REQUIRE_APPROVAL", "false"),
            ("AUTOMATION_DOCUMENT", "approval"),
            ("TARGET_TOPIC_ARN", "arn:aws:sns:eu-west-1:111122223333:targets"),
            ("APPROVER_TOPIC_ARN", "arn:aws:sns:eu-west-1:111122223333:Automation-approvers"),
            ("SHARE_SNAPSHOTS", "true"),
            ("REQUIRE_IMAGE_BUILDER", "true"),
            ("APPROVED_WATERMARK", "approved [2026]"),
            ("LATEST_PARAMETER", "/golden-ami/{name}/latest"),
            ("DEPRECATE_PREVIOUS_AFTER_DAYS", "30"),
            ("DRY_RUN", "true"),
        ]);
        let config = env.read(Config::from_env).unwrap();
        assert_eq!(config.approval_document, None);
        assert!(config.share_snapshots && config.require_image_builder && config.dry_run);
        assert_eq!(config.target_topic_arn.unwrap().as_str(), "arn:aws:sns:eu-west-1:111122223333:targets");
        assert!(config.approver_topic_arn.is_some());
        assert_eq!(config.watermark.unwrap().as_str(), "approved [2026]");
        assert!(config.latest_parameter.unwrap().needs_name());
        assert_eq!(config.deprecate_previous_after_days, Some(30));
    }

    #[test]
    fn all_faults_are_reported_together() {
        let env = Env::of_table(&[
            ("TARGET_TOPIC_ARN", "targets"),
            ("APPROVED_WATERMARK", "a:b"),
            ("DEPRECATE_PREVIOUS_AFTER_DAYS", "30"),
        ]);
        assert_eq!(
            env.read(Config::from_env).unwrap_err().to_string(),
            "invalid settings: \
             DEPRECATE_PREVIOUS_AFTER_DAYS is \"30\": expected LATEST_PARAMETER as well, which tells the previous image; \
             TARGET_ACCOUNT_IDS is \"\": expected at least one of TARGET_ACCOUNT_IDS, TARGET_ORGANIZATION_ARNS and \
             TARGET_OU_ARNS; \
             AUTOMATION_DOCUMENT is \"\": expected the name of the document that waits for the approval; or \
             REQUIRE_APPROVAL=false, where the caller alone decides what is shared; \
             TARGET_TOPIC_ARN is \"targets\": expected arn:<partition>:sns:<region>:<12 digits>:<topic name>; \
             APPROVED_WATERMARK is \"a:b\": expected 3 to 128 letters, digits, spaces and ()[]./-'@_"
        );
        for text in ["golden", "/golden-ami/{region}", "/golden ami", "/aws/x", "/SSM-x", "/{name}:3"] {
            assert!(text.parse::<LatestParameter>().is_err(), "{text}");
        }
    }
}
