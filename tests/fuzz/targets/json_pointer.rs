//! Its property is in `properties/json_pointer.rs`.
#![no_main]

#[path = "../properties/json_pointer.rs"]
mod json_pointer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| json_pointer::check(data));
