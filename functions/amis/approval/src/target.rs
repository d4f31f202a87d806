//! Who receives an image.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

pub use gatehouse_shared::arn::AccountId;
use gatehouse_shared::arn::Arn;
use gatehouse_shared::env::Reader;

/// Systems Manager accepts at most 512 characters in a value of a parameter of an execution.
pub const MAX_VALUE: usize = 512;

/// The accounts, organizations and organizational units that receive every approved image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// `TARGET_ACCOUNT_IDS`: account ids, comma-separated.
    pub accounts: Vec<AccountId>,
    /// `TARGET_ORGANIZATION_ARNS`: ARNs of organizations, comma-separated.
    pub organizations: Vec<OrganizationArn>,
    /// `TARGET_OU_ARNS`: ARNs of organizational units, comma-separated.
    pub units: Vec<UnitArn>,
}

impl Targets {
    /// Reads the three lists. At least one of them must be set.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        let given =
            ["TARGET_ACCOUNT_IDS", "TARGET_ORGANIZATION_ARNS", "TARGET_OU_ARNS"].map(|name| env.text(name).is_some());
        if !given.contains(&true) {
            env.fault(
                "TARGET_ACCOUNT_IDS",
                "",
                "expected at least one of TARGET_ACCOUNT_IDS, TARGET_ORGANIZATION_ARNS and TARGET_OU_ARNS",
            );
        }
        Some(Self {
            accounts: env.list("TARGET_ACCOUNT_IDS").unwrap_or_default(),
            organizations: env.list("TARGET_ORGANIZATION_ARNS").unwrap_or_default(),
            units: env.list("TARGET_OU_ARNS").unwrap_or_default(),
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let Self { accounts, organizations, units } = self;
        accounts.len() + organizations.len() + units.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parameter `receivers` of an Automation execution: all targets in one order, comma-separated, in as few values
    /// as hold them. The settings of a Lambda function have 4 KB in all, which makes nine values at most.
    #[must_use]
    pub fn to_values(&self) -> Vec<String> {
        let Self { accounts, organizations, units } = self;
        let sorted = |texts: BTreeSet<&str>| texts.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let texts = [
            sorted(accounts.iter().map(AccountId::as_str).collect()),
            sorted(organizations.iter().map(OrganizationArn::as_str).collect()),
            sorted(units.iter().map(UnitArn::as_str).collect()),
        ];
        let mut values: Vec<String> = Vec::new();
        for text in texts.concat() {
            match values.last_mut() {
                Some(last) if last.len() + 1 + text.len() <= MAX_VALUE => {
                    last.push(',');
                    last.push_str(&text);
                }
                _ => values.push(text),
            }
        }
        values
    }

    /// Reads what [`Targets::to_values`] made; `None` where anything else is in it, or nothing.
    ///
    /// ```
    /// use ami_approval::target::Targets;
    ///
    /// let values = ["111122223333,444455556666".to_owned()];
    /// let targets = Targets::from_values(&values).unwrap();
    /// assert_eq!((targets.accounts.len(), targets.to_values()), (2, values.to_vec()));
    /// assert!(Targets::from_values(&["all".to_owned()]).is_none());
    /// ```
    #[must_use]
    pub fn from_values(values: &[String]) -> Option<Self> {
        let mut targets = Self::default();
        for text in values.iter().flat_map(|value| value.split(',')) {
            if let Ok(account) = text.parse() {
                targets.accounts.push(account);
            } else if let Ok(organization) = text.parse() {
                targets.organizations.push(organization);
            } else {
                targets.units.push(text.parse().ok()?);
            }
        }
        (!targets.is_empty()).then_some(targets)
    }

    /// Each target, for people: what it is, and its id or ARN.
    #[must_use]
    pub fn described(&self) -> Vec<(&'static str, &str)> {
        let Self { accounts, organizations, units } = self;
        let accounts = accounts.iter().map(|account| ("Account", account.as_str()));
        let organizations = organizations.iter().map(|arn| ("All accounts of the organization", arn.as_str()));
        let units = units.iter().map(|arn| ("All accounts of the organizational unit", arn.as_str()));
        accounts.chain(organizations).chain(units).collect()
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// The ARN of an organization.
///
/// ```
/// use ami_approval::target::OrganizationArn;
///
/// let arn: OrganizationArn = "arn:aws:organizations::111122223333:organization/o-abcdefghij".parse().unwrap();
/// assert_eq!(arn.organization_id(), "o-abcdefghij");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrganizationArn(String);
text_type!(OrganizationArn);

impl OrganizationArn {
    /// The id of the organization, for `aws:PrincipalOrgID`.
    #[must_use]
    pub fn organization_id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl FromStr for OrganizationArn {
    type Err = &'static str;

    /// Source: Organizations API Reference, `Organization`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let resource = organizations_resource(text).and_then(|resource| resource.strip_prefix("organization/"));
        if resource.is_some_and(is_organization_id) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected the ARN of an organization, arn:aws:organizations::<12 digits>:organization/o-<id>")
        }
    }
}

/// The ARN of an organizational unit.
///
/// ```
/// use ami_approval::target::UnitArn;
///
/// let arn: UnitArn = "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-11111111".parse().unwrap();
/// assert_eq!(arn.ids(), ("o-abcdefghij", "ou-ab12-11111111"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitArn(String);
text_type!(UnitArn);

impl UnitArn {
    /// The ids of the organization and of the unit, for `aws:PrincipalOrgPaths`.
    #[must_use]
    pub fn ids(&self) -> (&str, &str) {
        let (rest, unit) = self.0.rsplit_once('/').unwrap_or_default();
        (rest.rsplit('/').next().unwrap_or_default(), unit)
    }
}

impl FromStr for UnitArn {
    type Err = &'static str;

    /// Source: Organizations API Reference, `OrganizationalUnit`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ids = organizations_resource(text)
            .and_then(|resource| resource.strip_prefix("ou/"))
            .and_then(|resource| resource.split_once('/'));
        let is_unit_id = |id: &str| {
            id.strip_prefix("ou-")
                .and_then(|id| id.split_once('-'))
                .is_some_and(|(root, unit)| is_id(root, 4) && is_id(unit, 8))
        };
        if ids.is_some_and(|(organization, unit)| is_organization_id(organization) && is_unit_id(unit)) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected the ARN of an organizational unit, arn:aws:organizations::<12 digits>:ou/o-<id>/ou-<id>")
        }
    }
}

/// What comes after the account in an ARN of AWS Organizations.
fn organizations_resource(arn: &str) -> Option<&str> {
    let Arn { partition, service, region, account, resource } = Arn::parse(arn)?;
    let is_expected = partition.starts_with("aws") && service == "organizations" && region.is_empty();
    (is_expected && account.parse::<AccountId>().is_ok()).then_some(resource)
}

fn is_organization_id(id: &str) -> bool {
    id.strip_prefix("o-").is_some_and(|id| is_id(id, 10))
}

fn is_id(text: &str, least: usize) -> bool {
    (least..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use gatehouse_shared::env::Env;

    use super::*;

    #[test]
    fn all_three_lists_are_read() {
        let env = Env::of_table(&[
            ("TARGET_ACCOUNT_IDS", "111122223333, 444455556666,111122223333"),
            ("TARGET_ORGANIZATION_ARNS", "arn:aws:organizations::111122223333:organization/o-abcdefghij"),
            ("TARGET_OU_ARNS", "arn:aws-cn:organizations::111122223333:ou/o-abcdefghij/ou-ab12-11111111"),
        ]);
        let targets = env.read(Targets::from_env).unwrap();
        assert_eq!(
            targets.accounts.iter().map(AccountId::as_str).collect::<Vec<_>>(),
            ["111122223333", "444455556666"]
        );
        assert_eq!((targets.organizations.len(), targets.units.len(), targets.len()), (1, 1, 4));
        assert!(!targets.is_empty());
    }

    #[test]
    fn a_record_of_the_targets_is_the_same_in_whatever_order_they_are_given() {
        let of = |accounts: &str| {
            let table = [
                ("TARGET_ACCOUNT_IDS", accounts),
                ("TARGET_ORGANIZATION_ARNS", "arn:aws:organizations::111122223333:organization/o-abcdefghij"),
                ("TARGET_OU_ARNS", "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-11111111"),
            ];
            let env = Env::of_table(&table);
            env.read(Targets::from_env).unwrap()
        };
        let values = of("444455556666,111122223333").to_values();
        assert_eq!(values, of("111122223333,444455556666").to_values());
        assert_ne!(values, of("111122223333").to_values());
        assert_eq!(Targets::from_values(&values).unwrap(), of("111122223333,444455556666"));
    }

    #[test]
    fn many_targets_fit_into_few_values() {
        let accounts: Vec<String> = (0..300).map(|number| format!("{number:012}")).collect();
        let accounts = accounts.join(",");
        let table = [("TARGET_ACCOUNT_IDS", accounts.as_str())];
        let values = Env::of_table(&table).read(Targets::from_env).unwrap().to_values();
        assert!(values.len() <= 9 && values.iter().all(|value| value.len() <= MAX_VALUE), "{}", values.len());
        assert_eq!(Targets::from_values(&values).unwrap().accounts.len(), 300);
        for odd in [vec![], vec![String::new()], vec!["111122223333,".to_owned()], vec!["1".to_owned()]] {
            assert_eq!(Targets::from_values(&odd), None, "{odd:?}");
        }
    }

    #[test]
    fn no_target_at_all_is_a_fault() {
        let read = Env::of_table(&[("TARGET_ACCOUNT_IDS", " ")]).read(Targets::from_env);
        assert!(read.unwrap_err().to_string().contains("expected at least one of TARGET_ACCOUNT_IDS"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "11112222333", "1111222233334", "11112222333a", "١١١١٢٢٢٢٣٣٣٣", "*", "all"] {
            assert!(text.parse::<AccountId>().is_err(), "{text}");
        }
        for text in [
            "o-abcdefghij",
            "arn:aws:organizations::111122223333:organization/o-abcdefghi",
            "arn:aws:organizations::111122223333:organization/o-abcdefghij/",
            "arn:aws:organizations::111122223333:organization/*",
            "arn:aws:organizations:eu-west-1:111122223333:organization/o-abcdefghij",
            "arn:aws:organizations::1111:organization/o-abcdefghij",
            "arn:aws:iam::111122223333:organization/o-abcdefghij",
            "arn:other:organizations::111122223333:organization/o-abcdefghij",
            "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-11111111",
        ] {
            assert!(text.parse::<OrganizationArn>().is_err(), "{text}");
        }
        for text in [
            "arn:aws:organizations::111122223333:organization/o-abcdefghij",
            "arn:aws:organizations::111122223333:ou/o-abcdefghij",
            "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12",
            "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab1-11111111",
            "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-1111111A",
            "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-11111111/x",
            "arn:aws:organizations::111122223333:ou/*/ou-ab12-11111111",
        ] {
            assert!(text.parse::<UnitArn>().is_err(), "{text}");
        }
    }
}
