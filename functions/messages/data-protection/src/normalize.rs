//! A text as the detectors of managed identifiers read it: one byte for each character.
//!
//! Digits of every script become `0` to `9`, and the many dashes and spaces of Unicode become one dash and one space.
//! So the detectors find `４５３９ ８９４４ ５８０８ ６４５９` as they find `4539 8944 5808 6459`, and need no Unicode.

use std::borrow::Cow;
use std::ops::Range;

/// A letter outside ASCII of a script that puts spaces between words.
pub(crate) const LETTER: u8 = 0x80;
/// A letter of a script without spaces between words: Chinese, Japanese, Korean and those above them.
pub(crate) const IDEOGRAPH: u8 = 0x81;
/// Any other character outside ASCII.
pub(crate) const OTHER: u8 = 0x82;

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

/// The text, and where each of its bytes was.
#[derive(Debug)]
pub(crate) struct Folded<'a> {
    bytes: Cow<'a, [u8]>,
    /// Where each character begins in the text, and where the text ends. `None` for ASCII, where nothing moves.
    starts: Option<Vec<usize>>,
}

impl<'a> Folded<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        if text.is_ascii() {
            return Self { bytes: Cow::Borrowed(text.as_bytes()), starts: None };
        }
        let mut bytes = Vec::with_capacity(text.len());
        let mut starts = Vec::with_capacity(text.len() + 1);
        for (start, character) in text.char_indices() {
            bytes.push(folded(character));
            starts.push(start);
        }
        starts.push(text.len());
        Self { bytes: Cow::Owned(bytes), starts: Some(starts) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The range in the text, in bytes.
    pub(crate) fn range_in_text(&self, range: Range<usize>) -> Range<usize> {
        match &self.starts {
            Some(starts) => starts[range.start]..starts[range.end],
            None => range,
        }
    }
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
        '\u{AD}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' => b'-',
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
        let folded = Folded::of(text);
        assert_eq!(folded.bytes(), [b'a', b'1', b' ', LETTER, b'4', b'-', IDEOGRAPH, b'1', OTHER]);
        assert_eq!(&text[folded.range_in_text(4..5)], "４");
        assert_eq!(folded.range_in_text(0..9), 0..text.len());
        assert_eq!(Folded::of("abc").range_in_text(1..2), 1..2);
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
