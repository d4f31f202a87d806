//! `PhoneNumber-US`: ten digits of the North American Numbering Plan, in the forms people write.

use std::ops::Range;

use super::text::{Separator, Text};

/// Words that make ten digits in a row a phone number.
const WORDS: [&str; 9] = ["phone", "mobile", "cell", "fax", "tel", "contact", "call", "sms", "text"];

pub(crate) fn find(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let mut index = 0;
    while let Some(start) = text.bytes[index..].iter().position(u8::is_ascii_digit).map(|offset| index + offset) {
        let digits = run(text.bytes, start);
        index = start + digits;
        if let Some(range) = number_at(text, start, digits) {
            index = extension_end(text, range.end).unwrap_or(range.end);
            found.push(range.start..index);
        }
    }
}

fn run(bytes: &[u8], start: usize) -> usize {
    bytes.get(start..).map_or(0, |bytes| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

/// The number whose first digits are these.
fn number_at(text: &Text<'_>, start: usize, digits: usize) -> Option<Range<usize>> {
    let bytes = text.bytes;
    let plus = text.before(start) == Some(b'+');
    let first = if plus { start - 1 } else { start };
    match digits {
        10 if !plus => {
            let range = start..start + 10;
            (is_number(&bytes[range.clone()]) && stands_alone(text, &range) && text.has_near(start, &WORDS))
                .then_some(range)
        }
        11 => {
            let range = first..start + 11;
            let counts = plus || text.has_near(start, &WORDS);
            (counts && bytes[start] == b'1' && is_number(&bytes[start + 1..start + 11]) && stands_alone(text, &range))
                .then_some(range)
        }
        // The country code on its own, or with the two zeros before it.
        1 | 3 if bytes[start..start + digits] == b"001"[3 - digits..] => {
            let start = start + digits - 1;
            let (_, area) = Separator::at(bytes, start + 1).unwrap_or((Separator::Space, start + 1));
            if bytes.get(area) == Some(&b'(') {
                let end = in_brackets(bytes, area)?;
                return Some(first..end).filter(|range| stands_alone(text, range));
            }
            if run(bytes, area) == 10 && plus {
                let range = first..area + 10;
                return (is_number(&bytes[area..area + 10]) && stands_alone(text, &range)).then_some(range);
            }
            if area == start + 1 || run(bytes, area) != 3 {
                return None;
            }
            Some(first..parted(bytes, area, area + 3)?).filter(|range| stands_alone(text, range))
        }
        3 if !plus => {
            let bracket = start.checked_sub(1).filter(|bracket| bytes[*bracket] == b'(');
            let range = match bracket.and_then(|bracket| Some(bracket..in_brackets(bytes, bracket)?)) {
                Some(range) => range,
                None => start..parted(bytes, start, start + 3)?,
            };
            stands_alone(text, &range).then_some(range)
        }
        _ => None,
    }
}

/// `(415) 555-2671`: where it ends.
fn in_brackets(bytes: &[u8], bracket: usize) -> Option<usize> {
    let area = bracket + 1;
    if run(bytes, area) != 3 || bytes.get(area + 3) != Some(&b')') {
        return None;
    }
    let exchange = Separator::at(bytes, area + 4).map_or(area + 4, |(_, after)| after);
    rest(bytes, area, exchange, None)
}

/// `415-555-2671`: where it ends.
fn parted(bytes: &[u8], area: usize, end: usize) -> Option<usize> {
    let (separator, exchange) = Separator::at(bytes, end)?;
    rest(bytes, area, exchange, Some(separator))
}

/// Exchange and line number.
fn rest(bytes: &[u8], area: usize, exchange: usize, expected: Option<Separator>) -> Option<usize> {
    let mut number = [0; 10];
    number[..3].copy_from_slice(bytes.get(area..area + 3)?);
    let digits = run(bytes, exchange);
    let end = match digits {
        7 => {
            number[3..].copy_from_slice(&bytes[exchange..exchange + 7]);
            // 415 5552671 alone is a pair of numbers like any other.
            if expected == Some(Separator::Space) {
                return None;
            }
            exchange + 7
        }
        3 => {
            let (separator, line) = Separator::at(bytes, exchange + 3)?;
            let fits = match expected {
                // 415 555-2671
                Some(Separator::Space) => matches!(separator, Separator::Space | Separator::Dash | Separator::Line),
                Some(Separator::Dot) => separator == Separator::Dot,
                Some(expected) => expected.fits(separator),
                None => true,
            };
            if !fits || run(bytes, line) != 4 {
                return None;
            }
            number[3..6].copy_from_slice(&bytes[exchange..exchange + 3]);
            number[6..].copy_from_slice(&bytes[line..line + 4]);
            line + 4
        }
        _ => return None,
    };
    is_number(&number).then_some(end)
}

fn stands_alone(text: &Text<'_>, range: &Range<usize>) -> bool {
    let digit =
        |index: Option<usize>| index.and_then(|index| text.get(index)).is_some_and(|byte| byte.is_ascii_alphanumeric());
    let before = text.before(range.start) == Some(b'-') && digit(range.start.checked_sub(2));
    let after = text.get(range.end) == Some(b'-') && digit(Some(range.end + 1));
    let plus = text.before(range.start) == Some(b'+');
    text.begins_at(range.start)
        && (text.ends_at(range.end) || extension_end(text, range.end).is_some())
        && !text.goes_on_with_dot(range)
        && !before
        && !after
        && !plus
}

/// Where an extension of up to six digits that begins here ends, as in `415-555-2671x123`.
fn extension_end(text: &Text<'_>, start: usize) -> Option<usize> {
    let digits = run(text.bytes, start + 1);
    let end = start + 1 + digits;
    (matches!(text.get(start), Some(b'x' | b'X')) && (1..=6).contains(&digits) && text.ends_at(end)).then_some(end)
}

/// Source: North American Numbering Plan Administrator: area code and exchange begin with 2 to 9, and are not N11.
fn is_number(digits: &[u8]) -> bool {
    let is_code = |code: &[u8]| (b'2'..=b'9').contains(&code[0]) && code[1..] != *b"11";
    digits.len() == 10 && is_code(&digits[..3]) && is_code(&digits[3..6])
}
