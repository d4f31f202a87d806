//! What the file at the URL must hold.

use aws_lc_rs::error::KeyRejected;
use time::OffsetDateTime;
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::{PEMError, X509Error};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use super::names::signing_common_names;
use crate::envelope::shortened;
use crate::{Region, SigningKey};

/// A signing certificate: what is needed of it to check messages.
#[derive(Debug, Clone)]
pub struct Certificate {
    names: Vec<String>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    key: SigningKey,
}

/// Why a file is not a signing certificate of SNS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It has no PEM block, or a damaged one.
    #[error("reading the certificate as PEM")]
    Pem(#[from] PEMError),
    /// It holds something else besides one certificate, or instead of it.
    #[error("the file holds {seen}: expected one PEM block, CERTIFICATE")]
    NotOneCertificate {
        /// What was found.
        seen: String,
    },
    /// The block is not an X.509 certificate.
    #[error("reading the certificate as X.509")]
    X509(#[from] X509Error),
    /// It is the certificate of an authority; SNS signs with a leaf.
    #[error("the certificate is that of a certificate authority: expected a leaf")]
    Authority,
    /// It was issued to another name.
    #[error("the certificate was issued to {seen}: expected {expected} in the Region {region}")]
    Name {
        /// The names in the certificate.
        seen: String,
        /// What it may be.
        expected: String,
        /// The Region of the URL it came from.
        region: Region,
    },
    /// Its subject has no name, or more than one.
    #[error("the certificate has no DNS name and {seen} common names: expected a DNS name, or one common name")]
    NoName {
        /// How many common names it has.
        seen: usize,
    },
    /// A name in it cannot be read.
    #[error("reading the name in the certificate: it is not text in the encoding {encoding}")]
    NameEncoding {
        /// The encoding by its name in X.509, such as `BMPString`.
        encoding: String,
    },
    /// Its key is not an RSA key.
    #[error("reading the public key of the certificate, which is RSA in those of SNS")]
    Key(#[from] KeyRejected),
}

impl CertificateError {
    /// Whether no certificate was read at all, so that it is not known what SNS's is.
    pub(crate) fn is_unreadable(&self) -> bool {
        match self {
            Self::Pem(_) | Self::NotOneCertificate { .. } | Self::X509(_) => true,
            Self::Authority | Self::Name { .. } | Self::NoName { .. } | Self::NameEncoding { .. } | Self::Key(_) => {
                false
            }
        }
    }
}

impl Certificate {
    /// Reads a file with exactly one certificate, that of a leaf with an RSA key.
    ///
    /// Neither its dates nor its name are checked here.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] says what the file holds instead.
    pub fn from_pem(file: &[u8]) -> Result<Self, CertificateError> {
        let blocks = Pem::iter_from_buffer(file).collect::<Result<Vec<_>, _>>()?;
        let [block] = &blocks[..] else { return Err(not_one(format!("{} PEM blocks", blocks.len()))) };
        if block.label != "CERTIFICATE" {
            return Err(not_one(format!("the PEM block {}", shortened(&block.label))));
        }
        let (rest, certificate) = X509Certificate::from_der(&block.contents).map_err(|error| match error {
            x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => error,
            x509_parser::nom::Err::Incomplete(_) => X509Error::InvalidCertificate,
        })?;
        if !rest.is_empty() {
            return Err(not_one(format!("{} bytes after the certificate", rest.len())));
        }
        if certificate.basic_constraints()?.is_some_and(|extension| extension.value.ca) {
            return Err(CertificateError::Authority);
        }
        Ok(Self {
            names: names(&certificate)?,
            not_before: certificate.validity().not_before.to_datetime(),
            not_after: certificate.validity().not_after.to_datetime(),
            key: SigningKey::from_der(certificate.public_key().raw)?,
        })
    }

    /// Checks that the certificate was issued to SNS in this Region.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Name`] names those it has and those it may have.
    pub fn check_name(&self, region: &Region) -> Result<(), CertificateError> {
        let expected = signing_common_names(region);
        if self.names.iter().any(|name| expected.contains(name)) {
            return Ok(());
        }
        Err(CertificateError::Name {
            seen: shortened(&self.names.join(", ")),
            expected: expected.join(" or "),
            region: region.clone(),
        })
    }

    /// The first moment at which the certificate is valid.
    #[must_use]
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// The last moment at which the certificate is valid.
    #[must_use]
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// The key that messages were signed with.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }
}

/// The names that the certificate was issued to: the DNS names of its subject alternative name or, where it has none,
/// the one common name of its subject.
///
/// Source: RFC 6125, section 6.4.4, "Checking of Common Names".
fn names(certificate: &X509Certificate<'_>) -> Result<Vec<String>, CertificateError> {
    const DNS_NAME: Tag = Tag(2);
    let extension = certificate.subject_alternative_name()?;
    let alternatives = extension.map(|extension| &extension.value.general_names[..]).unwrap_or_default();
    let dns_names: Vec<String> = alternatives
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(Ok((*name).to_owned())),
            GeneralName::Invalid(DNS_NAME, _) => Some(Err(name_encoding(Tag::Ia5String))),
            _ => None,
        })
        .collect::<Result<_, _>>()?;
    if !dns_names.is_empty() {
        return Ok(dns_names);
    }
    match &certificate.subject().iter_common_name().collect::<Vec<_>>()[..] {
        [name] => Ok(vec![text(name.attr_value())?]),
        common_names => Err(CertificateError::NoName { seen: common_names.len() }),
    }
}

/// A text in any of the types that X.509 allows for a name.
///
/// The parser's own conversion (`as_str`) knows four of them. Not TeletexString, which certificates of SNS have used: it
/// is read as Latin-1, as OpenSSL does, since nobody writes the code pages of T.61.
///
/// Source: RFC 5280, section 4.1.2.4 and appendix A.1 (`DirectoryString`).
fn text(value: &Any<'_>) -> Result<String, CertificateError> {
    let bytes = value.data;
    let text = match value.tag() {
        Tag::Utf8String => std::str::from_utf8(bytes).ok().map(str::to_owned),
        Tag::PrintableString | Tag::Ia5String | Tag::VisibleString | Tag::NumericString => {
            std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii()).map(str::to_owned)
        }
        Tag::TeletexString => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => match bytes.as_chunks::<2>() {
            (units, []) => String::from_utf16(&units.iter().copied().map(u16::from_be_bytes).collect::<Vec<_>>()).ok(),
            _ => None,
        },
        Tag::UniversalString => match bytes.as_chunks::<4>() {
            (units, []) => units.iter().copied().map(u32::from_be_bytes).map(char::from_u32).collect(),
            _ => None,
        },
        _ => None,
    };
    text.ok_or_else(|| name_encoding(value.tag()))
}

fn name_encoding(encoding: Tag) -> CertificateError {
    CertificateError::NameEncoding { encoding: encoding.to_string() }
}

fn not_one(seen: String) -> CertificateError {
    CertificateError::NotOneCertificate { seen }
}
