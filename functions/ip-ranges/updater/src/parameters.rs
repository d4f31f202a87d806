//! The ids of the groups, prefix lists or IP sets as parameters of SSM Parameter Store, for templates that refer to them.

use std::str::FromStr;

/// Levels below the prefix: the VPC where there are several, the service, the port or family.
const LEVELS_BELOW: usize = 3;
/// SSM's limit of levels in a name.
///
/// Source: Systems Manager API reference, PutParameter: "Parameter hierarchies are limited to a maximum depth of fifteen
/// levels", "A parameter name can't be prefixed with "aws" or "ssm" (case-insensitive)".
const MOST_LEVELS: usize = 15;
/// SSM takes 1,011 characters with the ARN in front; this leaves room for both ends.
const LONGEST: usize = 500;

/// `PARAMETER_PREFIX`: how the names of the parameters begin, such as `/gatehouse/ip-ranges`. No slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterPrefix(String);

impl ParameterPrefix {
    /// As it is set.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ParameterPrefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let levels: Vec<&str> = text.strip_prefix('/').map(|levels| levels.split('/').collect()).unwrap_or_default();
        let is_level = |level: &&str| !level.is_empty() && level.bytes().all(allowed);
        let first = levels.first().map(|level| level.to_ascii_lowercase()).unwrap_or_default();
        let is_reserved = first.starts_with("aws") || first.starts_with("ssm");
        let is_long = levels.len() + LEVELS_BELOW > MOST_LEVELS || text.len() > LONGEST;
        if levels.is_empty() || !levels.iter().all(is_level) || is_reserved || is_long {
            return Err(
                "expected a path such as /gatehouse/ip-ranges: at most 12 levels of letters, digits, dots, dashes or underscores, no slash at the end, not beginning with /aws or /ssm",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_path_that_ssm_takes() {
        let twelve = "/a".repeat(12);
        for text in ["/gatehouse", "/gatehouse/ip-ranges", "/a.b_c-D/9", &twelve] {
            assert_eq!(text.parse::<ParameterPrefix>().unwrap().as_str(), text);
        }
        let (thirteen, long) = ("/a".repeat(13), format!("/{}", "a".repeat(500)));
        for text in [
            "gatehouse",
            "/",
            "/gatehouse/",
            "//a",
            "/a//b",
            "/aws/gatehouse",
            "/AWS",
            "/awsome",
            "/ssm",
            "/SSM/x",
            "/a b",
            "/ä",
            &thirteen,
            &long,
        ] {
            assert!(text.parse::<ParameterPrefix>().is_err(), "{text}");
        }
    }
}
