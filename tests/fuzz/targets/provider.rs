//! Its property is in `properties/provider.rs`.
#![no_main]

#[path = "../properties/head.rs"]
mod head;
#[path = "../properties/provider.rs"]
mod provider;

libfuzzer_sys::fuzz_target!(|data: &[u8]| provider::check(data));
