//! Passports. None has a check digit outside its machine-readable zone: all need a keyword.

use super::Find::Forms;
use super::{Identifier, check, checked, form, identifier};

pub(super) const ROWS: &[Identifier] = &[
    identifier!(
        "PassportNumber-CA", Forms(&[form("A{2}9{6}"), form("U{2}-9{6}"), form("A9{6}A{2}")]),
        words: [&["passeport", "passeport#", "passport", "passport#", "passportno", "passportno#"]], min: 8,
        found: ["passport «AB123456»", "Passeport: «AB 123456»", "passportNo=«A123456BC»"],
        left: ["passport AB12345", "AB123456"],
    ),
    // Letters that cannot be mistaken for others, and digits; a tenth character in the machine-readable zone. AWS's words
    // include those before dates.
    identifier!(
        "PassportNumber-DE", Forms(&[checked("[CFGHJ-NPRTV-Z][CFGHJ-NPRTV-Z0-9]{8}", check::has_digit), checked("[CFGHJ-NPRTV-Z][CFGHJ-NPRTV-Z0-9]{8}-9", check::has_digit), form("9{9}d")]),
        words: [&["ausstellungsdatum", "ausstellungsort", "geburtsdatum", "passport", "passports", "reisepass", "reisepass–nr", "reisepassnummer", "passnummer"]], min: 9,
        found: ["Reisepass «C01X00T47»", "Reisepass-Nr. «C01X00T478»", "passport: «c01x00t47»"],
        left: ["Reisepass CFGHJKLMN", "Geburtsdatum 01.02.1980", "C01X00T47"],
    ),
    identifier!(
        "PassportNumber-ES", Forms(&[form("A{2,3}9{6}"), form("U{2,3}-9{6}"), form("N{2}9{6}A{0,1}")]),
        words: [&["españa pasaporte", "libreta pasaporte", "número pasaporte", "pasaporte", "passport", "passport book", "passport no", "passport number", "spain passport"]], min: 8,
        found: ["pasaporte «PAA123456»", "passport number «AB123456»", "Pasaporte: «PAA 123456»"],
        left: ["pasaporte PAAA123456", "PAA123456"],
    ),
    identifier!(
        "PassportNumber-FR", Forms(&[form("9{2}A{2}9{5}"), form("9{2}-U{2}-9{5}")]),
        words: [&["numéro de passeport", "passeport", "passeport#", "passeport #", "passeportn °", "passeport n °", "passeportNon", "passeport non", "passport"]], min: 9,
        found: ["passeport «12AB34567»", "numéro de passeport: «12 AB 34567»", "passeport n° «12AB34567»"],
        left: ["passeport 12A345678", "12AB34567"],
    ),
    identifier!(
        "PassportNumber-GB", Forms(&[form("9{9}"), form("9{3}-9{3}-9{3}"), form("A{2}9{7}"), form("A9{8}")]),
        words: [&["passeport #", "passeport n °", "passeportNon", "passeport non", "passeportn °", "passport #", "passport no", "passport number", "passport#", "passportid", "passport"]], min: 9,
        found: ["passport number «123456789»", "passport no: «AB1234567»", "{\"passportId\":«123456789»}"],
        left: ["passport number 12345678", "123456789"],
    ),
    identifier!(
        "PassportNumber-IT", Forms(&[form("N{2}9{7}"), form("U{2}-9{7}")]),
        words: [&["italian passport number", "numéro passeport", "numéro passeport italien", "passaporto", "passaporto italiana", "passaporto numero", "passport number", "repubblica italiana passaporto", "passport"]], min: 9,
        found: ["passaporto «YA1234567»", "passport number: «YA 1234567»", "Passaporto «AA1234567»"],
        left: ["passaporto YA123456", "YA1234567"],
    ),
    identifier!(
        "PassportNumber-US", Forms(&[form("9{9}"), form("A9{8}"), form("9{3}-9{3}-9{3}")]),
        words: [&["passport", "travel document"]], min: 9,
        found: ["passport «123456789»", "passport «312557788»/2031", "travel document: «A12345678»", "passport no. «a12345678»"],
        left: ["passport 12345678", "123456789", "passports and 2026-08-13"],
    ),
];
