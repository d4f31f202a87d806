//! Settings of the function.

use std::str::FromStr;

use ami_approval::target::{AccountId, Targets};
use gatehouse_shared::env::Env;

/// Settings, read once at cold start.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `LINK_KEY_PARAMETER`: the name of the `SecureString` that holds the key.
    pub key_parameter: String,
    /// `LINK_PREVIOUS_KEY_PARAMETER`: the one that holds the key before it, during a rotation. The parameter may be
    /// missing.
    pub previous_key_parameter: Option<String>,
    /// `TARGET_ACCOUNT_IDS`, `TARGET_ORGANIZATION_ARNS`, `TARGET_OU_ARNS`: who will receive the image.
    pub targets: Targets,
    /// `PAGE_ROLE_ARN`: the role of this function, by which its own vote is found among the decisions. Where it is unset,
    /// Systems Manager alone keeps the page from voting twice.
    pub role: Option<Role>,
    /// `DRY_RUN`: show the page and send no decision.
    pub dry_run: bool,
}

impl Config {
    /// Reads the settings. Whatever is wrong with them is reported by [`Env::finish`].
    #[must_use]
    pub fn from_env(env: &Env<'_>) -> Self {
        let key_parameter: Option<ParameterName> = env.parsed("LINK_KEY_PARAMETER");
        if env.text("LINK_KEY_PARAMETER").is_none() {
            env.fault("LINK_KEY_PARAMETER", "", ParameterName::EXPECTED);
        }
        Self {
            key_parameter: key_parameter.map(|name| name.0).unwrap_or_default(),
            previous_key_parameter: env.parsed::<ParameterName>("LINK_PREVIOUS_KEY_PARAMETER").map(|name| name.0),
            targets: Targets::from_env(env),
            role: env.parsed("PAGE_ROLE_ARN"),
            dry_run: env.flag("DRY_RUN", false),
        }
    }
}

struct ParameterName(String);

impl ParameterName {
    const EXPECTED: &str = "expected the name of a parameter, such as /gatehouse/amis/link-key";
}

impl FromStr for ParameterName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
        if is_name { Ok(Self(text.to_owned())) } else { Err(Self::EXPECTED) }
    }
}

/// A role: account and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    account: AccountId,
    name: String,
}

impl Role {
    /// Whether this ARN is the role itself or a session of it.
    ///
    /// ```
    /// use ami_approval_page::config::Role;
    ///
    /// let role: Role = "arn:aws:iam::111122223333:role/gatehouse/page".parse().unwrap();
    /// assert!(role.is("arn:aws:iam::111122223333:role/gatehouse/page"));
    /// assert!(role.is("arn:aws:sts::111122223333:assumed-role/page/ami-approval-page"));
    /// assert!(!role.is("arn:aws:sts::111122223333:assumed-role/approver/alice"));
    /// ```
    #[must_use]
    pub fn is(&self, arn: &str) -> bool {
        let name = match arn.splitn(6, ':').nth(5).and_then(|resource| resource.split_once('/')) {
            Some(("role", path)) => path.rsplit('/').next(),
            Some(("assumed-role", session)) => session.split('/').next(),
            _ => None,
        };
        name == Some(&self.name) && AccountId::of_arn(arn).as_ref() == Some(&self.account)
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected the ARN of a role, arn:aws:iam::<12 digits>:role/<name>";
        let resource = text.splitn(6, ':').nth(5).and_then(|resource| resource.strip_prefix("role/"));
        let name = resource.and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty()).ok_or(EXPECTED)?;
        Ok(Self { account: AccountId::of_arn(text).ok_or(EXPECTED)?, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_read() {
        let env = Env::of_table(&[
            ("LINK_KEY_PARAMETER", "/gatehouse/amis/link-key"),
            ("LINK_PREVIOUS_KEY_PARAMETER", "/gatehouse/amis/previous-link-key"),
            ("TARGET_ACCOUNT_IDS", "444455556666"),
            ("PAGE_ROLE_ARN", "arn:aws:iam::111122223333:role/page"),
            ("DRY_RUN", "true"),
        ]);
        let config = env.finish(Config::from_env(&env)).unwrap();
        assert_eq!(config.key_parameter, "/gatehouse/amis/link-key");
        assert_eq!(config.previous_key_parameter.as_deref(), Some("/gatehouse/amis/previous-link-key"));
        assert_eq!(config.targets.len(), 1);
        assert!(config.role.is_some() && config.dry_run);
    }

    #[test]
    fn all_faults_are_reported_together() {
        let env = Env::of_table(&[("LINK_PREVIOUS_KEY_PARAMETER", "a b"), ("PAGE_ROLE_ARN", "page")]);
        assert_eq!(
            env.finish(Config::from_env(&env)).unwrap_err().to_string(),
            "invalid settings: \
             LINK_KEY_PARAMETER is \"\": expected the name of a parameter, such as /gatehouse/amis/link-key; \
             LINK_PREVIOUS_KEY_PARAMETER is \"a b\": expected the name of a parameter, such as /gatehouse/amis/link-key; \
             TARGET_ACCOUNT_IDS is \"\": expected at least one of TARGET_ACCOUNT_IDS, TARGET_ORGANIZATION_ARNS and \
             TARGET_OU_ARNS; \
             PAGE_ROLE_ARN is \"page\": expected the ARN of a role, arn:aws:iam::<12 digits>:role/<name>"
        );
    }

    #[test]
    fn another_principal_is_not_this_role() {
        let role: Role = "arn:aws:iam::111122223333:role/page".parse().unwrap();
        for arn in [
            "",
            "page",
            "arn:aws:iam::444455556666:role/page",
            "arn:aws:iam::111122223333:user/page",
            "arn:aws:sts::111122223333:assumed-role/approver/page",
            "arn:aws:sts::111122223333:federated-user/page",
        ] {
            assert!(!role.is(arn), "{arn}");
        }
    }
}
