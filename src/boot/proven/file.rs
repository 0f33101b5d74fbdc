//! `proven-keys.json` in `state_dir`: URLs by source, replaced as a whole.

use crate::{event::SourceName, source::proven::UrlsBySource};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

const NAME: &str = "proven-keys.json";
const SCHEMA_VERSION: u32 = 1;
/// The longest file that is read, bytes: what 4096 sources with one URL each take.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Contents {
    schema_version: u32,
    sources: BTreeMap<String, Vec<String>>,
}

/// The URLs in the file; none if there is no file yet.
pub(super) fn read(folder: &Path) -> io::Result<UrlsBySource> {
    let file = match File::open(folder.join(NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(UrlsBySource::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(invalid(format!("it is longer than {MAX_BYTES} bytes")));
    }
    // Its own words may quote the file; the place is enough.
    let contents: Contents = serde_json::from_slice(&bytes).map_err(|error| {
        invalid(format!(
            "line {}, column {}: not as hookward writes it",
            error.line(),
            error.column()
        ))
    })?;
    if contents.schema_version != SCHEMA_VERSION {
        return Err(invalid(format!("`schema_version` is not {SCHEMA_VERSION}")));
    }
    let known = contents.sources.into_iter();
    Ok(known
        .filter_map(|(source, urls)| Some((SourceName::parse(&source).ok()?, urls)))
        .collect())
}

/// Replaces the file: whole or not at all, and readable for its owner only.
pub(super) fn write(folder: &Path, urls: &UrlsBySource) -> io::Result<()> {
    let contents = Contents {
        schema_version: SCHEMA_VERSION,
        sources: urls
            .iter()
            .map(|(source, urls)| (source.to_string(), urls.clone()))
            .collect(),
    };
    let bytes = serde_json::to_vec(&contents)?;
    let new = folder.join(format!(".{NAME}.{}", std::process::id()));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Only where there is nothing: a link that somebody left there is not followed.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(&bytes).and_then(|()| file.sync_all());
    let replaced = written.and_then(|()| fs::rename(&new, folder.join(NAME)));
    if replaced.is_err() {
        let _left_behind = fs::remove_file(&new);
    }
    replaced
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> UrlsBySource {
        let sns = SourceName::parse("sns").expect("a name");
        let urls = ["https://a.example/1", "https://a.example/2"];
        UrlsBySource::from([(sns, urls.map(str::to_owned).to_vec())])
    }

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("hookward-proven-{name}-{}", std::process::id()));
        let _none_yet = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn what_is_written_is_read_back_and_no_file_is_nothing() {
        let folder = folder("round");
        assert_eq!(read(&folder).expect("no file"), UrlsBySource::new());
        write(&folder, &sample()).expect("it can be written");
        write(&folder, &sample()).expect("and replaced");
        assert_eq!(read(&folder).expect("a file"), sample());
        fs::remove_dir_all(&folder).expect("it is ours");
        assert!(
            write(&folder, &sample()).is_err(),
            "a folder that is not there is not made"
        );
    }

    #[test]
    fn a_damaged_file_is_refused_and_not_quoted() {
        let folder = folder("damaged");
        let long = format!("{{\"schema_version\":1,\"sources\":{{}}{}}}", " ".repeat(1 << 20));
        for text in [
            "",
            "null",
            "{\"schema_version\":1,\"sources\":{\"sns\":\"canary\"}}",
            "{\"schema_version\":2,\"sources\":{}}",
            &long,
        ] {
            fs::write(folder.join(NAME), text).expect("it is ours");
            let error = read(&folder).expect_err(text);
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
