//! Where certificates come from.

use std::pin::Pin;

use crate::{CertificateUrl, FetchError};

/// Where certificates come from: `HttpsCertificates` (feature `fetch`), or a stand-in for tests.
pub trait CertificateSource: Send + Sync {
    /// The content of the file at this URL.
    fn fetch<'a>(&'a self, url: &'a CertificateUrl) -> Fetching<'a>;
}

/// A fetch on its way.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchError>> + Send + 'a>>;
