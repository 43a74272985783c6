//! What is tried out reaches the canaries and nobody else, until its instant or until it is taken back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flagforge::loader::{Loader, Refreshed};
use flagforge_embedded::{Embedded, ManualTimer};
use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId, Thumbprint};
use flagforge_flags::time::Timestamp;
use flagforge_flags::{Context, Value, View, evaluate};
use flagforge_platform::ports::{Objects, SystemTimer, Timer as _};
use flagforge_platform::{Caller, handle};
use flagforge_tests::{ObjectsOrigin, Org, World};
use serde_json::{Value as Json, json};

use crate::accepted::chance::Chance;

const FLAGS: [&str; 3] = ["f", "g", "h"];
const STEPS: usize = 60;
const HOUR: Duration = Duration::from_secs(3_600);

struct Scene {
    world: World,
    timer: ManualTimer,
    org: Org,
    objects: Arc<dyn Objects>,
    pins: Vec<Thumbprint>,
}

impl Scene {
    async fn set() -> Self {
        // Before the machine's time, against which readers hold roots, by more than the test goes on.
        let long_ago = SystemTimer.now().as_seconds() - 100 * 3_600;
        let timer = ManualTimer::at(Timestamp::from_seconds(long_ago));
        let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
        let (table, objects) = (hands.table.clone(), hands.objects.clone());
        let trust = hands.ensure_trust().await.unwrap().trust;
        let pins = trust.claims().roots.iter().map(|root| root.thumbprint()).collect();
        let world = World::on(hands, table).await.unwrap();
        let org = world.stack.found("rings").await.unwrap();
        for flag in FLAGS {
            org.boolean_flag(flag).await.unwrap();
        }
        Self { world, timer, org, objects, pins }
    }

    fn path(&self, rest: &str) -> String {
        self.org.path(&format!("environments/prod/{rest}"))
    }

    /// What readers of a scope answer, after publication.
    async fn answers(&self, scope: Scope) -> BTreeMap<&'static str, bool> {
        handle::resign(&self.world.platform).await.unwrap();
        let (org, env) = (OrgKey::new(&self.org.key).unwrap(), EnvKey::new("prod").unwrap());
        let id = ScopeId { org, env, scope };
        let origin = Arc::new(ObjectsOrigin(self.objects.clone()));
        let mut loader = Loader::new(origin, id, self.pins.clone(), None);
        let Ok(Refreshed::Changed(manifest)) = loader.refresh().await else { panic!("no root") };
        let now = self.timer.now();
        let view = View { snapshot: manifest.snapshot(), confirmed: now };
        let context = Context::for_tenant(TenantKey::new("acme").unwrap());
        let is_on =
            |flag| evaluate(view, flag, None, &context, now).value == Some(&Value::Boolean(true));
        FLAGS.into_iter().map(|flag| (flag, is_on(flag))).collect()
    }

    async fn try_out(&self, at: Timestamp, what: &Json) -> flagforge_tests::Answer {
        let body = json!({"at": at, "canary": true, "do": what});
        self.org.api.post(&self.path("schedules"), &body).await.unwrap()
    }
}

#[derive(Default)]
struct Model {
    on: BTreeMap<&'static str, bool>,
    /// The schedule that turns a flag on, and when.
    tried: BTreeMap<&'static str, (String, Timestamp)>,
    killed: bool,
}

impl Model {
    fn answers(&self, canary: bool) -> BTreeMap<&'static str, bool> {
        let is_on = |flag: &&'static str| {
            let on = self.on.get(flag).copied().unwrap_or_default();
            (on || canary && self.tried.contains_key(flag)) && !self.killed
        };
        FLAGS.into_iter().map(|flag| (flag, is_on(&flag))).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_canaries_have_what_is_tried_out_and_a_kill_reaches_all() {
    for seed in 0..2 {
        let (scene, mut chance) = (Scene::set().await, Chance::new(seed));
        let (mut model, mut apart) = (Model::default(), 0);
        for step in 0..STEPS {
            let flag = FLAGS[chance.below(FLAGS.len())];
            let now = scene.timer.now();
            match chance.below(8) {
                0..=2 => {
                    let at = now.plus(HOUR * u32::try_from(1 + chance.below(5)).unwrap());
                    let made = scene.try_out(at, &json!({"enable": {"flag": flag}})).await;
                    if model.tried.contains_key(flag) {
                        assert_eq!(
                            (made.status.as_u16(), &made.body["field"]),
                            (400, &json!("canary"))
                        );
                    } else {
                        let id = made.expect(201).unwrap().body["id"].as_str().unwrap().to_owned();
                        model.tried.insert(flag, (id, at));
                    }
                }
                3 => {
                    if let Some((id, _)) = model.tried.remove(flag) {
                        let path = scene.path(&format!("schedules/{id}"));
                        scene.org.api.delete(&path).await.unwrap().expect(204).unwrap();
                    }
                }
                4 | 5 => {
                    let on = chance.one_in(3);
                    scene.org.flip(flag, on).await.unwrap();
                    model.on.insert(flag, on);
                }
                6 => {
                    model.killed = !model.killed;
                    let kill = scene.path("kills/environment");
                    let done = match model.killed {
                        true => scene.org.api.put(&kill, &json!({"reason": "tried"})).await,
                        false => scene.org.api.delete(&kill).await,
                    };
                    assert!(done.as_ref().unwrap().status.is_success(), "{:?}", done.unwrap().body);
                }
                _ => {
                    let later = now.plus(HOUR);
                    scene.timer.set(later);
                    let clock = Caller::system("scheduler");
                    handle::fire(&scene.world.platform, &clock, later).await.unwrap();
                    let due: Vec<&str> = model
                        .tried
                        .iter()
                        .filter(|(_, (_, at))| *at <= later)
                        .map(|(flag, _)| *flag)
                        .collect();
                    for flag in due {
                        model.tried.remove(flag);
                        model.on.insert(flag, true);
                    }
                }
            }
            let (all, canaries) =
                (scene.answers(Scope::Environment).await, scene.answers(Scope::Canary).await);
            assert_eq!(all, model.answers(false), "seed {seed}, step {step}");
            assert_eq!(canaries, model.answers(true), "seed {seed}, step {step}");
            apart += usize::from(all != canaries);
        }
        assert!(apart > STEPS / 8, "they were the same all the time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_tried_out_says_so() {
    let scene = Scene::set().await;
    let at = scene.timer.now().plus(HOUR);
    for what in [
        json!({"kill": {"flag": "f"}}),
        json!({"setOverride": {"flag": "f", "tenant": "acme", "variant": "on"}}),
        json!({"clearOverride": {"flag": "f", "tenant": "acme"}}),
    ] {
        let refused = scene.try_out(at, &what).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.body["field"]),
            (400, &json!("canary")),
            "{what}: {}",
            refused.body
        );
    }
    assert_eq!(scene.answers(Scope::Canary).await, Model::default().answers(true));
    // What the state has moved away from is not tried out any more, as it will not be made.
    let state = scene.org.api.get(&scene.path("flags/f")).await.unwrap().expect(200).unwrap();
    let tag = state.header("etag").to_owned();
    let body = json!({"at": at, "canary": true, "do": {"enable": {"flag": "f"}}}).to_string();
    let headers = [("if-match", tag.as_str())];
    let path = scene.path("schedules");
    let made = scene.org.api.call(reqwest::Method::POST, &path, &headers, Some(body)).await;
    made.unwrap().expect(201).unwrap();
    assert!(scene.answers(Scope::Canary).await["f"]);
    for off in ["on", "off"] {
        let patch = json!({"off": {"variant": off}});
        let patched = scene.org.api.patch(&scene.path("flags/f"), &patch).await.unwrap();
        assert!(patched.status.is_success(), "{}", patched.body);
    }
    assert!(!scene.answers(Scope::Canary).await["f"]);
}
