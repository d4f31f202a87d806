//! `EmailAddress`: what stands around an `@`.

use std::ops::Range;

use super::Find::Code;
use super::text::{Text, is_word};
use super::{Identifier, identifier};
use crate::normalize::IDEOGRAPH;

pub(super) const ROWS: &[Identifier] = &[identifier!(
    "EmailAddress", Code(find), alone: true,
    // a@b.de
    words: [], min: 6,
    found: ["«jane@example.com»", "mail=«jane@example.com»", "«jane.doe%40example.com»", "x?e=«jane.doe%2540example.com»&x", "Jane <«jane.doe@example.com»>", "«jane.doe&#64;example.com»"],
    left: ["getty@tty1.service", "user@1000.service failed", "@example.com", "jane@localhost", "icon@2x.png", "package@1.2.3", "a@b"],
)];

/// Source: RFC 5321, section 4.5.3.1: 64 octets before the `@`, 255 behind it.
const MAX_LOCAL_LENGTH: usize = 64;
const MAX_DOMAIN_LENGTH: usize = 255;
/// Source: RFC 1035, section 2.3.4.
const MAX_LABEL_LENGTH: usize = 63;

/// The last label of the names of images for screens of high resolution, as in `icon@2x.png`.
const IMAGES: [&[u8]; 6] = [b"png", b"jpg", b"jpeg", b"gif", b"webp", b"svg"];

/// The last label of the names of systemd's units, as in `getty@tty1.service`: none is a top-level domain.
const UNITS: [&[u8]; 6] = [b"service", b"socket", b"target", b"timer", b"mount", b"slice"];

/// Source: RFC 5321, section 4.5.3.1.3, without the angle brackets.
const MAX_LENGTH: usize = 254;

pub(crate) fn find(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let first = found.len();
    // Where the last address began and ended.
    let mut last: Range<usize> = 0..0;
    for at in memchr::memchr_iter(b'@', text.bytes) {
        let Some(end) = domain_end(text, at + 1) else { continue };
        let start = if text.before(at) == Some(b'"') {
            // "jane@example.com"@example.org is one address.
            quoted_start(text.bytes, at, last.start.saturating_sub(1))
        } else {
            let whole = is_whole(&text.bytes[..at]) && end == text.bytes.len();
            if whole { Some(0) } else { local_start(text, at, last.end) }
        };
        let Some(start) = start.filter(|start| end - start <= MAX_LENGTH) else { continue };
        if start < last.end && found.len() > first {
            found.pop();
        }
        found.push(start..end);
        last = start..end;
    }
}

/// A character of an unquoted local part. RFC 5322 allows `=&/?|{}*` and the backtick too; in messages these stand
/// around addresses: `mail=jane@example.com&cc=…`.
fn is_local(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'' | b'!' | b'#' | b'$' | b'^' | b'~')
}

/// Where the local part of the address with this `@` begins, not before `least`.
fn local_start(text: &Text<'_>, at: usize, least: usize) -> Option<usize> {
    let bytes = text.bytes;
    // No @ is a part of it: each search begins where the one before ended.
    let local = bytes[least..at].iter().rev().take_while(|byte| is_local(**byte)).count();
    let mut start = at - local;
    // After two dots a new word begins; before the @ there may be none.
    if let Some(dots) = bytes[start..at].windows(2).rposition(|pair| pair == b"..") {
        start += dots + 2;
    }
    let escaped = start >= 1 && bytes[start - 1] == b'\\' && matches!(bytes.get(start), Some(b'n' | b'r' | b't'));
    if escaped && at - start > 1 {
        start += 1;
    }
    let strange = |byte: &u8| !is_word(*byte) && !matches!(byte, b'_' | b'+');
    start += bytes[start..at].iter().take_while(|byte| strange(byte)).count();
    // Scripts without spaces run on into the address: 邮箱jane@example.com.
    let ideographs = bytes[start..at].iter().take_while(|byte| **byte == IDEOGRAPH).count();
    if start + ideographs < at {
        start += ideographs;
    }
    let length = at - start;
    (length > 0 && length <= MAX_LOCAL_LENGTH && bytes[at - 1] != b'.').then_some(start)
}

/// Whether all that stands before the `@` in the text is a local part, with whatever characters may be in one. Not `=`
/// and `/`, as in `mail=jane@example.com` and `users/jane@example.com`.
fn is_whole(local: &[u8]) -> bool {
    // Scripts without spaces run on into an address.
    let is_allowed = |byte: &u8| {
        (is_local(*byte) && *byte != IDEOGRAPH) || matches!(byte, b'|' | b'{' | b'}' | b'`' | b'*' | b'&' | b'?')
    };
    local.len() <= MAX_LOCAL_LENGTH
        && local.first().is_some_and(|byte| is_word(*byte))
        && local.last().is_some_and(|byte| is_word(*byte))
        && local.iter().all(is_allowed)
        && !local.windows(2).any(|pair| pair == b"..")
}

/// `"jane doe"@example.com`: where the quotation mark is. A mark behind a backslash is a part of it, unless both are
/// escaped, as in a text that was quoted once more.
fn quoted_start(bytes: &[u8], at: usize, least: usize) -> Option<usize> {
    let from = least.max((at - 1).saturating_sub(MAX_LOCAL_LENGTH));
    let inside = &bytes[from..at - 1];
    let is_escaped = |index: usize| index > 0 && bytes[index - 1] == b'\\';
    let both = is_escaped(at - 1);
    let quote = (0..inside.len()).rev().find(|index| inside[*index] == b'"' && is_escaped(from + index) == both)?;
    let length = inside.len() - quote - 1;
    let has_line = inside[quote..].iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    (length > 0 && !has_line).then_some(at - 1 - length - 1)
}

/// Where the domain that starts here ends: the last label that can be a top-level domain, or an address in brackets.
fn domain_end(text: &Text<'_>, start: usize) -> Option<usize> {
    let bytes = text.bytes;
    if text.get(start) == Some(b'[') {
        let inside = &bytes[start + 1..bytes.len().min(start + 64)];
        let end = inside.iter().position(|byte| *byte == b']')?;
        let address = std::str::from_utf8(&inside[..end]).ok()?;
        let address = address.strip_prefix("IPv6:").unwrap_or(address);
        return address.parse::<std::net::IpAddr>().is_ok().then_some(start + 1 + end + 1);
    }
    let name = &bytes[start..bytes.len().min(start + MAX_DOMAIN_LENGTH + 1)];
    let length = name.iter().take_while(|byte| is_word(**byte) || matches!(byte, b'.' | b'-' | b'_')).count();
    let mut end = None;
    let mut label_start = 0;
    for (labels, label) in name[..length].split(|byte| *byte == b'.').enumerate() {
        let good = !label.is_empty() && label.len() <= MAX_LABEL_LENGTH && !matches!(label[0], b'-' | b'_');
        if !good {
            break;
        }
        if labels > 0
            && let Some(top) = top_level(label)
        {
            end = Some(label_start + top);
        }
        // A label that ends with a dash is the last one that counts. With an underscore there are names of hosts, which
        // come first; behind them it is the name of a file, as in jane@example.com_2026.csv.
        if label.ends_with(b"-") || (labels > 0 && label.contains(&b'_')) {
            break;
        }
        label_start += label.len() + 1;
    }
    let end = end.filter(|end| *end <= MAX_DOMAIN_LENGTH)?;
    (!is_image(&name[..end]) && !is_unit(&name[..end])).then_some(start + end)
}

/// How many characters of the label are a top-level domain: two letters or more, or the form `xn--…`.
fn top_level(label: &[u8]) -> Option<usize> {
    if label.len() > 4 && label[..4].eq_ignore_ascii_case(b"xn--") {
        return Some(label.len());
    }
    let ascii = label.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    // Scripts without spaces run on after the address: jane@example.com联系.
    let top = match label.get(ascii) {
        Some(&IDEOGRAPH) if ascii >= 2 => ascii,
        _ => label.iter().take_while(|byte| byte.is_ascii_alphabetic() || (**byte >= 0x80 && is_word(**byte))).count(),
    };
    let ends = label.get(top).is_none_or(|byte| !byte.is_ascii_digit());
    (top >= 2 && ends).then_some(top)
}

/// `tty1.service`
fn is_unit(domain: &[u8]) -> bool {
    let last = domain.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    UNITS.iter().any(|unit| last.eq_ignore_ascii_case(unit))
}

/// `2x.png`
fn is_image(domain: &[u8]) -> bool {
    let Some(dot) = domain.iter().position(|byte| *byte == b'.') else { return false };
    let scale = matches!(&domain[..dot], [digit, b'x' | b'X'] if digit.is_ascii_digit());
    scale && IMAGES.iter().any(|image| domain[dot + 1..].eq_ignore_ascii_case(image))
}
