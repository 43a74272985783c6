//! A writer of tomorrow and a reader of today: what is not known is passed over at every level, or spoils the one
//! entry that has it, or refuses the whole; never is it read as something else.

use flagforge_flags::manifest::{ChunkKind, Digest, Scope};
use flagforge_flags::time::Timestamp;
use flagforge_flags::{Context, Snapshot, View, evaluate};
use serde_json::{Value as Json, json};

use crate::author::{
    Author, Given, HOUR, ONLINE, ROOTS, SIGNING, at, flag, jws, part, print, public, read,
    trust_header, trust_json,
};
use crate::refused::{name, victim};

/// A flag with something in every place, so that each place can get something unknown.
fn rich() -> Json {
    let unit = json!({"unit": "user.key", "missing": "no-match", "salt": "s", "hash": "xxh3", "buckets": 2});
    let with = |more: Json| {
        let mut unit = unit.clone();
        unit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        unit
    };
    let ranges = json!([{"from": 0, "until": 2, "variant": "on"}]);
    let conditions = json!([
        {"test": {"attribute": "user.country", "operator": "equals", "values": ["DE"], "compare": "typed"}},
        {"flag": {"flag": "other", "is": {"variants": ["on"]}}},
        {"rollout": with(json!({"from": 0, "until": 2}))},
        {"anyElement": {"attribute": "user.roles", "when": "always"}},
    ]);
    json!({
        "key": "rich", "version": 1, "class": "release", "type": "boolean", "killedGroups": ["g"],
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {
            "enabled": true, "off": {"variant": "off"}, "stale": {"afterSeconds": 9, "then": "lastKnown"},
            "prerequisites": [{"flag": "other", "is": {"variants": ["off"]}}],
            "targets": [{"variant": "on", "keys": ["u-1"]}],
            "groupOverrides": [{"group": "g", "variant": "on", "expires": at(0)}],
            "rules": [{"id": "r", "when": {"all": conditions}, "serve": {"split": with(json!({"ranges": ranges}))}}],
            "fallthrough": {"ramp": with(json!({
                "variant": "on", "rest": "off", "from": 0, "until": 2, "start": at(0), "end": at(HOUR)}))},
        },
    })
}

fn tenant() -> Json {
    json!({"uid": "t-1", "attributes": {"plan": "gold"}, "groups": ["g"],
        "overrides": {"other": {"variant": "on", "expires": at(HOUR)}}})
}

fn segment() -> Json {
    json!({"key": "beta", "version": 1, "included": {"hashed": {"salt": "s", "hashes": ""}},
        "when": {"test": {"attribute": "user.country", "operator": "equals", "values": ["DE"]}}})
}

fn access_key() -> Json {
    let digest = Digest::of(b"secret");
    json!({"secretSha256": digest, "kind": "server", "tenant": "acme", "envs": ["prod"], "expires": at(HOUR),
        "previous": {"secretSha256": digest, "until": at(HOUR)}})
}

/// A relay's manifest of these entries, and of one good flag beside them.
fn publish(flag: &Json, tenant: &Json, segment: &Json, key: &Json) -> Author {
    let mut author = Author::new(Scope::Relay);
    let flags = json!({"flags": {"rich": flag, "other": crate::author::flag("other")}});
    author.chunk(ChunkKind::Flags, 0, flags.to_string().into());
    author.chunk(ChunkKind::Tenants, 0, json!({"tenants": {"acme": tenant}}).to_string().into());
    author.chunk(ChunkKind::Segments, 0, json!({"segments": {"beta": segment}}).to_string().into());
    author.chunk(ChunkKind::Keys, 0, json!({"keys": {"demo.k1": key}}).to_string().into());
    author
}

/// Where the JSON has objects of members that the format names.
fn objects(json: &Json, at: &str, found: &mut Vec<String>) {
    match json {
        Json::Object(members) => {
            // Attributes and overrides are their authors' own names; an outcome or a condition has exactly one member.
            let named = ["/attributes", "/overrides"].iter().any(|end| at.ends_with(end));
            if !named && members.len() > 1 {
                found.push(at.to_owned());
            }
            members.iter().for_each(|(name, value)| objects(value, &format!("{at}/{name}"), found));
        }
        Json::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(n, value)| objects(value, &format!("{at}/{n}"), found));
        }
        _ => {}
    }
}

/// The JSON with a member more in one of its objects, once for each; and once in all of them.
fn with_more(json: &Json) -> Vec<Json> {
    let mut places = Vec::new();
    objects(json, "", &mut places);
    let more = |json: &mut Json, place: &String| {
        json.pointer_mut(place).unwrap()["ofTomorrow"] = json!({"any": ["thing", null]});
    };
    let mut everywhere = json.clone();
    places.iter().for_each(|place| more(&mut everywhere, place));
    let each = places.iter().map(|place| {
        let mut one = json.clone();
        more(&mut one, place);
        one
    });
    each.chain([everywhere]).collect()
}

fn all_good(snapshot: &Snapshot) {
    let flags =
        snapshot.flags().map(|(key, flag)| (key, flag.map(|_| ()).map_err(ToString::to_string)));
    assert_eq!(
        flags.filter(|(_, flag)| flag.is_ok()).count(),
        2,
        "{:?}",
        snapshot.flag("rich").unwrap().err()
    );
    assert!(snapshot.tenant("acme").unwrap().is_ok() && snapshot.segment("beta").unwrap().is_ok());
    assert!(snapshot.key("demo.k1").unwrap().is_ok());
}

#[test]
fn members_of_tomorrow_in_entries_are_passed_over() {
    let (flag, tenant, segment, key) = (rich(), tenant(), segment(), access_key());
    let mut places = 0;
    let mut good = |flag: &Json, tenant: &Json, segment: &Json, key: &Json| {
        all_good(&read(&publish(flag, tenant, segment, key).given()).unwrap());
        places += 1;
    };
    with_more(&flag).iter().for_each(|flag| good(flag, &tenant, &segment, &key));
    with_more(&tenant).iter().for_each(|tenant| good(&flag, tenant, &segment, &key));
    with_more(&segment).iter().for_each(|segment| good(&flag, &tenant, segment, &key));
    with_more(&key).iter().for_each(|key| good(&flag, &tenant, &segment, key));
    assert!(places >= 25, "only {places} places were tried");
}

fn good() -> Author {
    publish(&rich(), &tenant(), &segment(), &access_key())
}

#[test]
fn members_of_tomorrow_around_the_entries_are_passed_over() {
    let author = good();
    let more = |json: &mut Json| json["ofTomorrow"] = json!([{"a": 1}]);
    let mut cases: Vec<(&str, Given)> = Vec::new();
    let given = author.given();

    let mut claims = serde_json::to_value(&author.trust).unwrap();
    more(&mut claims);
    more(&mut claims["roots"][0]);
    let header = |byte| {
        let mut header = trust_header(byte);
        more(&mut header);
        (header, byte)
    };
    let trust = trust_json(&claims, &[header(ROOTS[0]), header(ROOTS[1])]);
    let mut envelope: Json = serde_json::from_str(&trust).unwrap();
    more(&mut envelope);
    more(&mut envelope["signatures"][0]);
    cases.push(("the trust document", Given { trust, ..given.clone() }));
    cases.push(("its envelope", Given { trust: envelope.to_string(), ..given.clone() }));

    let mut header = json!({"alg": "ES256", "typ": "flagforge-key+jwt", "kid": print(ONLINE)});
    let mut certified = json!({"key": public(SIGNING), "issued": at(-HOUR), "expires": at(HOUR)});
    more(&mut header);
    more(&mut certified);
    more(&mut certified["key"]);
    let certificate = jws(&header, &certified, ONLINE);
    cases.push(("the certificate", author.forged(SIGNING, |h, _| h["cert"] = json!(certificate))));
    cases.push((
        "the root",
        author.forged(SIGNING, |header, claims| {
            more(header);
            more(claims);
            claims["chunks"].as_array_mut().unwrap().iter_mut().for_each(more);
        }),
    ));

    let index = json!({"chunks": author.claims.chunks[..2], "ofTomorrow": {}}).to_string();
    let named =
        json!({"sha256": Digest::of(index.as_bytes()), "bytes": index.len(), "ofTomorrow": 1});
    let mut indexed = author.claiming(|claims| {
        claims["chunks"].as_array_mut().unwrap().drain(..2);
        claims["indexes"] = json!([named]);
    });
    indexed.chunks.insert(Digest::of(index.as_bytes()), index);
    cases.push(("an index", indexed));
    for (what, given) in cases {
        all_good(&read(&given).unwrap_or_else(|refusal| panic!("{what}: {refusal}")));
    }
}

#[test]
fn members_of_tomorrow_beside_a_chunks_own_are_passed_over_whatever_they_are() {
    for member in [json!({}), json!({"flags": {}}), json!([]), json!(1), json!("x"), json!(null)] {
        for first in [true, false] {
            let own = json!({"other": flag("other")});
            let text = if first {
                format!(r#"{{"Tomorrow":{member},"flags":{own}}}"#)
            } else {
                format!(r#"{{"flags":{own},"Tomorrow":{member}}}"#)
            };
            let mut author = Author::new(Scope::Environment);
            author.chunk(ChunkKind::Flags, 0, text.into());
            let snapshot = read(&author.given()).unwrap();
            assert!(snapshot.flag("other").unwrap().is_ok(), "{member}");
        }
    }
}

#[test]
fn a_kind_of_tomorrow_is_passed_over_and_an_encoding_is_not() {
    let chunk = |kind: &str, encoding: &str| {
        json!({"kind": kind, "shard": 4_000_000_000_u32, "sha256": Digest::of(b"x"),
            "bytes": u64::MAX, "encoding": encoding})
    };
    let add = |chunk: Json| {
        good().claiming(|claims| claims["chunks"].as_array_mut().unwrap().push(chunk))
    };
    for encoding in ["identity", "zstd"] {
        all_good(&read(&add(chunk("edge-rules", encoding))).unwrap());
    }
    // A reader that went on without the chunk would say that there is no such flag.
    for place in 0..4 {
        let refused =
            read(&good().claiming(|claims| claims["chunks"][place]["encoding"] = json!("zstd")));
        let refusal = refused.unwrap_err();
        assert!(refusal.to_string().contains("encoding"), "{refusal}");
    }
    // In an index as in the root.
    for (kind, loads) in [("edge-rules", true), ("segments", false)] {
        let index = json!({"chunks": [chunk(kind, "zstd")]}).to_string();
        let named = json!({"sha256": Digest::of(index.as_bytes()), "bytes": index.len()});
        let mut given = victim().claiming(|claims| claims["indexes"] = json!([named]));
        given.chunks.insert(Digest::of(index.as_bytes()), index);
        assert_eq!(read(&given).is_ok(), loads, "{kind}");
    }
}

#[test]
fn a_word_of_tomorrow_spoils_its_flag_and_no_other() {
    let words: [(&str, Json); 13] = [
        ("/class", json!("of-tomorrow")),
        ("/type", json!("colour")),
        ("/state/off", json!({"auction": {}})),
        ("/state/fallthrough", json!("somethingElse")),
        ("/state/stale/then", json!("reboot")),
        ("/state/prerequisites/0/is", json!({"value": 1})),
        ("/state/rules/0/serve", json!({"auction": {}})),
        ("/state/rules/0/serve/split/hash", json!("xxh4")),
        ("/state/rules/0/serve/split/missing", json!("bucket-one")),
        ("/state/rules/0/when", json!({"moonPhase": "full"})),
        ("/state/rules/0/when/all/0/test/operator", json!("resembles")),
        ("/state/rules/0/when/all/0/test/compare", json!("sounds")),
        ("/state/rules/0/when/all/1/flag/is", json!("maybe")),
    ];
    for (place, word) in words {
        let mut flag = rich();
        *flag.pointer_mut(place).unwrap() = word;
        let snapshot = read(&publish(&flag, &tenant(), &segment(), &access_key()).given()).unwrap();
        let fault = snapshot.flag("rich").unwrap().unwrap_err();
        let path = fault.path().replace(['[', '.'], "/").replace(']', "");
        assert!(place[1..].starts_with(&path) || path.starts_with(&place[1..]), "{place}: {fault}");
        let view = View { snapshot: &snapshot, confirmed: Timestamp::default() };
        let context = Context::untenanted();
        let asked = |key| evaluate(view, key, None, &context, Timestamp::default());
        assert_eq!(asked("rich").error.unwrap().code(), "PARSE_ERROR", "{place}");
        assert!(asked("other").error.is_none() && asked("other").value.is_some(), "{place}");
        assert!(snapshot.tenant("acme").unwrap().is_ok());
    }
}

#[test]
fn a_format_scope_or_algorithm_of_tomorrow_refuses_the_whole() {
    let author = victim();
    let claim = |name: &str, value: Json| name_of(&author.claiming(|claims| claims[name] = value));
    assert_eq!(claim("format", json!(2)), "UnknownFormat");
    // Whatever else is in it: a newer format may have no other member in common.
    let bare = jws(&part(&author.given().root, 0), &json!({"format": 2}), SIGNING);
    assert_eq!(name_of(&Given { root: bare, ..author.given() }), "UnknownFormat");
    assert_eq!(claim("scope", json!("region:eu")), "Malformed");
    assert_eq!(name_of(&author.forged(SIGNING, |h, _| h["alg"] = json!("ML-DSA-44"))), "Algorithm");
    // A trust document that is signed by both is read by both.
    let mut tomorrow = trust_header(ROOTS[2]);
    tomorrow["alg"] = json!("ML-DSA-44");
    let claims = serde_json::to_value(&author.trust).unwrap();
    let signers = [
        (tomorrow, ROOTS[2]),
        (trust_header(ROOTS[0]), ROOTS[0]),
        (trust_header(ROOTS[1]), ROOTS[1]),
    ];
    let both = Given { trust: trust_json(&claims, &signers), ..author.given() };
    assert!(read(&both).is_ok());
    let one = Given { trust: trust_json(&claims, &signers[..2]), ..author.given() };
    assert_eq!(name_of(&one), "TooFewSignatures");
}

fn name_of(given: &Given) -> String {
    name(&read(given).unwrap_err())
}
