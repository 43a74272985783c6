//! Hooks around answers, and what they tell.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use flagforge::{Client, Connect, DefaultValue, Details, Flag, FlagError, Hook, Question};
use flagforge::{Reason, Refused, Traced, Value};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span;

use crate::kit::{Publisher, boolean, directory, flag};

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);
const THEME: Flag<&str> = Flag::new("theme", "plain");
const MISSING: Flag<i64> = Flag::new("missing", 7);

type Log = Arc<Mutex<Vec<String>>>;

/// Writes down its stages, and refuses where it is told to.
struct Noted {
    name: &'static str,
    log: Log,
    refuse: Option<&'static str>,
}

impl Noted {
    fn note(&self, stage: &str, question: &Question<'_>, rest: impl Debug) -> Result<(), Refused> {
        let who = (question.tenant().map(ToString::to_string), question.user());
        let text = format!("{} {stage} {} {who:?} {rest:?}", self.name, question.flag());
        self.log.lock().unwrap().push(text);
        if self.refuse == Some(stage) { Err(Refused("not today")) } else { Ok(()) }
    }
}

impl Hook for Noted {
    fn before(&self, question: &Question<'_>) -> Result<(), Refused> {
        self.note("before", question, question.default())
    }

    fn after(
        &self,
        q: &Question<'_>,
        details: &Details<'_, Option<&Value>>,
    ) -> Result<(), Refused> {
        self.note("after", q, details.value)
    }

    fn error(&self, question: &Question<'_>, error: &FlagError<'_>) {
        self.note("error", question, error.code()).unwrap();
    }

    fn finally(&self, question: &Question<'_>, details: &Details<'_, Option<&Value>>) {
        self.note("finally", question, (details.variant, details.reason)).unwrap();
    }
}

fn published() -> (tempfile::TempDir, Connect) {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    let flags = [boolean("new-dashboard"), flag("theme", "string", "dark", "light")];
    publisher.publish(&flags, &[directory("acme", &["new-dashboard"])]);
    (folder, Client::connect(&publisher.connection()))
}

/// A client with two hooks, of which the second refuses at a stage, and their log.
async fn with_two(refuse: Option<&'static str>) -> (tempfile::TempDir, Client, Log) {
    let (folder, connect) = published();
    let log = Log::default();
    let hook = |name, refuse| Noted { name, log: Arc::clone(&log), refuse };
    let client = connect.hook(hook("A", None)).hook(hook("B", refuse)).await.unwrap();
    (folder, client, log)
}

fn taken(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.lock().unwrap())
}

#[tokio::test]
async fn stages_come_in_openfeatures_order() {
    let (_folder, client, log) = with_two(None).await;
    let acme = client.tenant("acme").unwrap();
    let flags = acme.user("u-1").flags();
    assert!(flags.get(&DASHBOARD));
    let who = "new-dashboard (Some(\"acme\"), Some(\"u-1\"))";
    let expected = [
        format!("A before {who} Boolean(false)"),
        format!("B before {who} Boolean(false)"),
        format!("B after {who} Some(Boolean(true))"),
        format!("A after {who} Some(Boolean(true))"),
        format!("B finally {who} (Some(\"on\"), TargetingMatch)"),
        format!("A finally {who} (Some(\"on\"), TargetingMatch)"),
    ];
    assert_eq!(taken(&log), expected);

    let details = flags.details(&MISSING);
    assert_eq!((details.value, details.reason), (7, Reason::Error));
    let stages: Vec<String> = taken(&log).iter().map(|line| line[..8].to_owned()).collect();
    assert_eq!(stages, ["A before", "B before", "B error ", "A error ", "B finall", "A finall"]);

    assert_eq!(flags.all().count(), 2);
    assert!(flags.explain("theme").is_some());
    assert!(taken(&log).is_empty(), "nobody acts on these");
}

#[tokio::test]
async fn a_refusal_is_the_callers_default() {
    for (stage, stages) in [
        ("before", vec!["A before", "B before", "B error ", "A error ", "B finall", "A finall"]),
        (
            "after",
            vec![
                "A before", "B before", "B after ", "B error ", "A error ", "B finall", "A finall",
            ],
        ),
    ] {
        let (_folder, client, log) = with_two(Some(stage)).await;
        let acme = client.tenant("acme").unwrap();
        let flags = acme.flags();
        let details = flags.details(&DASHBOARD);
        assert!(!details.value && details.variant.is_none(), "{stage}");
        assert_eq!(details.error.unwrap().code(), "GENERAL");
        assert_eq!(details.error.unwrap().to_string(), "a hook refused: not today");
        let seen: Vec<String> = taken(&log).iter().map(|line| line[..8].to_owned()).collect();
        assert_eq!(seen, stages);
        assert_eq!(flags.get(&THEME), "plain");
    }
}

#[tokio::test]
async fn a_question_says_what_was_asked() {
    struct Asked;
    impl Hook for Asked {
        fn before(&self, question: &Question<'_>) -> Result<(), Refused> {
            assert_eq!(question.default(), DefaultValue::String("plain"));
            assert_eq!(serde_json::to_value(question.value_type()).unwrap(), json!("string"));
            assert_eq!(question.scope().to_string(), "demo/prod/environment");
            assert_eq!(question.basis().revision.unwrap().to_string(), "1.1");
            assert!(question.tenant().is_none());
            Err(Refused("seen"))
        }
    }
    let (_folder, connect) = published();
    let client = connect.hook(Asked).await.unwrap();
    assert_eq!(
        client.untenanted("a test").flags().details(&THEME).error.unwrap().code(),
        "GENERAL"
    );
}

/// A `tracing` subscriber that keeps the fields of one target's events.
#[derive(Clone)]
pub(crate) struct Kept {
    target: &'static str,
    events: Arc<Mutex<Vec<BTreeMap<&'static str, String>>>>,
}

impl Kept {
    pub(crate) fn of(target: &'static str) -> Self {
        Self { target, events: Arc::default() }
    }

    pub(crate) fn events(&self) -> Vec<BTreeMap<&'static str, String>> {
        self.events.lock().unwrap().clone()
    }
}

struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl tracing::Subscriber for Kept {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == self.target
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(BTreeMap::from([("", event.metadata().name().to_owned())]));
        event.record(&mut fields);
        self.events.lock().unwrap().push(fields.0);
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn tracing_is_told_in_opentelemetrys_names() {
    let (_folder, connect) = published();
    let client = connect.hook(Traced).await.unwrap();
    let kept = Kept::of("feature_flag.evaluation");
    tracing::subscriber::with_default(kept.clone(), || {
        let acme = client.tenant("acme").unwrap();
        let flags = acme.user("u-1").flags();
        assert!(flags.get(&DASHBOARD));
        assert_eq!(flags.get(&MISSING), 7);
    });
    let json = serde_json::to_value(kept.events()).unwrap();
    let common = json!({
        "": "feature_flag.evaluation", "feature_flag.provider.name": "\"flagforge\"",
        "feature_flag.set.id": "demo/prod", "feature_flag.context.id": "\"u-1\"",
        "flagforge.tenant": "\"acme\"",
    });
    let with = |more: serde_json::Value| {
        let mut all = common.as_object().unwrap().clone();
        all.extend(more.as_object().unwrap().clone());
        serde_json::Value::from(all)
    };
    let answered = with(json!({
        "feature_flag.key": "\"new-dashboard\"", "feature_flag.result.variant": "\"on\"",
        "feature_flag.result.reason": "\"targeting_match\"", "feature_flag.version": "3",
    }));
    let failed = with(json!({
        "feature_flag.key": "\"missing\"", "feature_flag.result.reason": "\"error\"",
        "error.type": "\"flag_not_found\"", "feature_flag.error.message": "there is no such flag",
    }));
    assert_eq!(json, json!([answered, failed]));
}
