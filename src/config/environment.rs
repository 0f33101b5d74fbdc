//! What the configuration takes from the machine: files, variables, CPUs and memory; a seam, so that tests bring their own.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io::{self, Read},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

/// The machine as the configuration sees it.
pub trait Environment {
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<OsString>;
    /// A whole file. One of more than `limit` bytes is an error.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;
    /// CPUs that this process may use, quotas counted.
    fn cpus(&self) -> NonZeroUsize;
}

/// The machine itself.
pub struct Machine;

impl Environment for Machine {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    fn variable(&self, name: &str) -> Option<OsString> {
        // `var_os` panics on neither, but such a name is no variable.
        if name.is_empty() || name.contains(['=', '\0']) {
            None
        } else {
            std::env::var_os(name)
        }
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // A pseudo file has no length to ask for, and /dev/zero has no end.
        File::open(path)?
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            Err(too_large(limit))
        } else {
            Ok(bytes)
        }
    }

    fn cpus(&self) -> NonZeroUsize {
        // Counts affinity and the CPU quotas of cgroup v1 and v2, rounded down, at least one.
        std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
    }
}

/// An environment of a test or an embedder: only what is put in exists.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// Variables by name.
    pub variables: BTreeMap<String, OsString>,
    /// Files by path.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// CPUs.
    pub cpus: NonZeroUsize,
}

impl Default for Fixed {
    fn default() -> Self {
        Self {
            variables: BTreeMap::new(),
            files: BTreeMap::new(),
            cpus: NonZeroUsize::MIN,
        }
    }
}

impl Environment for Fixed {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name).cloned()
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let bytes = self
            .files
            .get(path)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if bytes.len() as u64 > limit {
            Err(too_large(limit))
        } else {
            Ok(bytes.clone())
        }
    }

    fn cpus(&self) -> NonZeroUsize {
        self.cpus
    }
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes"))
}

/// The memory that the process's cgroup grants, bytes; `None` without a limit.
pub fn memory_limit(env: &dyn Environment) -> Option<u64> {
    let text = |path: &Path| {
        env.read(path, 1 << 20)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
    };
    let groups = text(Path::new("/proc/self/cgroup")).unwrap_or_default();
    // In a container both files stand at the root of the mount, whatever the path is called outside.
    let mut files = vec![
        PathBuf::from("/sys/fs/cgroup/memory.max"),
        PathBuf::from("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ];
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (mount, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            some if some.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // The smallest limit on the way up to the root is the one in force.
        files.extend(
            Path::new(group.trim_start_matches('/'))
                .ancestors()
                .map(|group| Path::new(mount).join(group).join(file)),
        );
    }
    files
        .iter()
        .filter_map(|file| text(file)?.trim().parse::<u64>().ok())
        // cgroup v1 writes "no limit" as the largest number of whole pages.
        .filter(|limit| *limit < 1 << 60)
        .min()
}

/// Is this file mounted by itself, as Kubernetes does for `subPath`? Such a one is never updated.
pub(super) fn is_mounted_alone(env: &dyn Environment, file: &Path) -> bool {
    let mounts = env.read(Path::new("/proc/self/mountinfo"), 4 << 20).unwrap_or_default();
    let Some(file) = file.to_str() else { return false };
    String::from_utf8_lossy(&mounts)
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .any(|point| point.replace("\\040", " ") == file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Fixed {
        let files = files
            .iter()
            .map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()))
            .collect();
        Fixed {
            files,
            ..Fixed::default()
        }
    }

    #[test]
    fn the_smallest_memory_limit_of_either_cgroup_version_counts() {
        assert_eq!(memory_limit(&machine(&[])), None);
        let v2 = [
            ("/proc/self/cgroup", "0::/a/b\n"),
            ("/sys/fs/cgroup/a/memory.max", "1000\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
        ];
        assert_eq!(memory_limit(&machine(&v2)), Some(1000));
        let v1 = [("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")];
        assert_eq!(memory_limit(&machine(&v1)), None);
        let v1 = [
            ("/proc/self/cgroup", "9:memory:/x\n"),
            ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "4096\n"),
        ];
        assert_eq!(memory_limit(&machine(&v1)), Some(4096));
    }

    #[test]
    fn a_sub_path_mount_is_told_from_a_volume() {
        let env = machine(&[(
            "/proc/self/mountinfo",
            "1 2 0:1 / /run/s\\040x/key rw - tmpfs x rw\n2 2 0:1 / /run/vol rw - tmpfs x rw\n",
        )]);
        assert!(is_mounted_alone(&env, Path::new("/run/s x/key")));
        assert!(!is_mounted_alone(&env, Path::new("/run/vol/key")));
    }
}
