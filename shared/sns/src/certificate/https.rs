//! Certificates over the network.

use std::sync::OnceLock;
use std::time::Duration;

use crate::{CertificateSource, CertificateUrl, FetchError, Fetcher, Fetching, PlainHttp};

/// From request to last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

/// SNS's files have about 2 KiB.
const MAX_FILE_BYTES: usize = 64 * 1_024;

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
        let fetcher = Fetcher::new(TIMEOUT, PlainHttp::OnLoopback)?;
        Ok(self.fetcher.get_or_init(|| fetcher))
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        self.fetcher()?.get(url, MAX_FILE_BYTES, |_| {}).await
    }
}

impl CertificateSource for HttpsCertificates {
    fn fetch<'a>(&'a self, url: &'a CertificateUrl) -> Fetching<'a> {
        Box::pin(self.get(url.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_file_may_have_64_kib() {
        for (bytes, accepted) in [(65_536, true), (65_537, false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            let server = tokio::spawn(async move {
                let (mut connection, _) = listener.accept().await.unwrap();
                let _ = connection.read(&mut [0; 4_096]).await.unwrap();
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n");
                connection.write_all(&[head.into_bytes(), vec![b'a'; bytes]].concat()).await
            });
            let file = HttpsCertificates::default().get(&url).await;
            assert_eq!(file.is_ok_and(|file| file.len() == bytes), accepted, "{bytes}");
            let _ = server.await.unwrap();
        }
    }

    #[test]
    fn the_client_is_built_once() {
        let source = HttpsCertificates::default();
        assert!(std::ptr::eq(source.fetcher().unwrap(), source.fetcher().unwrap()));
    }
}
