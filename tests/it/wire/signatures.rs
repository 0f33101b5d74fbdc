//! Rows 42 to 54: signatures that are missing, doubled, cut, dressed up or of another kind.

use super::super::support::{
    Request,
    publisher::TOPIC,
    signed::{SECRET, TOKEN, hmac_sha256, standard_secret},
};
use super::case::{Table, signature};
use data_encoding::{BASE64, HEXLOWER};

/// A row, and what it makes of the right signature.
type Form = (u32, fn(&str) -> Vec<u8>);

pub fn signatures(t: &mut Table) {
    let right = |t: &mut Table| {
        let p = t.good();
        let hex = signature(&p.body);
        (p, hex)
    };
    let forms: [Form; 24] = [
        (42, |hex| {
            format!("sha256={hex}\r\nX-Hub-Signature-256: sha256=00").into_bytes()
        }),
        (42, |hex| {
            format!("sha256=00\r\nX-Hub-Signature-256: sha256={hex}").into_bytes()
        }),
        (42, |hex| {
            format!("sha256={hex}\r\nX-Hub-Signature-256: sha256={hex}").into_bytes()
        }),
        (43, |hex| format!("sha256={hex}, sha256={hex}").into_bytes()),
        (43, |hex| format!("sha256={hex},").into_bytes()),
        (45, |hex| format!("v0={hex}").into_bytes()),
        (45, |hex| format!("sha1={}", &hex[..40]).into_bytes()),
        (45, |hex| hex.as_bytes().to_vec()),
        (46, |hex| format!("SHA256={hex}").into_bytes()),
        (46, |hex| format!("sha256={}", hex.to_uppercase()).into_bytes()),
        (46, |hex| format!("sha256= {hex}").into_bytes()),
        (46, |hex| format!("sha256 ={hex}").into_bytes()),
        (46, |hex| format!("sha256=\u{ff10}{}", &hex[1..]).into_bytes()),
        (46, |hex| [b"sha256=\xff", &hex.as_bytes()[1..]].concat()),
        (46, |hex| format!("sha256=\"{hex}\"").into_bytes()),
        (47, |_| b"sha256=".to_vec()),
        (47, |_| b"".to_vec()),
        (47, |hex| format!("sha256={}", &hex[..32]).into_bytes()),
        (47, |hex| format!("sha256={}", &hex[..63]).into_bytes()),
        (47, |hex| format!("sha256={hex}0").into_bytes()),
        (47, |hex| format!("sha256={hex}{hex}").into_bytes()),
        (48, |hex| {
            format!(
                "sha256={}",
                BASE64.encode(&HEXLOWER.decode(hex.as_bytes()).expect("hex"))
            )
            .into_bytes()
        }),
        (48, |hex| format!("sha256=0x{}", &hex[2..]).into_bytes()),
        (50, |hex| format!("none={hex}").into_bytes()),
    ];
    for (row, form) in forms {
        let (p, hex) = right(t);
        let value = form(&hex);
        let what = String::from_utf8_lossy(&value).into_owned();
        t.off(row, &what, &p.signature(Some(&value)), 401);
    }
    let (p, hex) = right(t);
    let p = p
        .signature(None)
        .more(format!("X-Hub-Signature: sha1={}\r\n", &hex[..40]).as_bytes());
    t.off(49, "SHA-1 only", &p, 401);
    for name in ["X_Hub_Signature_256", "X-Hub-Signature", "X-Hub-Signature-256-"] {
        let (p, hex) = right(t);
        let p = p.signature(None).more(format!("{name}: sha256={hex}\r\n").as_bytes());
        t.off(54, name, &p, 401);
    }
    let p = t.good().signature(None);
    t.off(54, "missing", &p, 401);
    // Each of several secrets is tried, and none that was not configured.
    for (what, secret, is_right) in [
        ("the newest of three secrets", SECRET.to_owned(), true),
        ("the second of three secrets", standard_secret(), true),
        ("the oldest of three secrets", TOKEN.to_owned(), true),
        ("a fourth secret", "of nobody, and long enough".to_owned(), false),
        ("no secret", String::new(), false),
    ] {
        let p = t.good().start("POST /rotated HTTP/1.1");
        let hex = HEXLOWER.encode(&hmac_sha256(secret.as_bytes(), &[&p.body]));
        let p = p.signature(Some(format!("sha256={hex}").as_bytes()));
        if is_right {
            t.passes(56, what, &p);
        } else {
            t.off(56, what, &p, 401);
        }
    }
}

/// Messages of Amazon SNS that say where their certificate is to be had, and do not mean Amazon.
pub fn addresses(t: &mut Table) {
    let file = "SimpleNotificationService-0123456789abcdef.pem";
    for url in [
        format!("https://evil.example/{file}"),
        format!("http://sns.us-east-1.amazonaws.com/{file}"),
        format!("https://sns.us-east-1.amazonaws.com.evil.example/{file}"),
        format!("https://sns.us-east-1.amazonaws.com@evil.example/{file}"),
        format!("https://sns.us-east-1.amazonaws.com:8443/{file}"),
        format!("https://sns.us-east-1.amazonaws.com./{file}"),
        format!("https://evil.example#sns.us-east-1.amazonaws.com/{file}"),
        format!("https://evil.example\\\\@sns.us-east-1.amazonaws.com/{file}"),
        format!("https://sns.us-east-1.amazonaws.com/bucket/{file}"),
        format!("https://sns.us-east-1.amazonaws.com/{file}?x=.pem"),
        format!("https://sns.s3.amazonaws.com/{file}"),
        format!("https://s3.amazonaws.com/sns/{file}"),
        format!("https://169.254.169.254/{file}"),
        format!("https://127.0.0.1/{file}"),
        "file:///etc/passwd".to_owned(),
        String::new(),
    ] {
        let body = format!(
            "{{\"Type\":\"Notification\",\"MessageId\":\"sns-1\",\"TopicArn\":\"{TOPIC}\",\"Message\":\"m\",\"Timestamp\":\
             \"2025-10-09T08:53:20.000Z\",\"SignatureVersion\":\"2\",\"Signature\":\"{}\",\"SigningCertURL\":\"{url}\"}}",
            BASE64.encode(&[0x41; 256])
        );
        let what = if url.is_empty() { "nowhere" } else { &url };
        t.other(51, what, &Request::post("/sns", body), 401);
    }
}
