//! A machine of which everything is known: its variables, secret files, memory and CPUs.

use hookward::config::Fixed;
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// Secrets that the cases write into their files: no message may show any part of them that would help.
pub const CANARIES: [&str; 3] = ["canary-4f1d9a", "canary-77e2c0", "hunter2canary"];

/// A certificate of this run, its key, and the key of another one.
static PEM: LazyLock<[String; 3]> = LazyLock::new(|| {
    let [ours, other] = ["localhost", "elsewhere"]
        .map(|name| rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate"));
    [
        ours.cert.pem(),
        ours.signing_key.serialize_pem(),
        other.signing_key.serialize_pem(),
    ]
});

/// The machine with one configuration, `hookward.yaml`.
pub fn machine(text: &str) -> Fixed {
    with_file(Path::new("hookward.yaml"), text)
}

/// The machine with a configuration at a place of its own.
pub fn with_file(path: &Path, text: &str) -> Fixed {
    let mut fixed = Fixed {
        cpus: NonZeroUsize::new(3).expect("three"),
        ..Fixed::default()
    };
    fixed.files.insert(path.to_path_buf(), text.as_bytes().to_vec());
    for (name, content) in [
        ("stripe/current", "whsec_c3RyaXBlLWN1cnJlbnQtc2VjcmV0"),
        ("stripe/previous", "whsec_c3RyaXBlLXByZXZpb3VzLXNlY3JldA"),
        ("acme", "YWNtZS1zZWNyZXQtb2YtdHdlbnR5LWJ5dGVz"),
        ("quoted", "\"whsec_quoted-canary-77e2c0\""),
        ("marked", "\u{feff}canary-77e2c0-after-a-mark"),
        ("assigned", "GITHUB_SECRET=canary-77e2c0-assigned\n"),
        ("acme-timed", "a-timed-secret-of-twenty-bytes"),
        ("acme-token", "an-acme-token-of-some-length"),
        ("acme-basic", "acme:a-password-of-some-length"),
        ("cron-token", "a-cron-token-of-some-length"),
        ("analytics", "whsec_YW5hbHl0aWNzLXNlY3JldC1ieXRlcw=="),
        ("redis/password", "a-redis-password-of-length"),
        ("admin-token", "an-admin-token-of-some-length"),
        ("newline", "a-secret-before-a-newline\n"),
        ("empty", ""),
        ("only-newline", "\n"),
        ("blank", "   \t  "),
        ("short", "seven77"),
        ("meagre", "twelve-bytes"),
        ("unexpanded", "${STRIPE_SECRET}"),
        ("mounted-alone", "a-secret-that-never-rotates"),
        ("not-base64", "not-base64-but-long-enough"),
        (
            "warehouse/public-key.pem",
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n",
        ),
    ] {
        fixed
            .files
            .insert(PathBuf::from("/run/secrets").join(name), content.as_bytes().to_vec());
    }
    for (name, content) in ["cert.pem", "key.pem", "other-key.pem"].into_iter().zip(&*PEM) {
        let path = PathBuf::from("/etc/tls").join(name);
        fixed.files.insert(path, content.as_bytes().to_vec());
    }
    let alone = PathBuf::from("/etc/tls/alone.pem");
    fixed.files.insert(alone, PEM[0].as_bytes().to_vec());
    let mounts = "30 1 0:5 / /run/secrets/mounted-alone rw - tmpfs tmpfs rw\n\
                  31 1 0:5 / /etc/tls/alone.pem rw - tmpfs tmpfs rw\n";
    fixed
        .files
        .insert(PathBuf::from("/proc/self/mountinfo"), mounts.as_bytes().to_vec());
    for (name, content) in [
        ("STRIPE_SECRET", "whsec_ZnJvbS10aGUtZW52aXJvbm1lbnQ"),
        ("STRIPE_API_KEY", "sk_test_canary-77e2c0-of-stripe"),
        ("GITHUB_WEBHOOK_SECRET", "a-github-secret-of-some-length"),
        ("TWILIO_AUTH_TOKEN", "a-twilio-token-of-some-length"),
        ("SLACK_SIGNING_SECRET", "a-slack-secret-of-some-length"),
        ("CRON_TOKEN", "another-cron-token-of-length"),
        ("PRINTER_TOKEN", "a-printer-token-of-some-length"),
        ("ACME_SECRET", "an-acme-secret-of-some-length"),
        ("PARTNER_SECRET", "a-partner-secret-of-some-length"),
        ("ANALYTICS_SIGNING_KEY", "whsec_YW5hbHl0aWNzLXNpZ25pbmcta2V5"),
        ("EMPTY", ""),
    ] {
        fixed.variables.insert(name.to_owned(), content.into());
    }
    fixed
}
