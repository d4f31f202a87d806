//! The certificates that were read, and what is known of URLs that gave none.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use crate::{Certificate, CertificateError, CertificateSource, CertificateUnavailable, CertificateUrl, Region};

/// After this time a certificate is fetched again. While that fails, it stays in use.
const CERTIFICATE_TTL: Duration = Duration::DAY;

/// A URL is fetched at most once in this time: twice the time-out of a fetch, half the pause after which SNS tries again.
const RETRY_AFTER: Duration = Duration::seconds(10);

/// What is known of a URL that gave no certificate is forgotten after this time.
const FAILURE_TTL: Duration = Duration::MINUTE;

/// The time in which fetches of URLs that never gave a certificate are counted. SNS tries a message again after it.
///
/// Source: SNS Developer Guide, "Creating an HTTP/S delivery policy": `minDelayTarget` is 20 seconds by default.
const WINDOW: Duration = Duration::seconds(20);

/// Such fetches in that time for one Region, which has one certificate in use, and a second one when SNS renews it.
const MAX_FETCHES_OF_REGION: usize = 2;

/// The same for all Regions together.
const MAX_FETCHES: usize = 10;

/// URLs that are remembered: as many as 200 messages a second name until SNS tries again.
const MAX_URLS: usize = 4_096;

/// One map from URL to certificate or last failure.
///
/// Anybody can write a URL of SNS with another file name into a message. So fetches of URLs that never gave a certificate
/// are limited. While some of them wait for a fetch, those that come again are first: SNS sends a message again with the
/// same URL, and a flood of invented URLs names new ones. A flood that repeats its URLs delays the first certificate of a
/// Region for as long as it lasts; it has no effect on a certificate that was read before.
pub(crate) struct CertificateStore {
    source: Box<dyn CertificateSource>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    urls: HashMap<CertificateUrl, Entry>,
    /// The fetches within [`WINDOW`] of URLs that never gave a certificate.
    fetches: Vec<(Region, OffsetDateTime)>,
}

/// What is known of a URL since `at`, and for how long that is the answer. A certificate stays when it cannot be fetched
/// again.
struct Entry {
    found: Found,
    at: OffsetDateTime,
    ttl: Duration,
}

type Found = Result<Arc<Certificate>, Failure>;

/// Why there is no certificate.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// None was read: the message is to be tried again.
    #[error(transparent)]
    Unavailable(Arc<CertificateUnavailable>),
    /// One was read, and it is not SNS's.
    #[error(transparent)]
    Invalid(Arc<CertificateError>),
}

impl CertificateStore {
    pub(crate) fn new(source: impl CertificateSource + 'static) -> Self {
        Self { source: Box::new(source), state: RefCell::default() }
    }

    /// The certificate at this URL, checked for all but its dates, which depend on the message.
    pub(crate) async fn get(&self, url: &CertificateUrl, now: OffsetDateTime) -> Found {
        let known = self.state.borrow_mut().known(url, now);
        if let Some(found) = known {
            return found;
        }
        let read = self.read(url).await;
        self.state.borrow_mut().record(url, read, now)
    }

    async fn read(&self, url: &CertificateUrl) -> Result<Certificate, Failure> {
        let file = self.source.fetch(url).await.map_err(CertificateUnavailable::Fetch)?;
        let certificate = Certificate::from_pem(&file)?;
        certificate.check_name(url.region())?;
        tracing::info!(%url, not_after = %certificate.not_after(), "fetched a signing certificate");
        Ok(certificate)
    }
}

impl State {
    /// What is known without a fetch; `None` when it is time for one, which is counted.
    fn known(&mut self, url: &CertificateUrl, now: OffsetDateTime) -> Option<Found> {
        if let Some(entry) = self.urls.get(url).filter(|entry| is_within(entry.ttl, entry.at, now)) {
            return Some(entry.found.clone());
        }
        if self.may_fetch(url, now) {
            return None;
        }
        // One that waits longer keeps its time.
        if self.urls.get(url).is_none_or(|entry| !entry.is_waiting()) {
            let limited = CertificateUnavailable::Limited { region: url.region().clone() };
            self.insert(url, Entry { found: Err(limited.into()), at: now, ttl: RETRY_AFTER });
        }
        self.urls.get(url).map(|entry| entry.found.clone())
    }

    fn may_fetch(&mut self, url: &CertificateUrl, now: OffsetDateTime) -> bool {
        self.urls.retain(|_, entry| entry.found.is_ok() || is_within(FAILURE_TTL, entry.at, now));
        self.fetches.retain(|(_, at)| is_within(WINDOW, *at, now));
        let entry = self.urls.get(url);
        if entry.is_some_and(|entry| entry.found.is_ok()) {
            return true;
        }
        let region = url.region();
        let is_next = entry.is_some_and(Entry::is_waiting)
            || !self.urls.iter().any(|(other, entry)| other.region() == region && entry.is_waiting());
        let of_region = self.fetches.iter().filter(|(other, _)| other == region).count();
        let may_fetch = is_next && of_region < MAX_FETCHES_OF_REGION && self.fetches.len() < MAX_FETCHES;
        if may_fetch {
            self.fetches.push((region.clone(), now));
        }
        may_fetch
    }

    fn record(&mut self, url: &CertificateUrl, read: Result<Certificate, Failure>, now: OffsetDateTime) -> Found {
        let (found, ttl) = match (read, self.urls.get(url)) {
            (Ok(certificate), _) => (Ok(Arc::new(certificate)), CERTIFICATE_TTL),
            (Err(error), Some(Entry { found: Ok(certificate), .. })) => {
                tracing::warn!(
                    %url,
                    %error,
                    "cannot fetch a signing certificate again: the one fetched before stays in use"
                );
                (Ok(Arc::clone(certificate)), RETRY_AFTER)
            }
            (Err(error), _) => (Err(error), RETRY_AFTER),
        };
        self.insert(url, Entry { found: found.clone(), at: now, ttl });
        found
    }

    /// Where there are too many URLs, the oldest is forgotten, and certificates last.
    fn insert(&mut self, url: &CertificateUrl, entry: Entry) {
        if self.urls.len() >= MAX_URLS && !self.urls.contains_key(url) {
            let oldest = self.urls.iter().min_by_key(|(_, entry)| (entry.found.is_ok(), entry.at));
            if let Some(oldest) = oldest.map(|(url, _)| url.clone()) {
                self.urls.remove(&oldest);
            }
        }
        self.urls.insert(url.clone(), entry);
    }
}

impl Entry {
    /// Whether the limit kept the URL from being fetched.
    fn is_waiting(&self) -> bool {
        matches!(&self.found, Err(Failure::Unavailable(error)) if matches!(**error, CertificateUnavailable::Limited { .. }))
    }
}

impl From<CertificateUnavailable> for Failure {
    fn from(error: CertificateUnavailable) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

/// A file without a certificate that can be read, such as the page of a proxy, is not SNS's answer.
impl From<CertificateError> for Failure {
    fn from(error: CertificateError) -> Self {
        if error.is_unreadable() {
            CertificateUnavailable::Unreadable(error).into()
        } else {
            Self::Invalid(Arc::new(error))
        }
    }
}

/// Whether less than `limit` has passed since then. A clock that was set back by more than that ends the time too.
fn is_within(limit: Duration, since: OffsetDateTime, now: OffsetDateTime) -> bool {
    (now - since).abs() < limit
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard};

    use time::macros::datetime;

    use super::*;
    use crate::testing::SIGNING_CERTIFICATE_PEM;
    use crate::{FetchError, Fetching};

    const NOW: OffsetDateTime = datetime!(2026-03-06 20:00 UTC);
    const SECOND: Duration = Duration::SECOND;

    /// The host of SNS: the test certificate at these URLs, status 404 at others. Clones are the same host.
    #[derive(Clone, Default)]
    struct Host(Arc<Mutex<Files>>);

    #[derive(Default)]
    struct Files {
        genuine: Vec<CertificateUrl>,
        failing: bool,
        fetches: usize,
    }

    impl Host {
        fn with(genuine: impl IntoIterator<Item = CertificateUrl>) -> Self {
            let host = Self::default();
            host.files().genuine.extend(genuine);
            host
        }

        fn files(&self) -> MutexGuard<'_, Files> {
            self.0.lock().unwrap()
        }

        fn fetches(&self) -> usize {
            self.files().fetches
        }
    }

    impl CertificateSource for Host {
        fn fetch<'a>(&'a self, url: &'a CertificateUrl) -> Fetching<'a> {
            let mut files = self.files();
            files.fetches += 1;
            let is_found = files.genuine.contains(url) && !files.failing;
            let status = if files.failing { 503 } else { 404 };
            Box::pin(async move {
                if is_found { Ok(SIGNING_CERTIFICATE_PEM.into()) } else { Err(FetchError::Status { status }) }
            })
        }
    }

    fn url_in(region: &str, id: usize) -> CertificateUrl {
        CertificateUrl::parse(&format!("https://sns.{region}.amazonaws.com/SimpleNotificationService-{id}.pem"))
            .unwrap()
    }

    fn url(id: usize) -> CertificateUrl {
        url_in("us-east-1", id)
    }

    const GENUINE: usize = 1_000_000;

    #[tokio::test]
    async fn a_certificate_is_kept_for_a_day_and_stays_while_the_host_fails() {
        let host = Host::with([url(GENUINE)]);
        let store = CertificateStore::new(host.clone());
        let day = Duration::DAY;
        for (now, fails, fetches) in [
            (NOW, false, 1),
            (NOW + day - SECOND, false, 1),
            (NOW + day, true, 2),
            (NOW + day + SECOND * 9, true, 2),
            (NOW + day + SECOND * 10, true, 3),
            (NOW + day * 400, true, 4),
            (NOW + day * 400 + SECOND * 10, false, 5),
            (NOW + day * 401, false, 5),
        ] {
            host.files().failing = fails;
            assert!(store.get(&url(GENUINE), now).await.is_ok(), "{now}");
            assert_eq!(host.fetches(), fetches, "{now}");
        }
    }

    #[tokio::test]
    async fn a_failure_is_the_answer_for_10_seconds() {
        let host = Host::with([url(GENUINE)]);
        let store = CertificateStore::new(host.clone());
        host.files().failing = true;
        assert!(matches!(store.get(&url(GENUINE), NOW).await, Err(Failure::Unavailable(_))));
        host.files().failing = false;
        assert!(store.get(&url(GENUINE), NOW + SECOND * 9).await.is_err());
        assert_eq!(host.fetches(), 1);
        assert!(store.get(&url(GENUINE), NOW + SECOND * 10).await.is_ok());
    }

    #[tokio::test]
    async fn after_150_invented_urls_a_known_certificate_passes_and_an_unknown_one_when_sns_tries_again() {
        for known in [true, false] {
            let host = Host::with([url(GENUINE)]);
            let store = CertificateStore::new(host.clone());
            if known {
                store.get(&url(GENUINE), NOW - Duration::HOUR).await.unwrap();
            }
            for id in 0..150 {
                assert!(matches!(store.get(&url(id), NOW).await, Err(Failure::Unavailable(_))));
            }
            assert_eq!(host.fetches() - usize::from(known), MAX_FETCHES_OF_REGION);
            assert_eq!(store.get(&url(GENUINE), NOW).await.is_ok(), known);
            assert!(store.get(&url(GENUINE), NOW + SECOND * 20).await.is_ok(), "known: {known}");
        }
    }

    /// 20 messages a second with new URLs for a minute; SNS sends the genuine one three times.
    #[tokio::test]
    async fn a_certificate_that_was_never_read_gets_through_a_flood_that_goes_on() {
        let host = Host::with([url(GENUINE)]);
        let store = CertificateStore::new(host.clone());
        let mut got_through = Vec::new();
        for second in 0..=60 {
            let now = NOW + SECOND * second;
            for id in 0..20 {
                let _ = store.get(&url(second as usize * 20 + id), now).await;
            }
            if second % 20 == 1 && store.get(&url(GENUINE), now).await.is_ok() {
                got_through.push(second);
            }
        }
        assert_eq!(got_through, [21, 41], "at the second attempt, while the flood goes on");
        assert!(host.fetches() <= 3 * MAX_FETCHES_OF_REGION + 1, "{}", host.fetches());
    }

    #[tokio::test]
    async fn invented_urls_of_one_region_do_not_keep_those_of_another_waiting() {
        let host = Host::with([url_in("eu-west-1", GENUINE)]);
        let store = CertificateStore::new(host.clone());
        for id in 0..150 {
            let _ = store.get(&url(id), NOW).await;
        }
        assert!(store.get(&url_in("eu-west-1", GENUINE), NOW).await.is_ok());
    }

    #[tokio::test]
    async fn invented_regions_are_limited_together() {
        let host = Host::default();
        let store = CertificateStore::new(host.clone());
        for id in 0..150 {
            let region = format!("ab-{}{}-1", char::from(b'a' + id / 26), char::from(b'a' + id % 26));
            assert!(store.get(&url_in(&region, 0), NOW).await.is_err());
        }
        assert_eq!(host.fetches(), MAX_FETCHES);
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_certificates_are_forgotten_last() {
        let host = Host::with([url(GENUINE)]);
        let store = CertificateStore::new(host.clone());
        store.get(&url(GENUINE), NOW).await.unwrap();
        for id in 0..MAX_URLS + 10 {
            let _ = store.get(&url(id), NOW + SECOND).await;
        }
        assert_eq!(store.state.borrow().urls.len(), MAX_URLS);
        assert!(store.get(&url(GENUINE), NOW + SECOND).await.is_ok());
        let _ = store.get(&url(0), NOW + SECOND * 62).await;
        assert_eq!(store.state.borrow().urls.len(), 2, "failures are forgotten after a minute");
    }

    #[test]
    fn a_time_ends_when_the_clock_was_set_back_by_more_than_it() {
        for (seconds, expected) in [(-10, false), (-9, true), (0, true), (9, true), (10, false)] {
            assert_eq!(is_within(RETRY_AFTER, NOW, NOW + SECOND * seconds), expected, "{seconds}");
        }
    }
}
