//! A configuration to ask: what `flagforge eval` and the conformance tests go through.

use std::collections::BTreeMap;
use std::time::Duration;

use flagforge_flags::keys::{EnvKey, KeyError, OrgKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::ValueType;
use flagforge_flags::{Context, Explanation, Revision, Snapshot, View, evaluate, explain};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{ContextError, Format, ImportError, Imported, Warning, import};

/// A configuration to ask.
#[derive(Debug)]
pub struct Config {
    format: Format,
    snapshot: Snapshot,
    names: BTreeMap<(String, String), String>,
    warnings: Vec<Warning>,
}

/// A question: a line of `flagforge eval`'s input.
#[derive(Debug, Clone, Deserialize)]
pub struct Request {
    /// The flag, as its vendor names it.
    pub flag: String,
    /// The tenant that asks.
    #[serde(default)]
    pub tenant: Option<TenantKey>,
    /// Who asks, in the format's own shape.
    #[serde(default)]
    pub context: Json,
    /// What to answer where there is no answer. Absent: null, and `false` for Unleash, as its SDKs do.
    #[serde(default)]
    pub default: Option<Json>,
}

/// An answer: a line of `flagforge eval`'s output.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The flag that was asked for.
    pub flag: String,
    /// The value; for Unleash, whether the flag is enabled.
    pub value: Json,
    /// The variant, as the vendor names it.
    pub variant: Option<String>,
    /// What travels with the variant: Unleash's payload, Flipt's attachment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Json>,
    /// Why, in OpenFeature's words.
    pub reason: &'static str,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// OpenFeature's code, when there is no answer.
    pub error_code: Option<&'static str>,
    /// The error in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_details: Option<String>,
}

impl Config {
    /// Reads a configuration.
    pub fn load(format: Format, text: &str) -> Result<Self, ImportError> {
        let Imported { flags, segments, tenants, renamed, warnings } = import(format, text)?;
        let nowhere = |error: KeyError| ImportError::shape("", error.to_string());
        let org = OrgKey::new("imported").map_err(nowhere)?;
        let env = EnvKey::new("imported").map_err(nowhere)?;
        let scope = ScopeId { org, env, scope: Scope::Environment };
        let revision = Revision { org: 0, env: 0 };
        let names = renamed.into_iter().map(|it| ((it.flag, it.variant), it.name)).collect();
        let snapshot =
            Snapshot::from_parts(scope, revision, flags, tenants).with_segments(segments);
        Ok(Self { format, snapshot, names, warnings })
    }

    /// What was not, or not quite, carried over.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Answers a question. `now` stands in for the vendor's clock.
    pub fn decide(&self, request: &Request, now: Timestamp) -> Decision {
        match self.format.context(request.tenant.clone(), &request.context, now) {
            Ok(context) => self.answer(request, &context, now),
            Err(error) => Decision {
                flag: request.flag.clone(),
                value: self.default(request),
                variant: None,
                attachment: None,
                reason: "ERROR",
                rule: None,
                error_code: Some("INVALID_CONTEXT"),
                error_details: Some(error.to_string()),
            },
        }
    }

    /// Every step to an answer.
    pub fn explain(&self, request: &Request, now: Timestamp) -> Result<Explanation, ContextError> {
        let context = self.format.context(request.tenant.clone(), &request.context, now)?;
        Ok(explain(self.view(now), &request.flag, &context, now))
    }

    fn answer(&self, request: &Request, context: &Context<'_>, now: Timestamp) -> Decision {
        let flag = request.flag.as_str();
        let found = self.snapshot.flag(flag).and_then(Result::ok);
        let want = found.and_then(|found| wanted(found.value_type(), request.default.as_ref()));
        let answer = evaluate(self.view(now), flag, want, context, now);
        let attachment = answer.variant.and_then(|variant| {
            let mut variants = found.into_iter().flat_map(|flag| flag.variants());
            variants.find(|held| held.key().as_str() == variant)?.attachment().cloned()
        });
        let left_out = || self.warnings.iter().find(|it| it.left_out && it.subject == flag);
        let details = answer.error.as_ref().map(|error| match left_out() {
            Some(warning) => warning.what.clone(),
            None => error.details(),
        });
        Decision {
            flag: flag.to_owned(),
            value: answer.value.map_or_else(|| self.default(request), |value| value.to_json()),
            variant: answer.variant.map(|variant| self.name(flag, variant)),
            attachment,
            reason: answer.reason.as_str(),
            rule: answer.rule.map(str::to_owned),
            error_code: answer.error.as_ref().map(flagforge_flags::EvalError::code),
            error_details: details,
        }
    }

    fn view(&self, now: Timestamp) -> View<'_> {
        View { snapshot: &self.snapshot, confirmed: now.plus(Duration::ZERO) }
    }

    fn name(&self, flag: &str, variant: &str) -> String {
        let name = self.names.get(&(flag.to_owned(), variant.to_owned()));
        name.map_or(variant, String::as_str).to_owned()
    }

    fn default(&self, request: &Request) -> Json {
        let unsaid = if self.format == Format::Unleash { Json::Bool(false) } else { Json::Null };
        request.default.clone().unwrap_or(unsaid)
    }
}

/// The type that a caller with this default asks for, if it is not the flag's. A whole number serves for either kind of number.
fn wanted(actual: ValueType, default: Option<&Json>) -> Option<ValueType> {
    let wanted = match default? {
        Json::Null => return None,
        Json::Bool(_) => ValueType::Boolean,
        Json::String(_) => ValueType::String,
        Json::Number(_) if matches!(actual, ValueType::Integer | ValueType::Number) => actual,
        Json::Number(_) => ValueType::Number,
        Json::Array(_) | Json::Object(_) => ValueType::Object,
    };
    (wanted != actual).then_some(wanted)
}
