//! How a certificate is fetched.

use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, StatusCode};

use super::CertificateUrl;

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

/// Why a certificate could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The HTTPS client could not be set up, for instance because there are no root certificates.
    #[error("setting up the HTTPS client")]
    Client(#[source] reqwest::Error),
    /// No connection, a time-out, or an answer that broke off.
    #[error("fetching the certificate (a function in a VPC needs a way to this host)")]
    Http(#[source] reqwest::Error),
    /// The server did not answer with the file. Redirects are not followed.
    #[error("fetching the certificate: the server answered {status}, expected 200")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The file is too long for a certificate.
    #[error("fetching the certificate: the file has more than {limit} bytes, which no certificate of SNS has")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// Certificates from SNS itself: over HTTPS alone, within 5 seconds, up to 64 KiB, no redirects.
///
/// The client is built when the first certificate is needed, so that a cold start that needs none does not pay for it.
/// It goes through a proxy and trusts other roots where the environment says so (`HTTPS_PROXY`, `SSL_CERT_FILE`).
#[derive(Debug, Default)]
pub struct HttpsCertificates {
    client: OnceLock<Client>,
}

impl HttpsCertificates {
    fn client(&self) -> Result<&Client, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = client().https_only(true).build().map_err(FetchError::Client)?;
        Ok(self.client.get_or_init(|| client))
    }
}

impl CertificateSource for HttpsCertificates {
    fn fetch<'a>(&'a self, url: &'a CertificateUrl) -> Fetching<'a> {
        Box::pin(async move { download(self.client()?, url.as_str(), MAX_FILE_BYTES).await })
    }
}

fn client() -> ClientBuilder {
    // No connection is kept: Lambda freezes the process between invocations, and a connection that died meanwhile
    // would look like a failed fetch.
    Client::builder().redirect(Policy::none()).timeout(TIME_OUT).pool_max_idle_per_host(0)
}

/// Reads the file at `url`, and no more than `limit` bytes of it.
async fn download(client: &Client, url: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
    let mut response = client.get(url).send().await.map_err(FetchError::Http)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status { status: response.status().as_u16() });
    }
    let mut file = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(FetchError::Http)? {
        if file.len() + chunk.len() > limit {
            return Err(FetchError::TooLarge { limit });
        }
        file.extend_from_slice(&chunk);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    //! Over plain HTTP on loopback: TLS adds nothing to these rules.

    use std::error::Error;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::testing::SIGNING_CERTIFICATE_PEM;

    /// Answers one request with these bytes, waits, and says how many requests' worth of bytes it was sent.
    async fn serve(answer: Vec<u8>, wait: Duration) -> (String, JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/certificate.pem", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4_096];
            let received = connection.read(&mut request).await.unwrap();
            tokio::time::sleep(wait).await;
            // The client may have hung up by now, which is what some of the tests are about.
            let _ = connection.write_all(&answer).await;
            received
        });
        (url, server)
    }

    fn ok(body: &[u8]) -> Vec<u8> {
        [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", body].concat()
    }

    async fn download_within(answer: Vec<u8>, limit: usize) -> Result<Vec<u8>, FetchError> {
        let (url, server) = serve(answer, Duration::ZERO).await;
        let downloaded = download(&client().no_proxy().build().unwrap(), &url, limit).await;
        assert!(server.await.unwrap() > 0);
        downloaded
    }

    #[tokio::test]
    async fn a_file_up_to_the_limit_is_read_whole() {
        let file = SIGNING_CERTIFICATE_PEM.as_bytes();
        assert_eq!(download_within(ok(file), file.len()).await.unwrap(), file);
    }

    #[tokio::test]
    async fn a_longer_file_is_refused_though_its_length_was_not_announced() {
        let error = download_within(ok(&[b'a'; 1_001]), 1_000).await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 1_000 }), "{error:?}");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answer = format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            elsewhere.local_addr().unwrap()
        );
        let error = download_within(answer.into_bytes(), 1_000).await.unwrap_err();
        assert!(matches!(error, FetchError::Status { status: 302 }), "{error:?}");
        let visit = tokio::time::timeout(Duration::from_millis(100), elsewhere.accept()).await;
        assert!(visit.is_err(), "the redirect was followed");
    }

    #[tokio::test]
    async fn any_other_status_is_an_error() {
        let answer = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec();
        let error = download_within(answer, 1_000).await.unwrap_err();
        assert_eq!(error.to_string(), "fetching the certificate: the server answered 403, expected 200");
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_given_up() {
        let (url, server) = serve(ok(b"too late"), Duration::from_secs(60)).await;
        let client = client().no_proxy().timeout(Duration::from_millis(50)).build().unwrap();
        let FetchError::Http(error) = download(&client, &url, 1_000).await.unwrap_err() else { panic!() };
        assert!(error.is_timeout(), "{error:?}");
        server.abort();
    }

    #[tokio::test]
    async fn the_client_of_production_speaks_https_alone() {
        let source = HttpsCertificates::default();
        let error = download(source.client().unwrap(), "http://127.0.0.1:9/", 1_000).await.unwrap_err();
        let cause = error.source().and_then(Error::source).unwrap().to_string();
        assert!(cause.contains("scheme"), "{cause}");
        assert!(std::ptr::eq(source.client().unwrap(), source.client().unwrap()), "the client is built once");
    }
}
