//! Who asks: a tenant, a user, further entities, and their attributes.

use std::borrow::Cow;
use std::mem;

use crate::attribute::{Attribute, AttributeId, Content};
use crate::keys::TenantKey;
use crate::subject::Found;

/// The entity that a targeting key names.
pub(crate) const USER: &str = "user";
/// The entity that only the tenant directory describes.
pub(crate) const TENANT: &str = "tenant";

/// Attributes, and keys of further entities, that a context holds without allocating. Those beyond stand on the heap.
pub const INLINE_ATTRIBUTES: usize = 8;

/// Who asks. Built once for a request, of borrowed texts or of its own.
///
/// There is none without a decision about the tenant: [`Context::for_tenant`], or
/// [`Context::untenanted`] for start-up and infrastructure, which flags that read the tenant refuse.
///
/// ```
/// use flagforge_flags::{Context, keys::TenantKey};
/// let acme = TenantKey::new("acme")?;
/// let context = Context::for_tenant(&acme)
///     .user("u-7")
///     .attr("country", "DE")
///     .entity("device", "d-1")
///     .entity_attr("device", "os", serde_json::json!({"name": "ios", "major": 18}));
/// assert_eq!(context.user_key(), Some("u-7"));
/// # Ok::<(), flagforge_flags::keys::KeyError>(())
/// ```
#[derive(Debug, Clone)]
// What most answers read stands first, and together.
#[repr(C)]
pub struct Context<'c> {
    foreign_tenant: bool,
    user: Option<Cow<'c, str>>,
    tenant: Option<Cow<'c, TenantKey>>,
    /// How many attributes stand here and not on the heap.
    count: usize,
    /// Of two with one id the later counts.
    ids: [AttributeId; INLINE_ATTRIBUTES],
    values: [Attribute<'c>; INLINE_ATTRIBUTES],
    /// Attributes beyond those.
    more: Vec<(AttributeId, Attribute<'c>)>,
}

impl<'c> Context<'c> {
    /// Somebody of a tenant.
    pub fn for_tenant(tenant: impl Into<Cow<'c, TenantKey>>) -> Self {
        Self::of(Some(tenant.into()))
    }

    /// Nobody's: for start-up and infrastructure flags.
    pub fn untenanted() -> Self {
        Self::of(None)
    }

    #[inline]
    fn of(tenant: Option<Cow<'c, TenantKey>>) -> Self {
        Self {
            tenant,
            user: None,
            count: 0,
            ids: [AttributeId::NONE; INLINE_ATTRIBUTES],
            values: [const { Attribute(Content::Null) }; INLINE_ATTRIBUTES],
            more: Vec::new(),
            foreign_tenant: false,
        }
    }

    /// The user, by the key that percentage splits hash. An empty key is no key: callers that have not
    /// signed anybody in yet send one, and must not all land in one bucket.
    #[must_use]
    #[inline]
    pub fn user(mut self, key: impl Into<Cow<'c, str>>) -> Self {
        self.set_user(key.into());
        self
    }

    /// An attribute of the user; of two with one name the later stays. An attribute called `key` is never
    /// read, because `user.key` is the user's own key.
    #[must_use]
    #[inline]
    pub fn attr(mut self, name: impl AsRef<str>, value: impl Into<Attribute<'c>>) -> Self {
        self.set_attr(name.as_ref(), value.into());
        self
    }

    /// A further entity (a device, an order …) and its key; empty is no key. The kind `user` is the user.
    ///
    /// What is said of the kind `tenant` is dropped, because the directory alone describes tenants, and
    /// dropped loudly: every evaluation with this context answers the caller's default and
    /// `INVALID_CONTEXT`.
    #[must_use]
    pub fn entity(mut self, kind: impl AsRef<str>, key: impl Into<Cow<'c, str>>) -> Self {
        self.set_entity(kind.as_ref(), key.into());
        self
    }

    /// An attribute of a further entity. The kind `tenant` is dropped as in [`Context::entity`].
    #[must_use]
    pub fn entity_attr(
        mut self,
        kind: impl AsRef<str>,
        name: impl AsRef<str>,
        value: impl Into<Attribute<'c>>,
    ) -> Self {
        self.set_entity_attr(kind.as_ref(), name.as_ref(), value.into());
        self
    }

    /// As [`Context::user`], in place.
    #[inline]
    pub fn set_user(&mut self, key: Cow<'c, str>) {
        self.user = (!key.is_empty()).then_some(key);
    }

    /// As [`Context::attr`], in place.
    #[inline]
    pub fn set_attr(&mut self, name: &str, value: Attribute<'c>) {
        self.push(AttributeId::of_user(name), value);
    }

    /// As [`Context::entity`], in place.
    pub fn set_entity(&mut self, kind: &str, key: Cow<'c, str>) {
        match kind {
            TENANT => self.foreign_tenant = true,
            USER => self.set_user(key),
            // A key is found as an attribute is. One that is taken away leaves a null.
            _ if key.is_empty() => self.push(AttributeId::of_key(kind), Attribute(Content::Null)),
            _ => self.push(AttributeId::of_key(kind), key.into()),
        }
    }

    /// As [`Context::entity_attr`], in place.
    pub fn set_entity_attr(&mut self, kind: &str, name: &str, value: Attribute<'c>) {
        if kind == TENANT {
            self.foreign_tenant = true;
        } else {
            self.push(AttributeId::of(kind, name), value);
        }
    }

    #[inline]
    fn push(&mut self, id: AttributeId, value: Attribute<'c>) {
        match (self.ids.get_mut(self.count), self.values.get_mut(self.count)) {
            (Some(free), Some(place)) => {
                *free = id;
                // What stands there is null, and nothing to drop: looking would wait for all that was just written.
                mem::forget(mem::replace(place, value));
                self.count += 1;
            }
            _ => self.more.push((id, value)),
        }
    }

    /// The tenant that asks.
    #[inline]
    pub fn tenant(&self) -> Option<&TenantKey> {
        self.tenant.as_deref()
    }

    /// The user's key, when there is one.
    #[inline]
    pub fn user_key(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether somebody tried to describe the tenant here, which makes every evaluation an error.
    pub const fn describes_tenant(&self) -> bool {
        self.foreign_tenant
    }

    /// The same, borrowing from this one. Allocates only beyond [`INLINE_ATTRIBUTES`].
    pub fn borrowed(&self) -> Context<'_> {
        let mut context = Context::of(self.tenant.as_deref().map(Cow::Borrowed));
        context.foreign_tenant = self.foreign_tenant;
        context.user = self.user.as_deref().map(Cow::Borrowed);
        for (id, value) in self.attributes() {
            context.push(id, value.borrowed());
        }
        context
    }

    fn attributes(&self) -> impl Iterator<Item = (AttributeId, &Attribute<'c>)> {
        let here = self.ids.iter().copied().zip(&self.values).take(self.count);
        here.chain(self.more.iter().map(|(id, value)| (*id, value)))
    }

    pub(crate) fn key_of(&self, key: AttributeId) -> Option<&str> {
        match self.found(key) {
            Found::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn found(&self, id: AttributeId) -> Found<'_> {
        let more = self.more.iter().rev().find(|(held, _)| *held == id).map(|(_, value)| value);
        let value = more.or_else(|| self.values.get(self.place(id)));
        value.map_or(Found::Missing, Found::of)
    }

    /// Where an attribute stands inside; [`INLINE_ATTRIBUTES`] where it does not.
    #[inline(always)]
    pub(crate) fn place(&self, id: AttributeId) -> usize {
        // All places, whether they are filled or not: without a branch it is faster than stopping at the right one.
        let mut place = INLINE_ATTRIBUTES;
        for (at, held) in self.ids.iter().enumerate() {
            place = if *held == id { at } else { place };
        }
        place
    }

    /// The values that stand inside, if all do.
    #[inline(always)]
    pub(crate) fn inside(&self) -> &[Attribute<'c>] {
        if self.more.is_empty() { &self.values } else { &[] }
    }
}

impl<'c> From<&'c TenantKey> for Cow<'c, TenantKey> {
    fn from(key: &'c TenantKey) -> Self {
        Cow::Borrowed(key)
    }
}

impl From<TenantKey> for Cow<'_, TenantKey> {
    fn from(key: TenantKey) -> Self {
        Cow::Owned(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'c>(context: &'c Context<'_>, kind: &str, name: &str) -> Found<'c> {
        context.found(AttributeId::of(kind, name))
    }

    fn key<'c>(context: &'c Context<'_>, kind: &str) -> Option<&'c str> {
        context.key_of(AttributeId::of_key(kind))
    }

    #[test]
    fn more_than_stand_inside_are_all_there() {
        let names: Vec<String> = (0..3 * INLINE_ATTRIBUTES).map(|i| format!("a-{i}")).collect();
        let mut context = Context::untenanted();
        for (i, name) in names.iter().enumerate() {
            context = context.attr(name, i).entity(format!("kind-{i}"), name);
        }
        // The later one counts, wherever it stands.
        context = context.attr("a-0", "late").entity("kind-0", "late");
        for context in [context.borrowed(), context.clone()] {
            assert_eq!(found(&context, USER, "a-0"), Found::Text("late"));
            assert_eq!(key(&context, "kind-0"), Some("late"));
            for (i, name) in names.iter().enumerate().skip(1) {
                assert_eq!(found(&context, USER, name).to_json(), Some(i.into()));
                assert_eq!(key(&context, &format!("kind-{i}")), Some(name.as_str()));
            }
        }
    }

    #[test]
    fn the_later_of_two_stays() {
        let context = Context::untenanted()
            .attr("b", "early")
            .user("first")
            .attr("a", "x")
            .attr("b", "late")
            .entity("device", "d-1")
            .user("second")
            .entity("device", "d-2");
        assert_eq!(context.user_key(), Some("second"));
        assert_eq!(key(&context, "device"), Some("d-2"));
        assert_eq!(found(&context, USER, "b"), Found::Text("late"));
        assert_eq!(found(&context, USER, "a"), Found::Text("x"));
        assert_eq!(found(&context, USER, "c"), Found::Missing);
        let context = context.user("").entity("device", "");
        assert_eq!((context.user_key(), key(&context, "device")), (None, None));
    }

    #[test]
    fn kinds_do_not_mix() {
        let context = Context::untenanted().attr("os", "mac").entity_attr("device", "os", "ios");
        assert_eq!(found(&context, USER, "os"), Found::Text("mac"));
        assert_eq!(found(&context, "device", "os"), Found::Text("ios"));
        assert_eq!(found(&context, "order", "os"), Found::Missing);
        let user = Context::untenanted().entity(USER, "u").entity_attr(USER, "os", "bsd");
        assert_eq!((user.user_key(), found(&user, USER, "os")), (Some("u"), Found::Text("bsd")));
    }

    #[test]
    fn a_tenant_described_by_the_caller_is_dropped_and_remembered() {
        let acme = TenantKey::new("acme").unwrap();
        let context = Context::for_tenant(&acme).entity_attr(TENANT, "plan", "gold");
        assert!(context.describes_tenant() && context.borrowed().describes_tenant());
        assert_eq!(found(&context, TENANT, "plan"), Found::Missing);
        assert!(Context::for_tenant(&acme).entity(TENANT, "globex").describes_tenant());
    }
}
