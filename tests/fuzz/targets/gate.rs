//! Its property is in `properties/gate.rs`.
#![no_main]

#[path = "../properties/gate.rs"]
mod gate;
#[path = "../properties/head.rs"]
mod head;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gate::check(data));
