//! `Ssn-US`: three, two and four digits, parted alike; nine digits in a row where the word is near.

use std::ops::Range;

use super::text::{Separator, Text};

/// Numbers that were published, and are nobody's.
///
/// Source: Social Security Administration, "Social Security Cards Issued by Woolworth" and the invalid numbers that it
/// lists.
const PUBLISHED: [&[u8; 9]; 3] = [b"078051120", b"219099999", b"457555462"];

/// Words that make nine digits in a row, or digits among other numbers, a social security number.
const WORDS: [&str; 6] = ["ssn", "social security", "social-security", "social_security", "socialsecurity", "ss#"];

pub(crate) fn find(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let mut index = 0;
    while let Some(start) = text.bytes[index..].iter().position(u8::is_ascii_digit).map(|offset| index + offset) {
        let digits = run(text.bytes, start);
        index = start + digits;
        let number = match digits {
            9 => bare_at(text, start),
            3 => parted_at(text, start),
            _ => None,
        };
        if let Some(end) = number {
            found.push(start..end);
            index = end;
        }
    }
}

fn run(bytes: &[u8], start: usize) -> usize {
    bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn bare_at(text: &Text<'_>, start: usize) -> Option<usize> {
    let range = start..start + 9;
    let number: &[u8; 9] = text.bytes[range.clone()].try_into().ok()?;
    (is_possible(number) && stands_alone(text, &range) && has_word(text, &range)).then_some(range.end)
}

fn has_word(text: &Text<'_>, range: &Range<usize>) -> bool {
    text.has_near(range.start, &WORDS) || text.has_after(range.end, &WORDS)
}

fn parted_at(text: &Text<'_>, start: usize) -> Option<usize> {
    let (first, group) = Separator::at(text.bytes, start + 3)?;
    if run(text.bytes.get(..text.bytes.len())?, group.min(text.bytes.len())) != 2 {
        return None;
    }
    let (second, serial) = Separator::at(text.bytes, group + 2)?;
    if serial >= text.bytes.len() || run(text.bytes, serial) != 4 || !first.fits(second) {
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
    let counts = !needs_word || has_word(text, &range);
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
    let before = chained(text.before(range.start)) && digit(range.start.checked_sub(2));
    let after = chained(text.get(range.end)) && digit(Some(range.end + 1));
    let after_plus = text.before(range.start) == Some(b'+');
    text.begins_at(range.start)
        && text.ends_at(range.end)
        && !text.goes_on_with_dot(range)
        && !before
        && !after
        && !after_plus
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
