//! HTTP Message Signatures (RFC 9421) in a preset: what a signature must cover, and which one of several is meant.

use schemars::JsonSchema;
use serde::Deserialize;

/// What a signature of RFC 9421 must be. It stands in `Signature` and `Signature-Input`; the algorithm is the preset's, never
/// the message's, and `created` must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MessageRule {
    /// Components that must be covered, the names without quotes: `@method`, `content-digest`, `@query-param;name="id"`,
    /// `x-event;bs`, `x-list;key="a"`. `@target-uri | @path`: one of them suffices; `@query?`: where the request has it. A
    /// signature may cover more.
    pub components: Vec<String>,
    /// The body may go without a signed `content-digest`: then nothing proves it.
    pub uncovered_body: bool,
    /// Parameters that must be there beside `created`: `expires`, `nonce`, `alg`, `keyid`, `tag`, or one that RFC 9421 does
    /// not know. Unknown ones that are not named here are refused.
    pub parameters: Vec<String>,
    /// Only the signature of this label counts; the source's `settings.label` goes before it.
    pub label: Option<String>,
    /// Only signatures with this `tag` count; the source's `settings.tag` goes before it.
    pub tag: Option<String>,
    /// Only signatures with this `keyid` count; the source's `settings.keyid` goes before it.
    pub keyid: Option<String>,
}
