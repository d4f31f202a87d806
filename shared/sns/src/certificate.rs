//! The certificate a message names: which URL may be fetched, how, what it must hold, and for how long it is kept.
//!
//! A signature says nothing until its certificate is known to be SNS's. That rests on three locks: only a
//! [`CertificateUrl`] can be fetched, and it can only name a host of SNS; TLS proves that the host answered; and the
//! certificate must have a [name](signing_common_names) that SNS uses in that Region.
//!
//! # Limitations
//!
//! The chain to a root is not checked. The file that SNS serves holds the leaf alone, and leaves are issued by
//! intermediates that change without notice.

mod allowance;
mod cache;
#[cfg(feature = "fetch")]
mod https;
mod names;
mod source;
mod url;
mod x509;

pub(crate) use cache::CertificateCache;
pub use cache::Unusable;
#[cfg(feature = "fetch")]
pub use https::HttpsCertificates;
pub use names::signing_common_names;
pub use source::{CertificateSource, Fetching};
pub use url::{CertificateUrl, CertificateUrlError};
pub use x509::{Certificate, CertificateError};
