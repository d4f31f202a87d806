//! Where certificates come from.

use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use super::CertificateUrl;
use crate::fetch::{FetchError, Fetcher, PlainHttp};

/// From request to last byte.
const TIME_OUT: Duration = Duration::from_secs(5);

/// SNS's files have about 2 KiB.
const MAX_FILE_BYTES: usize = 64 * 1_024;

/// Where certificates come from: [`HttpsCertificates`], or a stand-in for tests.
pub trait CertificateSource: Send + Sync {
    /// The content of the file at this URL.
    fn fetch<'a>(&'a self, url: &'a CertificateUrl) -> Fetching<'a>;
}

/// A fetch on its way.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchError>> + Send + 'a>>;

/// Certificates from SNS itself, within 5 seconds and up to 64 KiB. A [`CertificateUrl`] is always `https`.
///
/// The client is built when the first certificate is needed, so that a cold start that needs none does not pay for it.
#[derive(Debug, Default)]
pub struct HttpsCertificates {
    fetcher: OnceLock<Fetcher>,
}

impl HttpsCertificates {
    fn fetcher(&self) -> Result<&Fetcher, FetchError> {
        if let Some(fetcher) = self.fetcher.get() {
            return Ok(fetcher);
        }
        let fetcher = Fetcher::new(TIME_OUT, PlainHttp::OnLoopback)?;
        Ok(self.fetcher.get_or_init(|| fetcher))
    }
}

impl CertificateSource for HttpsCertificates {
    fn fetch<'a>(&'a self, url: &'a CertificateUrl) -> Fetching<'a> {
        Box::pin(async move { self.fetcher()?.get(url.as_str(), MAX_FILE_BYTES, |_| {}).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_built_once() {
        let source = HttpsCertificates::default();
        assert!(std::ptr::eq(source.fetcher().unwrap(), source.fetcher().unwrap()));
    }
}
