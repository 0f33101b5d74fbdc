//! Files that change while the sidecar runs: written in place, renamed, swapped by Kubernetes, half written, gone and back.

use super::support::{App, Folder, Process, Request, process::config, signed, wait_until};
use std::{fs, os::unix::fs::symlink, path::Path};

const FAILED: &str = "reload failed; the old configuration stays in force";
const FAILED_IN_PART: &str = "reload failed in part; old secrets stay in force";
const RELOADED: &str = "configuration reloaded";
const OLD: &str = "the old secret, long enough";
const NEW: &str = "the new secret, long enough";

/// The configuration with the secret in a file of its own.
fn with_secret(app: &App, secret: &Path) -> String {
    let file = format!("[{{file: \"{}\"}}]", secret.display());
    config(app).replace("[{env: SECRET}]", &file)
}

/// An event that `secret` signs.
fn by(secret: &str, n: usize) -> Request {
    let body = format!("{n}");
    let mac = signed::hmac_sha256(secret.as_bytes(), &[body.as_bytes()]);
    let signature = format!("sha256={}", data_encoding::HEXLOWER.encode(&mac));
    signed::github("/github", &body, body.as_bytes()).replace("X-Hub-Signature-256", signature)
}

fn outcome(process: &Process, request: &Request) -> String {
    request.send(process.webhooks).outcome().to_owned()
}

fn success(process: &Process) -> bool {
    process.metric("hookward_config_reload_success") > 0.5
}

#[test]
fn an_edited_file_is_in_force_without_a_signal() {
    let (app, folder) = (App::start(), Folder::new());
    let yaml = config(&app);
    let path = folder.write("hookward.yaml", &yaml);
    let process = Process::run(&path);
    let moved = yaml.replace("path: /github", "path: /moved");
    // In place, as `>` and most editors do it.
    fs::write(&path, &moved).expect("ours");
    process.wait_for_log(RELOADED);
    assert_eq!(outcome(&process, &signed::github("/moved", "1", b"1")), "delivered");
    // Another file in its place.
    folder.write("hookward.yaml", &yaml);
    wait_until("reloaded again", || process.logged(RELOADED).len() == 2);
    assert_eq!(outcome(&process, &signed::github("/github", "2", b"2")), "delivered");
    // A bad one changes nothing, and says where it is bad.
    folder.write("hookward.yaml", &yaml.replace("provider: github", "provider: gihub"));
    let line = process.wait_for_log(FAILED);
    assert!(
        line["error"].as_str().expect("why").contains("hookward.yaml:9:15"),
        "{line}"
    );
    wait_until("the gauge tells it", || !success(&process));
    assert_eq!(outcome(&process, &signed::github("/github", "3", b"3")), "delivered");
    // The very file that is in force: nothing changes, and all is well again.
    folder.write("hookward.yaml", &yaml);
    wait_until("the gauge tells it", || success(&process));
    assert_eq!(outcome(&process, &signed::github("/github", "4", b"4")), "delivered");
}

#[test]
fn a_rotated_secret_arrives_by_itself() {
    let (app, folder) = (App::start(), Folder::new());
    let secret = folder.write("secret", OLD);
    let process = Process::run(&folder.write("hookward.yaml", &with_secret(&app, &secret)));
    assert_eq!(outcome(&process, &by(OLD, 1)), "delivered");
    assert_eq!(outcome(&process, &by(NEW, 2)), "unverified");
    folder.write("secret", NEW);
    process.wait_for_log(RELOADED);
    assert_eq!(outcome(&process, &by(NEW, 3)), "delivered");
    assert_eq!(outcome(&process, &by(OLD, 4)), "unverified");
    // What is written is the same as before: nothing is reloaded. What comes after it shows that it was looked at.
    folder.write("secret", NEW);
    folder.write("secret", OLD);
    wait_until("reloaded again", || process.logged(RELOADED).len() >= 2);
    wait_until("the last one counts", || outcome(&process, &by(OLD, 5)) != "unverified");
}

#[test]
fn a_swap_as_kubernetes_does_it_is_seen() {
    let (app, folder) = (App::start(), Folder::new());
    let mount = folder.0.join("mount");
    let version = |name: &str, secret: &str| {
        fs::create_dir_all(mount.join(name)).expect("ours");
        fs::write(mount.join(name).join("secret"), secret).expect("ours");
        fs::write(
            mount.join(name).join("hookward.yaml"),
            with_secret(&app, &mount.join("secret")),
        )
        .expect("ours");
    };
    version("..2026_01", OLD);
    symlink("..2026_01", mount.join("..data")).expect("ours");
    for name in ["secret", "hookward.yaml"] {
        symlink(Path::new("..data").join(name), mount.join(name)).expect("ours");
    }
    let process = Process::run(&mount.join("hookward.yaml"));
    assert_eq!(outcome(&process, &by(OLD, 0)), "delivered");
    // Three times: a watch on the file itself is deaf after the second.
    let mut last = "..2026_01".to_owned();
    for n in 1..=3 {
        let (name, secret) = (format!("..2026_1{n}"), format!("secret number {n}, long enough"));
        version(&name, &secret);
        symlink(&name, mount.join("..data_tmp")).expect("ours");
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("ours");
        fs::remove_dir_all(mount.join(&last)).expect("ours");
        wait_until("the new secret is in force", || {
            process.logged(RELOADED).len() == n && outcome(&process, &by(&secret, n)) != "unverified"
        });
        last = name;
    }
    assert!(success(&process) && process.logged(FAILED).is_empty());
}

#[test]
fn a_half_written_secret_and_one_that_is_gone_change_nothing() {
    let (app, folder) = (App::start(), Folder::new());
    let secret = folder.write("secret", OLD);
    let process = Process::run(&folder.write("hookward.yaml", &with_secret(&app, &secret)));
    // The beginning of one: too short to be meant.
    fs::write(&secret, &NEW[..5]).expect("ours");
    wait_until("refused", || process.logged(FAILED).len() == 1);
    wait_until("the gauge tells it", || !success(&process));
    assert_eq!(outcome(&process, &by(OLD, 1)), "delivered");
    fs::write(&secret, NEW).expect("ours");
    wait_until("the whole one counts", || {
        outcome(&process, &by(NEW, 2)) != "unverified"
    });
    wait_until("the gauge tells it", || success(&process));
    fs::remove_file(&secret).expect("ours");
    wait_until("missed", || process.logged(FAILED_IN_PART).len() == 1);
    assert_eq!(outcome(&process, &by(NEW, 3)), "delivered");
    fs::write(&secret, OLD).expect("ours");
    wait_until("back", || outcome(&process, &by(OLD, 4)) != "unverified");
    wait_until("the gauge tells it", || success(&process));
}

#[test]
fn a_folder_that_is_made_anew_is_watched_anew() {
    let (app, folder) = (App::start(), Folder::new());
    let place = folder.0.join("secrets");
    let secret = place.join("secret");
    fs::create_dir_all(&place).expect("ours");
    fs::write(&secret, OLD).expect("ours");
    let process = Process::run(&folder.write("hookward.yaml", &with_secret(&app, &secret)));
    fs::remove_dir_all(&place).expect("ours");
    process.wait_for_log(FAILED_IN_PART);
    assert_eq!(outcome(&process, &by(OLD, 1)), "delivered");
    fs::create_dir_all(&place).expect("ours");
    fs::write(&secret, NEW).expect("ours");
    wait_until("found again", || outcome(&process, &by(NEW, 2)) != "unverified");
    fs::write(&secret, OLD).expect("ours");
    wait_until("watched again", || outcome(&process, &by(OLD, 3)) != "unverified");
}
