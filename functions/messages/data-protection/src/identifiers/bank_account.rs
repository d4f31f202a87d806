//! `BankAccountNumber-DE`, `-ES`, `-FR`, `-GB`, `-IT`: IBANs, by their structure and the mod 97 check.

use std::ops::Range;

use super::text::{Separator, Text};

/// Characters of the longest IBAN, without country and check digits.
const LONGEST: usize = 30;
/// Characters of the longest IBAN in groups of four.
const LONGEST_WRITTEN: usize = 42;

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
            && text.ends_at(end)
        {
            found.push(start..end);
            from = end;
        }
    }
}

/// As any value, or right after the word IBAN.
fn can_begin(text: &Text<'_>, start: usize) -> bool {
    text.begins_at(start) || (start >= 4 && text.bytes[start - 4..start].eq_ignore_ascii_case(b"IBAN"))
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

/// Whether an IBAN of any country begins before `range` and goes on to its end or beyond.
///
/// In `DE02 4539 8944 5808 6459 07` the groups after the first can have the form of a card number.
pub(super) fn covers(text: &Text<'_>, range: &Range<usize>) -> bool {
    let first = range.start.saturating_sub(LONGEST_WRITTEN);
    (first..range.start).rev().any(|start| {
        let bytes = &text.bytes[start..];
        bytes.len() > 4
            && bytes[..2].iter().all(u8::is_ascii_alphabetic)
            && bytes[2..4].iter().all(u8::is_ascii_digit)
            && can_begin(text, start)
            && any_country_at(text, start, range.end)
    })
}

/// Whether an IBAN of whatever structure begins at `start`, in groups with one space or dash between, and ends at `least`
/// or later.
fn any_country_at(text: &Text<'_>, start: usize, least: usize) -> bool {
    let bytes = text.bytes;
    let mut characters = 0;
    let mut remainder = 0;
    let mut index = start + 4;
    while let Some(byte) = text.get(index) {
        if byte.is_ascii_alphanumeric() && characters < LONGEST {
            remainder = with(remainder, byte);
            characters += 1;
            index += 1;
            if index >= least && text.ends_at(index) {
                let number = bytes[start..start + 4].iter().copied();
                if is_check([bytes[start + 2], bytes[start + 3]]) && number.fold(remainder, with) == 1 {
                    return true;
                }
            }
        } else if matches!(byte, b' ' | b'-') && text.get(index + 1).is_some_and(|byte| byte.is_ascii_alphanumeric()) {
            index += 1;
        } else {
            return false;
        }
    }
    false
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
