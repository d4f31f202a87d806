//! Typed settings, read once at cold start.
//!
//! Settings are environment variables. [`Env`] looks them up, turns them into types and remembers
//! every fault on the way, so that a person who mistyped three of them sees all three at once.
//! An empty value is the same as none: SAM sets an unset parameter to an empty string.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
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
/// impl Config {
///     fn from_env(env: &Env<'_>) -> Self {
///         Self {
///             retries: env.within("MAX_RETRIES", 0..=100).unwrap_or(5),
///             regions: env.list("REGIONS").unwrap_or_else(|| vec!["global".to_owned()]),
///             dry_run: env.flag("DRY_RUN", false),
///         }
///     }
/// }
///
/// let table = [("MAX_RETRIES", "7"), ("REGIONS", "eu-west-1, us-east-1"), ("DRY_RUN", "TRUE")];
/// let env = Env::of_table(&table);
/// let config = env.finish(Config::from_env(&env)).unwrap();
/// assert_eq!(config.retries, 7);
/// assert_eq!(config.regions, ["eu-west-1", "us-east-1"]);
/// assert!(config.dry_run);
///
/// let env = Env::of_table(&[("MAX_RETRIES", "many"), ("DRY_RUN", "maybe")]);
/// assert_eq!(
///     env.finish(Config::from_env(&env)).err().unwrap().to_string(),
///     "invalid settings: MAX_RETRIES is \"many\": expected a whole number from 0 to 100; \
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

    /// A lookup by a function of the caller.
    pub fn of(lookup: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self { lookup: Box::new(lookup), faults: RefCell::default() }
    }

    /// A table of names and values, for tests.
    #[must_use]
    pub fn of_table(table: &'a [(&'a str, &'a str)]) -> Self {
        Self::of(|name| table.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    /// The text of a setting without the white space around it; `None` where it is unset or empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A setting as a type; `None` where it is unset or wrong. A wrong one is remembered as a fault.
    ///
    /// The error of `T` is what a person reads: it says what is expected, such as "expected enforce or off". Numbers
    /// are read with [`Env::within`], since the errors of the standard library do not say that.
    pub fn parsed<T>(&self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let value = self.text(name)?;
        value.parse().map_err(|reason: T::Err| self.fault(name, &value, &reason.to_string())).ok()
    }

    /// A whole number within bounds, both included; `None` where it is unset or wrong. A wrong one is remembered as a
    /// fault.
    pub fn within<T>(&self, name: &str, bounds: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        let value = self.text(name)?;
        let number = value.parse().ok().filter(|number| bounds.contains(number));
        if number.is_none() {
            let (least, most) = bounds.into_inner();
            self.fault(name, &value, &format!("expected a whole number from {least} to {most}"));
        }
        number
    }

    /// A comma-separated setting, item by item; `None` where it is unset.
    ///
    /// Empty items are passed over, and an item that is given twice counts once. A wrong item is remembered as a fault
    /// and left out. A text without any item, such as `,`, is a fault: whoever sets it means something, and it cannot
    /// be the default.
    pub fn list<T>(&self, name: &str) -> Option<Vec<T>>
    where
        T: FromStr + PartialEq,
        T::Err: Display,
    {
        let text = self.text(name)?;
        let mut given = text.split(',').map(str::trim).filter(|item| !item.is_empty()).peekable();
        if given.peek().is_none() {
            self.fault(name, &text, "expected one or more values, separated by commas");
        }
        let mut items = Vec::new();
        for item in given {
            match item.parse::<T>() {
                Ok(item) if items.contains(&item) => {}
                Ok(item) => items.push(item),
                Err(reason) => self.fault(name, item, &reason.to_string()),
            }
        }
        Some(items)
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
    /// [`EnvError`] with every fault that was found since the last call.
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
            assert_eq!(env.parsed::<char>(name), None, "{name}");
            assert_eq!(env.within::<u8>(name, 0..=9), None, "{name}");
            assert_eq!(env.list::<u8>(name), None, "{name}");
            assert!(env.flag(name, true) && !env.flag(name, false), "{name}");
        }
        assert!(env.finish(()).is_ok());
    }

    #[test]
    fn numbers_and_flags_are_read_or_say_what_is_expected() {
        let number = "expected a whole number from 1 to 10";
        let cases = [
            ("1", Ok(1)),
            (" 10 ", Ok(10)),
            ("0", Err(number)),
            ("11", Err(number)),
            ("-1", Err(number)),
            ("2.0", Err(number)),
            ("many", Err(number)),
            ("99999999999999999999", Err(number)),
        ];
        for (text, expected) in cases {
            let table = [("N", text)];
            let env = Env::of_table(&table);
            let read = env.within::<u32>("N", 1..=10);
            assert_eq!(read, expected.ok(), "{text}");
            let fault = env.finish(()).err().map(|error| error.to_string());
            assert_eq!(
                fault,
                expected.err().map(|reason| format!("invalid settings: N is {:?}: {reason}", text.trim()))
            );
        }
        for (text, expected) in [("true", Some(true)), ("FALSE", Some(false)), ("yes", None), ("1", None)] {
            let table = [("FLAG", text)];
            let env = Env::of_table(&table);
            assert_eq!(env.flag("FLAG", false), expected.unwrap_or(false), "{text}");
            assert_eq!(env.finish(()).is_ok(), expected.is_some(), "{text}");
        }
    }

    #[test]
    fn a_list_leaves_out_empty_and_repeated_items_and_names_the_wrong_one() {
        let env = Env::of_table(&[("LIST", " b, a,,b ,c")]);
        assert_eq!(env.list::<char>("LIST"), Some(vec!['b', 'a', 'c']));
        assert!(env.finish(()).is_ok());

        let env = Env::of_table(&[("LIST", "b,aa,a")]);
        assert_eq!(env.list::<char>("LIST"), Some(vec!['b', 'a']));
        assert_eq!(
            env.finish(()).unwrap_err().to_string(),
            "invalid settings: LIST is \"aa\": too many characters in string"
        );
    }

    #[test]
    fn a_list_of_nothing_but_commas_is_a_fault() {
        for text in [",", " , ,"] {
            let table = [("PORTS", text)];
            let env = Env::of_table(&table);
            assert_eq!(env.list::<char>("PORTS"), Some(vec![]));
            let error = env.finish(()).unwrap_err().to_string();
            assert!(error.contains("expected one or more values, separated by commas"), "{text}: {error}");
        }
    }

    #[test]
    fn faults_are_reported_once() {
        let env = Env::of_table(&[("FLAG", "maybe")]);
        env.flag("FLAG", false);
        env.fault("A and B", "x", "expected only one of them");
        assert_eq!(
            env.finish(()).unwrap_err().to_string(),
            "invalid settings: FLAG is \"maybe\": expected true or false; A and B is \"x\": expected only one of them"
        );
        assert!(env.finish(()).is_ok());
    }
}
