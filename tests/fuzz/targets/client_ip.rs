//! Its property is in `properties/client_ip.rs`.
#![no_main]

#[path = "../properties/client_ip.rs"]
mod client_ip;

libfuzzer_sys::fuzz_target!(|data: &[u8]| client_ip::check(data));
