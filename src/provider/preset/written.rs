//! Values of a preset that people write in more than one way: one field, several, or a map.

use super::{EventRule, IdRule};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::{borrow::Cow, fmt, marker::PhantomData};

/// One text, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany(pub Vec<String>);

/// What a field must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// This text (a number or truth value is compared as written).
    Text(String),
    /// There, whatever it is (`"*"`).
    Present,
    /// Not there.
    Absent,
}

/// A value that is written as one text, a list of texts, or a map `{from: …}` with further keys.
pub trait Chosen: Sized {
    /// The map form.
    type Long: for<'de> Deserialize<'de> + JsonSchema;
    /// What the map form is called in messages.
    const EXPECTED: &'static str;
    /// From the short form.
    fn short(from: OneOrMany) -> Self;
    /// From the long form.
    fn long(long: Self::Long) -> Self;
}

/// `{from, signed, unique}`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LongId {
    from: OneOrMany,
    #[serde(default)]
    signed: Option<bool>,
    #[serde(default)]
    unique: bool,
}

/// `{from, signed, action}`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LongEvent {
    from: OneOrMany,
    #[serde(default)]
    signed: Option<bool>,
    #[serde(default)]
    action: Option<String>,
}

impl Chosen for IdRule {
    type Long = LongId;
    const EXPECTED: &'static str = "`header:NAME`, `json:/pointer`, a list of these, or `{from: …}`";

    fn short(from: OneOrMany) -> Self {
        Self {
            from,
            signed: None,
            unique: false,
        }
    }

    fn long(long: LongId) -> Self {
        Self {
            from: long.from,
            signed: long.signed,
            unique: long.unique,
        }
    }
}

impl Chosen for EventRule {
    type Long = LongEvent;
    const EXPECTED: &'static str = "`header:NAME`, `json:/pointer`, a list of these, or `{from: …}`";

    fn short(from: OneOrMany) -> Self {
        Self {
            from,
            signed: None,
            action: None,
        }
    }

    fn long(long: LongEvent) -> Self {
        Self {
            from: long.from,
            signed: long.signed,
            action: long.action,
        }
    }
}

struct ChosenVisitor<T>(PhantomData<T>);

impl<'de, T: Chosen> Visitor<'de> for ChosenVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok(T::short(OneOrMany(vec![text.to_owned()])))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        Ok(T::short(OneOrMany(texts(list)?)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::Long::deserialize(MapAccessDeserializer::new(map)).map(T::long)
    }
}

macro_rules! chosen {
    ($($type:ident),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ChosenVisitor(PhantomData))
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let short = generator.subschema_for::<OneOrMany>();
                let long = generator.subschema_for::<<$type as Chosen>::Long>();
                json_schema!({ "anyOf": [short, long] })
            }
        }
    )*};
}

chosen!(IdRule, EventRule);

fn texts<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Vec<String>, A::Error> {
    let mut texts = Vec::new();
    while let Some(text) = list.next_element()? {
        texts.push(text);
    }
    if texts.is_empty() {
        return Err(de::Error::invalid_length(0, &"at least one"));
    }
    Ok(texts)
}

impl From<&str> for OneOrMany {
    fn from(text: &str) -> Self {
        Self(vec![text.to_owned()])
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(text.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<OneOrMany, A::Error> {
                texts(list).map(OneOrMany)
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] })
    }
}

impl<'de> Deserialize<'de> for Want {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Want;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a whole number, true, false or null")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Want, E> {
                Ok(if text == "*" {
                    Want::Present
                } else {
                    Want::Text(text.to_owned())
                })
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Want, E> {
                Ok(Want::Text(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Want, E> {
                Ok(Want::Text(number.to_string()))
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Want, E> {
                Ok(Want::Text(truth.to_string()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Want, E> {
                Ok(Want::Absent)
            }

            fn visit_none<E: de::Error>(self) -> Result<Want, E> {
                Ok(Want::Absent)
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for Want {
    fn schema_name() -> Cow<'static, str> {
        "Want".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "boolean", "null"] })
    }
}
