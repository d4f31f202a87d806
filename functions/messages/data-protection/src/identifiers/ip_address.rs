//! `IpAddress`: IPv4 in four decimal parts, IPv6 in all forms of RFC 4291; without port, prefix length and zone.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::text::Text;

/// The longest IPv6 address: eight groups of four digits, or six and an IPv4 address.
const LONGEST_V6: usize = 45;
const LONGEST_V4: usize = 15;

/// Words after which four numbers with dots are a version or a number of a section.
const VERSION_WORDS: [&str; 30] = [
    "v",
    "ver",
    "versions",
    "vers",
    "rel",
    "release",
    "releases",
    "build",
    "firmware",
    "fw",
    "revision",
    "rev",
    "patch",
    "driver",
    "bios",
    "sdk",
    "runtime",
    "section",
    "sec",
    "chapter",
    "clause",
    "paragraph",
    "figure",
    "fig",
    "table",
    "appendix",
    "annex",
    "article",
    "step",
    "oid",
];

/// Words before an address. They matter where it has the form of something else.
const ADDRESS_WORDS: [&str; 12] =
    ["ip", "address", "addresses", "addr", "host", "client", "server", "from", "source", "src", "network", "netmask"];

pub(crate) fn find(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let first = found.len();
    find_v6(text, found);
    let v6 = first..found.len();
    find_v4(text, v6, found);
    found[first..].sort_by_key(|range| range.start);
}

fn find_v6(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let in_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let mut from = 0;
    while let Some(colon) = memchr::memchr(b':', &text.bytes[from..]).map(|index| from + index) {
        let before = text.bytes[from..colon].iter().rev().take_while(|byte| in_address(byte)).count();
        let start = colon - before;
        let end = colon + text.bytes[colon..].iter().take_while(|byte| in_address(byte)).count();
        if let Some(range) = v6_in(text, start..end) {
            found.push(range);
        }
        from = end;
    }
}

/// The address in a run of the characters that addresses are made of.
fn v6_in(text: &Text<'_>, run: Range<usize>) -> Option<Range<usize>> {
    let bytes = text.bytes;
    if !text.begins_at(run.start) || text.before(run.start) == Some(b'_') || !text.ends_at(run.end) {
        return None;
    }
    let mut range = run;
    // The end of a sentence, or a colon as in `2001:db8::1: unreachable`.
    while range.len() > 2 && matches!(bytes[range.end - 1], b'.' | b':') && bytes[range.end - 2] != b':' {
        range.end -= 1;
    }
    if range.len() > LONGEST_V6 {
        return None;
    }
    let address = std::str::from_utf8(&bytes[range.clone()]).ok()?;
    address.parse::<Ipv6Addr>().ok()?;
    // `::` parts names in many languages, and `face::cafe` may be one; `[1::2]` after a name is a slice of Python's.
    let no_digit = !address.bytes().any(|byte| byte.is_ascii_digit());
    let is_any = address == "::" && (range == (0..bytes.len()) || is_called_address(text, range.start));
    if (no_digit && !is_any) || is_hardware_address(address) || is_slice(text, range.start) {
        return None;
    }
    Some(range)
}

/// Eight groups of two: EUI-64, or the World Wide Name of storage.
fn is_hardware_address(address: &str) -> bool {
    address.split(':').count() == 8 && address.split(':').all(|group| group.len() == 2)
}

fn is_slice(text: &Text<'_>, start: usize) -> bool {
    let after_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b')' | b']');
    text.before(start) == Some(b'[')
        && start.checked_sub(1).and_then(|index| text.before(index)).is_some_and(after_name)
}

fn find_v4(text: &Text<'_>, v6: Range<usize>, found: &mut Vec<Range<usize>>) {
    let bytes = text.bytes;
    let mut covered = v6.peekable();
    let mut from = 0;
    while let Some(dot) = memchr::memchr(b'.', &bytes[from..]).map(|index| from + index) {
        let digits = bytes[from..dot].iter().rev().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let start = dot - digits;
        from = dot + 1;
        if !(1..=3).contains(&digits) {
            continue;
        }
        let in_address = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        let mut end = start + bytes[start..].iter().take_while(|byte| in_address(byte)).count();
        from = end;
        if bytes[end - 1] == b'.' {
            end -= 1;
        }
        while covered.peek().is_some_and(|index| found[*index].end <= start) {
            covered.next();
        }
        let is_covered = covered.peek().is_some_and(|index| found[*index].start <= start && end <= found[*index].end);
        if !is_covered && is_v4(text, &(start..end)) {
            found.push(start..end);
        }
    }
}

fn is_v4(text: &Text<'_>, range: &Range<usize>) -> bool {
    if range.len() > LONGEST_V4 || !text.begins_at(range.start) || !text.ends_at(range.end) {
        return false;
    }
    let Some(address) = parsed(&text.bytes[range.clone()]) else { return false };
    // 0.1.2.3 is the version of something young: of "this network" only 0.0.0.0 is in use.
    let is_in_use = address.octets()[0] != 0 || address.is_unspecified() || is_called_address(text, range.start);
    is_in_use && !is_version(text, range, address)
}

/// Whether the word right before, or the name, says that an address follows.
fn is_called_address(text: &Text<'_>, start: usize) -> bool {
    let word = text.word_before(start);
    ADDRESS_WORDS.iter().any(|called| word.eq_ignore_ascii_case(called.as_bytes()))
        || [&b"Ip"[..], b"IP", b"Address", b"Host"].iter().any(|called| word.ends_with(called))
}

/// Four numbers up to 255, without zeros before them; or all of three digits, as in `192.168.001.010`.
fn parsed(bytes: &[u8]) -> Option<Ipv4Addr> {
    let mut parts = [0; 4];
    let mut groups = bytes.split(|byte| *byte == b'.');
    let filled = bytes.len() == LONGEST_V4;
    for part in &mut parts {
        let group = groups.next()?;
        if group.is_empty() || group.len() > 3 || (group.len() > 1 && group[0] == b'0' && !filled) {
            return None;
        }
        let value = group.iter().fold(0_u16, |value, digit| value * 10 + u16::from(digit - b'0'));
        *part = u8::try_from(value).ok()?;
    }
    groups.next().is_none().then(|| parts.into())
}

/// Whether what stands around the four numbers says that they are no address.
fn is_version(text: &Text<'_>, range: &Range<usize>, address: Ipv4Addr) -> bool {
    let (before, after) = (text.before(range.start), text.get(range.end));
    let letter =
        |index: Option<usize>| index.and_then(|index| text.get(index)).is_some_and(|byte| byte.is_ascii_alphabetic());
    let two_before = range.start.checked_sub(2);
    // 1.2.3.4-beta, 1.2.3.4+build, 1.2.3.4_amd64
    if matches!(after, Some(b'-' | b'+' | b'_')) && letter(Some(range.end + 1)) {
        return true;
    }
    // 12.1.0.2.v8
    if after == Some(b'.')
        && matches!(text.get(range.end + 1), Some(b'v' | b'V'))
        && text.get(range.end + 2).is_some_and(|byte| byte.is_ascii_digit())
    {
        return true;
    }
    let local = address.is_private() || address.is_loopback() || address.is_link_local();
    let like_a_release = address.octets()[2..] == [0, 0];
    let ambiguous = match before {
        // Chrome/124.0.0.0, but also web-1/10.0.0.5 as Java writes an address, and the path of a URL.
        Some(b'/') => letter(two_before) && !is_path(text, range.start - 1),
        // openssl-1.2.3.4, python_1.2.3.4, beta.1.2.3.4
        Some(b'-' | b'_' | b'.') => letter(two_before),
        // package==1.2.3.4, >=1.2.3.4, ~>1.2.3.4, ^1.2.3.4
        Some(b'=') => matches!(two_before.and_then(|index| text.get(index)), Some(b'=' | b'>' | b'<' | b'~' | b'!')),
        Some(b'^' | b'~') => true,
        Some(b'>') => matches!(two_before.and_then(|index| text.get(index)), Some(b'~')),
        // (>= 1:1.2.3.4)
        Some(b' ' | b':') => after_comparison(text, range.start),
        _ => false,
    };
    if ambiguous {
        return !local || like_a_release;
    }
    // As 2.0.0.0, the version of an assembly; with a prefix length it is a network.
    let [first, rest @ ..] = address.octets();
    if rest == [0, 0, 0] && !matches!(first, 0 | 10 | 127) && after != Some(b'/') {
        return true;
    }
    let word = text.word_before(range.start);
    let ends_like =
        |ending: &[u8]| word.len() >= ending.len() && word[word.len() - ending.len()..].eq_ignore_ascii_case(ending);
    ends_like(b"version")
        || VERSION_WORDS.iter().any(|version| word.eq_ignore_ascii_case(version.as_bytes()))
        || (range.start <= 1 && text.name_contains("version"))
}

/// Whether a comparison of versions is right before, as packages write their dependencies: `>= 1.2.3.4`, and with an
/// epoch `>= 2:1.2.3.4`. `==` compares addresses too, as in filters.
fn after_comparison(text: &Text<'_>, start: usize) -> bool {
    let bytes = &text.bytes[..start];
    let bytes = match bytes {
        [before @ .., epoch, b':'] if epoch.is_ascii_digit() => before,
        _ => bytes,
    };
    let spaces = bytes.iter().rev().take(2).take_while(|byte| **byte == b' ').count();
    let operator = bytes[..bytes.len() - spaces].last_chunk::<2>();
    operator.is_some_and(|operator| matches!(operator, b">=" | b"<=" | b"<<" | b">>" | b"~>" | b"~="))
}

/// Whether the word before this slash is itself after a slash, as in `https://example.com/hosts/192.0.2.1`.
fn is_path(text: &Text<'_>, slash: usize) -> bool {
    let word = text.bytes[..slash]
        .iter()
        .rev()
        .take(64)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let start = slash - word.count();
    text.before(start) == Some(b'/')
}
