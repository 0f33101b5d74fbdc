//! What `hookward explain` reads: raw HTTP/1.1 or JSON, never a panic.
#![no_main]

use hookward::cli::reads_capture;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = reads_capture(data);
});
