//! `BankAccountNumber-DE`, `-ES`, `-FR`, `-GB`, `-IT`: IBANs, by their structure and the mod 97 check. `-US` by a keyword.

use std::ops::Range;

use super::Find::{Code, Forms};
use super::text::{Separator, Text};
use super::{Identifier, form, identifier};

pub(super) const ROWS: &[Identifier] = &[
    identifier!(
        "BankAccountNumber-DE", Code(|text, found| find(text, Country::De, found)), alone: true,
        words: [&[
            "account code", "account number", "accountno#", "accountnumber#", "bankleitzahl", "bban", "customer account id",
            "customer account number", "customer bank account id", "geheimzahl", "iban", "kartennummer", "kontonummer",
            "kreditkartennummer", "sepa",
        ]], min: 22,
        found: ["«DE89370400440532013000»", "IBAN «DE89 3704 0044 0532 0130 00»", "«DE89370400440532013000»EUR", "iban«de89370400440532013000»", "EUR«DE89370400440532013000»"],
        left: ["DE89370400440532013001", "DE893704004405320130001", "DE01370400440000000042", "DE85A70400440532013000"],
    ),
    identifier!(
        "BankAccountNumber-ES", Code(|text, found| find(text, Country::Es, found)), alone: true,
        words: [&[
            "account code", "account number", "accountno#", "accountnumber#", "bban", "código cuenta",
            "código cuenta bancaria", "cuenta cliente id", "customer account ID", "customer account number",
            "customer bank account id", "iban", "número cuenta bancaria cliente", "número cuenta cliente",
        ]], min: 24,
        found: ["«ES9121000418450200051332»", "«ES91 2100 0418 4502 0005 1332»"],
        left: ["ES9221000418450200051332", "9121000418450200051332"],
    ),
    identifier!(
        "BankAccountNumber-FR", Code(|text, found| find(text, Country::Fr, found)), alone: true,
        words: [&[
            "account code", "account number", "accountno#", "accountnumber#", "bban", "code bancaire", "compte bancaire",
            "customer account id", "customer account number", "customer bank account id", "iban", "numéro de compte",
        ]], min: 27,
        found: ["«FR1420041010050500013M02606»", "«FR14 2004 1010 0505 0001 3M02 606»"],
        left: ["FR1520041010050500013M02606", "MC5811222000010123456789030"],
    ),
    identifier!(
        "BankAccountNumber-GB", Code(|text, found| find(text, Country::Gb, found)), alone: true,
        words: [&[
            "account code", "account number", "accountno#", "accountnumber#", "bban", "customer account id",
            "customer account number", "customer bank account id", "iban", "sepa",
        ]], min: 22,
        found: ["«GB82WEST12345698765432»", "«gb82 west 1234 5698 7654 32»"],
        left: ["GB83WEST12345698765432", "IE29AIBK93115212345678"],
    ),
    identifier!(
        "BankAccountNumber-IT", Code(|text, found| find(text, Country::It, found)), alone: true,
        words: [&[
            "account code", "account number", "accountno#", "accountnumber#", "bban", "codice bancario", "conto bancario",
            "customer account id", "customer account number", "customer bank account id", "iban", "numero di conto",
        ]], min: 27,
        found: ["«IT60X0542811101000000123456»", "«IT60 X054 2811 1010 0000 0123 456»"],
        left: ["IT61X0542811101000000123456", "SM86U0322509800000000270100"],
    ),
    // Nacha: a field of 17 characters; Microsoft Purview: 6 to 17 digits.
    identifier!(
        "BankAccountNumber-US", Forms(&[form("9{6,17}"), form("9~{6,17}"), form("9{3,4}-9{3,4}-9{3,4}"), form("9{4}-9{4}-9{4}-9{1,5}")]),
        words: [&["bank account", "bank acct", "checking account", "checking acct", "deposit account", "deposit acct", "savings account", "savings acct", "chequing account", "chequing acct", "bank account number"]], min: 6,
        found: ["bank account «000123456789»", "bank account1:«918273645»", "bank account «000918273645»/021000021", "checking acct: «12345678»", "savings account number «1234-567890»", "{\"bankAccount\":[«1234567890»]}", "{\"bank\":{\"account\":\"«000918273645»\"}}"],
        left: ["bank account 12345", "000123456789", "bank account since 2026-08-13"],
    ),
];

/// The countries with IBANs, and how many characters theirs have.
///
/// Source: SWIFT, IBAN Registry.
const REGISTRY: &str = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18\
    FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24\
    ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23\
    TN24TR26UA29VA22VG24XK20YE30";

/// Characters of the IBANs of a country.
fn registered(country: &[u8]) -> Option<usize> {
    let country = [country[0].to_ascii_uppercase(), country[1].to_ascii_uppercase()];
    let row = REGISTRY.as_bytes().chunks(4).find(|row| row[..2] == country)?;
    Some(usize::from(row[2] - b'0') * 10 + usize::from(row[3] - b'0'))
}

/// Characters of the longest IBAN in groups of four.
const MAX_WRITTEN_LENGTH: usize = 42;

/// A country whose account numbers are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Country {
    De,
    Es,
    Fr,
    Gb,
    It,
}

impl Country {
    fn code(self) -> [u8; 2] {
        match self {
            Self::De => *b"DE",
            Self::Es => *b"ES",
            Self::Fr => *b"FR",
            Self::Gb => *b"GB",
            Self::It => *b"IT",
        }
    }

    /// What follows the country and the two check digits: `n` a digit, `a` a letter, `c` either.
    ///
    /// Source: SWIFT, IBAN Registry, "BBAN structure".
    fn structure(self) -> &'static [(u8, usize)] {
        match self {
            Self::De => &[(b'n', 18)],
            Self::Es => &[(b'n', 20)],
            Self::Fr => &[(b'n', 10), (b'c', 11), (b'n', 2)],
            Self::Gb => &[(b'a', 4), (b'n', 14)],
            Self::It => &[(b'a', 1), (b'n', 10), (b'c', 12)],
        }
    }
}

pub(crate) fn find(text: &Text<'_>, country: Country, found: &mut Vec<Range<usize>>) {
    let [first, second] = country.code();
    let mut from = 0;
    while let Some(index) = memchr::memchr2(first, first.to_ascii_lowercase(), &text.bytes[from..]) {
        let start = from + index;
        from = start + 1;
        if text.get(from).is_some_and(|byte| byte.eq_ignore_ascii_case(&second))
            && can_begin(text, start)
            && let Some(end) = account_at(text.bytes, start, country)
            && text.ends_digits_at(end)
        {
            found.push(start..end);
            from = end;
        }
    }
}

/// Not behind a digit. Letters may be joined to it, as a currency is: structure and check say enough.
fn can_begin(text: &Text<'_>, start: usize) -> bool {
    text.before(start).is_none_or(|byte| !byte.is_ascii_digit())
}

/// Where the account number that starts here ends. Its characters may be parted by single separators.
fn account_at(bytes: &[u8], start: usize, country: Country) -> Option<usize> {
    let mut index = start + 2;
    let mut remainder = 0;
    let kinds =
        [(b'n', 2)].iter().chain(country.structure()).flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count));
    let mut check = [0; 2];
    for (place, kind) in kinds.enumerate() {
        let mut byte = *bytes.get(index)?;
        if !byte.is_ascii_alphanumeric() {
            let (separator, after) = Separator::at(bytes, index)?;
            if separator == Separator::Dot || after - index > 3 {
                return None;
            }
            index = after;
            byte = *bytes.get(index)?;
        }
        let fits = match kind {
            b'n' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            _ => byte.is_ascii_alphanumeric(),
        };
        if !fits {
            return None;
        }
        // The check digits count last.
        match check.get_mut(place) {
            Some(digit) => *digit = byte,
            None => remainder = with(remainder, byte),
        }
        index += 1;
    }
    let number = country.code().into_iter().chain(check);
    (is_check(check) && number.fold(remainder, with) == 1).then_some(index)
}

/// Check digits are 02 to 98. The remainder of 00, 01 and 99 is that of 97, 98 and 02.
///
/// Source: ISO 13616-1, annex A.
fn is_check(digits: [u8; 2]) -> bool {
    !matches!(&digits, b"00" | b"01" | b"99")
}

/// Whether an IBAN of a registered country begins before `range` and goes on to its end or beyond.
///
/// In `DE02 4539 8944 5808 6459 07` the groups after the first can have the form of a card number.
pub(super) fn covers(text: &Text<'_>, range: &Range<usize>) -> bool {
    let first = range.start.saturating_sub(MAX_WRITTEN_LENGTH);
    (first..range.start).rev().any(|start| {
        let bytes = &text.bytes[start..];
        bytes.len() > 4
            && bytes[..2].iter().all(u8::is_ascii_alphabetic)
            && bytes[2..4].iter().all(u8::is_ascii_digit)
            && can_begin(text, start)
            && registered(bytes).and_then(|length| end_of(text, start, length)).is_some_and(|end| end >= range.end)
    })
}

/// Where the IBAN of so many characters ends that begins at `start`, in groups with one space or dash between.
fn end_of(text: &Text<'_>, start: usize, length: usize) -> Option<usize> {
    let bytes = text.bytes;
    let mut remainder = 0;
    let mut index = start + 4;
    let mut characters = 4;
    while characters < length {
        let byte = text.get(index)?;
        if byte.is_ascii_alphanumeric() {
            remainder = with(remainder, byte);
            characters += 1;
        } else if !matches!(byte, b' ' | b'-') || !text.get(index + 1)?.is_ascii_alphanumeric() {
            return None;
        }
        index += 1;
    }
    let number = bytes[start..start + 4].iter().copied();
    let is_right = is_check([bytes[start + 2], bytes[start + 3]]) && number.fold(remainder, with) == 1;
    (is_right && text.ends_at(index)).then_some(index)
}

/// The remainder by 97 once this character follows: a letter counts as two digits, A as 10.
///
/// Source: ISO 13616-1, by ISO/IEC 7064, MOD 97-10.
fn with(remainder: u32, byte: u8) -> u32 {
    match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte.to_ascii_uppercase() - b'A') + 10) % 97,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_account_of_a_registered_country_and_its_length_hides_a_card() {
        let mut hiding = Vec::new();
        for first in b'A'..=b'Z' {
            for second in b'A'..=b'Z' {
                let country = [first, second];
                let remainder = b"4539894458086459".iter().copied().chain(country).chain(*b"00").fold(0, with);
                let text = format!("{}{}{:02} 4539 8944 5808 6459", first as char, second as char, 98 - remainder);
                let view = Text {
                    bytes: text.as_bytes(),
                    name: "",
                    runs: &[],
                    marked: &[],
                    hits: &[],
                    cued: 0,
                    path: 0,
                    bit: 0,
                };
                if covers(&view, &(5..text.len())) {
                    hiding.push(String::from_utf8(country.to_vec()).unwrap());
                }
            }
        }
        // Those whose IBANs have 20 characters.
        assert_eq!(hiding, ["AT", "BA", "EE", "KZ", "LT", "LU", "MN", "XK"]);
    }

    #[test]
    fn the_registry_is_in_order() {
        let rows: Vec<_> = REGISTRY.as_bytes().chunks(4).collect();
        assert!(rows.is_sorted_by(|before, after| before[..2] < after[..2]));
        assert!(rows.iter().all(|row| (15..=34).contains(&registered(row).unwrap())));
    }
}
