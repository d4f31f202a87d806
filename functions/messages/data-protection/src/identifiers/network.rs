//! `IpAddress`: IPv4 in four decimal parts, IPv6 in all forms of RFC 4291; without port, prefix length and zone.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::Find::Code;
use super::text::{Text, last_word};
use super::{Identifier, VERSION, identifier};

pub(super) const ROWS: &[Identifier] = &[identifier!(
    "IpAddress", Code(find), alone: true,
    // Words before an address, ours: AWS needs none. They matter where it has the form of something else.
    words: [&["ip", "address", "addresses", "addr", "host", "client", "server", "from", "source", "src", "dst", "network", "netmask", "remote"]],
    // ::
    min: 2,
    found: [
        "«192.0.2.1»", "«2001:db8::1»", "[example.com/«203.0.113.34»] failed", "mail.example.com[«2001:db8::1»]", "host[«2001:db8::1»]:25",
        "x[«2001:db8:5:1:2:3:4:9»]", "fw «203.0.113.9» deny tcp", "driver: «10.1.2.3»", "release «10.0.0.5»", "table «203.0.113.9»",
        "host-«203.0.113.9»", "node_«203.0.113.9»", "tcp/«203.0.113.9»", "«10.0.0.5»-db.log", "«203.0.113.9»_backup.tar",
        "{\"clientIp\":\"«1.0.0.0»\"}", "{\"ip\":{\"v4\":\"«1.0.0.0»\"}}", "«203.0.113.9»port443", "ip«203.0.113.9»", "?ip%3D«203.0.113.9»",
        "%ASA-4-106023: Deny tcp src outside:«203.0.113.9»/4242", "openssl-«10.20.30.40»",
        "dns.google/«8.8.8.8»:53", "fw «8.8.8.8» deny udp", "host-«9.8.7.6» is down", "tcp/«8.8.8.8»", "UDP/«8.8.8.8»", "web_«8.8.8.8»",
        "addr:«2001:db8:7::5»", "Host:«2001:db8:7::5»", "source:«2001:db8:7::5»", "IP «198.51.100.23».443 > 10.", "x > «10.0.0.5».52044: Flags",
        "IP6 «2001:db8::5».443 > x", "{\"clientIp\":\"«198.51.100.23»-dev\"}", "«198.51.100.23»-linux", "ip.dst==«198.51.100.23»",
        "ip.dst==«8.8.8.8»", "tcp and ip.dst!=«198.51.100.23»", "app.«198.51.100.23».nip.io", "peer \u{1B}[32m«198.51.100.23»\u{1B}[0m up",
    ],
    left: [
        "{\"version\":\"1.2.3.4\"}", "{\"version\":[\"12.1.0.2\"]}", "zlib1g (>= 1:1.2.3.4)", "x[1::2]", "Chrome/124.0.6367.60",
        "v1.2.3.4", "1.2.3.4-beta", "openssl-1.2.3.4", "256.1.1.1", "1.2.3.4.5", "00:1A:2B:3C:4D:5E", "std::vector", "12:34:56",
        "Chrome/124.0.0.0", "release 1.2.3.4", "12.1.0.2_amd64", "1.2.3.4rc1",
        "opencv-python==4.10.0.84", "1.0.0-preview.1.19.50.25", "Mozilla/1.2.3.4", "python-1.2.3.4", "libfoo_1.2.3.4", "std::dec::1",
        "1.2.3.4.5 -> 1.2.3.4.6", "1.3.6.1.4.1", "14:23:45.123",
    ],
)];

/// The longest IPv6 address: eight groups of four digits, or six and an IPv4 address.
const MAX_V6_LENGTH: usize = 45;
const MAX_V4_LENGTH: usize = 15;

/// Words after which four numbers with dots are a version, whatever they are.
const VERSION_WORDS: [&str; 4] = ["v", "ver", "versions", "vers"];

/// Words after which four numbers of one digit each, or two numbers and two zeros, are a version or the number of a
/// section: an address after one of them is likelier in a log.
const WEAK_WORDS: [&str; 23] = [
    "rel",
    "release",
    "releases",
    "build",
    "firmware",
    "revision",
    "rev",
    "patch",
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
    "appendix",
    "annex",
    "article",
    "step",
    "oid",
];

/// What behind four numbers says that they are a version: `1.2.3.4-beta`, `1.2.3.4_amd64`, `1.2.3.4rc1`. The names of
/// files, as in `10.0.0.5-db.log`, say nothing.
const VERSION_ENDINGS: [&str; 26] = [
    "a", "b", "rc", "alpha", "beta", "pre", "preview", "dev", "post", "final", "ga", "snapshot", "release", "build",
    "p", "r", "patch", "sp", "amd", "arm", "x", "i", "aarch", "noarch", "win", "linux",
];

/// Names of programs, in front of whose versions a slash, a dash or an underscore is written. Besides these, all that begin
/// with `lib`, and before a slash all that begin with one capital letter.
const PROGRAMS: [&str; 40] = [
    "apache",
    "boto",
    "chrome",
    "chromium",
    "curl",
    "docker",
    "edge",
    "electron",
    "firefox",
    "git",
    "gcc",
    "go",
    "httpd",
    "java",
    "jdk",
    "jre",
    "kernel",
    "linux",
    "mariadb",
    "mysql",
    "nginx",
    "node",
    "nodejs",
    "npm",
    "okhttp",
    "openssh",
    "openssl",
    "oracle",
    "perl",
    "php",
    "pip",
    "postgres",
    "postgresql",
    "python",
    "redis",
    "ruby",
    "safari",
    "sqlite",
    "tomcat",
    "wget",
];

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
    let mut range = run;
    // A colon behind a word: `addr:2001:db8::5`. The word may end with letters that a group may have.
    let first = &bytes[range.clone()];
    if !text.begins_at(range.start) || (first.starts_with(b":") && !first.starts_with(b"::")) {
        range.start += first.iter().position(|byte| *byte == b':')? + 1;
    }
    if !text.begins_at(range.start) || !text.ends_at(range.end) {
        return None;
    }
    // The end of a sentence, or a colon as in `2001:db8::1: unreachable`.
    while range.len() > 2 && matches!(bytes[range.end - 1], b'.' | b':') && bytes[range.end - 2] != b':' {
        range.end -= 1;
    }
    if range.len() > MAX_V6_LENGTH {
        return None;
    }
    let mut address = std::str::from_utf8(&bytes[range.clone()]).ok()?;
    if address.parse::<Ipv6Addr>().is_err() {
        // With a port, as tcpdump writes it: 2001:db8::5.443.
        address = address.rsplit_once('.').filter(|(_, port)| is_port(port.as_bytes()))?.0;
        address.parse::<Ipv6Addr>().ok()?;
        range.end = range.start + address.len();
    }
    // `::` parts names in many languages, and `face::cafe` may be one; `[1::2]` after a name is a slice of Python's.
    let no_digit = !address.bytes().any(|byte| byte.is_ascii_digit());
    let is_any = address == "::" && (range == (0..bytes.len()) || is_called_address(text, range.start));
    let groups = address.split(':').filter(|group| !group.is_empty()).count();
    if (no_digit && !is_any) || is_hardware_address(address) || (groups < 3 && is_slice(text, range.start)) {
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
        end = without_port(text, start..end);
        while covered.peek().is_some_and(|index| found[*index].end <= start) {
            covered.next();
        }
        let is_covered = covered.peek().is_some_and(|index| found[*index].start <= start && end <= found[*index].end);
        if !is_covered && is_v4(text, &(start..end)) {
            found.push(start..end);
        }
    }
}

/// Where the address ends that has its port behind a fifth dot, as in tcpdump's `IP 198.51.100.23.443 > 10.0.0.5.52044:`.
fn without_port(text: &Text<'_>, range: Range<usize>) -> usize {
    let bytes = text.bytes;
    let mut groups = bytes[range.clone()].rsplit(|byte| *byte == b'.');
    let port = groups.next().filter(|port| is_port(port));
    let is_traffic = || {
        bytes[..range.start].ends_with(b" > ")
            || bytes[range.end..].starts_with(b" > ")
            || is_called_address(text, range.start)
    };
    match port {
        Some(port) if groups.count() == 4 && is_traffic() => range.end - port.len() - 1,
        _ => range.end,
    }
}

fn is_port(digits: &[u8]) -> bool {
    (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

fn is_v4(text: &Text<'_>, range: &Range<usize>) -> bool {
    if range.len() > MAX_V4_LENGTH || !begins(text, range.start) || !text.ends_digits_at(range.end) {
        return false;
    }
    let Some(address) = parsed(&text.bytes[range.clone()]) else { return false };
    // 0.1.2.3 is the version of something young: of "this network" only 0.0.0.0 is in use.
    let is_in_use = address.octets()[0] != 0 || address.is_unspecified() || is_called_address(text, range.start);
    is_in_use && !is_version(text, range, address)
}

/// Behind letters only where they say that an address follows: `ip203.0.113.9`, not `libfoo1.2.3.4`.
fn begins(text: &Text<'_>, start: usize) -> bool {
    text.begins_at(start) || is_address_word(last_word(&text.bytes[..start]))
}

fn is_address_word(word: &[u8]) -> bool {
    ["ip", "addr", "address", "host", "from", "src", "dst"]
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether the word right before, or a key of the path, says that an address follows.
fn is_called_address(text: &Text<'_>, start: usize) -> bool {
    let word = text.word_before(start);
    is_address_word(word)
        || ["addresses", "client", "server", "source", "network", "netmask", "remote"]
            .iter()
            .any(|called| word.eq_ignore_ascii_case(called.as_bytes()))
        || [&b"Ip"[..], b"IP", b"Address", b"Host"].iter().any(|called| word.ends_with(called))
        || (text.path_has(text.bit) && !text.path_has(VERSION))
}

/// Four numbers up to 255, without zeros before them; or all of three digits, as in `192.168.001.010`.
fn parsed(bytes: &[u8]) -> Option<Ipv4Addr> {
    let mut parts = [0; 4];
    let mut groups = bytes.split(|byte| *byte == b'.');
    let filled = bytes.len() == MAX_V4_LENGTH;
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
///
/// A doubtful address is masked: only the word version, an operator of packages, an ending of versions, or a form that
/// addresses seldom have excuses one. `openssl-1.2.3.4` has four numbers of one digit, as versions have, and
/// `host-203.0.113.9` has not.
fn is_version(text: &Text<'_>, range: &Range<usize>, address: Ipv4Addr) -> bool {
    let (before, after) = (text.before(range.start), text.get(range.end));
    let letter =
        |index: Option<usize>| index.and_then(|index| text.get(index)).is_some_and(|byte| byte.is_ascii_alphabetic());
    let two_before = range.start.checked_sub(2);
    if is_called_address(text, range.start) {
        return false;
    }
    // 12.1.0.2_amd64, but not 198.51.100.23-linux
    let octets = address.octets();
    if octets.iter().filter(|octet| **octet > 9).count() <= 1 && has_version_ending(text, range.end) {
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
    let like_a_release = octets[2..] == [0, 0];
    let like_a_version = like_a_release || octets.iter().all(|octet| *octet < 10);
    // package==1.2.3.4, >=1.2.3.4, ~>1.2.3.4, ^1.2.3.4, (>= 1:1.2.3.4)
    let after_operator = match before {
        Some(b'=') => matches!(two_before.and_then(|index| text.get(index)), Some(b'=' | b'>' | b'<' | b'~' | b'!')),
        Some(b'^' | b'~') => true,
        Some(b'>') => matches!(two_before.and_then(|index| text.get(index)), Some(b'~')),
        Some(b' ' | b':') => after_comparison(text, range.start),
        // beta.1.2.3.4, 1.0.0-preview.1.19.50.25
        Some(b'.') => is_version_word(text.word_before(range.start)),
        _ => false,
    };
    if after_operator {
        // Filters compare addresses, whose numbers are larger: ip.dst==198.51.100.23.
        let is_large = octets.iter().filter(|octet| **octet > 99).count() > 1;
        return (!local && !is_large) || like_a_release;
    }
    let ambiguous = match before {
        // Chrome/124.0.0.0, but also web-1/10.0.0.5 as Java writes an address, and the path of a URL.
        Some(b'/') => letter(two_before) && !is_path(text, range.start - 1),
        // openssl-1.2.3.4, python_1.2.3.4
        Some(b'-' | b'_') => letter(two_before),
        _ => false,
    };
    if ambiguous {
        return like_a_version && follows_program(text, range.start - 1);
    }
    // As 2.0.0.0, the version of an assembly; with a prefix length it is a network.
    let [first, rest @ ..] = octets;
    if rest == [0, 0, 0] && !matches!(first, 0 | 10 | 127) && after != Some(b'/') {
        return true;
    }
    let word = text.word_before(range.start);
    let ends_like =
        |ending: &[u8]| word.len() >= ending.len() && word[word.len() - ending.len()..].eq_ignore_ascii_case(ending);
    ends_like(b"version")
        || is_one_of(&VERSION_WORDS, word)
        || (like_a_version && WEAK_WORDS.iter().any(|weak| word.eq_ignore_ascii_case(weak.as_bytes())))
        || (range.start <= 1 && text.path_has(VERSION))
}

fn is_one_of(words: &[&str], word: &[u8]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

fn is_version_word(word: &[u8]) -> bool {
    is_one_of(&VERSION_WORDS, word) || is_one_of(&VERSION_ENDINGS, word)
}

/// Whether the name of a program is right before this slash, dash or underscore.
fn follows_program(text: &Text<'_>, joint: usize) -> bool {
    let word = last_word(&text.bytes[..joint]);
    let is_capital = text.bytes[joint] == b'/'
        && matches!(word, [first, second, ..] if first.is_ascii_uppercase() && second.is_ascii_lowercase())
        && !is_address_word(word);
    is_capital || word.starts_with(b"lib") || is_one_of(&PROGRAMS, word)
}

/// Whether an ending of versions is here, behind a dash, a plus, an underscore or nothing.
fn has_version_ending(text: &Text<'_>, end: usize) -> bool {
    let joint = usize::from(matches!(text.get(end), Some(b'-' | b'+' | b'_')));
    let word = text.bytes.get(end + joint..).unwrap_or_default();
    let letters = word.iter().take(12).take_while(|byte| byte.is_ascii_alphabetic()).count();
    // Build metadata, as in 1.2.3.4+build.5.
    (text.get(end) == Some(b'+') && letters > 0)
        || VERSION_ENDINGS.iter().any(|ending| word[..letters].eq_ignore_ascii_case(ending.as_bytes()))
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
