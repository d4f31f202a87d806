//! `OpenSshPrivateKey`, `PgpPrivateKey`, `PkcsPrivateKey`, `PuttyPrivateKey`: from the first line of the key to its last.
//!
//! A key whose last line is missing is found as far as what follows looks like a key.

use std::ops::Range;

use memchr::memmem;

use super::Find::Code;
use super::text::Text;
use super::{Identifier, identifier};

// The first line, and 24 characters of a key.
pub(super) const ROWS: &[Identifier] = &[
    identifier!(
        "OpenSshPrivateKey", Code(|text, found| find_pem(text, Pem::OpenSsh, found)), alone: true, words: [], min: 50,
        found: ["key «-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n-----END OPENSSH PRIVATE KEY-----» end"],
        left: ["-----BEGIN OPENSSH PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n-----END CERTIFICATE-----"],
    ),
    identifier!(
        "PgpPrivateKey", Code(|text, found| find_pem(text, Pem::Pgp, found)), alone: true, words: [], min: 50,
        found: ["«-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBF2b3BlbnNzaC1rZXktdjEA\n-----END PGP PRIVATE KEY BLOCK-----»"],
        left: ["-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nlQOYBF2b3BlbnNzaC1rZXktdjEA\n-----END PGP PUBLIC KEY BLOCK-----"],
    ),
    identifier!(
        "PkcsPrivateKey", Code(|text, found| find_pem(text, Pem::Pkcs, found)), alone: true, words: [], min: 50,
        found: [
            "«-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKc\n-----END RSA PRIVATE KEY-----»",
            "«-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKc\n-----END PRIVATE KEY-----»",
        ],
        left: ["write -----BEGIN PRIVATE KEY----- first", "-----BEGIN PUBLIC KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKc\n-----END PUBLIC KEY-----"],
    ),
    identifier!(
        "PuttyPrivateKey", Code(find_putty), alone: true, words: [], min: 50,
        found: ["«PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\nAAAAIGOQ4fuTTY3s0mEk3y\nPrivate-MAC: 0a1b2c3d»\n"],
        left: ["PuTTY-User-Key-File-3: ssh-ed25519, a public key in the manual of PuTTY"],
    ),
];

/// What kind of key in PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pem {
    OpenSsh,
    Pgp,
    Pkcs,
}

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";
/// A key is longer than this: a text that only names the first line has none.
const MIN_LENGTH: usize = 24;
const PUTTY: &[u8] = b"PuTTY-User-Key-File-";

impl Pem {
    /// Source: RFC 7468; RFC 4880, section 6.2; `PROTOCOL.key` of OpenSSH.
    fn of_label(label: &[u8]) -> Option<Self> {
        match label {
            b"OPENSSH PRIVATE KEY" => Some(Self::OpenSsh),
            b"PGP PRIVATE KEY BLOCK" => Some(Self::Pgp),
            b"PRIVATE KEY" | b"ENCRYPTED PRIVATE KEY" | b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" | b"DSA PRIVATE KEY" => {
                Some(Self::Pkcs)
            }
            _ => None,
        }
    }
}

pub(crate) fn find_pem(text: &Text<'_>, kind: Pem, found: &mut Vec<Range<usize>>) {
    let bytes = text.bytes;
    let mut from = 0;
    while let Some(start) = memmem::find(&bytes[from..], BEGIN).map(|index| from + index) {
        from = start + BEGIN.len();
        let Some((label, body)) = label_at(bytes, from) else { continue };
        if Pem::of_label(label) != Some(kind) {
            continue;
        }
        // Inside a key there are no five dashes, so each search begins where the one before ended.
        let end = match memmem::find(&bytes[body..], DASHES).map(|index| body + index) {
            Some(dashes) => {
                let last = dashes + DASHES.len();
                match bytes[last..].strip_prefix(b"END ").and_then(|_| label_at(bytes, last + 4)) {
                    Some((end_label, end)) if end_label == label => end,
                    _ => body + length_of_key(&bytes[body..dashes]),
                }
            }
            None => body + length_of_key(&bytes[body..]),
        };
        let characters = bytes[body..end].iter().filter(|byte| is_base64(**byte)).take(MIN_LENGTH).count();
        if characters == MIN_LENGTH {
            found.push(start..end);
        }
        from = end.max(body);
    }
}

/// The label that starts here, at most 32 characters, and where its dashes end.
fn label_at(bytes: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let near = &bytes[start..bytes.len().min(start + 40)];
    let length = memmem::find(near, DASHES)?;
    Some((&near[..length], start + length + DASHES.len()))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// How far the text looks like a key: words of base64 of 16 characters or more, headers, escaped line ends.
fn length_of_key(bytes: &[u8]) -> usize {
    let mut end = 0;
    let mut index = 0;
    while index < bytes.len() {
        let word = bytes[index..].iter().take_while(|byte| is_base64(**byte) || **byte == b'\\').count();
        if word >= 16 {
            index += word;
            end = index;
        } else if word > 0 && end > 0 {
            // The last line of a key is short; words of a text that follow are not taken.
            let rest = bytes.get(index + word).is_none_or(|byte| matches!(byte, b'\n' | b'\r'));
            if rest && bytes[..index].ends_with(b"\n") {
                end = index + word;
            }
            break;
        } else {
            index += word.max(1);
            if index - end > 256 {
                break;
            }
        }
    }
    end
}

/// Source: the PuTTY manual, appendix C: `PuTTY-User-Key-File-3: …` to `Private-MAC: …`.
pub(crate) fn find_putty(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let bytes = text.bytes;
    let mut next = memmem::find(bytes, PUTTY);
    while let Some(start) = next {
        let body = start + PUTTY.len();
        next = memmem::find(&bytes[body..], PUTTY).map(|index| body + index);
        let file = &bytes[body..next.unwrap_or(bytes.len())];
        let Some(private) = memmem::find(file, b"Private-Lines:") else { continue };
        let mac = memmem::find(file, b"Private-MAC:").map(|mac| {
            let digits = mac + b"Private-MAC:".len();
            let spaces = file[digits..].iter().take_while(|byte| **byte == b' ').count();
            let hex = file[digits + spaces..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            digits + spaces + hex
        });
        let end = mac.unwrap_or_else(|| private + length_of_key(&file[private..]));
        if end > private {
            found.push(start..body + end);
        }
    }
}
