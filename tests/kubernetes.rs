//! Every Kubernetes manifest against the schemas of the oldest and the newest releases that they are meant for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Native sidecars are on by default from 1.29 on; the newest one has a schema in the pinned validator.
const RELEASES: &[&str] = &["1.29", "1.32", "1.36", "1.37"];

fn manifests() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kubernetes");
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .expect("config/kubernetes")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no manifest was found");
    found
}

/// Runs the validator that `tests/run` installs beside the build.
fn validate(release: &str, manifest: &Path) -> (bool, String) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("the target directory");
    let venv = target.join("kubernetes-validate");
    let Output { status, stdout, stderr } = Command::new(venv.join("bin/kubernetes-validate"))
        .args(["-k", release, "--strict"])
        .arg(manifest)
        .output()
        .unwrap_or_else(|error| {
            let venv = venv.display();
            panic!("{error}: run tests/run once, or: python3 -m venv {venv} && {venv}/bin/pip install kubernetes-validate==1.37.0")
        });
    let said = [stdout, stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    // A kind that it does not know is only a warning to it, and would pass unread.
    let passed = status.success() && !said.contains("Couldn't find schema");
    (passed, said)
}

#[test]
fn manifests_are_valid_in_every_release_they_are_meant_for() {
    for manifest in manifests() {
        for release in RELEASES {
            let (passed, said) = validate(release, &manifest);
            assert!(passed, "{} for {release}: {said}", manifest.display());
        }
    }
}

#[test]
fn the_validator_refuses_a_typo_and_an_unknown_kind() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let text = fs::read_to_string(&manifests()[0]).expect("a manifest");
    for (name, wrong) in [
        ("typo.yaml", text.replace("restartPolicy:", "restartPolicyy:")),
        ("kind.yaml", text.replace("kind: Deployment", "kind: Deploymint")),
    ] {
        assert!(wrong != text, "{name}: nothing to get wrong");
        let manifest = dir.join(name);
        fs::write(&manifest, wrong).expect("written");
        assert!(!validate("1.37", &manifest).0, "{name} passed");
    }
}

#[test]
fn the_sidecar_is_what_the_contract_says() {
    let text = fs::read_to_string(&manifests()[0]).expect("a manifest");
    let documents: Vec<serde_json::Value> = text
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).expect("YAML"))
        .collect();
    let of_kind = |kind: &str| {
        documents
            .iter()
            .find(|document| document["kind"] == kind)
            .expect("this kind")
    };
    let pod = &of_kind("Deployment")["spec"]["template"]["spec"];
    let sidecar = &pod["initContainers"][0];
    assert_eq!(sidecar["restartPolicy"], "Always", "a native sidecar");
    for (probe, path) in [
        ("startupProbe", "/startupz"),
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/livez"),
    ] {
        assert_eq!(sidecar[probe]["httpGet"]["path"], path);
        assert_eq!(sidecar[probe]["httpGet"]["port"], 9481, "{probe}");
    }
    assert_eq!(sidecar["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(sidecar["securityContext"]["runAsUser"], 65532);
    assert!(
        sidecar["resources"]["limits"]["cpu"].is_null(),
        "a CPU limit throttles a proxy"
    );
    assert_eq!(
        of_kind("Service")["spec"]["ports"][0]["targetPort"],
        9480,
        "a number, not a name"
    );
}
