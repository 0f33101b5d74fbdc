//! The fuzz targets' properties without a fuzzer: they hold for every seed of `tests/fuzz/corpus`, and for thousands of
//! variations of them that are the same in every run. `tests/fuzz/run` looks further.
#![allow(clippy::disallowed_methods, missing_docs, reason = "a test reads its files")]

#[path = "fuzz/properties/client_ip.rs"]
mod client_ip;
#[path = "fuzz/properties/config.rs"]
mod config;
#[path = "fuzz/properties/gate.rs"]
mod gate;
#[path = "fuzz/properties/head.rs"]
mod head;
#[path = "fuzz/properties/json_pointer.rs"]
mod json_pointer;
#[path = "fuzz/properties/provider.rs"]
mod provider;
#[path = "fuzz/properties/template.rs"]
mod template;

use std::{fs, panic::catch_unwind, path::Path};

/// The seeds of a target, in the order of their names.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a seed")).collect()
}

/// Numbers that are the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % (below.max(1) as u64)).expect("it is below")
    }

    /// A seed after one to four changes, some of which take a part of another seed.
    fn varied(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut data = seeds[self.next(seeds.len())].clone();
        for _ in 0..=self.next(4) {
            let at = self.next(data.len() + 1);
            let end = data.len().min(at + self.next(8));
            match self.next(6) {
                0 if at < data.len() => data[at] ^= 1 << self.next(8),
                1 => data.insert(at, b"\0 \"%&,./:;=\\{}~\xff\n"[self.next(17)]),
                2 => drop(data.drain(at..end)),
                3 => {
                    let again = data[at..end].to_vec();
                    data.splice(at..at, again);
                }
                4 => {
                    let other = &seeds[self.next(seeds.len())];
                    let from = self.next(other.len());
                    let part = &other[from..other.len().min(from + self.next(64))];
                    data.splice(at..end, part.iter().copied());
                }
                _ => data.truncate(data.len() - self.next(1 + data.len() / 4)),
            }
        }
        data
    }
}

fn holds(target: &str, least: usize, variations: usize, check: fn(&[u8])) {
    let seeds = seeds(target);
    assert!(seeds.len() >= least, "{target} has {} seeds", seeds.len());
    let mut numbers = Numbers(7);
    let varied = (0..variations).map(|_| numbers.varied(&seeds));
    for data in seeds.iter().cloned().chain(varied) {
        let held = catch_unwind(|| check(&data)).is_ok();
        assert!(held, "{target} fails for {}", data.escape_ascii());
    }
}

#[test]
fn a_client_is_whom_trusted_hops_vouch_for() {
    holds("client_ip", 14, 10_000, client_ip::check);
}

#[test]
fn a_configuration_is_taken_by_all_rooms_or_its_problems_have_places() {
    holds("config", 20, 200, config::check);
}

#[test]
fn what_passes_the_gate_is_one_request_to_everybody() {
    holds("gate", 40, 10_000, gate::check);
}

#[test]
fn a_pointer_finds_what_serde_json_finds() {
    holds("json_pointer", 20, 10_000, json_pointer::check);
}

#[test]
fn only_what_a_provider_signed_is_authentic() {
    holds("provider", 300, 1_500, provider::check);
}

#[test]
fn a_preset_verifies_what_it_signs() {
    holds("template", 20, 1_000, template::check);
}
