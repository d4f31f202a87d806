//! A text as the detectors of managed identifiers read it: one byte for each character.
//!
//! Digits of every script become `0` to `9`, and the many dashes and spaces of Unicode become one dash and one space.
//! Characters that cannot be seen are left out, and so are the colours of a terminal. So the detectors find `４５３９ ８９４４ ５８０８ ６４５９` as they find `4539 8944 5808 6459`, and need no Unicode.

use std::borrow::Cow;
use std::ops::Range;

/// A letter outside ASCII of a script that puts spaces between words.
pub(crate) const LETTER: u8 = 0x80;
/// A letter of a script without spaces between words: Chinese, Japanese, Korean and those above them.
pub(crate) const IDEOGRAPH: u8 = 0x81;
/// Any other character outside ASCII.
pub(crate) const OTHER: u8 = 0x82;
/// An accent that is written as a character of its own, among the letters of words.
pub(crate) const ACCENT: u8 = 0xFF;

const ESCAPE: u8 = 0x1B;
/// The most characters of a control sequence that say what it does: those of a colour have 19 at most.
const MAX_SEQUENCE: usize = 32;

/// The first digit of each script that has decimal digits, which follow each other everywhere.
///
/// Source: Unicode Character Database, general category Nd.
const ZEROS: [char; 43] = [
    '\u{660}',
    '\u{6F0}',
    '\u{7C0}',
    '\u{966}',
    '\u{9E6}',
    '\u{A66}',
    '\u{AE6}',
    '\u{B66}',
    '\u{BE6}',
    '\u{C66}',
    '\u{CE6}',
    '\u{D66}',
    '\u{DE6}',
    '\u{E50}',
    '\u{ED0}',
    '\u{F20}',
    '\u{1040}',
    '\u{1090}',
    '\u{17E0}',
    '\u{1810}',
    '\u{1946}',
    '\u{19D0}',
    '\u{1A80}',
    '\u{1A90}',
    '\u{1B50}',
    '\u{1BB0}',
    '\u{1C40}',
    '\u{1C50}',
    '\u{A620}',
    '\u{A8D0}',
    '\u{A900}',
    '\u{A9D0}',
    '\u{A9F0}',
    '\u{AA50}',
    '\u{ABF0}',
    '\u{FF10}',
    '\u{1D7CE}',
    '\u{1D7D8}',
    '\u{1D7E2}',
    '\u{1D7EC}',
    '\u{1D7F6}',
    '\u{1E950}',
    '\u{1FBF0}',
];

/// The text, and where each of its bytes was. Characters that cannot be seen are left out.
#[derive(Debug)]
pub(crate) struct Folded<'a> {
    bytes: Cow<'a, [u8]>,
    /// The same characters for [`crate::words`]; `None` for ASCII.
    letters: Option<Vec<u8>>,
    /// Where each character is in the text. `None` for ASCII, where nothing moves.
    spans: Option<Vec<(u32, u32)>>,
}

impl<'a> Folded<'a> {
    #[expect(clippy::cast_possible_truncation, reason = "a message has at most 256 KiB")]
    pub(crate) fn new(text: &'a str) -> Self {
        if text.is_ascii() && memchr::memchr(ESCAPE, text.as_bytes()).is_none() {
            return Self { bytes: Cow::Borrowed(text.as_bytes()), letters: None, spans: None };
        }
        let mut bytes = Vec::with_capacity(text.len());
        let mut letters = Vec::with_capacity(text.len());
        let mut spans = Vec::with_capacity(text.len());
        let mut shown = 0;
        for (start, character) in text.char_indices() {
            if start < shown || is_invisible(character) {
                continue;
            }
            let sequence = control_sequence(&text.as_bytes()[start..]);
            if sequence > 0 {
                shown = start + sequence;
                continue;
            }
            let byte = folded(character);
            bytes.push(byte);
            letters.push(if byte.is_ascii() { byte } else { letter(character) });
            spans.push((start as u32, (start + character.len_utf8()) as u32));
        }
        Self { bytes: Cow::Owned(bytes), letters: Some(letters), spans: Some(spans) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The characters as the words near a value are compared.
    pub(crate) fn letters(&self) -> &[u8] {
        self.letters.as_deref().unwrap_or(&self.bytes)
    }

    /// The range in the text, in bytes.
    pub(crate) fn range_in_text(&self, range: Range<usize>) -> Range<usize> {
        match &self.spans {
            Some(spans) if !range.is_empty() => spans[range.start].0 as usize..spans[range.end - 1].1 as usize,
            _ => range,
        }
    }
}

/// How long the control sequence of a terminal is that begins here, such as a colour; 0 where there is none.
///
/// Source: ECMA-48, section 5.4.
fn control_sequence(bytes: &[u8]) -> usize {
    let Some(rest) = bytes.strip_prefix(&[ESCAPE, b'[']) else { return 0 };
    let inside = rest.iter().take(MAX_SEQUENCE).take_while(|byte| (b' '..=b'?').contains(byte)).count();
    if rest.get(inside).is_some_and(|last| (b'@'..=b'~').contains(last)) { inside + 3 } else { 0 }
}

/// Whether a character takes no room: readers do not see it, and copying from PDFs, chats and pages brings it along.
///
/// Source: Unicode Character Database, `Default_Ignorable_Code_Point` and general category Cf.
fn is_invisible(character: char) -> bool {
    if character < '\u{AD}' {
        return false;
    }
    matches!(
        character,
        '\u{AD}'
            | '\u{34F}'
            | '\u{600}'..='\u{605}'
            | '\u{61C}'
            | '\u{6DD}'
            | '\u{70F}'
            | '\u{890}'..='\u{891}'
            | '\u{8E2}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}'
            | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFFB}'
            | '\u{110BD}'
            | '\u{110CD}'
            | '\u{13430}'..='\u{1343F}'
            | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}'
    )
}

fn folded(character: char) -> u8 {
    if let Ok(byte) = u8::try_from(character)
        && byte.is_ascii()
    {
        return byte;
    }
    match character {
        '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' => b' ',
        '\u{85}' | '\u{2028}' | '\u{2029}' => b'\n',
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' => b'-',
        '\u{B7}' | '\u{2022}' | '\u{2024}' | '\u{2027}' | '\u{2219}' | '\u{22C5}' | '\u{30FB}' | '\u{3002}' => b'.',
        '\u{2019}' | '\u{2BC}' => b'\'',
        // The full-width forms of ASCII. Their digits are among ZEROS too, but are met here first.
        #[expect(clippy::cast_possible_truncation, reason = "0x21 to 0x7E")]
        '\u{FF01}'..='\u{FF5E}' => (character as u32 - 0xFF01 + 0x21) as u8,
        _ => match digit(character) {
            Some(digit) => digit,
            None if is_mark(character) => LETTER,
            None if !character.is_alphabetic() => OTHER,
            None if character < '\u{2E80}' => LETTER,
            None => IDEOGRAPH,
        },
    }
}

/// A letter as words are compared: one of the Latin alphabet without its accent, any other as one byte of its own, small
/// and large alike. An accent by itself is [`ACCENT`], what is no letter 0.
pub(crate) fn letter(character: char) -> u8 {
    if character.is_ascii() {
        return character as u8;
    }
    if matches!(character, '\u{300}'..='\u{36F}') {
        return ACCENT;
    }
    if !character.is_alphabetic() {
        return folded(character).min(0x7F) & if folded(character).is_ascii() { 0x7F } else { 0 };
    }
    if let Some(base) = base_letter(character) {
        return base;
    }
    let small = match character.to_lowercase().next().unwrap_or(character) {
        // Greek, whose capitals are written without accents, and its other sigma.
        'ά' => 'α',
        'έ' => 'ε',
        'ή' => 'η',
        'ί' => 'ι',
        'ό' => 'ο',
        'ύ' => 'υ',
        'ώ' => 'ω',
        'ς' => 'σ',
        small => small,
    };
    // 126 values: a collision needs a whole word of them.
    let value = (small as u32 % 126) as u8;
    0x80 + value
}

/// The letter of ASCII under an accent, for the Latin alphabets.
///
/// Source: Unicode Character Database, the decompositions of U+00C0 to U+017F, U+0218 to U+021B.
fn base_letter(character: char) -> Option<u8> {
    const LATIN_1: &[u8; 64] = b"AAAAAAACEEEEIIIIDNOOOOO*OUUUUYTsaaaaaaaceeeeiiiidnooooo*ouuuuyty";
    const EXTENDED_A: &[u8; 128] = b"AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIiJjJjKkkLlLlLlLlLlNnNnNnnNnOoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";
    let place = character as usize;
    match place {
        0xC0..=0xFF => Some(LATIN_1[place - 0xC0]).filter(|byte| *byte != b'*'),
        0x100..=0x17F => Some(EXTENDED_A[place - 0x100]),
        0x218 => Some(b'S'),
        0x219 => Some(b's'),
        0x21A => Some(b'T'),
        0x21B => Some(b't'),
        _ => None,
    }
}

/// Whether this is a mark that is written with the letter before it, and that `char::is_alphabetic` leaves out: accents,
/// and nukta and virama of the scripts of India, whose blocks of 128 characters are laid out alike.
///
/// Source: Unicode Character Database, general category Mn.
fn is_mark(character: char) -> bool {
    let in_block = character as u32 & 0x7F;
    match character {
        '\u{300}'..='\u{36F}' | '\u{DCA}' => true,
        '\u{900}'..='\u{D7F}' => in_block == 0x3C || in_block == 0x4D,
        _ => false,
    }
}

fn digit(character: char) -> Option<u8> {
    let after = ZEROS.partition_point(|zero| *zero <= character);
    let zero = *ZEROS.get(after.checked_sub(1)?)?;
    let value = u8::try_from(character as u32 - zero as u32).ok()?;
    (value < 10).then(|| b'0' + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_one_byte() {
        let text = "a1\u{A0}é４\u{2013}漢\u{1D7D9}€";
        let folded = Folded::new(text);
        assert_eq!(folded.bytes(), [b'a', b'1', b' ', LETTER, b'4', b'-', IDEOGRAPH, b'1', OTHER]);
        assert_eq!(&text[folded.range_in_text(4..5)], "４");
        assert_eq!(folded.range_in_text(0..9), 0..text.len());
        assert_eq!(Folded::new("abc").range_in_text(1..2), 1..2);
    }

    #[test]
    fn marks_are_of_the_letter_before_them() {
        for character in ['\u{301}', '\u{94D}', '\u{93C}', '\u{BCD}', '\u{DCA}'] {
            assert_eq!(folded(character), LETTER, "{character}");
        }
        for character in ['\u{964}', '\u{9F3}', '\u{3C9}', '\u{E3F}'] {
            assert_eq!(folded(character) == LETTER, character.is_alphabetic(), "{character}");
        }
    }

    #[test]
    fn digits_of_every_script_are_digits() {
        assert!(ZEROS.is_sorted());
        for zero in ZEROS {
            for value in 0..10_u8 {
                let character = char::from_u32(zero as u32 + u32::from(value)).unwrap();
                assert_eq!(folded(character), b'0' + value, "{character}");
                assert!(character.is_numeric(), "{character}");
            }
        }
        for character in ['²', '½', '①', '\u{65F}', '\u{66A}', 'Ⅷ'] {
            assert!(!folded(character).is_ascii_digit(), "{character}");
        }
    }
}
