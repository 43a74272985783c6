//! Who may listen somewhere else, and what there is to hear. (`functions/connect` has the rest of the tests.)

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use flagforge_flags::KeyKind;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::Scope;

use crate::kit::{boolean, directory, tenant};
use crate::world::{World, publish};

fn head(key: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_str(key).unwrap());
    headers.insert("flagforge-environment", HeaderValue::from_static("prod"));
    headers
}

#[tokio::test]
async fn who_listens_hears_of_the_scope_that_its_key_reads() {
    let mut bound = String::new();
    let mut world = World::with(|publisher| {
        bound = publisher.key(KeyKind::Server, "k2", |key| key.tenant = Some(tenant("acme")));
        let flags = [boolean("new-dashboard")];
        publisher.publish_tenant(7, &flags, &directory("acme", &["new-dashboard"]));
    });
    let all = world.relay.admit(&head(&world.server)).await.unwrap();
    assert_eq!((all.scope.to_string(), all.ends), ("demo/prod/environment".into(), None));
    let serial = world.publisher.serial;
    assert_eq!(all.newest.map(|newest| newest.serial), Some(serial));
    let acme = world.relay.admit(&head(&bound)).await.unwrap();
    assert_eq!(acme.scope.to_string(), "demo/prod/tenant:acme");
    assert_eq!(acme.newest.map(|newest| newest.serial), Some(7));
    for nobody in [String::new(), bound.replace("k2", "k9")] {
        let refused = world.relay.admit(&head(&nobody)).await.unwrap_err();
        assert_eq!(refused.status(), 401, "{nobody}");
    }

    publish(&mut world.publisher, "light");
    let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("prod").unwrap());
    let news = world.relay.news(&org, &env).await.unwrap();
    let newest = news.newest(&Scope::Environment).await.unwrap();
    assert_eq!(newest.serial, serial + 1, "the origin was asked, long before a poll");
    let own = Scope::Tenant(tenant("acme"));
    assert_eq!(news.newest(&own).await.unwrap().serial, 7, "a tenant's numbers are its own");
    let other = Scope::Tenant(tenant("globex"));
    assert_eq!(news.newest(&other).await, None);
    assert!(news.may_hear(&Scope::Environment, &all.key) && news.may_hear(&other, &all.key));
    assert!(news.may_hear(&own, &acme.key));
    assert!(!news.may_hear(&other, &acme.key) && !news.may_hear(&Scope::Environment, &acme.key));
    assert!(!news.may_hear(&own, "nobody"));

    // A key that ends is not heard of any more from then on.
    let soon = crate::kit::now().plus(Duration::from_millis(300));
    world.publisher.keys.iter_mut().for_each(|(_, key)| key.expires = Some(soon));
    publish(&mut world.publisher, "dark");
    let news = world.relay.news(&org, &env).await.unwrap();
    assert!(news.may_hear(&own, &all.key));
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert!(!news.may_hear(&own, &all.key));
    assert!(world.relay.news(&org, &EnvKey::new("dev").unwrap()).await.is_none());
}
