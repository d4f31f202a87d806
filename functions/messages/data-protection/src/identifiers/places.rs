//! Postal codes and coordinates.

use std::ops::Range;

use super::Find::{Code, Forms};
use super::text::Text;
use super::{Identifier, form, identifier};

pub(super) const ROWS: &[Identifier] = &[
    identifier!(
        "CepCode-BR", Forms(&[form("9{5}-9{3}"), form("9{2}-9{3}-9{3}")]),
        words: [&["cep", "código de endereçamento postal", "codigo de endereçamento postal", "código postal", "codigo postal"]], min: 8,
        found: ["CEP «01310-100»", "cep: «01310100»", "código postal «01310 100»"],
        left: ["CEP 01310-10", "01310-100"],
    ),
    identifier!(
        "LatLong", Code(coordinates),
        words: [&["coordinate", "coordinates", "lat long", "latitude longitude", "location", "position", "lat lng", "latlng", "geo"]], min: 7,
        found: ["location «41.948614,-87.655311»", "Its position: «41.948614,-87.655311». Then", "{\"position\":\"«41.948614, -87.655311»\"}", "coordinates: («-33.8688, 151.2093»)"],
        left: ["location 41,87", "location 1.234.567,1.234.567", "41.948614,-87.655311", "location 91.0001,-87.655311", "position 3.5, 4.5"],
    ),
    // Canada Post: no D, F, I, O, Q, U; the first letter not W or Z. AWS asks for no keyword. Small letters without a space
    // may be hex.
    identifier!(
        "PostalCode-CA", Forms(&[
            form("[ABCEGHJ-NPRSTVXY]9[ABCEGHJ-NPRSTV-Z]-{1,2}9[ABCEGHJ-NPRSTV-Z]9"), form("U[ABCEGHJ-NPRSTVXY]9U[ABCEGHJ-NPRSTV-Z]9U[ABCEGHJ-NPRSTV-Z]9"),
        ]), alone: true,
        words: [], min: 6,
        found: ["«K1A 0B1»", "«k1a 0b1»", "Ottawa ON «K1A0B1».", "code «H0H-0H0»"],
        left: ["D1A 0B1", "K1A 0O1", "xK1A0B1", "K1A0B12", "1a2b3c", "commit a1b2c3", "commit a1B2c3"],
    ),
    identifier!(
        "ZipCode-US", Forms(&[form("9{5}"), form("9{5}-9{4}")]),
        words: [&["zip code", "zip+4"]], min: 5,
        found: ["ZIP code «94105»", "zip+4:«60614-1234»", "zip+4 «94105-1234»", "{\"zipCode\":«94105»}", "zip codes: «941051234»"],
        left: ["ZIP code 9410", "94105", "zip code 941055", "unzip 12345", "{\"zip\":12345}"],
    ),
];

/// A latitude and a longitude in decimal degrees, each with three digits or more behind its dot.
///
/// Source: SNS Developer Guide, "Sensitive data types: Personally identifiable information"; ISO 6709.
fn coordinates(text: &Text<'_>, found: &mut Vec<Range<usize>>) {
    let (mut runs, mut index) = (text.runs(), 0);
    while let Some(Range { start, .. }) = runs.next_from(index) {
        let Some(latitude) = degrees(text.bytes, start, 90) else { continue };
        index = latitude;
        let gap =
            text.bytes[latitude..].iter().take(3).take_while(|byte| matches!(byte, b',' | b' ' | b';' | b'/')).count();
        let second = latitude + gap;
        let sign = usize::from(matches!(text.get(second), Some(b'-' | b'+')));
        let Some(end) = degrees(text.bytes, second + sign, 180) else { continue };
        let first = if matches!(text.before(start), Some(b'-' | b'+')) { start - 1 } else { start };
        let range = first..end;
        if gap > 0 && text.begins_at(first) && text.ends_at(end) && text.has_keyword(&range) {
            index = end;
            found.push(range);
        }
    }
}

/// Where a number of degrees of at most `most` ends that starts here.
fn degrees(bytes: &[u8], start: usize, most: u32) -> Option<usize> {
    let whole = super::text::run(bytes, start);
    if !(1..=3).contains(&whole) || bytes.get(start + whole) != Some(&b'.') {
        return None;
    }
    let fraction = super::text::run(bytes, start + whole + 1);
    let value = bytes[start..start + whole].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    let is_zero = bytes[start + whole + 1..][..fraction].iter().all(|digit| *digit == b'0');
    let is_in_range = value < most || (value == most && is_zero);
    let end = start + whole + 1 + fraction;
    let goes_on = bytes.get(end) == Some(&b'.') && super::text::run(bytes, end + 1) > 0;
    ((3..=15).contains(&fraction) && is_in_range && !goes_on).then_some(end)
}
