//! Any bytes as what a signing certificate's URL is, and as what is found there.
#![no_main]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gatehouse_sns::{Certificate, CertificateUrl, SignatureVersion};
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(url) = CertificateUrl::parse(text)
    {
        check_url(&url);
    }
    check_file(data);
    // The same bytes inside a PEM block, so that the X.509 parser gets them whatever base64 makes of them.
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64_STANDARD.encode(data));
    check_file(pem.as_bytes());
});

/// The URL that was accepted means the same to the parser of the HTTP client.
fn check_url(url: &CertificateUrl) {
    let seen = Url::parse(url.as_str()).expect("an accepted URL is a URL");
    assert_eq!(seen.as_str(), url.as_str());
    let host = format!("sns.{}.{}", url.region(), url.region().dns_suffix());
    assert_eq!((seen.scheme(), seen.host_str(), seen.port()), ("https", Some(host.as_str()), None));
    assert!(seen.username().is_empty() && seen.password().is_none());
    assert!(seen.query().is_none() && seen.fragment().is_none());
    assert_eq!(CertificateUrl::parse(url.as_str()).as_ref(), Ok(url));
}

fn check_file(file: &[u8]) {
    let Ok(certificate) = Certificate::from_pem(file) else { return };
    let _ = format!("{certificate:?}");
    assert!(certificate.key().verify(SignatureVersion::V2, "text", b"no signature").is_err());
}
