//! The managed data identifiers: one table row each, in one file for each family, found by one runner.
//!
//! To add an identifier, add its row to the file of its family. The row has the name, the form or a function that finds
//! it, AWS's keywords, and texts in which it is found and left alone: one test goes over all of them.
//!
//! Each detector reads a text once, and looks at a bounded number of characters for each candidate: the time is linear
//! in the length of the text, whatever is in it.

mod bank_accounts;
mod cards;
mod check;
mod dates;
mod driving_licences;
mod forms;
mod health;
mod mail;
mod national_numbers;
mod network;
mod passports;
mod phones;
mod places;
mod private_keys;
mod secret_keys;
mod ssn;
mod tax_numbers;
mod text;
mod vehicles;

use std::ops::Range;

pub(crate) use self::forms::{Forms, find_forms};
pub(crate) use self::text::{Text, digit_runs, marked_runs};
use crate::words::Mask;

/// Finds values, and asks for keywords where it needs them.
pub(crate) type FindFn = fn(&Text<'_>, &mut Vec<Range<usize>>);

/// How a managed data identifier is found.
#[derive(Clone, Copy)]
pub(crate) enum Find {
    /// By a function.
    Code(FindFn),
    /// By its forms.
    Forms(&'static [Form]),
}

/// A form of a value, and its check.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    /// As [`forms`] describes it.
    pub(crate) form: &'static str,
    /// Of the letters, in capitals, and digits of the value, without what separates them.
    pub(crate) check: Option<fn(&[u8]) -> bool>,
}

/// A value of this form.
pub(crate) const fn form(form: &'static str) -> Form {
    Form { form, check: None }
}

/// A value of this form that also passes a check.
pub(crate) const fn checked(form: &'static str, check: fn(&[u8]) -> bool) -> Form {
    Form { form, check: Some(check) }
}

/// A row of the table.
pub(crate) struct Identifier {
    /// As in the ARN `arn:aws:dataprotection::aws:data-identifier/<name>`.
    pub(crate) name: &'static str,
    pub(crate) find: Find,
    /// Lists of words near it. AWS's, and where a comment says so, others.
    pub(crate) words: &'static [&'static [&'static str]],
    /// Whether the form alone is enough.
    pub(crate) alone: bool,
    /// Characters of the shortest value. Most texts of a JSON document are short: one look at the length is all that they
    /// need.
    pub(crate) min: usize,
    /// Texts with one value each between `«` and `»`: it is found, and nothing else.
    #[cfg(test)]
    pub(crate) found: &'static [&'static str],
    /// Texts in which nothing is found.
    #[cfg(test)]
    pub(crate) left: &'static [&'static str],
}

/// A row of the table, as text: `identifier!("Ssn-US", Forms(&[…]), words: [SSN], found: […], left: […])`.
macro_rules! identifier {
    (
        $name:literal, $find:expr, $(alone: $alone:literal,)? words: [$($words:expr),*], min: $min:literal,
        found: [$($found:expr),* $(,)?], left: [$($left:expr),* $(,)?] $(,)?
    ) => {{
        #[allow(unused_mut, unused_assignments, reason = "where a row says nothing, a keyword is needed")]
        const ALONE: bool = {
            let mut alone = false;
            $(alone = $alone;)?
            alone
        };
        $crate::identifiers::Identifier {
            name: $name,
            find: $find,
            words: &[$($words),*],
            alone: ALONE,
            min: $min,
            #[cfg(test)]
            found: &[$($found),*],
            #[cfg(test)]
            left: &[$($left),*],
        }
    }};
}
pub(crate) use identifier;

/// All families.
static FAMILIES: [&[Identifier]; 16] = [
    bank_accounts::ROWS,
    cards::ROWS,
    dates::ROWS,
    driving_licences::ROWS,
    health::ROWS,
    mail::ROWS,
    national_numbers::ROWS,
    network::ROWS,
    passports::ROWS,
    phones::ROWS,
    places::ROWS,
    private_keys::ROWS,
    secret_keys::ROWS,
    ssn::ROWS,
    tax_numbers::ROWS,
    vehicles::ROWS,
];

/// AWS's managed data identifiers that no pattern finds, and what does.
pub(crate) const UNSUPPORTED: [&str; 2] = ["Address", "Name"];

/// A managed data identifier that is supported.
#[derive(Clone, Copy)]
pub struct Managed {
    row: &'static Identifier,
    /// Its bit among the words.
    bit: Mask,
}

impl std::fmt::Debug for Managed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.row.name)
    }
}

impl PartialEq for Managed {
    fn eq(&self, other: &Self) -> bool {
        self.bit == other.bit
    }
}

impl Eq for Managed {}

impl Managed {
    /// All of them, family by family.
    pub fn all() -> impl Iterator<Item = Self> {
        FAMILIES.iter().flat_map(|rows| rows.iter()).enumerate().map(|(index, row)| Self { row, bit: 1 << index })
    }

    /// Its name, as in the ARN `arn:aws:dataprotection::aws:data-identifier/<name>`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row.name
    }

    /// The identifier of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|managed| managed.name() == name)
    }

    /// Whether AWS has a managed data identifier of this name, supported here or not.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        UNSUPPORTED.contains(&name) || Self::named(name).is_some()
    }

    /// Whether it is found only with a keyword near it, or in the path of keys.
    #[must_use]
    pub fn needs_keyword(self) -> bool {
        !self.row.alone
    }

    /// The keywords.
    pub fn keywords(self) -> impl Iterator<Item = &'static str> {
        self.row.words.iter().flat_map(|list| list.iter().copied())
    }

    pub(crate) fn bit(self) -> Mask {
        self.bit
    }

    pub(crate) fn find(self) -> Find {
        self.row.find
    }

    /// Whether it is found in a text without a digit, where its forms do not say.
    pub(crate) fn may_have_no_digit(self) -> bool {
        self.row.name == "EmailAddress" || self.row.name == "IpAddress" || self.row.name.ends_with("PrivateKey")
    }

    /// Whether a plus may be a part of it: then what is between two of them may be a part of something longer.
    pub(crate) fn may_have_plus(self) -> bool {
        self.row.name == "AwsSecretKey"
    }

    pub(crate) fn min(self) -> usize {
        self.row.min
    }
}

/// Words that say a number is a version; they have a bit of their own.
pub(crate) const VERSION: Mask = 1 << 127;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, Decision, Direction, Engine, Options, Policy};

    fn engine(name: &str, options: Options) -> Engine {
        let policy = serde_json::json!({
            "Name": "test", "Version": "2021-06-01",
            "Statement": [{
                "DataDirection": "Outbound", "Principal": ["*"],
                "DataIdentifier": [format!("arn:aws:dataprotection::aws:data-identifier/{name}")],
                "Operation": { "Deidentify": { "MaskConfig": { "MaskWithCharacter": "~" } } },
            }],
        });
        let principal = "arn:aws:iam::123456789012:role/Reporting".parse().unwrap();
        Engine::new(&Policy::parse(&policy.to_string()).unwrap(), Direction::Outbound, &principal).with(options)
    }

    fn masked(engine: &Engine, text: &str) -> String {
        match engine.apply(&Content::message(text)).decision {
            Decision::Deliver(content) => content.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_row_finds_its_values_and_nothing_else() {
        let mut faults = Vec::new();
        for managed in Managed::all() {
            let engine = engine(managed.name(), Options::default());
            let row = managed.row;
            assert!(!row.found.is_empty() && !row.left.is_empty(), "{} has no examples", row.name);
            for text in row.found {
                let (before, rest) = text.split_once('«').unwrap_or_else(|| panic!("{text}"));
                let (value, after) = rest.split_once('»').unwrap();
                let given = format!("{before}{value}{after}");
                let expected = format!("{before}{}{after}", "~".repeat(value.chars().count()));
                let seen = masked(&engine, &given);
                // A number of JSON becomes a text.
                if seen.replace("\"~", "~").replace("~\"", "~") != expected.replace("\"~", "~").replace("~\"", "~") {
                    faults.push(format!("{}: {given:?} -> {seen:?}", row.name));
                }
                // What needs a keyword is not found without one.
                if !row.alone && !before.is_empty() && before.bytes().all(|byte| !byte.is_ascii_digit()) {
                    let without = masked(&engine, value);
                    if without != value && matches!(row.find, Find::Forms(_)) {
                        faults.push(format!("{}: {value:?} alone -> {without:?}", row.name));
                    }
                }
                assert!(value.len() >= row.min, "{}: min is {}, {value:?} shorter", row.name, row.min);
            }
            for text in row.left {
                let seen = masked(&engine, text);
                if seen != *text {
                    faults.push(format!("{} leaves: {text:?} -> {seen:?}", row.name));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn each_keyword_serves_in_every_case_and_as_a_key() {
        let mut faults = Vec::new();
        for managed in Managed::all() {
            let row = managed.row;
            let Find::Forms(_) = row.find else { continue };
            if row.alone {
                continue;
            }
            let engine = engine(row.name, Options::default());
            let value = row.found[0].split(['«', '»']).nth(1).unwrap();
            for keyword in managed.keywords() {
                let key = |from: &str, to: &str| keyword.replace(from, to);
                for text in [
                    format!("{keyword} {value}"),
                    format!("{} {value}", keyword.to_uppercase()),
                    format!("{}: {value}", key(" ", "_")),
                    format!("{}={value}", key(" ", "-")),
                    format!("{}={value}", key(" ", "")),
                    serde_json::json!({ key(" ", "_"): [{ "v": value }] }).to_string(),
                ] {
                    if masked(&engine, &text).contains(value) {
                        faults.push(format!("{}: {text:?}", row.name));
                    }
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    /// Ways in which a text is written on its way.
    type Encoder = fn(&str) -> String;
    const ENCODERS: [(&str, Encoder); 15] = [
        ("in a log line", |text| format!("INFO {text}")),
        ("before a line that is cut off", |text| format!("{text}\n{{\"cut")),
        ("percent, all", |text| text.bytes().map(|byte| format!("%{byte:02X}")).collect()),
        ("percent", percent),
        ("percent, twice", |text| percent(&percent(text))),
        ("form", |text| percent(text).replace("%20", "+")),
        ("form, in a field", |text| format!("note={}&x=1", percent(text).replace("%20", "+"))),
        ("JSON, all", |text| text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()),
        ("JSON, in a log line", |text| format!("INFO {{\"m\":{}", serde_json::Value::from(text))),
        ("JSON as Go writes it, cut off", |text| {
            let text = serde_json::Value::from(text).to_string();
            format!("{{\"m\":{},", text.replace('<', "\\u003c").replace('&', "\\u0026").replace('@', "\\u0040"))
        }),
        ("JSON lines", |text| format!("{{\"m\":{}}}\n{{}}\n", serde_json::Value::from(text))),
        ("HTML, numbers", |text| text.chars().map(|character| format!("&#{};", character as u32)).collect()),
        ("HTML, hex without semicolons", |text| {
            text.chars().map(|character| format!("&#x{:X};", character as u32)).collect()
        }),
        ("HTML, names", |text| {
            let text = text.replace('&', "&amp;").replace('@', "&commat;").replace(' ', "&nbsp;");
            text.replace('<', "&lt;").replace('"', "&quot;").replace('-', "&hyphen;")
        }),
        ("quoted-printable", |text| {
            let quoted = |byte: u8| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
                _ => format!("={byte:02X}"),
            };
            let quoted: Vec<String> = text.bytes().map(quoted).collect();
            quoted.chunks(20).map(<[String]>::concat).collect::<Vec<_>>().join("=\r\n")
        }),
    ];

    fn percent(text: &str) -> String {
        let written = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(written).collect()
    }

    /// Whatever the encoding, what was found in the text is found: nothing of it is left in any reading of the result.
    #[test]
    fn no_encoding_hides_a_value() {
        let mut faults = Vec::new();
        for managed in Managed::all() {
            let row = managed.row;
            let engine = engine(row.name, Options::default());
            for text in row.found {
                let value = text.split(['«', '»']).nth(1).unwrap();
                let given = text.replace(['«', '»'], "");
                if value.len() < 3 {
                    continue;
                }
                for (name, encode) in ENCODERS {
                    let delivered = masked(&engine, &encode(&given));
                    let read = crate::decode::readings(&delivered);
                    let read: Vec<String> = read.iter().map(|reading| plain(&reading.text)).collect();
                    if read.iter().any(|text| text.contains(&plain(value))) {
                        faults.push(format!("{}: {name}: {given:?} -> {delivered:?}", row.name));
                    }
                }
            }
        }
        assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    }

    /// The keys that lead to a value count in a document that is encoded, cut off or in the middle of a text, however far
    /// away they are written.
    #[test]
    fn no_encoding_hides_a_value_that_its_path_names() {
        let engine = engine("Ssn-US", Options::default());
        let far = "x".repeat(200);
        for document in [
            serde_json::json!({ "ssn": { "note": far, "value": "536228726" } }),
            serde_json::json!({ "ssn": [far, { "a": [536_228_726] }] }),
            serde_json::json!({ "a": { "employeeSsn": { "b": far, "c": { "d": "536228726" } } } }),
        ] {
            let document = document.to_string();
            let cut = &document[..document.len() - 1];
            for text in [format!("INFO {document} done"), cut.to_owned(), format!("a {{}} {document}")] {
                assert!(!masked(&engine, &text).contains("536228726"), "{text}");
                for (name, encode) in ENCODERS {
                    let delivered = masked(&engine, &encode(&text));
                    let read = crate::decode::readings(&delivered);
                    assert!(
                        read.iter().all(|reading| !plain(&reading.text).contains("536228726")),
                        "{name}: {delivered}"
                    );
                }
            }
        }
        for text in [
            "{\"a\": {\"b\": \"536228726\"}} ssn is far away from here, as far as one can be",
            "INFO {\"ssn\": {}} {\"v\": 536228726}",
        ] {
            let far = text.replace("} ", &format!("}} {} ", "x".repeat(60)));
            assert_eq!(masked(&engine, &far), far);
        }
    }

    /// Letters and digits alone.
    fn plain(text: &str) -> String {
        text.chars().filter(|character| character.is_alphanumeric()).collect()
    }

    /// Structure never lowers what is found.
    #[test]
    fn no_structure_hides_a_value() {
        let wraps: [fn(serde_json::Value) -> serde_json::Value; 5] = [
            |value| serde_json::json!([value]),
            |value| serde_json::json!({ "a": value }),
            |value| serde_json::json!({ "x": [1, { "b": value }], "y": null }),
            |value| serde_json::json!({ "body": value.to_string() }),
            |value| serde_json::json!([[[value]], "z"]),
        ];
        let mut faults = Vec::new();
        for managed in Managed::all() {
            let row = managed.row;
            let engine = engine(row.name, Options::default());
            for text in row.found {
                let value = text.split(['«', '»']).nth(1).unwrap();
                let given = text.replace(['«', '»'], "");
                let document = serde_json::from_str(&given).unwrap_or_else(|_| serde_json::Value::from(given.as_str()));
                for first in wraps {
                    for second in wraps {
                        let message = second(first(document.clone())).to_string();
                        let delivered = masked(&engine, &message);
                        if plain(&delivered).contains(&plain(value)) {
                            faults.push(format!("{}: {message} -> {delivered}", row.name));
                        }
                    }
                }
            }
        }
        assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    }

    /// What cannot be seen stands between all characters, before and behind.
    #[test]
    fn no_invisible_character_hides_a_value() {
        let mut faults = Vec::new();
        for managed in Managed::all() {
            let row = managed.row;
            let engine = engine(row.name, Options::default());
            let (before, rest) = row.found[0].split_once('«').unwrap();
            let (value, after) = rest.split_once('»').unwrap();
            for invisible in [
                "\u{AD}",
                "\u{200B}",
                "\u{200E}",
                "\u{2060}",
                "\u{FEFF}",
                "\u{E0041}",
                "\u{FE0F}",
                "\u{202A}",
                "\u{1B}[m",
                "\u{1B}[31m",
                "\u{1B}[38;2;255;100;0m",
            ] {
                let hidden: String =
                    value.chars().map(|character| format!("{invisible}{character}{invisible}")).collect();
                let given = format!("{before}{hidden}{after}");
                let in_a_text = serde_json::json!({ "m": given }).to_string();
                for text in [&given, &in_a_text, &format!("INFO {in_a_text}")] {
                    let delivered = masked(&engine, text).replace("\\u001b", "\u{1B}").replace(invisible, "");
                    if plain(&delivered).contains(&plain(value)) {
                        faults.push(format!("{}: {invisible:?}: {delivered:?}", row.name));
                    }
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    /// In the types of SNS's attributes, the name of the attribute counts as a word.
    #[test]
    fn attributes_of_every_type_are_searched() {
        use crate::{Attribute, AttributeValue};
        let engine = engine("Ssn-US", Options::default());
        let utf16 =
            |unit: fn(u16) -> [u8; 2], text: &str| AttributeValue::Binary(text.encode_utf16().flat_map(unit).collect());
        let text = |text: &str| AttributeValue::Text(text.to_owned());
        for (name, data_type, value) in [
            ("ssn", "String", text("123456789")),
            ("employeeSsn", "Number", text("123456789")),
            ("ssn", "String.Array", text("[\"123456789\", 5]")),
            ("ssn", "String.Array", text("[123456789]")),
            ("ssn", "String", text("{\"a\":{\"b\":[\"123456789\"]}}")),
            ("ssn", "Binary", AttributeValue::Binary(b"123456789".to_vec())),
            ("ssn", "Binary", AttributeValue::Binary(b"\xff123456789".to_vec())),
            ("ssn", "Binary", utf16(u16::to_le_bytes, "123456789")),
            ("ssn", "Binary", utf16(u16::to_be_bytes, "123456789")),
            ("ssn", "Binary", utf16(u16::to_le_bytes, "\u{FEFF}{\"v\": 123456789}")),
            // Mostly other scripts, with a mark; half a character; cut in the middle of one.
            (
                "note",
                "Binary",
                utf16(u16::to_be_bytes, "\u{FEFF}社会保障番号は以下の通りです社会保障番号 SSN 123456789"),
            ),
            (
                "ssn",
                "Binary",
                AttributeValue::Binary([&b"1\x002\x003\x004\x005\x006\x007\x008\x009\0"[..], b" \0\x00\xd8"].concat()),
            ),
            (
                "ssn",
                "Binary",
                AttributeValue::Binary([&b"1\x002\x003\x004\x005\x006\x007\x008\x009\0"[..], b"x"].concat()),
            ),
        ] {
            let attribute = Attribute { name: name.to_owned(), data_type: data_type.to_owned(), value };
            let content = Content { attributes: vec![attribute], ..Content::message("x") };
            let Decision::Deliver(content) = engine.apply(&content).decision else { panic!("{name}") };
            let seen = match &content.attributes[0].value {
                AttributeValue::Text(text) => text.clone(),
                AttributeValue::Binary(bytes) => {
                    bytes.iter().filter(|byte| **byte != 0).map(|byte| char::from(*byte)).collect()
                }
            };
            assert!(seen.contains("~~~~~~~~~") && !seen.contains("123456789"), "{name} {data_type}: {seen:?}");
        }
    }

    #[test]
    fn without_keywords_more_is_found() {
        for managed in Managed::all().filter(|managed| managed.needs_keyword()) {
            let Find::Forms(_) = managed.row.find else { continue };
            let value = managed.row.found[0].split(['«', '»']).nth(1).unwrap();
            let options = Options { require_keywords: false };
            let seen = masked(&engine(managed.name(), options), &format!("a text with {value} in it"));
            assert!(!seen.contains(value), "{}: {seen}", managed.name());
        }
    }

    #[test]
    fn all_of_aws_is_supported_or_named_as_unsupported() {
        let mut names: Vec<_> = Managed::all().map(Managed::name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a name twice");
        // The 99 of the SNS Developer Guide, 97 of them by pattern, and two without an ARN in the guide.
        assert_eq!(count, 99, "{names:?}");
        assert!(count < 127, "a bit for each");
        for name in ["Name", "Address"] {
            assert!(Managed::is_name(name) && Managed::named(name).is_none());
        }
        for name in ["Name-US", "CepCode-FR", "MacAddress", "BankAccountNumber", "Ssn", ""] {
            assert!(!Managed::is_name(name), "{name}");
        }
    }
}
