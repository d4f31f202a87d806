//! What the detectors share: the text, its neighbourhoods, digits in groups.

use std::ops::Range;

use crate::normalize::IDEOGRAPH;
use crate::words::{Hit, Mask, joined, near};

/// The start and the end of a run of digits.
pub(crate) type Run = (u32, u32);

/// The runs of digits in a text.
#[expect(clippy::cast_possible_truncation, reason = "a message has at most 256 KiB")]
pub(crate) fn digit_runs(bytes: &[u8]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut index = 0;
    while let Some(start) = bytes[index..].iter().position(u8::is_ascii_digit).map(|offset| index + offset) {
        index = start + run(bytes, start);
        runs.push((start as u32, index as u32));
    }
    runs
}

/// Those runs where a phone number with a country code may begin: behind a plus or a bracket, or with two zeros.
pub(crate) fn marked_runs(bytes: &[u8], runs: &[Run]) -> Vec<Run> {
    let is_marked = |(start, _): &&Run| {
        let start = *start as usize;
        start > 0 && matches!(bytes[start - 1], b'+' | b'(') || bytes[start..].starts_with(b"00")
    };
    runs.iter().filter(is_marked).copied().collect()
}

/// Goes over the runs of digits, and leaves out those of what was found.
pub(crate) struct Runs<'a> {
    rest: std::slice::Iter<'a, Run>,
}

impl Runs<'_> {
    /// The next run that does not begin before `index`.
    pub(crate) fn next_from(&mut self, index: usize) -> Option<Range<usize>> {
        self.rest.by_ref().map(|(start, end)| *start as usize..*end as usize).find(|run| run.start >= index)
    }
}

/// A folded text, and the words in it and in the keys that lead to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) bytes: &'a [u8],
    /// The key of the JSON object, or the name of the message attribute; empty where there is none.
    pub(crate) name: &'a str,
    /// Where digits are, run by run: most detectors begin there, and the text is read for it once.
    pub(crate) runs: &'a [Run],
    /// Where a phone number with a country code may begin.
    pub(crate) marked: &'a [Run],
    /// The keywords in the text.
    pub(crate) hits: &'a [Hit],
    /// The identifiers with a keyword in the text.
    pub(crate) cued: Mask,
    /// The identifiers with a keyword in the path of keys.
    pub(crate) path: Mask,
    /// The identifier that is looked for.
    pub(crate) bit: Mask,
}

impl<'a> Text<'a> {
    pub(crate) fn get(&self, index: usize) -> Option<u8> {
        self.bytes.get(index).copied()
    }

    pub(crate) fn runs(&self) -> Runs<'a> {
        Runs { rest: self.runs.iter() }
    }

    pub(crate) fn marked_runs(&self) -> Runs<'a> {
        Runs { rest: self.marked.iter() }
    }

    /// Whether a keyword of the identifier is anywhere in the text, or in the path of keys.
    pub(crate) fn has_keyword_somewhere(&self) -> bool {
        (self.path | self.cued) & self.bit != 0
    }

    pub(crate) fn before(&self, index: usize) -> Option<u8> {
        index.checked_sub(1).map(|index| self.bytes[index])
    }

    /// Whether a keyword of the identifier is near, or in the path of keys.
    pub(crate) fn has_keyword(&self, range: &Range<usize>) -> bool {
        self.path & self.bit != 0 || (self.cued & self.bit != 0 && near(self.hits, range) & self.bit != 0)
    }

    /// Whether a word of `mask` is in the path of keys.
    pub(crate) fn path_has(&self, mask: Mask) -> bool {
        self.path & mask != 0
    }

    /// Whether a keyword of the identifier ends right here.
    pub(crate) fn follows_keyword(&self, index: usize) -> bool {
        self.cued & self.bit != 0 && joined(self.hits, index) & self.bit != 0
    }

    /// Whether no ASCII letter or digit stands right before: there a value can begin. A keyword may be joined to it.
    ///
    /// The letter of an escape does not count: in `\n4539…` of a text that was escaped once more, it is a new line.
    pub(crate) fn begins_at(&self, index: usize) -> bool {
        match self.before(index) {
            Some(b'n' | b'r' | b't') if index >= 2 && self.bytes[index - 2] == b'\\' => true,
            Some(byte) => !byte.is_ascii_alphanumeric() || self.follows_keyword(index),
            None => true,
        }
    }

    /// Whether no ASCII letter or digit stands right after: there a value can end.
    pub(crate) fn ends_at(&self, index: usize) -> bool {
        self.get(index).is_none_or(|byte| !byte.is_ascii_alphanumeric())
    }

    /// Whether no digit stands right after.
    pub(crate) fn ends_digits_at(&self, index: usize) -> bool {
        self.get(index).is_none_or(|byte| !byte.is_ascii_digit())
    }

    /// Whether a dot and a digit stand right before, or right after: then this is a part of a longer number. Not where
    /// only zeros follow, as behind a whole number that went through a float.
    pub(crate) fn goes_on_with_dot(&self, range: &Range<usize>) -> bool {
        let is_digit = |index: usize| self.get(index).is_some_and(|byte| byte.is_ascii_digit());
        let before = range.start >= 2 && self.bytes[range.start - 1] == b'.' && is_digit(range.start - 2);
        let after = self.get(range.end) == Some(b'.') && is_digit(range.end + 1);
        before || (after && !self.is_fraction_of_zeros(range.end))
    }

    /// Whether `.0`, `.00` and no more digits stand here.
    pub(crate) fn is_fraction_of_zeros(&self, dot: usize) -> bool {
        let zeros = self.bytes[dot + 1..].iter().take_while(|byte| **byte == b'0').count();
        let end = dot + 1 + zeros;
        let goes_on = self.get(end).is_some_and(|byte| byte.is_ascii_digit())
            || (self.get(end) == Some(b'.') && self.get(end + 1).is_some_and(|byte| byte.is_ascii_digit()));
        zeros > 0 && !goes_on
    }

    /// The word right before `index`: the letters, underscores and hyphens before spaces, quotes and `:=(#`. Where the
    /// text begins instead, the last word of the name.
    pub(crate) fn word_before(&self, index: usize) -> &'a [u8] {
        let gap = |byte: &u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b':' | b'=' | b'(' | b'[' | b'#' | b'.');
        let end = index - self.bytes[..index].iter().rev().take(6).take_while(|byte| gap(byte)).count();
        if end == 0 {
            return last_word(self.name.as_bytes());
        }
        last_word(&self.bytes[..end])
    }
}

/// The letters at the end, at most 24 of them.
pub(crate) fn last_word(bytes: &[u8]) -> &[u8] {
    let letters = bytes.iter().rev().take(24).take_while(|byte| byte.is_ascii_alphabetic()).count();
    &bytes[bytes.len() - letters..]
}

/// A character of a word: an ASCII letter or digit, or a letter of another script.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, crate::normalize::LETTER | IDEOGRAPH)
}

/// How many digits are here.
pub(crate) fn run(bytes: &[u8], start: usize) -> usize {
    bytes.get(start..).map_or(0, |bytes| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

/// How digits are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Separator {
    /// One to three spaces.
    Space,
    /// A dash, with or without spaces.
    Dash,
    /// A dot.
    Dot,
    /// A line break or a tab, with or without spaces, or the `> ` of a quoted mail: it can stand for any other.
    Line,
}

impl Separator {
    /// The separator at `start`, and where it ends. At most four characters.
    pub(crate) fn at(bytes: &[u8], start: usize) -> Option<(Self, usize)> {
        let mut separator = None;
        let mut end = start;
        while let Some(byte) = bytes.get(end) {
            let next = match byte {
                b' ' => Self::Space,
                b'-' => Self::Dash,
                b'.' => Self::Dot,
                b'\n' | b'\r' | b'\t' => Self::Line,
                b'>' if separator == Some(Self::Line) => Self::Line,
                _ => break,
            };
            separator = match (separator, next) {
                (None, next) => Some(next),
                (Some(Self::Dot), _) | (Some(_), Self::Dot) | (Some(Self::Dash), Self::Dash) => return None,
                (Some(Self::Dash), _) | (_, Self::Dash) => Some(Self::Dash),
                (Some(Self::Line), _) | (_, Self::Line) => Some(Self::Line),
                (Some(Self::Space), Self::Space) => Some(Self::Space),
            };
            end += 1;
            if end - start > 4 {
                return None;
            }
        }
        separator.map(|separator| (separator, end))
    }

    /// Whether both can separate the parts of one value.
    pub(crate) fn fits(self, other: Self) -> bool {
        self == other || self == Self::Line || other == Self::Line
    }
}
