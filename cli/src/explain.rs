//! `flagforge explain`: every step to one answer.

use anyhow::Context as _;
use flagforge_flags::keys::TenantKey;
use flagforge_formats::Request;

use crate::args::{self, Explain};
use crate::eval;

/// Prints how a flag of a configuration comes to its answer. Blocks.
pub(crate) fn run(explain: &Explain) -> anyhow::Result<()> {
    let config = eval::load(&explain.configuration)?;
    for warning in config.warnings().iter().filter(|warning| warning.subject == explain.flag) {
        args::note(&warning.to_string());
    }
    let context = serde_json::from_str(&explain.context).context("--context is no JSON")?;
    let tenant = explain.tenant.as_deref().map(TenantKey::new).transpose();
    let tenant = tenant.context("--tenant")?;
    let request = Request { flag: explain.flag.clone(), tenant, context, default: None };
    let explanation = config.explain(&request, eval::now()).context("--context")?;
    if explain.json {
        let json = serde_json::to_string_pretty(&explanation).context("the trace is no JSON")?;
        args::say(&json);
    } else {
        args::say(explanation.to_string().trim_end());
    }
    Ok(())
}
