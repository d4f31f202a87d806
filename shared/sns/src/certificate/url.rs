//! Which URL may be fetched.

use std::fmt;

use crate::Region;
use crate::envelope::shortened;

/// The URL of a signing certificate of SNS.
///
/// It is put together anew from what was accepted: the Region, the DNS suffix of that Region's partition, and the
/// letters and digits of the file name. Nothing else of the message reaches the HTTP client, so it does not matter how
/// another parser would read the text.
///
/// ```
/// use gatehouse_sns::CertificateUrl;
///
/// let url = CertificateUrl::parse("https://SNS.eu-west-1.amazonaws.com:443/SimpleNotificationService-0a1b.pem").unwrap();
/// assert_eq!(url.as_str(), "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem");
/// assert_eq!(url.region().as_str(), "eu-west-1");
///
/// // A bucket that anyone may own.
/// let bucket = "https://sns.s3-us-west-2.amazonaws.com/SimpleNotificationService-0a1b.pem";
/// assert!(CertificateUrl::parse(bucket).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateUrl {
    text: String,
    region: Region,
}

/// Why a URL is not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the field SigningCertURL is {url}: expected \
     https://sns.<region>.<dns suffix>/SimpleNotificationService-<letters and digits>.pem, but {part} is another"
)]
pub struct CertificateUrlError {
    /// The URL, shortened.
    url: String,
    /// The part that was refused.
    part: &'static str,
}

impl CertificateUrl {
    /// Accepts the URL of a certificate of SNS and nothing else.
    ///
    /// Scheme `https`, no user info, port absent or 443, no query or fragment; host exactly
    /// `sns.<region>.<dns suffix of the region's partition>`, in any case of letters; path
    /// `/SimpleNotificationService-<letters and digits>.pem`.
    ///
    /// # Errors
    ///
    /// [`CertificateUrlError`] names the first part that was refused.
    pub fn parse(url: &str) -> Result<Self, CertificateUrlError> {
        let refused = |part| CertificateUrlError { url: shortened(url), part };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| refused("the scheme"))?;
        if !scheme.eq_ignore_ascii_case("https") {
            return Err(refused("the scheme"));
        }
        // User info, another port, a trailing dot, a backslash and white space all leave an authority that is not
        // letter by letter the host that is expected.
        let (authority, path) = rest.split_once('/').ok_or_else(|| refused("the path"))?;
        let host = authority.strip_suffix(":443").unwrap_or(authority).to_ascii_lowercase();
        let region = region_of(&host).ok_or_else(|| refused("the host"))?;
        let id = path
            .strip_prefix("SimpleNotificationService-")
            .and_then(|name| name.strip_suffix(".pem"))
            .filter(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .ok_or_else(|| refused("the path"))?;
        Ok(Self { text: format!("https://{host}/SimpleNotificationService-{id}.pem"), region })
    }

    /// The URL as text, its host in lower case and without a port.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The Region of the host.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.region
    }
}

/// The Region of the SNS endpoint with this name, which must be in lower case; `None` for every other host.
fn region_of(host: &str) -> Option<Region> {
    let (region, dns_suffix) = host.strip_prefix("sns.")?.split_once('.')?;
    region.parse().ok().filter(|region: &Region| region.dns_suffix() == dns_suffix)
}

impl fmt::Display for CertificateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
