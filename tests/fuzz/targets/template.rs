//! The template engine: a custom preset from YAML, compiled and verified with, must be refused or work, never panic.
#![no_main]

mod head;

use bytes::Bytes;
use hookward::{
    event::{Envelope, Frames, Secret, Timestamp},
    provider::{Encoding, Fresh, KeyText, Options, Preset, Provider},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (yaml, request) = match data.windows(2).position(|pair| pair == b"\n%") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &b"POST /in?a=b\nX-A: b\n\n{}"[..]),
    };
    let Ok(yaml) = std::str::from_utf8(yaml) else { return };
    let Ok(preset) = Preset::from_yaml(yaml) else { return };
    let options = Options {
        public_url: Some("https://hooks.example.test".to_owned()),
        ..Options::default()
    };
    let Ok(provider) = Provider::compile(&preset, &options) else { return };
    let secret = KeyText {
        secret: Secret::new(b"whsec_YmVuY2ggcGhyYXNlIG9mIGEgdGVzdCE=".to_vec()),
        encoding: Encoding::Utf8,
        allow_short: true,
    };
    let Ok(keys) = provider.keys(&[secret]) else { return };
    let now = Timestamp::from_secs(1_760_000_000);
    let _ = provider.sample(None, Fresh::at(now));
    let Some((head, body)) = head::of(request) else { return };
    let body = Frames::from(Bytes::copy_from_slice(body));
    let _ = provider.verify(Envelope { head: &head, body: &body }, &keys, now);
});
