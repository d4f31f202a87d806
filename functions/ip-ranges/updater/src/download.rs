//! Fetching the document, and telling whether it is the one the notice speaks of.

use std::time::Duration;

use gatehouse_shared::clock;
use gatehouse_shared::failure::chain;
use gatehouse_shared::fetch::{FetchError, Fetcher};
use ip_ranges_planner::document::{self, DocumentError, Published, Selection, SelectionError};
use md5::{Digest, Md5};
use tracing::{debug, warn};

use crate::trigger::Notice;

/// The document has 2.6 MB in 2026; anything far larger is not it.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// How long one attempt may take, connection included.
pub const TIME_OUT: Duration = Duration::from_secs(15);
/// How long to wait before each further attempt. An edge may serve the last document for some seconds more.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// Fetches one URL, and none but that.
#[derive(Debug)]
pub struct Download {
    url: String,
    pauses: Vec<Duration>,
    fetcher: Fetcher,
}

/// Why there is no document to work with. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The document did not arrive.
    #[error("fetching {url}")]
    Fetch {
        /// The URL.
        url: String,
        /// What went wrong.
        source: FetchError,
    },
    /// It arrived whole and is not usable.
    #[error("reading {url}")]
    Document {
        /// The URL.
        url: String,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// Older than the notice, or than what this function worked with before, at every attempt.
    #[error(
        "the document has syncToken {found}, expected {expected} or later: an edge still serves an old one; Lambda tries again"
    )]
    StaleDocument {
        /// The document's token.
        found: u64,
        /// The token of the notice, or of the newest document seen.
        expected: u64,
    },
    /// The token is the notice's and the content is not.
    #[error("MD5 Mismatch: got {got} expected {expected}")]
    Md5Mismatch {
        /// Of what arrived.
        got: String,
        /// Of what was announced.
        expected: String,
    },
}

/// A document that may be used.
#[derive(Debug)]
pub struct Fetched {
    /// What was requested.
    pub published: Published,
    /// What was requested and is not there.
    pub faults: Vec<SelectionError>,
    /// Whether it is newer than the notice.
    pub superseded: bool,
}

impl Download {
    /// Will fetch `url`.
    #[must_use]
    pub fn new(url: String, fetcher: Fetcher) -> Self {
        Self { url, pauses: PAUSES.to_vec(), fetcher }
    }

    /// Fetches the document and reads it. With a notice, its MD5 decides whether it is the right one.
    /// `newest` is the latest `syncToken` this function has worked with; going back is never right.
    ///
    /// # Errors
    ///
    /// [`DownloadError`], after a few attempts where another one can help.
    pub async fn fetch(
        &self,
        notice: Option<&Notice>,
        newest: u64,
        selection: Selection<'_>,
    ) -> Result<Fetched, DownloadError> {
        let mut pauses = self.pauses.iter();
        loop {
            let error = match self.attempt(notice, newest, selection).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => error,
            };
            match pauses.next() {
                Some(pause) if error.is_transient() => {
                    warn!(error = chain(&error), pause_ms = pause.as_millis(), "fetching again");
                    tokio::time::sleep(*pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    async fn attempt(
        &self,
        notice: Option<&Notice>,
        newest: u64,
        selection: Selection<'_>,
    ) -> Result<Fetched, DownloadError> {
        // Without a notice there is nothing to hold an MD5 against, and taking it costs more than reading the document.
        let mut announced = notice.map(|notice| (notice, Md5::new()));
        let fetched = self.fetcher.get(&self.url, MAX_BYTES, |chunk| {
            if let Some((_, md5)) = &mut announced {
                md5.update(chunk);
            }
        });
        let bytes = fetched.await.map_err(|source| DownloadError::Fetch { url: self.url.clone(), source })?;
        debug!(url = self.url, bytes = bytes.len(), "document arrived");
        let unusable = |source| DownloadError::Document { url: self.url.clone(), source };
        let mut published = document::read(&bytes, selection).map_err(unusable)?;
        published.check_time(clock::now().unix_timestamp().unsigned_abs()).map_err(unusable)?;
        let superseded = match announced {
            Some((notice, md5)) => superseded(notice, &hex(&md5.finalize()), published.sync_token)?,
            None => false,
        };
        if published.sync_token < newest {
            return Err(DownloadError::StaleDocument { found: published.sync_token, expected: newest });
        }
        let faults = document::faults(&mut published, &bytes).map_err(unusable)?;
        Ok(Fetched { published, faults, superseded })
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Holds the document against the notice: `false` where it is the announced one, `true` where it is newer.
fn superseded(notice: &Notice, md5: &str, sync_token: u64) -> Result<bool, DownloadError> {
    if md5.eq_ignore_ascii_case(&notice.md5) {
        return Ok(false);
    }
    match sync_token.cmp(&notice.sync_token()) {
        std::cmp::Ordering::Greater => Ok(true),
        std::cmp::Ordering::Less => {
            Err(DownloadError::StaleDocument { found: sync_token, expected: notice.sync_token() })
        }
        std::cmp::Ordering::Equal => {
            Err(DownloadError::Md5Mismatch { got: md5.to_owned(), expected: notice.md5.clone() })
        }
    }
}

impl DownloadError {
    /// Whether the next attempt may succeed.
    fn is_transient(&self) -> bool {
        match self {
            Self::Fetch { source, .. } => source.is_transient(),
            Self::StaleDocument { .. } => true,
            Self::Document { .. } | Self::Md5Mismatch { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_shared::fetch::PlainHttp;
    use ip_ranges_planner::family::Family;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn document(sync_token: u64) -> String {
        format!(
            r#"{{"syncToken":"{sync_token}","prefixes":[{{"ip_prefix":"3.0.2.0/24","region":"GLOBAL","service":"X"}}],"ipv6_prefixes":[]}}"#
        )
    }

    fn notice(sync_token: u64, body: &str) -> Notice {
        Notice { md5: hex(&Md5::digest(body)).to_uppercase(), synctoken: sync_token.to_string(), url: String::new() }
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    /// Serves the replies one after the other, the last one from then on; counts the requests.
    async fn serve(replies: Vec<String>) -> (Download, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ip-ranges.json", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let index = counter.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                // The client hangs up in the middle of a body that is too large.
                let _ = stream.write_all(replies[index].as_bytes()).await;
            }
        });
        let pauses = vec![Duration::from_millis(1); 3];
        let fetcher = Fetcher::new(TIME_OUT, PlainHttp::OnLoopback).unwrap();
        let download = Download { pauses, ..Download::new(url, fetcher) };
        (download, requests)
    }

    async fn fetch(download: &Download, notice: Option<&Notice>, newest: u64) -> Result<Fetched, String> {
        let services = ["X".parse().unwrap()];
        let selection = Selection { services: &services, families: &Family::BOTH, range_regions: &[], aggregate: true };
        download.fetch(notice, newest, selection).await.map_err(|error| chain(&error))
    }

    #[tokio::test]
    async fn the_announced_document_is_used() {
        let (download, requests) = serve(vec![ok(&document(7))]).await;
        let fetched = fetch(&download, Some(&notice(7, &document(7))), 0).await.unwrap();
        assert_eq!((fetched.published.sync_token, fetched.superseded), (7, false));
        assert_eq!(requests.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_newer_document_supersedes_the_notice() {
        let (download, _) = serve(vec![ok(&document(8))]).await;
        let fetched = fetch(&download, Some(&notice(7, &document(7))), 0).await.unwrap();
        assert_eq!((fetched.published.sync_token, fetched.superseded), (8, true));
    }

    #[tokio::test]
    async fn an_old_document_is_waited_for() {
        let (download, requests) = serve(vec![ok(&document(6)), ok(&document(6)), ok(&document(7))]).await;
        assert!(fetch(&download, Some(&notice(7, &document(7))), 0).await.is_ok());
        assert_eq!(requests.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_document_that_stays_old_is_stale() {
        let (download, requests) = serve(vec![ok(&document(6))]).await;
        let error = fetch(&download, Some(&notice(7, &document(7))), 0).await.unwrap_err();
        assert!(error.starts_with("the document has syncToken 6, expected 7 or later"), "{error}");
        assert_eq!(requests.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn no_run_goes_back_to_an_older_document() {
        let (download, _) = serve(vec![ok(&document(6))]).await;
        let error = fetch(&download, Some(&notice(6, &document(6))), 7).await.unwrap_err();
        assert!(error.contains("syncToken 6, expected 7"), "{error}");
        assert!(fetch(&download, None, 7).await.is_err());
        assert!(fetch(&download, None, 6).await.is_ok());
    }

    #[tokio::test]
    async fn another_content_with_the_same_token_is_refused_at_once() {
        let (download, requests) = serve(vec![ok(&document(7))]).await;
        let notice = Notice { md5: "0".repeat(32), ..notice(7, "") };
        let error = fetch(&download, Some(&notice), 0).await.unwrap_err();
        let got = hex(&Md5::digest(document(7)));
        assert_eq!(error, format!("MD5 Mismatch: got {got} expected {}", "0".repeat(32)));
        assert_eq!(requests.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_is_transient_is_tried_again_and_the_rest_is_not() {
        let fails = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned();
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 999\r\nConnection: close\r\n\r\n{".to_owned();
        let (download, requests) = serve(vec![fails, cut, ok(&document(7))]).await;
        assert!(fetch(&download, None, 0).await.is_ok());
        assert_eq!(requests.load(Ordering::SeqCst), 3);

        let elsewhere =
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        for (reply, expected) in [
            (elsewhere.to_owned(), "answered 302, expected 200; redirects are not followed"),
            (ok("<html>"), "not ip-ranges.json as AWS publishes it"),
            (ok(&" ".repeat(MAX_BYTES + 1)), "more than 16777216 bytes"),
        ] {
            let (download, requests) = serve(vec![reply]).await;
            let error = fetch(&download, None, 0).await.unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert_eq!(requests.load(Ordering::SeqCst), 1, "{expected}");
        }
    }
}
