//! What holds for one run.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use gatehouse_shared::clock;
use tokio::time::Instant;

/// How long before Lambda's deadline a run stops making calls: time for the report and the notification.
pub(crate) const TIME_TO_REPORT: Duration = Duration::from_secs(10);

/// How long after its end a call may still take effect.
const TIME_TO_ARRIVE: Duration = Duration::from_secs(30);

/// What holds for one run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Change nothing.
    pub dry_run: bool,
    /// Remove more than `MAX_SHRINK_PERCENT` allows, or a whole family, and go back to an older document.
    pub force: bool,
    /// Look whether the groups are attached, and the parameters right, even where nothing is to change: any run but that of
    /// a notice.
    pub looks_for_drift: bool,
    /// When to stop making calls.
    pub stop: Instant,
    /// Tells the run from others that are under way: a random number.
    pub number: u64,
}

impl Run {
    /// When no call of this run can take effect any more, in seconds since 1970-01-01.
    #[must_use]
    pub fn last_effect_at(self) -> i64 {
        let left = self.stop.saturating_duration_since(Instant::now());
        (clock::now() + left + TIME_TO_ARRIVE).unix_timestamp()
    }
}

/// A number for a run.
#[must_use]
pub fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}
