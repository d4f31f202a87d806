//! The time that is left.

use std::time::{Duration, Instant};

/// Kept back from the end, for calls that are under way and for the report.
const RESERVE: Duration = Duration::from_secs(30);
/// Systems Manager waits 300 s for a function; 5 s are for the way there and back.
const LONGEST: Duration = Duration::from_secs(295);

/// Until when work may begin. Lambda's deadline and Systems Manager's limit both count, the earlier one wins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLeft(Instant);

impl TimeLeft {
    /// `remaining` is the time to Lambda's deadline.
    pub(crate) fn new(remaining: Duration) -> Self {
        Self(Instant::now() + remaining.min(LONGEST).saturating_sub(RESERVE))
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
        assert!(TimeLeft::new(Duration::from_secs(29)).check().is_err());
        assert!(TimeLeft::new(Duration::from_secs(60)).check().is_ok());
        let long = TimeLeft::new(Duration::from_secs(900));
        assert!(long.0 <= Instant::now() + Duration::from_secs(265));
    }
}
