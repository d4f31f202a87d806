//! A text as it is read once its escapes are decoded: of links and forms, of JSON that is no whole document, of HTML and
//! of mail.
//!
//! Each reading knows for every character where it is in the text as written. The text as written is the first reading,
//! so decoding never hides what is there without it.

use std::borrow::Cow;
use std::ops::Range;

/// How often escapes are decoded: `%2540` is an `@` after two times.
const MAX_DEPTH: u8 = 4;
/// Readings of one text: decoded once, twice, with and without a plus as a space.
const MAX_READINGS: usize = 10;

/// One way to read a text.
#[derive(Debug)]
pub(crate) struct Reading<'t> {
    pub(crate) text: Cow<'t, str>,
    /// Where each byte of `text` is written. `None` where the text is as written, from `offset` on.
    spans: Option<Cow<'t, [(u32, u32)]>>,
    offset: usize,
    depth: u8,
    /// Whether a plus was read as a space: then what may have a plus in it was read before.
    pub(crate) plus: bool,
    quoted_printable: bool,
}

impl<'t> Reading<'t> {
    pub(crate) fn as_written(text: &'t str) -> Self {
        Self { text: Cow::Borrowed(text), spans: None, offset: 0, depth: 0, plus: false, quoted_printable: false }
    }

    /// Where a range of bytes of this reading is written.
    pub(crate) fn written(&self, range: Range<usize>) -> Range<usize> {
        match &self.spans {
            Some(spans) if !range.is_empty() => spans[range.start].0 as usize..spans[range.end - 1].1 as usize,
            _ => range.start + self.offset..range.end + self.offset,
        }
    }

    /// Where bytes are written that were decoded from these ranges of this reading.
    fn spans_of(&self, decoded: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
        match &self.spans {
            None => decoded,
            Some(spans) => {
                let written = |(start, end): (u32, u32)| (spans[start as usize].0, spans[end as usize - 1].1);
                decoded.into_iter().map(written).collect()
            }
        }
    }

    /// A part of it.
    pub(crate) fn part(&self, range: Range<usize>) -> Reading<'_> {
        Reading {
            text: Cow::Borrowed(&self.text[range.clone()]),
            spans: self.spans.as_ref().map(|spans| Cow::Borrowed(&spans[range.clone()])),
            offset: self.offset + range.start,
            depth: self.depth,
            plus: self.plus,
            quoted_printable: self.quoted_printable,
        }
    }
}

/// All readings of a text, the text as written first.
pub(crate) fn readings(text: &str) -> Vec<Reading<'_>> {
    let mut all = vec![Reading::as_written(text)];
    if !may_be_encoded(text.as_bytes()) {
        return all;
    }
    let mut next = 0;
    while next < all.len() && all.len() < MAX_READINGS {
        let mut more = Vec::new();
        let reading = &all[next];
        if reading.depth < MAX_DEPTH {
            let with = |Decoded { text, spans, .. }: Decoded, plus: bool, quoted_printable: bool| Reading {
                spans: Some(Cow::Owned(reading.spans_of(spans))),
                offset: 0,
                text: Cow::Owned(text),
                depth: reading.depth + 1,
                plus: reading.plus || plus,
                quoted_printable: reading.quoted_printable || quoted_printable,
            };
            more.extend(escapes(&reading.text).map(|decoded| with(decoded, false, false)));
            if !reading.plus {
                more.extend(pluses(&reading.text).map(|decoded| with(decoded, true, false)));
            }
            if !reading.quoted_printable && reading.depth < 2 {
                // Soft line breaks may part the bytes of one character.
                let joined = soft_breaks(&reading.text).map(|decoded| with(decoded, false, false));
                let decoded = || quoted_printable(&reading.text).map(|decoded| with(decoded, false, true));
                more.extend(joined.or_else(decoded));
            }
        }
        for reading in more {
            if all.len() < MAX_READINGS && !all.iter().any(|known| known.text == reading.text) {
                all.push(reading);
            }
        }
        next += 1;
    }
    all
}

/// Whether a character is there that an escape begins with. Most texts have none.
pub(crate) fn may_be_encoded(bytes: &[u8]) -> bool {
    let mut before = 0;
    bytes.iter().any(|byte| {
        let exponent = byte.eq_ignore_ascii_case(&b'e') && u8::is_ascii_digit(&before);
        before = *byte;
        exponent || matches!(byte, b'%' | b'\\' | b'&' | b'=' | b'+')
    })
}

/// What was decoded, and where each of its bytes was in the reading that it was decoded from.
#[derive(Default)]
struct Decoded {
    text: String,
    spans: Vec<(u32, u32)>,
    changed: bool,
}

impl Decoded {
    #[expect(clippy::cast_possible_truncation, reason = "a message has at most 256 KiB")]
    fn push(&mut self, character: char, range: Range<usize>) {
        self.text.push(character);
        self.spans.resize(self.text.len(), (range.start as u32, range.end as u32));
    }

    #[expect(clippy::cast_possible_truncation, reason = "a message has at most 256 KiB")]
    fn copy(&mut self, text: &str, range: Range<usize>) {
        // Most texts have nothing to decode, and need no space.
        if self.text.capacity() == 0 {
            self.text.reserve(text.len());
            self.spans.reserve(text.len());
        }
        if text[range.clone()].is_ascii() {
            self.text.push_str(&text[range.clone()]);
            self.spans.extend(range.map(|index| (index as u32, index as u32 + 1)));
            return;
        }
        for (offset, character) in text[range.clone()].char_indices() {
            let start = range.start + offset;
            let span = (start as u32, (start + character.len_utf8()) as u32);
            self.text.push(character);
            self.spans.resize(self.text.len(), span);
        }
    }

    fn decoded(&mut self, character: char, range: Range<usize>) {
        self.changed = true;
        self.push(character, range);
    }

    /// The rest as it is; `None` where nothing was decoded.
    fn finish(mut self, text: &str, copied: usize) -> Option<Self> {
        if !self.changed {
            return None;
        }
        self.copy(text, copied..text.len());
        Some(self)
    }
}

/// Percent encoding, escapes of JSON and JavaScript, character references of HTML, numbers with an exponent.
fn escapes(text: &str) -> Option<Decoded> {
    let bytes = text.as_bytes();
    let mut decoded = Decoded::default();
    let (mut index, mut copied) = (0, 0);
    while index < bytes.len() {
        let one = match bytes[index] {
            b'%' => percent(bytes, index),
            b'\\' => backslash(text, index),
            b'&' => reference(text, index),
            b'0'..=b'9' => {
                let digits = bytes[index..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                if digits == 1
                    && let Some((number, length)) = exponent(bytes, index)
                {
                    decoded.copy(text, copied..index);
                    for digit in number.chars() {
                        decoded.decoded(digit, index..index + length);
                    }
                    index += length;
                    copied = index;
                    continue;
                }
                index += digits;
                continue;
            }
            _ => None,
        };
        match one {
            Some((character, length)) => {
                decoded.copy(text, copied..index);
                decoded.decoded(character, index..index + length);
                index += length;
                copied = index;
            }
            None => index += 1,
        }
    }
    decoded.finish(text, copied)
}

fn hex(bytes: &[u8], at: usize, count: usize) -> Option<u32> {
    let digits = bytes.get(at..at + count)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

/// `%40`, `%C3%A9`, and `%u0040` of old JavaScript: the character and how long its escape is.
///
/// Source: WHATWG URL Standard, "percent-decode"; RFC 3986, section 2.1.
fn percent(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    if matches!(bytes.get(at + 1), Some(b'u' | b'U')) {
        return Some((char::from_u32(hex(bytes, at + 2, 4)?)?, 6));
    }
    #[expect(clippy::cast_possible_truncation, reason = "two hex digits")]
    let byte = |place: usize| {
        let at = at + 3 * place;
        (bytes.get(at) == Some(&b'%')).then(|| hex(bytes, at + 1, 2)).flatten().map(|value| value as u8)
    };
    let first = byte(0)?;
    let length = match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return Some((char::from(first), 3)),
    };
    let mut sequence = [0; 4];
    for (place, slot) in sequence[..length].iter_mut().enumerate() {
        match byte(place) {
            Some(value) => *slot = value,
            None => return Some((char::from(first), 3)),
        }
    }
    match std::str::from_utf8(&sequence[..length]).ok().and_then(|text| text.chars().next()) {
        Some(character) => Some((character, 3 * length)),
        None => Some((char::from(first), 3)),
    }
}

/// `\u0040`, `\u{40}`, `\x40`, `\n`, `\"`, `\\`: the character and how long its escape is.
///
/// Source: RFC 8259, section 7; ECMA-262, "String Literals".
fn backslash(text: &str, at: usize) -> Option<(char, usize)> {
    let bytes = text.as_bytes();
    match bytes.get(at + 1)? {
        b'u' if bytes.get(at + 2) == Some(&b'{') => {
            let digits = bytes[at + 3..].iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let value = hex(bytes, at + 3, digits).filter(|_| digits > 0)?;
            (bytes.get(at + 3 + digits) == Some(&b'}'))
                .then(|| char::from_u32(value))
                .flatten()
                .map(|it| (it, digits + 4))
        }
        b'u' => hex(bytes, at + 2, 4).map(|_| escaped(&text[at..])),
        b'x' => Some((char::from_u32(hex(bytes, at + 2, 2)?)?, 4)),
        b'n' | b't' | b'r' | b'b' | b'f' | b'"' | b'\'' | b'\\' | b'/' => Some(escaped(&text[at..])),
        _ => None,
    }
}

/// The character that an escape of JSON stands for, and the length of the escape. Half of a pair is U+FFFD.
pub(crate) fn escaped(raw: &str) -> (char, usize) {
    let unit = |at: usize| raw.get(at..at + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let simple = |character| (character, 2);
    match raw.as_bytes().get(1) {
        Some(b'n') => simple('\n'),
        Some(b't') => simple('\t'),
        Some(b'r') => simple('\r'),
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{C}'),
        Some(b'u') => {
            let first = unit(2).unwrap_or(0xFFFD);
            let second = if raw.get(6..8) == Some("\\u") { unit(8) } else { None };
            match (first, second) {
                (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                    let value = 0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00);
                    (char::from_u32(value).unwrap_or('\u{FFFD}'), 12)
                }
                _ => (char::from_u32(first).unwrap_or('\u{FFFD}'), 6),
            }
        }
        Some(byte) => simple(char::from(*byte)),
        None => ('\u{FFFD}', 1),
    }
}

/// Named characters that stand in or beside a value.
///
/// Source: WHATWG HTML Standard, "Named character references".
const NAMED: [(&str, char); 44] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", '\u{A0}'),
    ("ensp", '\u{2002}'),
    ("emsp", '\u{2003}'),
    ("emsp13", '\u{2004}'),
    ("emsp14", '\u{2005}'),
    ("numsp", '\u{2007}'),
    ("puncsp", '\u{2008}'),
    ("thinsp", '\u{2009}'),
    ("ThinSpace", '\u{2009}'),
    ("hairsp", '\u{200A}'),
    ("NonBreakingSpace", '\u{A0}'),
    ("shy", '\u{AD}'),
    ("zwj", '\u{200D}'),
    ("zwnj", '\u{200C}'),
    ("lrm", '\u{200E}'),
    ("rlm", '\u{200F}'),
    ("ZeroWidthSpace", '\u{200B}'),
    ("NoBreak", '\u{2060}'),
    ("ndash", '\u{2013}'),
    ("mdash", '\u{2014}'),
    ("hyphen", '\u{2010}'),
    ("dash", '\u{2010}'),
    ("minus", '\u{2212}'),
    ("horbar", '\u{2015}'),
    ("commat", '@'),
    ("period", '.'),
    ("comma", ','),
    ("colon", ':'),
    ("semi", ';'),
    ("num", '#'),
    ("plus", '+'),
    ("equals", '='),
    ("sol", '/'),
    ("bsol", '\\'),
    ("lowbar", '_'),
    ("lpar", '('),
    ("rpar", ')'),
    ("Tab", '\t'),
    ("NewLine", '\n'),
];

/// `&#64;`, `&#x40;`, `&commat;`: the character and how long its reference is.
fn reference(text: &str, at: usize) -> Option<(char, usize)> {
    let bytes = text.as_bytes();
    if bytes.get(at + 1) == Some(&b'#') {
        let radix = if matches!(bytes.get(at + 2), Some(b'x' | b'X')) { 16 } else { 10 };
        let start = at + if radix == 16 { 3 } else { 2 };
        let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
        let digits = bytes.get(start..)?.iter().take(8).take_while(|byte| is_digit(byte)).count();
        let character = char::from_u32(u32::from_str_radix(text.get(start..start + digits)?, radix).ok()?)?;
        // Browsers read it without the semicolon too.
        let end = start + digits + usize::from(bytes.get(start + digits) == Some(&b';'));
        return Some((character, end - at));
    }
    let length = bytes[at + 1..].iter().take(17).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let name = text.get(at + 1..at + 1 + length)?;
    let (_, character) = NAMED.iter().find(|(known, _)| *known == name)?;
    (bytes.get(at + 1 + length) == Some(&b';')).then_some((*character, length + 2))
}

/// `4.539894458086459E15`, as a number looks that went through a double: its digits, and how long it is.
fn exponent(bytes: &[u8], at: usize) -> Option<(String, usize)> {
    if at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'.') {
        return None;
    }
    let fraction = match bytes.get(at + 1)? {
        b'.' => bytes[at + 2..].iter().take(24).take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let mantissa = at + 1 + if fraction > 0 { fraction + 1 } else { 0 };
    if !matches!(bytes.get(mantissa), Some(b'e' | b'E')) {
        return None;
    }
    let sign = usize::from(bytes.get(mantissa + 1) == Some(&b'+'));
    let digits = bytes[mantissa + 1 + sign..].iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    let end = mantissa + 1 + sign + digits;
    if digits == 0 || bytes.get(end).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let number = std::str::from_utf8(&bytes[at..end]).ok()?;
    integer_of(number).map(|integer| (integer, end - at))
}

/// The whole number that a number with a fraction or an exponent is, in at most 19 digits.
pub(crate) fn integer_of(number: &str) -> Option<String> {
    let number = number.strip_prefix('-').unwrap_or(number);
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if fraction.is_empty() && exponent == "0" {
        return None;
    }
    let exponent: usize = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > exponent || whole.len() + exponent > 19 {
        return None;
    }
    let zeros = exponent - fraction.len();
    Some(format!("{whole}{fraction}{}", "0".repeat(zeros)))
}

/// A plus between two characters of a form or a link as the space that it stands for.
///
/// Source: WHATWG URL Standard, "application/x-www-form-urlencoded parsing".
fn pluses(text: &str) -> Option<Decoded> {
    let bytes = text.as_bytes();
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_graphic() && *byte != b'"');
    let mut decoded = Decoded::default();
    let mut copied = 0;
    for at in memchr::memchr_iter(b'+', bytes) {
        if at > 0 && is_part(bytes.get(at - 1)) && is_part(bytes.get(at + 1)) {
            decoded.copy(text, copied..at);
            decoded.decoded(' ', at..at + 1);
            copied = at + 1;
        }
    }
    decoded.finish(text, copied)
}

/// Lines that end with `=` and the next as one.
fn soft_breaks(text: &str) -> Option<Decoded> {
    let bytes = text.as_bytes();
    let mut decoded = Decoded::default();
    let mut copied = 0;
    for at in memchr::memchr_iter(b'=', bytes) {
        let length = match &bytes[at + 1..] {
            [b'\r', b'\n', ..] => 3,
            [b'\n', ..] => 2,
            _ => continue,
        };
        decoded.copy(text, copied..at);
        decoded.changed = true;
        copied = at + length;
    }
    decoded.finish(text, copied)
}

/// `=40` and others, in lines in which each `=` is one of these.
///
/// Source: RFC 2045, section 6.7.
fn quoted_printable(text: &str) -> Option<Decoded> {
    if !text.contains('=') {
        return None;
    }
    let bytes = text.as_bytes();
    let escape = |at: usize| {
        let is_hex = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
        (is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2))).then(|| hex(bytes, at + 1, 2)).flatten()
    };
    let soft = |at: usize| match &bytes[at + 1..] {
        [b'\r', b'\n', ..] => Some(3),
        [b'\n', ..] => Some(2),
        _ => None,
    };
    let mut decoded = Decoded::default();
    let (mut start, mut copied) = (0, 0);
    while start < bytes.len() {
        let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |offset| start + offset + 1);
        let is_encoded = memchr::memchr_iter(b'=', &bytes[start..end])
            .all(|at| escape(start + at).is_some() || soft(start + at).is_some());
        let mut index = start;
        while is_encoded && let Some(at) = memchr::memchr(b'=', &bytes[index..end]).map(|offset| index + offset) {
            decoded.copy(text, copied..at);
            if let Some(length) = soft(at) {
                decoded.changed = true;
                index = at + length;
            } else {
                let (character, length) = quoted_character(bytes, at);
                decoded.decoded(character, at..at + length);
                index = at + length;
            }
            copied = index;
        }
        start = end.max(index);
    }
    decoded.finish(text, copied)
}

/// One character of one or more `=XX`.
fn quoted_character(bytes: &[u8], at: usize) -> (char, usize) {
    #[expect(clippy::cast_possible_truncation, reason = "two hex digits")]
    let byte = |place: usize| {
        let at = at + 3 * place;
        (bytes.get(at) == Some(&b'=')).then(|| hex(bytes, at + 1, 2)).flatten().map(|value| value as u8)
    };
    let sequence: Vec<u8> = (0..4).map_while(byte).collect();
    for length in (2..=sequence.len()).rev() {
        if let Ok(text) = std::str::from_utf8(&sequence[..length])
            && let Some(character) = text.chars().next()
            && character.len_utf8() == length
        {
            return (character, 3 * length);
        }
    }
    (char::from(sequence.first().copied().unwrap_or(b'=')), 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_is_read_and_its_place_is_known() {
        for (written, read) in [
            ("a%40b", "a@b"),
            ("a%2540b", "a@b"),
            ("a%C3%A9b", "aéb"),
            ("a%E9b", "aéb"),
            ("a%u0040b", "a@b"),
            (r"a\u0040b", "a@b"),
            (r"a\\u0040b", "a@b"),
            (r"a\ud83d\ude00b", "a😀b"),
            (r"a\x40b", "a@b"),
            (r"a\u{40}b", "a@b"),
            ("a&#64;b", "a@b"),
            ("a&#64b", "a@b"),
            ("a&#x40;b", "a@b"),
            ("a&commat;b", "a@b"),
            ("a&amp;#64;b", "a@b"),
            ("a=40b", "a@b"),
            ("a=C3=A9b", "aéb"),
            ("a=\r\nb", "ab"),
            ("a+b", "a b"),
            ("a%2Bb", "a b"),
            ("4.539894458086459E15", "4539894458086459"),
            ("x 4.539894458086459e+15", "x 4539894458086459"),
        ] {
            let all = readings(written);
            assert_eq!(all[0].text, written);
            let reading = all.iter().find(|reading| reading.text == read);
            let Some(reading) = reading else { panic!("{written}: {all:?}") };
            assert_eq!(reading.written(0..read.len()), 0..written.len(), "{written}");
            assert_eq!(reading.written(0..1).start, 0);
        }
        for plain in ["a b", "C:\\dir", "50 % of", "R&D", "x=1", "1 + 1", "v1.2e", "&phone=1"] {
            assert!(readings(plain).iter().skip(1).all(|reading| reading.text != plain), "{plain}");
        }
        assert_eq!(readings("nothing here").len(), 1);
    }

    #[test]
    fn the_number_of_readings_is_bounded() {
        let nested = "%25252525252540+&amp;amp;amp;#64;=3D3D\\\\\\\\u0040".repeat(1_000);
        assert!(readings(&nested).len() <= MAX_READINGS);
    }
}
