//! National identity numbers, social insurance, residence, electoral rolls.

use super::Find::Forms;
use super::{Identifier, check, checked, form, identifier};

pub(super) const ROWS: &[Identifier] = &[
    identifier!(
        "CpfCode-BR", Forms(&[checked("9{3}-9{3}-9{3}-9{2}", check::cpf)]),
        words: [&["Cadastro de pessoas fisicas", "cadastro de pessoas físicas", "cadastro de pessoa física", "cadastro de pessoa fisica", "cpf"]], min: 11,
        found: ["CPF «123.456.789-09»", "cpf1:«123.456.789-09»", "cpf: «12345678909»", "Cadastro de Pessoas Físicas «123 456 789 09»"],
        left: ["CPF 123.456.789-08", "CPF 111.111.111-11", "12345678909"],
    ),
    identifier!(
        "ElectoralRollNumber-GB", Forms(&[form("A{1,4}-9{1,5}")]),
        words: [&["electoral#", "electoral #", "electoralnumber", "electoral number", "electoralroll#", "electoral roll#", "electoral roll #", "electoral roll no.", "electoral roll number", "electoralrollno", "electoral roll"]], min: 3,
        found: ["electoral roll number «AB1234»", "electoral number: «KV-123»", "{\"electoralRollNo\":\"«WH12»\"}"],
        left: ["electoral roll", "AB1234"],
    ),
    identifier!(
        "InseeCode-FR", Forms(&[checked("[1-478]-9{2}-9{2}-9[0-9AB]-9{3}-9{3}-9{2}", check::nir)]),
        words: [&[
            "assurance sociale", "carte nationale d’identité", "cni", "code sécurité sociale", "French social security number",
            "fssn#", "insee", "insurance number", "national id number", "nationalid#", "numéro d'assurance",
            "sécurité sociale", "sécurité sociale non.", "sécurité sociale numéro", "social", "social security",
            "social security number", "socialsecuritynumber", "ss#", "ssn", "ssn#", "nir",
        ]], min: 15,
        found: ["INSEE «1 85 05 78 006 084 91»", "sécurité sociale: «185057800608491»", "numéro d’assurance «185052A00608435»"],
        left: ["INSEE 185057800608492", "185057800608491"],
    ),
    // Since 2010 nine characters, a tenth in the machine-readable zone; before, nine digits and a check digit.
    identifier!(
        "NationalIdentificationNumber-DE",
        Forms(&[checked("[CFGHJ-NPRTV-Z][CFGHJ-NPRTV-Z0-9]{8}", check::has_digit), checked("[CFGHJ-NPRTV-Z][CFGHJ-NPRTV-Z0-9]{8}-9", check::has_digit), form("9{10}"), form("9{10}[dD]")]),
        words: [&["ausweisnummer", "id number", "identification number", "identity number", "insurance number", "personal id", "personalausweis", "personalausweisnummer"]], min: 9,
        found: ["Personalausweis «L01X00T47»", "Ausweisnummer: «L01X00T471»", "identity number «l01x00t47»", "personal id «1220001297»"],
        left: ["Personalausweis Wohnungs", "L01X00T47", "Personalausweis CFGHJKLMN"],
    ),
    identifier!(
        "NationalIdentificationNumber-ES", Forms(&[checked("9{2}-9{3}-9{3}-A", check::dni)]),
        words: [&[
            "dni", "dni#", "dninúmero#", "documento nacional de identidad", "identidad único", "identidadúnico#",
            "insurance number", "national identification number", "national identity", "nationalid#", "nationalidno#",
            "número nacional identidad", "personal identification number", "personal identity no", "unique identity number",
            "uniqueid#",
        ]], min: 9,
        found: ["DNI «12345678Z»", "dni: «12.345.678-Z»", "documento nacional de identidad «12345678z»"],
        left: ["DNI 12345678A", "12345678Z", "DNI 99999999R"],
    ),
    // Where two people would have the same one, digits are written as letters.
    identifier!(
        "NationalIdentificationNumber-IT",
        Forms(&[checked("A{6}[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2}A[0-9LMNP-V]{3}A", check::codice_fiscale), checked("A{3}-A{3}-[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2}-A[0-9LMNP-V]{3}A", check::codice_fiscale)]),
        words: [&[
            "codice fiscal", "codice fiscale", "dati anagrafici", "ehic", "health card", "health insurance card", "p. iva",
            "partita i.v.a.", "personal data", "tax code", "tessera sanitaria",
        ]], min: 16,
        found: ["codice fiscale «RSSMRA85T10A562S»", "tax code: «rssmra85t10a562s»", "tessera sanitaria «RSS MRA 85T10 A562S»"],
        left: ["codice fiscale RSSMRA85T10A562T", "RSSMRA85T10A562S"],
    ),
    identifier!(
        "PermanentResidenceNumber-CA", Forms(&[form("A{2}-9{7,10}"), form("A{2}-9{4}-9{4}-9{0,2}")]),
        words: [&[
            "carte résident permanent", "numéro carte résident permanent", "numéro résident permanent",
            "permanent resident card", "permanent resident card number", "permanent resident no", "permanent resident no.",
            "permanent resident number", "pr no", "pr no.", "pr non", "pr number", "résident permanent no.",
            "résident permanent non", "permanent resident",
        ]], min: 9,
        found: ["permanent resident card «RA0123456789»", "PR no. «RA 0302123456»", "résident permanent no. «PA0123456»"],
        left: ["PR no. RA012345", "RA0123456789"],
    ),
    // São Paulo has a check digit or X, other states differ: it is not asked for.
    identifier!(
        "RgNumber-BR", Forms(&[form("9{1,2}-9{3}-9{3}-[0-9X]"), form("9{1,2}-9{3}-9{3}"), form("A{2}-9{1,2}-9{3}-9{3}"), form("9{7,10}-[0-9X]")]),
        words: [&["registro geral", "rg"]], min: 7,
        found: ["RG «12.345.678-9»", "registro geral: «12345678X»", "rg «1.234.567»", "RG «MG-12.345.678»"],
        left: ["RG 12.345", "12.345.678-9"],
    ),
    identifier!(
        "SocialInsuranceNumber-CA", Forms(&[checked("9{3}-9{3}-9{3}", check::sin)]),
        words: [&["canadian id", "numéro d'assurance sociale", "social insurance number", "social insurance", "sin"]], min: 9,
        found: ["SIN «123-456-782»", "social insurance number: «123456782»", "numéro d’assurance sociale «123 456 782»"],
        left: ["SIN 123-456-781", "123456782", "SIN 812-345-674"],
    ),
    identifier!(
        "Ssn-ES", Forms(&[checked("9{2}-9{8}-9{2}", check::ssn_es)]),
        words: [&[
            "número de la seguridad social", "social security no.", "social security number", "socialsecurityno#", "ssn", "ssn#",
            "seguridad social",
        ]], min: 12,
        found: ["número de la seguridad social «28/12345678/40»", "SSN «281234567840»", "social security no. «28 1234567840»"],
        left: ["SSN 281234567841", "281234567840"],
    ),
];
