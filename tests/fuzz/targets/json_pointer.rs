//! The JSON picker: `pointer LF json`; it neither panics nor depends on what stands around a value.
#![no_main]

use hookward::provider::JsonPointer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (pointer, json) = (&data[..end], &data[end + 1..]);
    let Ok(pointer) = std::str::from_utf8(pointer) else { return };
    let Ok(pointer) = JsonPointer::parse(pointer) else { return };
    let padded = [b" \t", json, b"\r\n "].concat();
    assert_eq!(pointer.text(json), pointer.text(&padded));
});
