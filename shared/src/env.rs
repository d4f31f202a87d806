//! Typed settings, read once at cold start.
//!
//! Settings are environment variables. [`Env`] finds them; [`Env::read`] lends a [`Reader`], which turns them into types
//! and remembers every fault on the way, so that a person who mistyped three of them sees all three at once. There is no
//! other way to a `Reader`, so settings are never used with a fault that nobody asked for.
//! An empty value is the same as none: SAM sets an unset parameter to an empty string.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Finds the value of a setting by its name.
type Lookup<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

/// Where settings come from.
///
/// ```
/// use gatehouse_shared::env::{Env, Reader};
/// use gatehouse_shared::sns::TopicArn;
///
/// struct Config {
///     topic_arn: TopicArn,
///     retries: u32,
///     dry_run: bool,
/// }
///
/// impl Config {
///     fn from_env(env: &Reader<'_>) -> Option<Self> {
///         let topic_arn = env.required("TOPIC_ARN", "expected the ARN of the topic");
///         let retries = env.within("MAX_RETRIES", 0..=100).unwrap_or(5);
///         let dry_run = env.flag("DRY_RUN", false);
///         Some(Self { topic_arn: topic_arn?, retries, dry_run })
///     }
/// }
///
/// let table = [("TOPIC_ARN", "arn:aws:sns:eu-west-1:111122223333:people"), ("DRY_RUN", "TRUE")];
/// let config = Env::of_table(&table).read(Config::from_env).unwrap();
/// assert_eq!((config.topic_arn.as_str(), config.retries, config.dry_run), (table[0].1, 5, true));
///
/// let env = Env::of_table(&[("MAX_RETRIES", "many"), ("DRY_RUN", "maybe")]);
/// assert_eq!(
///     env.read(Config::from_env).err().unwrap().to_string(),
///     "invalid settings: TOPIC_ARN is \"\": expected the ARN of the topic; \
///      MAX_RETRIES is \"many\": expected a whole number from 0 to 100; \
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

    /// A reader whose faults the next [`Env::read`] reports.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader(self)
    }

    /// The settings that `read` takes from here; several of them are joined with [`Option::zip`].
    ///
    /// `read` gives `None` where a setting that must be set is missing or wrong. It asks for all of them before it does,
    /// so that all faults are reported.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] with every fault that was found, whether or not `read` gave something. Those of the settings that
    /// [`log::init`](crate::log::init) read before are among them.
    pub fn read<T>(&self, read: impl FnOnce(&Reader<'_>) -> Option<T>) -> Result<T, SettingsError> {
        let settings = read(&self.reader());
        let faults = self.faults.take();
        settings.filter(|_| faults.is_empty()).ok_or(SettingsError { faults })
    }
}

/// A look at the settings that collects what is wrong with them. Given by [`Env::read`].
pub struct Reader<'a>(&'a Env<'a>);

impl Reader<'_> {
    /// The text of a setting, as [`Env::text`] gives it.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.0.text(name)
    }

    /// A setting that must be set, as a type; `None` where it is unset or wrong, and either is remembered as a fault.
    /// `expected` is what a person reads who did not set it.
    pub fn required<T>(&self, name: &str, expected: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        if self.text(name).is_none() {
            self.fault(name, "", expected);
        }
        self.parsed(name)
    }

    /// A setting as a type; `None` where it is unset or wrong. A wrong one is remembered as a fault.
    ///
    /// The error of `T` is what a person reads: it says what is expected, such as "expected enforce or off". Numbers
    /// are read with [`Reader::within`], since the errors of the standard library do not say that.
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
    /// Empty items are skipped, and an item that is given twice counts once. A wrong item is remembered as a fault
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
        self.0.faults.borrow_mut().push(Fault {
            name: name.to_owned(),
            value: value.to_owned(),
            reason: reason.to_owned(),
        });
    }
}

/// Makes an enum a setting: `one_of!(Target: "security-groups" => SecurityGroups, "prefix-lists" => PrefixLists);`
/// gives it [`FromStr`], whose error names the texts that are expected.
#[macro_export]
macro_rules! one_of {
    ($type:ty: $($text:literal => $variant:ident),+ $(,)?) => {
        impl ::std::str::FromStr for $type {
            type Err = $crate::env::Expected;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::env::Expected(&[$($text),+])),
                }
            }
        }
    };
}

/// A setting is none of the texts that it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected(pub &'static [&'static str]);

impl Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected ")?;
        for (index, text) in self.0.iter().enumerate() {
            match index {
                0 => {}
                _ if index + 1 == self.0.len() => f.write_str(" or ")?,
                _ => f.write_str(", ")?,
            }
            f.write_str(text)?;
        }
        Ok(())
    }
}

/// Every fault found in the settings, in the order they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    faults: Vec<Fault>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    name: String,
    value: String,
    reason: String,
}

impl Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid settings: ")?;
        if self.faults.is_empty() {
            f.write_str("one that must be set is missing")?;
        }
        for (index, Fault { name, value, reason }) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{name} is {value:?}: {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `read` gives of one setting, or the fault without its beginning.
    fn read<T>(value: &str, read: impl FnOnce(&Reader<'_>) -> Option<T>) -> Result<T, String> {
        let start = "invalid settings: ";
        Env::of_table(&[("S", value)])
            .read(read)
            .map_err(|error| error.to_string().strip_prefix(start).unwrap_or_default().to_owned())
    }

    #[test]
    fn unset_empty_and_blank_are_all_none() {
        let env = Env::of_table(&[("EMPTY", ""), ("BLANK", "  ")]);
        let nothing = |env: &Reader<'_>| {
            for name in ["UNSET", "EMPTY", "BLANK"] {
                assert_eq!(env.text(name), None, "{name}");
                assert_eq!(env.parsed::<char>(name), None, "{name}");
                assert_eq!(env.within::<u8>(name, 0..=9), None, "{name}");
                assert_eq!(env.list::<u8>(name), None, "{name}");
                assert!(env.flag(name, true) && !env.flag(name, false), "{name}");
            }
            Some(())
        };
        assert!(env.read(nothing).is_ok());
    }

    #[test]
    fn numbers_and_flags_are_read_or_say_what_is_expected() {
        let number = "expected a whole number from 1 to 10";
        for (text, expected) in [
            ("1", Ok(1)),
            (" 10 ", Ok(10)),
            ("0", Err(number)),
            ("11", Err(number)),
            ("-1", Err(number)),
            ("2.0", Err(number)),
            ("many", Err(number)),
            ("99999999999999999999", Err(number)),
        ] {
            let expected = expected.map_err(|reason| format!("S is {:?}: {reason}", text.trim()));
            assert_eq!(read(text, |env| env.within::<u32>("S", 1..=10)), expected);
        }
        for (text, expected) in [("true", Some(true)), ("FALSE", Some(false)), ("yes", None), ("1", None)] {
            let expected = expected.ok_or_else(|| format!("S is {text:?}: expected true or false"));
            assert_eq!(read(text, |env| Some(env.flag("S", false))), expected);
        }
    }

    #[test]
    fn a_list_leaves_out_empty_and_repeated_items_and_names_the_wrong_one() {
        assert_eq!(read(" b, a,,b ,c", |env| env.list::<char>("S")), Ok(vec!['b', 'a', 'c']));
        let fault = "S is \"aa\": too many characters in string".to_owned();
        assert_eq!(read("b,aa,a", |env| env.list::<char>("S")), Err(fault));
    }

    #[test]
    fn a_list_of_nothing_but_commas_is_a_fault() {
        for text in [",", " , ,"] {
            let error = read(text, |env| env.list::<char>("S")).unwrap_err();
            assert!(error.contains("expected one or more values, separated by commas"), "{text}: {error}");
        }
    }

    #[test]
    fn what_must_be_set_is_a_fault_where_it_is_missing_or_wrong() {
        let required = |env: &Reader<'_>| env.required::<char>("S", "expected a letter");
        assert_eq!(read("a", required), Ok('a'));
        assert_eq!(read(" ", required), Err("S is \"\": expected a letter".to_owned()));
        assert_eq!(read("aa", required), Err("S is \"aa\": too many characters in string".to_owned()));
    }

    #[test]
    fn what_was_read_before_is_reported_with_the_rest() {
        let env = Env::of_table(&[("EARLY", "maybe"), ("S", "aa")]);
        assert!(!env.reader().flag("EARLY", false));
        let error = env.read(|env| env.parsed::<char>("S")).unwrap_err().to_string();
        let expected = "EARLY is \"maybe\": expected true or false; S is \"aa\": too many characters in string";
        assert_eq!(error, format!("invalid settings: {expected}"));
    }

    #[test]
    fn a_fault_gives_no_settings_whatever_else_was_read() {
        let faults = |env: &Reader<'_>| {
            env.flag("S", false);
            env.fault("A and B", "x", "expected only one of them");
            Some(())
        };
        let expected = "S is \"maybe\": expected true or false; A and B is \"x\": expected only one of them";
        assert_eq!(read("maybe", faults), Err(expected.to_owned()));
        assert_eq!(read("", |_| None::<()>), Err("one that must be set is missing".to_owned()));
    }

    #[derive(Debug, PartialEq)]
    enum Size {
        Small,
        Large,
        Any,
    }

    one_of!(Size: "small" => Small, "large" => Large, "any" => Any);

    #[test]
    fn one_of_several_texts_names_them_all() {
        let size = |env: &Reader<'_>| env.parsed::<Size>("S");
        assert_eq!(read("large", size), Ok(Size::Large));
        assert_eq!(read("small", size), Ok(Size::Small));
        assert_eq!(read("any", size), Ok(Size::Any));
        assert_eq!(read("Large", size), Err("S is \"Large\": expected small, large or any".to_owned()));
        assert_eq!(Expected(&["on", "off"]).to_string(), "expected on or off");
    }
}
