//! Who asks, and what stands at an attribute path.

use serde_json::{Number, Value as Json};

use crate::attribute::{Attribute, AttributeId, Content};
use crate::pinned::Asked;
use crate::snapshot::Snapshot;
use crate::tenant::Tenant;

/// The entity that an element is, inside a condition on elements.
pub(crate) const ELEMENT: &str = "element";

/// The entity that the text of a path begins with.
pub(crate) fn entity(path: &str) -> &str {
    path.split('.').next().unwrap_or_default()
}

/// An attribute path: where to begin, and the members to follow from there.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) text: Box<str>,
    pub(crate) start: Start,
    pub(crate) members: Box<[Box<str>]>,
}

#[derive(Debug)]
pub(crate) enum Start {
    /// An entity's own key.
    Key(EntityName),
    /// An attribute of the user or a further entity.
    Attribute(AttributeId),
    /// An attribute of the tenant.
    Tenant(Box<str>),
    /// The element, inside a condition on elements.
    Element,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntityName {
    Tenant,
    User,
    /// Of whose key this is the id.
    Other(AttributeId),
}

/// Who asks, together with what the directory says of their tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a, 'c> {
    pub(crate) asked: &'a Asked<'c>,
    pub(crate) snapshot: &'a Snapshot,
    /// Inside a condition on elements, the element.
    pub(crate) element: Option<&'a Json>,
}

/// What stands at an attribute path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found<'a> {
    /// Nothing, or null.
    Missing,
    /// An entity's key.
    Key(&'a str),
    /// A text.
    Text(&'a str),
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(&'a Number),
    /// A list or an object.
    Json(&'a Json),
}

impl<'a> Found<'a> {
    pub(crate) fn of(attribute: &'a Attribute<'_>) -> Self {
        match &attribute.0 {
            Content::Null => Self::Missing,
            Content::Bool(yes) => Self::Bool(*yes),
            Content::Number(number) => Self::Number(number),
            Content::Text(text) => Self::Text(text),
            Content::OwnText(text) => Self::Text(text),
            Content::Json(json) => Self::Json(json),
            Content::OwnJson(json) => Self::Json(json),
        }
    }

    pub(crate) const fn of_json(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Missing,
            Json::Bool(yes) => Self::Bool(*yes),
            Json::Number(number) => Self::Number(number),
            Json::String(text) => Self::Text(text.as_str()),
            Json::Array(_) | Json::Object(_) => Self::Json(json),
        }
    }

    /// What stands at members inside.
    fn follow(self, members: &[Box<str>]) -> Self {
        members.iter().fold(self, |at, member| match at {
            Self::Json(json) => json.get(&**member).map_or(Self::Missing, Self::of_json),
            _ => Self::Missing,
        })
    }

    /// As JSON, for people; a copy. `None` where there is nothing.
    pub fn to_json(self) -> Option<Json> {
        match self {
            Self::Missing => None,
            Self::Key(text) | Self::Text(text) => Some(text.into()),
            Self::Bool(yes) => Some(yes.into()),
            Self::Number(number) => Some(Json::Number(number.clone())),
            Self::Json(json) => Some(json.clone()),
        }
    }
}

impl<'a> Subject<'a, '_> {
    /// The tenant, where the directory has it and its entry can be read.
    pub(crate) fn tenant(&self) -> Option<&'a Tenant> {
        self.asked.entry(self.snapshot)?.ok()
    }

    #[inline(always)]
    pub(crate) fn find(&self, path: &Path) -> Found<'a> {
        let start = match &path.start {
            Start::Attribute(id) => self.asked.context.found(*id),
            Start::Key(entity) => self.key_of(entity).map_or(Found::Missing, Found::Key),
            Start::Tenant(name) => {
                let attribute = self.tenant().and_then(|tenant| tenant.attributes().get(&**name));
                attribute.map_or(Found::Missing, Found::of_json)
            }
            Start::Element => self.element.map_or(Found::Missing, Found::of_json),
        };
        if path.members.is_empty() { start } else { start.follow(&path.members) }
    }

    #[inline]
    pub(crate) fn key_of(&self, entity: &EntityName) -> Option<&'a str> {
        match entity {
            EntityName::User => self.asked.context.user_key(),
            EntityName::Tenant => self.asked.context.tenant().map(|tenant| tenant.as_str()),
            EntityName::Other(id) => self.asked.context.key_of(*id),
        }
    }
}
