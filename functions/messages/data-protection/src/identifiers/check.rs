//! Check digits. Each function takes the letters, in capitals, and digits of a value.

use std::iter::zip;

fn digit(byte: u8) -> u32 {
    u32::from(byte.wrapping_sub(b'0'))
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, byte| value * 10 + u64::from(digit(*byte)))
}

fn weighed(digits: &[u8], weights: &[u32]) -> u32 {
    zip(digits, weights).map(|(byte, weight)| digit(*byte) * weight).sum()
}

/// Whether all digits are the same: such numbers pass many checks and are not issued.
fn is_repeated(digits: &[u8]) -> bool {
    digits.iter().all(|byte| *byte == digits[0])
}

/// Source: ISO/IEC 7812-1, annex B.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let doubled = |value: u32| if value > 4 { value * 2 - 9 } else { value * 2 };
    let places = digits.iter().rev().enumerate();
    let sum: u32 = places.map(|(place, byte)| if place % 2 == 1 { doubled(digit(*byte)) } else { digit(*byte) }).sum();
    sum.is_multiple_of(10)
}

/// Source: DEA Diversion Control Division: (d1+d3+d5) + 2·(d2+d4+d6), its last digit is d7.
pub(super) fn dea(value: &[u8]) -> bool {
    let digits = &value[2..];
    weighed(digits, &[1, 2, 1, 2, 1, 2]) % 10 == digit(digits[6])
}

/// Source: CMS, "NPI check digit": Luhn with 80840 in front.
pub(super) fn npi(digits: &[u8]) -> bool {
    let mut whole = [0; 15];
    whole[..5].copy_from_slice(b"80840");
    whole[5..].copy_from_slice(digits);
    luhn(&whole)
}

/// Source: NHS Data Dictionary, "NHS Number": mod 11, weights 10 to 2.
pub(super) fn nhs(digits: &[u8]) -> bool {
    let rest = weighed(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    !is_repeated(digits) && (11 - rest) % 11 == digit(digits[9])
}

/// Source: INSEE: key = 97 − (number mod 97), with 2A as 19 and 2B as 18.
pub(super) fn nir(value: &[u8]) -> bool {
    let mut digits = [0; 15];
    digits.copy_from_slice(value);
    match &value[5..7] {
        b"2A" => digits[5..7].copy_from_slice(b"19"),
        b"2B" => digits[5..7].copy_from_slice(b"18"),
        _ => {}
    }
    let month = number(&digits[3..5]);
    digits.iter().all(u8::is_ascii_digit)
        && ((1..=12).contains(&month) || (20..=42).contains(&month) || (50..=99).contains(&month))
        && 97 - number(&digits[..13]) % 97 == number(&digits[13..])
}

/// Source: Receita Federal: two check digits, mod 11; eleven equal digits are not issued.
pub(super) fn cpf(digits: &[u8]) -> bool {
    let check = |count: u32| {
        let sum: u32 = (0..count).map(|place| digit(digits[place as usize]) * (count + 1 - place)).sum();
        if sum % 11 < 2 { 0 } else { 11 - sum % 11 }
    };
    !is_repeated(digits) && check(9) == digit(digits[9]) && check(10) == digit(digits[10])
}

/// Source: Receita Federal, Instrução Normativa 2.229/2024: a letter counts as its ASCII code less 48.
pub(super) fn cnpj(value: &[u8]) -> bool {
    let check = |count: usize| {
        let weights = (2..=9).cycle();
        let sum: u32 =
            zip(value[..count].iter().rev(), weights).map(|(byte, weight)| u32::from(byte - b'0') * weight).sum();
        if sum % 11 < 2 { 0 } else { 11 - sum % 11 }
    };
    !is_repeated(value) && check(12) == digit(value[12]) && check(13) == digit(value[13])
}

const DNI: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

/// Source: Real Decreto 1553/2005; Ministerio del Interior, the letter at (number mod 23).
pub(super) fn dni(value: &[u8]) -> bool {
    value[..8] != *b"99999999" && value[8] == DNI[(number(&value[..8]) % 23) as usize]
}

/// Source: Orden INT/2058/2008: as the DNI, with X as 0, Y as 1, Z as 2.
pub(super) fn nie(value: &[u8]) -> bool {
    let first = u64::from(value[0] - b'X');
    value[8] == DNI[((first * 10_000_000 + number(&value[1..8])) % 23) as usize]
}

/// Source: Real Decreto 1065/2007: K, L and M before seven digits and the letter of the DNI.
pub(super) fn klm(value: &[u8]) -> bool {
    value[8] == DNI[(number(&value[1..8]) % 23) as usize]
}

/// Source: Orden EHA/451/2008: Luhn over the seven digits, as a digit or as a letter.
pub(super) fn cif(value: &[u8]) -> bool {
    let digits = value[1..8].iter().enumerate();
    let sum: u32 = digits
        .map(|(place, byte)| {
            let value = digit(*byte) * if place % 2 == 0 { 2 } else { 1 };
            value / 10 + value % 10
        })
        .sum();
    let check = (10 - sum % 10) % 10;
    value[8] == b"0123456789"[check as usize] || value[8] == b"JABCDEFGHI"[check as usize]
}

/// Source: Decreto Ministeriale 23 December 1976, tables for odd and even places, mod 26.
pub(super) fn codice_fiscale(value: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let place = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' };
    let sum: u32 = value[..15]
        .iter()
        .enumerate()
        .map(|(index, byte)| if index % 2 == 0 { ODD[usize::from(place(*byte))] } else { u32::from(place(*byte)) })
        .sum();
    u32::from(value[15] - b'A') == sum % 26
}

/// Source: Bundeszentralamt für Steuern; ISO/IEC 7064, MOD 11,10. Of the first ten digits one occurs twice or three times.
pub(super) fn steuer_id(digits: &[u8]) -> bool {
    let mut counts = [0; 10];
    for byte in &digits[..10] {
        counts[digit(*byte) as usize] += 1;
    }
    let more = counts.iter().filter(|count| **count > 1).count();
    let product = digits[..10].iter().fold(10, |product, byte| {
        let sum = (digit(*byte) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    more == 1 && counts.iter().all(|count| *count < 4) && (11 - product) % 10 == digit(digits[10])
}

/// Source: OECD, "France TIN": the last three are the first ten mod 511.
pub(super) fn spi(digits: &[u8]) -> bool {
    number(&digits[..10]) % 511 == number(&digits[10..])
}

/// Source: OECD, "UK TIN": the first digit checks the others.
pub(super) fn utr(digits: &[u8]) -> bool {
    let rest = weighed(&digits[1..10], &[6, 7, 8, 9, 10, 5, 4, 3, 2]) % 11;
    digits[0] == b"21987654321"[rest as usize]
}

/// Source: Seguridad Social: mod 97 of province and number; a number below 10,000,000 counts as seven digits.
pub(super) fn ssn_es(digits: &[u8]) -> bool {
    let (province, serial) = (number(&digits[..2]), number(&digits[2..10]));
    let whole = if serial < 10_000_000 { province * 10_000_000 + serial } else { province * 100_000_000 + serial };
    whole % 97 == number(&digits[10..])
}

/// Source: Government of Canada: Luhn; the first digit is not 0 or 8.
pub(super) fn sin(digits: &[u8]) -> bool {
    !matches!(digits[0], b'0' | b'8') && luhn(digits)
}

/// Source: IRS, Internal Revenue Manual 3.21.263: digits 4 and 5.
pub(super) fn itin(digits: &[u8]) -> bool {
    matches!(number(&digits[3..5]), 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// Source: Digital and Population Data Services Agency: the character at (nine digits mod 31).
pub(super) fn hetu(value: &[u8]) -> bool {
    let digits: Vec<u8> =
        value.iter().copied().enumerate().filter(|(place, _)| *place != 6).map(|(_, it)| it).collect();
    // The sign of the century may be a letter, or a separator that is not in the value.
    let digits = if value.len() == 11 { &digits[..] } else { value };
    digits[..9].iter().all(u8::is_ascii_digit)
        && digits[9] == b"0123456789ABCDEFHJKLMNPRSTUVWXY"[(number(&digits[..9]) % 31) as usize]
}

/// Source: Skatteverket: Luhn over the ten digits; of twelve, the first two are the century.
pub(super) fn personnummer(digits: &[u8]) -> bool {
    let digits = &digits[digits.len() - 10..];
    let (month, day) = (number(&digits[2..4]), number(&digits[4..6]));
    (1..=12).contains(&month) && ((1..=31).contains(&day) || (61..=91).contains(&day)) && luhn(digits)
}

/// Source: HMRC, National Insurance Manual NIM39110.
pub(super) fn nino(value: &[u8]) -> bool {
    let prefix = &value[..2];
    !b"DFIQUV".contains(&prefix[0])
        && !b"DFIOQUV".contains(&prefix[1])
        && ![b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].iter().any(|known| prefix == *known)
}

/// Source: Social Security Administration, "Social Security Number Randomization": no area 000, 666 or 900 to 999, no
/// group 00, no serial number 0000. In front of the letter of a Medicare claim.
pub(super) fn ssn(value: &[u8]) -> bool {
    let number = &value[..9];
    number[..3] != *b"000"
        && number[..3] != *b"666"
        && number[0] != b'9'
        && number[3..5] != *b"00"
        && number[5..] != *b"0000"
}

/// Whether there is a digit: else it is a word.
pub(super) fn has_digit(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit)
}

/// Whether there are a letter and a digit.
pub(super) fn is_mixed(value: &[u8]) -> bool {
    has_digit(value) && value.iter().any(u8::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Check = fn(&[u8]) -> bool;

    /// Each is right as it is, and with any other check character it is wrong.
    #[test]
    fn another_check_digit_is_wrong() {
        let cases: [(Check, &str, usize); 23] = [
            (luhn, "4539894458086459", 15),
            (dea, "AB1234563", 8),
            (npi, "1234567893", 9),
            (nhs, "9434765919", 9),
            (nir, "185057800608491", 14),
            (nir, "185052A00608435", 14),
            (cpf, "12345678909", 10),
            (cnpj, "12345678000195", 13),
            (cnpj, "12ABC34501DE35", 13),
            (dni, "12345678Z", 8),
            (nie, "X1234567L", 8),
            (klm, "K1234567L", 8),
            (cif, "B12345674", 8),
            (codice_fiscale, "RSSMRA85T10A562S", 15),
            (steuer_id, "86095742719", 10),
            (spi, "0123456789211", 12),
            (utr, "1123456789", 0),
            (ssn_es, "281234567840", 11),
            (sin, "123456782", 8),
            (hetu, "131052308T", 9),
            (personnummer, "8112189876", 9),
            (itin, "912701234", 3),
            (cif, "Q1234567D", 8),
        ];
        for (check, value, place) in cases {
            assert!(check(value.as_bytes()), "{value}");
            let digit = value.as_bytes()[place].is_ascii_digit();
            let others = if digit { b'0'..=b'9' } else { b'A'..=b'Z' };
            let right = others
                .filter(|other| {
                    let mut value = value.as_bytes().to_vec();
                    value[place] = *other;
                    check(&value)
                })
                .count();
            assert!(right <= if value.starts_with("912") { 7 } else { 1 }, "{value}: {right} check digits are right");
        }
    }
}
