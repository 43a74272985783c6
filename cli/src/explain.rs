//! `flagforge explain`: every step to one answer.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use flagforge_flags::keys::TenantKey;
use flagforge_formats::Request;
use reqwest::Url;
use serde_json::Value as Json;

use crate::args::{self, Explain};
use crate::eval;

/// How long a server may take: it answers from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Prints how a flag of a file or of a server comes to its answer.
pub(crate) async fn run(explain: &Explain) -> anyhow::Result<()> {
    let context: Json = serde_json::from_str(&explain.context).context("--context is no JSON")?;
    let tenant = explain.tenant.as_deref().map(TenantKey::new).transpose();
    let tenant = tenant.context("--tenant")?;
    match (&explain.config, &explain.url) {
        (Some(config), _) => from_file(explain, config, context, tenant),
        (None, Some(url)) => {
            let (json, text) = from_server(explain, url, &context, tenant).await?;
            print(explain, &json, &text)
        }
        (None, None) => bail!("either --config or --url says what to explain"),
    }
}

fn from_file(
    explain: &Explain,
    config: &Path,
    context: Json,
    tenant: Option<TenantKey>,
) -> anyhow::Result<()> {
    let config = eval::load(explain.format, config)?;
    for warning in config.warnings().iter().filter(|warning| warning.subject == explain.flag) {
        args::note(&warning.to_string());
    }
    let request = Request { flag: explain.flag.clone(), tenant, context, default: None };
    let explanation = config.explain(&request, eval::now()).context("--context")?;
    let text = explanation.to_string();
    let json = serde_json::to_value(&explanation).context("the trace is no JSON")?;
    print(explain, &json, &text)
}

/// The explanation as a server gives it, and its lines for people.
pub(crate) async fn from_server(
    explain: &Explain,
    url: &str,
    context: &Json,
    tenant: Option<TenantKey>,
) -> anyhow::Result<(Json, String)> {
    let key = explain.key.as_deref().context("FLAGFORGE_KEY holds no key to ask with")?;
    let mut address = Url::parse(url).with_context(|| format!("--url {url}"))?;
    let mut path = address.path_segments_mut().map_err(|()| anyhow!("--url {url} has no path"))?;
    path.pop_if_empty().extend(["data", "v1", "explain", &explain.flag]);
    drop(path);
    let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).build()?;
    let body = serde_json::json!({"context": context}).to_string();
    let mut request = client.post(address).bearer_auth(key).body(body);
    request = request.header("Content-Type", "application/json");
    for (name, value) in [
        ("FlagForge-Tenant", tenant.as_ref().map(TenantKey::as_str)),
        ("FlagForge-Environment", explain.environment.as_deref()),
    ] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.with_context(|| format!("asking {url}"))?;
    let status = answer.status();
    let bytes = answer.bytes().await.with_context(|| format!("asking {url}"))?;
    let json: Json = serde_json::from_slice(&bytes)
        .with_context(|| format!("{url} answered {status}, and no JSON"))?;
    if !status.is_success() {
        let said = ["errorDetails", "detail", "title"].iter().find_map(|name| json[name].as_str());
        bail!("{url} answered {status}: {}", said.unwrap_or("it does not say why"));
    }
    let text = json["text"].as_str().unwrap_or_default().to_owned();
    Ok((json, text))
}

fn print(explain: &Explain, json: &Json, text: &str) -> anyhow::Result<()> {
    if explain.json {
        args::say(&serde_json::to_string_pretty(json).context("the trace is no JSON")?);
    } else {
        args::say(text.trim_end());
    }
    Ok(())
}
