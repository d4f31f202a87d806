//! How often a URL that never gave a certificate may be fetched.
//!
//! Anybody can write a URL of SNS with another file name into a message. So fetches of URLs that never gave a
//! certificate are limited for each Region. A function needs one of them for each Region of its topics, and one more when
//! SNS changes its certificate.
//!
//! The limit must not keep out the message that names the true URL. A flood of invented URLs uses up whatever is given
//! to those who come first, so the same number of fetches is reserved for URLs that come again: SNS tries a refused
//! message again after 20 seconds, with the same URL, while a flood names new ones. A flood that repeats its URLs
//! competes for the reserve too, but with each of them only once: a URL that was fetched in vain has no claim to it any
//! more ([`Claim::Failed`]). So 30 repeated URLs keep others out for ten minutes at most.
//!
//! Pure: no clock, no network.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use time::{Duration, OffsetDateTime};

use super::CertificateUrl;
use crate::Region;

/// At most this many fetches one after the other, of those who come first and of the reserve alike.
const BURST: i32 = 3;

/// After that, one fetch in this time: three a minute of those who come first, and three a minute of the reserve.
const INTERVAL: Duration = Duration::seconds(20);

/// After this time a URL has come again, rather than twice at once. SNS tries again after 20 seconds by default.
const COMES_AGAIN_AFTER: Duration = Duration::seconds(10);

/// Requests that overlap may see slightly different times.
const CLOCKS_DIFFER_BY: Duration = Duration::seconds(10);

/// More Regions than AWS has. Only a function that accepts messages of any topic can meet more, all invented.
const MAX_REGIONS: usize = 64;

/// How many refused URLs are remembered at least, by a hash: those of 30 seconds at 500 messages a second.
const REMEMBERED: usize = 16_384;

/// What is known of a URL that never gave a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// It was not fetched yet, or the failure was one that may pass.
    Open,
    /// It was fetched within the last hour, and the failure was a definite one.
    Failed,
}

/// The fetches that are left.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    regions: HashMap<Region, Buckets>,
    refused: Refused,
}

impl Allowance {
    /// Whether this URL may be fetched now. A fetch that may be is counted.
    pub(super) fn take(&mut self, url: &CertificateUrl, claim: Claim, now: OffsetDateTime) -> bool {
        if self.regions.len() >= MAX_REGIONS && !self.regions.contains_key(url.region()) {
            // One that is full again says no more than one that is not there.
            self.regions.retain(|_, buckets| !buckets.is_full(now));
            if self.regions.len() >= MAX_REGIONS {
                return false;
            }
        }
        let buckets = self.regions.entry(url.region().clone()).or_insert_with(|| Buckets::full(now));
        if buckets.first_come.take(now) {
            return true;
        }
        claim == Claim::Open && self.refused.comes_again(url, now) && buckets.reserved.take(now)
    }
}

#[derive(Debug)]
struct Buckets {
    first_come: Bucket,
    reserved: Bucket,
}

impl Buckets {
    fn full(now: OffsetDateTime) -> Self {
        Self { first_come: Bucket { full_at: now }, reserved: Bucket { full_at: now } }
    }

    fn is_full(&self, now: OffsetDateTime) -> bool {
        self.first_come.full_at <= now && self.reserved.full_at <= now
    }
}

/// A number of fetches, of which one is added in each [`INTERVAL`] up to [`BURST`].
#[derive(Debug)]
struct Bucket {
    full_at: OffsetDateTime,
}

impl Bucket {
    fn take(&mut self, now: OffsetDateTime) -> bool {
        let to_wait = self.full_at - now;
        // Hardly ever longer, unless the clock was put back: then it starts again.
        let is_of_another_time = to_wait > INTERVAL * BURST + CLOCKS_DIFFER_BY;
        let to_wait = if is_of_another_time { Duration::ZERO } else { to_wait.max(Duration::ZERO) };
        let is_left = to_wait <= INTERVAL * (BURST - 1);
        if is_left {
            self.full_at = now + to_wait + INTERVAL;
        }
        is_left
    }
}

/// When URLs were refused for the first time: the last [`REMEMBERED`] of them, and up to as many before.
#[derive(Debug, Default)]
struct Refused {
    hasher: RandomState,
    recent: HashMap<u64, OffsetDateTime>,
    earlier: HashMap<u64, OffsetDateTime>,
}

impl Refused {
    /// Whether this URL was refused some time ago. If it was never refused, it is from now on.
    fn comes_again(&mut self, url: &CertificateUrl, now: OffsetDateTime) -> bool {
        let hash = self.hasher.hash_one(url);
        if let Some(since) = self.recent.get(&hash).or_else(|| self.earlier.get(&hash)) {
            return now - *since >= COMES_AGAIN_AFTER;
        }
        if self.recent.len() >= REMEMBERED {
            self.earlier = std::mem::take(&mut self.recent);
        }
        self.recent.insert(hash, now);
        false
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-03-06 20:00 UTC);
    const SECOND: Duration = Duration::SECOND;

    fn url_in(region: &str, id: usize) -> CertificateUrl {
        CertificateUrl::parse(&format!("https://sns.{region}.amazonaws.com/SimpleNotificationService-{id}.pem"))
            .unwrap()
    }

    fn url(id: usize) -> CertificateUrl {
        url_in("us-east-1", id)
    }

    /// How many of these many new URLs may be fetched at this time.
    fn flood(allowance: &mut Allowance, ids: std::ops::Range<usize>, now: OffsetDateTime) -> usize {
        ids.filter(|id| allowance.take(&url(*id), Claim::Open, now)).count()
    }

    #[test]
    fn new_urls_get_three_fetches_at_once_and_then_one_each_20_seconds() {
        let mut allowance = Allowance::default();
        assert_eq!(flood(&mut allowance, 0..100, NOW), 3);
        assert_eq!(flood(&mut allowance, 100..200, NOW + SECOND * 20 - Duration::NANOSECOND), 0);
        assert_eq!(flood(&mut allowance, 200..300, NOW + SECOND * 20), 1);
        assert_eq!(flood(&mut allowance, 300..400, NOW + SECOND * 60), 2);
        assert_eq!(flood(&mut allowance, 400..500, NOW + SECOND * 600), 3, "never more than three at once");
    }

    #[test]
    fn a_flood_of_an_hour_gets_three_fetches_a_minute() {
        let mut allowance = Allowance::default();
        let fetched: usize = (0..3_600)
            .map(|second| flood(&mut allowance, second * 10..second * 10 + 10, NOW + SECOND * second as i32))
            .sum();
        assert_eq!(fetched, 3 + 179);
    }

    #[test]
    fn each_region_has_its_own() {
        let mut allowance = Allowance::default();
        assert_eq!(flood(&mut allowance, 0..100, NOW), 3);
        assert!(allowance.take(&url_in("eu-west-1", 0), Claim::Open, NOW));
    }

    #[test]
    fn a_url_that_comes_again_gets_through_a_flood() {
        let mut allowance = Allowance::default();
        flood(&mut allowance, 0..100, NOW);
        assert!(!allowance.take(&url(555), Claim::Open, NOW));
        flood(&mut allowance, 1_000..2_000, NOW + SECOND * 10);
        assert!(!allowance.take(&url(555), Claim::Open, NOW + SECOND * 10 - Duration::NANOSECOND), "too soon");
        assert!(allowance.take(&url(555), Claim::Open, NOW + SECOND * 10));
    }

    #[test]
    fn the_reserve_is_limited_as_well() {
        let mut allowance = Allowance::default();
        flood(&mut allowance, 0..100, NOW);
        assert_eq!(flood(&mut allowance, 3..100, NOW + SECOND * 10), 3);
        assert_eq!(flood(&mut allowance, 3..100, NOW + SECOND * 19), 0);
        // One of those who come first, and one of the reserve.
        assert_eq!(flood(&mut allowance, 3..100, NOW + SECOND * 30), 2);
    }

    #[test]
    fn a_url_that_was_fetched_in_vain_has_no_claim_to_the_reserve() {
        let mut allowance = Allowance::default();
        flood(&mut allowance, 0..100, NOW);
        assert!(!allowance.take(&url(555), Claim::Failed, NOW));
        assert!(!allowance.take(&url(555), Claim::Failed, NOW + SECOND * 15));
        assert!(allowance.take(&url(555), Claim::Failed, NOW + SECOND * 20), "one for those who come first");
    }

    #[test]
    fn what_is_remembered_of_refused_urls_is_bounded_and_outlasts_a_flood_of_30_seconds() {
        let mut allowance = Allowance::default();
        flood(&mut allowance, 0..3, NOW);
        assert!(!allowance.take(&url(555_555), Claim::Open, NOW));
        flood(&mut allowance, 1_000..1_000 + REMEMBERED - 1, NOW);
        assert_eq!((allowance.refused.recent.len(), allowance.refused.earlier.len()), (REMEMBERED, 0));
        flood(&mut allowance, 100_000..100_000 + REMEMBERED, NOW);
        assert_eq!((allowance.refused.recent.len(), allowance.refused.earlier.len()), (REMEMBERED, REMEMBERED));
        assert!(allowance.take(&url(555_555), Claim::Open, NOW + SECOND * 10));
        flood(&mut allowance, 200_000..200_000 + 3 * REMEMBERED, NOW + SECOND * 10);
        assert_eq!(allowance.refused.earlier.len(), REMEMBERED);
        assert!(!allowance.refused.comes_again(&url(555_555), NOW + SECOND * 20), "forgotten");
    }

    #[test]
    fn invented_regions_are_bounded_and_make_room_after_a_while() {
        let mut allowance = Allowance::default();
        let region = |index: u8| format!("ab-{}{}-1", char::from(b'a' + index / 26), char::from(b'a' + index % 26));
        for index in 0..64 {
            assert!(allowance.take(&url_in(&region(index), 0), Claim::Open, NOW), "{index}");
        }
        assert!(!allowance.take(&url(0), Claim::Open, NOW));
        assert!(allowance.take(&url_in(&region(63), 1), Claim::Open, NOW), "one that is known has its own");
        assert!(!allowance.take(&url(0), Claim::Open, NOW + SECOND * 20 - Duration::NANOSECOND));
        assert!(allowance.take(&url(0), Claim::Open, NOW + SECOND * 20));
        assert_eq!(allowance.regions.len(), 2, "that of the last fetch but one is not full yet");
    }

    #[test]
    fn a_region_whose_reserve_is_in_use_is_kept() {
        let buckets = |first_come, reserved| Buckets {
            first_come: Bucket { full_at: NOW + SECOND * first_come },
            reserved: Bucket { full_at: NOW + SECOND * reserved },
        };
        assert!(buckets(0, 0).is_full(NOW));
        assert!(!buckets(1, 0).is_full(NOW));
        assert!(!buckets(0, 1).is_full(NOW));
    }

    #[test]
    fn a_clock_that_is_put_back_does_not_stop_all_fetches() {
        let mut allowance = Allowance::default();
        assert_eq!(flood(&mut allowance, 0..100, NOW), 3);
        assert_eq!(flood(&mut allowance, 0..100, NOW - SECOND * 10), 0, "not by much: requests overlap");
        let earlier = NOW - SECOND * 10 - Duration::NANOSECOND;
        assert_eq!(flood(&mut allowance, 0..100, earlier), 3);
        assert_eq!(flood(&mut allowance, 0..100, earlier), 0);
    }
}
