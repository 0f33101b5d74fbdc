//! The PROXY protocol: no bytes panic, and a header is read the same whatever follows it.
#![no_main]

use hookward::server::proxy_header_of;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((said, taken)) = proxy_header_of(data) else { return };
    assert!(taken <= 4096 && taken <= data.len());
    if said.is_ok() {
        let followed = [&data[..taken], b"POST / HTTP/1.1\r\n"].concat();
        assert_eq!(proxy_header_of(&followed), Some((said, taken)));
    }
});
