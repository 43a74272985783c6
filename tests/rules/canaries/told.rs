//! What an organization is told unasked: events at its endpoint, streams of the data plane, and the dead letters of an
//! endpoint where nobody answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flagforge_embedded::ManualTimer;
use flagforge_flags::keys::OrgKey;
use flagforge_platform::ports::OneTable;
use flagforge_platform::{HttpOutbound, Platform, handle};
use flagforge_tests::{Endpoint, Org, World, eventually};
use serde_json::json;
use tokio::task::JoinSet;

use super::{check, own, whole};

/// Longer than all waits between tries together.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3_600);

#[derive(Debug)]
pub(super) struct Told {
    endpoint: Endpoint,
    /// The endpoint where nobody answers.
    silent: String,
    stream: Arc<Mutex<Vec<u8>>>,
    _reading: JoinSet<()>,
}

impl Told {
    /// Begins to listen, before there is anything to hear.
    pub(super) async fn listen(world: &World, org: &Org, at: usize, key: &str) -> Self {
        let endpoint = Endpoint::start().await.unwrap();
        let silent = format!("http://127.0.0.1:9/{}", own(at, "hook"));
        let mut ids = Vec::new();
        for url in [&endpoint.url, &silent] {
            let made = org.api.post(&org.path("webhooks"), &json!({ "url": url })).await.unwrap();
            let made = made.expect(201).unwrap().body;
            ids.push(made["webhook"]["id"].as_str().unwrap().to_owned());
        }
        let url = format!("{}/data/v1/{}/prod/stream", world.stack.url, org.key);
        let (client, key) = (reqwest::Client::new(), key.to_owned());
        let stream = Arc::<Mutex<Vec<u8>>>::default();
        let (to, mut reading) = (stream.clone(), JoinSet::new());
        reading.spawn(async move {
            // The data plane learns of the key a moment after it was made.
            let opened = async || {
                let answer = client.get(&url).bearer_auth(&key).send().await?;
                anyhow::Ok(answer.status().is_success().then_some(answer))
            };
            let mut answer = eventually(Duration::from_secs(30), opened).await.unwrap();
            while let Ok(Some(bytes)) = answer.chunk().await {
                to.lock().unwrap().extend_from_slice(&bytes);
            }
        });
        Self { endpoint, silent: ids.remove(1), stream, _reading: reading }
    }

    /// Searches it all. Answers how many canaries were seen.
    pub(super) async fn search(&self, world: &World, org: &Org, at: usize) -> usize {
        // The newest flip, so that all before it has been told.
        org.flip("f", false).await.unwrap();
        let last = async || anyhow::Ok(self.heard_of("flag.killed").then_some(()));
        eventually(Duration::from_secs(30), last).await.unwrap();
        let mut seen = 0;
        let heard = self.endpoint.heard();
        assert!(heard.len() > 20, "only {} events were heard", heard.len());
        for delivery in heard {
            let event = String::from_utf8(delivery.body.to_vec()).unwrap();
            seen += check(&format!("{} {event}", delivery.id), at, None, "an event");
            for value in ["mark", "list", "name", "value-a", "value-b", "why", "rule"] {
                assert!(!event.contains(&format!("-{value}")), "an event tells a value: {event}");
            }
        }
        let stream = String::from_utf8(self.stream.lock().unwrap().clone()).unwrap();
        assert!(stream.contains("event: root") || stream.contains("event:root"), "{stream}");
        check(&stream, at, None, "a stream");
        seen + self.dead_letters(world, org, at).await
    }

    fn heard_of(&self, kind: &str) -> bool {
        self.endpoint.heard().iter().any(|heard| heard.told().unwrap().starts_with(kind))
    }

    /// What is given up by a platform on the same hands that finds itself in another month at each try.
    async fn dead_letters(&self, world: &World, org: &Org, at: usize) -> usize {
        let timer = ManualTimer::at(world.hands.timer.now());
        let hands = &world.hands;
        let late = Platform::new(
            Arc::new(OneTable(hands.table.clone())),
            hands.objects.clone(),
            hands.signer.clone(),
            hands.bus.clone(),
            Arc::new(timer.clone()),
            None,
        );
        let (outbound, key) = (HttpOutbound::with_loopback(), OrgKey::new(&org.key).unwrap());
        let path = org.path(&format!("webhooks/{}/dead", self.silent));
        for _ in 0..50 {
            timer.advance(MONTH);
            handle::webhooks(&late, &outbound, &key).await.unwrap();
            let dead = org.api.get(&path).await.unwrap().expect(200).unwrap();
            if dead.body["items"].as_array().is_some_and(|items| !items.is_empty()) {
                let name = format!("{}/webhooks/{}.json", org.key, self.silent);
                let state = hands.objects.get(&name, None).await.unwrap();
                check(&format!("{state:?}"), at, None, "how far an endpoint was told");
                return check(&whole(&dead), at, None, "a dead letter");
            }
        }
        panic!("nothing was given up");
    }
}
