//! Webhook endpoints. Their secrets stay out of the log: its entry has the endpoint without them.

use flagforge_flags::keys::OrgKey;

use super::Plan;
use super::directory::organization_in;
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::input::bounded;
use crate::place;
use crate::ports::Table;
use crate::store::{self, ABSENT, Stored, version_of};
use crate::webhooks::{MAX_WEBHOOKS, WebhookRecord};

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::PutWebhook { org, record } => put(table, request, plan, org, record).await,
        Change::DeleteWebhook { org, id } => {
            let place = place::webhook(org, id);
            let stands: Stored<WebhookRecord> = store::standing(table, &place, "webhook").await?;
            request.precondition.check(stands.version)?;
            plan.delete(place, stands.version);
            Ok(())
        }
        _ => Err(Error::Internal { context: "not a change of webhooks", source: None }),
    }
}

async fn put(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    record: &WebhookRecord,
) -> Result<(), Error> {
    record.webhook.asked.check()?;
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    let place = place::webhook(org, &record.webhook.id);
    let standing: Option<Stored<WebhookRecord>> = store::read(table, &place).await?;
    let version = version_of(standing.as_ref());
    request.precondition.check(version)?;
    if version == ABSENT {
        let all: Vec<Stored<WebhookRecord>> =
            store::all(table, &place::org_pk(org), "WEBHOOK#").await?;
        bounded("webhooks", "webhooks", MAX_WEBHOOKS, all.len() + 1)?;
    }
    plan.put(place, version, record)?;
    if let Some(body) = plan.images.last_mut().and_then(|image| image.body.as_mut()) {
        body.as_object_mut().map(|fields| fields.remove("secrets"));
    }
    plan.about(&record.webhook, version == ABSENT)
}
