//! The one HTTP GET: with a time-out and a size limit, over HTTPS, without redirects.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response, StatusCode, Url};

use crate::FetchError;

/// Fetches files over HTTPS.
///
/// It uses a proxy and trusts other root certificates where the environment says so (`HTTPS_PROXY`, `SSL_CERT_FILE`).
///
/// ```no_run
/// # use std::time::Duration;
/// use gatehouse_sns::{FetchError, Fetcher, PlainHttp};
///
/// # async fn example() -> Result<(), FetchError> {
/// let fetcher = Fetcher::new(Duration::from_secs(15), PlainHttp::OnLoopback)?;
/// let mut chunks = 0;
/// let file = fetcher.get("https://ip-ranges.amazonaws.com/ip-ranges.json", 16 << 20, |_| chunks += 1).await?;
/// println!("{} bytes in {chunks} chunks", file.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    plain_http: PlainHttp,
}

/// Which hosts may be asked over plain HTTP. HTTPS is always allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainHttp {
    /// `localhost`, `127.0.0.0/8` and `[::1]`: what is sent to them does not leave the machine.
    OnLoopback,
    /// Any host, for instance a container's view of the machine it runs on.
    Anywhere,
}

impl PlainHttp {
    /// Whether this URL may be fetched: for the check of a setting before anything is fetched.
    ///
    /// ```
    /// use gatehouse_sns::PlainHttp;
    ///
    /// assert!(PlainHttp::OnLoopback.admits("https://example.com/"));
    /// assert!(PlainHttp::OnLoopback.admits("http://127.0.0.1:8080/"));
    /// assert!(!PlainHttp::OnLoopback.admits("http://example.com/"));
    /// assert!(PlainHttp::Anywhere.admits("http://host.docker.internal:8080/"));
    /// ```
    #[must_use]
    pub fn admits(self, url: &str) -> bool {
        self.admitted(url).is_some()
    }

    fn admitted(self, url: &str) -> Option<Url> {
        let url = Url::parse(url).ok()?;
        let is_admitted = match url.scheme() {
            "https" => true,
            "http" => self == Self::Anywhere || is_loopback(&url),
            _ => false,
        };
        is_admitted.then_some(url)
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
}

impl Fetcher {
    /// A fetcher that gives up after `timeout`, counted from the request to the last byte.
    ///
    /// This reads the root certificates, which takes milliseconds: an asynchronous caller that has other work can do
    /// that in a blocking task.
    ///
    /// # Errors
    ///
    /// [`FetchError::Client`], for instance where there are no root certificates.
    pub fn new(timeout: Duration, plain_http: PlainHttp) -> Result<Self, FetchError> {
        Self::build(Client::builder(), timeout, plain_http)
    }

    fn build(client: ClientBuilder, timeout: Duration, plain_http: PlainHttp) -> Result<Self, FetchError> {
        // No connection is kept: Lambda freezes the process between invocations, and a connection that died meanwhile
        // would look like a failed fetch.
        let client = client.redirect(Policy::none()).timeout(timeout).pool_max_idle_per_host(0);
        Ok(Self { client: client.build().map_err(|error| FetchError::Client(error.into()))?, plain_http })
    }

    /// The file at `url`, which may have up to `limit` bytes. `each_chunk` gets them too, in order, while they arrive:
    /// to compute a digest, for instance.
    ///
    /// # Errors
    ///
    /// [`FetchError`] for anything but the whole file with status 200; [`FetchError::is_transient`] says whether it is
    /// worth another attempt.
    pub async fn get(&self, url: &str, limit: usize, mut each_chunk: impl FnMut(&[u8])) -> Result<Vec<u8>, FetchError> {
        let url = self.plain_http.admitted(url).ok_or_else(|| FetchError::Url { url: url.to_owned() })?;
        let mut response = self.client.get(url).send().await.map_err(http)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status { status: response.status().as_u16() });
        }
        let mut file = Vec::with_capacity(announced_length(&response, limit)?);
        while let Some(chunk) = response.chunk().await.map_err(http)? {
            if chunk.len() > limit - file.len() {
                return Err(FetchError::TooLarge { limit });
            }
            each_chunk(&chunk);
            file.extend_from_slice(&chunk);
        }
        Ok(file)
    }
}

fn http(error: reqwest::Error) -> FetchError {
    FetchError::Http(error.without_url().into())
}

/// `Content-Length`, or zero where the server does not announce it.
fn announced_length(response: &Response, limit: usize) -> Result<usize, FetchError> {
    match response.content_length() {
        Some(length) => {
            usize::try_from(length).ok().filter(|length| *length <= limit).ok_or(FetchError::TooLarge { limit })
        }
        None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    //! Over plain HTTP on loopback: TLS adds nothing to these rules.

    use std::error::Error;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;

    const LIMIT: usize = 1_000;

    /// Answers one request with these bytes, waits before the last one, and returns the request's size.
    async fn serve(answer: Vec<u8>, wait: Duration) -> (String, JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4_096];
            let received = connection.read(&mut request).await.unwrap();
            let (last, start) = answer.split_last().unwrap();
            // The client may have closed the connection by now, which is what some of the tests are about.
            let _ = connection.write_all(start).await;
            tokio::time::sleep(wait).await;
            let _ = connection.write_all(&[*last]).await;
            received
        });
        (url, server)
    }

    fn fetcher(timeout: Duration) -> Fetcher {
        Fetcher::build(Client::builder().no_proxy(), timeout, PlainHttp::OnLoopback).unwrap()
    }

    /// The file, and what was handed out while it arrived.
    async fn get(answer: Vec<u8>) -> (Result<Vec<u8>, FetchError>, Vec<u8>) {
        let (url, server) = serve(answer, Duration::ZERO).await;
        let mut handed_out = Vec::new();
        let file = fetcher(Duration::from_secs(10)).get(&url, LIMIT, |chunk| handed_out.extend_from_slice(chunk)).await;
        assert!(server.await.unwrap() > 0);
        (file, handed_out)
    }

    fn unannounced(body: &[u8]) -> Vec<u8> {
        [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", body].concat()
    }

    fn announced(length: usize, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    #[tokio::test]
    async fn a_file_up_to_the_limit_is_read_whole_and_handed_out_while_it_arrives() {
        let body: Vec<u8> = (0..LIMIT).map(|index| index.to_le_bytes()[0]).collect();
        for answer in [unannounced(&body), announced(LIMIT, &body)] {
            let (file, handed_out) = get(answer).await;
            assert_eq!(file.unwrap(), body);
            assert_eq!(handed_out, body);
        }
    }

    #[tokio::test]
    async fn a_buffer_has_the_announced_size_from_the_start() {
        let (file, _) = get(announced(777, &[b'a'; 777])).await;
        assert_eq!(file.unwrap().capacity(), 777);
    }

    #[tokio::test]
    async fn a_longer_file_is_refused_whether_its_length_was_announced_or_not() {
        let (file, handed_out) = get(announced(LIMIT + 1, b"a")).await;
        assert!(matches!(file, Err(FetchError::TooLarge { limit: LIMIT })), "{file:?}");
        assert!(handed_out.is_empty(), "nothing is read when the announced length is too large");

        let (file, handed_out) = get(unannounced(&[b'a'; LIMIT + 1])).await;
        assert!(matches!(file, Err(FetchError::TooLarge { limit: LIMIT })), "{file:?}");
        assert!(handed_out.len() <= LIMIT, "{} bytes", handed_out.len());
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answer = format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            elsewhere.local_addr().unwrap()
        );
        let (file, _) = get(answer.into_bytes()).await;
        let error = file.unwrap_err();
        assert_eq!(error.to_string(), "the server answered 302, expected 200; redirects are not followed");
        assert!(!error.is_transient());
        let visit = tokio::time::timeout(Duration::from_millis(100), elsewhere.accept()).await;
        assert!(visit.is_err(), "the redirect was followed");
    }

    #[tokio::test]
    async fn any_other_status_is_a_transient_error_or_not() {
        for (status, is_transient) in [
            (204, false),
            (206, false),
            (403, false),
            (404, false),
            (408, true),
            (429, true),
            (500, true),
            (503, true),
            (599, true),
        ] {
            let answer = format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let (file, _) = get(answer.into_bytes()).await;
            let error = file.unwrap_err();
            assert!(matches!(error, FetchError::Status { status: seen } if seen == status), "{error:?}");
            assert_eq!(error.is_transient(), is_transient, "{status}");
        }
        assert!(!FetchError::Status { status: 600 }.is_transient());
    }

    #[tokio::test]
    async fn a_file_that_breaks_off_is_a_transient_error() {
        let (file, _) = get(announced(500, b"half")).await;
        let error = file.unwrap_err();
        assert!(matches!(error, FetchError::Http(_)) && error.is_transient(), "{error:?}");
    }

    #[tokio::test]
    async fn a_server_that_does_not_finish_in_time_is_given_up() {
        let (url, server) = serve(announced(8, b"too late"), Duration::from_secs(60)).await;
        let error = fetcher(Duration::from_millis(50)).get(&url, LIMIT, |_| {}).await.unwrap_err();
        assert!(
            matches!(&error, FetchError::Http(error) if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout)),
            "{error:?}"
        );
        assert!(error.is_transient());
        server.abort();
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_reached_is_an_error_whose_text_has_the_url_nowhere() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/file");
        let error = fetcher(Duration::from_secs(10)).get(&url, LIMIT, |_| {}).await.unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains("refused") && !text.contains("/file"), "{text}");
        assert!(error.is_transient());
    }

    #[tokio::test]
    async fn plain_http_is_refused_elsewhere_than_on_loopback() {
        let fetcher = Fetcher::new(Duration::from_secs(1), PlainHttp::OnLoopback).unwrap();
        for url in ["http://192.0.2.1/", "http://localhost.example.com/", "ftp://127.0.0.1/", "127.0.0.1", ""] {
            let error = fetcher.get(url, LIMIT, |_| {}).await.unwrap_err();
            assert_eq!(error.to_string(), format!("the URL is {url:?}: expected https://, or http:// on loopback"));
            assert!(error.source().is_none() && !error.is_transient());
        }
    }

    #[test]
    fn a_url_is_admitted_by_scheme_and_host() {
        for (url, on_loopback, anywhere) in [
            ("https://example.com/", true, true),
            ("http://localhost:8080/", true, true),
            ("http://127.0.0.1/", true, true),
            ("http://127.9.9.9/", true, true),
            ("http://[::1]:8080/", true, true),
            ("http://[::2]/", false, true),
            ("http://example.com/", false, true),
            ("http://10.0.0.1/", false, true),
            ("http://127.0.0.1.example.com/", false, true),
            ("http://127.0.0.1@example.com/", false, true),
            ("file:///etc/passwd", false, false),
            ("ftp://localhost/", false, false),
            ("localhost", false, false),
        ] {
            assert_eq!(PlainHttp::OnLoopback.admits(url), on_loopback, "{url}");
            assert_eq!(PlainHttp::Anywhere.admits(url), anywhere, "{url}");
        }
    }
}
