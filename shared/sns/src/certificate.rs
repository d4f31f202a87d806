//! The certificate that a message names: which URL may be fetched, how, what it must hold, and for how long it is kept.
//!
//! A signature proves nothing until its certificate is known to be SNS's. That rests on three checks: only a
//! [`CertificateUrl`] can be fetched, and it can only name a host of SNS; TLS proves that the host answered; and the
//! certificate must have a [name](signing_common_names) that SNS uses in that Region.

#[cfg(feature = "fetch")]
mod https;
mod names;
mod source;
mod store;
mod url;
mod x509;

#[cfg(feature = "fetch")]
pub use https::HttpsCertificates;
pub use names::signing_common_names;
pub use source::{CertificateSource, Fetching};
pub(crate) use store::{CertificateStore, Failure};
pub use url::{CertificateUrl, CertificateUrlError};
pub use x509::{Certificate, CertificateError};
