//! Buses: what can be published. What listeners hear is for each composition's own tests.

use std::sync::Arc;

use flagforge_flags::keys::{EnvKey, MAX_SLUG_BYTES, OrgKey};
use flagforge_flags::propagation::Propagation;
use flagforge_platform::ports::{Bus, Notice};

pub(crate) async fn every_notice_is_taken_also_with_the_longest_keys(bus: Arc<dyn Bus>) {
    let longest = "a".repeat(MAX_SLUG_BYTES);
    let (org, env) = (OrgKey::new(&longest).unwrap(), EnvKey::new(&longest).unwrap());
    let change = "set-enabled".to_owned();
    let (number, propagation) = (u64::MAX, Propagation::NearRealTime);
    let revision = format!("{number}.{number}");
    for notice in [
        Notice::Changed {
            org: org.clone(),
            env: None,
            number,
            change: change.clone(),
            propagation,
        },
        Notice::Changed { org: org.clone(), env: Some(env.clone()), number, change, propagation },
        Notice::Published { org, env, revision },
    ] {
        bus.publish(&notice).await.unwrap();
        // At least once: the same again is no error.
        bus.publish(&notice).await.unwrap();
    }
}
