//! Every vector under `tests/vectors/evaluate`, through one door: compiled from a chunk, evaluated, and
//! explained. The vectors are the contract with every other SDK; a failing one prints its file and name.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed, and says with which file"
)]

use std::collections::BTreeMap;
use std::path::Path;

use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{self, Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::ValueType;
use flagforge_flags::{Context, EvalError, Revision, Snapshot, Value, View, evaluate, explain};
use serde::Deserialize;
use serde_json::{Value as Json, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    /// What the file is about.
    #[serde(rename = "description")]
    _description: String,
    config: Config,
    cases: Vec<Case>,
}

/// As a manifest's chunks carry it: any JSON, for malformed flags are vectors too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    flags: BTreeMap<String, Json>,
    #[serde(default)]
    tenants: BTreeMap<String, Json>,
    #[serde(default)]
    segments: BTreeMap<String, Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    flag: String,
    /// The type asked for; absent takes any.
    #[serde(default)]
    want: Option<ValueType>,
    /// Absent: an untenanted context.
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    user: Option<String>,
    /// Attributes of the user.
    #[serde(default)]
    attributes: serde_json::Map<String, Json>,
    /// Further entities: kind → attributes, the member `key` being the entity's key.
    #[serde(default)]
    entities: BTreeMap<String, serde_json::Map<String, Json>>,
    #[serde(default)]
    now: Option<Timestamp>,
    /// When the configuration was last confirmed; absent: now.
    #[serde(default)]
    confirmed: Option<Timestamp>,
    expect: Expect,
}

/// Absent members are absent answers: no value means the caller's default.
#[derive(Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Expect {
    #[serde(default)]
    value: Option<Json>,
    #[serde(default)]
    variant: Option<String>,
    reason: String,
    fine_reason: String,
    #[serde(default)]
    rule: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

#[test]
fn vectors_are_answered_as_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/evaluate");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut cases, mut failures) = (0, Vec::new());
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let vectors: Vectors =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let snapshot = loaded(&vectors.config);
        for case in &vectors.cases {
            cases += 1;
            if let Err(difference) = check(&snapshot, case) {
                failures.push(format!("{name}: {}\n{difference}", case.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(cases >= 500, "only {cases} cases were found");
}

fn check(snapshot: &Snapshot, case: &Case) -> Result<(), String> {
    let context = context(case);
    let now = case.now.unwrap_or_default();
    let view = View { snapshot, confirmed: case.confirmed.unwrap_or(now) };
    let answer = evaluate(view, &case.flag, case.want, &context, now);
    let evaluated = Expect {
        value: answer.value.map(Value::to_json),
        variant: answer.variant.map(str::to_owned),
        reason: answer.reason.as_str().into(),
        fine_reason: answer.fine.as_str().into(),
        rule: answer.rule.map(str::to_owned),
        error: answer.error.as_ref().map(|error| EvalError::code(error).into()),
    };
    let explained = explain(view, &case.flag, &context, now);
    let trace = explained.to_string();
    if evaluated != case.expect {
        return Err(format!("expected {:?}\nanswered {evaluated:?}\n{trace}", case.expect));
    }
    // Explaining asks for no type, so a mismatch of types is not its to find.
    if evaluated.error.as_deref() == Some("TYPE_MISMATCH") {
        return Ok(());
    }
    let explained = Expect {
        value: explained.value,
        variant: explained.variant,
        reason: explained.reason.into(),
        fine_reason: explained.fine_reason.into(),
        rule: explained.rule,
        error: explained.error_code.map(str::to_owned),
    };
    if explained == evaluated {
        Ok(())
    } else {
        Err(format!("evaluated {evaluated:?}\nexplained {explained:?}\n{trace}"))
    }
}

fn context(case: &Case) -> Context<'_> {
    let mut context = match &case.tenant {
        Some(tenant) => Context::for_tenant(TenantKey::new(tenant).unwrap()),
        None => Context::untenanted(),
    };
    if let Some(user) = &case.user {
        context = context.user(user.as_str());
    }
    for (name, value) in &case.attributes {
        context = context.attr(name.as_str(), value.clone());
    }
    for (kind, attributes) in &case.entities {
        for (name, value) in attributes {
            context = match value.as_str() {
                Some(key) if name == "key" => context.entity(kind.as_str(), key),
                _ => context.entity_attr(kind.as_str(), name.as_str(), value.clone()),
            };
        }
    }
    context
}

/// The configuration as a reader gets it: through signed root and chunks.
fn loaded(config: &Config) -> Snapshot {
    use manifest::{ChunkKind, ChunkRef, Digest, Encoding};
    let chunks = [
        (ChunkKind::Flags, json!({"flags": config.flags}).to_string()),
        (ChunkKind::Tenants, json!({"tenants": config.tenants}).to_string()),
        (ChunkKind::Segments, json!({"segments": config.segments}).to_string()),
    ];
    let listed = chunks.iter().map(|(kind, body)| ChunkRef {
        kind: *kind,
        shard: 0,
        sha256: Digest::of(body.as_bytes()),
        bytes: body.len() as u64,
        encoding: Encoding::Identity,
    });
    let root = signed_root(listed.collect());
    let mut chunk = |wanted: &Digest| {
        chunks.iter().map(|(_, body)| body).find(|body| Digest::of(body.as_bytes()) == *wanted)
    };
    manifest::load(root, &mut chunk, None).unwrap()
}

fn signed_root(chunks: Vec<manifest::ChunkRef>) -> manifest::Root {
    let key = |seed| manifest::SecretKey::from_bytes(&[seed; 32]).unwrap();
    let (root, online, signing) = (key(1), key(2), key(3));
    let (issued, expires) = (Timestamp::from_seconds(0), Timestamp::from_seconds(1));
    let trust = manifest::TrustClaims {
        format: 1,
        number: 1,
        epoch: 1,
        issued,
        expires,
        threshold: 1,
        roots: vec![root.public()],
        online: vec![online.public()],
    };
    let trust = manifest::sign_trust(&trust, &[&root]).unwrap();
    let trust = manifest::verify_trust(trust.as_bytes(), &[root.public().thumbprint()]).unwrap();
    let certified = manifest::KeyClaims { key: signing.public(), issued, expires };
    let message = manifest::certificate_message(&certified, &online.public().thumbprint()).unwrap();
    let certificate = manifest::certificate(&message, &online.sign(message.as_bytes()));
    let scope = ScopeId {
        org: OrgKey::new("vectors").unwrap(),
        env: EnvKey::new("test").unwrap(),
        scope: Scope::Environment,
    };
    let claims = manifest::RootClaims {
        format: 1,
        org: scope.org.clone(),
        env: scope.env.clone(),
        scope: scope.scope.clone(),
        epoch: 1,
        revision: Revision { org: 1, env: 1 },
        serial: 1,
        issued,
        expires,
        committed: issued,
        flag_shards: 1,
        tenant_shards: 1,
        segment_shards: 1,
        held: Vec::new(),
        withheld: Vec::new(),
        restored: None,
        counts: None,
        chunks,
        indexes: Vec::new(),
    };
    let text = manifest::sign_root(&claims, &certificate, &signing).unwrap();
    manifest::verify_root(text.as_bytes(), &trust, &scope, None, issued).unwrap()
}
