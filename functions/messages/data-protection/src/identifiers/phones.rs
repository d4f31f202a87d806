//! Phone numbers: with a country code in all its forms, without one near a keyword. Those of North America with
//! separators alone, too.
//!
//! Source: ITU-T E.164; the lengths and first digits of the national plans as in libphonenumber's metadata.

use std::ops::Range;

use super::Find::Code;
use super::text::{Separator, Text, run};
use super::{Identifier, identifier};

const WORDS: &[&str] = &[
    "cell",
    "contact",
    "fax",
    "fax number",
    "mobile",
    "phone",
    "phone number",
    "tel",
    "telephone",
    "telephone number",
    // Compounds that people write as one word.
    "cellphone",
    "homephone",
    "workphone",
    "mobilephone",
    "mobile number",
];
const BRAZIL: &[&str] = &["cel", "celular", "fone", "móvel", "número residencial", "numero residencial", "telefone"];

/// A national plan.
struct Plan {
    code: &'static [u8],
    /// Digits of a national number, without the trunk prefix 0.
    lengths: std::ops::RangeInclusive<usize>,
    /// With a keyword and no country code, fewer are no number.
    least: usize,
    /// First digits.
    first: &'static [u8],
    trunk: bool,
}

const BR: Plan = Plan { code: b"55", lengths: 10..=11, least: 8, first: b"123456789", trunk: true };
const DE: Plan = Plan { code: b"49", lengths: 5..=13, least: 6, first: b"0123456789", trunk: true };
const ES: Plan = Plan { code: b"34", lengths: 9..=9, least: 9, first: b"56789", trunk: false };
const FR: Plan = Plan { code: b"33", lengths: 9..=9, least: 9, first: b"123456789", trunk: true };
const GB: Plan = Plan { code: b"44", lengths: 7..=10, least: 9, first: b"12357890", trunk: true };
const IT: Plan = Plan { code: b"39", lengths: 6..=11, least: 6, first: b"0123456789", trunk: false };

pub(super) const ROWS: &[Identifier] = &[
    identifier!(
        "PhoneNumber", Code(|text, found| {
            let first = found.len();
            find(text, found);
            for plan in [&BR, &DE, &ES, &FR, &GB, &IT] {
                national(text, plan, found);
            }
            join(found, first);
        }), alone: true,
        words: [WORDS, BRAZIL, SPANISH, OTHERS], min: 6,
        found: ["«+49 30 123456»", "«+14155552671»", "phone «01 23 45 67 89»", "tel: «030 123456»", "{\"phone\":{\"home\":\"«020 7946 0958»\"}}", "«+34 612 345 678»", "fax «(11) 91234-5678»", "Phone: «416 5552671»", "phone «(123) 456-7890 x105»", "phone «123-456-7890x1055»"],
        left: ["order 0301234567", "+1 415 555", "cancelled: 4155552671", "{\"contextId\":\"4155552671\"}", "phone 2026-08-13"],
    ),
    identifier!(
        "PhoneNumber-BR", Code(|text, found| national(text, &BR, found)), alone: true, words: [WORDS, BRAZIL], min: 8,
        found: ["«+55 11 91234-5678»", "telefone «(11) 91234-5678»", "celular: «11912345678»", "fone «011 3123-4567»", "«0055 11 3123-4567»"],
        left: ["11912345678", "+54 11 91234-5678", "telefone 123"],
    ),
    identifier!(
        "PhoneNumber-DE", Code(|text, found| national(text, &DE, found)), alone: true, words: [WORDS, OTHERS], min: 6,
        found: ["«+49 30 123456»", "«+49 (0)30 / 123456-78»", "«004915112345678»", "Telefon: «030 12345678»", "mobile «0151-12345678»", "phone=«%2B493012345678»", "Tel. «+49(0)89 1234567»", "phone «030/1234567»"],
        left: ["030 12345678", "+48 30 123456", "phone 12"],
    ),
    identifier!(
        "PhoneNumber-ES", Code(|text, found| national(text, &ES, found)), alone: true, words: [WORDS, SPANISH], min: 9,
        found: ["«+34 612 345 678»", "teléfono «912 345 678»", "mobile «612345678»", "«0034612345678»"],
        left: ["612345678", "+34 412 345 678", "phone 12345678"],
    ),
    identifier!(
        "PhoneNumber-FR", Code(|text, found| national(text, &FR, found)), alone: true, words: [WORDS, OTHERS], min: 9,
        found: ["«+33 1 23 45 67 89»", "téléphone «01 23 45 67 89»", "phone «0123456789»", "fax («0123456789»)", "«+33 (0)1 23 45 67 89»", "fax: «01.23.45.67.89»"],
        left: ["01 23 45 67 89", "+33 0 23 45", "phone 12345678"],
    ),
    identifier!(
        "PhoneNumber-GB", Code(|text, found| national(text, &GB, found)), alone: true, words: [WORDS], min: 9,
        found: ["«+44 20 7946 0958»", "phone «020 7946 0958»", "mobile: «07911 123456»", "«+44 (0)20 7946 0958»", "«00442079460958»"],
        left: ["020 7946 0958", "+44 20", "phone 12345"],
    ),
    identifier!(
        "PhoneNumber-IT", Code(|text, found| national(text, &IT, found)), alone: true, words: [WORDS, OTHERS], min: 6,
        found: ["«+39 06 1234 5678»", "telefono «06 12345678»", "mobile: «347 123 4567»", "«+393471234567»"],
        left: ["06 12345678", "+39 06", "phone 12345"],
    ),
    identifier!(
        "PhoneNumber-US", Code(find), alone: true, words: [WORDS], min: 10,
        found: [
            "«415-555-2671»", "«(415) 555-2671»", "«+14155552671»", "Phone: «4155552671»", "Phone: «415 5552671»", "Phone «1-4155552671»",
            "Phone «415.555-2671»", "{\"phone\":{\"home\":\"«4155552671»\"}}", "{\"PHONE_NO\":\"«4155552671»\"}", "phone=«%2B14155552671»",
            "«1-800-555-0199»", "phone«4155552671»", "call «415-555-2671 x123»", "«(415) 555-2671 ext. 12»", "note=«415+555+2671»&x=1",
        ],
        left: [
            "4155552671", "415 5552671", "911-555-2671", "con tact 2125550187", "order cancelled: 4155552671", "{\"contextId\":\"4155552671\"}",
            "function called with 4155552671", "{\"automobileId\":\"4155552671\"}", "excellent 4155552671", "415-555-2671-1",
        ],
    ),
];

/// AWS's words as they are in the language of the numbers.
const SPANISH: &[&str] = &["teléfono", "móvil", "celular"];
const OTHERS: &[&str] = &["telefon", "handy", "mobil", "téléphone", "portable", "telefono", "cellulare"];

/// The most digits and separators that are looked at.
const MAX_DIGITS: usize = 17;

/// The numbers of one plan other than North America's.
fn national(text: &Text<'_>, plan: &Plan, found: &mut Vec<Range<usize>>) {
    let bytes = text.bytes;
    let may_be_national = text.has_keyword_somewhere();
    // Where no keyword is in the text, a number has its country code.
    let (mut runs, mut index) = (if may_be_national { text.runs() } else { text.marked_runs() }, 0);
    while let Some(Range { start: first, end }) = runs.next_from(index) {
        let digits = end - first;
        let start = match text.before(first) {
            Some(b'+' | b'(') => first - 1,
            _ => first,
        };
        let start = if start > 0 && bytes[start] == b'(' && bytes[start - 1] == b'+' { start - 1 } else { start };
        // A bracket that is not closed behind these digits is one of the text around.
        let start = if bytes[start] == b'(' && bytes.get(first + digits) != Some(&b')') { first } else { start };
        // Behind a plus stands the country code.
        let plus = bytes[start] == b'+';
        if plus && bytes[first] != plan.code[0] {
            continue;
        }
        // Most digits are no number: without a country code a keyword must be near.
        let zeros = bytes[first..].starts_with(b"00") && (digits == 2 || bytes[first + 2] == plan.code[0]);
        let is_named = || {
            may_be_national
                && has_digits(bytes, first, plan.least)
                && text.has_keyword(&(start..start + 2 * MAX_DIGITS))
        };
        if !(plus || zeros || is_named()) {
            continue;
        }
        if start > 0 && !text.begins_at(start) || is_in_a_number(text, start) {
            continue;
        }
        if let Some(end) = number_of(text, plan, start) {
            // Brackets around the whole number are of the text around.
            let bracketed = bytes[start] == b'(' && first + digits + 1 == end;
            index = extension_end(text, end).unwrap_or(end);
            found.push(if bracketed { first..end - 1 } else { start..index });
        }
    }
}

/// Whether so many digits are here, in groups.
fn has_digits(bytes: &[u8], start: usize, count: usize) -> bool {
    let (mut left, mut gap) = (count, 0);
    for byte in &bytes[start..] {
        if byte.is_ascii_digit() {
            left -= 1;
            gap = 0;
        } else {
            gap += 1;
        }
        // Between two groups there are at most three separators and a bracket on each side.
        if left == 0 || gap > 5 {
            break;
        }
    }
    left == 0
}

/// Whether a dot, dash or slash joins it with digits before it.
fn is_in_a_number(text: &Text<'_>, start: usize) -> bool {
    matches!(text.before(start), Some(b'.' | b'-' | b'/' | b':' | b'+' | b','))
        && start.checked_sub(2).and_then(|index| text.get(index)).is_some_and(|byte| byte.is_ascii_digit())
}

/// Where the number that starts here ends: the longest that the plan has.
fn number_of(text: &Text<'_>, plan: &Plan, start: usize) -> Option<usize> {
    let bytes = text.bytes;
    let mut digits = [0; MAX_DIGITS];
    let mut count = 0;
    let mut index = start;
    let mut best = None;
    let plus = bytes[start] == b'+';
    // (0) between country code and number is no part of what is dialled.
    let mut left_out = false;
    if plus {
        index += 1;
    }
    loop {
        // A group of digits, perhaps in brackets.
        let open = usize::from(bytes.get(index) == Some(&b'('));
        let length = run(bytes, index + open);
        if length == 0 || count + length > MAX_DIGITS {
            break;
        }
        let group = &bytes[index + open..index + open + length];
        let closed = bytes.get(index + open + length) == Some(&b')');
        if open == 1 && !closed {
            break;
        }
        let end = index + open + length + usize::from(open == 1 && closed);
        if open == 1 && group == b"0" && count > 0 {
            left_out = true;
        } else {
            digits[count..count + length].copy_from_slice(group);
            count += length;
        }
        let range = start..end;
        let ends = (text.ends_at(end) || extension_end(text, end).is_some()) && !goes_on(text, &range);
        if ends && is_number_of(text, plan, &digits[..count], plus, left_out, &range) {
            best = Some(end);
        }
        // One or two separators, or " / " and " - ".
        let gap = bytes[end..].iter().take(3).take_while(|byte| matches!(byte, b' ' | b'-' | b'.' | b'/')).count();
        let bracket = bytes.get(end + gap) == Some(&b'(');
        if (gap == 0 && !bracket && open == 0) || gap > 3 {
            break;
        }
        index = end + gap;
    }
    best
}

/// Whether digits follow behind a dot, or a dash.
fn goes_on(text: &Text<'_>, range: &Range<usize>) -> bool {
    let digit = text.get(range.end + 1).is_some_and(|byte| byte.is_ascii_digit());
    matches!(text.get(range.end), Some(b':' | b'/' | b'-')) && digit || text.goes_on_with_dot(range)
}

fn is_number_of(text: &Text<'_>, plan: &Plan, digits: &[u8], plus: bool, left_out: bool, range: &Range<usize>) -> bool {
    let international = if plus { digits.strip_prefix(plan.code) } else { None };
    let international = international.or_else(|| {
        let digits = digits.strip_prefix(b"00").filter(|_| !plus)?;
        digits.strip_prefix(plan.code)
    });
    if let Some(number) = international {
        // +55 (011) 1234-5678: the trunk prefix is written though it is not dialled.
        let number = if plan.trunk { number.strip_prefix(b"0").unwrap_or(number) } else { number };
        return plan.lengths.contains(&number.len()) && number.first().is_some_and(|first| plan.first.contains(first));
    }
    if plus || left_out {
        return false;
    }
    // With the country code and no plus: 4930123456.
    let with_code = digits
        .strip_prefix(plan.code)
        .filter(|number| plan.lengths.contains(&number.len()) && number.len() > 8 && plan.first.contains(&number[0]));
    let number = if plan.trunk { digits.strip_prefix(b"0").unwrap_or(digits) } else { digits };
    let is_national = (plan.least..=*plan.lengths.end()).contains(&number.len())
        && number.first().is_some_and(|first| plan.first.contains(first))
        // Without the trunk prefix only mobiles are written, and those of plans without one.
        && (number.len() < digits.len() || !plan.trunk || number.len() + 1 >= *plan.lengths.start());
    (with_code.is_some() || is_national) && !super::forms::is_date(text, range) && text.has_keyword(range)
}

/// Findings that overlap are one.
fn join(found: &mut Vec<Range<usize>>, first: usize) {
    found[first..].sort_by_key(|range| range.start);
    let mut kept: Vec<Range<usize>> = Vec::new();
    for range in found.drain(first..) {
        match kept.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => kept.push(range),
        }
    }
    found.extend(kept);
}

pub(crate) fn find(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let (mut runs, mut index) = (text.runs(), 0);
    while let Some(Range { start, end }) = runs.next_from(index) {
        if let Some(range) = number_at(text, start, end - start) {
            index = extension_end(text, range.end).unwrap_or(range.end);
            found.push(range.start..index);
        }
    }
}

/// The number whose first digits are these.
fn number_at(text: &Text<'_>, start: usize, digits: usize) -> Option<Range<usize>> {
    let bytes = text.bytes;
    let plus = text.before(start) == Some(b'+');
    let first = if plus { start - 1 } else { start };
    match digits {
        10 if !plus => {
            let range = start..start + 10;
            (is_number(&bytes[range.clone()]) && stands_alone(text, &range) && text.has_keyword(&range))
                .then_some(range)
        }
        11 => {
            let range = first..start + 11;
            let counts = plus || text.has_keyword(&range);
            (counts && bytes[start] == b'1' && is_number(&bytes[start + 1..start + 11]) && stands_alone(text, &range))
                .then_some(range)
        }
        // The country code on its own, or with the two zeros before it.
        1 | 3 if bytes[start..start + digits] == b"001"[3 - digits..] => {
            let start = start + digits - 1;
            let (_, area) = Separator::at(bytes, start + 1).unwrap_or((Separator::Space, start + 1));
            if bytes.get(area) == Some(&b'(') {
                let end = in_brackets(text, area)?;
                return Some(first..end).filter(|range| stands_alone(text, range));
            }
            let range = first..area + 10;
            if run(bytes, area) == 10 && (plus || (area > start + 1 && text.has_keyword(&range))) {
                return (is_number(&bytes[area..area + 10]) && stands_alone(text, &range)).then_some(range);
            }
            if area == start + 1 || run(bytes, area) != 3 {
                return None;
            }
            Some(first..parted(text, area, area + 3)?).filter(|range| stands_alone(text, range))
        }
        3 if !plus => {
            let bracket = start.checked_sub(1).filter(|bracket| bytes[*bracket] == b'(');
            let range = match bracket.and_then(|bracket| Some(bracket..in_brackets(text, bracket)?)) {
                Some(range) => range,
                None => start..parted(text, start, start + 3)?,
            };
            stands_alone(text, &range).then_some(range)
        }
        _ => None,
    }
}

/// `(415) 555-2671`: where it ends.
fn in_brackets(text: &Text<'_>, bracket: usize) -> Option<usize> {
    let (bytes, area) = (text.bytes, bracket + 1);
    if run(bytes, area) != 3 || bytes.get(area + 3) != Some(&b')') {
        return None;
    }
    let exchange = Separator::at(bytes, area + 4).map_or(area + 4, |(_, after)| after);
    rest(text, area, exchange, None)
}

/// `415-555-2671`: where it ends.
fn parted(text: &Text<'_>, area: usize, end: usize) -> Option<usize> {
    let (separator, exchange) = Separator::at(text.bytes, end)?;
    rest(text, area, exchange, Some(separator))
}

/// Exchange and line number. With a keyword the digits may be parted in any way.
fn rest(text: &Text<'_>, area: usize, exchange: usize, expected: Option<Separator>) -> Option<usize> {
    let bytes = text.bytes;
    let mut number = [0; 10];
    number[..3].copy_from_slice(bytes.get(area..area + 3)?);
    let digits = run(bytes, exchange);
    let end = match digits {
        7 => {
            number[3..].copy_from_slice(&bytes[exchange..exchange + 7]);
            let end = exchange + 7;
            // 415 5552671 alone is a pair of numbers like any other.
            if expected == Some(Separator::Space) && !text.has_keyword(&(area..end)) {
                return None;
            }
            end
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
            if run(bytes, line) != 4 || !(fits || text.has_keyword(&(area..line + 4))) {
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

/// Where an extension of up to six digits that begins here ends, as in `415-555-2671x123` and `415-555-2671 ext. 123`.
fn extension_end(text: &Text<'_>, start: usize) -> Option<usize> {
    let rest = &text.bytes[start..];
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let starts = |word: &[u8]| rest.len() > word.len() && rest[..word.len()].eq_ignore_ascii_case(word);
    let word = [b"ext. ".as_slice(), b"ext.", b"ext ", b"ext", b"x"].into_iter().find(|word| starts(word))?;
    let first = text.bytes.len() - rest.len() + word.len();
    let digits = run(text.bytes, first);
    ((1..=6).contains(&digits) && text.ends_at(first + digits)).then_some(first + digits)
}

/// Source: North American Numbering Plan Administrator: area code and exchange begin with 2 to 9, and are not N11.
fn is_number(digits: &[u8]) -> bool {
    let is_code = |code: &[u8]| (b'2'..=b'9').contains(&code[0]) && code[1..] != *b"11";
    digits.len() == 10 && is_code(&digits[..3]) && is_code(&digits[3..6])
}
