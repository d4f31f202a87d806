//! Driver's licences. AWS documents no form, and always needs a keyword: the forms are the widest that are described.
//!
//! Source: Microsoft Purview, "Sensitive information type entity definitions"; where a comment names the issuer, the form
//! is the issuer's.

use super::Find::Forms;
use super::{Identifier, check, checked, form, identifier};

const ENGLISH: &[&str] = &[
    "dl#",
    "dl:",
    "dlno#",
    "driver licence",
    "driver licences",
    "driver license",
    "driver licenses",
    "driver permit",
    "drivers lic.",
    "drivers licence",
    "driver's licence",
    "drivers licences",
    "driver's licences",
    "drivers license",
    "driver's license",
    "drivers licenses",
    "driver's licenses",
    "drivers permit",
    "driver's permit",
    "drivers permit number",
    "driving licence",
    "driving license",
    "driving permit",
];

pub(super) const ROWS: &[Identifier] = &[
    identifier!(
        "DriversLicense-AT", Forms(&[form("9{8}"), form("9{2}-9{6}")]),
        words: [&["führerschein", "fuhrerschein", "führerschein republik österreich", "fuhrerschein republik osterreich"]], min: 8,
        found: ["Führerschein «12345678»", "fuhrerschein: «12/345678»"],
        left: ["Führerschein 1234567", "12345678", "Führerschein vom 13.08.2026"],
    ),
    identifier!(
        "DriversLicense-AU", Forms(&[form("A{0,2}9{4,10}"), form("U{1,2}-9{4,9}"), checked("N{9}", check::is_mixed), form("9{3}-9{3}-9{3}")]),
        words: [ENGLISH], min: 4,
        found: ["driver licence «12345678»", "DL# «AB1234»", "driving licence: «12A34B567»"],
        left: ["driver licence 123", "12345678"],
    ),
    identifier!(
        "DriversLicense-BE", Forms(&[form("9{10}"), form("9{4}-9{3}-9{3}")]),
        words: [&[
            "fuehrerschein", "fuehrerschein- nr", "fuehrerscheinnummer", "fuhrerschein", "führerschein", "fuhrerschein- nr",
            "führerschein- nr", "fuhrerscheinnummer", "führerscheinnummer", "numéro permis conduire", "permis de conduire",
            "rijbewijs", "rijbewijsnummer",
        ]], min: 10,
        found: ["rijbewijs «1234567890»", "permis de conduire: «1234567890»"],
        left: ["rijbewijs 123456789", "1234567890"],
    ),
    identifier!(
        "DriversLicense-BG", Forms(&[form("9{9}")]),
        words: [&["превозно средство", "свидетелство за управление на моторно", "свидетелство за управление на мпс", "сумпс", "шофьорска книжка"]], min: 9,
        found: ["Шофьорска книжка «123456789»", "сумпс: «123456789»"],
        left: ["сумпс 12345678", "123456789"],
    ),
    // By province, see the forms: MB 12 characters, NL, NS, ON, QC letters and digits; others 1 to 9 digits.
    identifier!(
        "DriversLicense-CA", Forms(&[form("9{4,9}"), form("9{6}-9{3}"), form("U9{9}"), form("A9{9}"), form("A{5}9{9}"), form("U{5}-9{2}-9{2}-9{5}"), form("A9{4}-9{5}-9{5}"), form("A9{12}"), form("A9{4}-9{6}-9{2}"), checked("A{2}-A{2}-A{2}-N{6}", check::is_mixed), form("A{2}\\-A{2}\\-A{2}\\-A9{3}N{2}")]),
        words: [ENGLISH, &["permis de conduire"]], min: 4,
        found: ["driver's licence «1234567»", "permis de conduire: «A1234-12345-12345»", "DL# «A123456789012»", "driving licence «123456-789»"],
        left: ["driver's licence 123", "1234567"],
    ),
    identifier!(
        "DriversLicense-CY", Forms(&[form("9{12}")]),
        words: [&["άδεια οδήγησης"]], min: 12,
        found: ["Άδεια οδήγησης «123456789012»", "ΆΔΕΙΑ ΟΔΉΓΗΣΗΣ: «123456789012»"],
        left: ["άδεια οδήγησης 12345678901", "123456789012"],
    ),
    identifier!(
        "DriversLicense-CZ", Forms(&[form("eA-9{6}"), form("A{2}-9{6}")]),
        words: [&["číslo licence", "císlo licence řidiče", "číslo řidičského průkazu", "ovladače lic.", "povolení k jízdě", "povolení řidiče", "řidiči povolení", "řidičský prúkaz", "řidičský průkaz"]], min: 8,
        found: ["řidičský průkaz «EK123456»", "číslo řidičského průkazu: «EK 123456»"],
        left: ["řidičský průkaz EK12345", "EK123456"],
    ),
    // Fahrerlaubnis-Verordnung, Anlage 8: authority, number, check, copy.
    identifier!(
        "DriversLicense-DE", Forms(&[form("N9{2}N{6}9N"), checked("N{4}-N{5}-9N", check::has_digit)]),
        words: [&["fuehrerschein", "fuehrerschein- nr", "fuehrerscheinnummer", "fuhrerschein", "führerschein", "fuhrerschein- nr", "führerschein- nr", "fuhrerscheinnummer", "führerscheinnummer"]], min: 11,
        found: ["Führerschein «B072RRE2I55»", "Führerschein-Nr. «J430A1RZN11»", "fuehrerscheinnummer=«b072rre2i55»"],
        left: ["Führerschein B072RRE2I", "B072RRE2I55"],
    ),
    identifier!(
        "DriversLicense-DK", Forms(&[form("9{8}")]),
        words: [&["kørekort", "kørekortnummer"]], min: 8,
        found: ["kørekort «12345678»", "Kørekortnummer: «12345678»"],
        left: ["kørekort 1234567", "12345678"],
    ),
    identifier!(
        "DriversLicense-EE", Forms(&[form("et-9{6}")]),
        words: [&["juhi litsentsi number", "juhiloa number", "juhiluba", "juhiluba number"]], min: 8,
        found: ["juhiluba «ET123456»", "juhiloa number: «ET 123456»"],
        left: ["juhiluba ES123456", "ET123456"],
    ),
    // Dirección General de Tráfico: the DNI or NIE.
    identifier!(
        "DriversLicense-ES", Forms(&[checked("9{2}-9{3}-9{3}-A", check::dni), checked("[XYZ]-9{7}-A", check::nie)]),
        words: [&[
            "carnet conducer", "el carnet de conducer", "licencia conducer", "licencia de manejo", "número carnet conducer",
            "número de carnet de conducer", "número de permiso conducer", "número de permiso de conducer",
            "número licencia conducer", "número permiso conducer", "permiso conducción", "permiso conducer",
            "permiso de conducción", "carnet de conducir", "permiso de conducir", "licencia de conducir",
        ]], min: 9,
        found: ["permiso de conducción «12345678Z»", "licencia de manejo: «X1234567L»"],
        left: ["permiso de conducción 12345678A", "12345678Z"],
    ),
    // Digital and Population Data Services Agency: the personal identity code.
    identifier!(
        "DriversLicense-FI", Forms(&[checked("9{6}\\-9{3}N", check::hetu), checked("9{6}\\+9{3}N", check::hetu), checked("9{6}[A-FU-Y]9{3}N", check::hetu)]),
        words: [&["ajokortin numero", "ajokortti", "förare lic.", "körkort", "körkort nummer", "kuljettaja lic.", "permis de conduire"]], min: 11,
        found: ["ajokortti «131052-308T»", "körkort: «131052A308T»"],
        left: ["ajokortti 131052-308U", "131052-308T"],
    ),
    identifier!(
        "DriversLicense-FR", Forms(&[form("9{12}"), form("9{2}A{2}9{5}"), form("9{2}-U{2}-9{5}")]),
        words: [&["permis de conduire"]], min: 9,
        found: ["permis de conduire «123456789012»", "Permis de conduire: «12AB34567»"],
        left: ["permis de conduire 12345678901", "123456789012"],
    ),
    // DVLA: surname, decade, month, day, year, initials, check; often with the issue number.
    identifier!(
        "DriversLicense-GB", Forms(&[form("[A-Z9]{5}-9[0156]9-[0-3]9{2}-[A-Z9]{2}N[A-Z]{2}"), form("[A-Z9]{5}-9[0156]9-[0-3]9{2}-[A-Z9]{2}N[A-Z]{2}-9{2}")]),
        words: [ENGLISH], min: 16,
        found: ["driving licence «MORGA657054SM9IJ»", "driving licence: «MORGA 657054 SM9IJ 35»", "DL# «MORGA657054SM9IJ35»"],
        left: ["driving licence MORGA697054SM9I", "MORGA657054SM9IJ"],
    ),
    identifier!(
        "DriversLicense-GR", Forms(&[form("9{9}")]),
        words: [&["δεια οδήγησης", "άδεια οδήγησης", "adeia odigisis"]], min: 9,
        found: ["adeia odigisis «123456789»", "άδεια οδήγησης: «123456789»"],
        left: ["adeia odigisis 12345678", "123456789"],
    ),
    identifier!(
        "DriversLicense-HR", Forms(&[form("9{8}")]),
        words: [&["vozačka dozvola"]], min: 8,
        found: ["vozačka dozvola «12345678»", "Vozacka dozvola: «12345678»"],
        left: ["vozačka dozvola 1234567", "12345678"],
    ),
    identifier!(
        "DriversLicense-HU", Forms(&[form("A{2}-9{6}")]),
        words: [&["illesztőprogramok lic", "jogosítvány", "jogsi", "licencszám", "vezető engedély", "vezetői engedély"]], min: 8,
        found: ["jogosítvány «AB123456»", "vezetői engedély: «AB 123456»"],
        left: ["jogosítvány AB12345", "AB123456"],
    ),
    identifier!(
        "DriversLicense-IE", Forms(&[form("9{6}A{4}"), form("9{6}-U{4}"), form("9{9}")]),
        words: [&["ceadúnas tiomána"], ENGLISH], min: 9,
        found: ["ceadúnas tiomána «123456ABCD»", "Ceadunas tiomana: «123456 ABCD»"],
        left: ["ceadúnas tiomána 12345ABCD", "123456ABCD"],
    ),
    identifier!(
        "DriversLicense-IT", Forms(&[form("A[AV]-9{7}-A"), form("u1N{7}A")]),
        words: [&["patente di guida", "patente di guida numero", "patente guida", "patente guida numero"]], min: 10,
        found: ["patente di guida «AV1234567B»", "patente guida: «U1ABC1234D»"],
        left: ["patente di guida AB1234567C", "AV1234567B"],
    ),
    identifier!(
        "DriversLicense-LT", Forms(&[form("9{8}")]),
        words: [&["vairuotojo pažymėjimas"]], min: 8,
        found: ["vairuotojo pažymėjimas «12345678»", "Vairuotojo pazymejimas: «12345678»"],
        left: ["vairuotojo pažymėjimas 1234567", "12345678"],
    ),
    identifier!(
        "DriversLicense-LU", Forms(&[form("9{6}")]),
        words: [&["fahrerlaubnis", "führerschäin"]], min: 6,
        found: ["Fahrerlaubnis «123456»", "Führerschäin: «123456»"],
        left: ["Fahrerlaubnis 12345", "123456"],
    ),
    identifier!(
        "DriversLicense-LV", Forms(&[form("A{3}9{6}"), form("U{3}-9{6}"), form("A{2}9{6}")]),
        words: [&["autovadītāja apliecība", "licences numurs", "vadītāja apliecība", "vadītāja apliecības numurs", "vadītāja atļauja", "vadītāja licences numurs", "vadītāji lic."]], min: 8,
        found: ["vadītāja apliecība «ABC123456»", "licences numurs: «ABC 123456»"],
        left: ["vadītāja apliecība ABC12345", "ABC123456"],
    ),
    identifier!(
        "DriversLicense-MT", Forms(&[form("N{2}-9{3}-9{3}")]),
        words: [&["liċenzja tas-sewqan"]], min: 8,
        found: ["liċenzja tas-sewqan «AB 123 456»", "Licenzja tas-sewqan: «12345678»"],
        left: ["liċenzja tas-sewqan AB12345", "AB123456"],
    ),
    identifier!(
        "DriversLicense-NL", Forms(&[form("9{10}")]),
        words: [&["permis de conduire", "rijbewijs", "rijbewijsnummer"]], min: 10,
        found: ["rijbewijs «1234567890»", "rijbewijsnummer: «1234567890»"],
        left: ["rijbewijs 123456789", "1234567890"],
    ),
    identifier!(
        "DriversLicense-PL", Forms(&[form("9{5}\\/9{2}\\/9{4}"), form("9{5}-9{2}-9{4}")]),
        words: [&["numer licencyjny", "prawo jazdy", "zezwolenie na prowadzenie"]], min: 11,
        found: ["prawo jazdy «12345/12/1234»", "Prawo jazdy: «12345 12 1234»"],
        left: ["prawo jazdy 1234/12/1234", "12345/12/1234"],
    ),
    identifier!(
        "DriversLicense-PT", Forms(&[form("A{1,2}-9{5,8}-9"), form("A{1,2}\\-9{5,8}")]),
        words: [&[
            "carta de condução", "carteira de habilitação", "carteira de motorist", "carteira habilitação",
            "carteira motorist", "licença condução", "licença de condução", "número de licença", "número licença",
            "permissão condução", "permissão de condução",
        ]], min: 7,
        found: ["carta de condução «AB-12345 6»", "licença de condução: «L-1234567 8»"],
        left: ["carta de condução AB-1234", "AB-12345 6"],
    ),
    identifier!(
        "DriversLicense-RO", Forms(&[form("N9{8}"), form("A9{8}A")]),
        words: [&["numărul permisului de conducere", "permis de conducere"]], min: 9,
        found: ["permis de conducere «B12345678»", "numarul permisului de conducere: «123456789»"],
        left: ["permis de conducere B1234567", "B12345678"],
    ),
    // Skatteverket: the personal number.
    identifier!(
        "DriversLicense-SE", Forms(&[checked("9{6}-9{4}", check::personnummer), checked("9{6}\\+9{4}", check::personnummer), checked("[12]9{7}-9{4}", check::personnummer)]),
        words: [&["ajokortin numero", "dlno#", "ajokortti", "drivere lic.", "förare lic.", "körkort", "körkort nummer", "körkortsnummer", "kuljettajat lic."]], min: 10,
        found: ["körkort «811218-9876»", "körkortsnummer: «8112189876»", "korkort «19811218-9876»"],
        left: ["körkort 811218-9877", "811218-9876"],
    ),
    identifier!(
        "DriversLicense-SI", Forms(&[form("9{9}")]),
        words: [&["vozniško dovoljenje"]], min: 9,
        found: ["vozniško dovoljenje «123456789»", "Voznisko dovoljenje: «123456789»"],
        left: ["vozniško dovoljenje 12345678", "123456789"],
    ),
    identifier!(
        "DriversLicense-SK", Forms(&[form("N9{7}"), form("U-9{7}")]),
        words: [&["číslo licencie", "číslo vodičského preukazu", "ovládače lic.", "povolenia vodičov", "povolenie jazdu", "povolenie na jazdu", "povolenie vodiča", "vodičský preukaz"]], min: 8,
        found: ["vodičský preukaz «S1234567»", "číslo licencie: «12345678»"],
        left: ["vodičský preukaz S123456", "S1234567"],
    ),
    // A policy cannot name the state: this is the union of all. Eight letters, as New York once had, only in capitals.
    identifier!(
        "DriversLicense-US",
        Forms(&[
            form("A{1,3}9~{2,18}"), form("U{1,3}-9~{2,18}"), form("9~{4,16}"), form("U{8}"), form("9{7}A"), form("9{8}A{2}"),
            form("9{9}A"), form("9{3}A{2}9{4}"), form("9{2}A{3}9{5}"), form("9{3}A9{6}"), form("A{2}9{6}A"), form("A9{6}A"),
            form("A9A9A"), checked("A{3,7}[A-Z0-9*]{5,9}", check::has_digit), form("9{3}-9{3}-9{3}"), form("9{2}-9{3}-9{3}"),
        ]),
        words: [ENGLISH], min: 3,
        found: ["driver's license «D1234567»", "DL# «A123-456-78-901-0»", "driver license: «12345678»", "drivers license «12ABC34567»", "{\"driversLicense\":{\"number\":\"«D1234567»\"}}", "driver license «SMITH*AB123C»", "{\"driver\":{\"license\":\"«D1234567»\"}}"],
        left: ["driver license required", "{\"dl\":1048576}", "D1234567", "driver license until 2029-08-13", "driver license until 2029/08/13", "driver license version 1.2.3"],
    ),
];
