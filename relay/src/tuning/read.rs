//! The file: a JSON object, of which each field may be left out.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use tracing_subscriber::EnvFilter;

use super::{MAX_PER_SECOND, MAX_PLACES, MAX_POLL_SECONDS, Tuning};
use crate::server::OTHER_CONNECTIONS;
use crate::settings;

/// Environments that a file may name: as many as a relay holds.
const MAX_BEGIN_WITH: usize = 1_024;
/// Bytes of a filter of logs: a hundred parts with their levels.
const MAX_LOG_BYTES: usize = 4 * 1024;

/// What is settled when a relay starts, and how it is said there.
const AT_THE_START: [(&str, &str); 10] = [
    ("connection", "FLAGFORGE_CONNECTION"),
    ("listen", "FLAGFORGE_LISTEN"),
    ("operationListen", "FLAGFORGE_OPERATION_LISTEN"),
    ("cacheDir", "FLAGFORGE_CACHE_DIR"),
    ("controlPlane", "FLAGFORGE_CONTROL_PLANE"),
    ("controlPlaneKey", "FLAGFORGE_CONTROL_PLANE_KEY"),
    ("snsTopics", "FLAGFORGE_SNS_TOPICS"),
    ("tlsCertificate", "FLAGFORGE_TLS_CERTIFICATE"),
    ("tlsKey", "FLAGFORGE_TLS_KEY"),
    ("relayConfig", "FLAGFORGE_RELAY_CONFIG"),
];

impl Tuning {
    /// What a file says, over what holds without one. The fault names the field and its limit.
    pub(super) fn read(&self, text: &[u8]) -> Result<Self, String> {
        let fields: Fields = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mut read = self.clone();
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in &fields.0 {
            if seen.contains(&name.as_str()) {
                return Err(format!("{name} is there twice"));
            }
            seen.push(name);
            read.set(name, value)?;
        }
        read.check()?;
        Ok(read)
    }

    fn set(&mut self, name: &str, value: &Json) -> Result<(), String> {
        let places = |limit| whole(name, value, 1..=limit as u64).map(|n| n as usize);
        let rate = || whole(name, value, 1..=u64::from(MAX_PER_SECOND)).map(|n| n as u32);
        match name {
            "pollSeconds" => {
                self.poll = Duration::from_secs(whole(name, value, 1..=MAX_POLL_SECONDS)?);
            }
            "requestsPerSecondOfAKey" => self.requests_per_second_of_a_key = rate()?,
            "requestsPerSecondOfATenant" => self.requests_per_second_of_a_tenant = rate()?,
            "maxStreams" => self.max_streams = places(MAX_PLACES)?,
            "maxStreamsOfAKey" => self.max_streams_of_a_key = places(MAX_PLACES)?,
            "maxStreamsOfStrangers" => self.max_streams_of_strangers = places(OTHER_CONNECTIONS)?,
            "maxWaits" => self.max_waits = places(MAX_PLACES)?,
            "maxWaitsOfAKey" => self.max_waits_of_a_key = places(MAX_PLACES)?,
            "beginWith" => self.begin_with = environments(name, value)?,
            "log" => self.log = filter(name, value)?,
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    /// What the fields must be to each other.
    fn check(&self) -> Result<(), String> {
        let together = self.max_streams + self.max_waits;
        if together > MAX_PLACES {
            return Err(format!(
                "maxStreams and maxWaits: {together} together is over {MAX_PLACES}, the connections that there are for them"
            ));
        }
        for (name, of_a_key, all) in [
            ("maxStreamsOfAKey", self.max_streams_of_a_key, self.max_streams),
            ("maxWaitsOfAKey", self.max_waits_of_a_key, self.max_waits),
        ] {
            if of_a_key > all {
                return Err(format!(
                    "{name}: {of_a_key} is over {all}, which all keys have together"
                ));
            }
        }
        Ok(())
    }
}

fn whole(name: &str, value: &Json, range: RangeInclusive<u64>) -> Result<u64, String> {
    let (least, most) = (range.start(), range.end());
    let number = value.as_u64().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("{name}: {value} is not a whole number from {least} to {most}"))
}

fn environments(
    name: &str,
    value: &Json,
) -> Result<Vec<(flagforge_flags::keys::OrgKey, flagforge_flags::keys::EnvKey)>, String> {
    let fault = || format!("{name}: {value} is not a list like [\"demo/prod\"]");
    let listed = value.as_array().ok_or_else(fault)?;
    if listed.len() > MAX_BEGIN_WITH {
        return Err(format!("{name}: {} environments are over {MAX_BEGIN_WITH}", listed.len()));
    }
    let place = |listed: &Json| {
        let text = listed.as_str().ok_or_else(fault)?;
        settings::place(text).map_err(|why| format!("{name}: {why}"))
    };
    listed.iter().map(place).collect()
}

fn filter(name: &str, value: &Json) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| format!("{name}: {value} is not text"))?;
    if text.len() > MAX_LOG_BYTES {
        return Err(format!("{name}: {} bytes are over {MAX_LOG_BYTES}", text.len()));
    }
    EnvFilter::try_new(text).map_err(|error| format!("{name}: {error}"))?;
    Ok(text.to_owned())
}

fn unknown(name: &str) -> String {
    match AT_THE_START.iter().find(|(settled, _)| *settled == name) {
        Some((_, variable)) => format!(
            "{name} cannot change while the relay runs: start it anew with another {variable}"
        ),
        None => format!("{name}: there is no such setting"),
    }
}

/// An object's fields in their order, those that are repeated too.
struct Fields(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    fn start() -> Tuning {
        Tuning::of(&Config::new(Vec::new()), "info")
    }

    #[test]
    fn an_empty_file_says_what_held_before_and_each_field_is_its_own() {
        assert_eq!(start().read(b"{}").unwrap(), start());
        let mut other = start().json();
        for (name, value) in other.as_object_mut().unwrap() {
            *value = match (name.as_str(), value.as_u64()) {
                ("beginWith", _) => json!(["demo/prod", "demo/dev"]),
                ("log", _) => json!("warn,flagforge_relay=debug"),
                (_, number) => json!(number.unwrap() - 1),
            };
        }
        let read = start().read(other.to_string().as_bytes()).unwrap();
        assert_eq!(read.json(), other, "every field is read");
        let before = start().json();
        for (name, value) in other.as_object().unwrap() {
            assert_ne!(&before[name], value, "{name}");
        }
    }

    #[test]
    fn each_limit_holds_at_it_and_not_one_past_it() {
        let per_second = u64::from(MAX_PER_SECOND);
        let places = MAX_PLACES as u64;
        let limits = [
            ("pollSeconds", MAX_POLL_SECONDS, json!({})),
            ("requestsPerSecondOfAKey", per_second, json!({})),
            ("requestsPerSecondOfATenant", per_second, json!({})),
            ("maxStreams", places - 1, json!({"maxWaits": 1, "maxWaitsOfAKey": 1})),
            ("maxWaits", places - 1, json!({"maxStreams": 1, "maxStreamsOfAKey": 1})),
            ("maxStreamsOfAKey", 12_000, json!({})),
            ("maxWaitsOfAKey", 12_000, json!({})),
            ("maxStreamsOfStrangers", OTHER_CONNECTIONS as u64, json!({})),
        ];
        for (name, limit, besides) in limits {
            let read = |value: Json| {
                let mut file = besides.clone();
                file[name] = value;
                start().read(file.to_string().as_bytes())
            };
            assert_eq!(read(json!(limit)).unwrap().json()[name], limit, "{name}");
            for wrong in [json!(limit + 1), json!(0), json!(-1), json!(1.5), json!("1")] {
                let fault = read(wrong.clone()).unwrap_err();
                assert!(fault.contains(name), "{name} {wrong}: {fault}");
            }
            let fault = read(json!(limit + 1)).unwrap_err();
            assert!(
                fault.contains(&limit.to_string()) || fault.contains(&places.to_string()),
                "{fault}"
            );
        }
        let environments = |count| json!({"beginWith": vec!["demo/prod"; count]}).to_string();
        assert!(start().read(environments(MAX_BEGIN_WITH).as_bytes()).is_ok());
        let fault = start().read(environments(MAX_BEGIN_WITH + 1).as_bytes()).unwrap_err();
        assert!(fault.contains("beginWith: 1025"), "{fault}");
        let log = |bytes| json!({"log": "a".repeat(bytes)}).to_string();
        assert!(start().read(log(MAX_LOG_BYTES).as_bytes()).is_ok());
        assert!(start().read(log(MAX_LOG_BYTES + 1).as_bytes()).unwrap_err().contains("log: 4097"));
    }

    #[test]
    fn what_is_wrong_is_said_by_name() {
        for (text, why) in [
            (r#"{"maxStreams": 5, "maxStreams": 6}"#, "maxStreams is there twice"),
            (r#"{"maxStream": 5}"#, "maxStream: there is no such setting"),
            (r#"{"listen": "0.0.0.0:80"}"#, "start it anew with another FLAGFORGE_LISTEN"),
            (r#"{"beginWith": ["demo"]}"#, "beginWith: `demo` is not <organization>/<environment>"),
            (r#"{"beginWith": "demo/prod"}"#, "is not a list like"),
            (r#"{"log": "=,="}"#, "log: "),
            (r#"[1]"#, "an object of settings"),
            (r#"{"log": "info""#, "EOF"),
            ("", "EOF"),
        ] {
            let fault = start().read(text.as_bytes()).unwrap_err();
            assert!(fault.contains(why), "{text}: {fault}");
        }
    }
}
