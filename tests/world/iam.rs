//! What IAM would say: policy documents of identities and sessions, evaluated after AWS's description of them. The emulated
//! cloud does not know every condition; this does, and refuses to read what it does not know.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::Value as Json;

/// What is asked of IAM.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    pub action: &'a str,
    pub resource: &'a str,
    /// Condition keys and their values. A key that is not there is absent.
    pub context: BTreeMap<&'a str, Vec<String>>,
}

/// Who asks: a role's own policies, and the policy of the session they are in, if they are in a narrowed one.
#[derive(Debug, Clone)]
pub struct Principal {
    pub identity: Vec<Policy>,
    pub session: Option<Policy>,
}

impl Principal {
    /// An explicit refusal counts wherever it is; otherwise the role must allow it, and the session too.
    pub fn may(&self, ask: &Ask<'_>) -> bool {
        let denied = self.identity.iter().chain(&self.session).any(|policy| policy.denies(ask));
        let allowed = self.identity.iter().any(|policy| policy.allows(ask));
        !denied && allowed && self.session.as_ref().is_none_or(|session| session.allows(ask))
    }
}

/// A policy document.
#[derive(Debug, Clone)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone)]
struct Statement {
    allows: bool,
    actions: Patterns,
    resources: Patterns,
    conditions: Vec<Condition>,
}

/// Patterns of which one must match, or (`except`) none may.
#[derive(Debug, Clone)]
struct Patterns {
    patterns: Vec<String>,
    except: bool,
}

#[derive(Debug, Clone)]
struct Condition {
    key: String,
    values: Vec<String>,
    test: Test,
    over: Over,
    if_exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equals,
    NotEquals,
    Like,
    NotLike,
    Null,
}

/// Which of a key's values must pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The one that it has.
    One,
    All,
    Any,
}

impl Policy {
    /// Reads a document. What this evaluator does not know is an error: it must not be passed over.
    pub fn parse(document: &Json) -> anyhow::Result<Self> {
        let statements = match &document["Statement"] {
            Json::Array(all) => all.clone(),
            one @ Json::Object(_) => vec![one.clone()],
            _ => bail!("a policy without statements: {document}"),
        };
        let statements = statements.iter().map(Statement::parse).collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }

    pub fn allows(&self, ask: &Ask<'_>) -> bool {
        self.statements.iter().any(|statement| statement.allows && statement.matches(ask))
    }

    pub fn denies(&self, ask: &Ask<'_>) -> bool {
        self.statements.iter().any(|statement| !statement.allows && statement.matches(ask))
    }
}

impl Statement {
    fn parse(json: &Json) -> anyhow::Result<Self> {
        let members = json.as_object().context("a statement is an object")?;
        const KNOWN: [&str; 7] =
            ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        if let Some(unknown) = members.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            bail!("a statement with `{unknown}`, which is not understood: {json}");
        }
        let allows = match json["Effect"].as_str() {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => bail!("neither Allow nor Deny: {json}"),
        };
        let mut conditions = Vec::new();
        for (operator, keys) in json["Condition"].as_object().into_iter().flatten() {
            for (key, values) in keys.as_object().context("a condition names keys")? {
                conditions.push(Condition::parse(operator, key, texts(values)?)?);
            }
        }
        Ok(Self {
            allows,
            actions: Patterns::parse(json, "Action", "NotAction")?,
            resources: Patterns::parse(json, "Resource", "NotResource")?,
            conditions,
        })
    }

    fn matches(&self, ask: &Ask<'_>) -> bool {
        // Actions are compared without regard to case, resources with it.
        let action = ask.action.to_lowercase();
        let acts = self.actions.hold(|pattern| like(&pattern.to_lowercase(), &action));
        acts && self.resources.hold(|pattern| like(pattern, ask.resource))
            && self.conditions.iter().all(|condition| condition.holds(ask))
    }
}

impl Patterns {
    fn parse(json: &Json, name: &str, except_name: &str) -> anyhow::Result<Self> {
        match (json.get(name), json.get(except_name)) {
            (Some(patterns), None) => Ok(Self { patterns: texts(patterns)?, except: false }),
            (None, Some(patterns)) => Ok(Self { patterns: texts(patterns)?, except: true }),
            _ => bail!("either {name} or {except_name}: {json}"),
        }
    }

    fn hold(&self, matches: impl Fn(&String) -> bool) -> bool {
        self.patterns.iter().any(matches) != self.except
    }
}

impl Condition {
    fn parse(operator: &str, key: &str, values: Vec<String>) -> anyhow::Result<Self> {
        let (over, rest) = match operator.split_once(':') {
            Some(("ForAllValues", rest)) => (Over::All, rest),
            Some(("ForAnyValue", rest)) => (Over::Any, rest),
            None => (Over::One, operator),
            Some(_) => bail!("the operator `{operator}` is not understood"),
        };
        let (rest, if_exists) = match rest.strip_suffix("IfExists") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let test = match rest {
            "StringEquals" => Test::Equals,
            "StringNotEquals" => Test::NotEquals,
            "StringLike" => Test::Like,
            "StringNotLike" => Test::NotLike,
            "Null" => Test::Null,
            _ => bail!("the operator `{operator}` is not understood"),
        };
        if values.iter().any(|value| value.contains("${")) {
            bail!("policy variables are not understood: {values:?}");
        }
        Ok(Self { key: key.to_lowercase(), values, test, over, if_exists })
    }

    fn holds(&self, ask: &Ask<'_>) -> bool {
        let mut found = ask.context.iter().filter(|(key, _)| key.to_lowercase() == self.key);
        // A key without values, or with an empty one, is as good as absent.
        let values: Vec<&String> =
            found.next().into_iter().flat_map(|(_, values)| values).collect();
        let absent = values.iter().all(|value| value.is_empty());
        if self.test == Test::Null {
            let wanted = self.values.iter().any(|value| value == "true");
            return absent == wanted;
        }
        if absent {
            let negated = matches!(self.test, Test::NotEquals | Test::NotLike);
            return self.if_exists || self.over == Over::All || (negated && self.over == Over::One);
        }
        match self.over {
            Over::All => values.iter().all(|value| self.passes(value)),
            Over::Any => values.iter().any(|value| self.passes(value)),
            Over::One => values.len() == 1 && values.iter().all(|value| self.passes(value)),
        }
    }

    fn passes(&self, value: &str) -> bool {
        match self.test {
            Test::Equals => self.values.iter().any(|wanted| wanted == value),
            Test::NotEquals => self.values.iter().all(|wanted| wanted != value),
            Test::Like => self.values.iter().any(|wanted| like(wanted, value)),
            Test::NotLike => self.values.iter().all(|wanted| !like(wanted, value)),
            Test::Null => false,
        }
    }
}

fn texts(json: &Json) -> anyhow::Result<Vec<String>> {
    let text = |value: &Json| match value {
        Json::String(text) => Ok(text.clone()),
        Json::Bool(whether) => Ok(whether.to_string()),
        other => bail!("not a text: {other}"),
    };
    match json {
        Json::Array(all) => all.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

/// Whether a pattern of `*` (any characters) and `?` (one) matches all of a text.
pub fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where the last star stood, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&c) if c == '?' || c == text[seen] => (at, seen) = (at + 1, seen + 1),
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, seen) = (place + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wildcards_are_those_of_iam() {
        for (pattern, text, expected) in [
            ("acme#*", "acme#", true),
            ("acme#*", "acme#env#prod", true),
            ("acme#*", "acme-2#", false),
            ("acme#*", "acme", false),
            ("*#", "acme#", true),
            ("*#", "acme#log", false),
            ("*#", "~#orgs", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xxaxxab", true),
            ("*a*b", "xxaxxa", false),
            ("a.c", "abc", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }

    /// The table of AWS's reference of condition operators, "Set operators" and "Null": each with a key that is absent,
    /// empty, one that matches, one that does not, and both.
    #[test]
    fn conditions_hold_as_the_reference_says() {
        let cases: [(&str, [bool; 5]); 9] = [
            ("StringLike", [false, false, true, false, false]),
            ("StringLikeIfExists", [true, true, true, false, false]),
            ("StringNotLike", [true, true, false, true, false]),
            ("ForAllValues:StringLike", [true, true, true, false, false]),
            ("ForAllValues:StringNotLike", [true, true, false, true, false]),
            ("ForAnyValue:StringLike", [false, false, true, false, true]),
            ("ForAnyValue:StringEquals", [false, false, true, false, true]),
            ("ForAnyValue:StringNotLike", [false, false, false, true, true]),
            ("ForAllValues:StringEquals", [true, true, true, false, false]),
        ];
        let contexts: [Option<&[&str]>; 5] =
            [None, Some(&[""]), Some(&["a#"]), Some(&["b#"]), Some(&["a#", "b#"])];
        for (operator, expected) in cases {
            for (values, expected) in contexts.iter().zip(expected) {
                let holds = allowed(&json!({operator: {"dynamodb:LeadingKeys": ["a#"]}}), *values);
                assert_eq!(holds, expected, "{operator} {values:?}");
            }
        }
        for (wanted, expected) in [
            ("true", [true, true, false, false, false]),
            ("false", [false, false, true, true, true]),
        ] {
            for (values, expected) in contexts.iter().zip(expected) {
                let holds = allowed(&json!({"Null": {"dynamodb:leadingkeys": wanted}}), *values);
                assert_eq!(holds, expected, "Null {wanted} {values:?}");
            }
        }
    }

    fn allowed(condition: &Json, keys: Option<&[&str]>) -> bool {
        let statement = json!({"Effect": "Allow", "Action": "dynamodb:Get*", "Resource": "*", "Condition": condition});
        let policy = Policy::parse(&json!({"Statement": statement})).unwrap();
        let mut context = BTreeMap::new();
        if let Some(keys) = keys {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            context.insert("dynamodb:LeadingKeys", keys);
        }
        policy.allows(&Ask { action: "DynamoDB:getItem", resource: "t", context })
    }

    #[test]
    fn a_refusal_counts_wherever_it_is_and_a_session_only_narrows() {
        let of = |effect: &str, action: &str| {
            let statement = json!({"Effect": effect, "Action": action, "Resource": "*"});
            Policy::parse(&json!({"Statement": [statement]})).unwrap()
        };
        let may = |identity: Vec<Policy>, session: Option<Policy>| {
            let ask = Ask { action: "s3:GetObject", resource: "r", context: BTreeMap::new() };
            Principal { identity, session }.may(&ask)
        };
        assert!(may(vec![of("Allow", "s3:*")], None));
        assert!(!may(vec![of("Allow", "s3:*"), of("Deny", "s3:Get*")], None));
        assert!(!may(vec![of("Allow", "s3:*")], Some(of("Allow", "s3:PutObject"))));
        assert!(!may(vec![of("Allow", "s3:*")], Some(of("Deny", "*"))));
        assert!(!may(vec![], Some(of("Allow", "s3:*"))));
        assert!(may(vec![of("Allow", "s3:*")], Some(of("Allow", "*"))));
    }

    #[test]
    fn what_is_not_understood_is_not_passed_over() {
        let good = json!({"Effect": "Allow", "Action": "a:b", "Resource": "*"});
        assert!(Policy::parse(&json!({"Statement": good})).is_ok());
        for (name, value) in [
            ("Condition", json!({"IpAddress": {"aws:SourceIp": "::1"}})),
            ("Condition", json!({"ForSomeValues:StringLike": {"a": "b"}})),
            ("Condition", json!({"StringLike": {"a": "${aws:username}"}})),
            ("Principal", json!("*")),
            ("NotAction", json!("a:c")),
            ("Effect", json!("allow")),
        ] {
            let mut statement = good.clone();
            statement[name] = value;
            assert!(
                Policy::parse(&json!({"Statement": [statement.clone()]})).is_err(),
                "{statement}"
            );
        }
        assert!(Policy::parse(&json!({})).is_err());
    }
}
