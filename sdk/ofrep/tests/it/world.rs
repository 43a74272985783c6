//! A relay on a socket, and a note of what was asked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use flagforge::origin::FolderOrigin;
use flagforge_flags::KeyKind;
use flagforge_flags::wire::FlagWire;
use flagforge_ofrep::Remote;
use flagforge_relay::{Config, Relay, app};
use serde_json::json;

use crate::kit::{Publisher, directory, edited, flag};

/// What was asked: the path with its query, and the status that it was answered.
pub(crate) type Asked = Arc<Mutex<Vec<(String, u16)>>>;

pub(crate) struct World {
    pub(crate) publisher: Publisher,
    pub(crate) relay: Arc<Relay>,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    pub(crate) asked: Asked,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(edit: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::new(folder.path());
        let key = publisher.key(KeyKind::Server, "k1", |_| {});
        publisher
            .publish(&flags(true), &[directory("acme", &[]), directory("Größte GmbH", &["theme"])]);
        let relay = relay(&publisher, folder.path(), edit);
        let (address, asked) = serve(app(Arc::clone(&relay))).await;
        Self { publisher, relay, address, key, asked, _folder: folder }
    }

    pub(crate) fn remote(&self) -> Remote {
        self.remote_of(&self.key)
    }

    pub(crate) fn remote_of(&self, key: &str) -> Remote {
        let remote = Remote::new(&format!("http://{}", self.address), key).unwrap();
        remote.environment("prod").unwrap()
    }

    /// Turns `dark` off, and tells the relay as an announcement would.
    pub(crate) async fn kill(&mut self) {
        self.publisher.publish(&flags(false), &[directory("acme", &[])]);
        self.relay.notify(&self.publisher.org, &self.publisher.env).await;
    }

    pub(crate) fn asked(&self, path: &str) -> Vec<u16> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|(asked, _)| asked.starts_with(path))
            .map(|(_, status)| *status)
            .collect()
    }
}

fn relay(publisher: &Publisher, folder: &Path, edit: impl FnOnce(&mut Config)) -> Arc<Relay> {
    let mut config = Config::new(publisher.pinned());
    config.poll = Duration::from_secs(3_600);
    edit(&mut config);
    Relay::new(Arc::new(FolderOrigin::new(folder)), config)
}

/// Serves a router on a free port, and notes what is asked of it.
pub(crate) async fn serve(router: Router) -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let notes = Arc::clone(&asked);
    let noting = from_fn(move |request: Request, next: Next| {
        let notes = Arc::clone(&notes);
        async move {
            let path = request.uri().to_string();
            let response: Response = next.run(request).await;
            notes.lock().unwrap().push((path, response.status().as_u16()));
            response
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router.layer(noting)).await });
    (address, asked)
}

fn flags(dark: bool) -> Vec<FlagWire> {
    let by_user = edited("by user", "boolean", true, false, |wire| {
        wire["state"]["rules"] = json!([{
            "id": "phones",
            "when": {"all": [
                {"test": {"attribute": "user.country", "operator": "equals", "values": ["DE"]}},
                {"test": {"attribute": "device.key", "operator": "equals", "values": ["d-1"]}},
            ]},
            "serve": {"variant": "on"},
        }]);
    });
    let split = edited("split", "boolean", true, false, |wire| {
        wire["state"]["fallthrough"] = json!({"split": {
            "unit": "user.key", "salt": "s", "hash": "xxh3", "buckets": 100,
            "ranges": [{"from": 0, "until": 100, "variant": "on"}],
        }});
    });
    let own = edited("own", "boolean", true, false, |wire| {
        wire["state"]["fallthrough"] = json!("callerDefault");
    });
    let broken = edited("broken", "boolean", true, false, |wire| {
        wire["state"]["fallthrough"] = json!({"variant": "no-such-variant"});
    });
    let on = |key: &str, kind: &str, value: serde_json::Value, other: serde_json::Value| {
        edited(key, kind, value, other, |wire| {
            wire["state"]["fallthrough"] = json!({"variant": "on"})
        })
    };
    let dark = edited("dark", "boolean", true, false, |wire| {
        wire["state"]["enabled"] = json!(dark);
        wire["state"]["fallthrough"] = json!({"variant": "on"});
    });
    vec![
        dark,
        by_user,
        split,
        own,
        broken,
        flag("theme", "string", "größer", "light"),
        on("rate", "number", json!(1.0), json!(0.25)),
        on("seats", "integer", json!(i64::MAX), json!(1)),
        on("limits", "object", json!({"rows": [7, 2.5]}), json!({})),
        on("ä ö&+;=@:🚩", "boolean", json!(true), json!(false)),
        on("...", "boolean", json!(true), json!(false)),
    ]
}
