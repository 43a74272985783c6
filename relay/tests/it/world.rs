//! A relay over a folder, and calls to it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use flagforge::origin::FolderOrigin;
use flagforge_flags::KeyKind;
use flagforge_relay::{Config, Relay, app};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use crate::kit::{Publisher, directory, edited, flag};

/// What a call was answered.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) struct World {
    pub(crate) publisher: Publisher,
    pub(crate) relay: Arc<Relay>,
    pub(crate) app: Router,
    pub(crate) server: String,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    /// `demo/prod` with a server's key and flags of each type, on for acme.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same with more keys.
    pub(crate) fn with(keys: impl FnOnce(&mut Publisher)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::new(folder.path());
        let server = publisher.key(KeyKind::Server, "k1", |_| {});
        keys(&mut publisher);
        publish(&mut publisher, "dark");
        let relay = relay(&publisher, |_| {});
        let app = app(Arc::clone(&relay));
        Self { publisher, relay, app, server, folder }
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        call(&self.app, method, path, headers, body).await
    }

    /// OFREP as the server's key, in prod, for a tenant.
    pub(crate) async fn evaluate(&self, flag: &str, tenant: &str, context: Json) -> Reply {
        let path = format!("/ofrep/v1/evaluate/flags/{flag}");
        let bearer = format!("Bearer {}", self.server);
        let headers = [
            ("authorization", bearer.as_str()),
            ("flagforge-environment", "prod"),
            ("flagforge-tenant", tenant),
        ];
        self.call("POST", &path, &headers, json!({"context": context}).to_string()).await
    }

    pub(crate) async fn get(&self, rest: &str, key: &str) -> Reply {
        let path = format!("/data/v1/demo/prod/{rest}");
        self.call("GET", &path, &[("x-api-key", key)], Body::empty()).await
    }
}

pub(crate) async fn call(
    app: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.into()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap().to_vec();
    Reply { status: parts.status, headers: parts.headers, bytes }
}

/// A relay over the publisher's folder that polls only when told.
pub(crate) fn relay(publisher: &Publisher, edit: impl FnOnce(&mut Config)) -> Arc<Relay> {
    let mut config = Config::new(publisher.pinned());
    config.poll = Duration::from_secs(3_600);
    edit(&mut config);
    Relay::new(Arc::new(FolderOrigin::new(&publisher.folder)), config)
}

pub(crate) fn publish(publisher: &mut Publisher, theme: &str) {
    let by_user = edited("by-user", "boolean", true, false, |wire| {
        wire["state"]["fallthrough"] = json!({"split": {
            "unit": "user.key", "salt": "s", "hash": "xxh3", "buckets": 100,
            "ranges": [{"from": 0, "until": 100, "variant": "on"}],
        }});
    });
    let by_device = edited("by-device", "boolean", true, false, |wire| {
        wire["state"]["rules"] = json!([{
            "id": "phones",
            "when": {"test": {"attribute": "device.kind", "operator": "equals", "values": ["phone"]}},
            "serve": {"variant": "on"},
        }]);
    });
    let own = edited("own-default", "boolean", true, false, |wire| {
        wire["state"]["fallthrough"] = json!("callerDefault");
    });
    let visible =
        edited("visible", "boolean", true, false, |wire| wire["clientVisible"] = json!(true));
    let broken = edited("broken", "boolean", true, false, |wire| {
        wire["state"]["fallthrough"] = json!({"variant": "no-such-variant"});
    });
    let flags = [
        flag("new-dashboard", "boolean", true, false),
        flag("theme", "string", theme, "light"),
        flag("seats", "integer", 100, 1),
        flag("rate", "number", 1.0, 0.25),
        flag("limits", "object", json!({"rows": 7}), json!({})),
        by_user,
        by_device,
        own,
        visible,
        broken,
    ];
    let on = ["new-dashboard", "theme", "seats", "rate", "limits", "visible"];
    publisher.publish(&flags, &[directory("acme", &on), directory("globex", &[])]);
}
