//! The directory: tenants whose attributes have a schema, groups that a condition decides, lists that are searched.

use anyhow::ensure;
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::{Org, Stack};

fn keys_of(listed: &Json, name: &str) -> Vec<String> {
    let items = listed["items"].as_array().into_iter().flatten();
    items.filter_map(|item| item[name].as_str().map(str::to_owned)).collect()
}

async fn refused(
    org: &Org,
    path: &str,
    body: &Json,
    (field, words): (&str, &str),
) -> anyhow::Result<()> {
    let answer = org.api.put(&org.path(path), body).await?.expect(400)?;
    ensure!(answer.body["field"] == field, "not about {field}: {}", answer.body);
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains(words), "does not say {words}: {detail}");
    Ok(())
}

pub async fn a_schema_holds_tenants_to_their_types(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("schema").await?;
    let open = org.api.get(&org.path("tenant-schema")).await?.expect(200)?;
    ensure!(open.body == json!({"attributes": {}}), "{}", open.body);
    // acme is `gold`, globex is `free`: a schema without them names the first that do not fit.
    let narrow = json!({"attributes": {"plan": {"type": "string", "allowed": ["gold"]}}});
    refused(&org, "tenant-schema", &narrow, ("attributes", "`globex`: attributes.plan")).await?;
    let schema = json!({"attributes": {
        "plan": {"type": "string", "allowed": ["free", "gold"]},
        "seats": {"type": "integer"},
    }});
    org.api.put(&org.path("tenant-schema"), &schema).await?.expect(201)?;
    for (attributes, field, words) in [
        (json!({"plan": 7}), "attributes.plan", "must be a string"),
        (json!({"plan": "silver"}), "attributes.plan", "must be one of \"free\", \"gold\""),
        (json!({"seats": "7"}), "attributes.seats", "must be an integer"),
        (json!({"region": "eu"}), "attributes.region", "it has: plan, seats"),
    ] {
        let body = json!({ "attributes": attributes });
        refused(&org, "tenants/new", &body, (field, words)).await?;
    }
    let good = json!({"attributes": {"plan": "gold", "seats": 7}});
    org.api.put(&org.path("tenants/new"), &good).await?.expect(201)?;
    let unsaid = org.api.put(&org.path("tenant-schema"), &narrow).await?.expect(428)?;
    ensure!(unsaid.problem() == "precondition-required", "{}", unsaid.body);
    let etag = org.api.get(&org.path("tenant-schema")).await?.header("etag").to_owned();
    let path = org.path("tenant-schema?strict=false");
    let held = [("if-match", etag.as_str())];
    org.api.call(Method::PUT, &path, &held, Some(narrow.to_string())).await?.expect(200)?;
    org.api.get(&org.path("tenants/globex")).await?.expect(200)?;
    refused(
        &org,
        "tenants/newer",
        &json!({"attributes": {"plan": "free"}}),
        ("attributes.plan", "\"gold\""),
    )
    .await?;
    refused(
        &org,
        "tenant-schema",
        &json!({"attributes": {"a.b": {"type": "string"}}}),
        ("attributes.a.b", "dot"),
    )
    .await
}

pub async fn tenants_are_searched_and_filtered(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("search").await?;
    for n in 0..30 {
        let plan = if n % 3 == 0 { "gold" } else { "free" };
        let body = json!({"name": format!("Tester {n}"), "synthetic": n % 2 == 0, "attributes": {"plan": plan, "n": n}});
        org.api.put(&org.path(&format!("tenants/test-{n:02}")), &body).await?.expect(201)?;
    }
    let listed = |query: &'static str| {
        let org = org.clone();
        async move {
            let answer = org.api.get(&org.path(&format!("tenants?{query}"))).await?.expect(200)?;
            anyhow::Ok((keys_of(&answer.body, "key"), answer.body["next"].clone()))
        }
    };
    let (found, next) = listed("search=TESTER%201&limit=500").await?;
    ensure!(found.len() == 11 && next.is_null(), "{found:?} {next}");
    ensure!(listed("synthetic=true").await?.0.len() == 15, "not 15 synthetic ones");
    let gold = listed("when=tenant.plan%20%3D%3D%20%22gold%22").await?.0;
    ensure!(gold.len() == 11 && gold[0] == "acme", "{gold:?}");
    // A page at a time, nothing twice and nothing left out.
    let mut cursor = String::new();
    let mut seen = Vec::new();
    loop {
        let path = format!("tenants?synthetic=true&limit=4{cursor}");
        let page = org.api.get(&org.path(&path)).await?.expect(200)?.body;
        seen.extend(keys_of(&page, "key"));
        match page["next"].as_str() {
            None => break,
            Some(next) => cursor = format!("&cursor={next}"),
        }
    }
    ensure!(seen.len() == 15 && seen.is_sorted(), "{seen:?}");
    let bad = org.api.get(&org.path("tenants?when=tenant.plan%20%3D")).await?.expect(400)?;
    let detail = bad.body["detail"].as_str().unwrap_or_default();
    ensure!(bad.body["field"] == "when" && detail.contains("line 1, column"), "{}", bad.body);
    let long = "x".repeat(129);
    let over = org.api.get(&org.path(&format!("tenants?search={long}"))).await?.expect(400)?;
    ensure!(over.problem() == "over-limit" && over.body["limit"] == 128, "{}", over.body);
    Ok(())
}

pub async fn a_group_with_a_condition_follows_its_tenants(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("conditional").await?;
    org.boolean_flag("perk").await?;
    let group = json!({"when": "tenant.plan == \"gold\" && !(tenant.seats < 10)"});
    org.api.put(&org.path("groups/big-gold"), &group).await?.expect(201)?;
    let state = json!({"enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "off"}, "groupOverrides": [{"group": "big-gold", "variant": "on"}]});
    org.api.put(&org.path("environments/prod/flags/perk"), &state).await?.expect(201)?;
    let key = org.server_key().await?;
    org.sees(&key, "perk", "acme", &json!(true)).await?;
    org.sees(&key, "perk", "globex", &json!(false)).await?;
    let members = org.api.get(&org.path("groups/big-gold/members")).await?.expect(200)?;
    ensure!(keys_of(&members.body, "tenant") == ["acme"], "{}", members.body);
    // A tenant's change of plan, and a change of the condition, reach evaluation as a kill does.
    let change = async |tenant: &str, attributes: Json| {
        let path = org.path(&format!("tenants/{tenant}"));
        let body = json!({ "attributes": attributes }).to_string();
        org.api.call(Method::PUT, &path, &[("if-match", "*")], Some(body)).await?.expect(200)
    };
    change("globex", json!({"plan": "gold", "seats": 10})).await?;
    org.sees(&key, "perk", "globex", &json!(true)).await?;
    change("acme", json!({"plan": "gold", "seats": 9})).await?;
    org.sees(&key, "perk", "acme", &json!(false)).await?;
    let tree = json!({"when": {"test": {"attribute": "tenant.key", "operator": "equals", "values": ["acme"]}}});
    let path = org.path("groups/big-gold");
    let held = [("if-match", "*")];
    org.api.call(Method::PUT, &path, &held, Some(tree.to_string())).await?.expect(200)?;
    org.sees(&key, "perk", "acme", &json!(true)).await?;
    org.sees(&key, "perk", "globex", &json!(false)).await?;
    let member = org.api.put(&org.path("groups/big-gold/members/globex"), &json!({})).await?;
    ensure!(member.status == 400, "{} {}", member.status, member.body);
    for (when, field, words) in [
        (json!("tenant.plan == "), "when", "line 1, column 16"),
        (json!("user.country == \"DE\""), "when.test.attribute", "tenant.<attribute>"),
        (json!("in_segment(\"s\")"), "when", "tenant.<attribute>"),
        (
            json!({"test": {"attribute": "tenant.x", "operator": "sounds-like"}}),
            "when.test.operator",
            "sounds-like",
        ),
        (json!("tenant.x.matches(\"(\")"), "when.test.values[0]", ""),
    ] {
        refused(&org, "groups/bad", &json!({ "when": when }), (field, words)).await?;
    }
    org.api.get(&org.path("groups/bad")).await?.expect(404).map(drop)
}

pub async fn what_is_special_about_a_tenant_is_one_list(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("special").await?;
    for flag in ["a", "b", "c"] {
        org.boolean_flag(flag).await?;
    }
    let set = async |env: &str, flag: &str, tenant: &str| {
        let path = org.path(&format!("environments/{env}/flags/{flag}/overrides/{tenant}"));
        org.api.put(&path, &json!({"variant": "on"})).await?.expect(201)
    };
    for (env, flag, tenant) in [
        ("dev", "b", "acme"),
        ("prod", "a", "acme"),
        ("prod", "b", "acme"),
        ("prod", "c", "acme"),
        ("prod", "a", "globex"),
    ] {
        set(env, flag, tenant).await?;
    }
    let (everywhere, mut pages, mut cursor) = ("tenants/acme/overrides?limit=2", Vec::new(), None);
    loop {
        let cursor_is = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = org.path(&format!("{everywhere}{cursor_is}"));
        let page = org.api.get(&path).await?.expect(200)?.body;
        pages.extend(
            page["items"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|item| format!("{} {}", item["environment"], item["flag"]).replace('"', "")),
        );
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    ensure!(pages == ["dev b", "prod a", "prod b", "prod c"], "{pages:?}");
    // What is cleared, and what belonged to a flag that is gone, is special no more.
    org.api.delete(&org.path("environments/prod/flags/b/overrides/acme")).await?.expect(204)?;
    org.api.delete(&org.path("flags/c")).await?.expect(204)?;
    let path = org.path("environments/prod/tenants/acme/overrides");
    let left = org.api.get(&path).await?.expect(200)?;
    ensure!(keys_of(&left.body, "flag") == ["a"], "{}", left.body);
    org.api.put(&org.path("groups/listed"), &json!({})).await?.expect(201)?;
    org.api.put(&org.path("groups/listed/members/acme"), &json!({})).await?.expect(201)?;
    let gold = json!({"when": "tenant.plan == \"gold\""});
    org.api.put(&org.path("groups/golden"), &gold).await?.expect(201)?;
    let of = async |tenant: &str| {
        let path = org.path(&format!("tenants/{tenant}/groups"));
        anyhow::Ok(keys_of(&org.api.get(&path).await?.expect(200)?.body, "group"))
    };
    ensure!(of("acme").await? == ["golden", "listed"] && of("globex").await?.is_empty(), "groups");
    org.api.delete(&org.path("groups/listed/members/acme")).await?.expect(204)?;
    ensure!(of("acme").await? == ["golden"], "still listed");
    // A tenant of the same key is another tenant.
    org.api.delete(&org.path("tenants/acme")).await?.expect(204)?;
    org.api.put(&org.path("tenants/acme"), &json!({})).await?.expect(201)?;
    let none = org.api.get(&org.path("tenants/acme/overrides")).await?.expect(200)?;
    ensure!(none.body["items"] == json!([]), "{}", none.body);
    Ok(())
}

pub async fn what_a_tenant_gets_says_why_and_what_it_hides(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("effective").await?;
    for group in ["first", "second"] {
        org.api.put(&org.path(&format!("groups/{group}")), &json!({})).await?.expect(201)?;
        let member = org.path(&format!("groups/{group}/members/acme"));
        org.api.put(&member, &json!({})).await?.expect(201)?;
    }
    org.boolean_flag("plain").await?;
    org.boolean_flag("below").await?;
    let definition = json!({"class": "release", "type": "string", "variants": [
        {"key": "a", "value": "A"}, {"key": "b", "value": "B"}, {"key": "c", "value": "C"},
        {"key": "d", "value": "D"}, {"key": "o", "value": "O"}]});
    org.api.put(&org.path("flags/layered"), &definition).await?.expect(201)?;
    let state = json!({
        "enabled": false,
        "off": {"variant": "o"},
        "prerequisites": [{"flag": "below", "is": {"variants": ["on"]}}],
        "groupOverrides": [{"group": "second", "variant": "b"}, {"group": "first", "variant": "c"}],
        "rules": [{"id": "gold", "when": "tenant.plan == \"gold\"", "serve": {"variant": "d"}}],
        "fallthrough": {"variant": "o"},
    });
    let path = org.path("environments/prod/flags/layered");
    org.api.put(&path, &state).await?.expect(201)?;
    let over = org.path("environments/prod/flags/layered/overrides/acme");
    org.api.put(&over, &json!({"variant": "a"})).await?.expect(201)?;
    let path = org.path("environments/prod/tenants/acme/flags?limit=2");
    let first = org.api.get(&path).await?.expect(200)?.body;
    ensure!(keys_of(&first, "key") == ["below", "layered"], "{first}");
    let layered = &first["items"][1];
    let told = |answer: &Json| {
        format!("{} {} {}{}", answer["variant"], answer["why"], answer["group"], answer["rule"])
            .replace(['"'], "")
            .replace("null", "")
            .trim()
            .to_owned()
    };
    let mut layers = vec![told(layered)];
    layers.extend(layered["hides"].as_array().into_iter().flatten().map(told));
    let expected = [
        "o OFF",
        "o PREREQUISITE_FAILED",
        "a TENANT_OVERRIDE",
        "b GROUP_OVERRIDE second",
        "c GROUP_OVERRIDE first",
        "d RULE gold",
    ];
    ensure!(layers == expected, "{layers:?}");
    let path = org.path("environments/prod/tenants/globex/flags?limit=2&cursor=layered");
    let rest = org.api.get(&path).await?.expect(200)?.body;
    ensure!(keys_of(&rest, "key") == ["plain"] && rest["next"].is_null(), "{rest}");
    ensure!(rest["items"][0]["value"] == false && rest["items"][0]["why"] == "OFF", "{rest}");
    Ok(())
}
