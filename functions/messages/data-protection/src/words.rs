//! The words near a value: found as whole words in text and keys, however they are joined.
//!
//! `social security` is in `Social Security`, `social_security`, `socialSecurity` and `socialsecurity`; `ssn` is in
//! `employeeSsn` and in none of `addressNumber`, `classname`.
//!
//! Source: SNS Developer Guide, "Using managed data identifiers", "Keyword requirements": keywords are not
//! case-sensitive; one with a space also matches without it, and with `_` or `-` in its place.

use std::ops::Range;

use crate::normalize::{ACCENT, Folded, letter};

/// How far from a value a word counts as being near it, in characters.
///
/// Source: Macie User Guide, "Keyword requirements", whose managed identifiers are of the same family.
pub(crate) const PROXIMITY: usize = 30;

/// What is kept of a key, in bytes: more than a keyword has, or a word before a value.
const MAX_KEY: usize = 128;

/// The end of a key: what may be a part of a keyword with the key below it, or the word before a value.
pub(crate) fn tail(key: &str) -> &str {
    &key[key.ceil_char_boundary(key.len().saturating_sub(MAX_KEY))..]
}

/// What may be written right behind a keyword: `phoneno`, `ssns`.
const ENDINGS: [&[u8]; 9] = [b"s", b"no", b"nr", b"num", b"number", b"numbers", b"numero", b"nummer", b"id"];

/// The identifiers that a word belongs to: one bit each.
pub(crate) type Mask = u128;

/// A keyword in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) mask: Mask,
}

/// All keywords, as a tree of their letters.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    nodes: Vec<Node>,
    /// The node of each first letter, small or capital; 0 where no keyword begins with it.
    first: [u32; 256],
}

#[derive(Debug, Clone, Default)]
struct Node {
    mask: Mask,
    /// Whether words are parted before this letter.
    begins_word: bool,
    children: Vec<(u8, u32)>,
}

impl Words {
    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node::default()], first: [0; 256] }
    }

    /// Adds a keyword of the identifiers in `mask`.
    pub(crate) fn insert(&mut self, keyword: &str, mask: Mask) {
        let (mut node, mut before) = (0, 0);
        for character in keyword.chars() {
            let byte = letter(character).to_ascii_lowercase();
            if !is_word(byte) && !is_sign(byte) {
                before = byte;
                continue;
            }
            let begins_word = !is_word(before) || is_sign(byte) || before.is_ascii_digit() != byte.is_ascii_digit();
            before = byte;
            node = match self.nodes[node].children.iter().find(|(known, _)| *known == byte) {
                Some((_, child)) => *child as usize,
                None => {
                    let child = self.nodes.len();
                    #[expect(clippy::cast_possible_truncation, reason = "some thousand letters")]
                    self.nodes[node].children.push((byte, child as u32));
                    self.nodes.push(Node::default());
                    if node == 0 {
                        #[expect(clippy::cast_possible_truncation, reason = "some thousand letters")]
                        let child = child as u32;
                        self.first[usize::from(byte)] = child;
                        self.first[usize::from(byte.to_ascii_uppercase())] = child;
                    }
                    child
                }
            };
            self.nodes[node].begins_word |= begins_word;
        }
        self.nodes[node].mask |= mask;
    }

    /// The keywords in a text, in order of where they begin.
    pub(crate) fn hits(&self, letters: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        for (index, byte) in letters.iter().enumerate() {
            if self.first[usize::from(*byte)] != 0 && begins_word(letters, index) {
                self.hits_at(letters, index, &mut hits);
            }
        }
        hits
    }

    #[expect(clippy::cast_possible_truncation, reason = "a message has at most 256 KiB")]
    fn hits_at(&self, letters: &[u8], start: usize, hits: &mut Vec<Hit>) {
        let mut node = self.first[usize::from(letters[start])] as usize;
        let mut index = start + 1;
        let mut gap = 0;
        let mut length = 1;
        while let Some(byte) = letters.get(index) {
            let byte = byte.to_ascii_lowercase();
            if byte == ACCENT {
                index += 1;
                continue;
            }
            let child = self.nodes[node].children.iter().find(|(known, _)| *known == byte);
            if let Some((_, child)) = child
                && (gap == 0 || self.nodes[*child as usize].begins_word)
            {
                node = *child as usize;
                index += 1;
                length += 1;
                gap = 0;
                let mask = self.nodes[node].mask;
                let end = if mask == 0 {
                    None
                } else if ends_word(letters, index) {
                    Some(index)
                } else {
                    ending(letters, index).filter(|_| length > 2)
                };
                hits.extend(end.map(|end| Hit { start: start as u32, end: end as u32, mask }));
            } else if child.is_none() && matches!(byte, b' ' | b'_' | b'-' | b'.' | b'\'' | b'/' | b'+') && gap < 2 {
                index += 1;
                gap += 1;
            } else {
                return;
            }
        }
    }

    /// The identifiers whose keywords are in a key of a document, or in the name of an attribute.
    pub(crate) fn mask(&self, key: &str) -> Mask {
        self.hits(Folded::new(key).letters()).iter().fold(0, |mask, hit| mask | hit.mask)
    }
}

/// What keywords end with beside letters and digits: `ss#`, `dl:`.
fn is_sign(byte: u8) -> bool {
    matches!(byte, b'#' | b':')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// Whether a word begins here: also where large letters follow small ones, and letters digits.
fn begins_word(letters: &[u8], index: usize) -> bool {
    let byte = letters[index];
    if !is_word(byte) || byte == ACCENT {
        return false;
    }
    let Some(before) = index.checked_sub(1).map(|index| letters[index]) else { return true };
    if !is_word(before) || before.is_ascii_digit() != byte.is_ascii_digit() {
        return true;
    }
    byte.is_ascii_uppercase()
        && (before.is_ascii_lowercase() || letters.get(index + 1).is_some_and(u8::is_ascii_lowercase))
}

fn ends_word(letters: &[u8], index: usize) -> bool {
    index >= letters.len() || !is_word(letters[index]) || begins_word(letters, index)
}

/// Where one of the [`ENDINGS`] ends that begins here.
fn ending(letters: &[u8], index: usize) -> Option<usize> {
    let mut ends = ENDINGS.iter().map(|ending| (ending, index + ending.len()));
    let is_ending = |(ending, end): &(&&[u8], usize)| {
        letters.get(index..*end).is_some_and(|part| part.eq_ignore_ascii_case(ending)) && ends_word(letters, *end)
    };
    ends.find(is_ending).map(|(_, end)| end)
}

/// The identifiers with a keyword near this range. `hits` are in order of where they begin.
pub(crate) fn near(hits: &[Hit], range: &Range<usize>) -> Mask {
    let first = hits.partition_point(|hit| (hit.start as usize) + 2 * PROXIMITY + 30 < range.start);
    hits[first..]
        .iter()
        .take_while(|hit| hit.start as usize <= range.end + PROXIMITY)
        .filter(|hit| hit.end as usize + PROXIMITY >= range.start)
        .fold(0, |mask, hit| mask | hit.mask)
}

/// The identifiers with a keyword that ends right at `start`.
pub(crate) fn joined(hits: &[Hit], start: usize) -> Mask {
    let first = hits.partition_point(|hit| (hit.start as usize) + 60 < start);
    hits[first..]
        .iter()
        .take_while(|hit| (hit.start as usize) < start)
        .filter(|hit| hit.end as usize == start)
        .fold(0, |mask, hit| mask | hit.mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_words() {
        let mut words = Words::new();
        for (bit, keyword) in [
            "ssn",
            "social security",
            "ss#",
            "cell",
            "führerschein",
            "driver's license",
            "cvv2",
            "i.t.i.n.",
            "заметка",
            "dl:",
            "zip+4",
        ]
        .iter()
        .enumerate()
        {
            words.insert(keyword, 1 << bit);
        }
        for (text, expected) in [
            ("ssn", 1),
            ("employeeSsn", 1),
            ("employee_ssn", 1),
            ("SSN123", 1),
            ("SSNs", 1),
            ("ssnno", 1),
            ("theSSNNumber", 1),
            ("addressNumber", 0),
            ("className", 0),
            ("passNumber", 0),
            ("socialSecurityNumber", 2),
            ("Social-Security", 2),
            ("socialsecurity", 2),
            ("antisocial security", 0),
            ("SS# 1", 4),
            ("SS 1", 0),
            ("cancelled", 0),
            ("excellent", 0),
            ("cell", 8),
            ("FÜHRERSCHEIN", 16),
            ("fu\u{308}hrerschein", 16),
            ("fuhrerschein", 16),
            ("drivers license", 32),
            ("driver’s licenses", 32),
            ("CVV2", 64),
            ("cvv 2", 64),
            ("itin", 128),
            ("ITIN", 128),
            ("ЗАМЕТКА", 256),
            // Words are parted where the keyword has it.
            ("social. security", 2),
            ("so cial security", 0),
            ("ce_ll", 0),
            ("s-sn", 0),
            ("drivers_license", 32),
            ("ITIN, I.T.I.N.", 128),
            ("dl: 1", 512),
            ("DL :1", 512),
            ("dl", 0),
            ("dl=1", 0),
            ("zip+4", 1024),
            ("zip4", 1024),
        ] {
            assert_eq!(words.mask(text), expected, "{text}");
        }
    }

    #[test]
    fn a_word_is_near_within_thirty_characters() {
        let mut words = Words::new();
        words.insert("ssn", 1);
        for (gap, expected) in [(1, 1), (30, 1), (31, 0)] {
            let text = format!("ssn{}9", "-".repeat(gap));
            let hits = words.hits(text.as_bytes());
            assert_eq!(near(&hits, &(text.len() - 1..text.len())), expected, "{gap}");
            let text = format!("9{}ssn", "-".repeat(gap));
            let hits = words.hits(text.as_bytes());
            assert_eq!(near(&hits, &(0..1)), expected, "{gap}");
        }
    }
}
