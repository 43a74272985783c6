//! Many tenants at once: checked whole, applied in batches, every bad line named.

use anyhow::{Context as _, ensure};
use flagforge_platform::MAX_BATCH_TENANTS;
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::{Org, Stack};

/// Uploads a file in parts of this many bytes, starts it, and drives it to its end.
async fn import(org: &Org, settings: &Json, file: &str, part_bytes: usize) -> anyhow::Result<Json> {
    let begun = org.api.post(&org.path("imports"), settings).await?.expect(201)?;
    let id = begun.body["id"].as_str().context("no id")?.to_owned();
    let parts: Vec<&[u8]> = file.as_bytes().chunks(part_bytes).collect();
    for (number, part) in parts.iter().enumerate() {
        let path = org.path(&format!("imports/{id}/parts/{number}"));
        let text = String::from_utf8(part.to_vec())?;
        org.api.call(Method::PUT, &path, &[], Some(text)).await?.expect(204)?;
    }
    let start = org.path(&format!("imports/{id}/start"));
    let mut import = org.api.post(&start, &json!({"parts": parts.len()})).await?.expect(200)?.body;
    while import["state"] == "applying" {
        let path = org.path(&format!("imports/{id}/continue"));
        import = org.api.post(&path, &Json::Null).await?.expect(200)?.body;
    }
    Ok(import)
}

async fn report(org: &Org, import: &Json) -> anyhow::Result<Vec<(u64, String)>> {
    let id = import["id"].as_str().context("no id")?;
    let (mut lines, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = org.path(&format!("imports/{id}/report{cursor}"));
        let page = org.api.get(&path).await?.expect(200)?.body;
        for bad in page["items"].as_array().context("no items")? {
            let field = bad["field"].as_str().context("no field")?.to_owned();
            lines.push((bad["line"].as_u64().context("no line")?, field));
        }
        match page["next"].as_str() {
            None => return Ok(lines),
            Some(next) => cursor = format!("?cursor={next}"),
        }
    }
}

fn lines(count: usize, plan: &str) -> String {
    (0..count)
        .map(|n| json!({"key": format!("t-{n:04}"), "attributes": {"plan": plan, "n": n}}))
        .map(|line| format!("{line}\n"))
        .collect()
}

pub async fn an_import_is_applied_in_batches_and_repeats_nothing(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("import").await?;
    let ndjson = json!({"format": "ndjson"});
    let count = 3 * MAX_BATCH_TENANTS + 7;
    let done = import(&org, &ndjson, &lines(count, "gold"), 2_000).await?;
    ensure!(done["state"] == "done" && done["applied"] == count, "{done}");
    ensure!(done["tenantsCreated"] == count && done["tenantsChanged"] == 0, "{done}");
    let one = org.api.get(&org.path("tenants/t-0042")).await?.expect(200)?;
    ensure!(one.body["attributes"] == json!({"plan": "gold", "n": 42}), "{}", one.body);
    let log = org.api.get(&org.path("log?limit=500")).await?.expect(200)?;
    let entries = log.body["items"].as_array().context("no entries")?;
    let batches: Vec<&Json> =
        entries.iter().filter(|entry| entry["change"]["change"] == "upsert-tenants").collect();
    ensure!(batches.len() == 4, "{} batches", batches.len());
    for batch in batches {
        let images = batch["images"].as_array().map_or(0, Vec::len);
        ensure!(images <= MAX_BATCH_TENANTS + 1, "{images} images");
        ensure!(
            batch.to_string().len() <= 300_000,
            "an entry of {} bytes",
            batch.to_string().len()
        );
    }
    // The same again changes nothing; another plan changes all, and makes none.
    let again = import(&org, &ndjson, &lines(count, "gold"), usize::MAX).await?;
    ensure!(again["tenantsCreated"] == 0 && again["tenantsChanged"] == 0, "{again}");
    let uid = one.body["uid"].clone();
    let other = import(&org, &ndjson, &lines(count, "free"), usize::MAX).await?;
    ensure!(other["tenantsCreated"] == 0 && other["tenantsChanged"] == count, "{other}");
    let one = org.api.get(&org.path("tenants/t-0042")).await?.expect(200)?;
    ensure!(one.body["uid"] == uid && one.body["attributes"]["plan"] == "free", "{}", one.body);
    let csv = "key,name,plan\nx-1,\"One, Inc.\",gold\nx-2,,\n";
    let done = import(&org, &json!({"format": "csv"}), csv, 7).await?;
    ensure!(done["tenantsCreated"] == 2, "{done}");
    let one = org.api.get(&org.path("tenants/x-1")).await?.expect(200)?;
    ensure!(
        one.body["name"] == "One, Inc." && one.body["attributes"]["plan"] == "gold",
        "{}",
        one.body
    );
    Ok(())
}

pub async fn an_import_with_bad_lines_names_each(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("bad-import").await?;
    // One line in a hundred is bad, in turn by key, by a field that means nothing, and by not being JSON.
    let faults = ["{\"key\": \"a/b\"}", "{\"key\": \"k\", \"plan\": 1}", "nonsense"];
    let mut expected = Vec::new();
    let mut file = String::new();
    for (number, line) in (1_u64..).zip(lines(1_200, "gold").lines()) {
        if number % 100 == 0 {
            let which = (number / 100) as usize % 3;
            file.push_str(faults[which]);
            expected.push((number, ["key", "plan", "the body"][which].to_owned()));
        } else {
            file.push_str(line);
        }
        file.push('\n');
    }
    let refused = import(&org, &json!({"format": "ndjson"}), &file, usize::MAX).await?;
    ensure!(refused["state"] == "refused" && refused["bad"] == 12, "{refused}");
    ensure!(refused["applied"] == 0 && refused["lines"] == 1_200, "{refused}");
    ensure!(report(&org, &refused).await? == expected, "{:?}", report(&org, &refused).await?);
    // A dry run names the same lines, and applies the good ones of no file.
    let dry = json!({"format": "ndjson", "dryRun": true});
    let checked = import(&org, &dry, &file, usize::MAX).await?;
    ensure!(
        checked["state"] == "refused" && report(&org, &checked).await? == expected,
        "{checked}"
    );
    let checked = import(&org, &dry, &lines(3, "gold"), usize::MAX).await?;
    ensure!(checked["state"] == "done" && checked["dryRun"] == true, "{checked}");
    ensure!(checked["lines"] == 3 && checked["bad"] == 0 && checked["applied"] == 0, "{checked}");
    org.api.get(&org.path("tenants/t-0000")).await?.expect(404)?;
    org.api.get(&org.path("tenants/t-0000")).await?.expect(404)?;
    let asked = json!({"format": "ndjson", "onError": "apply-good"});
    let applied = import(&org, &asked, &file, usize::MAX).await?;
    ensure!(applied["state"] == "done" && applied["tenantsCreated"] == 1_188, "{applied}");
    ensure!(report(&org, &applied).await? == expected, "another report");
    org.api.get(&org.path("tenants/t-0000")).await?.expect(200)?;
    // What is started is not started again, and what was not uploaded is not read.
    let id = applied["id"].as_str().context("no id")?;
    let path = org.path(&format!("imports/{id}/start"));
    org.api.post(&path, &json!({"parts": 1})).await?.expect(400)?;
    let begun = org.api.post(&org.path("imports"), &json!({"format": "csv"})).await?.expect(201)?;
    let id = begun.body["id"].as_str().context("no id")?;
    let path = org.path(&format!("imports/{id}/start"));
    let missing = org.api.post(&path, &json!({"parts": 2})).await?.expect(400)?;
    ensure!(missing.body["detail"].to_string().contains("part 0 was not"), "{}", missing.body);
    let ninth = org.path(&format!("imports/{id}/parts/8"));
    let over = org.api.call(Method::PUT, &ninth, &[], Some("x".to_owned())).await?.expect(400)?;
    ensure!(over.body["limit"] == 8, "{}", over.body);
    let path = org.path(&format!("imports/{id}/parts/7"));
    let limit = flagforge_platform::import::MAX_IMPORT_PART_BYTES;
    org.api.call(Method::PUT, &path, &[], Some("x".repeat(limit))).await?.expect(204)?;
    org.api.call(Method::PUT, &path, &[], Some("x".repeat(limit + 1))).await?.expect(413)?;
    Ok(())
}

pub async fn fifty_tenants_are_put_at_once_or_none(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("bulk").await?;
    let body = |count: usize| {
        let tenants: Vec<Json> = (0..count).map(|n| json!({"key": format!("b-{n}")})).collect();
        json!({ "tenants": tenants })
    };
    let path = org.path("tenants");
    let over = org.api.post(&path, &body(MAX_BATCH_TENANTS + 1)).await?.expect(400)?;
    ensure!(
        over.problem() == "over-limit" && over.body["limit"] == MAX_BATCH_TENANTS,
        "{}",
        over.body
    );
    let mut one_bad = body(MAX_BATCH_TENANTS);
    one_bad["tenants"][7]["attributes"] = json!({"a.b": 1});
    let bad = org.api.post(&path, &one_bad).await?.expect(400)?;
    ensure!(bad.body["field"] == "tenants[7].attributes.a.b", "{}", bad.body);
    one_bad["tenants"][7] = json!({"key": "b-3"});
    let twice = org.api.post(&path, &one_bad).await?.expect(400)?;
    ensure!(twice.body["field"] == "tenants[7].key", "{}", twice.body);
    org.api.get(&org.path("tenants/b-0")).await?.expect(404)?;
    let put = org.api.post(&path, &body(MAX_BATCH_TENANTS)).await?.expect(200)?;
    ensure!(put.body == json!({"created": 50, "changed": 0, "unchanged": 0}), "{}", put.body);
    let again = org.api.post(&path, &body(MAX_BATCH_TENANTS)).await?.expect(200)?;
    ensure!(again.body["unchanged"] == 50, "{}", again.body);
    Ok(())
}
