//! What is refused, a request or a scheme, and why.

use super::*;

#[test]
fn every_refusal_says_its_cause() {
    let (provider, keys) = generic();
    let good = signed(&provider, &keys, b"{}", None, None);
    let input = good.header("signature-input");
    let with = |input: String| good.clone().set("signature-input", &input);
    let of = |attempt: &Attempt| cause(attempt, &provider, &keys);
    let named = |name: &str| Arc::from(name);
    assert_eq!(
        of(&good.clone().without("signature")),
        Cause::SignatureMissing(named("signature"))
    );
    assert_eq!(
        of(&good.clone().without("signature-input")),
        Cause::SignatureMissing(named("signature-input"))
    );
    assert_eq!(
        of(&good.clone().set("signature", "sig1=?1")),
        Cause::SignatureMalformed(named("signature"))
    );
    assert_eq!(
        of(&with("sig1=1".to_owned())),
        Cause::SignatureMalformed(named("signature-input"))
    );
    assert_eq!(of(&with(String::new())), Cause::SignatureOfOthers);
    assert_eq!(
        of(&with(format!("{input}, {input}"))),
        Cause::SignatureDoubled(named("signature-input"))
    );
    assert_eq!(
        of(&with(input.replace("\"@method\"", "\"@method\" \"@method\""))),
        Cause::FieldDoubled(named("@method"))
    );
    for (from, to, at) in [
        ("\"@method\"", "\"@status\"", "@status"),
        ("\"@method\"", "\"@method\";req", "@method;req"),
        ("\"@method\"", "\"Content-Type\"", "Content-Type"),
        ("\"@method\"", "\"x-a\";tr", "x-a;tr"),
        ("\"@method\"", "\"x-a\";sf", "x-a;sf"),
        ("\"@method\"", "\"x-a\";bs;key=\"k\"", "x-a;bs;key"),
        ("\"@method\"", "\"@path<script>\"", "@pathscript"),
        ("\"@method\"", "method", "component"),
        (";created", ";purpose=\"x\";created", ";purpose"),
        (";created", ";tag=1;created", ";tag"),
        (";created", ";keyid=token;created", ";keyid"),
    ] {
        assert_eq!(
            of(&with(input.replace(from, to))),
            Cause::ComponentUnfit(named(at)),
            "{to}"
        );
    }
    assert_eq!(
        of(&with(input.replace("\"@method\" ", ""))),
        Cause::NotCovered(named("@method"))
    );
    assert_eq!(
        of(&with(input.replace(" \"content-digest\"", ""))),
        Cause::NotCovered(named("content-digest"))
    );
    assert_eq!(of(&with(format!("{input};alg=\"ed25519\""))), Cause::AlgorithmWrong);
    let created = format!("created={NOW}");
    assert_eq!(
        of(&with(input.replace(&format!(";{created}"), ""))),
        Cause::TimestampMissing(named("created"))
    );
    for odd in [
        "created=\"1760000000\"",
        "created=1760000000.0",
        "created=-1",
        "created",
    ] {
        assert_eq!(
            of(&with(input.replace(&created, odd))),
            Cause::TimestampMalformed(named("created")),
            "{odd}"
        );
    }
    assert_eq!(
        of(&with(format!("{input};expires=1759999999"))),
        Cause::FieldWrong(named("expires"))
    );
    assert_eq!(
        of(&good.clone().with_body(b"{ }")),
        Cause::BodyHashWrong(named("content-digest"))
    );
    // What a strange name brings along is cut.
    let long = of(&with(input.replace("@method", &"x_".repeat(200))));
    assert!(long.to_string().len() < 150, "{long}");
}

#[test]
fn lists_are_bounded() {
    let (provider, keys) = generic();
    let good = signed(&provider, &keys, b"{}", None, None);
    let (input, value) = (good.header("signature-input"), good.header("signature"));
    // Three others are examined before it, and a fifth one no more.
    let many = |count: usize, one: fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>().concat();
    let others = |count| many(count, |at| format!("p{at}=();created={NOW}, "));
    let bytes = |count| many(count, |at| format!("p{at}=:AAAA:, "));
    let beside = |count| {
        good.clone()
            .set("signature-input", &format!("{}{input}", others(count)))
            .set("signature", &format!("{}{value}", bytes(count)))
    };
    beside(3).evidence(&provider, &keys);
    for count in [4, 15, 16, 400] {
        assert!(
            matches!(cause(&beside(count), &provider, &keys), Cause::SignaturesTooMany(_)),
            "{count}"
        );
    }
    let long = many(40, |at| format!("\"x-{at}\" "));
    let longer = good.set("signature-input", &input.replace("(\"", &format!("({long}\"")));
    assert!(matches!(cause(&longer, &provider, &keys), Cause::SignaturesTooMany(_)));
}

#[test]
fn unfit_schemes_are_refused_with_their_place() {
    for (yaml, said) in [
        ("message_signature: {}", "would not cover the body"),
        (
            "message_signature: {components: [\"@method\"]}",
            "would not cover the body",
        ),
        (
            "message_signature: {components: [\"content-digest?\"]}",
            "would not cover the body",
        ),
        (
            "message_signature: {components: [\"content-digest | @method\"]}",
            "would not cover the body",
        ),
        (
            "message_signature: {components: [\"content-digest;key=\\\"sha-256\\\"\"]}",
            "would not cover the body",
        ),
        (
            "message_signature: {components: [content-digest, \"@status\"]}",
            "no component of a request",
        ),
        (
            "message_signature: {components: [content-digest, \"a b\"]}",
            "/verify/message_signature/components/1",
        ),
        (
            "algorithm: hmac-sha1\nmessage_signature: {components: [content-digest]}",
            "no algorithm of RFC 9421",
        ),
        (
            "algorithm: token\nmessage_signature: {components: [content-digest]}",
            "no algorithm of RFC 9421",
        ),
        (
            "algorithm: none\nmessage_signature: {components: [content-digest]}",
            "verifies nothing",
        ),
        (
            "message_signature: {components: [content-digest]}\nsigned: \"{body}\"",
            "mean nothing beside it",
        ),
        (
            "message_signature: {components: [content-digest]}\nsignature: {from: header:X}",
            "mean nothing beside it",
        ),
        (
            "message_signature: {components: [content-digest]}\ntimestamp: {from: header:Date}",
            "signature:created",
        ),
        (
            "message_signature: {components: [content-digest, \"@authority\"]}",
            "/public_url",
        ),
        (
            "message_signature: {components: [], uncovered_body: true}\ncovers: body",
            "covers less than that",
        ),
        (
            "message_signature: {components: [content-digest], label: Sig1}",
            "/verify/message_signature/label",
        ),
    ] {
        let problems = problems(yaml);
        assert!(problems.contains(said), "{yaml}: {problems}");
    }
    for yaml in [
        "message_signature: {components: [], uncovered_body: true}",
        "message_signature: {components: [content-digest, \"@query-param;name=\\\"a b\\\"\", \"X-Shop;bs\"]}",
        "algorithm: ecdsa-p384-sha384\nkey: pem\nmessage_signature: {components: [content-digest]}",
    ] {
        let preset = Preset::from_yaml(yaml).expect("a preset");
        assert!(Provider::compile(&preset, &Options::default()).is_ok(), "{yaml}");
    }
}
