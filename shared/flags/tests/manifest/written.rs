//! The good vectors: what each is about, and what it is made of.

use flagforge_flags::KeyKind;
use flagforge_flags::hashed_ids;
use flagforge_flags::keys::{EnvKey, FlagKey, SegmentKey, TenantKey};
use flagforge_flags::manifest::{
    ChunkKind, Digest, HeldFlag, KeyWire, Position, PreviousSecret, Scope, encode_keys,
    encode_segments,
};
use flagforge_flags::wire::{IdsWire, SegmentWire};
use flagforge_flags::{Revision, time::Timestamp};
use serde_json::{Value as Json, json};

use crate::author::{Author, Given, HOUR, ROOTS, at, flag, key, print, public, tenant};
use crate::vectors::File;

/// The example that the specification tells.
pub(crate) fn example() -> Author {
    let mut author = Author::new(Scope::Environment);
    author.flags(1, &[flag("checkout.express")]);
    author.tenants(1, &[tenant("acme", &json!({"checkout.express": "on"}))]);
    author
}

pub(crate) fn files() -> Vec<(&'static str, File)> {
    vec![
        ("example.json", one("the worked example of docs/manifest.md", &example().given())),
        ("two-levels.json", one("65 chunks, which two indexes list", &two_levels())),
        (
            "shards.json",
            one("keys led to shards: 8 of flags, 5 of tenants (linear hashing)", &shards()),
        ),
        (
            "relay.json",
            one("relay scope: the keys that may ask, and a flag that is held", &relay()),
        ),
        (
            "tenant.json",
            one("the scope of one tenant, whose key has odd characters", &one_tenant()),
        ),
        ("segments.json", one("segments: keys, hashed keys, a condition", &segments())),
        ("spoilt.json", one("bad entries, which spoil themselves only", &spoilt())),
        ("newer.json", one("a newer writer: unknown members and kinds of chunk", &newer())),
        ("expired.json", one("past its time: it loads, and is stale", &expired())),
        ("trust.json", trust()),
        ("positions.json", positions()),
    ]
}

fn one(about: &'static str, given: &Given) -> File {
    File::new(about, given, [("as it is", given.clone())])
}

fn two_levels() -> Given {
    let mut author = Author::new(Scope::Environment);
    author.flags(64, &["a", "b", "checkout.express", "Ünï 🚀"].map(flag));
    author.tenants(1, &[tenant("acme", &json!({"a": "on"}))]);
    author.index();
    author.given()
}

fn shards() -> Given {
    let mut author = Author::new(Scope::Environment);
    let flags: Vec<_> = (0..24).map(|n| flag(&format!("flag-{n}"))).collect();
    author.flags(8, &flags);
    let tenants: Vec<_> = (0..24).map(|n| tenant(&format!("tenant-{n}"), &json!({}))).collect();
    author.tenants(5, &tenants);
    author.given()
}

fn access_key(secret: &str, kind: KeyKind) -> KeyWire {
    let secret_sha256 = Digest::of(secret.as_bytes());
    KeyWire { secret_sha256, kind, tenant: None, envs: None, expires: None, previous: None }
}

fn relay() -> Given {
    let mut author = example();
    author.claims.scope = Scope::Relay;
    let flag = FlagKey::new("checkout.express").unwrap();
    author.claims.held.push(HeldFlag { flag, since: Revision { org: 17, env: 40 } });
    let server = access_key("abcdefghijklmnopqrstuv", KeyKind::Server);
    let mut client = access_key("bcdefghijklmnopqrstuvw", KeyKind::Client);
    client.tenant = Some(TenantKey::new("acme").unwrap());
    client.envs = Some(vec![EnvKey::new("prod").unwrap()]);
    client.expires = Some(at(90 * 24 * HOUR));
    let secret_sha256 = Digest::of(b"cdefghijklmnopqrstuvwx");
    client.previous = Some(PreviousSecret { secret_sha256, until: at(HOUR) });
    let keys = [("demo.k1", &server), ("demo.prod.k2", &client)];
    author.chunk(ChunkKind::Keys, 0, encode_keys(keys.into_iter()));
    author.given()
}

fn one_tenant() -> Given {
    let odd = "Ünï:a b+c@d~é";
    let mut author = Author::new(Scope::Tenant(TenantKey::new(odd).unwrap()));
    author.flags(1, &[flag("checkout.express")]);
    author.tenants(1, &[tenant(odd, &json!({"checkout.express": "on"}))]);
    author.given()
}

fn segments() -> Given {
    let mut author = example();
    let segment = |key: &str, included: IdsWire, when: &Json| SegmentWire {
        key: SegmentKey::new(key).unwrap(),
        version: 3,
        entity: "user".into(),
        excluded: IdsWire::Keys(vec!["u-13".into()]),
        included,
        when: serde_json::from_value(when.clone()).unwrap(),
    };
    let employees = json!({"test":
        {"attribute": "user.email", "operator": "ends-with", "values": ["@example.com"]}});
    let segments = [
        segment("beta", IdsWire::Keys(vec!["u-1".into(), "u-2".into()]), &Json::Null),
        segment("many", hashed_ids("salt", ["u-1", "u-2", "u-3"].into_iter()), &Json::Null),
        segment("employees", IdsWire::default(), &employees),
    ];
    author.chunk(ChunkKind::Segments, 0, encode_segments(segments.iter()));
    author.given()
}

fn spoilt() -> Given {
    let mut author = Author::new(Scope::Relay);
    let wire = |edit: &dyn Fn(&mut Json)| {
        let mut json = serde_json::to_value(flag("bad")).unwrap();
        edit(&mut json);
        json
    };
    let rule = |when: Json| json!([{"id": "r", "when": when, "serve": {"variant": "on"}}]);
    let test = |operator: &str| json!({"test": {"attribute": "user.x", "operator": operator}});
    let named = |key: &str, edit: &dyn Fn(&mut Json)| {
        (
            key.to_owned(),
            wire(&|json| {
                json["key"] = json!(key);
                edit(json);
            }),
        )
    };
    let flags: serde_json::Map<String, Json> = [
        named("good", &|_| {}),
        named("class", &|json| json["class"] = json!("of tomorrow")),
        named("type", &|json| json["type"] = json!("colour")),
        named("operator", &|json| json["state"]["rules"] = rule(test("resembles"))),
        named("condition", &|json| json["state"]["rules"] = rule(json!({"phase": "full moon"}))),
        named("outcome", &|json| json["state"]["fallthrough"] = json!({"auction": {}})),
        named("value", &|json| json["variants"][0]["value"] = json!("true")),
        ("other name".to_owned(), wire(&|_| {})),
    ]
    .into_iter()
    .collect();
    author.chunk(ChunkKind::Flags, 0, json!({"flags": flags}).to_string().into());
    let tenants = json!({"acme": {"uid": "t-1"}, "globex": {"uid": 7}, "initech": {"uid": "t-3",
        "groups": ["a/b"]}});
    author.chunk(ChunkKind::Tenants, 0, json!({"tenants": tenants}).to_string().into());
    let segments = json!({"beta": {"key": "beta", "version": 1}, "gamma": {"key": "gamma"}});
    author.chunk(ChunkKind::Segments, 0, json!({"segments": segments}).to_string().into());
    let good = serde_json::to_value(access_key("abcdefghijklmnopqrstuv", KeyKind::Server)).unwrap();
    let keys = json!({"demo.k1": good, "demo.k2": {"kind": "server"}});
    author.chunk(ChunkKind::Keys, 0, json!({"keys": keys}).to_string().into());
    author.given()
}

fn newer() -> Given {
    let mut author = Author::new(Scope::Environment);
    let mut flag = serde_json::to_value(flag("checkout.express")).unwrap();
    flag["ofTomorrow"] = json!({"any": ["thing"]});
    flag["state"]["ofTomorrow"] = json!(1);
    let flags = json!({"flags": {"checkout.express": flag}, "ofTomorrow": []});
    author.chunk(ChunkKind::Flags, 0, flags.to_string().into());
    let mut given = author.claiming(|claims| {
        claims["ofTomorrow"] = json!("a claim");
        claims["chunks"][0]["ofTomorrow"] = json!("a member");
        let sha256 = Digest::of(b"not fetched").to_string();
        let unknown = json!({"kind": "of-tomorrow", "shard": 70_000, "sha256": sha256,
            "bytes": 999_999_999_u64, "encoding": "of-tomorrow"});
        claims["chunks"].as_array_mut().unwrap().push(unknown);
    });
    given.trust = {
        let mut claims = serde_json::to_value(&author.trust).unwrap();
        claims["ofTomorrow"] = json!(true);
        let header = |byte| {
            let mut header = crate::author::trust_header(byte);
            header["ofTomorrow"] = json!(true);
            (header, byte)
        };
        crate::author::trust_json(&claims, &[header(ROOTS[0]), header(ROOTS[1])])
    };
    given
}

fn expired() -> Given {
    Given { now: at(24 * HOUR), ..example().given() }
}

fn trust() -> File {
    let author = example();
    let base = author.given();
    let first = base.trust.clone();
    let mut second = author.trust.clone();
    (second.number, second.roots) = (2, [11, 12, 13].map(public).to_vec());
    let sign = |claims, signers: &[u8]| {
        let keys: Vec<_> = signers.iter().map(|byte| key(*byte)).collect();
        flagforge_flags::manifest::sign_trust(claims, &keys.iter().collect::<Vec<_>>()).unwrap()
    };
    let rotated = sign(&second, &[ROOTS[0], ROOTS[2], 11, 13]);
    let mut third = second.clone();
    (third.number, third.threshold) = (9, 1);
    let skipped = sign(&third, &[12, 13]);
    let with = |held: Vec<String>, trust: &str| Given { held, trust: trust.into(), ..base.clone() };
    let pinned_anew = Given { pins: vec![print(11), print(13)], ..with(vec![], &rotated) };
    let cases = [
        ("first contact: two of three pinned roots signed", base.clone()),
        ("the document that is held already", with(vec![first.clone()], &first)),
        (
            "all roots changed: two of the old and two of the new signed",
            with(vec![first.clone()], &rotated),
        ),
        (
            "a number skipped, a threshold lowered by those who may",
            with(vec![first, rotated], &skipped),
        ),
        ("first contact of a reader that pins the new roots", pinned_anew),
    ];
    File::new("trust documents that are believed", &base, cases)
}

fn positions() -> File {
    let base = example().given();
    let revision = |org, env| Revision { org, env };
    let seen = |epoch, revision, serial| Given {
        seen: Some(Position { epoch, revision, serial }),
        ..base.clone()
    };
    let cases = [
        ("nothing seen", base.clone()),
        ("the same position", seen(1, revision(17, 41), 5)),
        ("a lower one", seen(1, revision(17, 40), 4)),
        ("a lower epoch, whatever its numbers", seen(0, revision(u64::MAX, u64::MAX), u64::MAX)),
        (
            "issued by a clock ten minutes ahead",
            Given { now: Timestamp::from_millis(at(-600).as_millis()), ..base.clone() },
        ),
    ];
    File::new("positions that a reader may go to from where it was", &base, cases)
}
