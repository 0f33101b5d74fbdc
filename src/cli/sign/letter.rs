//! A signed request: what is in it, and how it is written as headers, as a curl command and as JSON.

use crate::{
    boot::trial::{self, Content},
    cli::subject::Subject,
    config::Settings,
    event::Timestamp,
};
use data_encoding::BASE64;
use serde_json::{Map, Value, json};
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

/// A signed request as it is printed.
pub(super) struct Letter {
    signed: trial::Letter,
    source: String,
    provider: String,
    /// As the provider calls it: `public_url` and the path, or the sidecar's own address.
    url: String,
    /// As it is called on this machine.
    local: String,
    /// What the sidecar wants as `Host`, where it serves some hosts only.
    host: Option<String>,
    /// The file that holds the body, for curl.
    file: Option<PathBuf>,
}

impl Letter {
    /// Signs with the newest secret. The error says why that cannot be done.
    pub(super) fn write(
        settings: &Settings,
        subject: &Subject<'_>,
        content: Content,
        at: Timestamp,
        file: Option<&Path>,
    ) -> Result<Self, String> {
        let signed = trial::Letter::write(subject.settings, &subject.provider, &subject.keys, content, at)?;
        let target = signed.target();
        let local = format!(
            "http://{}{target}",
            super::super::local::reached_at(settings.listen.address)
        );
        let public = subject.settings.options.public_url.as_deref();
        Ok(Self {
            source: subject.settings.name.to_string(),
            provider: subject.provider.facts().name.clone(),
            url: public.map_or_else(
                || local.clone(),
                |base| format!("{}{target}", base.trim_end_matches('/')),
            ),
            local,
            host: settings.hosts.first().cloned(),
            file: file.filter(|path| path.as_os_str() != "-").map(Path::to_path_buf),
            signed,
        })
    }

    /// Why what was signed would be refused all the same: a provider would not send this body, or not to this path.
    pub(super) fn doubt(&self, subject: &Subject<'_>) -> Option<String> {
        let refusal = self.signed.judged(&subject.provider, &subject.keys).err()?;
        Some(refusal.into_owned())
    }

    /// Do its headers alone prove it?
    pub(super) fn is_proven_by_headers(&self) -> bool {
        self.signed.is_proven_by_headers()
    }

    /// `Name: value`, one a line.
    pub(super) fn headers(&self) -> String {
        let lines: Vec<String> = self
            .signed
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        lines.join("\n")
    }

    /// A command for a POSIX shell.
    pub(super) fn curl(&self) -> String {
        let mut command = format!("curl -i -X {} {}", self.signed.method(), quoted(&self.local));
        let host = self.host.iter().map(|host| ("Host", host));
        let headers = self.signed.headers().iter().map(|(name, value)| (name.as_str(), value));
        for (name, value) in host.chain(headers) {
            write!(command, " \\\n  -H {}", quoted(&format!("{name}: {value}")))
                .expect("writing to a String cannot fail");
        }
        let data = match (&self.file, std::str::from_utf8(self.signed.body())) {
            (Some(file), _) => format!("--data-binary {}", quoted(&format!("@{}", file.display()))),
            // curl would take what begins with `@` for a file's name.
            (None, Ok(text)) if text.starts_with('@') => format!("--data-raw {}", quoted(text)),
            (None, Ok(text)) if !text.contains('\0') => format!("--data-binary {}", quoted(text)),
            (None, _) => "--data-binary @-".to_owned(),
        };
        write!(command, " \\\n  {data}").expect("writing to a String cannot fail");
        command
    }

    /// The request as `explain --request` reads it.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let headers: Map<String, Value> = self
            .signed
            .headers()
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        serde_json::to_string_pretty(&json!({
            "schema_version": 1,
            "source": self.source,
            "provider": self.provider,
            "method": self.signed.method().as_str(),
            "url": self.url,
            "headers": headers,
            "body_base64": BASE64.encode(self.signed.body()),
            "at": self.signed.at().as_secs(),
        }))
    }
}

/// One word of a POSIX shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
