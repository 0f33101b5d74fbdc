//! Chance that repeats: everything random in a run is a function of its seed.

use std::time::Duration;

/// A stream of numbers (splitmix64).
pub struct Dice(u64);

impl Dice {
    /// Independent of every other stream: `of` says what it is for.
    pub fn new(seed: u64, of: u64) -> Self {
        // Mixed, because streams that begin a multiple of the step apart are one stream, shifted.
        Self(Self(seed).next() ^ Self(!of).next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `0..below`.
    pub fn below(&mut self, below: u64) -> u64 {
        self.next() % below.max(1)
    }

    /// One of `0..count`.
    pub fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).expect("smaller than count")
    }

    /// True so many times in 10,000.
    pub fn chance(&mut self, in_ten_thousand: u64) -> bool {
        self.below(10_000) < in_ten_thousand
    }

    /// `from..=to`.
    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }
}
