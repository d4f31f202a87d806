//! Vehicles.

use super::Find::Forms;
use super::{Identifier, check, checked, identifier};

pub(super) const ROWS: &[Identifier] = &[
    // ISO 3779: no I, O, Q. Only North America and China have a check digit: it is not asked for.
    identifier!(
        "VehicleIdentificationNumber", Forms(&[checked("[A-HJ-NPR-Z0-9]{17}", check::is_mixed)]),
        words: [&[
            "Fahrgestellnummer", "niv", "numarul de identificare", "numarul seriei de sasiu", "serie sasiu", "numer VIN",
            "Número de Identificação do Veículo", "Número de Identificación de Automóviles",
            "numéro d'identification du véhicule", "vehicle identification number", "vin", "VIN numeris",
        ]], min: 17,
        found: ["VIN «1M8GDM9AXKP042788»", "Fahrgestellnummer: «WVWZZZ1JZXW000001»", "vehicle identification number «1m8gdm9axkp042788»"],
        left: ["VIN 1M8GDM9AXKP04278O", "1M8GDM9AXKP042788", "vinyl 1M8GDM9AXKP042788"],
    ),
];
