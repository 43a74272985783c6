//! Lists: what is searched for, what is left out, and the fields that are asked for.

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::{Org, Stack};

async fn keys_of(org: &Org, path: &str, name: &str) -> anyhow::Result<Vec<String>> {
    let page = org.api.get(&org.path(path)).await?.expect(200).context(path.to_owned())?.body;
    let items = page["items"].as_array().into_iter().flatten();
    Ok(items.filter_map(|item| item[name].as_str().map(str::to_owned)).collect())
}

/// Everything that can be listed has one thing that is found and one that is not.
pub async fn every_list_is_searched(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("found").await?;
    let put = async |path: &str, body: Json| org.api.put(&org.path(path), &body).await;
    for (key, about) in [("needle", "sharp"), ("hay", "dry")] {
        let flag = json!({"class": "release", "type": "boolean", "description": about});
        put(&format!("flags/{key}"), flag).await?.expect(201)?;
        put(&format!("groups/{key}"), json!({"description": about})).await?.expect(201)?;
        put(&format!("tenants/{key}"), json!({"name": about})).await?.expect(201)?;
        put(&format!("groups/hay/members/{key}"), json!({})).await.ok();
        let role = json!({"description": about, "permissions": ["read"]});
        put(&format!("roles/{key}"), role).await?.expect(201)?;
        let segment = json!({"description": about, "entity": "user"});
        put(&format!("environments/prod/segments/{key}"), segment).await?.expect(201)?;
        let key_body = json!({"kind": "server", "name": about, "role": "reader"});
        org.api.post(&org.path("keys"), &key_body).await?.expect(201)?;
        let invitation = json!({"email": format!("{key}@example.com"), "role": "reader"});
        org.api.post(&org.path("invitations"), &invitation).await?.expect(201)?;
        let hook = json!({"url": format!("https://example.com/{key}"), "description": about});
        org.api.post(&org.path("webhooks"), &hook).await?.expect(201)?;
    }
    for (key, about) in [("needle", "sharp"), ("hay", "dry")] {
        for tenant in ["needle", "hay"] {
            let over = json!({"variant": "on", "reason": about});
            let path = format!("environments/prod/flags/{key}/overrides/{tenant}");
            put(&path, over).await?.expect(201)?;
            put(&format!("groups/{key}/members/{tenant}"), json!({})).await?;
        }
    }
    for (path, name, expected) in [
        ("flags?search=NEEDLE", "key", vec!["needle"]),
        ("flags?search=Sharp", "key", vec!["needle"]),
        ("environments/prod/flags?search=sharp", "key", vec!["needle"]),
        ("environments/prod/segments?search=sharp", "key", vec!["needle"]),
        ("environments/prod/tenants/hay/flags?search=sharp", "key", vec!["needle"]),
        ("environments/prod/flags/hay/overrides?search=needle", "tenant", vec!["needle"]),
        ("environments/prod/tenants/hay/overrides?search=sharp", "flag", vec!["needle"]),
        ("tenants/hay/overrides?search=sharp", "flag", vec!["needle"]),
        ("tenants/hay/groups?search=edl", "group", vec!["needle"]),
        ("groups?search=sharp", "key", vec!["needle"]),
        ("groups/hay/members?search=needle", "tenant", vec!["needle"]),
        ("tenants?search=sharp", "key", vec!["needle"]),
        ("roles?search=sharp", "key", vec!["needle"]),
        ("keys?search=SHARP", "name", vec!["sharp"]),
        ("invitations?search=needle@", "email", vec!["needle@example.com"]),
        ("webhooks?search=sharp", "url", vec!["https://example.com/needle"]),
        ("environments?search=pr", "key", vec!["prod"]),
        ("flags?search=nothing-like-it", "key", vec![]),
    ] {
        let found = keys_of(&org, path, name).await?;
        ensure!(found == expected, "{path}: {found:?}");
    }
    // A deleted flag is found among the deleted.
    org.api.delete(&org.path("flags/needle")).await?.expect(409).ok();
    let unknown = org.api.get(&org.path("flags?q=needle")).await?.expect(400)?;
    let detail = unknown.body["detail"].as_str().unwrap_or_default().to_owned();
    ensure!(detail.contains("`q`") && detail.contains("search"), "{detail}");
    // What a key's secret is held against is not searched.
    let held = org.api.get(&org.path("keys?search=secret")).await?.expect(200)?.body;
    ensure!(held["items"] == json!([]), "{held}");
    Ok(())
}

pub async fn flags_are_filtered_and_every_one_is_found_once(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("filtered").await?;
    for n in 0..30 {
        let flag = json!({
            "class": if n % 5 == 0 { "experiment" } else { "release" },
            "type": "boolean",
            "owner": if n % 2 == 0 { "team-pay" } else { "team-find" },
            "domain": if n % 3 == 0 { "checkout" } else { "search" },
            "tags": if n % 10 == 0 { json!(["q4"]) } else { json!([]) },
            "expiresAt": "2030-01-01T00:00:00Z",
        });
        org.api.put(&org.path(&format!("flags/f{n:02}")), &flag).await?.expect(201)?;
    }
    for (query, count) in [
        ("owner=team-pay", 15),
        ("domain=checkout", 10),
        ("class=experiment", 6),
        ("tag=q4", 3),
        ("owner=team-pay&domain=checkout", 5),
        ("owner=team-pay&search=f2", 5),
        ("owner=team", 0),
    ] {
        for list in ["flags", "environments/prod/flags", "environments/prod/tenants/acme/flags"] {
            let found = keys_of(&org, &format!("{list}?{query}"), "key").await?;
            ensure!(found.len() == count, "{list}?{query}: {found:?}");
        }
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = org.path(&format!("flags?owner=team-find&limit=4{cursor}"));
        let page = org.api.get(&path).await?.expect(200)?.body;
        seen.extend(page["items"].as_array().into_iter().flatten().map(|f| f["key"].to_string()));
        match page["next"].as_str() {
            None => break,
            Some(next) => cursor = format!("&cursor={next}"),
        }
    }
    ensure!(seen.len() == 15 && seen.is_sorted(), "{seen:?}");
    let odd = org.api.get(&org.path("flags?class=urgent")).await?.expect(400)?;
    ensure!(odd.body["field"] == "the query", "{}", odd.body);
    Ok(())
}

pub async fn an_answer_has_the_fields_that_were_asked_for(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("fields").await?;
    let get = async |path: &str| org.api.get(&org.path(path)).await;
    let body = json!({"name": "Initech", "attributes": {"plan": "gold", "seats": 7}});
    org.api.put(&org.path("tenants/initech"), &body).await?.expect(201)?;
    let whole = get("tenants?search=initech").await?.expect(200)?.body["items"][0].clone();
    let listed = get("tenants?search=initech&fields=key,attributes.plan").await?.expect(200)?;
    let expected = json!({"etag": whole["etag"], "key": "initech", "attributes": {"plan": "gold"}});
    ensure!(listed.body["items"] == json!([expected]), "{}", listed.body);
    // A page of part of each is a page: it goes on where the other would.
    let page = get("tenants?limit=1&fields=key").await?.expect(200)?.body;
    ensure!(page["next"].is_string(), "{page}");
    let one = get("tenants/initech?fields=name").await?.expect(200)?;
    ensure!(one.body == json!({"name": "Initech"}), "{}", one.body);

    // Its ETag is its own: not that of the whole, nor of other fields, and good for If-Match.
    let tag = one.header("etag").to_owned();
    let tag_of_whole = get("tenants/initech").await?.header("etag").to_owned();
    let tag_of_other = get("tenants/initech?fields=uid").await?.header("etag").to_owned();
    ensure!(tag != tag_of_whole && tag != tag_of_other, "{tag} {tag_of_whole} {tag_of_other}");
    let held = async |path: &str, tag: &str| {
        org.api.call(Method::GET, &org.path(path), &[("if-none-match", tag)], None).await
    };
    let same = held("tenants/initech?fields=name", &tag).await?.expect(304)?;
    ensure!(same.header("etag") == tag, "{}", same.header("etag"));
    held("tenants/initech?fields=name", &tag_of_whole).await?.expect(200)?;
    held("tenants/initech", &tag).await?.expect(200)?;
    let path = org.path("tenants/initech");
    let put = async |tag: &str| {
        org.api.call(Method::PUT, &path, &[("if-match", tag)], Some(body.to_string())).await
    };
    let changed = json!({"name": "Initrode", "attributes": {}}).to_string();
    org.api.call(Method::PUT, &path, &[("if-match", &tag)], Some(changed)).await?.expect(200)?;
    put(&tag).await?.expect(412)?;
    held("tenants/initech?fields=name", &tag).await?.expect(200)?;

    // What is not there is named, with what is, also where the list is empty.
    for (path, words) in [
        ("tenants?fields=plan", ["`plan`", "attributes, etag, key, name, synthetic, uid"]),
        ("tenants/initech?fields=key.x", ["`x` in `key`", "there is: nothing"]),
        ("tenants?fields=", ["``", "attributes"]),
        ("webhooks?fields=secret", ["`secret`", "url"]),
        ("keys?fields=secretSha256", ["`secretSha256`", "lastUsed"]),
        ("tenants?fields=key&fields=uid", ["say it once", "commas"]),
        ("environments/prod/flags?fields=rules.nothing", ["`nothing` in `rules`", "serve"]),
    ] {
        let refused = get(path).await?.expect(400).context(path.to_owned())?;
        let detail = refused.body["detail"].as_str().unwrap_or_default();
        ensure!(refused.body["field"] == "fields", "{path}: {}", refused.body);
        ensure!(words.iter().all(|words| detail.contains(words)), "{path}: {detail}");
    }
    // At the limit and one past it.
    let fields = |count: usize| {
        let each = (0..count).map(|n| format!("attributes.a{n}")).collect::<Vec<_>>();
        format!("tenants?fields={}", each.join(","))
    };
    get(&fields(50)).await?.expect(200)?;
    let over = get(&fields(51)).await?.expect(400)?;
    ensure!(over.problem() == "over-limit" && over.body["limit"] == 50, "{}", over.body);
    get("tenants?fields=attributes.a.b.c.d.e.f.g").await?.expect(200)?;
    let deep = get("tenants?fields=attributes.a.b.c.d.e.f.g.h").await?.expect(400)?;
    ensure!(deep.problem() == "over-limit" && deep.body["limit"] == 8, "{}", deep.body);
    // What is not one's own is not there, whatever is asked of it.
    let other = stack.found("fields-too").await?;
    let foreign = other.api.get(&org.path("tenants/initech?fields=name")).await?;
    let nowhere = other.api.get("/v1/orgs/nobody/tenants/initech?fields=name").await?;
    ensure!(foreign.status == 404 && foreign.body == nowhere.body, "{}", foreign.body);
    Ok(())
}
