//! What is asked once, of one flag and of all.

use flagforge::{Flag, Json};
use flagforge_ofrep::{Details, Failure, Flags};
use serde_json::json;

use crate::world::World;

const DARK: Flag<bool> = Flag::new("dark", false);
const THEME: Flag<&str> = Flag::new("theme", "plain");
const RATE: Flag<f64> = Flag::new("rate", 0.5);
const SEATS: Flag<i64> = Flag::new("seats", 5);
const LIMITS: Flag<&Json> = Flag::new("limits", &Json::Null);
const BY_USER: Flag<bool> = Flag::new("by user", false);
const SPLIT: Flag<bool> = Flag::new("split", false);
const OWN: Flag<bool> = Flag::new("own", true);
const BROKEN: Flag<bool> = Flag::new("broken", true);

fn code<V>(details: &Details<'_, V>) -> String {
    details.error.as_ref().map_or("no error", |error| error.code).to_owned()
}

#[tokio::test]
async fn values_of_every_type_alone_and_among_all() {
    let world = World::new().await;
    let acme = world.remote().tenant("acme").unwrap().asking();
    let all = acme.all().await.unwrap();
    let mut alone = Vec::new();
    for key in ["dark", "theme", "rate", "seats", "limits"] {
        alone.push(acme.one(key).await);
    }
    for (at, [dark, theme, rate, seats, limits]) in
        [[&all; 5], [&alone[0], &alone[1], &alone[2], &alone[3], &alone[4]]].into_iter().enumerate()
    {
        assert!(dark.get(&DARK), "{at}");
        assert_eq!(
            (theme.get(&THEME), rate.get(&RATE), seats.get(&SEATS)),
            ("light", 1.0, i64::MAX)
        );
        assert_eq!(limits.get(&LIMITS), &json!({"rows": [7, 2.5]}));
        let details = dark.details(&DARK);
        assert_eq!(
            (details.reason, details.variant, code(&details).as_str()),
            ("STATIC", Some("on"), "no error")
        );
        assert_eq!(details.metadata.unwrap()["fineReason"], "FALLTHROUGH");
    }
    assert_eq!((&all.metadata()["revision"], all.keys().count()), (&json!("1.1"), 11));
    let other = world.remote().tenant("Größte GmbH").unwrap().asking().all().await.unwrap();
    assert_eq!(other.get(&THEME), "größer");
}

#[tokio::test]
async fn every_error_is_the_default_and_a_code() {
    let world = World::new().await;
    let acme = world.remote().tenant("acme").unwrap().asking();
    let all = acme.all().await.unwrap();
    let as_text: Flag<&str> = Flag::new("dark", "x");
    let as_whole: Flag<i64> = Flag::new("rate", 7);
    let as_number: Flag<f64> = Flag::new("seats", 7.0);
    let gone: Flag<bool> = Flag::new("gone", true);
    for alone in [false, true] {
        let of = async |key: &str| if alone { acme.one(key).await } else { all.clone() };
        let flags: Flags = of("dark").await;
        assert_eq!(
            (flags.get(&as_text), code(&flags.details(&as_text)).as_str()),
            ("x", "TYPE_MISMATCH")
        );
        let flags = of("rate").await;
        assert_eq!(
            (flags.get(&as_whole), code(&flags.details(&as_whole)).as_str()),
            (7, "TYPE_MISMATCH")
        );
        // What another server may have meant by a whole number.
        assert_eq!(of("seats").await.get(&as_number), 9_223_372_036_854_775_807.0);
        let flags = of("gone").await;
        assert_eq!(
            (flags.get(&gone), code(&flags.details(&gone)).as_str()),
            (true, "FLAG_NOT_FOUND")
        );
        let flags = of("broken").await;
        assert_eq!(
            (flags.get(&BROKEN), code(&flags.details(&BROKEN)).as_str()),
            (true, "PARSE_ERROR")
        );
        let flags = of("split").await;
        assert_eq!(code(&flags.details(&SPLIT)), "TARGETING_KEY_MISSING");
        let flags = of("own").await;
        let own = flags.details(&OWN);
        assert_eq!((own.value, own.variant, code(&own).as_str()), (true, None, "no error"));
    }
}

#[tokio::test]
async fn who_asks_goes_along() {
    let world = World::new().await;
    let acme = world.remote().tenant("acme").unwrap();
    let phone = acme.user("u-7").attr("country", "DE").entity("device", "d-1");
    assert!(phone.one("by user").await.get(&BY_USER));
    assert!(phone.all().await.unwrap().get(&SPLIT));
    assert!(!acme.user("u-7").attr("country", "DE").one("by user").await.get(&BY_USER));
    for attribute in ["globex", ""] {
        let flags = acme.asking().attr("tenant", attribute).one("dark").await;
        let details = flags.details(&DARK);
        assert_eq!((details.value, code(&details).as_str()), (false, "INVALID_CONTEXT"));
    }
    let described = acme.asking().entity_attr("tenant", "plan", "gold").all().await.unwrap_err();
    assert_eq!(described.code(), "INVALID_CONTEXT");
}

#[tokio::test]
async fn keys_of_any_text() {
    let world = World::new().await;
    let acme = world.remote().tenant("acme").unwrap().asking();
    let odd: Flag<bool> = Flag::new("ä ö&+;=@:🚩", false);
    assert!(acme.one(odd.key()).await.get(&odd));
    let dots: Flag<bool> = Flag::new("...", false);
    assert!(acme.one("...").await.get(&dots));
    let nowhere: [Flag<bool>; 9] =
        ["", ".", "..", "a/b", "../flags", "dark?x=1", "dark#", "%64ark", "dark\n"]
            .map(|key| Flag::new(key, false));
    for flag in nowhere {
        let flags = acme.one(flag.key()).await;
        assert_eq!(code(&flags.details(&flag)), "FLAG_NOT_FOUND", "{:?}", flag.key());
    }
}

#[tokio::test]
async fn a_key_that_is_none() {
    let world = World::new().await;
    let stranger = world.remote_of(&world.key.replace("abcdef", "uvwxyz"));
    let acme = stranger.tenant("acme").unwrap().asking();
    assert!(matches!(acme.all().await.unwrap_err(), Failure::Unauthenticated));
    let flags = acme.one("dark").await;
    assert_eq!(code(&flags.details(&DARK)), "GENERAL");
    assert!(matches!(acme.follow().await.unwrap_err(), Failure::Unauthenticated));
    assert!(!format!("{stranger:?}").contains("uvwxyz"));
}
