//! How fast a body has to come: a whole one within `limits.body_timeout`, and no part of it slower than a modem.

use std::time::Duration;

/// Bytes a second. Whoever sends fewer holds a place and sends nothing.
const SLOWEST: u64 = 500;
/// The pace is judged over so long: lost packets are sent again several times meanwhile.
const WINDOW: Duration = Duration::from_secs(5);

/// The pace of one body.
pub(super) struct Pace {
    window: Duration,
    left: Duration,
    before: u64,
}

/// Why a body is not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooSlow {
    #[error("the body did not arrive in time")]
    Whole,
    #[error("the body came at less than 500 bytes a second")]
    Pace,
}

impl Pace {
    /// For a body that may take `whole`.
    pub(super) fn new(whole: Duration) -> Self {
        Self {
            window: WINDOW.min(whole / 2),
            left: whole,
            before: 0,
        }
    }

    /// How long to wait before [`Self::judge`] is asked.
    pub(super) fn wait(&self) -> Duration {
        self.window.min(self.left)
    }

    /// [`Self::wait`] has passed and `received` bytes are there, all in all. May more come?
    pub(super) fn judge(&mut self, received: u64) -> Result<(), TooSlow> {
        let waited = self.wait();
        self.left -= waited;
        if self.left.is_zero() {
            return Err(TooSlow::Whole);
        }
        let came = u128::from(received - self.before);
        self.before = received;
        if came * 1000 < u128::from(SLOWEST) * waited.as_millis() {
            return Err(TooSlow::Pace);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges a body of which so many bytes come in each window.
    fn ends(whole: u64, windows: &[u64]) -> (usize, Option<TooSlow>) {
        let mut pace = Pace::new(Duration::from_secs(whole));
        let mut received = 0;
        for (number, came) in windows.iter().enumerate() {
            received += came;
            if let Err(slow) = pace.judge(received) {
                return (number, Some(slow));
            }
        }
        (windows.len(), None)
    }

    #[test]
    fn every_window_has_to_bring_its_share() {
        // Two windows of 5 s.
        assert_eq!(ends(10, &[2500]), (1, None));
        assert_eq!(ends(10, &[2499]), (0, Some(TooSlow::Pace)));
        assert_eq!(ends(10, &[2500, 1 << 20]), (1, Some(TooSlow::Whole)));
        // What came before does not count for what comes now.
        assert_eq!(ends(60, &[1 << 20, 2500, 2500, 2499]), (3, Some(TooSlow::Pace)));
        assert_eq!(ends(12, &[2500, 2500, 1 << 20]), (2, Some(TooSlow::Whole)));
        // Shorter ones for a short time.
        assert_eq!(ends(2, &[500]), (1, None));
        assert_eq!(ends(2, &[499]), (0, Some(TooSlow::Pace)));
        assert_eq!(ends(0, &[1 << 20]), (0, Some(TooSlow::Whole)));
    }
}
