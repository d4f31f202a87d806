//! Settings of the function.

use ami_approval::link::LinkKeyArn;
use ami_approval::role::Role;
use gatehouse_shared::env::Reader;
use time::Duration;

/// Settings, read once at cold start.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `LINK_KEY_ARN`: the KMS key that checks the MAC of a link.
    pub key_arn: LinkKeyArn,
    /// `LINK_TTL_HOURS`: how long a link may be used, from the start of the execution; 72 where it is unset. A link that
    /// outlives it was not made by `ami-approval-request`.
    pub ttl: Duration,
    /// `PAGE_ROLE_ARN`: the role of this function, by which its own vote is found among the decisions. Where it is unset,
    /// Systems Manager alone keeps the page from voting twice.
    pub role: Option<Role>,
    /// `DRY_RUN`: show the page and send no decision.
    pub dry_run: bool,
}

impl Config {
    /// Reads the settings.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        let key_arn = env.required("LINK_KEY_ARN", LinkKeyArn::EXPECTED);
        let ttl = Duration::hours(env.within("LINK_TTL_HOURS", 1..=720).unwrap_or(72));
        let (role, dry_run) = (env.parsed("PAGE_ROLE_ARN"), env.flag("DRY_RUN", false));
        Some(Self { key_arn: key_arn?, ttl, role, dry_run })
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_shared::env::Env;

    use super::*;

    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn every_setting_is_read() {
        let env = Env::of_table(&[
            ("LINK_KEY_ARN", KEY),
            ("LINK_TTL_HOURS", "24"),
            ("PAGE_ROLE_ARN", "arn:aws:iam::111122223333:role/page"),
            ("DRY_RUN", "true"),
        ]);
        let config = env.read(Config::from_env).unwrap();
        assert_eq!((config.key_arn.as_str(), config.ttl), (KEY, Duration::hours(24)));
        assert!(config.role.is_some() && config.dry_run);
    }

    #[test]
    fn all_faults_are_reported_together() {
        let env = Env::of_table(&[("LINK_TTL_HOURS", "0"), ("PAGE_ROLE_ARN", "page")]);
        assert_eq!(
            env.read(Config::from_env).unwrap_err().to_string(),
            "invalid settings: \
             LINK_KEY_ARN is \"\": expected the ARN of a KMS key, arn:<partition>:kms:<region>:<12 digits>:key/<id>; \
             LINK_TTL_HOURS is \"0\": expected a whole number from 1 to 720; \
             PAGE_ROLE_ARN is \"page\": expected the ARN of a role, arn:aws:iam::<12 digits>:role/<name>"
        );
    }
}
