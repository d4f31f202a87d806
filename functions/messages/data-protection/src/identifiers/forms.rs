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
//! | `U[A-CX]` | one of these, letters capital |
//! | `-` | a separator, or none: one or two of space, dash, dot, slash, underscore |
//! | `\x` | the character x, which must be there |
//! | `{n}`, `{m,n}` | so many of what is before it |
//! | `~` | before `{m,n}`: single dashes may part them |

use std::ops::Range;

use super::text::Text;
use super::{Find, Form, Managed};
use crate::words::{Mask, PROXIMITY, joined};

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

impl Item {
    fn has(&self, byte: u8) -> bool {
        byte.is_ascii() && self.set >> byte & 1 == 1
    }
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
const SMALL: Set = range_of(b'a', b'z');
const LETTERS: Set = CAPITALS | SMALL;
const SEPARATORS: Set = 1 << b' ' | 1 << b'-' | 1 << b'.' | 1 << b'/' | 1 << b'_';

fn either_case(byte: u8) -> Set {
    1 << byte.to_ascii_uppercase() | 1 << byte.to_ascii_lowercase()
}

/// What is in the brackets that open at `index`, which is left where they close.
fn class(form: &[u8], index: &mut usize) -> Set {
    let mut set = 0;
    *index += 1;
    while form[*index] != b']' {
        let is_range = form[*index + 1] == b'-';
        let last = if is_range { form[*index + 2] } else { form[*index] };
        for byte in form[*index]..=last {
            set |= either_case(byte);
        }
        *index += if is_range { 3 } else { 1 };
    }
    set
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
            b'U' if bytes.get(index + 1) == Some(&b'[') => {
                index += 1;
                item.set = class(bytes, &mut index) & !SMALL;
            }
            b'U' => item.set = CAPITALS,
            b'N' => item.set = LETTERS | DIGITS,
            b'-' => item = Item { set: SEPARATORS, min: 0, max: 2, kind: Kind::Separator },
            b'\\' => {
                index += 1;
                item = Item { set: 1 << bytes[index], min: 1, max: 1, kind: Kind::Separator };
            }
            b'[' => item.set = class(bytes, &mut index),
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
struct Compiled {
    detector: usize,
    forms: Vec<(Vec<Item>, Option<Check>)>,
}

/// All identifiers with forms. What is asked at each word is one mask of all identifiers.
#[derive(Debug, Clone)]
pub(crate) struct Forms {
    identifiers: Vec<Compiled>,
    /// The place of each bit's identifier.
    places: [u8; Mask::BITS as usize],
    all: Mask,
    /// Those that are found without a keyword.
    alone: Mask,
    /// Those whose values all have a digit.
    with_digits: Mask,
    /// Those whose values may begin with each character of ASCII.
    first: [Mask; 128],
}

impl Forms {
    pub(crate) fn new() -> Self {
        let places = [0; Mask::BITS as usize];
        Self { identifiers: Vec::new(), places, all: 0, alone: 0, with_digits: 0, first: [0; 128] }
    }

    /// Adds an identifier, if it is one with forms.
    pub(crate) fn add(&mut self, managed: Managed, detector: usize, require_keywords: bool) {
        let Find::Forms(forms) = managed.find() else { return };
        let forms: Vec<(Vec<Item>, _)> = forms.iter().map(|Form { form, check }| (items(form), *check)).collect();
        let bit = managed.bit();
        #[expect(clippy::cast_possible_truncation, reason = "there are fewer identifiers than bits")]
        let place = self.identifiers.len() as u8;
        self.places[bit.trailing_zeros() as usize] = place;
        self.all |= bit;
        if !managed.needs_keyword() || !require_keywords {
            self.alone |= bit;
        }
        let has_digit = |items: &[Item]| items.iter().any(|item| item.set & !DIGITS == 0 && item.min > 0);
        if forms.iter().all(|(items, _)| has_digit(items)) {
            self.with_digits |= bit;
        }
        let first = forms.iter().fold(0, |set, (items, _)| set | first_of(items));
        for (byte, mask) in self.first.iter_mut().enumerate() {
            if first >> byte & 1 == 1 {
                *mask |= bit;
            }
        }
        self.identifiers.push(Compiled { detector, forms });
    }
}

/// What a value of these items can begin with.
fn first_of(items: &[Item]) -> Set {
    let optional = items.iter().take_while(|item| item.min == 0).count();
    items.iter().take(optional + 1).fold(0, |set, item| set | item.set)
}

/// Where the values of all these identifiers are in the text: detector and range.
pub(crate) fn find_forms(text: &Text<'_>, wanted: &Forms, found: &mut Vec<(usize, Range<usize>)>) {
    // Most texts of a document are short and have no digit.
    let possible = if text.runs.is_empty() { wanted.all & !wanted.with_digits } else { wanted.all };
    let everywhere = (wanted.alone | text.path) & possible;
    if (everywhere | text.cued) & possible == 0 {
        return;
    }
    // Where the last value of each ends.
    let mut taken: Vec<usize> = Vec::new();
    let bytes = text.bytes;
    let mut value = [0; MAX_LENGTH];
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
        let hits = &text.hits[first_hit..];
        let end = start + MAX_LENGTH + PROXIMITY;
        let first = wanted.first[usize::from(bytes[start])] & possible;
        if first & (everywhere | text.cued) == 0 {
            continue;
        }
        let (mut near, mut over) = (0, 0);
        for hit in hits.iter().take_while(|hit| (hit.start as usize) < end) {
            near |= hit.mask;
            if (hit.start as usize..hit.end as usize).contains(&start) {
                over |= hit.mask;
            }
        }
        // A keyword is no part of the value.
        let mut mask = (everywhere | near) & first & !over;
        if !begins {
            // A keyword may be joined to the value.
            mask &= joined(hits, start);
        }
        while mask != 0 {
            let bit = mask & mask.wrapping_neg();
            mask &= !bit;
            let place = usize::from(wanted.places[bit.trailing_zeros() as usize]);
            if taken.get(place).is_some_and(|end| *end > start) {
                continue;
            }
            let text = Text { bit, ..*text };
            let identifier = &wanted.identifiers[place];
            let mut end = None;
            for (items, check) in &identifier.forms {
                end = end.max(end_of(&text, start, items, *check, &mut value));
            }
            if let Some(end) = end
                && (wanted.alone & bit != 0 || text.has_keyword(&(start..end)))
            {
                taken.resize(wanted.identifiers.len(), 0);
                taken[place] = end;
                found.push((identifier.detector, start..end));
            }
        }
    }
}

/// Where the value of this form that starts here ends.
fn end_of(
    text: &Text<'_>,
    start: usize,
    items: &[Item],
    check: Option<fn(&[u8]) -> bool>,
    value: &mut [u8; MAX_LENGTH],
) -> Option<usize> {
    Attempt { text, start, check, value }.rest(start, items, 0)
}

struct Attempt<'t, 'v> {
    text: &'t Text<'t>,
    start: usize,
    check: Option<fn(&[u8]) -> bool>,
    /// What was read of the value; the rest is of attempts before.
    value: &'v mut [u8; MAX_LENGTH],
}

impl Attempt<'_, '_> {
    /// Where the rest of the form ends that starts here, the longest first. `length` characters of the value are known.
    fn rest(&mut self, mut at: usize, mut items: &[Item], mut length: usize) -> Option<usize> {
        let bytes = self.text.bytes;
        // Most items have one length: there is nothing to try.
        let (item, rest) = loop {
            let Some((item, rest)) = items.split_first() else {
                return self.is_whole(at, length).then_some(at);
            };
            if item.min != item.max || item.kind == Kind::Dashed {
                break (item, rest);
            }
            for byte in bytes.get(at..at + usize::from(item.min))? {
                if !item.has(*byte) {
                    return None;
                }
                if item.kind == Kind::Value {
                    *self.value.get_mut(length)? = byte.to_ascii_uppercase();
                    length += 1;
                }
            }
            at += usize::from(item.min);
            items = rest;
        };
        // One bit for each character of the item with a dash before it.
        let mut dashes = 0_u128;
        let mut count = 0;
        let mut end = at;
        while count < usize::from(item.max) && count < MAX_LENGTH {
            let mut next = end;
            if item.kind == Kind::Dashed && count > 0 && bytes.get(next) == Some(&b'-') {
                next += 1;
                dashes |= 1 << count;
            }
            let Some(byte) = bytes.get(next).filter(|byte| item.has(**byte)) else { break };
            if item.kind != Kind::Separator {
                let Some(slot) = self.value.get_mut(length + count) else { break };
                *slot = byte.to_ascii_uppercase();
            }
            end = next + 1;
            count += 1;
        }
        loop {
            if count < usize::from(item.min) {
                return None;
            }
            let more = if item.kind == Kind::Separator { 0 } else { count };
            let skipped = (dashes & ((1 << count) - 1)).count_ones() as usize;
            if let Some(end) = self.rest(at + count + skipped, rest, length + more) {
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
        let joint = range.start - 1;
        let word = text.bytes[..joint].iter().rev().take(12).take_while(|byte| byte.is_ascii_alphanumeric());
        // CVV2:737, cpf1:123.456.789-09
        let number = word.clone().take_while(|byte| byte.is_ascii_digit()).count();
        let is_keyword = || text.follows_keyword(joint) || text.follows_keyword(joint - number);
        word.clone().any(u8::is_ascii_digit) && !is_keyword()
    };
    let after = is_joint(text.get(range.end)) && digit(range.end + 1) && !is_followed_by_another(text, range);
    before || after
}

/// Whether a slash parts it from another number: `bank account 000918273645/021000021`, and not `2026/08/13`.
fn is_followed_by_another(text: &Text<'_>, range: &Range<usize>) -> bool {
    let rest = text.bytes[range.end..].iter().take(12);
    let end = range.end + rest.take_while(|byte| byte.is_ascii_digit() || **byte == b'/').count();
    text.get(range.end) == Some(b'/') && text.has_keyword(range) && !is_date(text, &(range.start..end))
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
    let mut parts = bytes.split(|byte| !byte.is_ascii_digit());
    match [parts.next(), parts.next(), parts.next(), parts.next()] {
        [Some(all), None, ..] if all.len() == 8 => {
            let (year, month, day) = (number(&all[..4]), number(&all[4..6]), number(&all[6..]));
            is_year(year) && is_day(month, day)
        }
        [Some(first), Some(second), Some(third), None]
            if (2..=5).contains(&(first.len() + second.len())) || first.len() == 4 =>
        {
            let [first, second, third] = [first, second, third].map(number);
            (is_year(first) && is_day(second, third))
                || (is_year(third) && (is_day(first, second) || is_day(second, first)))
        }
        _ => false,
    }
}
