//! Credentials that travel inside a JSON body (Mailgun, Adyen, Figma): set in a sample's body before it is sent.

use super::{CannotSign, bare, mac_of, unfit};
use crate::{
    event::Frames,
    provider::{
        field::{Place, Scene},
        keys::{Key, Keys},
        mac::Mac,
        plan::Plan,
        sample::place,
    },
};
use bytes::Bytes;
use http::Request;
use serde_json::Value;

/// The body with the credential in it; `None`: this scheme's travels elsewhere. `each` points at the elements that are
/// signed one by one, of which a sample has one.
pub fn filled(plan: &Plan, each: Option<&str>, body: &Bytes, keys: &Keys) -> Result<Option<Bytes>, CannotSign> {
    let Some(signature) = plan.signature.as_ref().filter(|signature| signature.from.len() == 1) else {
        return Ok(None);
    };
    let field = &signature.from[0];
    if !matches!(field.place, Place::Json(_)) {
        return Ok(None);
    }
    let mut root: Value =
        serde_json::from_slice(body).map_err(|_| CannotSign("the credential stands in a JSON body".to_owned()))?;
    let pointer = each.unwrap_or("").replace('*', "0");
    let element = root.pointer_mut(&pointer).ok_or_else(unfit)?;
    let text = Bytes::from(element.to_string());
    let (head, ()) = Request::post("/").body(()).map_err(|_| unfit())?.into_parts();
    let frames = Frames::from(text.clone());
    let scene = Scene {
        body: Some(&frames),
        form: Some(&text),
        ..Scene::of_head(&head, plan.base.as_ref(), None)
    };
    let key = keys
        .at(0)
        .ok_or_else(|| CannotSign("the source has no secret".to_owned()))?;
    let credential = match key {
        Key::Token { text, .. } => bare(plan, text.expose())?,
        Key::Mac(mac) => mac_of(plan, &scene, mac.clone(), signature.encoding)?,
        Key::Plain(secret) => {
            let mac = Mac::new(plan.algorithm, &[]).ok_or_else(unfit)?;
            let scene = Scene {
                secret: Some(secret.expose()),
                ..scene
            };
            mac_of(plan, &scene, mac, signature.encoding)?
        }
        Key::Public(_) => {
            return Err(CannotSign(
                "the provider signs with a private key of its own".to_owned(),
            ));
        }
    };
    let prefix = std::str::from_utf8(&signature.prefix).map_err(|_| unfit())?;
    place(element, &field.name, &format!("{prefix}{credential}").into());
    Ok(Some(Bytes::from(root.to_string())))
}
