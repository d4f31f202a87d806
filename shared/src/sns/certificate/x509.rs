//! What the file at the URL must hold.

use aws_lc_rs::error::KeyRejected;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::{PEMError, X509Error};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use super::names::signing_common_names;
use crate::region::Region;
use crate::sns::envelope::shortened;
use crate::sns::signature::SigningKey;

/// A signing certificate: what is needed of it to check messages.
#[derive(Debug, Clone)]
pub struct Certificate {
    common_name: String,
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
    #[error("the common name of the certificate is {seen}: expected {expected} in the Region {region}")]
    CommonName {
        /// The name in the certificate.
        seen: String,
        /// What it may be.
        expected: String,
        /// The Region of the URL it came from.
        region: Region,
    },
    /// Its key is not an RSA key.
    #[error("reading the public key of the certificate, which is RSA in those of SNS")]
    Key(#[from] KeyRejected),
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
            common_name: common_name(&certificate)?.to_owned(),
            not_before: certificate.validity().not_before.to_datetime(),
            not_after: certificate.validity().not_after.to_datetime(),
            key: SigningKey::from_der(certificate.public_key().raw)?,
        })
    }

    /// Checks that the certificate was issued to SNS in this Region.
    ///
    /// # Errors
    ///
    /// [`CertificateError::CommonName`] names the one it has and those it may have.
    pub fn check_common_name(&self, region: &Region) -> Result<(), CertificateError> {
        let expected = signing_common_names(region);
        if expected.contains(&self.common_name) {
            return Ok(());
        }
        Err(CertificateError::CommonName {
            seen: shortened(&self.common_name),
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

/// The one common name of the subject.
fn common_name<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, CertificateError> {
    let mut names = certificate.subject().iter_common_name();
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name.as_str()?),
        _ => Err(CertificateError::X509(X509Error::InvalidX509Name)),
    }
}

fn not_one(seen: String) -> CertificateError {
    CertificateError::NotOneCertificate { seen }
}
