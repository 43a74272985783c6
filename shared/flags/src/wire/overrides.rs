//! A tenant's override of one flag.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::keys::VariantKey;
use crate::time::Timestamp;

/// A tenant's override of one flag: the variant alone, or with the instant from which it counts no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum OverrideWire {
    /// For good.
    Variant(VariantKey),
    /// Until it expires.
    Expiring {
        /// What the tenant gets.
        variant: VariantKey,
        /// From this instant on it counts no more.
        expires: Timestamp,
    },
}

impl OverrideWire {
    /// What the tenant gets.
    pub const fn variant(&self) -> &VariantKey {
        match self {
            Self::Variant(variant) | Self::Expiring { variant, .. } => variant,
        }
    }

    /// From when on it counts no more.
    pub const fn expires(&self) -> Option<Timestamp> {
        match self {
            Self::Variant(_) => None,
            Self::Expiring { expires, .. } => Some(*expires),
        }
    }
}

/// By hand, because a derived one says of what is neither form only that it is neither.
impl<'de> Deserialize<'de> for OverrideWire {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OverrideWire;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a variant, or an object of a variant and an instant")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OverrideWire, E> {
                VariantKey::new(text).map(OverrideWire::Variant).map_err(E::custom)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OverrideWire, A::Error> {
                let Expiring { variant, expires } =
                    Expiring::deserialize(MapAccessDeserializer::new(map))?;
                Ok(match expires {
                    None => OverrideWire::Variant(variant),
                    Some(expires) => OverrideWire::Expiring { variant, expires },
                })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Deserialize)]
struct Expiring {
    variant: VariantKey,
    #[serde(default)]
    expires: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_form_and_what_is_neither() {
        for text in [r#""on""#, r#"{"variant":"on","expires":"2026-11-20T09:30:00.000Z"}"#] {
            let parsed: OverrideWire = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&parsed).unwrap(), text);
            assert_eq!(parsed.variant().as_str(), "on");
        }
        for (text, fault) in [
            ("7", "invalid type: integer `7`, expected a variant, or an object"),
            ("null", "invalid type: null"),
            (r#""a/b""#, "variant key has the character"),
            ("{}", "missing field `variant`"),
            (r#"{"variant":"on","expires":7}"#, "invalid type: integer `7`, expected a string"),
        ] {
            let error = serde_json::from_str::<OverrideWire>(text).unwrap_err().to_string();
            assert!(error.starts_with(fault), "{error}");
        }
    }
}
