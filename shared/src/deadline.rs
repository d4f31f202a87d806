//! Until when an invocation may work, so that it reports in time.

use std::time::Duration;

use lambda_runtime::Context;
use tokio::time::{Instant, timeout_at};

use crate::clock;

/// Source: Lambda Developer Guide, "Lambda quotas": the longest time-out of a function.
const MAX_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Lambda's deadline of one invocation: then the process is stopped, wherever it is.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use std::time::Duration;
/// use gatehouse_shared::deadline::Deadline;
/// use tokio::time::Instant;
///
/// let (now, second) = (Instant::now(), Duration::from_secs(1));
/// let deadline = Deadline::after(60 * second);
/// assert_eq!(deadline.stop_for_answer(5 * second), now + 55 * second);
/// assert_eq!(deadline.stop_for_log(5 * second), now + 55 * second);
///
/// let short = Deadline::after(4 * second);
/// assert_eq!(short.stop_for_answer(5 * second), now + 2 * second);
/// assert_eq!(short.stop_for_log(5 * second), now + 3600 * second / 1000);
/// # });
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    start: Instant,
    left: Duration,
}

impl Deadline {
    /// The deadline in the header `Lambda-Runtime-Deadline-Ms`, in milliseconds since 1970-01-01.
    #[must_use]
    pub fn new(context: &Context) -> Self {
        let now = u64::try_from(clock::now().unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        Self::after(Duration::from_millis(context.deadline.saturating_sub(now)))
    }

    /// A deadline in this time from now; Lambda has none later than 15 minutes.
    #[must_use]
    pub fn after(left: Duration) -> Self {
        Self { start: Instant::now(), left: left.min(MAX_TIMEOUT) }
    }

    /// The same, but at most this time from the start of the invocation, for a caller that waits no longer.
    #[must_use]
    pub fn at_most(self, limit: Duration) -> Self {
        Self { left: self.left.min(limit), ..self }
    }

    /// When to stop work after which something is still to be done, such as an answer or a mail: `reserve` before the
    /// deadline, or half-way where less than twice `reserve` is left.
    #[must_use]
    pub fn stop_for_answer(self, reserve: Duration) -> Instant {
        self.start + (self.left - reserve.min(self.left / 2))
    }

    /// When to stop work after which only a log line is written: `reserve` before the deadline, or a tenth of the time
    /// before it where that is less.
    #[must_use]
    pub fn stop_for_log(self, reserve: Duration) -> Instant {
        self.start + (self.left - reserve.min(self.left / 10))
    }
}

/// The pauses between attempts: each is twice as long as the one before. Where none is left, so is no attempt.
///
/// ```
/// use std::time::Duration;
/// use gatehouse_shared::deadline::backoff;
///
/// let pauses = backoff(Duration::from_millis(500), Duration::from_secs(2));
/// assert_eq!(pauses.map(|pause| pause.as_millis()).collect::<Vec<_>>(), [500, 1_000, 2_000]);
/// ```
pub fn backoff(first: Duration, last: Duration) -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(first), |pause| Some(*pause * 2)).take_while(move |pause| *pause <= last)
}

/// The result of the work; `None` where it is not done at `stop`. After `stop` it is not begun.
pub async fn within<T>(stop: Instant, work: impl Future<Output = T>) -> Option<T> {
    if Instant::now() >= stop {
        return None;
    }
    // On the heap: nested futures of a function's depth are more than the compiler lays out.
    timeout_at(stop, Box::pin(work)).await.ok()
}

#[cfg(test)]
mod tests {
    use gatehouse_testkit::context;

    use super::*;

    #[test]
    fn lambdas_deadline_counts_from_1970() {
        let mut context = context(Duration::from_secs(30));
        let left = Deadline::new(&context).left;
        context.deadline = 0;
        assert_eq!(Deadline::new(&context).left, Duration::ZERO);
        context.deadline = u64::MAX;
        assert_eq!(Deadline::new(&context).left, MAX_TIMEOUT);
        assert!((28..=30).contains(&left.as_secs()), "{left:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_cut_off_at_the_stop_and_not_begun_after_it() {
        let stop =
            Deadline::after(Duration::from_secs(20)).at_most(Duration::from_secs(10)).stop_for_answer(Duration::ZERO);
        assert_eq!(stop - Instant::now(), Duration::from_secs(10));
        let sleep = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
        assert_eq!(within(stop, sleep(9)).await, Some(()));
        assert_eq!(within(stop, sleep(2)).await, None);
        assert_eq!(stop, Instant::now());
        assert_eq!(within(stop, async { unreachable!("it was begun") }).await, None::<()>);
    }
}
