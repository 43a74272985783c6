//! OpenFeature's evaluation context as ours: the same mapping as OFREP's flat one.

use flagforge::{Asking, Attribute, Json, Tenant};
use open_feature::{EvaluationContext, EvaluationContextFieldValue as Field, EvaluationError};

use crate::answered::invalid;
use crate::structure::json_of;

const TENANT: &str = "tenant";
const TARGETING_KEY: &str = "targetingKey";
const ENTITIES: &str = "entities";

/// The tenant that the context names; `None` where it names none.
pub(crate) fn tenant(context: &EvaluationContext) -> Result<Option<&str>, EvaluationError> {
    text(context, TENANT)
}

/// Who asks: the targeting key is the user's, `entities` holds further ones, and everything else is the user's.
pub(crate) fn asking<'t>(
    tenant: &'t Tenant,
    context: &'t EvaluationContext,
) -> Result<Asking<'t>, EvaluationError> {
    let mut asking = tenant.asking();
    if let Some(user) = user(context)? {
        asking = asking.user(user);
    }
    for (name, value) in &context.custom_fields {
        asking = match name.as_str() {
            TENANT | TARGETING_KEY => asking,
            ENTITIES => entities(asking, value)?,
            name => asking.attr(name, attribute(name, value)?),
        };
    }
    Ok(asking)
}

fn user(context: &EvaluationContext) -> Result<Option<&str>, EvaluationError> {
    match (context.targeting_key.as_deref(), text(context, TARGETING_KEY)?) {
        (Some(key), Some(other)) if key != other => {
            Err(invalid("the context has two targeting keys, and they differ"))
        }
        (key, other) => Ok(key.or(other)),
    }
}

fn text<'c>(
    context: &'c EvaluationContext,
    name: &str,
) -> Result<Option<&'c str>, EvaluationError> {
    match context.custom_fields.get(name) {
        None => Ok(None),
        Some(Field::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(format!("`{name}` in the context must be a string"))),
    }
}

fn attribute<'c>(name: &str, value: &'c Field) -> Result<Attribute<'c>, EvaluationError> {
    Ok(match value {
        Field::Bool(yes) => (*yes).into(),
        Field::Int(whole) => (*whole).into(),
        Field::Float(number) => (*number).into(),
        Field::String(text) => text.into(),
        Field::DateTime(instant) => {
            let instant = jiff::Timestamp::from_nanosecond(instant.unix_timestamp_nanos());
            let instant = instant.map_err(|_| invalid(format!("`{name}` is no instant")))?;
            Json::String(instant.to_string()).into()
        }
        Field::Struct(structure) => {
            let json = json_of(structure.as_ref());
            json.ok_or_else(|| invalid(format!("`{name}` is a structure of a type that nobody can read: give a StructValue, a Value or JSON")))?.into()
        }
    })
}

fn entities<'t>(asking: Asking<'t>, value: &Field) -> Result<Asking<'t>, EvaluationError> {
    let shape = || invalid("`entities` in the context must be a structure of structures");
    let Field::Struct(structure) = value else { return Err(shape()) };
    let Some(Json::Object(entities)) = json_of(structure.as_ref()) else { return Err(shape()) };
    entities.into_iter().try_fold(asking, |mut asking, (kind, entity)| {
        let Json::Object(mut attributes) = entity else { return Err(shape()) };
        match attributes.remove("key") {
            None | Some(Json::Null) => {}
            Some(Json::String(key)) => asking = asking.entity(&kind, key),
            Some(_) => {
                return Err(invalid(format!("the key of the entity `{kind}` must be a string")));
            }
        }
        for (name, value) in attributes {
            asking = asking.entity_attr(&kind, name, value);
        }
        Ok(asking)
    })
}
