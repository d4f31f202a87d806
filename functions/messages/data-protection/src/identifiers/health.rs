//! Health: cards, claims, providers, codes. `NationalInsuranceNumber-GB` is among the health identifiers of AWS's guide.

use super::Find::Forms;
use super::{Identifier, check, checked, form, identifier};

pub(super) const ROWS: &[Identifier] = &[
    identifier!(
        "DrugEnforcementAgencyNumber-US", Forms(&[checked("A[A-Z9]-9{7}", check::dea)]),
        words: [&["dea number", "dea registration", "dea"]], min: 9,
        found: ["DEA number «AB1234563»", "dea registration: «F91234563»", "{\"deaNumber\":[\"«AB1234563»\"]}", "DEA#«AB1234563»"],
        left: ["DEA number AB1234564", "order AB1234563", "idea number AB1234563"],
    ),
    // Level II: a letter and four digits; level I, CPT: five digits, or four and F, T or U. CMS, "HCPCS".
    identifier!(
        "HealthcareProcedureCode-US", Forms(&[form("[A-V]9{4}"), form("9{4}[0-9FTU]")]),
        words: [&["current procedural terminology", "hcpcs", "healthcare common procedure coding system", "cpt"]], min: 5,
        found: ["HCPCS «J3490»", "hcpcs code «99213»", "current procedural terminology «0001F»"],
        left: ["HCPCS W3490", "code J3490", "HCPCS J34901"],
    ),
    // Decision S2 of the Administrative Commission, 2009: 80, the country in three digits, the institution in five.
    identifier!(
        "HealthInsuranceCardNumber-EU", Forms(&[form("80-9{3}-9{5}-9{10}"), form("9{20}"), form("80-9{5}-9{4,13}")]),
        words: [&[
            "assicurazione sanitaria numero", "carta assicurazione numero", "carte d’assurance maladie",
            "carte européenne d'assurance maladie", "ceam", "ehic", "ehic#", "finlandehicnumber#", "gesundheitskarte",
            "hälsokort", "health card", "health card number", "health insurance card", "health insurance number",
            "insurance card number", "krankenversicherungskarte", "krankenversicherungsnummer", "medical account number",
            "numero conto medico", "numéro d’assurance maladie", "numéro de carte d’assurance", "numéro de compte medical",
            "número de cuenta médica", "número de seguro de salud", "número de tarjeta de seguro", "sairaanhoitokortin",
            "sairausvakuutuskortti", "sairausvakuutusnumero", "sjukförsäkring nummer", "sjukförsäkringskort",
            "suomi ehic-numero", "tarjeta de salud", "terveyskortti", "tessera sanitaria assicurazione numero",
            "versicherungsnummer", "finland health insurance card", "finska sjukförsäkringskort",
            "suomen sairausvakuutuskortti",
        ]], min: 11,
        found: ["EHIC «80246123451234567890»", "health card «80 246 12345 1234567890»", "hälsokort: «80246123451234567890»"],
        left: ["EHIC 802461234", "80246123451234567890"],
    ),
    identifier!(
        "HealthInsuranceClaimNumber-US",
        Forms(&[checked("9{3}-9{2}-9{4}-A", check::ssn), checked("9{3}-9{2}-9{4}-A[A-Z0-9]", check::ssn), form("A{1,3}-9{3}-9{2}-9{4}"), form("A{1,3}-9{6}")]),
        words: [&["health insurance claim number", "hic no", "hic no.", "hic number", "hic#", "hicn", "hicn#.", "hicn#", "hicno#", "hic"]], min: 7,
        found: ["HICN «123-45-6789A»", "hic number: «123456789B1»", "HIC# «WA123456»", "hicn «MA123456789»"],
        left: ["HICN 123-45-678", "123-45-6789A", "HICN 000-45-6789A"],
    ),
    identifier!(
        "HealthInsuranceNumber-FR", Forms(&[checked("[1-478]-9{2}-9{2}-9[0-9AB]-9{3}-9{3}-9{2}", check::nir)]),
        words: [&["carte d'assuré social", "carte vitale", "insurance card"]], min: 15,
        found: ["carte vitale «1 85 05 78 006 084 91»", "insurance card: «185057800608491»", "Carte d’assuré social «185052A00608435»"],
        left: ["carte vitale 185057800608492", "185057800608491"],
    ),
    // CMS, "Understanding the MBI format": no S, L, O, I, B, Z.
    identifier!(
        "MedicareBeneficiaryNumber-US",
        Forms(&[form("[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9]9-[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9]9-[AC-HJKMNP-RT-Y]{2}9{2}")]),
        words: [&["mbi", "medicare beneficiary"]], min: 11,
        found: ["MBI «1EG4-TE5-MK73»", "medicare beneficiary «1eg4te5mk73»", "{\"mbi\":{\"id\":\"«1EG4TE5MK73»\"}}"],
        left: ["MBI 1SG4-TE5-MK73", "1EG4-TE5-MK73", "MBI 0EG4-TE5-MK73"],
    ),
    // FDA, 21 CFR 207.33; as HIPAA pads it: 5-4-2.
    identifier!(
        "NationalDrugCode-US", Forms(&[form("9{4}-9{4}-9{2}"), form("9{5}-9{3}-9{2}"), form("9{5}-9{4}-9{1,2}"), form("9{10,11}")]),
        words: [&["national drug code", "ndc"]], min: 10,
        found: ["NDC «0002-1433-80»", "ndc: «50242-040-62»", "national drug code «60575-4112-1»", "NDC «00002143380»"],
        left: ["NDC 123-45", "0002-1433-80"],
    ),
    identifier!(
        "NationalInsuranceNumber-GB", Forms(&[checked("A{2}-9{2}-9{2}-9{2}-[A-D]", check::nino), checked("A{2}-9{2}-9{2}-9{2}", check::nino)]),
        words: [&["insurance no.", "insurance number", "insurance#", "national insurance number", "nationalinsurance#", "nationalinsurancenumber", "national insurance", "nin", "nino"]], min: 8,
        found: ["NINO «AB 12 34 56 C»", "national insurance number: «ab123456c»", "insurance no. «AB123456»", "nin=«CE-12-34-56-D»"],
        left: ["NINO QQ 12 34 56 C", "NINO BG123456C", "AB123456C"],
    ),
    identifier!(
        "NationalProviderId-US", Forms(&[checked("[12]9{9}", check::npi), checked("[12]9{2}-9{3}-9{4}", check::npi)]),
        words: [&["hipaa", "n.p.i", "n.p.i.", "national provider", "npi"]], min: 10,
        found: ["NPI «1234567893»", "n.p.i. «1234567893»", "national provider: «1234567893»"],
        left: ["NPI 1234567892", "NPI 3234567893", "1234567893"],
    ),
    identifier!(
        "NhsNumber-GB", Forms(&[checked("9{3}-9{3}-9{4}", check::nhs)]),
        words: [&["national health service", "NHS", "nhs number"]], min: 10,
        found: ["NHS «943 476 5919»", "nhsNumber: «9434765919»", "national health service «943-476-5919»"],
        left: ["NHS 943 476 5918", "943 476 5919", "NHS 1111111111"],
    ),
    // British Columbia has a check; Alberta, Saskatchewan and Manitoba nine digits, Ontario ten and a version, Quebec four
    // letters and eight digits.
    identifier!(
        "PersonalHealthNumber-CA", Forms(&[form("9{4}-9{3}-9{3}"), form("9{4}-9{3}-9{3}-U{1,2}"), form("9{3}-9{3}-9{3}"), form("9{5}-9{4}"), form("A{4}-9{4}-9{4}")]),
        words: [&["canada healthcare number", "msp number", "personal healthcare number", "personal health number", "phn", "soins de santé"]], min: 9,
        found: ["PHN «9123 456 780»", "phn: «9123456780»", "msp number «123456789»", "soins de santé «TREM 1234 5678»", "PHN «1234-567-890-AB»"],
        left: ["PHN 12345678", "9123456780"],
    ),
];
