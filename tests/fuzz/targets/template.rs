//! Its property is in `properties/template.rs`.
#![no_main]

#[path = "../properties/head.rs"]
mod head;
#[path = "../properties/template.rs"]
mod template;

libfuzzer_sys::fuzz_target!(|data: &[u8]| template::check(data));
