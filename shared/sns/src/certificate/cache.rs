//! For how long a certificate is kept, and a failure remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

use super::allowance::{Allowance, Claim};
use super::{Certificate, CertificateError, CertificateSource, CertificateUrl};
use crate::{FetchError, Region};

/// After this time a certificate is fetched again. If that fails, it stays usable until its own end.
const KEPT: Duration = Duration::days(1);

/// How long a failure is the answer that may pass: a time-out, no connection, status 429 or 5xx.
const PASSING: Duration = Duration::seconds(5);

/// How long a failure is the answer that is the fault of the URL or of what is there, such as status 404.
const DEFINITE: Duration = Duration::minutes(1);

/// After this time a URL that was fetched in vain is as good as a new one.
const FORGOTTEN: Duration = Duration::hours(1);

/// How many certificates are kept. SNS has a few for each Region, and nobody else can make one.
const MAX_CERTIFICATES: usize = 64;

/// Certificates by URL: fetched once for concurrent requests, and kept.
///
/// | what | kept for |
/// |---|---|
/// | a certificate | a day; then it is fetched again, and stays usable until its `not_after` while that fails |
/// | a failure that may pass | 5 seconds |
/// | any other failure | a minute |
///
/// URLs that never gave a certificate are fetched a few times a minute for each Region: see [`Unusable::Limited`].
pub(crate) struct CertificateCache {
    source: Box<dyn CertificateSource>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<CertificateUrl, Entry>,
    allowance: Allowance,
    /// Whoever fetches a URL holds its turn; the others wait for it, and find the outcome in `entries`.
    turns: HashMap<CertificateUrl, Weak<Turn<()>>>,
}

/// What came from a URL: a certificate, a failure, or a certificate and then a failure.
#[derive(Default)]
struct Entry {
    certificate: Option<(Arc<Certificate>, OffsetDateTime)>,
    failure: Option<(Arc<Unusable>, OffsetDateTime)>,
}

type Outcome = Result<Arc<Certificate>, Arc<Unusable>>;

/// Why the certificate at a URL cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was fetched is not a signing certificate of SNS in the Region of the URL.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// It was not fetched, because too many URLs were named that have no certificate. The limit is for URLs that never
    /// gave one, so it does not concern a certificate in use.
    #[error(
        "not fetched: too many messages name URLs in the Region {region} that never gave a certificate; \
         the sender must try again"
    )]
    Limited {
        /// The Region of the URL.
        region: Region,
    },
}

impl Unusable {
    /// Whether a later attempt may succeed: then the message must not be refused for good.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Fetch(error) => error.may_pass(),
            Self::Certificate(_) => false,
            Self::Limited { .. } => true,
        }
    }
}

impl CertificateCache {
    /// An empty cache in front of `source`.
    #[must_use]
    pub(crate) fn new(source: impl CertificateSource + 'static) -> Self {
        Self { source: Box::new(source), state: Mutex::default() }
    }

    /// The certificate at this URL, checked for all but its dates, which depend on the message.
    ///
    /// # Errors
    ///
    /// [`Unusable`], which stays the answer until the URL may be tried again.
    pub(crate) async fn get(&self, url: &CertificateUrl, now: OffsetDateTime) -> Result<Arc<Certificate>, Arc<Unusable>> {
        let asked = Instant::now();
        let now = || now + asked.elapsed();
        if let Some(outcome) = self.state().known(url, now()) {
            return outcome;
        }
        let turn = self.state().turn(url);
        let _turn = turn.lock().await;
        if let Some(outcome) = self.state().known(url, now()) {
            return outcome;
        }
        if !self.state().may_fetch(url, now()) {
            return Err(Arc::new(Unusable::Limited { region: url.region().clone() }));
        }
        let loaded = self.load(url).await;
        self.state().record(url, loaded, now())
    }

    async fn load(&self, url: &CertificateUrl) -> Result<Certificate, Unusable> {
        let certificate = Certificate::from_pem(&self.source.fetch(url).await?)?;
        certificate.check_name(url.region())?;
        tracing::info!(%url, not_after = %certificate.not_after(), "fetched a signing certificate");
        Ok(certificate)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is known of this URL; `None` when it is time to fetch it.
    fn known(&self, url: &CertificateUrl, now: OffsetDateTime) -> Option<Outcome> {
        let entry = self.entries.get(url)?;
        let failure = entry.failure.as_ref().filter(|(failure, since)| is_within(remembered(failure), *since, now));
        match (&entry.certificate, failure) {
            (Some((certificate, since)), None) => is_within(KEPT, *since, now).then(|| Ok(Arc::clone(certificate))),
            (Some((certificate, _)), Some(_)) if now <= certificate.not_after() => Some(Ok(Arc::clone(certificate))),
            (_, Some((failure, _))) => Some(Err(Arc::clone(failure))),
            (None, None) => None,
        }
    }

    /// Whether this URL may be fetched now. If it never gave a certificate, the fetch is counted.
    fn may_fetch(&mut self, url: &CertificateUrl, now: OffsetDateTime) -> bool {
        self.entries.retain(|_, entry| entry.certificate.is_some() || entry.has_failed_lately(now));
        let claim = match self.entries.get(url) {
            Some(Entry { certificate: Some(_), .. }) => return true,
            Some(Entry { failure: Some((failure, _)), .. }) if !failure.may_pass() => Claim::Failed,
            _ => Claim::Open,
        };
        self.allowance.take(url, claim, now)
    }

    /// Keeps what came from this URL. What is answered is what [`State::known`] says from now on.
    fn record(&mut self, url: &CertificateUrl, loaded: Result<Certificate, Unusable>, now: OffsetDateTime) -> Outcome {
        let entry = self.entries.entry(url.clone()).or_default();
        let outcome = match loaded {
            Ok(certificate) => {
                let certificate = Arc::new(certificate);
                *entry = Entry { certificate: Some((Arc::clone(&certificate), now)), failure: None };
                Ok(certificate)
            }
            Err(failure) => {
                let failure = Arc::new(failure);
                entry.failure = Some((Arc::clone(&failure), now));
                match &entry.certificate {
                    Some((certificate, _)) if now <= certificate.not_after() => {
                        tracing::warn!(
                            %url,
                            error = %failure,
                            "cannot fetch a signing certificate again: the one fetched before stays in use"
                        );
                        Ok(Arc::clone(certificate))
                    }
                    _ => Err(failure),
                }
            }
        };
        self.drop_oldest_certificates();
        outcome
    }

    fn drop_oldest_certificates(&mut self) {
        let ends =
            self.entries.iter().filter_map(|(url, entry)| Some((entry.certificate.as_ref()?.0.not_after(), url)));
        if ends.clone().count() > MAX_CERTIFICATES
            && let Some((_, url)) = ends.min_by_key(|(not_after, _)| *not_after)
        {
            let url = url.clone();
            self.entries.remove(&url);
        }
    }

    /// The turn to fetch this URL, shared by all who ask for it at the same time.
    fn turn(&mut self, url: &CertificateUrl) -> Arc<Turn<()>> {
        self.turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = self.turns.get(url).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        self.turns.insert(url.clone(), Arc::downgrade(&turn));
        turn
    }
}

impl Entry {
    fn has_failed_lately(&self, now: OffsetDateTime) -> bool {
        self.failure.as_ref().is_some_and(|(_, since)| is_within(FORGOTTEN, *since, now))
    }
}

fn remembered(failure: &Unusable) -> Duration {
    if failure.may_pass() { PASSING } else { DEFINITE }
}

/// Whether less than `limit` has passed since then. A clock that was put back by more than that ends the time too.
fn is_within(limit: Duration, since: OffsetDateTime, now: OffsetDateTime) -> bool {
    (now - since).abs() < limit
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use time::macros::datetime;

    use super::*;
    use crate::certificate::Fetching;
    use crate::testing::SIGNING_CERTIFICATE_PEM;

    const NOW: OffsetDateTime = datetime!(2026-03-06 20:00 UTC);
    const SECOND: Duration = Duration::SECOND;
    const NANOSECOND: Duration = Duration::NANOSECOND;
    /// When the test certificate ends.
    const END: OffsetDateTime = datetime!(2120-01-01 00:00 UTC);

    /// The server of SNS: files by URL, and status 404 for all others. Clones are the same server.
    #[derive(Clone, Default)]
    struct Server(Arc<Mutex<Files>>);

    #[derive(Default)]
    struct Files {
        certificates: HashSet<usize>,
        status: Option<u16>,
        file: Option<&'static str>,
        takes: std::time::Duration,
        requests: Vec<String>,
    }

    impl Server {
        /// A server with a certificate at these URLs.
        fn with(certificates: impl IntoIterator<Item = usize>) -> Self {
            let server = Self::default();
            server.files().certificates.extend(certificates);
            server
        }

        fn files(&self) -> MutexGuard<'_, Files> {
            self.0.lock().unwrap()
        }

        /// From now on, answers with this status.
        fn fail(&self, status: impl Into<Option<u16>>) {
            self.files().status = status.into();
        }

        fn requests(&self) -> usize {
            self.files().requests.len()
        }

        fn cache(&self) -> CertificateCache {
            CertificateCache::new(self.clone())
        }
    }

    impl CertificateSource for Server {
        fn fetch<'a>(&'a self, asked: &'a CertificateUrl) -> Fetching<'a> {
            Box::pin(async move {
                let takes = {
                    let mut files = self.files();
                    files.requests.push(asked.to_string());
                    files.takes
                };
                tokio::time::sleep(takes).await;
                let files = self.files();
                match files.status {
                    Some(status) => Err(FetchError::Status { status }),
                    None if files.certificates.iter().any(|id| url(*id) == *asked) => {
                        Ok(files.file.unwrap_or(SIGNING_CERTIFICATE_PEM).into())
                    }
                    None => Err(FetchError::Status { status: 404 }),
                }
            })
        }
    }

    fn url(id: usize) -> CertificateUrl {
        CertificateUrl::parse(&format!("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{id}.pem"))
            .unwrap()
    }

    async fn limited(cache: &CertificateCache, id: usize, now: OffsetDateTime) -> bool {
        matches!(cache.get(&url(id), now).await, Err(error) if matches!(*error, Unusable::Limited { .. }))
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_requests_fetch_once() {
        let server = Server::with([1]);
        server.files().takes = std::time::Duration::from_secs(4);
        let cache = server.cache();
        let url = url(1);
        let (a, b, c) = tokio::join!(cache.get(&url, NOW), cache.get(&url, NOW), cache.get(&url, NOW));
        assert!([a, b, c].iter().all(Result::is_ok));
        assert_eq!(server.requests(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_requests_share_a_failure_and_count_its_time_from_its_end() {
        let server = Server::default();
        server.fail(503);
        // As long as a failure is remembered.
        server.files().takes = std::time::Duration::from_secs(5);
        let cache = server.cache();
        let url = url(1);
        let (a, b, c) = tokio::join!(cache.get(&url, NOW), cache.get(&url, NOW), cache.get(&url, NOW));
        assert!([a, b, c].iter().all(Result::is_err));
        assert!(cache.get(&url, NOW + SECOND * 10 - NANOSECOND).await.is_err());
        assert_eq!(server.requests(), 1);
        assert!(cache.get(&url, NOW + SECOND * 10).await.is_err());
        assert_eq!(server.requests(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_for_different_urls_do_not_wait_for_each_other() {
        let server = Server::with([1, 2]);
        server.files().takes = std::time::Duration::from_secs(4);
        let cache = server.cache();
        let (one, two) = (url(1), url(2));
        let started = Instant::now();
        let (a, b) = tokio::join!(cache.get(&one, NOW), cache.get(&two, NOW));
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(started.elapsed().as_secs(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_given_up_leaves_its_turn_to_the_next() {
        let server = Server::with([1]);
        server.files().takes = std::time::Duration::from_secs(4);
        let cache = server.cache();
        let given_up = tokio::time::timeout(std::time::Duration::from_secs(1), cache.get(&url(1), NOW)).await;
        assert!(given_up.is_err());
        assert!(cache.get(&url(1), NOW + SECOND).await.is_ok());
        assert!(cache.state().turns.values().all(|turn| turn.strong_count() == 0));
        let _ = cache.state().turn(&url(2));
        assert_eq!(cache.state().turns.len(), 1, "turns that are over are dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_kept_for_a_day() {
        let server = Server::with([1]);
        let cache = server.cache();
        for now in [NOW, NOW, NOW + Duration::DAY - NANOSECOND] {
            cache.get(&url(1), now).await.unwrap();
        }
        assert_eq!(server.requests(), 1);
        for now in [NOW + Duration::DAY, NOW + Duration::DAY * 2 - NANOSECOND] {
            cache.get(&url(1), now).await.unwrap();
        }
        assert_eq!(server.requests(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_may_pass_is_the_answer_for_5_seconds_and_another_one_for_a_minute() {
        for (status, remembered) in
            [(503, SECOND * 5), (500, SECOND * 5), (429, SECOND * 5), (404, SECOND * 60), (403, SECOND * 60)]
        {
            let server = Server::with([1]);
            server.fail(status);
            let cache = server.cache();
            let error = cache.get(&url(1), NOW).await.unwrap_err();
            assert!(
                matches!(*error, Unusable::Fetch(FetchError::Status { status: seen }) if seen == status),
                "{error:?}"
            );
            assert_eq!(error.may_pass(), remembered == SECOND * 5);
            server.fail(None);
            assert!(cache.get(&url(1), NOW + remembered - NANOSECOND).await.is_err(), "{status}");
            assert_eq!(server.requests(), 1);
            assert!(cache.get(&url(1), NOW + remembered).await.is_ok(), "{status}");
            assert_eq!(server.requests(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_no_certificate_of_sns_is_a_definite_failure() {
        let other_name = include_str!("../../testing/refused/other-name.pem");
        for file in ["not a certificate", other_name] {
            let server = Server::with([1]);
            server.files().file = Some(file);
            let cache = server.cache();
            for now in [NOW, NOW + SECOND * 60 - NANOSECOND] {
                let error = cache.get(&url(1), now).await.unwrap_err();
                assert!(matches!(*error, Unusable::Certificate(_)) && !error.may_pass(), "{error:?}");
            }
            assert_eq!(server.requests(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_stays_usable_until_its_end_while_fetching_it_again_fails() {
        for (status, retried_after) in [(503, SECOND * 5), (404, SECOND * 60)] {
            let server = Server::with([1]);
            let cache = server.cache();
            let day_before_end = END - Duration::DAY;
            cache.get(&url(1), day_before_end).await.unwrap();
            server.fail(status);
            cache.get(&url(1), END - SECOND * 5 + NANOSECOND).await.unwrap();
            assert_eq!(server.requests(), 1, "kept for a day");
            cache.get(&url(1), END).await.unwrap();
            assert_eq!(server.requests(), 2, "{status}: failed, and the last second of the certificate");
            assert!(cache.get(&url(1), END + NANOSECOND).await.is_err(), "{status}: its end is over");
            assert_eq!(server.requests(), 2, "{status}: the failure is remembered");
            assert!(cache.get(&url(1), END + retried_after).await.is_err());
            assert_eq!(server.requests(), 3, "{status}");
            server.fail(None);
            assert!(cache.get(&url(1), END + retried_after * 2).await.is_ok(), "{status}: it was fetched again");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn fetching_a_certificate_again_is_tried_every_few_seconds_and_never_limited() {
        let server = Server::with([0]);
        let cache = server.cache();
        cache.get(&url(0), NOW).await.unwrap();
        server.fail(503);
        let tomorrow = NOW + Duration::DAY;
        for second in 0..60 {
            cache.get(&url(0), tomorrow + SECOND * second).await.unwrap();
        }
        assert_eq!(server.requests(), 1 + 12);
    }

    /// 100 messages a second, each with an invented URL, for 10 minutes.
    #[tokio::test(start_paused = true)]
    async fn a_flood_of_invented_urls_costs_three_fetches_a_minute_and_the_certificate_in_use_stays() {
        let server = Server::with([0]);
        let cache = server.cache();
        for second in 0..600 {
            let now = NOW + SECOND * second;
            cache.get(&url(0), now).await.unwrap();
            for id in 0..100 {
                let error = cache.get(&url(1 + second as usize * 100 + id), now).await.unwrap_err();
                assert!(error.may_pass() == matches!(*error, Unusable::Limited { .. }), "{error:?}");
            }
        }
        let of_flood = server.requests() - 1;
        assert_eq!(of_flood, 2 + 29, "the certificate in use took one of the first three");
        assert_eq!(cache.state().entries.len(), 1 + of_flood);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_meets_the_limit_may_be_sent_again() {
        let server = Server::default();
        let cache = server.cache();
        for id in 0..3 {
            assert!(!limited(&cache, id, NOW).await);
        }
        let error = cache.get(&url(3), NOW).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "not fetched: too many messages name URLs in the Region us-east-1 that never gave a certificate; \
             the sender must try again"
        );
        assert!(error.may_pass());
        assert!(cache.get(&url(3), NOW + SECOND * 20).await.is_err_and(|error| !error.may_pass()), "it was fetched");
        assert_eq!(server.requests(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_good_certificate_gets_through_a_flood_when_sns_tries_again() {
        let server = Server::with([0]);
        let cache = server.cache();
        for second in 0..20 {
            for id in 0..500 {
                let _ = cache.get(&url(1 + second as usize * 500 + id), NOW + SECOND * second).await;
            }
            if second == 0 {
                assert!(limited(&cache, 0, NOW).await, "the flood was first");
            }
        }
        for id in 0..500 {
            let _ = cache.get(&url(100_000 + id), NOW + SECOND * 20).await;
        }
        cache.get(&url(0), NOW + SECOND * 20).await.unwrap();
    }

    /// Each invented URL is fetched in vain once; after that it does not take the reserve from others.
    #[tokio::test(start_paused = true)]
    async fn the_first_good_certificate_gets_through_a_flood_that_repeats_its_urls() {
        let server = Server::with([0]);
        let cache = server.cache();
        let mut got_through = None;
        for second in 0..=600 {
            let now = NOW + SECOND * second;
            for id in 1..=30 {
                let _ = cache.get(&url(id), now).await;
            }
            if second % 20 == 0 && cache.get(&url(0), now).await.is_ok() {
                got_through = Some(second);
                break;
            }
        }
        // 30 URLs that share a reserve of three fetches a minute: within ten minutes.
        assert!(got_through.is_some(), "{} requests", server.requests());
    }

    /// While SNS cannot be reached, its URL fails as well; that must not cost it the reserve.
    #[tokio::test(start_paused = true)]
    async fn a_failure_that_may_pass_does_not_cost_the_reserve() {
        let server = Server::with([0]);
        let cache = server.cache();
        server.fail(503);
        for id in 0..3 {
            assert!(!limited(&cache, id, NOW).await);
        }
        assert!(limited(&cache, 0, NOW + SECOND * 5).await);
        server.fail(None);
        cache.get(&url(0), NOW + SECOND * 15).await.unwrap();

        server.files().certificates.insert(7);
        server.fail(404);
        assert!(!limited(&cache, 7, NOW + SECOND * 600).await);
        for id in 8..10 {
            assert!(!limited(&cache, id, NOW + SECOND * 600).await);
        }
        server.fail(None);
        for id in 10..20 {
            let _ = cache.get(&url(id), NOW + SECOND * 660).await;
        }
        assert!(limited(&cache, 7, NOW + SECOND * 661).await);
        assert!(limited(&cache, 7, NOW + SECOND * 675).await, "after status 404 there is no claim to the reserve");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_forgotten_after_an_hour_and_certificates_are_not() {
        let server = Server::with([0]);
        let cache = server.cache();
        cache.get(&url(0), NOW).await.unwrap();
        assert!(cache.get(&url(1), NOW).await.is_err());
        assert!(cache.get(&url(2), NOW + Duration::HOUR - NANOSECOND).await.is_err());
        assert_eq!(cache.state().entries.len(), 3);
        assert!(cache.get(&url(3), NOW + Duration::HOUR).await.is_err());
        assert_eq!(cache.state().entries.len(), 3);
        assert!(!cache.state().entries.contains_key(&url(1)));
        cache.get(&url(0), NOW + Duration::HOUR).await.unwrap();
        assert_eq!(server.requests(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn certificates_are_bounded() {
        let server = Server::with(0..200);
        let cache = server.cache();
        for id in 0..200 {
            // One each minute, so that the limit does not matter.
            cache.get(&url(id), NOW + SECOND * 60 * id as i32).await.unwrap();
            assert_eq!(cache.state().entries.len(), (id + 1).min(MAX_CERTIFICATES), "{id}");
        }
    }

    #[test]
    fn a_time_ends_when_the_clock_was_put_back_by_more_than_it() {
        assert!(is_within(SECOND, NOW, NOW));
        assert!(is_within(SECOND, NOW, NOW + SECOND - NANOSECOND));
        assert!(!is_within(SECOND, NOW, NOW + SECOND));
        assert!(is_within(SECOND, NOW, NOW - SECOND + NANOSECOND));
        assert!(!is_within(SECOND, NOW, NOW - SECOND));
    }
}
