//! `flagforge explain`: every step to one answer.

use std::path::Path as FilePath;

use anyhow::Context as _;
use flagforge_flags::keys::TenantKey;
use flagforge_formats::Request;
use serde_json::{Value as Json, json};

use crate::args::{self, Explain};
use crate::eval;
use crate::manage::{Common, Path, Session};

/// Prints how a flag of a file or of a server comes to its answer.
pub(crate) async fn run(explain: &Explain) -> anyhow::Result<()> {
    let context: Json = serde_json::from_str(&explain.context).context("--context is no JSON")?;
    let tenant = explain.tenant.as_deref().map(TenantKey::new).transpose();
    let tenant = tenant.context("--tenant")?;
    match &explain.config {
        Some(config) => from_file(explain, config, context, tenant),
        None => {
            let (json, text) = from_server(explain, context, tenant).await?;
            print(explain, &json, &text)
        }
    }
}

fn from_file(
    explain: &Explain,
    config: &FilePath,
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
async fn from_server(
    explain: &Explain,
    mut context: Json,
    tenant: Option<TenantKey>,
) -> anyhow::Result<(Json, String)> {
    let common = Common { place: explain.place.clone(), ..Common::default() };
    let session = Session::open(&common)?;
    if let Some(user) = &explain.user {
        context["targetingKey"] = user.as_str().into();
    }
    let tenant = tenant.map(|tenant| ("flagforge-tenant", tenant.to_string()));
    let env = session.env_if_named().map(|env| ("flagforge-environment", env.to_owned()));
    let headers: Vec<_> = tenant.into_iter().chain(env).collect();
    let path = Path::of(&["data", "v1", "explain", &explain.flag]);
    let json = session.ask(&path, &headers, json!({"context": context})).await?.json()?;
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
