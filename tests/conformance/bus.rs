//! Buses: what can be published. What listeners hear is for each composition's own tests.

use std::sync::Arc;

use flagforge_flags::keys::{EnvKey, MAX_SLUG_BYTES, OrgKey};
use flagforge_platform::events::Event;
use flagforge_platform::ports::{Bus, Notice};

pub(crate) async fn every_notice_is_taken_also_with_the_longest_keys(bus: Arc<dyn Bus>) {
    let longest = "a".repeat(MAX_SLUG_BYTES);
    let (org, env) = (OrgKey::new(&longest).unwrap(), EnvKey::new(&longest).unwrap());
    let change = "set-enabled".to_owned();
    let number = u64::MAX;
    let revision = format!("{number}.{number}");
    for notice in [
        Notice::Changed { org: org.clone(), env: None, number, change: change.clone() },
        Notice::Changed { org: org.clone(), env: Some(env.clone()), number, change },
        Notice::Published { org, env, revision },
    ] {
        bus.publish(&notice).await.unwrap();
        // At least once: the same again is no error.
        bus.publish(&notice).await.unwrap();
    }
}

pub(crate) async fn events_are_taken_however_many_and_long_their_keys(bus: Arc<dyn Bus>) {
    let longest = "a".repeat(MAX_SLUG_BYTES);
    let event = |number: u32| -> Event {
        let text = format!(
            r#"{{"specversion":"1.0","id":"{longest}/{longest}:{number}:0","type":"tenant.override-set","time":
            "2026-11-21T00:00:00Z","source":"/orgs/{longest}/environments/{longest}","subject":"{longest}/{longest}",
            "datacontenttype":"application/json","data":{{"organization":"{longest}","environment":"{longest}","flag":
            "{longest}","tenant":"{longest}","group":"{longest}","segment":"{longest}","number":{number},"reason":"{}"}}}}"#,
            "\u{1f6a9}".repeat(256)
        );
        serde_json::from_str(&text).unwrap()
    };
    for count in [0, 1, 10, 11, 50] {
        let events: Vec<Event> = (0..count).map(event).collect();
        bus.tell(&events).await.unwrap();
    }
}
