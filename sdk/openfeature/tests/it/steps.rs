//! The steps of the specification's scenarios.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use flagforge::testing::Fixed;
use flagforge_openfeature::{Provider, reason_of_default};
use open_feature::provider::FeatureProvider;
use open_feature::{
    EvaluationContext, EvaluationDetails, EvaluationError, EvaluationOptions, Hook, HookContext,
    HookHints, OpenFeature, Value, async_trait,
};
use serde_json::{Map, Value as Json, json};

use crate::ask::{Answer, json as shown, raw};
use crate::gherkin::Step;
use crate::tenants::{over, stale};

type Outcome = Result<(), String>;

/// What a scenario has set up and seen.
#[derive(Default)]
pub(crate) struct World {
    openfeature: OpenFeature,
    provider: Option<Provider>,
    folder: Option<tempfile::TempDir>,
    flag: (String, String, String),
    invocation: EvaluationContext,
    client: EvaluationContext,
    api: EvaluationContext,
    before: Option<(String, String)>,
    levels: Vec<String>,
    options: Option<EvaluationOptions>,
    heard: Arc<Mutex<Vec<Heard>>>,
    seen: Option<Result<Answer, EvaluationError>>,
    at_once: bool,
}

/// What a hook heard.
#[derive(Clone)]
struct Heard {
    hook: &'static str,
    stage: &'static str,
    context: EvaluationContext,
    details: Option<EvaluationDetails<Value>>,
}

struct Listener {
    name: &'static str,
    heard: Arc<Mutex<Vec<Heard>>>,
    adds: Option<(String, String)>,
}

impl Listener {
    fn hear(
        &self,
        stage: &'static str,
        context: &HookContext<'_>,
        details: Option<&EvaluationDetails<Value>>,
    ) {
        let (context, details) = (context.evaluation_context.clone(), details.cloned());
        self.heard.lock().unwrap().push(Heard { hook: self.name, stage, context, details });
    }
}

#[async_trait]
impl Hook for Listener {
    async fn before<'a>(
        &self,
        context: &HookContext<'a>,
        _: Option<&'a HookHints>,
    ) -> Result<Option<EvaluationContext>, EvaluationError> {
        self.hear("before", context, None);
        let adds = self.adds.as_ref();
        Ok(adds.map(|(key, value)| {
            context.evaluation_context.clone().with_custom_field(key, value.as_str())
        }))
    }

    async fn after<'a>(
        &self,
        context: &HookContext<'a>,
        details: &EvaluationDetails<Value>,
        _: Option<&'a HookHints>,
    ) -> Result<(), EvaluationError> {
        self.hear("after", context, Some(details));
        Ok(())
    }

    async fn error<'a>(
        &self,
        context: &HookContext<'a>,
        _: &EvaluationError,
        _: Option<&'a HookHints>,
    ) {
        self.hear("error", context, None);
    }

    async fn finally<'a>(
        &self,
        context: &HookContext<'a>,
        details: &EvaluationDetails<Value>,
        _: Option<&'a HookHints>,
    ) {
        self.hear("finally", context, Some(details));
    }
}

impl World {
    /// Runs a scenario from its beginning.
    pub(crate) async fn run(flags: &Map<String, Json>, steps: &[Step]) -> Outcome {
        let mut world = Self::default();
        for step in steps {
            let done = world.step(flags, step).await;
            done.map_err(|why| format!("{} {:?}: {why}", step.pattern, step.quoted))?;
        }
        Ok(())
    }

    async fn step(&mut self, flags: &Map<String, Json>, step: &Step) -> Outcome {
        let quoted: Vec<&str> = step.quoted.iter().map(String::as_str).collect();
        if let (Some(kind), [key, fallback]) =
            (step.pattern.strip_suffix("-flag with key {} and a fallback value {}"), &quoted[..])
        {
            let kind = kind.trim_start_matches("a ").to_lowercase();
            let kind = if kind == "float" { "number".to_owned() } else { kind };
            self.flag = (kind, (*key).to_owned(), (*fallback).to_owned());
            return Ok(());
        }
        if let Some(status) =
            step.pattern.strip_prefix("a ").and_then(|it| it.strip_suffix(" provider"))
        {
            return self.provide(flags, status).await;
        }
        match (step.pattern.as_str(), &quoted[..]) {
            ("a stable provider with retrievable context is registered", _) => {
                self.provide(flags, "stable").await
            }
            ("the flag was evaluated with details", _)
            | ("the flag was evaluated with details asynchronously", _)
            | ("the flag was evaluated with details using the evaluation options", _) => {
                self.evaluate().await
            }
            ("Some flag was evaluated", _) => {
                self.flag = ("boolean".into(), "boolean-flag".into(), "false".into());
                self.evaluate().await
            }
            _ if step.pattern.contains("should") || step.pattern.contains("contain an entry") => {
                self.then(step, &quoted)
            }
            ("The merged context contains an entry with key {} and value {}", _) => {
                self.then(step, &quoted)
            }
            _ => self.given(step, &quoted),
        }
    }

    async fn provide(&mut self, flags: &Map<String, Json>, status: &str) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let client = match status {
            "stable" => {
                let fixed = flags
                    .iter()
                    .fold(Fixed::new(), |fixed, (key, flag)| fixed.define(ours(key, flag)));
                fixed.client().unwrap()
            }
            "not ready" => over(&folder.path().join("objects"), false).await,
            "stale" => stale(&folder.path().join("objects")).await,
            other => return Err(format!("there is no provider that is {other}")),
        };
        let provider = Provider::for_tenant(client.tenant("acme").unwrap());
        self.openfeature.set_provider(provider.clone()).await;
        (self.provider, self.folder) = (Some(provider), Some(folder));
        Ok(())
    }

    fn given(&mut self, step: &Step, quoted: &[&str]) -> Outcome {
        match (step.pattern.as_str(), quoted) {
            (
                "a context containing a key {}, with type {} and with value {}",
                [key, kind, value],
            ) => {
                let context = std::mem::take(&mut self.invocation);
                self.invocation = match *kind {
                    "Boolean" => context.with_custom_field(*key, value.parse::<bool>().unwrap()),
                    "Integer" => context.with_custom_field(*key, value.parse::<i64>().unwrap()),
                    _ => context.with_custom_field(*key, *value),
                };
            }
            ("an evaluation context with modifiable data", _) => {
                self.invocation.add_custom_field("data", "as it was");
            }
            ("a client with added hook", _) => {}
            ("evaluation options containing specific hooks", _) => {
                let hook = |name| Listener { name, heard: Arc::clone(&self.heard), adds: None };
                let options = EvaluationOptions::default().with_hook(hook("first"));
                self.options = Some(options.with_hook(hook("second")));
            }
            (
                "A context entry with key {} and value {} is added to the {} level",
                [key, value, level],
            ) => {
                return self.add(level, key, value);
            }
            ("A table with levels of increasing precedence", _) => {
                self.levels = step.table.iter().flatten().cloned().collect();
            }
            (
                "Context entries for each level from API level down to the {} level, with key {} and value {}",
                [last, key, _],
            ) => {
                for level in self.levels.clone() {
                    self.add(&level, key, &level)?;
                    if level == *last {
                        break;
                    }
                }
            }
            _ => return Err("no such step".to_owned()),
        }
        Ok(())
    }

    fn add(&mut self, level: &str, key: &str, value: &str) -> Outcome {
        match level {
            "API" => self.api.add_custom_field(key, value),
            "Client" => self.client.add_custom_field(key, value),
            "Invocation" => self.invocation.add_custom_field(key, value),
            "Before Hooks" => self.before = Some((key.to_owned(), value.to_owned())),
            other => return Err(format!("there is no level {other}")),
        }
        Ok(())
    }

    async fn evaluate(&mut self) -> Outcome {
        self.openfeature.set_evaluation_context(self.api.clone()).await;
        let hook =
            Listener { name: "client's", heard: Arc::clone(&self.heard), adds: self.before.take() };
        let mut client = self.openfeature.create_client().with_hook(hook);
        client.set_evaluation_context(self.client.clone());
        let context = self.invocation.clone();
        let (kind, key, _) = &self.flag;
        let mut asked = pin!(raw(&client, kind, key, Some(&context), self.options.as_ref()));
        let polled = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.at_once = polled.is_ready();
        self.seen = Some(match polled {
            Poll::Ready(seen) => seen,
            Poll::Pending => asked.await,
        });
        is(&context, &self.invocation)
    }

    /// What the caller has: its own default where there is an error.
    fn seen(&self) -> (Json, String, Option<&str>, Option<String>) {
        match self.seen.as_ref().unwrap() {
            Ok(it) => (it.value.clone(), it.reason.clone(), it.variant.as_deref(), None),
            Err(error) => {
                let own = reason_of_default(error);
                let code = own.is_none().then(|| error.code.to_string());
                (self.value(&self.flag.2), own.unwrap_or("ERROR").to_owned(), None, code)
            }
        }
    }

    fn value(&self, text: &str) -> Json {
        match self.flag.0.as_str() {
            "string" => json!(text),
            "number" => json!(text.parse::<f64>().unwrap()),
            _ => serde_json::from_str(text).unwrap(),
        }
    }

    fn then(&self, step: &Step, quoted: &[&str]) -> Outcome {
        let heard = self.heard.lock().unwrap().clone();
        match (step.pattern.as_str(), quoted) {
            ("the resolved details value should be {}", [value]) => {
                is(&self.seen().0, &self.value(value))
            }
            ("the reason should be {}", [reason]) => is(self.seen().1.as_str(), *reason),
            ("the variant should be {}", [variant]) => is(&self.seen().2, &Some(*variant)),
            ("the error-code should be {}", [code]) => is(&self.seen().3.as_deref(), &Some(*code)),
            ("the flag key should be {}", [key]) => {
                let seen = self.seen.as_ref().unwrap().as_ref();
                is(seen.map_err(|error| error.code.to_string())?.key.as_str(), *key)
            }
            ("the provider status should be {}", [status]) => {
                let seen = format!("{:?}", self.provider.as_ref().unwrap().status());
                is(&seen.to_uppercase(), &status.replace('_', ""))
            }
            ("the evaluation should complete without blocking", _) => is(&self.at_once, &true),
            // `evaluate` compares the context; details are the caller's own, and in nobody else's hands.
            ("the original evaluation context should remain unmodified", _)
            | ("the evaluation details should be immutable", _) => Ok(()),
            ("the specified hooks should execute during evaluation", _)
            | ("the hook order should be maintained", _) => {
                let order: Vec<_> = heard.iter().map(|it| (it.stage, it.hook)).collect();
                let there = ["client's", "first", "second"].map(|name| ("before", name));
                let back = |stage| ["second", "first", "client's"].map(move |name| (stage, name));
                is(&order, &[there, back("after"), back("finally")].concat())
            }
            ("the {} hook should have been executed", [stage]) => {
                is(&heard.iter().any(|it| it.stage == *stage), &true)
            }
            ("the {} hooks should be called with evaluation details", [stages]) => {
                stages.split(", ").try_for_each(|stage| {
                    let told = heard
                        .iter()
                        .find(|it| it.stage == stage)
                        .and_then(|it| it.details.as_ref());
                    told.map_or(Err(format!("{stage} heard nothing")), |told| {
                        details(told, &step.table)
                    })
                })
            }
            ("The merged context contains an entry with key {} and value {}", [key, value]) => {
                let last = heard.iter().rfind(|it| it.stage == "finally").unwrap();
                let found = last.context.custom_fields.get(*key).and_then(|it| it.as_str());
                is(&found, &Some(*value))
            }
            _ => Err("no such step".to_owned()),
        }
    }
}

/// Rows of what a hook is to be told.
fn details(told: &EvaluationDetails<Value>, table: &[Vec<String>]) -> Outcome {
    table.iter().skip(1).try_for_each(|row| {
        let [_, key, value] = &row[..] else { panic!("{row:?}") };
        let seen = match key.as_str() {
            "flag_key" => Some(told.flag_key.clone()),
            "value" => Some(shown(&told.value).to_string()),
            "variant" => told.variant.clone(),
            "reason" => told.reason.as_ref().map(ToString::to_string),
            // The Rust SDK's details have none.
            _ => None,
        };
        is(seen.as_deref().unwrap_or("null"), value.as_str())
    })
}

fn is<T: PartialEq + std::fmt::Debug + ?Sized>(seen: &T, expected: &T) -> Outcome {
    if seen == expected { Ok(()) } else { Err(format!("seen {seen:?}, expected {expected:?}")) }
}

/// A flag of the published data as ours. A disabled one says the caller's default.
fn ours(key: &str, flag: &Json) -> Json {
    let variants = flag["variants"].as_object().unwrap();
    let kind = match variants.values().next().unwrap() {
        Json::Bool(_) => "boolean",
        Json::String(_) => "string",
        Json::Number(_) if variants.values().any(Json::is_f64) => "number",
        Json::Number(_) => "integer",
        _ => "object",
    };
    let fallthrough = match flag["defaultVariant"].as_str() {
        Some(variant) => json!({"variant": variant}),
        None => json!("callerDefault"),
    };
    let rules = flag["contextEvaluator"].as_str().map_or(json!([]), |expression| {
        let (condition, outcomes) = expression.split_once(" ? ").unwrap();
        let variant = outcomes.split('\'').nth(1).unwrap();
        json!([{"id": "targeted", "when": when(condition), "serve": {"variant": variant}}])
    });
    let variants = variants.iter().map(|(key, value)| json!({"key": key, "value": value}));
    json!({
        "key": key, "version": 1, "class": "release", "type": kind,
        "variants": variants.collect::<Vec<_>>(),
        "state": {
            "enabled": flag["disabled"] != true, "off": "callerDefault",
            "rules": rules, "fallthrough": fallthrough,
        },
    })
}

/// The conditions of the published data. The attributes are the user's.
fn when(condition: &str) -> Json {
    let test = |attribute: &str, operator: &str, value: Json| {
        let attribute = format!("user.{attribute}");
        json!({"test": {"attribute": attribute, "operator": operator, "values": [value]}})
    };
    let parts = condition.split(" && ").map(|part| match part {
        "!customer" => test("customer", "equals", json!(false)),
        "age > 10" => test("age", "greater", json!(10)),
        "email == 'ballmer@macrosoft.com'" => {
            test("email", "equals", json!("ballmer@macrosoft.com"))
        }
        other => panic!("the data has another condition now: {other}"),
    });
    json!({"all": parts.collect::<Vec<_>>()})
}
