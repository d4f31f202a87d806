//! `Ssn-US`: three, two and four digits, parted alike; nine digits in a row where the word is near.

use std::ops::Range;

use super::Find::Code;
use super::text::{Separator, Text, run};
use super::{Identifier, identifier};

pub(super) const ROWS: &[Identifier] = &[identifier!(
    "Ssn-US", Code(find), alone: true,
    words: [&["social security", "ss#", "ssn", "social security number"]], min: 9,
    found: [
        "SSN \u{1B}[31m«312557788»\u{1B}[0m", "{\"m\":\"SSN \\u001b[31m«312557788»\\u001b[0m\"}", "«536-22-8726»", "SSN «536228726»", "{\"ssn\":[«536228726»]}", "{\"ssn\":{\"value\":\"«536228726»\"}}",
        "SSN «123-45-6789»A", "SSN«123-45-6789»", "ss# «536228726»", "note=ssn+«123-45-6789»",
        "{\"socialSecurityNumber\":\"«745102386»\"}", "«536228726» is the SSN", "ssn «31255-7788»", "ssn «312-557788»", "SSN «312/55/7788»", "SSN «536228726».0", "{\"name\":\"SSN\",\"value\":\"«536228726»\"}",
        "{\"value\":\"«536228726»\",\"name\":\"SSN\"}", "{\"value\":{\"of\":[\"«536228726»\"]},\"x\":{\"type\":\"y\"},\"type\":\"SSN\"}",
        "{\"social\":{\"security\":\"«536228726»\"}}", "{\"score\":NaN,\"ssn\":{\"issued\":\"2019-04-01\",\"office\":\"Sydney CBD\",\"value\":\"«312557788»\"}}",
    ],
    left: [
        "536228726", "000-12-3456", "900-12-3456", "078-05-1120", "{\"addressNumber\":123456789}", "className=Order 123456789",
        "{\"passNumber\":\"123456789\"}", "12345-6789", "312/55/7788", "536-22-8726-1", "2026-08-13",
        "[{\"value\":\"536228726\"},{\"name\":\"SSN\",\"of\":{\"value\":\"536228726\"}}]",
    ],
)];

/// Numbers that were published, and are nobody's.
///
/// Source: Social Security Administration, "Social Security Cards Issued by Woolworth" and the invalid numbers that it
/// lists.
const PUBLISHED: [&[u8; 9]; 3] = [b"078051120", b"219099999", b"457555462"];

pub(crate) fn find(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let (mut runs, mut index) = (text.runs(), 0);
    while let Some(Range { start, end }) = runs.next_from(index) {
        let number = match end - start {
            9 => bare_at(text, start),
            3 => parted_at(text, start).or_else(|| oddly_parted_at(text, start)),
            5 => oddly_parted_at(text, start),
            _ => None,
        };
        if let Some(end) = number {
            found.push(start..end);
            index = end;
        }
    }
}

fn bare_at(text: &Text<'_>, start: usize) -> Option<usize> {
    let range = start..start + 9;
    let number: &[u8; 9] = text.bytes[range.clone()].try_into().ok()?;
    (is_possible(number) && stands_alone(text, &range) && text.has_keyword(&range)).then_some(range.end)
}

/// With a keyword: parted once, `31255-7788`, or by slashes, `312/55/7788`.
fn oddly_parted_at(text: &Text<'_>, start: usize) -> Option<usize> {
    let bytes = text.bytes;
    let (mut number, mut count, mut index) = ([0; 9], 0, start);
    loop {
        let digits = run(bytes, index);
        number.get_mut(count..count + digits)?.copy_from_slice(&bytes[index..index + digits]);
        (count, index) = (count + digits, index + digits);
        match count {
            9 => break,
            3 | 5 if digits > 0 && matches!(bytes.get(index), Some(b'/' | b'-' | b' ' | b'.')) => index += 1,
            _ => return None,
        }
    }
    let range = start..index;
    (is_possible(&number) && stands_alone(text, &range) && text.has_keyword(&range)).then_some(index)
}

fn parted_at(text: &Text<'_>, start: usize) -> Option<usize> {
    let (first, group) = Separator::at(text.bytes, start + 3)?;
    if run(text.bytes, group) != 2 {
        return None;
    }
    let (second, serial) = Separator::at(text.bytes, group + 2)?;
    if run(text.bytes, serial) != 4 || !first.fits(second) {
        return None;
    }
    let range = start..serial + 4;
    let mut number = [0; 9];
    number[..3].copy_from_slice(&text.bytes[start..start + 3]);
    number[3..5].copy_from_slice(&text.bytes[group..group + 2]);
    number[5..].copy_from_slice(&text.bytes[serial..serial + 4]);
    // In a row of numbers, or below each other, they are three numbers.
    let needs_word = match (first, second) {
        (Separator::Line, Separator::Line) => true,
        (Separator::Dash | Separator::Dot, _) | (_, Separator::Dash | Separator::Dot) => false,
        _ => in_a_row(text, &range),
    };
    let counts = !needs_word || text.has_keyword(&range);
    (is_possible(&number) && stands_alone(text, &range) && counts).then_some(range.end)
}

/// Whether a space parts it from another number.
fn in_a_row(text: &Text<'_>, range: &Range<usize>) -> bool {
    let digit =
        |index: Option<usize>| index.and_then(|index| text.get(index)).is_some_and(|byte| byte.is_ascii_digit());
    let space = |byte: Option<u8>| matches!(byte, Some(b' ' | b'\t'));
    (space(text.before(range.start)) && digit(range.start.checked_sub(2)))
        || (space(text.get(range.end)) && digit(Some(range.end + 1)))
}

/// Whether the number is not a part of something longer, such as a phone number or an identifier.
fn stands_alone(text: &Text<'_>, range: &Range<usize>) -> bool {
    let digit =
        |index: Option<usize>| index.and_then(|index| text.get(index)).is_some_and(|byte| byte.is_ascii_alphanumeric());
    let chained = |byte: Option<u8>| matches!(byte, Some(b'-'));
    let word = range.start.saturating_sub(2);
    let before =
        chained(text.before(range.start)) && digit(range.start.checked_sub(2)) && !text.follows_keyword(word + 1);
    let after = chained(text.get(range.end)) && digit(Some(range.end + 1));
    let after_plus = text.before(range.start) == Some(b'+');
    // With a keyword, a letter may be joined to it: 123-45-6789A was a number of Medicare.
    let ends = text.ends_at(range.end) || (text.ends_digits_at(range.end) && text.has_keyword(range));
    text.begins_at(range.start) && ends && !text.goes_on_with_dot(range) && !before && !after && !after_plus
}

/// Source: Social Security Administration, "Social Security Number Randomization": no area 000, 666 or 900 to 999, no
/// group 00, no serial number 0000.
fn is_possible(number: &[u8; 9]) -> bool {
    let (area, rest) = number.split_at(3);
    let (group, serial) = rest.split_at(2);
    area != b"000"
        && area != b"666"
        && area[0] != b'9'
        && group != b"00"
        && serial != b"0000"
        && !PUBLISHED.contains(&number)
}
