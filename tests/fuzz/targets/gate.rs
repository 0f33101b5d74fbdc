//! The gate: arbitrary heads must not panic, and what passes is what the gate promises.
#![no_main]

mod head;

use hookward::server::gate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((head, _)) = head::of(data) else { return };
    let mut asked = 0;
    let verdict = gate::judge(&head, |host| {
        asked += 1;
        assert!(!host.bytes().any(|byte| byte.is_ascii_uppercase() || b"[]/@ ".contains(&byte)), "{host}");
        true
    });
    assert!(asked <= 1);
    match verdict {
        Ok(()) => {
            assert_eq!(asked, 1);
            assert!(head.headers.get_all("host").iter().count() <= 1);
            assert!(head.headers.get_all("content-length").iter().count() <= 1);
            assert!(head.headers.get_all("transfer-encoding").iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked")));
            assert!(head.headers.len() <= gate::MAX_HEADERS);
            assert!(head.uri.path().starts_with('/'));
        }
        Err(refusal) => {
            assert!(refusal.status().is_client_error() || refusal.status().is_server_error());
            assert!(!refusal.reason().is_empty());
        }
    }
});
