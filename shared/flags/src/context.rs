//! Who asks: a tenant, a user, further entities, and their attributes.

use serde_json::Value as Json;

use crate::keys::TenantKey;

/// The entity that a targeting key names.
pub(crate) const USER: &str = "user";
/// The entity that only the tenant directory describes.
pub(crate) const TENANT: &str = "tenant";

/// Who asks. Built once for a request; evaluation borrows it.
///
/// There is none without a decision about the tenant: [`Context::for_tenant`], or
/// [`Context::untenanted`] for start-up and infrastructure, which flags that read the tenant refuse.
///
/// ```
/// use flagforge_flags::{Context, keys::TenantKey};
/// let context = Context::for_tenant(TenantKey::new("acme")?)
///     .user("u-7")
///     .attr("country", "DE")
///     .entity("device", "d-1")
///     .entity_attr("device", "os", serde_json::json!({"name": "ios", "major": 18}));
/// assert_eq!(context.user_key(), Some("u-7"));
/// # Ok::<(), flagforge_flags::keys::KeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    tenant: Option<TenantKey>,
    entities: Vec<Entity>,
    foreign_tenant: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Entity {
    kind: Box<str>,
    key: Option<Box<str>>,
    /// Sorted by name, each name once.
    attributes: Vec<(Box<str>, Json)>,
}

impl Context {
    /// Somebody of a tenant.
    pub fn for_tenant(tenant: TenantKey) -> Self {
        Self { tenant: Some(tenant), entities: Vec::new(), foreign_tenant: false }
    }

    /// Nobody's: for start-up and infrastructure flags.
    pub fn untenanted() -> Self {
        Self { tenant: None, entities: Vec::new(), foreign_tenant: false }
    }

    /// The user, by the key that percentage splits hash. An empty key is no key: callers that have not
    /// signed anybody in yet send one, and must not all land in one bucket.
    #[must_use]
    pub fn user(self, key: impl Into<Box<str>>) -> Self {
        self.entity(USER, key)
    }

    /// An attribute of the user; of two with one name the later stays. An attribute called `key` is never
    /// read, because `user.key` is the user's own key.
    #[must_use]
    pub fn attr(self, name: impl Into<Box<str>>, value: impl Into<Json>) -> Self {
        self.entity_attr(USER, name, value)
    }

    /// A further entity (a device, an order …) and its key; empty is no key. The kind `user` is the user.
    ///
    /// What is said of the kind `tenant` is dropped, because the directory alone describes tenants, and
    /// dropped loudly: every evaluation with this context answers the caller's default and
    /// `INVALID_CONTEXT`.
    #[must_use]
    pub fn entity(mut self, kind: impl Into<Box<str>>, key: impl Into<Box<str>>) -> Self {
        let key = key.into();
        if let Some(entity) = self.entry(kind.into()) {
            entity.key = (!key.is_empty()).then_some(key);
        }
        self
    }

    /// An attribute of a further entity. The kind `tenant` is dropped as in [`Context::entity`].
    #[must_use]
    pub fn entity_attr(
        mut self,
        kind: impl Into<Box<str>>,
        name: impl Into<Box<str>>,
        value: impl Into<Json>,
    ) -> Self {
        let (name, value) = (name.into(), value.into());
        if let Some(Entity { attributes, .. }) = self.entry(kind.into()) {
            match attributes.binary_search_by(|(held, _)| held.as_ref().cmp(&name)) {
                Ok(place) => {
                    if let Some(held) = attributes.get_mut(place) {
                        held.1 = value;
                    }
                }
                Err(place) => attributes.insert(place, (name, value)),
            }
        }
        self
    }

    /// The tenant that asks.
    pub const fn tenant(&self) -> Option<&TenantKey> {
        self.tenant.as_ref()
    }

    /// The user's key, when there is one.
    pub fn user_key(&self) -> Option<&str> {
        self.key_of(USER)
    }

    /// Whether somebody tried to describe the tenant here, which makes every evaluation an error.
    pub const fn describes_tenant(&self) -> bool {
        self.foreign_tenant
    }

    pub(crate) fn key_of(&self, kind: &str) -> Option<&str> {
        self.find(kind)?.key.as_deref()
    }

    pub(crate) fn attribute_of(&self, kind: &str, name: &str) -> Option<&Json> {
        let attributes = &self.find(kind)?.attributes;
        let place = attributes.binary_search_by(|(held, _)| held.as_ref().cmp(name)).ok()?;
        attributes.get(place).map(|(_, value)| value)
    }

    fn find(&self, kind: &str) -> Option<&Entity> {
        self.entities.iter().find(|entity| *entity.kind == *kind)
    }

    fn entry(&mut self, kind: Box<str>) -> Option<&mut Entity> {
        if *kind == *TENANT {
            self.foreign_tenant = true;
            return None;
        }
        let place = self.entities.iter().position(|entity| entity.kind == kind);
        let place = place.unwrap_or_else(|| {
            self.entities.push(Entity { kind, key: None, attributes: Vec::new() });
            self.entities.len() - 1
        });
        self.entities.get_mut(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_stays() {
        let context = Context::untenanted()
            .attr("b", 1)
            .user("first")
            .attr("a", "x")
            .attr("b", 2)
            .user("second");
        assert_eq!(context.user_key(), Some("second"));
        assert_eq!(context.attribute_of(USER, "b"), Some(&Json::from(2)));
        assert_eq!(context.attribute_of(USER, "a"), Some(&Json::from("x")));
        assert_eq!(context.attribute_of(USER, "c"), None);
        assert_eq!(context.user("").user_key(), None);
    }

    #[test]
    fn a_tenant_described_by_the_caller_is_dropped_and_remembered() {
        let acme = TenantKey::new("acme").unwrap();
        let context = Context::for_tenant(acme.clone()).entity_attr(TENANT, "plan", "gold");
        assert!(context.describes_tenant());
        assert_eq!(context.attribute_of(TENANT, "plan"), None);
        assert!(Context::for_tenant(acme).entity(TENANT, "globex").describes_tenant());
    }
}
