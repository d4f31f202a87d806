//! For how long a certificate is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;

use super::{Certificate, CertificateError, CertificateSource, CertificateUrl};
use crate::fetch::FetchError;

/// Certificates by URL: fetched once for concurrent requests, kept for a while, and no more of them than a bound.
///
/// A URL that cannot be fetched, or holds no certificate of SNS, is kept too, for a shorter time: a flood of messages
/// that name it costs one request a minute.
pub struct CertificateCache {
    source: Box<dyn CertificateSource>,
    outcomes: Cache<CertificateUrl, Outcome>,
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
}

/// How many certificates are kept, and for how long.
#[derive(Debug, Clone)]
pub struct CacheLimits {
    /// The bound on URLs, good and bad.
    pub entries: u64,
    /// How long a certificate is kept.
    pub keep: Duration,
    /// How long after a failure the URL is tried again.
    pub retry_after: Duration,
}

/// 1,024 URLs, a day, a minute.
///
/// A function needs one URL for each Region of its topics. The rest is room for failures, so that a flood of made-up
/// URLs does not push one out before its minute is over.
impl Default for CacheLimits {
    fn default() -> Self {
        Self { entries: 1_024, keep: Duration::from_secs(24 * 3_600), retry_after: Duration::from_secs(60) }
    }
}

impl Expiry<CertificateUrl, Outcome> for CacheLimits {
    fn expire_after_create(&self, _: &CertificateUrl, outcome: &Outcome, _: Instant) -> Option<Duration> {
        Some(if outcome.is_ok() { self.keep } else { self.retry_after })
    }
}

impl CertificateCache {
    /// An empty cache in front of `source`.
    #[must_use]
    pub fn new(source: impl CertificateSource + 'static, limits: CacheLimits) -> Self {
        // The default policy weighs how often an entry is asked for, so that the certificate in use outlives a flood
        // of messages that each name another.
        let outcomes = Cache::builder().max_capacity(limits.entries).expire_after(limits).build();
        Self { source: Box::new(source), outcomes }
    }

    /// The certificate at this URL, checked for all but its dates, which depend on the message.
    ///
    /// # Errors
    ///
    /// [`Unusable`], which stays the answer until the URL may be tried again.
    pub async fn get(&self, url: &CertificateUrl) -> Result<Arc<Certificate>, Arc<Unusable>> {
        self.outcomes.get_with_by_ref(url, async { self.load(url).await.map(Arc::new).map_err(Arc::new) }).await
    }

    async fn load(&self, url: &CertificateUrl) -> Result<Certificate, Unusable> {
        let certificate = Certificate::from_pem(&self.source.fetch(url).await?)?;
        certificate.check_common_name(url.region())?;
        tracing::info!(%url, not_after = %certificate.not_after(), "fetched a signing certificate");
        Ok(certificate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sns::certificate::Fetching;
    use crate::testing::StaticCertificates;

    const MINUTE: Duration = Duration::from_secs(60);
    const MOMENT: Duration = Duration::from_millis(50);

    fn url(id: usize) -> CertificateUrl {
        CertificateUrl::parse(&format!("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{id}.pem"))
            .unwrap()
    }

    fn cache(source: &StaticCertificates, keep: Duration, retry_after: Duration) -> CertificateCache {
        CertificateCache::new(source.clone(), CacheLimits { entries: 8, keep, retry_after })
    }

    /// Answers after a moment, so that requests overlap.
    struct Slow(StaticCertificates);

    impl CertificateSource for Slow {
        fn fetch<'a>(&'a self, url: &'a CertificateUrl) -> Fetching<'a> {
            Box::pin(async move {
                tokio::time::sleep(MOMENT).await;
                self.0.fetch(url).await
            })
        }
    }

    #[tokio::test]
    async fn concurrent_requests_fetch_once() {
        let source = StaticCertificates::new();
        let cache = CertificateCache::new(Slow(source.clone()), CacheLimits::default());
        let url = url(1);
        let (a, b, c, d) = tokio::join!(cache.get(&url), cache.get(&url), cache.get(&url), cache.get(&url));
        assert!([a, b, c, d].iter().all(Result::is_ok));
        assert_eq!(source.fetches(), 1);
    }

    #[tokio::test]
    async fn a_certificate_is_kept_until_its_time_is_over() {
        let source = StaticCertificates::new();
        let cache = cache(&source, MOMENT, MINUTE);
        for _ in 0..3 {
            cache.get(&url(1)).await.unwrap();
        }
        assert_eq!(source.fetches(), 1);
        std::thread::sleep(2 * MOMENT);
        cache.get(&url(1)).await.unwrap();
        assert_eq!(source.fetches(), 2);
    }

    #[tokio::test]
    async fn a_failure_is_kept_until_the_url_may_be_tried_again() {
        let source = StaticCertificates::new();
        source.fail(true);
        let cache = cache(&source, MINUTE, MOMENT);
        for _ in 0..3 {
            let error = cache.get(&url(1)).await.unwrap_err();
            assert!(matches!(*error, Unusable::Fetch(FetchError::Status { status: 503 })), "{error:?}");
        }
        assert_eq!(source.fetches(), 1);
        source.fail(false);
        assert!(cache.get(&url(1)).await.is_err(), "not yet");
        std::thread::sleep(2 * MOMENT);
        cache.get(&url(1)).await.unwrap();
        assert_eq!(source.fetches(), 2);
    }

    #[tokio::test]
    async fn a_file_that_is_no_certificate_of_sns_is_a_failure_too() {
        let source = StaticCertificates::of("not a certificate");
        let cache = cache(&source, MINUTE, MINUTE);
        for _ in 0..3 {
            let error = cache.get(&url(1)).await.unwrap_err();
            assert!(matches!(*error, Unusable::Certificate(_)), "{error:?}");
        }
        assert_eq!(source.fetches(), 1);
    }

    #[tokio::test]
    async fn a_flood_of_urls_does_not_grow_the_cache_nor_push_out_the_one_in_use() {
        let source = StaticCertificates::new();
        let cache = cache(&source, MINUTE, MINUTE);
        for id in 1..=200 {
            cache.get(&url(0)).await.unwrap();
            cache.get(&url(id)).await.unwrap();
        }
        cache.outcomes.run_pending_tasks().await;
        assert!(cache.outcomes.entry_count() <= 8, "{} entries", cache.outcomes.entry_count());
        assert_eq!(source.fetches(), 201, "the URL in use was fetched once, every other one too");
    }
}
