//! The built binary, run in a folder of its own and without the environment of whoever runs the tests.

use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

/// A folder with a configuration, in which the program runs.
pub struct Folder(PathBuf);

/// What a run left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("hookward-cli-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    /// One with `sources` (two blanks deep) before an app that is not there, on ports that the kernel chooses.
    pub fn with_sources(sources: &str) -> Self {
        let folder = Self::new();
        folder.write(
            "hookward.yaml",
            format!(
                "version: 1\nlisten: 127.0.0.1:0\nhealth: 127.0.0.1:0\nadmin: 127.0.0.1:0\nclient_ip: {{trust: []}}\n\
                 upstream: http://127.0.0.1:9\nsources:\n{sources}"
            ),
        );
        folder
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), text).expect("the folder is ours");
    }

    /// Runs to the end.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, b"")
    }

    /// Runs to the end with `input` on stdin.
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Ended {
        let mut child = self.start(args);
        let mut stdin = child.stdin.take().expect("piped");
        // In a thread, because the program answers while it reads, and one that reads no more is no error of the test.
        let input = input.to_vec();
        let writing = thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("it ends");
        let _closed_early = writing.join().expect("no panic");
        Ended::of(output)
    }

    /// Runs to the end with more variables.
    pub fn run_in(&self, args: &[&str], variables: &[(&str, &str)]) -> Ended {
        let output = self.command(args).envs(variables.iter().copied()).output();
        Ended::of(output.expect("the binary was built"))
    }

    /// Starts it with pipes.
    pub fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().expect("the binary was built")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
        command
            .args(args)
            .current_dir(&self.0)
            .env_clear()
            .env("SECRET", "a secret in a variable")
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.0);
    }
}

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal ended it"),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Stdout as one JSON document, whose version is known.
    pub fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(value["schema_version"], 1, "{value}");
        value
    }

    /// Asserts the exit code, and that `part` stands on stdout.
    pub fn says(&self, code: i32, part: &str) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(
            self.stdout.contains(part),
            "no {part:?} in {}\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Asserts the exit code, and that `part` stands on stderr.
    pub fn complains(&self, code: i32, part: &str) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(
            self.stderr.contains(part),
            "no {part:?} in {}\n{}",
            self.stderr,
            self.stdout
        );
        self
    }
}
