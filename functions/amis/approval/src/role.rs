//! The role of a function among the approvers.

use std::str::FromStr;

use gatehouse_shared::arn::{AccountId, Arn};

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
    /// use ami_approval::role::Role;
    ///
    /// let role: Role = "arn:aws:iam::111122223333:role/gatehouse/page".parse().unwrap();
    /// assert!(role.is("arn:aws:iam::111122223333:role/gatehouse/page"));
    /// assert!(role.is("arn:aws:sts::111122223333:assumed-role/page/ami-approval-page"));
    /// assert!(!role.is("arn:aws:sts::111122223333:assumed-role/approver/alice"));
    /// ```
    #[must_use]
    pub fn is(&self, arn: &str) -> bool {
        let name = match Arn::parse(arn).and_then(|arn| arn.resource.split_once('/')) {
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
        let resource = Arn::parse(text).and_then(|arn| arn.resource.strip_prefix("role/"));
        let name = resource.and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty()).ok_or(EXPECTED)?;
        Ok(Self { account: AccountId::of_arn(text).ok_or(EXPECTED)?, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
