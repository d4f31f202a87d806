//! `CreditCardNumber`: 13 to 19 digits, a prefix of a card scheme, the Luhn check.

use std::ops::{Range, RangeInclusive};

use super::text::{Separator, Text};

/// The first four digits of a scheme's numbers, and how many digits they have.
///
/// Source: ISO/IEC 7812 issuer ranges as the schemes publish them. AWS names American Express, Dankort, Diners Club,
/// Discover, Electron, JCB, Mastercard, UnionPay and Visa.
const SCHEMES: [(RangeInclusive<u16>, &[usize]); 40] = [
    (1800..=1800, &[15]),                         // JCB
    (2131..=2131, &[15]),                         // JCB
    (2200..=2204, &[16, 17, 18, 19]),             // Mir
    (2221..=2720, &[16]),                         // Mastercard
    (3000..=3059, &[14, 15, 16, 17, 18, 19]),     // Diners Club
    (3095..=3095, &[14, 15, 16, 17, 18, 19]),     // Diners Club
    (3400..=3499, &[15]),                         // American Express
    (3500..=3599, &[16, 17, 18, 19]),             // JCB, RuPay
    (3600..=3699, &[14, 15, 16, 17, 18, 19]),     // Diners Club
    (3700..=3799, &[15]),                         // American Express
    (3800..=3999, &[14, 15, 16, 17, 18, 19]),     // Diners Club
    (4000..=4999, &[13, 16, 19]),                 // Visa, Electron, Dankort
    (5018..=5020, &[13, 14, 15, 16, 17, 18, 19]), // Maestro, Dankort
    (5038..=5038, &[13, 14, 15, 16, 17, 18, 19]), // Maestro
    (5041..=5041, &[16]),                         // Elo
    (5060..=5067, &[16, 18, 19]),                 // Verve, Elo
    (5080..=5099, &[16]),                         // RuPay, Elo
    (5100..=5599, &[16]),                         // Mastercard
    (5602..=5602, &[16]),                         // Bankcard
    (5610..=5610, &[16]),                         // Bankcard
    (5612..=5612, &[16, 17, 18, 19]),             // Maestro
    (5641..=5641, &[16, 18, 19]),                 // Maestro (Switch)
    (5700..=5899, &[16, 17, 18, 19]),             // Maestro
    (6011..=6011, &[16, 17, 18, 19]),             // Discover
    (6062..=6062, &[16]),                         // Hipercard
    (6069..=6085, &[16]),                         // RuPay
    (6200..=6299, &[16, 17, 18, 19]),             // UnionPay, Discover
    (6304..=6304, &[13, 14, 15, 16, 17, 18, 19]), // Maestro
    (6331..=6334, &[16, 18, 19]),                 // Maestro (Switch, Solo)
    (6362..=6363, &[16]),                         // Elo
    (6370..=6389, &[16]),                         // InstaPayment
    (6390..=6390, &[13, 14, 15, 16, 17, 18, 19]), // Maestro
    (6440..=6599, &[16, 17, 18, 19]),             // Discover, RuPay, Elo
    (6700..=6799, &[13, 14, 15, 16, 17, 18, 19]), // Maestro, UnionPay
    (8100..=8199, &[16, 17, 18, 19]),             // UnionPay
    (8200..=8200, &[16]),                         // RuPay
    (8600..=8600, &[16]),                         // Uzcard
    (9112..=9112, &[16]),                         // Humo
    (9792..=9792, &[16]),                         // Troy
    (9860..=9860, &[16]),                         // Humo
];

const SHORTEST: usize = 13;
const LONGEST: usize = 19;

/// A run of digits, and what separates it from the next one.
struct Group {
    range: Range<usize>,
    separator: Option<Separator>,
}

pub(crate) fn find(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let mut groups: Vec<Group> = Vec::new();
    let mut index = 0;
    while let Some(start) = next_digit(text.bytes, index) {
        let end = start + text.bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let next = Separator::at(text.bytes, end).filter(|(_, after)| digit_at(text.bytes, *after));
        groups.push(Group { range: start..end, separator: next.map(|(separator, _)| separator) });
        index = next.map_or(end, |(_, after)| after);
        if next.is_none() {
            find_in(text, &groups, found);
            groups.clear();
        }
    }
}

fn next_digit(bytes: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.iter().position(u8::is_ascii_digit).map(|index| from + index)
}

fn digit_at(bytes: &[u8], index: usize) -> bool {
    bytes.get(index).is_some_and(u8::is_ascii_digit)
}

/// Numbers among groups of digits that only separators part. Each starts and ends with a group.
fn find_in(text: &Text<'_>, groups: &[Group], found: &mut Vec<Range<usize>>) {
    let mut first = 0;
    while first < groups.len() {
        match longest_from(text, groups, first) {
            Some(last) => {
                found.push(groups[first].range.start..groups[last].range.end);
                first = last + 1;
            }
            None => first += 1,
        }
    }
}

/// The last group of the longest number that starts with the group `first`.
fn longest_from(text: &Text<'_>, groups: &[Group], first: usize) -> Option<usize> {
    let mut digits = [0; LONGEST];
    let mut count = 0;
    let mut kind: Option<Separator> = None;
    let mut longest = None;
    for (last, group) in groups.iter().enumerate().skip(first) {
        let length = group.range.len();
        if count + length > LONGEST {
            break;
        }
        for (digit, byte) in digits[count..].iter_mut().zip(&text.bytes[group.range.clone()]) {
            *digit = byte - b'0';
        }
        count += length;
        let range = groups[first].range.start..group.range.end;
        let dotted_well = kind != Some(Separator::Dot) || (count == 16 && length == 4);
        if count >= SHORTEST && dotted_well && is_card(&digits[..count]) && stands_alone(text, &range, kind) {
            longest = Some(last);
        }
        // Only the last group may be short: a list of small numbers is no card.
        let Some(separator) = group.separator.filter(|_| length >= 4) else { break };
        if kind.is_some_and(|kind| !kind.fits(separator)) {
            break;
        }
        if kind.is_none_or(|kind| kind == Separator::Line) {
            kind = Some(separator);
        }
    }
    longest
}

/// Whether the number is not a part of something longer.
fn stands_alone(text: &Text<'_>, range: &Range<usize>, kind: Option<Separator>) -> bool {
    let part_of_a_number = kind != Some(Separator::Dot) && text.goes_on_with_dot(range);
    let after_plus = text.before(range.start) == Some(b'+');
    // As in a UUID, whose groups of digits can look like a card.
    let in_a_chain =
        kind == Some(Separator::Dash) && (hex_word_before(text, range.start) || hex_word_after(text, range.end));
    text.begins_at(range.start) && text.ends_at(range.end) && !part_of_a_number && !after_plus && !in_a_chain
}

/// Whether a dash joins a word with a letter in it.
fn hex_word_before(text: &Text<'_>, index: usize) -> bool {
    let Some(b'-') = text.before(index) else { return false };
    let word = text.bytes[..index - 1].iter().rev().take(12).take_while(|byte| byte.is_ascii_alphanumeric());
    word.into_iter().any(u8::is_ascii_alphabetic)
}

fn hex_word_after(text: &Text<'_>, index: usize) -> bool {
    let Some(b'-') = text.get(index) else { return false };
    let word = text.bytes[index + 1..].iter().take(12).take_while(|byte| byte.is_ascii_alphanumeric());
    word.into_iter().any(u8::is_ascii_alphabetic)
}

fn is_card(digits: &[u8]) -> bool {
    let prefix = digits[..4].iter().fold(0, |prefix, digit| prefix * 10 + u16::from(*digit));
    let of_a_scheme =
        SCHEMES.iter().any(|(prefixes, lengths)| prefixes.contains(&prefix) && lengths.contains(&digits.len()));
    of_a_scheme && luhn(digits)
}

/// Source: ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| u32::from(if place % 2 == 1 { doubled(*digit) } else { *digit }))
        .sum();
    sum.is_multiple_of(10)
}
