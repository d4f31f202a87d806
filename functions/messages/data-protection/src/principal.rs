//! Who subscribed: the principal of a subscriber, and the patterns that a statement names principals with.

use std::str::FromStr;

/// The principal of a subscriber, such as `arn:aws:iam::123456789012:role/Reporting`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal(String);

impl Principal {
    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    /// The role of an assumed role: a statement that names the role means whoever assumed it.
    fn role(&self) -> Option<String> {
        let (start, session) = self.0.split_once(":assumed-role/")?;
        let (partition, account) = start.strip_prefix("arn:")?.split_once(":sts::")?;
        let (role, _) = session.split_once('/')?;
        Some(format!("arn:{partition}:iam::{account}:role/{role}"))
    }
}

impl FromStr for Principal {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected the ARN of a principal, such as arn:aws:iam::123456789012:role/Reporting";
        if text.contains(['*', '?']) || !is_arn(text) { Err(EXPECTED) } else { Ok(Self(text.to_owned())) }
    }
}

/// The principals that a statement applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PrincipalPattern {
    Any,
    Account(String),
    /// An ARN; `*` stands for any text, `?` for one character.
    Arn(String),
}

impl PrincipalPattern {
    pub(crate) const EXPECTED: &str =
        "\"*\", an account of 12 digits, or the ARN of a principal, with * and ? as wildcards";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        if is_account(text) {
            return Some(Self::Account(text.to_owned()));
        }
        if !is_arn(text) {
            return None;
        }
        // The root of an account means the whole account, as in IAM.
        if let Some(account) =
            text.strip_suffix(":root").and_then(|start| start.rsplit(':').next()).filter(|account| is_account(account))
        {
            return Some(Self::Account(account.to_owned()));
        }
        Some(Self::Arn(text.to_owned()))
    }

    pub(crate) fn matches(&self, principal: &Principal) -> bool {
        match self {
            Self::Any => true,
            Self::Account(account) => principal.account() == account,
            Self::Arn(pattern) => {
                matches(pattern.as_bytes(), principal.0.as_bytes())
                    || principal.role().is_some_and(|role| matches(pattern.as_bytes(), role.as_bytes()))
            }
        }
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `arn:<partition>:iam|sts::<account>:<resource>`; accounts and resources may have wildcards.
fn is_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, resource] = parts[..] else { return false };
    let wild = |text: &str| text.contains(['*', '?']);
    (partition.starts_with("aws") || wild(partition))
        && matches!(service, "iam" | "sts" | "*")
        && (is_account(account) || wild(account))
        && !resource.is_empty()
        && !text.contains(char::is_whitespace)
}

/// Whether the text has the form of the pattern.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    // The last star, and how much of the text it stands for.
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[position] => {
                at += 1;
                position += 1;
            }
            _ => {
                let Some((star_at, start)) = star else { return false };
                star = Some((star_at, start + 1));
                at = star_at + 1;
                position = start + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_principals() {
        let role = "arn:aws:iam::123456789012:role/Reporting";
        let session = "arn:aws:sts::123456789012:assumed-role/Reporting/i-1";
        for (pattern, principal, expected) in [
            ("*", role, true),
            ("123456789012", role, true),
            ("210987654321", role, false),
            ("arn:aws:iam::123456789012:root", role, true),
            ("arn:aws:iam::123456789012:root", session, true),
            (role, role, true),
            (role, session, true),
            ("arn:aws:iam::123456789012:role/Report", role, false),
            ("arn:aws:iam::123456789012:role/reporting", role, false),
            ("arn:aws:iam::123456789012:role/*", role, true),
            ("arn:aws:iam::*:role/Rep*ing", role, true),
            ("arn:aws:iam::123456789012:role/Reportin?", role, true),
            ("arn:aws:iam::123456789012:role/Reporting?", role, false),
            ("arn:aws:iam::123456789012:user/*", role, false),
        ] {
            let principal: Principal = principal.parse().unwrap();
            let pattern = PrincipalPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(&principal), expected, "{pattern:?} {principal:?}");
        }
    }

    #[test]
    fn what_is_no_principal_is_refused() {
        for text in [
            "",
            "**",
            "Reporting",
            "12345678901",
            "arn:aws:s3:::bucket",
            "arn:aws:iam::1:role/x",
            "arn:aws:iam::123456789012:",
        ] {
            assert_eq!(PrincipalPattern::parse(text), None, "{text}");
        }
        for text in ["*", "123456789012", "arn:aws:iam::123456789012:role/*"] {
            assert!(text.parse::<Principal>().is_err(), "{text}");
        }
    }
}
