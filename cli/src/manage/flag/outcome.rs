//! Outcomes and conditions in words, both ways.

use flagforge_flags::text_form;
use flagforge_flags::wire::ConditionWire;
use serde_json::{Value as Json, json};

use crate::manage::fields::{pair, value};
use crate::manage::table::plain;

pub(super) const HELP: &str = "\
What is served is one of
  on               a variant
  on=10,off=90     a split by weights, of users by their key
  caller-default   what the service itself says
  '{\"split\": …}'   any outcome, as the API writes it";

/// What is served, as people write it.
pub(super) fn parse(text: &str) -> Result<Json, String> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    if text == "caller-default" {
        return Ok(json!("callerDefault"));
    }
    if !text.contains('=') {
        return Ok(json!({"variant": text}));
    }
    Ok(json!({"split": {"weights": weights(text.split(','))?}}))
}

/// `on=10` and so on.
pub(super) fn weights<'t>(parts: impl Iterator<Item = &'t str>) -> Result<Vec<Json>, String> {
    let weight = |part: &str| {
        let (variant, weight) = pair(part.trim())?;
        Ok(json!({"variant": variant, "weight": value(&weight)}))
    };
    parts.map(weight).collect()
}

/// What is served, for people.
pub(super) fn outcome(outcome: &Json) -> String {
    if let Some(served) = outcome["variant"].as_str() {
        return served.to_owned();
    }
    if outcome == "callerDefault" {
        return "caller-default".to_owned();
    }
    if let Some(message) = outcome["error"].as_str() {
        return format!("an error: {message}");
    }
    if outcome["split"].is_object() {
        return split(&outcome["split"]);
    }
    let ramp = &outcome["ramp"];
    if ramp.is_object() {
        let share = |bound: &str| percent(ramp[bound].as_u64(), &ramp["buckets"]);
        return format!(
            "{} {} → {} from {} to {}, else {}",
            plain(&ramp["variant"]),
            share("from"),
            share("until"),
            plain(&ramp["start"]),
            plain(&ramp["end"]),
            plain(&ramp["rest"])
        );
    }
    outcome.to_string()
}

/// `on 10 %, off 90 %`, in the order in which they begin.
fn split(split: &Json) -> String {
    let mut shares: Vec<(&str, u64)> = Vec::new();
    for range in split["ranges"].as_array().into_iter().flatten() {
        let variant = range["variant"].as_str().unwrap_or_default();
        let bound = |name: &str| range[name].as_u64().unwrap_or_default();
        let width = bound("until").saturating_sub(bound("from"));
        match shares.iter_mut().find(|(known, _)| *known == variant) {
            Some((_, share)) => *share += width,
            None => shares.push((variant, width)),
        }
    }
    let shares: Vec<String> = (shares.iter())
        .map(|(variant, share)| format!("{variant} {}", percent(Some(*share), &split["buckets"])))
        .collect();
    let unit = split["unit"].as_str().unwrap_or("user.key");
    let by = if unit == "user.key" { String::new() } else { format!(" by {unit}") };
    format!("{}{by}", shares.join(", "))
}

/// A share of buckets, in thousandths of a percent where it takes them.
fn percent(share: Option<u64>, buckets: &Json) -> String {
    let (share, buckets) = (share.unwrap_or_default(), buckets.as_u64().unwrap_or_default());
    if buckets == 0 {
        return format!("{share} of {buckets}");
    }
    let thousandths = share.saturating_mul(100_000) / buckets;
    let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A condition as text, whichever form it came in.
pub(crate) fn condition(when: &Json) -> String {
    match (when, serde_json::from_value::<ConditionWire>(when.clone())) {
        (Json::Null, _) => String::new(),
        (_, Ok(tree)) => text_form::print(&tree),
        (Json::String(text), _) => text.clone(),
        (other, _) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_read_as_people_write_it() {
        let split = json!({"split": {"weights": [
            {"variant": "on", "weight": 10}, {"variant": "off", "weight": 90}
        ]}});
        assert_eq!(parse("on=10,off=90"), Ok(split));
        assert_eq!(parse("on"), Ok(json!({"variant": "on"})));
        assert_eq!(parse("caller-default"), Ok(json!("callerDefault")));
        assert_eq!(parse(r#"{"error": "x"}"#), Ok(json!({"error": "x"})));
        assert!(parse("{").is_err() && parse("=1").is_err());
    }

    #[test]
    fn what_is_served_is_said_in_words() {
        let ranges = json!([
            {"from": 0, "until": 10_000, "variant": "on"},
            {"from": 10_000, "until": 99_875, "variant": "off"},
            {"from": 99_875, "until": 100_000, "variant": "on"},
        ]);
        let by_user = json!({"split": {"unit": "user.key", "buckets": 100_000, "ranges": ranges}});
        assert_eq!(outcome(&by_user), "on 10.125 %, off 89.875 %");
        let by_tenant = json!({"split": {"unit": "tenant.key", "buckets": 100, "ranges": [
            {"from": 0, "until": 100, "variant": "on"}
        ]}});
        assert_eq!(outcome(&by_tenant), "on 100 % by tenant.key");
        assert_eq!(outcome(&json!("callerDefault")), "caller-default");
        assert_eq!(outcome(&json!({"error": "no"})), "an error: no");
        let ramp = json!({"ramp": {"variant": "on", "rest": "off", "from": 0, "until": 50_000,
            "buckets": 100_000, "start": "2027-01-01T00:00:00.000Z", "end": "2027-01-08T00:00:00.000Z"}});
        let wanted = "on 0 % → 50 % from 2027-01-01 00:00:00Z to 2027-01-08 00:00:00Z, else off";
        assert_eq!(outcome(&ramp), wanted);
    }

    #[test]
    fn a_condition_is_text_in_either_form() {
        let tree =
            json!({"test": {"attribute": "tenant.plan", "operator": "equals", "values": ["gold"]}});
        assert_eq!(condition(&tree), r#"tenant.plan == "gold""#);
        assert_eq!(condition(&json!(r#"tenant.plan == "gold""#)), r#"tenant.plan == "gold""#);
        assert_eq!(condition(&json!("always")), "true");
        assert_eq!(condition(&Json::Null), "");
    }
}
