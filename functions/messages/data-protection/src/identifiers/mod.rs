//! The managed data identifiers that are supported, and how each is found.
//!
//! Each detector reads a text once, and looks at a bounded number of characters for each candidate: the time is linear
//! in the length of the text, whatever is in it.

mod bank_account;
mod card;
mod email;
mod ip_address;
mod phone;
mod private_key;
mod secret_key;
mod ssn;
mod text;

use std::ops::Range;

pub(crate) use self::text::Text;

/// A managed data identifier that is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Managed {
    /// An AWS secret access key: 40 characters of base64.
    AwsSecretKey,
    /// A German IBAN.
    BankAccountNumberDe,
    /// A Spanish IBAN.
    BankAccountNumberEs,
    /// A French IBAN.
    BankAccountNumberFr,
    /// A British IBAN.
    BankAccountNumberGb,
    /// An Italian IBAN.
    BankAccountNumberIt,
    /// A payment card number: 13 to 19 digits, a known prefix, the Luhn check.
    CreditCardNumber,
    /// A mail address.
    EmailAddress,
    /// An IPv4 or IPv6 address.
    IpAddress,
    /// A private key in OpenSSH's format.
    OpenSshPrivateKey,
    /// A PGP private key block.
    PgpPrivateKey,
    /// A phone number of the North American Numbering Plan.
    PhoneNumberUs,
    /// A private key in PEM: PKCS#1, PKCS#8, SEC 1, DSA.
    PkcsPrivateKey,
    /// A private key in PuTTY's format.
    PuttyPrivateKey,
    /// A US social security number.
    SsnUs,
}

impl Managed {
    /// All of them, by name.
    pub const ALL: [Self; 15] = [
        Self::AwsSecretKey,
        Self::BankAccountNumberDe,
        Self::BankAccountNumberEs,
        Self::BankAccountNumberFr,
        Self::BankAccountNumberGb,
        Self::BankAccountNumberIt,
        Self::CreditCardNumber,
        Self::EmailAddress,
        Self::IpAddress,
        Self::OpenSshPrivateKey,
        Self::PgpPrivateKey,
        Self::PhoneNumberUs,
        Self::PkcsPrivateKey,
        Self::PuttyPrivateKey,
        Self::SsnUs,
    ];

    /// Its name, as in the ARN `arn:aws:dataprotection::aws:data-identifier/<name>`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AwsSecretKey => "AwsSecretKey",
            Self::BankAccountNumberDe => "BankAccountNumber-DE",
            Self::BankAccountNumberEs => "BankAccountNumber-ES",
            Self::BankAccountNumberFr => "BankAccountNumber-FR",
            Self::BankAccountNumberGb => "BankAccountNumber-GB",
            Self::BankAccountNumberIt => "BankAccountNumber-IT",
            Self::CreditCardNumber => "CreditCardNumber",
            Self::EmailAddress => "EmailAddress",
            Self::IpAddress => "IpAddress",
            Self::OpenSshPrivateKey => "OpenSshPrivateKey",
            Self::PgpPrivateKey => "PgpPrivateKey",
            Self::PhoneNumberUs => "PhoneNumber-US",
            Self::PkcsPrivateKey => "PkcsPrivateKey",
            Self::PuttyPrivateKey => "PuttyPrivateKey",
            Self::SsnUs => "Ssn-US",
        }
    }

    /// The identifier of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|managed| managed.name() == name)
    }

    /// Characters of the shortest value. Most texts of a JSON document are keys and short values: one look at the length is
    /// all that they need.
    fn shortest(self) -> usize {
        match self {
            Self::AwsSecretKey => 40,
            Self::BankAccountNumberDe | Self::BankAccountNumberGb => 22,
            Self::BankAccountNumberEs => 24,
            Self::BankAccountNumberFr | Self::BankAccountNumberIt => 27,
            Self::CreditCardNumber => 13,
            // a@b.de
            Self::EmailAddress => 6,
            // ::
            Self::IpAddress => 2,
            Self::PhoneNumberUs => 10,
            // The first line, and 24 characters of a key.
            Self::OpenSshPrivateKey | Self::PgpPrivateKey | Self::PkcsPrivateKey | Self::PuttyPrivateKey => 50,
            Self::SsnUs => 9,
        }
    }

    /// Where it is in the text, in order.
    pub(crate) fn find(self, text: &Text<'_>, found: &mut Vec<Range<usize>>) {
        if text.bytes.len() < self.shortest() {
            return;
        }
        match self {
            Self::AwsSecretKey => secret_key::find(text, found),
            Self::BankAccountNumberDe => bank_account::find(text, bank_account::Country::De, found),
            Self::BankAccountNumberEs => bank_account::find(text, bank_account::Country::Es, found),
            Self::BankAccountNumberFr => bank_account::find(text, bank_account::Country::Fr, found),
            Self::BankAccountNumberGb => bank_account::find(text, bank_account::Country::Gb, found),
            Self::BankAccountNumberIt => bank_account::find(text, bank_account::Country::It, found),
            Self::CreditCardNumber => card::find(text, found),
            Self::EmailAddress => email::find(text, found),
            Self::IpAddress => ip_address::find(text, found),
            Self::OpenSshPrivateKey => private_key::find_pem(text, private_key::Pem::OpenSsh, found),
            Self::PgpPrivateKey => private_key::find_pem(text, private_key::Pem::Pgp, found),
            Self::PhoneNumberUs => phone::find(text, found),
            Self::PkcsPrivateKey => private_key::find_pem(text, private_key::Pem::Pkcs, found),
            Self::PuttyPrivateKey => private_key::find_putty(text, found),
            Self::SsnUs => ssn::find(text, found),
        }
    }
}
