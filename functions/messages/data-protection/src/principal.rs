//! Who subscribed: the principal of a subscriber, and the patterns that a statement names principals with.

use std::fmt;
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

    /// The name of the role, without its path, also of an assumed role.
    fn role_name(&self) -> Option<&str> {
        let resource = self.0.splitn(6, ':').nth(5)?;
        if let Some(session) = resource.strip_prefix("assumed-role/") {
            return session.split('/').next();
        }
        resource.strip_prefix("role/")?.rsplit('/').next()
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
    /// A role by its name, with the suffix that CloudFormation gives it or without: a new stack's role has another one.
    Role(String),
}

impl fmt::Display for PrincipalPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Account(text) | Self::Arn(text) => f.write_str(text),
            Self::Role(name) => write!(f, "role/{name}"),
        }
    }
}

impl PrincipalPattern {
    pub(crate) const EXPECTED: &str = "\"*\", an account of 12 digits, the ARN of a principal, with * and ? as wildcards, or role/ and the name of a role";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        if is_account(text) {
            return Some(Self::Account(text.to_owned()));
        }
        if let Some(name) = text.strip_prefix("role/") {
            return is_role_name(name).then(|| Self::Role(name.to_owned()));
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
            Self::Role(name) => principal.role_name().is_some_and(|role| {
                let rest = role.strip_prefix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || is_suffix(rest))
            }),
            Self::Arn(pattern) => {
                matches(pattern.as_bytes(), principal.0.as_bytes())
                    || principal.role().is_some_and(|role| matches(pattern.as_bytes(), role.as_bytes()))
            }
        }
    }
}

impl PrincipalPattern {
    /// In what the pattern differs from a principal that it nearly names.
    pub(crate) fn difference(&self, principal: &Principal) -> Option<String> {
        let account = principal.account();
        match self {
            Self::Any => None,
            Self::Account(pattern) => near_account(pattern, account).then(|| format!("the account is {account}")),
            Self::Role(name) => {
                let role = principal.role_name()?;
                let alike = role.get(..name.len())?.eq_ignore_ascii_case(name);
                alike.then(|| format!("the role is {role}"))
            }
            Self::Arn(pattern) => {
                let ours = principal.role().unwrap_or_else(|| principal.0.clone());
                let theirs = Principal(pattern.clone());
                let (name, their_name) = (principal.role_name()?, theirs.role_name()?);
                let parts = |arn: &str| arn.splitn(6, ':').map(str::to_owned).collect::<Vec<_>>();
                let (mine, other) = (parts(&ours), parts(&theirs.role().unwrap_or_else(|| pattern.clone())));
                if pattern.eq_ignore_ascii_case(&ours) {
                    return Some("upper and lower case differ".to_owned());
                }
                if their_name != name {
                    let stem = |name: &str| match name.rsplit_once('-') {
                        Some((stem, suffix)) if is_suffix(&format!("-{suffix}")) => stem.to_owned(),
                        _ => name.to_owned(),
                    };
                    let same_stem = stem(their_name).eq_ignore_ascii_case(&stem(name));
                    return same_stem.then(|| {
                        format!(
                            "the role is {name}, perhaps of another stack: role/{} names it in every stack",
                            stem(name)
                        )
                    });
                }
                if other[1] != mine[1] {
                    return Some(format!("the partition is {}", mine[1]));
                }
                if other[4] != mine[4] {
                    return Some(format!("the account is {}", mine[4]));
                }
                (other[5] != mine[5]).then(|| format!("the same role name with another path: it is {}", mine[5]))
            }
        }
    }
}

/// Whether one account may be the other, mistyped.
fn near_account(one: &str, other: &str) -> bool {
    one.bytes().zip(other.bytes()).filter(|(one, other)| one != other).count() <= 2
}

/// What CloudFormation puts behind the name of a role that a template does not name.
fn is_suffix(text: &str) -> bool {
    let Some(suffix) = text.strip_prefix('-') else { return false };
    (8..=13).contains(&suffix.len())
        && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && suffix.bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Source: IAM API Reference, `CreateRole`, "RoleName".
fn is_role_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
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
