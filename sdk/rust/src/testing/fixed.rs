//! Clients that answer what a test says.

use std::collections::BTreeMap;
use std::sync::Arc;

use flagforge_flags::keys::{KeyError, TenantKey};
use flagforge_flags::wire::{FlagWire, SegmentWire, TenantWire};
use flagforge_flags::{FlagFault, Revision, Snapshot, compile, compile_segment};
use serde_json::{Value as Json, json};
use thiserror::Error;

use crate::client::Client;
use crate::hook::Hook;
use crate::loader::Manifest;
use crate::observers::Observing;
use crate::shared::{Inner, Shared};

/// What a client is to answer, from forced values and whole definitions. Nothing is looked at before
/// [`Fixed::client`], which says what does not fit.
#[derive(Default)]
#[must_use = "a fixed client is made by .client()"]
pub struct Fixed {
    place: Option<(String, String)>,
    revision: Option<Revision>,
    /// By flag: for everybody, and by tenant.
    forced: BTreeMap<String, Forced>,
    definitions: Vec<Json>,
    segments: Vec<Json>,
    tenants: BTreeMap<String, FixedTenant>,
    observing: Observing,
}

impl std::fmt::Debug for Fixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Fixed");
        shown.field("forced", &self.forced).field("definitions", &self.definitions);
        shown.field("segments", &self.segments).field("tenants", &self.tenants);
        shown.finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Clone)]
struct Forced {
    everybody: Option<Json>,
    tenants: BTreeMap<String, Json>,
}

/// A tenant of a fixed client.
#[derive(Debug, Default, Clone)]
#[must_use = "hand it back to .tenant(…)"]
pub struct FixedTenant {
    forced: BTreeMap<String, Json>,
    variants: BTreeMap<String, String>,
    attributes: serde_json::Map<String, Json>,
    groups: Vec<String>,
}

impl FixedTenant {
    /// Forces a flag's value for this tenant.
    pub fn flag(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.forced.insert(key.to_owned(), value.into());
        self
    }

    /// Overrides a defined flag with one of its variants, as the control plane would.
    pub fn variant(mut self, flag: &str, variant: &str) -> Self {
        self.variants.insert(flag.to_owned(), variant.to_owned());
        self
    }

    /// An attribute in the tenant directory.
    pub fn attribute(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// A group that the tenant is in.
    pub fn group(mut self, group: &str) -> Self {
        self.groups.push(group.to_owned());
        self
    }
}

/// What of a fixed client does not fit.
#[derive(Debug, Error)]
pub enum FixedError {
    /// A key that is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A definition that is no flag or segment.
    #[error("the definition {0} cannot be read")]
    Shape(String, #[source] serde_json::Error),
    /// A definition that cannot be evaluated.
    #[error("the definition of `{0}` is malformed")]
    Malformed(String, #[source] FlagFault),
    /// A flag whose value is forced, and that is defined too: a forced value would have to win over a kill.
    #[error(
        "the flag `{0}` is defined and forced: override it with a variant, or leave one of the two out"
    )]
    Both(String),
    /// Values of different types, or null.
    #[error("the values forced for the flag `{0}` are of no one type")]
    Types(String),
    /// Only a fixed client answers something else because a test says so.
    #[error("the client follows a manifest")]
    Follows,
}

impl Fixed {
    /// A client of `test/test` that knows no flag, and answers its callers' defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forces a flag's value for everybody for whom no other is forced. The value's JSON type is the flag's: `5` is an
    /// integer, `5.0` a number.
    pub fn flag(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.forced.entry(key.to_owned()).or_default().everybody = Some(value.into());
        self
    }

    /// A whole definition, as a manifest carries it: rules, splits, prerequisites and all.
    pub fn define(mut self, flag: Json) -> Self {
        self.definitions.push(flag);
        self
    }

    /// A segment, as a manifest carries it.
    pub fn segment(mut self, segment: Json) -> Self {
        self.segments.push(segment);
        self
    }

    /// A tenant of the directory. Of two under one key the later stays.
    pub fn tenant(mut self, key: &str, describe: impl FnOnce(FixedTenant) -> FixedTenant) -> Self {
        self.tenants.insert(key.to_owned(), describe(FixedTenant::default()));
        self
    }

    /// Another organization and environment than `test/test`.
    pub fn environment(mut self, org: &str, env: &str) -> Self {
        self.place = Some((org.to_owned(), env.to_owned()));
        self
    }

    /// Another revision than `1.1`.
    pub const fn revision(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// Lets a hook hear of every answer, after those named before.
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.observing.hook(hook);
        self
    }

    /// The client. It answers so for ever, and needs no runtime.
    pub fn client(self) -> Result<Client, FixedError> {
        let snapshot = self.snapshot()?;
        let (observers, _) = self.observing.begin();
        let shared = Shared::fixed(Manifest::fixed(snapshot), observers);
        Ok(Client { inner: Arc::new(Inner::new(Arc::new(shared), Vec::new())) })
    }

    /// Lets a client that is fixed already answer this from here on. What hears of its answers stays.
    pub fn replace(self, client: &Client) -> Result<(), FixedError> {
        let shared = &client.inner.shared;
        // What follows a manifest has got its own from its origin, or will.
        if shared.current.load().root().is_some() || !shared.progress.borrow().ended {
            return Err(FixedError::Follows);
        }
        shared.take_up(Arc::new(Manifest::fixed(self.snapshot()?)));
        Ok(())
    }

    fn snapshot(&self) -> Result<Snapshot, FixedError> {
        let (org, env) = self.place.clone().unwrap_or(("test".into(), "test".into()));
        let scope = json!({"org": org, "env": env, "scope": "environment"});
        let scope = read("of the environment", scope)?;
        let revision = self.revision.unwrap_or(Revision { org: 1, env: 1 });
        let mut flags = self.defined()?;
        let mut tenants = self.directory()?;
        for (key, forced) in self.all_forced() {
            if flags.iter().any(|flag| flag.key.as_str() == key) {
                return Err(FixedError::Both(key));
            }
            let (flag, variants) = forced_flag(&key, &forced)?;
            for (tenant, variant) in variants {
                let tenant = tenants.get_mut(&TenantKey::new(&tenant)?);
                let variant = read("of an override", json!(variant))?;
                tenant.map(|tenant| tenant.overrides.insert(flag.key.clone(), variant));
            }
            flags.push(flag);
        }
        let snapshot = Snapshot::from_parts(scope, revision, flags, tenants);
        Ok(snapshot.with_segments(self.set_of_segments()?))
    }

    fn all_forced(&self) -> BTreeMap<String, Forced> {
        let mut all = self.forced.clone();
        for (tenant, described) in &self.tenants {
            for (flag, value) in &described.forced {
                let forced = all.entry(flag.clone()).or_default();
                forced.tenants.insert(tenant.clone(), value.clone());
            }
        }
        all
    }

    fn defined(&self) -> Result<Vec<FlagWire>, FixedError> {
        let flags = self.definitions.iter().map(|definition| {
            let flag: FlagWire = read(&definition["key"].to_string(), definition.clone())?;
            match compile(&flag) {
                Ok(_) => Ok(flag),
                Err(fault) => Err(FixedError::Malformed(flag.key.to_string(), fault)),
            }
        });
        flags.collect()
    }

    fn set_of_segments(&self) -> Result<Vec<SegmentWire>, FixedError> {
        let segments = self.segments.iter().map(|definition| {
            let segment: SegmentWire = read(&definition["key"].to_string(), definition.clone())?;
            match compile_segment(&segment) {
                Ok(_) => Ok(segment),
                Err(fault) => Err(FixedError::Malformed(segment.key.to_string(), fault)),
            }
        });
        segments.collect()
    }

    fn directory(&self) -> Result<BTreeMap<TenantKey, TenantWire>, FixedError> {
        let tenants = self.tenants.iter().map(|(key, described)| {
            let FixedTenant { variants, attributes, groups, .. } = described;
            let wire = json!({
                "uid": key, "attributes": attributes, "groups": groups, "overrides": variants,
            });
            Ok((TenantKey::new(key)?, read(&format!("of the tenant `{key}`"), wire)?))
        });
        tenants.collect()
    }
}

/// A flag that is nothing but its forced values, and which tenant has which of its variants.
fn forced_flag(
    key: &str,
    forced: &Forced,
) -> Result<(FlagWire, Vec<(String, String)>), FixedError> {
    let all = || forced.everybody.iter().chain(forced.tenants.values());
    let types = || FixedError::Types(key.to_owned());
    let mut kinds = all().map(kind).collect::<Option<Vec<_>>>().ok_or_else(types)?;
    kinds.sort_unstable();
    kinds.dedup();
    let kind = match kinds[..] {
        [kind] => kind,
        // A whole number is a number where others have a fraction.
        ["integer", "number"] => "number",
        _ => return Err(types()),
    };
    let variant = |name: &str, value: &Json| json!({"key": name, "value": value});
    let named = |at: usize| format!("forced-{at}");
    let mut variants: Vec<Json> =
        forced.everybody.iter().map(|value| variant("forced", value)).collect();
    let tenants = forced.tenants.iter().enumerate();
    variants.extend(tenants.clone().map(|(at, (_, value))| variant(&named(at), value)));
    let everybody = match forced.everybody {
        Some(_) => json!({"variant": "forced"}),
        None => json!("callerDefault"),
    };
    let wire = json!({
        "key": key, "version": 1, "class": "release", "type": kind, "variants": variants,
        "clientVisible": true,
        "state": {"enabled": true, "off": everybody, "fallthrough": everybody},
    });
    let flag: FlagWire = read(&format!("`{key}`"), wire)?;
    compile(&flag).map_err(|fault| FixedError::Malformed(key.to_owned(), fault))?;
    Ok((flag, tenants.map(|(at, (tenant, _))| (tenant.clone(), named(at))).collect()))
}

fn kind(value: &Json) -> Option<&'static str> {
    match value {
        Json::Null => None,
        Json::Bool(_) => Some("boolean"),
        Json::String(_) => Some("string"),
        Json::Number(number) if number.is_f64() => Some("number"),
        Json::Number(_) => Some("integer"),
        Json::Array(_) | Json::Object(_) => Some("object"),
    }
}

fn read<T: serde::de::DeserializeOwned>(what: &str, wire: Json) -> Result<T, FixedError> {
    serde_json::from_value(wire).map_err(|error| FixedError::Shape(what.to_owned(), error))
}
