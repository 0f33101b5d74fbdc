//! `hookward schema`: the JSON Schema of the configuration, made from the types that read it.

use super::{Exit, say};
use crate::config;

pub(super) fn schema() -> anyhow::Result<Exit> {
    say(&serde_json::to_string_pretty(&config::schema())?)?;
    Ok(Exit::Fine)
}
