//! `DateOfBirth`: dates in the forms people write, with a keyword.

use std::ops::Range;

use super::Find::Code;
use super::text::{Text, run};
use super::{Identifier, identifier};

pub(super) const ROWS: &[Identifier] = &[
    // AWS's tables have it without an ARN; policies of CloudWatch Logs use the name.
    identifier!(
        "DateOfBirth", Code(find),
        words: [&["dob", "date of birth", "birthdate", "birth date", "birthday", "b-day", "bday", "born", "geburtsdatum", "date de naissance", "fecha de nacimiento", "data di nascita", "data de nascimento", "geboortedatum"]], min: 6,
        found: [
            "DOB «1980-02-01»", "date of birth: «01/02/1980»", "birthday «1 February 1980»", "born «February 1st, 1980»",
            "{\"dateOfBirth\":[\"«19800201»\"]}", "dob=«1.2.80»", "birthdate «Feb 1 1980»", "bday: «01-Feb-1980»", "{\"dob\":\"«1980/02/01»T00:00:00Z\"}",
            "DOB «02 01 1980»", "DOB: «11231979»", "DOB «23111979»", "{\"dob\":\"«1979-11-23»Z\"}", "{\"birth\":{\"date\":\"«1979-11-23»\"}}",
        ],
        left: ["dob 99231979", "dob 1980", "1980-02-01", "on 01/02/1980", "birthday 13:45:00", "dob 99/99/1980", "birthday 1.2.3.4"],
    ),
];

/// The months by their first three letters, in English, German, French, Spanish, Italian, Portuguese and Dutch.
const MONTHS: [&[u8; 3]; 26] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec", b"mai", b"okt",
    b"dez", b"ene", b"abr", b"ago", b"dic", b"mei", b"maa", b"avr", b"jui", b"gen", b"mag", b"lug",
];

fn find(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let mut index = 0;
    while index < text.bytes.len() {
        if !text.bytes[index].is_ascii_alphanumeric() {
            index += 1;
            continue;
        }
        let end = date_at(text, index).filter(|end| text.begins_at(index) && text.has_keyword(&(index..*end)));
        if let Some(end) = end {
            found.push(index..end);
            index = end;
        } else {
            index += text.bytes[index..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        }
    }
}

/// `11231979` and `23111979`.
fn is_day_first(digits: &[u8]) -> bool {
    let number = |digits: &[u8]| digits.iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    let (first, second) = (number(&digits[..2]), number(&digits[2..4]));
    let is_day = |month: u32, day: u32| (1..=12).contains(&month) && (1..=31).contains(&day);
    (1900..2100).contains(&number(&digits[4..])) && (is_day(first, second) || is_day(second, first))
}

/// A part of a date.
#[derive(Clone, Copy)]
enum Part {
    Number { value: u32, digits: usize },
    Month,
}

/// Where a date ends that starts here.
fn date_at(text: &Text<'_>, start: usize) -> Option<usize> {
    let bytes = text.bytes;
    if run(bytes, start) == 8
        && (super::forms::is_date(text, &(start..start + 8)) || is_day_first(&bytes[start..start + 8]))
    {
        return text.ends_at(start + 8).then_some(start + 8);
    }
    let (first, at) = part(bytes, start)?;
    let at = gap(bytes, at)?;
    let (second, at) = part(bytes, at)?;
    let at = gap(bytes, at)?;
    let (third, end) = part(bytes, at)?;
    // A time may follow: 1980-02-01T00:00.
    let ends = match bytes.get(end) {
        Some(b'Z' | b'z') => text.ends_at(end + 1),
        Some(b'T' | b't') => bytes.get(end + 1).is_some_and(u8::is_ascii_digit),
        Some(b'.' | b'-' | b'/' | b':') => !bytes.get(end + 1).is_some_and(u8::is_ascii_digit),
        Some(byte) => !byte.is_ascii_alphanumeric(),
        None => true,
    };
    (ends && is_date(first, second, third)).then_some(end)
}

fn part(bytes: &[u8], at: usize) -> Option<(Part, usize)> {
    let digits = run(bytes, at);
    if matches!(digits, 1 | 2 | 4) {
        let value = bytes[at..at + digits].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        let mut end = at + digits;
        // 1st, 2nd, 3rd, 4th
        let ending = bytes.get(end..end + 2).map(<[u8]>::to_ascii_lowercase);
        if digits < 3 && matches!(ending.as_deref(), Some(b"st" | b"nd" | b"rd" | b"th")) {
            end += 2;
        }
        return Some((Part::Number { value, digits }, end));
    }
    let letters =
        bytes.get(at..)?.iter().take(12).take_while(|byte| byte.is_ascii_alphabetic() || **byte >= 0x80).count();
    let name = bytes.get(at..at + 3)?.to_ascii_lowercase();
    let is_month = (3..=10).contains(&letters) && MONTHS.iter().any(|month| name == month[..]);
    is_month.then_some((Part::Month, at + letters))
}

/// Where the next part begins: behind a dash, dot, slash, comma or space, and `de` or `of`.
fn gap(bytes: &[u8], at: usize) -> Option<usize> {
    let is_gap = |byte: &&u8| matches!(byte, b' ' | b'-' | b'.' | b'/' | b',');
    let count = |at: usize| bytes.get(at..).map_or(0, |bytes| bytes.iter().take(3).take_while(is_gap).count());
    let first = count(at);
    let word = at + first;
    if first > 0 && matches!(bytes.get(word..word + 3), Some(b"de " | b"of " | b"DE " | b"OF ")) {
        return Some(word + 3);
    }
    (first > 0).then_some(word)
}

fn is_date(first: Part, second: Part, third: Part) -> bool {
    let is_year = |part: Part| match part {
        Part::Number { value, digits: 4 } => (1850..2150).contains(&value),
        Part::Number { digits, .. } => digits == 2,
        Part::Month => false,
    };
    let is_full_year = |part: Part| matches!(part, Part::Number { digits: 4, .. }) && is_year(part);
    let is_day = |part: Part| matches!(part, Part::Number { value: 1..=31, digits: 1 | 2 });
    let is_month = |part: Part| matches!(part, Part::Month | Part::Number { value: 1..=12, digits: 1 | 2 });
    (is_full_year(first) && is_month(second) && is_day(third))
        || (is_year(third) && ((is_month(first) && is_day(second)) || (is_day(first) && is_month(second))))
}
