//! Settings of the function.

use ami_approval::effects::Effects;
use ami_approval::target::Targets;
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
    /// `TARGET_TOPIC_ARN`: the topic that is notified of what was shared.
    pub target_topic_arn: Option<TopicArn>,
    /// `APPROVER_TOPIC_ARN`: the topic that is notified of what failed.
    pub approver_topic_arn: Option<TopicArn>,
    /// `CHAT_TOPIC_ARN`: the topic of Amazon Q Developer in chat applications, for all of it.
    pub chat_topic: Option<ChatTopic>,
    /// `SHARE_SNAPSHOTS`, `APPROVED_WATERMARK`, `LATEST_PARAMETER`, `DEPRECATE_PREVIOUS_AFTER_DAYS`: what is done with an
    /// approved image besides. An approval records it, and holds for that alone.
    pub effects: Effects,
    /// `REQUIRE_IMAGE_BUILDER`: refuse images that EC2 Image Builder did not build in this account.
    pub require_image_builder: bool,
    /// `DRY_RUN`: log the plan and stop.
    pub dry_run: bool,
}

impl Config {
    /// Reads the settings.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        let targets = Targets::from_env(env);
        let approval_document = approval_document(env);
        let target_topic_arn = env.parsed("TARGET_TOPIC_ARN");
        let approver_topic_arn = env.parsed("APPROVER_TOPIC_ARN");
        let effects = Effects::from_env(env);
        let chat_topic = ChatTopic::from_env(env);
        let require_image_builder = env.flag("REQUIRE_IMAGE_BUILDER", false);
        let dry_run = env.flag("DRY_RUN", false);
        Some(Self {
            targets: targets?,
            approval_document,
            target_topic_arn,
            approver_topic_arn,
            effects,
            chat_topic,
            require_image_builder,
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
            effects: Effects::default(),
            chat_topic: None,
            require_image_builder: false,
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
        assert!(config.require_image_builder && config.dry_run);
        assert_eq!(config.target_topic_arn.unwrap().as_str(), "arn:aws:sns:eu-west-1:111122223333:targets");
        assert!(config.approver_topic_arn.is_some());
        assert_eq!(
            config.effects.to_values(),
            ["snapshots=true", "watermark=approved [2026]", "latest=/golden-ami/{name}/latest", "deprecate=30"]
        );
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
             TARGET_ACCOUNT_IDS is \"\": expected at least one of TARGET_ACCOUNT_IDS, TARGET_ORGANIZATION_ARNS and \
             TARGET_OU_ARNS; \
             AUTOMATION_DOCUMENT is \"\": expected the name of the document that waits for the approval; or \
             REQUIRE_APPROVAL=false, where the caller alone decides what is shared; \
             TARGET_TOPIC_ARN is \"targets\": expected arn:<partition>:sns:<region>:<12 digits>:<topic name>; \
             DEPRECATE_PREVIOUS_AFTER_DAYS is \"30\": expected LATEST_PARAMETER as well, which tells the previous image; \
             APPROVED_WATERMARK is \"a:b\": expected 3 to 128 letters, digits, spaces and ()[]./-'@_"
        );
    }
}
