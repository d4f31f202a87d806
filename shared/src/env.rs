//! Typed settings, read once at cold start.
//!
//! Settings are environment variables. [`Env`] looks them up, turns them into types and remembers
//! every fault on the way, so that a person who mistyped three of them is told of all three at once.
//! An empty value is the same as none: SAM hands an unset parameter over as an empty string.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::str::FromStr;

/// Finds the value of a setting by its name.
type Lookup<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

/// A lookup of settings that collects what is wrong with them.
///
/// ```
/// use gatehouse_shared::env::Env;
///
/// struct Config {
///     retries: u32,
///     regions: Vec<String>,
///     dry_run: bool,
/// }
///
/// let table = [("MAX_RETRIES", "7"), ("REGIONS", "eu-west-1, us-east-1"), ("DRY_RUN", "TRUE")];
/// let env = Env::of_table(&table);
/// let config = env
///     .finish(Config {
///         retries: env.parsed("MAX_RETRIES").unwrap_or(5),
///         regions: env.list("REGIONS"),
///         dry_run: env.flag("DRY_RUN", false),
///     })
///     .unwrap();
/// assert_eq!(config.retries, 7);
/// assert_eq!(config.regions, ["eu-west-1", "us-east-1"]);
/// assert!(config.dry_run);
///
/// let env = Env::of_table(&[("MAX_RETRIES", "many"), ("DRY_RUN", "maybe")]);
/// let _ = (env.parsed::<u32>("MAX_RETRIES"), env.flag("DRY_RUN", false));
/// assert_eq!(
///     env.finish(()).unwrap_err().to_string(),
///     "invalid settings: MAX_RETRIES is \"many\": invalid digit found in string; \
///      DRY_RUN is \"maybe\": expected true or false"
/// );
/// ```
pub struct Env<'a> {
    lookup: Lookup<'a>,
    faults: RefCell<Vec<Fault>>,
}

impl<'a> Env<'a> {
    /// The environment of this process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the environment")]
    pub fn of_process() -> Env<'static> {
        Env::of(|name| std::env::var(name).ok())
    }

    /// A lookup of one's own.
    pub fn of(lookup: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self { lookup: Box::new(lookup), faults: RefCell::default() }
    }

    /// A table of names and values, as tests have it.
    #[must_use]
    pub fn of_table(table: &'a [(&'a str, &'a str)]) -> Self {
        Self::of(|name| table.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    /// The text of a setting without white space around it; `None` where it is unset or empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A setting as a type. `None` where it is unset, or wrong: then the fault is remembered and
    /// [`Env::finish`] tells of it.
    pub fn parsed<T>(&self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let value = self.text(name)?;
        value.parse().map_err(|reason: T::Err| self.fault(name, &value, &reason.to_string())).ok()
    }

    /// A comma-separated setting, item by item; empty where it is unset. Empty items are passed
    /// over; a wrong one is remembered as a fault.
    pub fn list<T>(&self, name: &str) -> Vec<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text(name).unwrap_or_default();
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .filter_map(|item| item.parse().map_err(|reason: T::Err| self.fault(name, item, &reason.to_string())).ok())
            .collect()
    }

    /// `true` or `false`, in any case of letters.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        let Some(value) = self.text(name) else { return default };
        match value.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => {
                self.fault(name, &value, "expected true or false");
                default
            }
        }
    }

    /// Remembers a fault that the caller found, such as two settings that exclude each other.
    pub fn fault(&self, name: &str, value: &str, reason: &str) {
        self.faults.borrow_mut().push(Fault {
            name: name.to_owned(),
            value: value.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// The finished settings.
    ///
    /// # Errors
    ///
    /// [`EnvError`] with every fault that was met while they were read.
    pub fn finish<T>(&self, settings: T) -> Result<T, EnvError> {
        let faults = self.faults.take();
        if faults.is_empty() { Ok(settings) } else { Err(EnvError { faults }) }
    }
}

/// Every fault found in the settings, in the order they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvError {
    faults: Vec<Fault>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    name: String,
    value: String,
    reason: String,
}

impl Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid settings: ")?;
        for (index, Fault { name, value, reason }) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{name} is {value:?}: {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for EnvError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_empty_and_blank_are_all_none() {
        let env = Env::of_table(&[("EMPTY", ""), ("BLANK", "  ")]);
        for name in ["UNSET", "EMPTY", "BLANK"] {
            assert_eq!(env.text(name), None, "{name}");
            assert_eq!(env.parsed::<u8>(name), None, "{name}");
            assert!(env.list::<u8>(name).is_empty(), "{name}");
            assert!(env.flag(name, true), "{name}");
        }
        assert!(env.finish(()).is_ok());
    }

    #[test]
    fn a_list_names_the_item_that_is_wrong() {
        let env = Env::of_table(&[("PORTS", " 80, x,,443 ")]);
        assert_eq!(env.list::<u16>("PORTS"), [80, 443]);
        let error = env.finish(()).unwrap_err();
        assert_eq!(error.to_string(), "invalid settings: PORTS is \"x\": invalid digit found in string");
    }
}
