//! Who is gone is forgotten: an item of a connection that there is no more, found when something is announced. Against the
//! installation that `localstack/up` started; without one nothing is run, which the output says.

#[cfg(test)]
mod stack;

#[cfg(test)]
mod listeners {
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    use flagforge_aws::{Connection, DynamoTable, Settings};
    use flagforge_platform::ports::{Condition, Item, ItemKey, Table as _, Write};
    use serde_json::{Value as Json, json};

    use super::stack::{Api, PATIENCE, stack, unique};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_connection_that_is_gone_is_forgotten_when_it_is_told() {
        let Some(stack) = stack() else { return };
        let api = Api::of(&stack);
        let org = unique("gone");
        let admin = &api.found(&org).await;
        let definition = json!({"class": "release", "type": "boolean"});
        api.send("PUT", &format!("/v1/orgs/{org}/flags/f"), admin, &definition).await;
        let spec = json!({"kind": "server", "envs": ["prod"]});
        let issued = api.send("POST", &format!("/v1/orgs/{org}/keys"), admin, &spec).await;
        let (id, key) = (issued["record"]["id"].as_str().unwrap(), issued["key"].as_str().unwrap());
        api.eventually("GET", &format!("/data/v1/{org}/prod/trust"), key).await;

        let connection = Connection::new(&Settings::from_env(&[]).unwrap());
        let name = stack["connectionsTable"].as_str().unwrap();
        let table = DynamoTable::new(&connection, name);
        let listed = |scope: &str, dead: &str| {
            ItemKey::new(format!("{org}#env#prod"), format!("CONNECTION#{scope}#{dead}"))
        };
        let by_id = |dead: &str| ItemKey::new(format!("~#{dead}"), "CONNECTION");
        // One whose key is good, and one whose key nobody knows.
        let dead = [unique("dead"), unique("revoked")];
        for (dead, key) in [(&dead[0], id), (&dead[1], "nobody")] {
            let whose = json!({
                "scope": {"org": org, "env": "prod", "scope": "environment"},
                "key": key, "since": "2026-11-20T09:30:00.000Z", "ends": null,
            });
            for key in [listed("environment", dead), by_id(dead)] {
                table.transact(vec![put(key, &whose)], None).await.unwrap();
            }
        }
        let flip = format!("/v1/orgs/{org}/environments/prod/flags/f/enable");
        api.send("POST", &flip, admin, &Json::Null).await;
        let until = Instant::now() + PATIENCE;
        for dead in &dead {
            for key in [listed("environment", dead), by_id(dead)] {
                while table.get(&key).await.unwrap().is_some() {
                    assert!(Instant::now() < until, "{key:?} is still there");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn put(key: ItemKey, body: &Json) -> Write {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let expires_at_seconds = Some(i64::try_from(now).unwrap() + 3_600);
        let item = Item { key, version: 1, body: body.to_string(), expires_at_seconds };
        Write::Put { item, condition: Condition::Any }
    }
}
