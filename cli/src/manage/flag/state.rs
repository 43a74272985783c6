//! What a flag does in one environment.

use std::path::PathBuf;

use flagforge_flags::split::DEFAULT_BUCKETS;
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::show::print_state;
use super::{edit_state, outcome, rule};
use crate::manage::Session;
use crate::manage::client::{Body, Version};
use crate::manage::fields::{Fields, json_in};
use crate::manage::refusal::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// The flag.
    key: String,
    /// What is served.
    #[arg(value_parser = outcome::parse)]
    outcome: Json,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
  flagforge flag split new-search on=10 off=90
  flagforge flag split new-search on=50 off=50 --rule gold-first --unit tenant.key")]
pub(crate) struct Split {
    /// The flag.
    key: String,
    /// A variant and its share of the sum.
    #[arg(required = true, value_name = "VARIANT=WEIGHT")]
    weights: Vec<String>,
    /// The rule that serves it. Without, those whom no rule decides.
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// The attribute that is hashed. Default: as it was, or user.key.
    #[arg(long, value_name = "ATTRIBUTE")]
    unit: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
  flagforge flag ramp new-search on --rest off --until 50 --start 2027-01-04T08:00:00Z --end 2027-01-08T08:00:00Z
It never moves anybody back while it grows.")]
pub(crate) struct Ramp {
    /// The flag.
    key: String,
    /// The variant whose share grows.
    variant: String,
    /// What the others get.
    #[arg(long, value_name = "VARIANT")]
    rest: String,
    /// Its share until it starts, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    from: f64,
    /// Its share when it ends, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0)]
    until: f64,
    /// When it starts (RFC 3339).
    #[arg(long, value_name = "INSTANT")]
    start: String,
    /// When it ends.
    #[arg(long, value_name = "INSTANT")]
    end: String,
    /// In how many equal steps. Default: evenly.
    #[arg(long, value_name = "N")]
    steps: Option<u32>,
    /// The rule that serves it. Without, those whom no rule decides.
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// The attribute that is hashed.
    #[arg(long, value_name = "ATTRIBUTE", default_value = "user.key")]
    unit: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The flag.
    key: String,
    /// What they get.
    variant: String,
    /// Their keys.
    #[arg(required = true, value_name = "USER")]
    users: Vec<String>,
    /// What they are.
    #[arg(long, value_name = "KIND", default_value = "user")]
    entity: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Untarget {
    /// The flag.
    key: String,
    /// Their keys.
    #[arg(required = true, value_name = "USER")]
    users: Vec<String>,
    /// What they are.
    #[arg(long, value_name = "KIND", default_value = "user")]
    entity: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
  flagforge flag require checkout-v2 new-cart                 while new-cart is enabled
  flagforge flag require checkout-v2 new-cart --serves on     while it serves `on` to whoever asks")]
pub(crate) struct Require {
    /// The flag.
    key: String,
    /// The flag that it needs.
    other: String,
    /// A variant that the other has to serve. Repeat it for several that do. Without, it has to be enabled.
    #[arg(long = "serves", value_name = "VARIANT")]
    variants: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
  echo '{\"stale\": {\"afterSeconds\": 60, \"then\": \"lastKnown\"}}' | flagforge flag set new-search --file -
  flagforge flag state new-search --json > state.json; $EDITOR state.json
  flagforge flag set new-search --file state.json --whole")]
pub(crate) struct Set {
    /// The flag.
    key: String,
    /// A JSON Merge Patch (RFC 7396); with --whole, the state. `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The file is the whole state.
    #[arg(long)]
    whole: bool,
}

pub(super) async fn serve(s: &Session, serve: &Serve, field: &str) -> anyhow::Result<()> {
    edit_state(s, &serve.key, |state| {
        state[field] = serve.outcome.clone();
        Ok(())
    })
    .await
}

pub(super) async fn split(s: &Session, split: &Split) -> anyhow::Result<()> {
    let weights = outcome::weights(split.weights.iter().map(String::as_str));
    let fields = Fields::default()
        .set("weights", weights.map_err(Failure::usage)?)
        .set_if("rule", split.rule.clone())
        .set_if("unit", split.unit.clone());
    let path = s.env(&["flags", &split.key, "weights"])?;
    let answer = s.change(Method::PUT, &path, Body::Json(fields.json()), Version::Any).await?;
    print_state(s, &answer)
}

pub(super) async fn ramp(s: &Session, ramp: &Ramp) -> anyhow::Result<()> {
    edit_state(s, &ramp.key, |state| {
        let part = ramp.rule.as_deref().unwrap_or("fallthrough");
        let served = match &ramp.rule {
            None => &mut state["fallthrough"],
            Some(id) => {
                let rules = state["rules"].as_array_mut().into_iter().flatten();
                let mut found = rules.filter(|rule| rule["id"] == id.as_str());
                &mut found.next().ok_or_else(|| rule::no_rule(id))?["serve"]
            }
        };
        // Over the same buckets as the split or ramp that was there, so that nobody who is in falls out.
        let was = [&served["split"], &served["ramp"]]
            .into_iter()
            .find(|was| was["unit"] == ramp.unit.as_str());
        let mut by = was.cloned().unwrap_or_else(|| {
            let salt = format!("{}:{part}", ramp.key);
            json!({"unit": ramp.unit, "salt": salt, "hash": "xxh3", "buckets": DEFAULT_BUCKETS})
        });
        let buckets = by["buckets"].as_u64().unwrap_or_default();
        for name in ["ranges", "steps"] {
            by.as_object_mut().map(|by| by.remove(name));
        }
        by["variant"] = json!(ramp.variant);
        by["rest"] = json!(ramp.rest);
        by["from"] = json!(buckets_of(ramp.from, buckets)?);
        by["until"] = json!(buckets_of(ramp.until, buckets)?);
        by["start"] = json!(ramp.start);
        by["end"] = json!(ramp.end);
        if let Some(steps) = ramp.steps {
            by["steps"] = json!(steps);
        }
        *served = json!({"ramp": by});
        Ok(())
    })
    .await
}

/// So many buckets are a share.
fn buckets_of(percent: f64, buckets: u64) -> anyhow::Result<u64> {
    if !(0.0..=100.0).contains(&percent) {
        return Err(Failure::usage(format!("{percent} is no share: it is 0 to 100 percent")));
    }
    Ok((percent / 100.0 * buckets as f64).round() as u64)
}

pub(super) async fn target(s: &Session, target: &Target) -> anyhow::Result<()> {
    edit_state(s, &target.key, |state| {
        in_list(state, "targets", |targets| aim(targets, target));
        Ok(())
    })
    .await
}

pub(super) async fn untarget(s: &Session, untarget: &Untarget) -> anyhow::Result<()> {
    edit_state(s, &untarget.key, |state| {
        in_list(state, "targets", |targets| forget(targets, &untarget.entity, &untarget.users));
        Ok(())
    })
    .await
}

/// Gives users a variant, and no other one.
fn aim(targets: &mut Vec<Json>, Target { variant, users, entity, .. }: &Target) {
    forget(targets, entity, users);
    let same = |known: &&mut Json| known["variant"] == variant.as_str() && is_of(known, entity);
    match targets.iter_mut().find(same) {
        Some(known) => {
            in_list(known, "keys", |keys| keys.extend(users.iter().map(|user| json!(user))))
        }
        None => targets.push(json!({"entity": entity, "variant": variant, "keys": users})),
    }
}

/// Takes users out of all targets, and targets of nobody out of the list.
fn forget(targets: &mut Vec<Json>, entity: &str, users: &[String]) {
    let named = |key: &Json| users.iter().any(|user| key == user.as_str());
    for target in targets.iter_mut().filter(|target| is_of(target, entity)) {
        in_list(target, "keys", |keys| keys.retain(|key| !named(key)));
    }
    targets.retain(|target| target["keys"].as_array().is_some_and(|keys| !keys.is_empty()));
}

fn is_of(target: &Json, entity: &str) -> bool {
    target["entity"].as_str().unwrap_or("user") == entity
}

pub(super) async fn require(s: &Session, require: &Require) -> anyhow::Result<()> {
    edit_state(s, &require.key, |state| {
        let is = if require.variants.is_empty() {
            json!("enabled")
        } else {
            json!({"variants": require.variants})
        };
        in_list(state, "prerequisites", |needed| {
            needed.retain(|test| test["flag"] != require.other.as_str());
            needed.push(json!({"flag": require.other, "is": is}));
        });
        Ok(())
    })
    .await
}

pub(super) async fn unrequire(s: &Session, key: &str, other: &str) -> anyhow::Result<()> {
    edit_state(s, key, |state| {
        in_list(state, "prerequisites", |needed| needed.retain(|test| test["flag"] != other));
        Ok(())
    })
    .await
}

pub(super) async fn set(s: &Session, set: &Set) -> anyhow::Result<()> {
    let path = s.env(&["flags", &set.key])?;
    let body = json_in(&set.file)?;
    let version = s.get(&path).await?.version();
    let (method, body) = match set.whole {
        true => (Method::PUT, Body::Json(body)),
        false => (Method::PATCH, Body::Patch(body)),
    };
    print_state(s, &s.change(method, &path, body, version).await?)
}

/// Edits a list in a document, which may not have it yet.
pub(crate) fn in_list<R>(
    document: &mut Json,
    name: &str,
    edit: impl FnOnce(&mut Vec<Json>) -> R,
) -> R {
    let mut items = match document[name].take() {
        Json::Array(items) => items,
        _ => Vec::new(),
    };
    let done = edit(&mut items);
    document[name] = Json::Array(items);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_in_one_target_of_a_kind() {
        let mut targets = vec![
            json!({"entity": "user", "variant": "on", "keys": ["a", "b"]}),
            json!({"entity": "device", "variant": "on", "keys": ["a"]}),
            json!({"variant": "off", "keys": ["c"]}),
        ];
        forget(&mut targets, "user", &["a".to_owned(), "c".to_owned()]);
        let wanted = json!([
            {"entity": "user", "variant": "on", "keys": ["b"]},
            {"entity": "device", "variant": "on", "keys": ["a"]},
        ]);
        assert_eq!(json!(targets), wanted);
    }

    #[test]
    fn a_share_is_a_number_of_buckets() {
        assert_eq!(buckets_of(12.5, 100_000).unwrap(), 12_500);
        assert_eq!(buckets_of(100.0, 1_000).unwrap(), 1_000);
        for odd in [-0.1, 100.1, f64::NAN] {
            assert!(buckets_of(odd, 100).is_err(), "{odd}");
        }
    }
}
