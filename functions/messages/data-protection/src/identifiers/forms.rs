//! Values that are described by a form: what stands at each place.
//!
//! | in a form | stands for |
//! |---|---|
//! | `9` | a digit |
//! | `A` | a letter |
//! | `U` | a capital letter: where a word might stand instead |
//! | `N` | a letter or a digit |
//! | `a` to `z`, `0` to `8` | this letter, small or capital, or this digit |
//! | `[A-CX0-9]` | one of these, letters small or capital |
//! | `-` | a separator, or none: one or two of space, dash, dot, slash, underscore |
//! | `\x` | the character x, which must be there |
//! | `{n}`, `{m,n}` | so many of what is before it |
//! | `~` | before `{m,n}`: single dashes may part them |

use std::ops::Range;

use super::text::Text;
use super::{Find, Form, Managed};
use crate::words::{Hit, Mask, PROXIMITY};

/// The longest value, without separators.
const MAX_LENGTH: usize = 40;

/// A bit for each character of ASCII.
type Set = u128;

#[derive(Debug, Clone, Copy)]
struct Item {
    set: Set,
    min: u8,
    max: u8,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A part of the value.
    Value,
    /// Values with single dashes between.
    Dashed,
    /// Not a part of what is checked.
    Separator,
}

const fn range_of(first: u8, last: u8) -> Set {
    let mut set = 0;
    let mut byte = first;
    while byte <= last {
        set |= 1 << byte;
        byte += 1;
    }
    set
}

const DIGITS: Set = range_of(b'0', b'9');
const CAPITALS: Set = range_of(b'A', b'Z');
const LETTERS: Set = CAPITALS | range_of(b'a', b'z');
const SEPARATORS: Set = 1 << b' ' | 1 << b'-' | 1 << b'.' | 1 << b'/' | 1 << b'_';

fn either_case(byte: u8) -> Set {
    1 << byte.to_ascii_uppercase() | 1 << byte.to_ascii_lowercase()
}

/// The items of a form.
fn items(form: &str) -> Vec<Item> {
    let bytes = form.as_bytes();
    let mut items: Vec<Item> = Vec::new();
    let mut index = 0;
    while index < bytes.len() {
        let mut item = Item { set: 0, min: 1, max: 1, kind: Kind::Value };
        match bytes[index] {
            b'9' => item.set = DIGITS,
            b'A' => item.set = LETTERS,
            b'U' => item.set = CAPITALS,
            b'N' => item.set = LETTERS | DIGITS,
            b'-' => item = Item { set: SEPARATORS, min: 0, max: 2, kind: Kind::Separator },
            b'\\' => {
                index += 1;
                item = Item { set: 1 << bytes[index], min: 1, max: 1, kind: Kind::Separator };
            }
            b'[' => {
                index += 1;
                while bytes[index] != b']' {
                    let last = if bytes[index + 1] == b'-' { bytes[index + 2] } else { bytes[index] };
                    for byte in bytes[index]..=last {
                        item.set |= either_case(byte);
                    }
                    index += if bytes[index + 1] == b'-' { 3 } else { 1 };
                }
            }
            byte => item.set = either_case(byte),
        }
        index += 1;
        if bytes.get(index) == Some(&b'~') {
            item.kind = Kind::Dashed;
            index += 1;
        }
        if bytes.get(index) == Some(&b'{') {
            let mut numbers = [0_u8; 2];
            let mut place = 0;
            index += 1;
            while bytes[index] != b'}' {
                match bytes[index] {
                    b',' => place = 1,
                    digit => numbers[place] = numbers[place] * 10 + (digit - b'0'),
                }
                index += 1;
            }
            index += 1;
            item.min = numbers[0];
            item.max = if place == 1 { numbers[1] } else { numbers[0] };
        }
        items.push(item);
    }
    items
}

/// Whether the digits and letters of a value pass its check.
type Check = fn(&[u8]) -> bool;

/// An identifier with forms, and its place among the detectors.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) detector: usize,
    bit: Mask,
    alone: bool,
    /// What its values begin with.
    first: Set,
    /// Whether all its values have a digit.
    has_digits: bool,
    forms: Vec<(Vec<Item>, Option<Check>)>,
}

impl Compiled {
    pub(crate) fn new(managed: Managed, detector: usize, require_keywords: bool) -> Option<Self> {
        let Find::Forms(forms) = managed.find() else { return None };
        let forms: Vec<(Vec<Item>, _)> = forms.iter().map(|Form { form, check }| (items(form), *check)).collect();
        let first = forms.iter().fold(0, |set, (items, _)| set | first_of(items));
        let has_digit = |items: &[Item]| items.iter().any(|item| item.set & !DIGITS == 0 && item.min > 0);
        let has_digits = forms.iter().all(|(items, _)| has_digit(items));
        let alone = !managed.needs_keyword() || !require_keywords;
        Some(Self { detector, bit: managed.bit(), alone, first, has_digits, forms })
    }
}

/// What a value of these items can begin with.
fn first_of(items: &[Item]) -> Set {
    let optional = items.iter().take_while(|item| item.min == 0).count();
    items.iter().take(optional + 1).fold(0, |set, item| set | item.set)
}

/// Where the values of all these identifiers are in the text: detector and range.
pub(crate) fn find_forms(text: &Text<'_>, wanted: &[Compiled], found: &mut Vec<(usize, Range<usize>)>) {
    let all = wanted.iter().fold(0, |mask, it| mask | it.bit);
    let everywhere = wanted.iter().filter(|it| it.alone).fold(0, |mask, it| mask | it.bit) | (text.path & all);
    let cued = text.cued & all;
    // Most texts of a document are short and have no digit.
    let is_possible = |it: &Compiled| !(it.has_digits && text.runs.is_empty());
    let places = |mask: Mask| {
        let places = (0..wanted.len()).filter(|place| wanted[*place].bit & mask != 0 && is_possible(&wanted[*place]));
        places.collect::<Vec<_>>()
    };
    let every = places(everywhere | cued);
    if every.is_empty() {
        return;
    }
    let few = places(everywhere);
    // Where the last value of each ends.
    let mut taken: Vec<usize> = Vec::new();
    let bytes = text.bytes;
    let mut first_hit = 0;
    let mut index = 0;
    while index < bytes.len() {
        if !bytes[index].is_ascii_alphanumeric() {
            index += 1;
            continue;
        }
        let start = index;
        let begins = start == 0 || !bytes[start - 1].is_ascii_alphanumeric() || text.begins_after_escape(start);
        // Letters, or digits: a keyword may be joined to the digits behind it.
        let digits = bytes[start].is_ascii_digit();
        while index < bytes.len() && bytes[index].is_ascii_alphanumeric() && bytes[index].is_ascii_digit() == digits {
            index += 1;
        }
        if begins && !digits && index - start > 16 {
            continue;
        }
        while first_hit < text.hits.len() && (text.hits[first_hit].end as usize) + PROXIMITY < start {
            first_hit += 1;
        }
        let end = start + MAX_LENGTH + PROXIMITY;
        let hits = text.hits[first_hit..].iter().take_while(|hit| (hit.start as usize) < end);
        let near = hits.fold(0, |mask, hit| mask | hit.mask);
        let mask = everywhere | (near & all);
        if mask == 0 {
            continue;
        }
        // Most texts have no keyword: then only few identifiers are looked for.
        let places = if near & all & !everywhere == 0 { &few } else { &every };
        for place in places.iter().copied() {
            let identifier = &wanted[place];
            if mask & identifier.bit == 0 || identifier.first >> bytes[start] & 1 == 0 {
                continue;
            }
            if taken.get(place).is_some_and(|end| *end > start) {
                continue;
            }
            let text = Text { bit: identifier.bit, ..*text };
            // A keyword is no part of the value.
            if hits_over(&text.hits[first_hit..], start) & identifier.bit != 0 {
                continue;
            }
            if !begins && !text.follows_keyword(start) {
                continue;
            }
            let ends = identifier.forms.iter().filter_map(|(items, check)| end_of(&text, start, items, *check));
            if let Some(end) = ends.max()
                && (identifier.alone || text.has_keyword(&(start..end)))
            {
                taken.resize(wanted.len(), 0);
                taken[place] = end;
                found.push((identifier.detector, start..end));
            }
        }
    }
}

/// The identifiers of the keywords that `at` is in.
fn hits_over(hits: &[Hit], at: usize) -> Mask {
    let until = hits.iter().take_while(|hit| hit.start as usize <= at);
    until.filter(|hit| hit.end as usize > at).fold(0, |mask, hit| mask | hit.mask)
}

/// Where the value of this form that starts here ends.
fn end_of(text: &Text<'_>, start: usize, items: &[Item], check: Option<fn(&[u8]) -> bool>) -> Option<usize> {
    let mut value = [0; MAX_LENGTH];
    let mut attempt = Attempt { text, start, check, value: &mut value };
    attempt.rest(start, items, 0)
}

struct Attempt<'t, 'v> {
    text: &'t Text<'t>,
    start: usize,
    check: Option<fn(&[u8]) -> bool>,
    value: &'v mut [u8; MAX_LENGTH],
}

impl Attempt<'_, '_> {
    /// Where the rest of the form ends that starts here, the longest first. `length` characters of the value are known.
    fn rest(&mut self, at: usize, items: &[Item], length: usize) -> Option<usize> {
        let Some((item, rest)) = items.split_first() else {
            return self.is_whole(at, length).then_some(at);
        };
        let bytes = self.text.bytes;
        // Where so many of the item end.
        let mut ends = [at; MAX_LENGTH + 1];
        let mut count = 0;
        let mut end = at;
        while count < usize::from(item.max) && count < MAX_LENGTH {
            let mut next = end;
            if item.kind == Kind::Dashed && count > 0 && bytes.get(next) == Some(&b'-') {
                next += 1;
            }
            let Some(byte) = bytes.get(next).filter(|byte| byte.is_ascii() && item.set >> **byte & 1 == 1) else {
                break;
            };
            if item.kind != Kind::Separator {
                let Some(slot) = self.value.get_mut(length + count) else { break };
                *slot = byte.to_ascii_uppercase();
            }
            end = next + 1;
            count += 1;
            ends[count] = end;
        }
        loop {
            if count < usize::from(item.min) {
                return None;
            }
            let more = if item.kind == Kind::Separator { 0 } else { count };
            if let Some(end) = self.rest(ends[count], rest, length + more) {
                return Some(end);
            }
            // What was tried behind it has overwritten nothing before it.
            count = count.checked_sub(1)?;
        }
    }

    fn is_whole(&self, end: usize, length: usize) -> bool {
        let text = self.text;
        let range = self.start..end;
        let value = &self.value[..length];
        // Letters may be joined to digits with a check digit, as a currency is.
        let ends = text.ends_at(end)
            || (self.check.is_some() && text.bytes[end - 1].is_ascii_digit() && text.ends_digits_at(end));
        ends && !is_part_of_a_chain(text, &range)
            && !is_date(text, &range)
            && !value.iter().all(|byte| *byte == b'0')
            && self.check.is_none_or(|check| check(value))
    }
}

impl Text<'_> {
    fn begins_after_escape(&self, index: usize) -> bool {
        index >= 2 && self.bytes[index - 2] == b'\\' && matches!(self.bytes[index - 1], b'n' | b'r' | b't')
    }
}

/// Whether it is a part of a UUID, a version, a decimal number or a longer number.
fn is_part_of_a_chain(text: &Text<'_>, range: &Range<usize>) -> bool {
    if text.goes_on_with_dot(range) {
        return true;
    }
    let is_joint = |byte: Option<u8>| matches!(byte, Some(b'-' | b'/' | b':'));
    let digit = |index: usize| text.get(index).is_some_and(|byte| byte.is_ascii_digit());
    let before = is_joint(text.before(range.start)) && {
        let word = text.bytes[..range.start - 1].iter().rev().take(12).take_while(|byte| byte.is_ascii_alphanumeric());
        word.clone().any(u8::is_ascii_digit)
    };
    let after = is_joint(text.get(range.end)) && digit(range.end + 1);
    before || after
}

/// Whether these digits are a date or a time: AWS's words for licences and passports stand before those too.
pub(super) fn is_date(text: &Text<'_>, range: &Range<usize>) -> bool {
    let bytes = &text.bytes[range.clone()];
    if bytes.len() > 10 || !bytes.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'/' | b' '))
    {
        return false;
    }
    let number = |digits: &[u8]| digits.iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    let is_year = |year: u32| (1900..2100).contains(&year);
    let is_day = |month: u32, day: u32| (1..=12).contains(&month) && (1..=31).contains(&day);
    let parts: Vec<&[u8]> = bytes.split(|byte| !byte.is_ascii_digit()).collect();
    match parts[..] {
        [all] if all.len() == 8 => {
            let (year, month, day) = (number(&all[..4]), number(&all[4..6]), number(&all[6..]));
            is_year(year) && is_day(month, day)
        }
        [first, second, third] if (2..=5).contains(&(first.len() + second.len())) || first.len() == 4 => {
            let [first, second, third] = [first, second, third].map(number);
            (is_year(first) && is_day(second, third))
                || (is_year(third) && (is_day(first, second) || is_day(second, first)))
        }
        _ => false,
    }
}
