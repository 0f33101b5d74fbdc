//! Does the time that a compare takes tell what it compares with? Welch's t over two classes of guesses, as dudect does it.
//!
//! A guess that is right but for its end against one that is wrong from its beginning: a compare that stops at the first
//! difference takes longer for the first (Reparaz, Balasch, Verbauwhede: Dude, is my code constant time?, 2017). The
//! measurements are ignored tests named `…_in_constant_time`; `tests/timing/run` runs them.

use std::{hint::black_box, time::Instant};

/// Measured guesses of both classes together.
const SAMPLES: usize = 1_000_000;
/// Prepared at once, in one order and measured in that.
const BATCH: usize = 2_000;
/// Of the times, so many per mille: the longest are interrupts and other people's work.
const KEPT: usize = 900;
/// Beyond it the classes differ.
pub(crate) const BOUND: f64 = 4.5;

/// Where a guess is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    AtItsEnd,
    FromItsBeginning,
}

/// Random enough for inputs, and the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// A guess at `right`, of its length and alphabet: the lower-case hexadecimal digits. The same work in the same memory for
/// both classes, so that a guess does not carry traces of how it was made.
pub(crate) fn guess(right: &str, wrong: Wrong, dice: &mut Dice) -> String {
    let right = right.as_bytes();
    let (kept, differs_at) = match wrong {
        Wrong::AtItsEnd => (right.len() - 1, right.len() - 1),
        Wrong::FromItsBeginning => (0, 0),
    };
    let mut guess = Vec::with_capacity(right.len());
    for (index, digit) in right.iter().enumerate() {
        let random = b"0123456789abcdef"[usize::try_from(dice.next() >> 60).expect("small")];
        guess.push([random, *digit][usize::from(index < kept)]);
    }
    guess[differs_at] = if right[differs_at] == b'0' { b'1' } else { b'0' };
    String::from_utf8(guess).expect("digits")
}

/// Welch's t between the times of `judge` over guesses of both classes: far from 0 if they differ. `prepare` makes what is
/// judged of a guess, `judge` must say no.
#[expect(clippy::disallowed_methods, reason = "a measurement of time")]
pub(crate) fn difference<I>(right: &str, prepare: impl Fn(String) -> I, judge: impl Fn(&I) -> bool) -> f64 {
    let mut dice = Dice(1);
    let mut times: Vec<(Wrong, u64)> = Vec::with_capacity(SAMPLES);
    let warm: Vec<I> = (0..BATCH)
        .map(|_| prepare(guess(right, Wrong::AtItsEnd, &mut dice)))
        .collect();
    assert!(!warm.iter().any(&judge), "a wrong guess is taken for right");
    assert!(judge(&prepare(right.to_owned())), "the right guess is refused");
    while times.len() < SAMPLES {
        let batch: Vec<(Wrong, I)> = (0..BATCH)
            .map(|_| {
                let wrong = if dice.next() >> 63 == 0 {
                    Wrong::AtItsEnd
                } else {
                    Wrong::FromItsBeginning
                };
                (wrong, prepare(guess(right, wrong, &mut dice)))
            })
            .collect();
        for (wrong, input) in &batch {
            let begun = Instant::now();
            let held = black_box(judge(black_box(input)));
            let took = begun.elapsed().as_nanos();
            assert!(!held);
            times.push((*wrong, u64::try_from(took).unwrap_or(u64::MAX)));
        }
    }
    let mut sorted: Vec<u64> = times.iter().map(|(_, took)| *took).collect();
    sorted.sort_unstable();
    let longest = sorted[SAMPLES * KEPT / 1000];
    times.retain(|(_, took)| *took <= longest);
    welch(&times)
}

/// Welch's t-statistic of the two classes.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds are far below 2^52")]
fn welch(times: &[(Wrong, u64)]) -> f64 {
    let moments = |class: Wrong| {
        let of: Vec<f64> = times
            .iter()
            .filter(|(wrong, _)| *wrong == class)
            .map(|(_, took)| *took as f64)
            .collect();
        let count = of.len() as f64;
        let mean = of.iter().sum::<f64>() / count;
        let variance = of.iter().map(|took| (took - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let (end, beginning) = (moments(Wrong::AtItsEnd), moments(Wrong::FromItsBeginning));
    (end.0 - beginning.0) / (end.1 + beginning.1).sqrt()
}

/// Measures, prints, and fails if the classes differ. What happened beside it once does not happen thrice: a leak does.
pub(crate) fn holds<I>(what: &str, right: &str, prepare: impl Fn(String) -> I, judge: impl Fn(&I) -> bool) {
    let mut seen = Vec::new();
    for _ in 0..3 {
        let t = difference(right, &prepare, &judge);
        println!("{what:28} t = {t:8.2}, bound {BOUND}");
        if t.abs() < BOUND {
            return;
        }
        seen.push(t);
    }
    panic!("{what}: its time tells how much of a guess is right, t = {seen:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    #[test]
    fn guesses_are_wrong_where_they_should_be() {
        let mut dice = Dice(7);
        for _ in 0..1000 {
            let end = guess(RIGHT, Wrong::AtItsEnd, &mut dice);
            assert!(end != RIGHT && end[..63] == RIGHT[..63] && end.len() == 64);
            let beginning = guess(RIGHT, Wrong::FromItsBeginning, &mut dice);
            assert!(!beginning.starts_with('5') && beginning.len() == 64);
        }
    }

    #[test]
    fn t_is_far_from_zero_only_where_the_classes_differ() {
        let times = |longer: u64| -> Vec<(Wrong, u64)> {
            let mut dice = Dice(3);
            let one = |number: u64| match number % 2 {
                0 => (Wrong::AtItsEnd, 100 + longer),
                _ => (Wrong::FromItsBeginning, 100),
            };
            (0..20_000)
                .map(|number| (one(number).0, one(number).1 + (dice.next() >> 58)))
                .collect()
        };
        assert!(welch(&times(0)).abs() < BOUND);
        assert!(welch(&times(3)) > BOUND);
    }

    #[test]
    #[ignore = "a measurement; tests/timing/run"]
    fn a_compare_that_stops_early_is_found_not_to_be_in_constant_time() {
        let stops_early = |guess: &String| {
            let pairs = guess.bytes().zip(RIGHT.bytes());
            pairs.into_iter().all(|(guessed, right)| black_box(guessed) == right)
        };
        let t = difference(RIGHT, |guess| guess, stops_early);
        println!("{:28} t = {t:8.2}, must be beyond {BOUND}", "control: stops early");
        assert!(t > BOUND, "the measurement sees nothing: t = {t}");
        // Twice the same class: what this finds is the measurement's own.
        holds(
            "control: compares all",
            RIGHT,
            |guess| guess,
            |guess| {
                let differences = guess
                    .bytes()
                    .zip(RIGHT.bytes())
                    .fold(0, |sum, (one, other)| sum | one ^ other);
                black_box(differences) == 0
            },
        );
    }
}
