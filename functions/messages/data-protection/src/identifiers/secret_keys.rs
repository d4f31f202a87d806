//! `AwsSecretKey`: 40 characters of base64 that look random.
//!
//! The entropy tells a key from a path or a name: 40 random characters of base64 have 4.3 bits a character or more in
//! all but one of a thousand cases. Hashes in hex have at most 4.0.

use std::ops::Range;

use super::Find::Code;
use super::text::Text;
use super::{Identifier, identifier};

pub(super) const ROWS: &[Identifier] = &[identifier!(
    "AwsSecretKey", Code(find), alone: true,
    words: [&[
        "aws_secret_access_key", "credentials", "secret access key", "secret key", "set-awscredential",
        // Abbreviations of these.
        "credential", "secret", "aws sec", "awscredential",
    ]], min: 40,
    found: [
        "«wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»", "key=«wJalrXUtnFEMI%2FK7MDENG%2FbPxRfiCYEXAMPLEKEY»",
        "{\"credentials\":{\"aws\":{\"key\":\"«abcdABCD0123efghabcdABCD0123efghabcdABCD»\"}}}",
    ],
    left: ["da39a3ee5e6b4b0d3255bfef95601890afd80709", "AmazonSSMManagedEC2InstanceDefaultPolicy", "{\"key\":\"abcdABCD0123efghabcdABCD0123efghabcdABCD\"}"],
)];

const LENGTH: usize = 40;
/// Bits a character.
const RANDOM: f64 = 4.25;
/// Where a word near it says what it is.
const RANDOM_ENOUGH: f64 = 3.5;

pub(crate) fn find(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let in_run = |byte: u8| is_base64(byte) || byte == b'=' || byte == b'-' || byte == b'_';
    let mut index = 0;
    // A run of 40 characters has one of them at every 40th place.
    while let Some(byte) = text.bytes.get(index + LENGTH - 1) {
        if !is_base64(*byte) {
            index += LENGTH;
            continue;
        }
        let place = index + LENGTH - 1;
        let before = text.bytes[index..place].iter().rev().take_while(|byte| is_base64(**byte)).count();
        let after = text.bytes[place..].iter().take_while(|byte| is_base64(**byte)).count();
        let range = place - before..place + after;
        let length = range.len();
        index = range.end;
        let before = text.before(range.start).filter(|byte| *byte != b'=');
        let after = text.get(range.end);
        let dotted = |at: Option<u8>, next: Option<u8>| at == Some(b'.') && next.is_some_and(is_base64);
        // A part of a longer token, such as a JSON Web Token or base64url.
        let part = before.is_some_and(in_run)
            || after.is_some_and(in_run)
            || dotted(before, range.start.checked_sub(2).and_then(|index| text.get(index)))
            || dotted(after, text.get(range.end + 1));
        if length == LENGTH && !part && is_key(text, &range) {
            found.push(range);
        } else if length == LENGTH + 1 && text.bytes[range.start] == b'n' && text.before(range.start) == Some(b'\\') {
            // The letter of an escaped line end.
            let range = range.start + 1..range.end;
            if !after.is_some_and(in_run) && is_key(text, &range) {
                found.push(range);
            }
        }
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn is_key(text: &Text<'_>, range: &Range<usize>) -> bool {
    let key = &text.bytes[range.clone()];
    let has = |test: fn(&u8) -> bool| key.iter().any(test);
    if !has(u8::is_ascii_uppercase) || !has(u8::is_ascii_lowercase) || !has(u8::is_ascii_digit) {
        return false;
    }
    let bits = entropy(key);
    (bits >= RANDOM && !is_name(key)) || (bits >= RANDOM_ENOUGH && text.has_keyword(range))
}

/// Whether these are words of a name, as in `AmazonSSMManagedEC2InstanceDefaultPolicy`: one digit at most, and six small
/// letters in a row. Of random keys, one in a thousand is like it.
fn is_name(key: &[u8]) -> bool {
    key.iter().filter(|byte| byte.is_ascii_digit()).count() <= 1
        && key.windows(6).any(|letters| letters.iter().all(u8::is_ascii_lowercase))
}

/// Shannon's entropy, in bits a character.
fn entropy(key: &[u8]) -> f64 {
    let mut counts = [0_u8; 128];
    for byte in key {
        counts[usize::from(*byte)] += 1;
    }
    let length = f64::from(u8::try_from(key.len()).unwrap_or(u8::MAX));
    let share = |count: &u8| f64::from(*count) / length;
    -counts.iter().filter(|count| **count > 0).map(share).map(|share| share * share.log2()).sum::<f64>()
}
