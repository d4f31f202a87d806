//! Tax numbers of people and companies.

use super::Find::Forms;
use super::{Identifier, check, checked, form, identifier};

/// AWS's one list for three identifiers of Spain.
const SPAIN: &[&str] = &[
    "cif",
    "cif número",
    "cifnúmero#",
    "nie",
    "nif",
    "número de contribuyente",
    "número de identidad de extranjero",
    "número de identificación fiscal",
    "número de impuesto corporativo",
    "personal tax number",
    "tax id",
    "tax identification number",
    "tax number",
    "tin",
    "tin#",
];

pub(super) const ROWS: &[Identifier] = &[
    identifier!(
        "Cnpj-BR", Forms(&[checked("N{2}-N{3}-N{3}-N{4}-9{2}", check::cnpj)]),
        words: [&["cadastro nacional da pessoa jurídica", "cadastro nacional da pessoa juridica", "cnpj"]], min: 14,
        found: ["CNPJ «12.345.678/0001-95»", "cnpj: «12345678000195»", "CNPJ «12.ABC.345/01DE-35»"],
        left: ["CNPJ 12.345.678/0001-96", "12.345.678/0001-95"],
    ),
    identifier!(
        "IndividualTaxIdentificationNumber-US", Forms(&[checked("[9]9{2}-9{2}-9{4}", check::itin)]),
        words: [&["individual taxpayer identification number", "itin", "i.t.i.n."]], min: 9,
        found: ["ITIN «912-70-1234»", "i.t.i.n. «912701234»", "individual taxpayer identification number: «912 70 1234»"],
        left: ["ITIN 912-69-1234", "ITIN 812-70-1234", "912701234"],
    ),
    identifier!(
        "NieNumber-ES", Forms(&[checked("[XYZ]-9{7}-A", check::nie)]),
        words: [SPAIN], min: 9,
        found: ["NIE «X1234567L»", "nie: «X-1234567-L»", "tax id «x1234567l»"],
        left: ["NIE X1234567A", "X1234567L"],
    ),
    identifier!(
        "NifNumber-ES", Forms(&[checked("9{2}-9{3}-9{3}-A", check::dni), checked("[XYZ]-9{7}-A", check::nie), checked("[KLM]-9{7}-A", check::klm)]),
        words: [SPAIN], min: 9,
        found: ["NIF «12345678Z»", "nif: «X1234567L»", "NIF «K1234567L»"],
        left: ["NIF 12345678A", "12345678Z", "NIF K1234567A"],
    ),
    identifier!(
        "TaxId-DE", Forms(&[checked("[1-9]9-9{3}-9{3}-9{3}", check::steuer_id)]),
        words: [&["identifikationsnummer", "steuer id", "steueridentifikationsnummer", "steuernummer", "tax id", "tax identification number", "tax number"]], min: 11,
        found: ["Steuer-ID «86095742719»", "Steueridentifikationsnummer: «86 095 742 719»", "steuerId=«86095742719»"],
        left: ["Steuer-ID 86095742718", "86095742719"],
    ),
    identifier!(
        "TaxId-ES", Forms(&[checked("[A-HJNP-SUVW]-9{7}-[0-9A-J]", check::cif)]),
        words: [SPAIN], min: 9,
        found: ["CIF «B12345674»", "cif: «B-12345674»", "NIF «Q1234567D»"],
        left: ["CIF B12345675", "B12345674"],
    ),
    identifier!(
        "TaxId-FR", Forms(&[checked("[0-3]9-9{2}-9{3}-9{3}-9{3}", check::spi)]),
        words: [&["numéro d'identification fiscale", "numéro fiscal", "tax id", "tax identification number", "tax number", "tin", "tin#"]], min: 13,
        found: ["numéro d’identification fiscale «0123456789211»", "TIN «01 23 456 789 211»", "tax number: «0123456789211»"],
        left: ["TIN 0123456789212", "0123456789211"],
    ),
    // The temporary reference number has no check.
    identifier!(
        "TaxId-GB", Forms(&[checked("9{5}-9{5}", check::utr), checked("9{10}k", check::utr), form("9{2}-A-9{2}-9{3}")]),
        words: [&[
            "paye", "tax id", "tax id no.", "tax id number", "tax identification", "tax identification#", "tax no.",
            "tax number", "tax reference", "tax#", "taxid#", "temporary reference number", "tin", "trn",
            "unique tax reference", "unique taxpayer reference", "utr",
        ]], min: 8,
        found: ["UTR «1123456789»", "unique taxpayer reference: «11234 56789»", "TRN «11A12345»", "utr «1123456789K»"],
        left: ["UTR 2123456789", "1123456789"],
    ),
];
