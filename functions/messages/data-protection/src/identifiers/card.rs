//! `CreditCardNumber`: 13 to 19 digits, a prefix of a card scheme, the Luhn check.

use std::ops::{Range, RangeInclusive};

use super::bank_account;
use super::text::{Separator, Text};

/// The first four digits of a scheme's numbers, and how many digits they have.
///
/// Source: ISO/IEC 7812 issuer ranges as the schemes publish them. AWS names American Express, Dankort, Diners Club,
/// Discover, Electron, JCB, Mastercard, UnionPay and Visa. With 16 digits all of 50, 56 to 58 and 6 count: issuers of
/// Maestro, Elo, Hipercard, RuPay, Shetab and Verve are spread over them, and change.
const SCHEMES: [(RangeInclusive<u16>, &[usize]); 31] = [
    // Not from 1000: the user numbers of Facebook are 1000… with 15 digits.
    (1010..=1999, &[15]),                     // UATP, JCB
    (2131..=2131, &[15]),                     // JCB
    (2200..=2204, &[16, 17, 18, 19]),         // Mir
    (2221..=2720, &[16]),                     // Mastercard
    (3000..=3059, &[14, 15, 16, 17, 18, 19]), // Diners Club
    (3095..=3095, &[14, 15, 16, 17, 18, 19]), // Diners Club
    (3400..=3499, &[15]),                     // American Express
    (3500..=3599, &[16, 17, 18, 19]),         // JCB, RuPay
    (3600..=3699, &[14, 15, 16, 17, 18, 19]), // Diners Club
    (3700..=3799, &[15]),                     // American Express
    (3800..=3999, &[14, 15, 16, 17, 18, 19]), // Diners Club
    (4000..=4999, &[13, 16, 19]),             // Visa, Electron, Dankort
    (5000..=5099, &[16]),                     // Maestro, Elo, RuPay, Shetab, Verve
    (5018..=5020, &[13, 14, 15, 17, 18, 19]), // Maestro, Dankort
    (5038..=5038, &[13, 14, 15, 17, 18, 19]), // Maestro
    (5060..=5067, &[18, 19]),                 // Verve
    (5100..=5599, &[16]),                     // Mastercard
    (5600..=5899, &[16, 17, 18, 19]),         // Maestro, Bankcard, Shetab
    (6000..=6999, &[16]),                     // Maestro, Discover, Elo, Hipercard, RuPay, Shetab, UnionPay, Verve
    (6011..=6011, &[17, 18, 19]),             // Discover
    (6200..=6299, &[17, 18, 19]),             // UnionPay, Discover
    (6304..=6304, &[13, 14, 15, 17, 18, 19]), // Maestro
    (6331..=6334, &[18, 19]),                 // Maestro (Switch, Solo)
    (6390..=6390, &[13, 14, 15, 17, 18, 19]), // Maestro
    (6440..=6599, &[17, 18, 19]),             // Discover, RuPay, Elo
    (6700..=6799, &[13, 14, 15, 17, 18, 19]), // Maestro, UnionPay
    (8100..=8200, &[16, 17, 18, 19]),         // UnionPay, RuPay
    (8600..=8600, &[16]),                     // Uzcard
    (9112..=9112, &[16]),                     // Humo
    (9792..=9792, &[16]),                     // Troy
    (9860..=9860, &[16]),                     // Humo
];

/// Words that may be joined to a number, as in `card4539…`. Any other letter makes it a part of a name or a hash.
const JOINED_WORDS: [&[u8]; 9] =
    [b"card", b"number", b"visa", b"mastercard", b"amex", b"pan", b"karte", b"carte", b"tarjeta"];

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
        if next.is_none() && groups.is_empty() && end - start < SHORTEST {
            index = end;
            continue;
        }
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
    let mut lines = 0;
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
        if count >= SHORTEST
            && has_form(&groups[first..=last], kind)
            && !(lines > 0 && in_a_column(groups, first, last))
            && is_card(&digits[..count], last == first)
            && stands_alone(text, &range, kind)
        {
            longest = Some(last);
        }
        // Only the last group may be short: a list of small numbers is no card.
        let Some(separator) = group.separator.filter(|_| length >= 4) else { break };
        if kind.is_some_and(|kind| !kind.fits(separator)) {
            break;
        }
        if separator == Separator::Line {
            lines += 1;
            // A number is wrapped once; short numbers below each other are a list.
            if lines > 1 {
                break;
            }
        }
        if kind.is_none_or(|kind| kind == Separator::Line) {
            kind = Some(separator);
        }
    }
    longest
}

/// Whether numbers are written in such groups: fours, parted at one place, or 4-6-5 and 4-6-4.
fn has_form(groups: &[Group], kind: Option<Separator>) -> bool {
    let length = |index: usize| groups[index].range.len();
    let fours = (0..groups.len() - 1).all(|index| length(index).is_multiple_of(4));
    if kind == Some(Separator::Dot) {
        return groups.len() == 4 && (0..4).all(|index| length(index) == 4);
    }
    groups.len() <= 2 || fours || (groups.len() == 3 && length(0) == 4 && length(1) == 6 && matches!(length(2), 4 | 5))
}

/// Whether the line before or after has a number of as many digits: then these are numbers below each other.
fn in_a_column(groups: &[Group], first: usize, last: usize) -> bool {
    let alike = |upper: usize, lower: usize| {
        let (upper, lower) = (&groups[upper], groups.get(lower));
        upper.separator == Some(Separator::Line) && lower.is_some_and(|lower| lower.range.len() == upper.range.len())
    };
    first.checked_sub(1).is_some_and(|before| alike(before, first)) || alike(last, last + 1)
}

/// Whether the number is not a part of something longer.
fn stands_alone(text: &Text<'_>, range: &Range<usize>, kind: Option<Separator>) -> bool {
    let part_of_a_number = kind != Some(Separator::Dot) && text.goes_on_with_dot(range);
    let after_plus = text.before(range.start) == Some(b'+');
    let in_a_chain = kind == Some(Separator::Dash) && in_a_chain(text, range);
    (text.begins_at(range.start) || after_joined_word(text, range.start))
        && text.ends_at(range.end)
        && !part_of_a_number
        && !after_plus
        && !in_a_chain
        && !bank_account::covers(text, range)
}

/// Whether dashes join the number with a part of a UUID or of a longer number. `card-4539-…` is none.
fn in_a_chain(text: &Text<'_>, range: &Range<usize>) -> bool {
    let is_part = |word: &[u8]| {
        let letters = word.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
        letters < word.len() || word.iter().all(u8::is_ascii_hexdigit)
    };
    let before = match text.before(range.start) {
        Some(b'-') => word_before(text, range.start - 1),
        _ => b"",
    };
    let after = match text.get(range.end) {
        Some(b'-') => word_after(text, range.end + 1),
        _ => b"",
    };
    // Two or three digits after it may be its month or its code.
    let is_short_number = after.len() < 4 && after.iter().all(u8::is_ascii_digit);
    (!before.is_empty() && is_part(before)) || (!is_short_number && is_part(after))
}

/// The letters and digits right before, at most 12.
fn word_before<'a>(text: &Text<'a>, end: usize) -> &'a [u8] {
    let length = text.bytes[..end].iter().rev().take(12).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    &text.bytes[end - length..end]
}

/// The letters and digits from here on, at most 12.
fn word_after<'a>(text: &Text<'a>, start: usize) -> &'a [u8] {
    let length = text.bytes[start..].iter().take(12).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    &text.bytes[start..start + length]
}

/// Whether the letters right before, and nothing else, are a word that says what the number is.
fn after_joined_word(text: &Text<'_>, start: usize) -> bool {
    let word = word_before(text, start);
    word.iter().all(u8::is_ascii_alphabetic)
        && JOINED_WORDS
            .iter()
            .any(|joined| word.len() >= joined.len() && word[word.len() - joined.len()..].eq_ignore_ascii_case(joined))
}

/// `bare` says that nothing separates the digits.
fn is_card(digits: &[u8], bare: bool) -> bool {
    let prefix = digits[..4].iter().fold(0, |prefix, digit| prefix * 10 + u16::from(*digit));
    let of_a_scheme =
        SCHEMES.iter().any(|(prefixes, lengths)| prefixes.contains(&prefix) && lengths.contains(&digits.len()));
    of_a_scheme && luhn(digits) && !(bare && (is_article(digits) || is_establishment(digits)))
}

/// Whether this is the number of an article of trade, as under a barcode: in messages they are everywhere, and cards
/// of 13 digits nowhere any more. One card of 13 digits in ten looks like one.
///
/// Source: GS1 General Specifications, section 7.9, check digit of GTIN-13.
fn is_article(digits: &[u8]) -> bool {
    let weighed =
        digits.iter().enumerate().map(|(place, digit)| u32::from(*digit) * if place % 2 == 1 { 3 } else { 1 });
    digits.len() == 13 && weighed.sum::<u32>().is_multiple_of(10)
}

/// Whether this is a French SIRET: 14 digits with the Luhn check too. Four of the last five count the establishments of a
/// company, and few companies have a hundred.
fn is_establishment(digits: &[u8]) -> bool {
    digits.len() == 14 && digits[..2] != [3, 6] && digits[9..11] == [0, 0]
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
