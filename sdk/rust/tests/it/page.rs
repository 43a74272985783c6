//! Answers for a page that the server renders.

use flagforge::{Client, Page, Snapshot};
use flagforge_flags::wire::FlagWire;
use serde_json::{Value as Json, json};

use crate::kit::{directory, edited};

fn visible(key: &str, kind: &str, on: impl Into<Json>, off: impl Into<Json>) -> FlagWire {
    edited(key, kind, on, off, |wire| wire["clientVisible"] = json!(true))
}

fn client(flags: Vec<FlagWire>) -> Client {
    let scope = json!({"org": "demo", "env": "test", "scope": "environment"});
    let scope = serde_json::from_value(scope).unwrap();
    let tenants = [directory("acme", &["theme", "secret", "limits"]), directory("globex", &[])];
    Client::fixed(Snapshot::from_parts(scope, "7.8".parse().unwrap(), flags, tenants))
}

fn page(client: &Client, tenant: &str) -> Page {
    client.tenant(tenant).unwrap().user("u-1").flags().page()
}

#[test]
fn only_what_clients_may_see_of_this_tenant_is_there() {
    let own = edited("own", "boolean", true, false, |wire| {
        wire["clientVisible"] = json!(true);
        wire["state"]["fallthrough"] = json!("callerDefault");
    });
    let broken = edited("broken", "boolean", true, false, |wire| {
        wire["clientVisible"] = json!(true);
        wire["state"]["fallthrough"] = json!({"variant": "gone"});
    });
    let client = client(vec![
        visible("theme", "string", "dark", "light"),
        edited("secret", "string", "merger-with-initech", "no", |_| {}),
        visible("limits", "object", json!({"rows": 7}), json!({})),
        own,
        broken,
    ]);
    let parsed: Json = serde_json::from_str(page(&client, "acme").json()).unwrap();
    let expected = json!({"revision": "7.8", "flags": [
        {"key": "limits", "value": {"rows": 7}, "reason": "TARGETING_MATCH", "variant": "on"},
        {"key": "own", "reason": "DEFAULT"},
        {"key": "theme", "value": "dark", "reason": "TARGETING_MATCH", "variant": "on"},
    ]});
    assert_eq!(parsed, expected);
    let globex = page(&client, "globex").to_string();
    assert!(globex.contains("light") && !globex.contains("dark"), "{globex}");
    assert_eq!(page(&client, "acme"), page(&client, "acme"));
}

#[test]
fn whatever_a_value_is_it_stays_inside_of_its_script() {
    let hostile = "</script><script>alert(1)</script><!-- &amp; \u{2028}\u{2029} ]]> \\ \"";
    let key = "</ScRiPt-not-a-key"; // a slash is no part of a key
    assert!(flagforge_flags::keys::FlagKey::new(key).is_err());
    let client = client(vec![
        visible("theme", "string", hostile, "light"),
        visible("limits", "object", json!({hostile: [hostile]}), json!({})),
        visible("<b>&", "boolean", true, false),
    ]);
    let page = page(&client, "acme");
    for bad in ["<", ">", "&", "\u{2028}", "\u{2029}"] {
        assert!(!page.json().contains(bad), "{bad:?} in {page}");
    }
    let parsed: Json = serde_json::from_str(page.json()).unwrap();
    let value = |key: &str| {
        let flags = parsed["flags"].as_array().unwrap();
        flags.iter().find(|flag| flag["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(value("theme"), hostile);
    assert_eq!(value("limits"), json!({hostile: [hostile]}));
    assert_eq!(value("<b>&"), false);
}

#[test]
fn its_headers_keep_it_from_every_cache() {
    let headers = std::collections::BTreeMap::from(Page::HEADERS);
    assert_eq!(headers["cache-control"], "private, no-store");
    assert!(headers["vary"].contains("FlagForge-Tenant") && headers["vary"].contains("Cookie"));
}
