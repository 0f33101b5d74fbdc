//! Project Wycheproof's test vectors against the MAC and public key engines: no disagreement.

use super::super::{
    asymmetric::PublicKey,
    mac::Mac,
    preset::{Algorithm, KeyRule},
};
use data_encoding::BASE64;
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify};

/// One vector: what must hold, what held, and which one it is.
struct Verdict {
    must: TestResult,
    held: bool,
    name: String,
}

/// `Acceptable` may be judged either way: those are encodings that the standards leave open.
fn disagreements(verdicts: &[Verdict]) -> Vec<&str> {
    let wrong = verdicts.iter().filter(|verdict| match verdict.must {
        TestResult::Valid => !verdict.held,
        TestResult::Invalid => verdict.held,
        TestResult::Acceptable => false,
    });
    wrong.map(|verdict| verdict.name.as_str()).collect()
}

fn public(algorithm: Algorithm, der: &[u8]) -> PublicKey {
    let read = PublicKey::read(algorithm, KeyRule::Spki, BASE64.encode(der).as_bytes());
    read.expect("a key").pop().expect("one key")
}

#[test]
fn macs_agree() {
    let mut verdicts = Vec::new();
    for (name, algorithm, bits) in [
        (mac::TestName::HmacSha1, Algorithm::HmacSha1, 160),
        (mac::TestName::HmacSha256, Algorithm::HmacSha256, 256),
        (mac::TestName::HmacSha512, Algorithm::HmacSha512, 512),
    ] {
        let set = mac::TestSet::load(name).expect("the vectors are built in");
        for group in &set.test_groups {
            for test in &group.tests {
                let mut state = Mac::new(algorithm, &test.key).expect("a MAC");
                // In two pieces, as a body arrives.
                let (first, rest) = test.msg.split_at(test.msg.len() / 2);
                state.update(first);
                state.update(rest);
                let held = state.finish().is(&test.tag);
                // A MAC that was cut is none, right as it may be as far as it goes.
                let whole = group.tag_size == bits;
                verdicts.push(Verdict {
                    must: if whole { test.result } else { TestResult::Invalid },
                    held,
                    name: format!("{algorithm:?} {}", test.tc_id),
                });
            }
        }
    }
    println!("{} vectors", verdicts.len());
    assert!(verdicts.len() >= 500, "only {} vectors", verdicts.len());
    assert_eq!(disagreements(&verdicts), [""; 0]);
}

#[test]
fn public_key_signatures_agree() {
    let mut verdicts = Vec::new();
    let mut judge = |algorithm, der: &[u8], message: &[u8], signature: &[u8], must, id: usize| {
        verdicts.push(Verdict {
            must,
            held: public(algorithm, der).verifies(message, signature),
            name: format!("{algorithm:?} {id}"),
        });
    };
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("the vectors are built in");
    for group in &set.test_groups {
        for test in &group.tests {
            judge(
                Algorithm::Ed25519,
                &group.der,
                &test.msg,
                &test.sig,
                test.result,
                test.tc_id,
            );
        }
    }
    for (name, algorithm) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256, Algorithm::EcdsaP256Sha256),
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, Algorithm::JwtEs256),
    ] {
        let set = ecdsa::TestSet::load(name).expect("the vectors are built in");
        for group in &set.test_groups {
            for test in &group.tests {
                judge(algorithm, &group.der, &test.msg, &test.sig, test.result, test.tc_id);
            }
        }
    }
    for name in [
        rsa_pkcs1_verify::TestName::Rsa2048Sha256,
        rsa_pkcs1_verify::TestName::Rsa3072Sha256,
        rsa_pkcs1_verify::TestName::Rsa4096Sha256,
        rsa_pkcs1_verify::TestName::Rsa8192Sha256,
    ] {
        let set = rsa_pkcs1_verify::TestSet::load(name).expect("the vectors are built in");
        for group in &set.test_groups {
            for test in &group.tests {
                judge(
                    Algorithm::RsaSha256,
                    &group.der,
                    &test.msg,
                    &test.sig,
                    test.result,
                    test.tc_id,
                );
            }
        }
    }
    println!("{} vectors", verdicts.len());
    assert!(verdicts.len() >= 1500, "only {} vectors", verdicts.len());
    assert_eq!(disagreements(&verdicts), [""; 0]);
}
