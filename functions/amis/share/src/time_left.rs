//! The time that is left.

use std::time::Duration;

use gatehouse_shared::deadline::Deadline;
use tokio::time::Instant;

/// Kept back from the end, for calls that are under way and for the report: a tenth of the time, at most this.
const MAX_RESERVE: Duration = Duration::from_secs(30);
/// Systems Manager waits 300 s for a function; 5 s are for the way there and back.
const MAX_TIME: Duration = Duration::from_secs(295);

/// Until when work may begin. Lambda's deadline and Systems Manager's limit both count, the earlier one wins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLeft(Instant);

impl TimeLeft {
    pub(crate) fn new(deadline: Deadline) -> Self {
        Self(deadline.at_most(MAX_TIME).stop_for_log(MAX_RESERVE))
    }

    /// # Errors
    ///
    /// When nothing may begin any more.
    pub(crate) fn check(self) -> Result<(), String> {
        if Instant::now() < self.0 { Ok(()) } else { Err("out of time: run it again for the rest".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_before_the_deadline_and_before_systems_manager_gives_up() {
        let start = Instant::now();
        for (time, work) in [(3, 2.7), (10, 9.0), (30, 27.0), (60, 54.0), (285, 256.5), (900, 265.5)] {
            let until = TimeLeft::new(Deadline::after(Duration::from_secs(time))).0 - start;
            assert!((until.as_secs_f64() - work).abs() < 1.0, "{time}: {until:?}");
        }
        assert!(TimeLeft::new(Deadline::after(Duration::ZERO)).check().is_err());
    }
}
