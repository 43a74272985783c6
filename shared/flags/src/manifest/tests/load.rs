//! Loading: digests and sizes, reuse, and what a bad entry spoils.

use std::cell::RefCell;

use serde_json::{Value as Json, json};

use super::*;
use crate::{Context, View, evaluate};

fn tenants() -> Vec<(TenantKey, TenantWire)> {
    let wire = |plan: &str| TenantWire {
        uid: format!("uid-{plan}"),
        attributes: json!({"plan": plan}).as_object().unwrap().clone(),
        ..TenantWire::default()
    };
    ["acme", "globex", "initech"].map(|key| (TenantKey::new(key).unwrap(), wire(key))).into()
}

fn flags(count: usize) -> Vec<FlagWire> {
    (0..count).map(|i| flag(&format!("flag-{i}"))).collect()
}

#[test]
fn what_was_written_is_read() {
    let mut store = Store::default();
    for shards in [1, 8] {
        let claims = store.publish(shards, &flags(100), &tenants());
        let snapshot = store.load(&claims, None).unwrap();
        assert_eq!(snapshot.flags().filter(|(_, flag)| flag.is_ok()).count(), 100);
        assert_eq!(snapshot.tenants().count(), 3);
        for flag in flags(100) {
            let found = snapshot.flag(flag.key.as_str()).unwrap().unwrap();
            assert_eq!((found.key(), found.version()), (&flag.key, 7));
        }
        assert_eq!(snapshot.tenant("acme").unwrap().unwrap().uid(), "uid-acme");
        assert!(snapshot.flag("flag-100").is_none() && snapshot.tenant("nobody").is_none());
        assert_eq!(snapshot.revision().to_string(), "17.41");
        assert_eq!(snapshot.scope(), &scope(Scope::Environment));
        assert!(!snapshot.expired(at(0)) && snapshot.expired(at(24 * HOUR)));
    }
}

#[test]
fn the_same_content_is_the_same_bytes_in_any_order() {
    let (forward, mut backward) = (flags(20), flags(20));
    backward.reverse();
    assert_eq!(encode_flags(forward.iter()), encode_flags(backward.iter()));
    assert_eq!(encode_flags(std::iter::empty()), br#"{"flags":{}}"#);
    assert_eq!(encode_tenants(std::iter::empty()), br#"{"tenants":{}}"#);
    assert_eq!(encode_keys(std::iter::empty()), br#"{"keys":{}}"#);
}

#[test]
fn only_what_changed_is_fetched() {
    let mut store = Store::default();
    let mut wires = flags(100);
    let claims = store.publish(8, &wires, &tenants());
    let before = store.load(&claims, None).unwrap();
    wires[42].version += 1;
    let claims = store.publish(8, &wires, &tenants());
    let root = verified(&claims).unwrap();
    let wanted = store.missing(&claims, Some(&before));
    assert_eq!(wanted.len(), 1);
    let fetched = RefCell::new(Vec::new());
    let mut chunk = |digest: &Digest| {
        fetched.borrow_mut().push(*digest);
        store.0.get(digest).cloned()
    };
    let after = load(root, &mut chunk, Some(&before)).unwrap();
    assert_eq!(fetched.into_inner(), wanted);
    let holds = |of: &crate::Snapshot| of.listing().named().any(|held| held.sha256 == wanted[0]);
    assert!(holds(&after) && !holds(&before));
    assert_eq!(after.flag("flag-42").unwrap().unwrap().version(), 8);
    // The compiled shards themselves are shared.
    let shared =
        before.flags.iter().zip(&after.flags).filter(|(a, b)| std::sync::Arc::ptr_eq(a, b));
    assert_eq!(shared.count(), 7);
    assert_eq!(store.missing(&claims, Some(&after)).len(), 0);
    assert_eq!(store.missing(&claims, None).len(), claims.chunks.len());
}

#[test]
fn a_shard_is_not_reused_where_its_keys_do_not_belong() {
    // One flag in one shard of one; then two shards, and the same bytes listed for both.
    let mut store = Store::default();
    let one = store.publish(1, &flags(1), &[]);
    let before = store.load(&one, None).unwrap();
    let listed = one.chunks[0].clone();
    let chunks = (0..2).map(|shard| ChunkRef { shard, ..listed.clone() }).collect();
    let two = RootClaims { flag_shards: 2, chunks, ..one };
    let refusal = store.load(&two, Some(&before)).unwrap_err();
    assert!(matches!(refusal, Refusal::KeyOutsideShard { .. }), "{refusal}");
}

#[test]
fn a_shard_without_a_chunk_is_empty() {
    let snapshot = Store::default().load(&RootClaims { flag_shards: 4, ..root_claims() }, None);
    assert_eq!(snapshot.unwrap().flags().count(), 0);
}

#[test]
fn chunks_of_other_bytes_are_refused() {
    let mut store = Store::default();
    let claims = store.publish(1, &flags(3), &tenants());
    let listed = claims.chunks[0].clone();
    let load_with = |bytes: Option<Vec<u8>>| {
        let mut chunk = |digest: &Digest| {
            if *digest == listed.sha256 { bytes.clone() } else { store.0.get(digest).cloned() }
        };
        load(verified(&claims).unwrap(), &mut chunk, None).map(|_| ())
    };
    let good = store.0[&listed.sha256].clone();
    assert_eq!(load_with(Some(good.clone())), Ok(()));
    assert_eq!(load_with(None), Err(Refusal::ChunkMissing(listed.sha256)));
    let mut other = good.clone();
    other[20] ^= 1;
    assert_eq!(load_with(Some(other)), Err(Refusal::ChunkDigest(listed.sha256)));
    let longer = [&good[..], b" "].concat();
    let (digest, declared) = (listed.sha256, listed.bytes);
    let size = Refusal::ChunkSize { digest, declared, actual: declared + 1 };
    assert_eq!(load_with(Some(longer)), Err(size));
    // Declared smaller than it is.
    let mut liar = claims.clone();
    liar.chunks[0].bytes -= 1;
    let refusal = store.load(&liar, None).unwrap_err();
    assert!(matches!(refusal, Refusal::ChunkSize { .. }), "{refusal}");
}

#[test]
fn what_is_no_chunk_is_refused() {
    for bytes in [
        "",
        "null",
        "[]",
        "{}",
        "{\"tenants\":{}}",
        "{\"flags\":[]}",
        "{\"flags\":{}} x",
        "{\"flags\":{\"a\":1,\"a\":2}}",
        "{\"flags\":{\"a\":}}",
        "\u{feff}{\"flags\":{}}",
    ] {
        let mut store = Store::default();
        let chunks = vec![store.put(ChunkKind::Flags, 0, bytes.into())];
        let refusal = store.load(&RootClaims { chunks, ..root_claims() }, None).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed { what: "chunk", .. }), "{bytes}: {refusal}");
    }
}

#[test]
fn a_key_outside_its_shard_is_refused() {
    let mut store = Store::default();
    let stray = flag("flag-1");
    let wrong = 1 - flag_shard(stray.key.as_str(), 2);
    let chunks = vec![store.put(ChunkKind::Flags, wrong, encode_flags([&stray].into_iter()))];
    let claims = RootClaims { flag_shards: 2, chunks, ..root_claims() };
    let key = "flag-1".into();
    let refusal = Refusal::KeyOutsideShard { kind: ChunkKind::Flags, shard: wrong, key };
    assert_eq!(store.load(&claims, None).unwrap_err(), refusal);
}

/// Loads one flag of any JSON beside a good one, and says what became of both.
fn beside_a_good_flag(key: &str, bad: &Json) -> crate::Snapshot {
    let body = json!({"flags": {"good": flag("good"), key: bad}});
    let mut store = Store::default();
    let chunks = vec![store.put(ChunkKind::Flags, 0, body.to_string().into_bytes())];
    let snapshot = store.load(&RootClaims { chunks, ..root_claims() }, None).unwrap();
    assert!(snapshot.flag("good").unwrap().is_ok());
    let view = View { snapshot: &snapshot, confirmed: at(0) };
    let answer = evaluate(view, "good", None, &Context::untenanted(), at(0));
    assert_eq!(answer.value.unwrap().as_bool(), Some(true));
    snapshot
}

#[test]
fn a_bad_flag_spoils_itself_only_whatever_is_bad_in_it() {
    let good = rich_flag();
    let mut spoiled = 0;
    for pointer in pointers(&good) {
        for bad in [json!(null), json!(-7.5), json!(""), json!(" "), json!([[]]), json!({"x": {}})]
        {
            let mut flag = good.clone();
            *flag.pointer_mut(&pointer).unwrap() = bad.clone();
            let snapshot = beside_a_good_flag("rich", &flag);
            let Err(fault) = snapshot.flag("rich").unwrap() else { continue };
            spoiled += 1;
            assert!(!fault.to_string().is_empty());
            let view = View { snapshot: &snapshot, confirmed: at(0) };
            let answer = evaluate(view, "rich", None, &Context::untenanted(), at(0));
            assert_eq!(answer.error.unwrap().code(), "PARSE_ERROR", "{pointer} = {bad}");
        }
    }
    assert!(spoiled > 250, "{spoiled}");
}

#[test]
fn a_fault_names_the_field() {
    let check = |pointer: &str, bad: Json, fault: &str| {
        let mut flag = rich_flag();
        *flag.pointer_mut(pointer).unwrap() = bad;
        let snapshot = beside_a_good_flag("rich", &flag);
        let actual = snapshot.flag("rich").unwrap().unwrap_err().to_string();
        assert!(actual.starts_with(fault), "{actual}");
    };
    let operator = "/state/rules/0/when/all/0/test/operator";
    let path =
        "state.rules[0].when.all[0].test.operator: unknown variant `foo`, expected one of `equals`";
    check(operator, json!("foo"), path);
    check("/key", json!("other"), "key: what stands under `rich` calls itself `other`");
    check(
        "/variants/1/value",
        json!("x"),
        "variants[1].value: a string where the flag's type asks",
    );
    check("/state/off/variant", json!("gone"), "state.off.variant: the flag has no variant `gone`");
    check(
        "/state/fallthrough/split/ranges/1/until",
        json!(9),
        "state.fallthrough.split: ranges must",
    );
    check("/version", json!(-1), "version: invalid value: integer `-1`, expected u64");
    check("/variants/0/key", json!("a/b"), "variants[0].key: variant key has the character '/'");
    check("", json!(7), ".: invalid type: integer `7`, expected struct FlagWire");
}

pub(super) fn rich_flag() -> Json {
    json!({
        "key": "rich", "version": 3, "class": "ops", "type": "integer",
        "variants": [{"key": "a", "value": 1, "attachment": {"x": 1}}, {"key": "b", "value": 2}],
        "clientVisible": true,
        "state": {
            "enabled": true,
            "off": {"variant": "a"},
            "groupOverrides": [{"group": "beta", "variant": "b"}],
            "rules": [{
                "id": "r1", "description": "some",
                "when": {"all": [
                    {"test": {"attribute": "user.country", "operator": "one-of", "values": ["DE", 1],
                              "negate": true, "ifMissing": true}},
                    {"any": ["always", {"not": "always"}]}
                ]},
                "serve": {"variant": "b"}
            }],
            "fallthrough": {"split": {
                "unit": "user.key", "salt": "s", "hash": "xxh3", "buckets": 10,
                "ranges": [{"from": 0, "until": 4, "variant": "a"},
                           {"from": 4, "until": 10, "variant": "b"}]
            }}
        }
    })
}

/// A JSON pointer to every value inside, the whole included.
fn pointers(json: &Json) -> Vec<String> {
    let inside = |name: String, child: &Json| {
        pointers(child).into_iter().map(move |rest| format!("/{name}{rest}")).collect::<Vec<_>>()
    };
    let mut all = vec![String::new()];
    match json {
        Json::Object(map) => all.extend(map.iter().flat_map(|(k, v)| inside(k.clone(), v))),
        Json::Array(items) => {
            all.extend(items.iter().enumerate().flat_map(|(i, v)| inside(i.to_string(), v)));
        }
        _ => {}
    }
    all
}

#[test]
fn a_bad_tenant_spoils_itself_only_and_is_not_read_as_having_no_overrides() {
    let body = json!({"tenants": {
        "acme": {"uid": "1", "overrides": {"good": "off"}},
        "broken": {"uid": "2", "overrides": {"good": 7}},
        "no/key": {"uid": "3"},
    }});
    let mut store = Store::default();
    let chunks = vec![
        store.put(ChunkKind::Flags, 0, encode_flags([flag("good")].iter())),
        store.put(ChunkKind::Tenants, 0, body.to_string().into_bytes()),
    ];
    let snapshot = store.load(&RootClaims { chunks, ..root_claims() }, None).unwrap();
    let ask = |tenant: &str| {
        let view = View { snapshot: &snapshot, confirmed: at(0) };
        let context = Context::for_tenant(TenantKey::new(tenant).unwrap());
        evaluate(view, "good", None, &context, at(0))
    };
    assert_eq!(ask("acme").variant, Some("off"));
    assert_eq!(ask("stranger").variant, Some("on"));
    let answer = ask("broken");
    assert_eq!((answer.variant, answer.error.as_ref().unwrap().code()), (None, "PARSE_ERROR"));
    let details = answer.error.unwrap().details();
    assert!(details.contains("overrides.good: invalid type: integer `7`"), "{details}");
}

#[test]
fn keys_travel_in_relay_scope_and_a_bad_one_spoils_itself_only() {
    let good = KeyWire {
        secret_sha256: Digest::of(b"secret"),
        kind: KeyKind::Server,
        tenant: None,
        envs: Some(vec![EnvKey::new("prod").unwrap()]),
        expires: None,
        previous: Some(PreviousSecret { secret_sha256: Digest::of(b"old"), until: at(60_000) }),
    };
    assert!(good.accepts(&Digest::of(b"secret"), at(120_000)));
    assert!(good.accepts(&Digest::of(b"old"), at(59_999)));
    assert!(!good.accepts(&Digest::of(b"old"), at(60_000)));
    assert!(!good.accepts(&Digest::of(b"older"), at(0)));
    let mut body: Json =
        serde_json::from_slice(&encode_keys([("demo.k1", &good)].into_iter())).unwrap();
    body["keys"]["demo.k2"] = json!({"kind": "root"});
    let mut store = Store::default();
    let chunks = vec![store.put(ChunkKind::Keys, 0, body.to_string().into_bytes())];
    let claims = RootClaims { scope: Scope::Relay, chunks, ..root_claims() };
    let text = signed(&claims);
    let root =
        || verify_root(text.as_bytes(), &trust(), &scope(Scope::Relay), None, at(0)).unwrap();
    let mut chunk = |digest: &Digest| store.0.get(digest).cloned();
    let snapshot = load(root(), &mut chunk, None).unwrap();
    assert_eq!(snapshot.key("demo.k1").unwrap().unwrap(), &good);
    assert!(snapshot.key("demo.k2").unwrap().is_err() && snapshot.key("demo.k3").is_none());
    assert_eq!(snapshot.keys().count(), 2);
    let again = load::<Vec<u8>>(root(), &mut |_| None, Some(&snapshot)).unwrap();
    assert_eq!(again.keys().count(), 2);
}

#[test]
fn shards_are_powers_of_two_of_about_32_kib() {
    let sizes =
        [(0, 1), (32 << 10, 1), ((32 << 10) + 1, 2), (20 << 20, 1_024), (usize::MAX, MAX_SHARDS)];
    for (bytes, shards) in sizes {
        assert_eq!(shards_for(bytes), shards, "{bytes}");
    }
    for (bytes, shards) in
        [(0, 1), (32 << 10, 1), ((32 << 10) + 1, 2), (65 << 10, 3), (usize::MAX, MAX_SHARDS)]
    {
        assert_eq!(tenant_shards_for(bytes), shards, "{bytes}");
    }
    for shards in [1, 2, 64, MAX_SHARDS] {
        for i in 0..1_000 {
            assert!(flag_shard(&format!("k{i}"), shards) < shards);
            assert!(tenant_shard(&format!("k{i}"), shards) < shards);
        }
    }
    // Pinned, because writers and readers of different versions must agree. Computed with Python's xxhash.
    assert_eq!(["a", "checkout.express", "ü"].map(|k| flag_shard(k, 1_024)), [694, 214, 263]);
}

/// Each new shard takes keys from one other, and a shard that is not split holds the keys that it held.
#[test]
fn one_shard_more_moves_the_keys_of_one_shard() {
    let keys: Vec<u64> = (0..2_000).map(|i| key_hash(&format!("tenant-{i}"))).collect();
    for shards in 1..=300_u32 {
        let new = shards;
        let parent = new ^ (1 << new.ilog2());
        for hash in &keys {
            let (before, after) = (shard_of(*hash, shards), shard_of(*hash, shards + 1));
            assert!(before < shards);
            assert!(after == before || (before, after) == (parent, new), "{shards}");
            let bits = shard_bits(after, shards + 1);
            assert_eq!((hash >> 32) as u32 & !(u32::MAX << bits), after, "{shards}");
        }
        for shard in (0..shards).filter(|shard| *shard != parent) {
            assert_eq!(
                shard_bits(shard, shards),
                shard_bits(shard, shards + 1),
                "{shard} of {shards}"
            );
        }
    }
    // Whatever a root says.
    for shards in [0, 1, MAX_SHARDS, u32::MAX - 1, u32::MAX] {
        assert!(shard_of(u64::MAX, shards) < shards.max(1) && shard_bits(0, shards) <= 32);
    }
}

proptest::proptest! {
    /// Bytes of any kind are refused as one thing or another, and never panic.
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        for kind in [ChunkKind::Flags, ChunkKind::Tenants, ChunkKind::Keys] {
            proptest::prop_assert!(chunk::entries(&bytes, kind).is_err());
        }
        let place = scope(Scope::Environment);
        proptest::prop_assert!(verify_trust(&bytes, &[]).is_err());
        let text = String::from_utf8_lossy(&bytes);
        proptest::prop_assert!(crate::AccessKey::parse(&text).is_err());
        let _refused = text.parse::<Thumbprint>().is_err() && text.parse::<Digest>().is_err();
        let dots = format!("{text}.{text}.{text}");
        let trust = TRUST.get_or_init(trust);
        proptest::prop_assert!(verify_root(dots.as_bytes(), trust, &place, None, at(0)).is_err());
    }
}

static TRUST: std::sync::OnceLock<Trust> = std::sync::OnceLock::new();
