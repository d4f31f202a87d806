//! Payment cards: `CreditCardNumber`, 13 to 19 digits, a prefix of a card scheme, the Luhn check; the tracks of the
//! stripe; expiration and security code, which need a keyword.

use std::ops::{Range, RangeInclusive};

use super::Find::{Code, Forms};
use super::check::luhn;
use super::text::{Separator, Text, run};
use super::{Identifier, bank_accounts, form, identifier};

pub(super) const ROWS: &[Identifier] = &[
    identifier!(
        "CreditCardExpiration", Code(expirations),
        words: [&["exp d", "exp m", "exp y", "expiration", "expiry", "exp date", "exp month", "exp year", "exp", "valid thru", "card expiration"]], min: 1,
        found: ["expiry «12/27»", "exp date: «12/2027»", "expiration «1227»", "{\"expiration\":\"«12-27»\"}", "exp «2027-12»", "{\"exp_month\":«12»}", "{\"expYear\":\"«2027»\"}", "{\"expiration\":{\"month\":«11»}}", "x=1&exp_month=«11»&y=2", "exp_year=«2031»&x=1", "{\"expM\":«3»}", "exp «12 / 27»", "Exp: «1/27»", "expiry «1/2027»", "{\"expYY\":«31»}"],
        left: ["{\"expirationDays\":90}", "{\"expiry\":30}", "{\"exp_month\":13}", "{\"expires\":\"12/27\"}", "12/27", "expiry 13/27", "expiration in 30 days", "expiry 123/27", "experience 12/27"],
    ),
    identifier!(
        "CreditCardNumber", Code(find), alone: true,
        words: [&[
            "account number", "american express", "amex", "bank card", "card", "card num", "card number", "cc #", "ccn",
            "check card", "credit", "credit card#", "dankort", "debit", "debit card", "diners club", "discover", "electron",
            "elo verification code", "japanese card bureau", "jcb", "mastercard", "mc", "pan", "payment account number",
            "payment card number", "pcn", "union pay", "visa",
            // Those that are written joined to a number besides.
            "cc", "karte", "carte", "tarjeta", "number",
        ]], min: 13,
        found: [
            "«4539894458086459»", "«4539894458086459»USD 17.50", "cc«4539894458086459»", "cardno«4539894458086459»",
            "«4539894458086459»exp1227", "«4539_8944_5808_6459»", "«4539:8944:5808:6459»", "> «4539 8944\n> 5808 6459»",
            "ZZ29 «4539 8944 5808 6459»", "«4539894458086459».00 EUR", "«4539-8944-5808-6459»-0815", "0815-«4539-8944-5808-6459»",
            "prefix«4539894458086459»", "c0ffee«4539894458086459»", "«45398944\u{200E}58086459»"
        ],
        left: [
            "4539894458086458", "ab4539894458086459cdef0123456789abcdef01", "453989445808645912345678901234ab",
            "7d444840-9dc0-11d1-b245-453989445808", "from FR82 4539 8944 5808 6459 0000 007 today", "4006381333023",
            "4539894458086459.25", "case 1747-9192-2056-7223", "4539,8944,5808,6459",
        ],
    ),
    // PCI DSS glossary, "card verification code": three digits, four for American Express.
    identifier!(
        "CreditCardSecurityCode", Forms(&[form("9{3,4}")]),
        words: [&[
            "card id", "card identification code", "card identification number", "card security code", "card validation code",
            "card validation number", "card verification data", "card verification value", "cvc", "cvc2", "cvv", "cvv2",
            "elo verification code", "security code", "csc",
        ]], min: 3,
        found: ["CVV «123»", "CVV2:«737»", "cvc2:«1234»", "CVV2-«737»", "cvv2%3A«737»", "cvc2: «1234»", "card security code «123»", "{\"card\":{\"cvv\":«738»}}", "{\"card\":{\"security\":{\"code\":\"«738»\"}}}"],
        left: ["{\"cid\":482}", "{\"c_id\":482}", "CVV 12", "123", "cvv 12345", "cvv 1.234"],
    ),
    // ISO/IEC 7813. AWS asks for a keyword; the form says enough.
    identifier!(
        "CreditCardMagneticStripe", Code(stripes), alone: true,
        words: [&["card data", "iso7813", "mag", "magstripe", "stripe", "swipe"]], min: 21,
        found: ["«%B4539894458086459^DOE/JANE^27121010000000000?»", "swipe «;4539894458086459=27121010000000000?»", "%B4539894458086458^x «;4539894458086459=2712101?»"],
        left: ["%B4539894458086458^DOE/JANE^27121010000000000?", ";4539894458086459", ";4539894458086459=2799101?"],
    ),
];

/// The first four digits of a scheme's numbers, and how many digits they have.
///
/// Source: ISO/IEC 7812 issuer ranges as the schemes publish them. AWS names American Express, Dankort, Diners Club,
/// Discover, Electron, JCB, Mastercard, UnionPay and Visa. With 16 digits all of 50, 56 to 58 and 6 count: issuers of
/// Maestro, Elo, Hipercard, RuPay, Shetab and Verve are spread over them, and change.
const SCHEMES: [(RangeInclusive<u16>, &[usize]); 31] = [
    // Not from 1000: the user numbers of Facebook are 1000… with 15 digits.
    (1010..=1999, &[15]),                     // UATP, JCB
    (2131..=2131, &[15]),                     // JCB
    (2200..=2204, &[16, 17, 18, 19]),         // Mir
    (2221..=2720, &[16]),                     // Mastercard
    (3000..=3059, &[14, 15, 16, 17, 18, 19]), // Diners Club
    (3095..=3095, &[14, 15, 16, 17, 18, 19]), // Diners Club
    (3400..=3499, &[15]),                     // American Express
    (3500..=3599, &[16, 17, 18, 19]),         // JCB, RuPay
    (3600..=3699, &[14, 15, 16, 17, 18, 19]), // Diners Club
    (3700..=3799, &[15]),                     // American Express
    (3800..=3999, &[14, 15, 16, 17, 18, 19]), // Diners Club
    (4000..=4999, &[13, 16, 19]),             // Visa, Electron, Dankort
    (5000..=5099, &[16]),                     // Maestro, Elo, RuPay, Shetab, Verve
    (5018..=5020, &[13, 14, 15, 17, 18, 19]), // Maestro, Dankort
    (5038..=5038, &[13, 14, 15, 17, 18, 19]), // Maestro
    (5060..=5067, &[18, 19]),                 // Verve
    (5100..=5599, &[16]),                     // Mastercard
    (5600..=5899, &[16, 17, 18, 19]),         // Maestro, Bankcard, Shetab
    (6000..=6999, &[16]),                     // Maestro, Discover, Elo, Hipercard, RuPay, Shetab, UnionPay, Verve
    (6011..=6011, &[17, 18, 19]),             // Discover
    (6200..=6299, &[17, 18, 19]),             // UnionPay, Discover
    (6304..=6304, &[13, 14, 15, 17, 18, 19]), // Maestro
    (6331..=6334, &[18, 19]),                 // Maestro (Switch, Solo)
    (6390..=6390, &[13, 14, 15, 17, 18, 19]), // Maestro
    (6440..=6599, &[17, 18, 19]),             // Discover, RuPay, Elo
    (6700..=6799, &[13, 14, 15, 17, 18, 19]), // Maestro, UnionPay
    (8100..=8200, &[16, 17, 18, 19]),         // UnionPay, RuPay
    (8600..=8600, &[16]),                     // Uzcard
    (9112..=9112, &[16]),                     // Humo
    (9792..=9792, &[16]),                     // Troy
    (9860..=9860, &[16]),                     // Humo
];

const MIN_LENGTH: usize = 13;
const MAX_LENGTH: usize = 19;

/// A run of digits, and what separates it from the next one.
struct Group {
    range: Range<usize>,
    separator: Option<Between>,
}

/// What is between two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Common(Separator),
    /// An underscore, slash or colon: only between groups as cards have them.
    Rare(u8),
}

impl Between {
    fn at(bytes: &[u8], start: usize) -> Option<(Self, usize)> {
        match bytes.get(start) {
            Some(byte @ (b'_' | b'/' | b':')) => Some((Self::Rare(*byte), start + 1)),
            _ => Separator::at(bytes, start).map(|(separator, end)| (Self::Common(separator), end)),
        }
    }

    fn fits(self, other: Self) -> bool {
        match (self, other) {
            (Self::Common(one), Self::Common(other)) => one.fits(other),
            _ => self == other,
        }
    }

    fn is_line(self) -> bool {
        self == Self::Common(Separator::Line)
    }
}

pub(crate) fn find(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let mut groups: Vec<Group> = Vec::new();
    let mut runs = text.runs();
    while let Some(Range { start, end }) = runs.next_from(0) {
        let next = Between::at(text.bytes, end).filter(|(_, after)| digit_at(text.bytes, *after));
        if next.is_none() && groups.is_empty() && end - start < MIN_LENGTH {
            continue;
        }
        groups.push(Group { range: start..end, separator: next.map(|(separator, _)| separator) });
        if next.is_none() {
            find_in(text, &groups, found);
            groups.clear();
        }
    }
}

fn digit_at(bytes: &[u8], index: usize) -> bool {
    bytes.get(index).is_some_and(u8::is_ascii_digit)
}

/// Numbers among groups of digits that only separators part. Each starts and ends with a group.
fn find_in(text: &Text<'_>, groups: &[Group], found: &mut Vec<Range<usize>>) {
    let mut first = 0;
    while first < groups.len() {
        match longest_from(text, groups, first) {
            Some(last) => {
                found.push(groups[first].range.start..groups[last].range.end);
                first = last + 1;
            }
            None => first += 1,
        }
    }
}

/// The last group of the longest number that starts with the group `first`.
fn longest_from(text: &Text<'_>, groups: &[Group], first: usize) -> Option<usize> {
    let mut digits = [0; MAX_LENGTH];
    let mut count = 0;
    let mut kind: Option<Between> = None;
    let mut lines = 0;
    let mut longest = None;
    for (last, group) in groups.iter().enumerate().skip(first) {
        let length = group.range.len();
        if count + length > MAX_LENGTH {
            break;
        }
        for (digit, byte) in digits[count..].iter_mut().zip(&text.bytes[group.range.clone()]) {
            *digit = byte - b'0';
        }
        count += length;
        let range = groups[first].range.start..group.range.end;
        if count >= MIN_LENGTH
            && has_form(&groups[first..=last], kind)
            && !(lines > 0 && in_a_column(groups, first, last))
            && is_card(&digits[..count], last == first)
            && stands_alone(text, &range, kind, count)
        {
            longest = Some(last);
        }
        // Only the last group may be short: a list of small numbers is no card.
        let Some(separator) = group.separator.filter(|_| length >= 4) else { break };
        if kind.is_some_and(|kind| !kind.fits(separator)) {
            break;
        }
        if separator.is_line() {
            lines += 1;
            // A number is wrapped once; short numbers below each other are a list.
            if lines > 1 {
                break;
            }
        }
        if kind.is_none_or(Between::is_line) {
            kind = Some(separator);
        }
    }
    longest
}

/// Whether numbers are written in such groups: fours, parted at one place, or 4-6-5 and 4-6-4.
fn has_form(groups: &[Group], kind: Option<Between>) -> bool {
    let length = |index: usize| groups[index].range.len();
    let fours = (0..groups.len() - 1).all(|index| length(index).is_multiple_of(4));
    if matches!(kind, Some(Between::Common(Separator::Dot) | Between::Rare(_))) {
        return groups.len() == 4 && (0..4).all(|index| length(index) == 4);
    }
    groups.len() <= 2 || fours || (groups.len() == 3 && length(0) == 4 && length(1) == 6 && matches!(length(2), 4 | 5))
}

/// Whether the line before or after has a number of as many digits: then these are numbers below each other.
fn in_a_column(groups: &[Group], first: usize, last: usize) -> bool {
    let alike = |upper: usize, lower: usize| {
        let (upper, lower) = (&groups[upper], groups.get(lower));
        upper.separator.is_some_and(Between::is_line)
            && lower.is_some_and(|lower| lower.range.len() == upper.range.len())
    };
    first.checked_sub(1).is_some_and(|before| alike(before, first)) || alike(last, last + 1)
}

/// Whether the number is not a part of something longer.
///
/// Beside letters, 15 or 16 digits count, unless they are a part of a hash or a UUID; others where a keyword is joined to
/// them.
fn stands_alone(text: &Text<'_>, range: &Range<usize>, kind: Option<Between>, count: usize) -> bool {
    let part_of_a_number = kind != Some(Between::Common(Separator::Dot)) && text.goes_on_with_dot(range);
    let beside_letters = !text.begins_at(range.start) || !text.ends_at(range.end);
    let may_be_beside = matches!(count, 15 | 16) || text.follows_keyword(range.start);
    !part_of_a_number
        && (!beside_letters || (may_be_beside && !in_a_hash(text, range)))
        && !in_a_uuid(text, range)
        && text.before(range.start) != Some(b'+')
        && !bank_accounts::covers(text, range)
}

/// Lengths of hashes and identifiers in hex: MD5, SHA-1, SHA-2, and those of traces and documents.
const HASHES: [usize; 8] = [24, 32, 40, 48, 56, 64, 96, 128];

/// Whether the letters and digits around it are hex and as long as a hash.
fn in_a_hash(text: &Text<'_>, range: &Range<usize>) -> bool {
    let in_run = |byte: &&u8| byte.is_ascii_alphanumeric();
    let before = text.bytes[..range.start].iter().rev().take(129).take_while(in_run).count();
    let after = text.bytes[range.end..].iter().take(129).take_while(in_run).count();
    let run = &text.bytes[range.start - before..range.end + after];
    HASHES.contains(&run.len()) && run.iter().all(u8::is_ascii_hexdigit)
}

/// Whether it is in a UUID: hex in groups of 8, 4, 4, 4 and 12.
fn in_a_uuid(text: &Text<'_>, range: &Range<usize>) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let in_run = |byte: &&u8| byte.is_ascii_hexdigit() || **byte == b'-';
    let before = text.bytes[..range.start].iter().rev().take(37).take_while(in_run).count();
    let after = text.bytes[range.end..].iter().take(37).take_while(in_run).count();
    let run = &text.bytes[range.start - before..range.end + after];
    run.len() == 36 && run.split(|byte| *byte == b'-').map(<[u8]>::len).eq(GROUPS)
}

/// `bare` says that nothing separates the digits.
fn is_card(digits: &[u8], bare: bool) -> bool {
    let prefix = digits[..4].iter().fold(0, |prefix, digit| prefix * 10 + u16::from(*digit));
    let of_a_scheme =
        SCHEMES.iter().any(|(prefixes, lengths)| prefixes.contains(&prefix) && lengths.contains(&digits.len()));
    of_a_scheme && luhn_of(digits) && !(bare && (is_article(digits) || is_establishment(digits)))
}

fn luhn_of(digits: &[u8]) -> bool {
    let mut text = [b'0'; MAX_LENGTH];
    for (slot, digit) in text.iter_mut().zip(digits) {
        *slot = digit + b'0';
    }
    luhn(&text[..digits.len()])
}

/// Whether this is the number of an article of trade, as under a barcode: in messages they are everywhere, and cards
/// of 13 digits nowhere any more. One card of 13 digits in ten looks like one.
///
/// Source: GS1 General Specifications, section 7.9, check digit of GTIN-13.
fn is_article(digits: &[u8]) -> bool {
    let weighed =
        digits.iter().enumerate().map(|(place, digit)| u32::from(*digit) * if place % 2 == 1 { 3 } else { 1 });
    digits.len() == 13 && weighed.sum::<u32>().is_multiple_of(10)
}

/// Whether this is a French SIRET: 14 digits with the Luhn check too. Four of the last five count the establishments of a
/// company, and few companies have a hundred.
fn is_establishment(digits: &[u8]) -> bool {
    digits.len() == 14 && digits[..2] != [3, 6] && digits[9..11] == [0, 0]
}

/// Tracks 1 and 2: `%B4539894458086459^DOE/JANE^2712101…?` and `;4539894458086459=2712101…?`, without their last sign too.
///
/// Source: ISO/IEC 7813.
fn stripes(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let bytes = text.bytes;
    let mut index = 0;
    while let Some(start) = memchr::memchr2(b'%', b';', &bytes[index..]).map(|offset| index + offset) {
        index = start + 1;
        let first = bytes[start] == b'%';
        let number = start + if first { 2 } else { 1 };
        if first && !matches!(text.get(start + 1), Some(b'B' | b'b')) {
            continue;
        }
        let digits = run(bytes, number);
        let (least, most, sign) = if first { (10, 79, b'^') } else { (7, 40, b'=') };
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&digits) || text.get(number + digits) != Some(sign) {
            continue;
        }
        let value: Vec<u8> = bytes[number..number + digits].iter().map(|digit| digit - b'0').collect();
        let mut date = number + digits + 1;
        if first {
            let name = bytes[date..].iter().take(27).take_while(|byte| !matches!(byte, b'^' | b'\n')).count();
            if text.get(date + name) != Some(b'^') {
                continue;
            }
            date += name + 1;
        }
        let is_dated = run(bytes, date) >= 4 && is_month(&bytes[date + 2..date + 4]);
        let rest =
            bytes[date..].iter().take(most).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b' ').count();
        let end = date + rest + usize::from(text.get(date + rest) == Some(b'?'));
        if is_dated && rest + digits >= least && luhn(&bytes[number..number + value.len()]) {
            found.push(start..end);
            index = end;
        }
    }
}

fn is_month(digits: &[u8]) -> bool {
    matches!(digits, [b'0', b'1'..=b'9'] | [b'1', b'0'..=b'2'])
}

/// Whether the word before, or the key, ends with one of these words, or with this letter as a word: `exp_month`, `expM`.
fn is_called(text: &Text<'_>, start: usize, words: &[&str], letter: u8) -> bool {
    let word = text.word_before(start);
    let is_letter = |before: &[u8], last: &u8| {
        before.is_empty() || (last.is_ascii_uppercase() && before.last().is_some_and(u8::is_ascii_lowercase))
    };
    words.iter().any(|ending| {
        word.len().checked_sub(ending.len()).is_some_and(|at| word[at..].eq_ignore_ascii_case(ending.as_bytes()))
    }) || word.split_last().is_some_and(|(last, before)| last.eq_ignore_ascii_case(&letter) && is_letter(before, last))
}

/// `12/27`, `12/2027`, `1227`, `2027-12`, and month and year by themselves where the word before says so.
fn expirations(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let bytes = text.bytes;
    let (mut runs, mut from) = (text.runs(), 0);
    while let Some(Range { start, end: index }) = runs.next_from(from) {
        let digits = index - start;
        // 12/27, 12 / 27
        let gap = match bytes[index..] {
            [b' ', b'/' | b'-', b' ', ..] => 3,
            [b'/' | b'-' | b' ' | b'.', ..] => 1,
            _ => 0,
        };
        let second = if gap > 0 { run(bytes, index + gap) } else { 0 };
        let second_part = || &bytes[index + gap..index + gap + second];
        let number = bytes[start..index]
            .iter()
            .fold(0_u32, |value, digit| value.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
        let is_year = |year: &[u8]| year.len() == 2 || (year.len() == 4 && matches!(&year[..2], b"19" | b"20"));
        let end = match (digits, second) {
            (2, 2 | 4) if is_month(&bytes[start..index]) && is_year(second_part()) => index + gap + second,
            (1, 2 | 4) if number > 0 && matches!(bytes[index + gap / 2], b'/' | b'-') && is_year(second_part()) => {
                index + gap + second
            }
            (4, 2) if is_year(&bytes[start..index]) && is_month(second_part()) => index + gap + second,
            (4, 0) if is_month(&bytes[start..start + 2]) => index,
            (6, 0) if is_month(&bytes[start..start + 2]) && is_year(&bytes[start + 2..index]) => index,
            (1 | 2, 0) if is_called(text, start, &["month", "mon", "mm"], b'm') && (1..=12).contains(&number) => index,
            (2 | 4, 0) if is_called(text, start, &["year", "yr", "yy"], b'y') && is_year(&bytes[start..index]) => index,
            _ => continue,
        };
        let range = start..end;
        let is_joint = |byte: Option<u8>| matches!(byte, Some(b'/' | b'.' | b':'));
        let in_a_date = is_joint(text.before(start)) || (is_joint(text.get(end)) && digit_at(bytes, end + 1));
        let whole = if digits == 4 && second == 2 && text.get(end) == Some(b'-') { run(bytes, end + 1) } else { 0 };
        if !in_a_date && whole == 0 && text.begins_at(start) && text.ends_at(end) && text.has_keyword(&range) {
            found.push(range);
            from = end;
        }
    }
}
