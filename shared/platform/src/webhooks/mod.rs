//! Webhooks: change events, signed, to addresses that an organization names.

mod deliver;
mod guard;
mod sign;
mod state;

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

use crate::caller::{Caller, Permission};
use crate::change::Change;
use crate::commit::{Outcome, Request};
use crate::error::Error;
use crate::events::Event;
use crate::input::{bounded, bounded_text};
use crate::read::PageOf;
use crate::store::{self, Listing, Stored};
use crate::{Platform, fresh, place};

pub(crate) use guard::check_url;
pub use guard::{MAX_WEBHOOK_URL_BYTES, is_public};
pub use state::{Dead, MAX_DEAD, MAX_PENDING, RETRY_AFTER, State};

/// Endpoints of an organization: each reads every log of it.
pub const MAX_WEBHOOKS: usize = 20;
/// Entries of one filter of an endpoint.
pub const MAX_FILTERS: usize = 50;
/// How long a secret that was replaced goes on signing beside its successor.
pub const ROTATION_OVERLAP: Duration = Duration::from_secs(24 * 3_600);

/// An endpoint as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookInput {
    /// `https`; plain `http` only on this machine, where the installation allows it.
    pub url: String,
    #[serde(default)]
    pub description: String,
    /// Types of events, say `flag.killed`, or all that begin so: `flag.*`. Empty: all.
    #[serde(default)]
    pub types: Vec<String>,
    /// Events of these environments only. Empty: of all, and of the organization.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub environments: Vec<EnvKey>,
    /// Events of these flags only. Empty: of all, and of what is no flag.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub flags: Vec<FlagKey>,
    /// Nothing is sent while it is paused; what happened meanwhile is sent afterwards.
    #[serde(default)]
    pub paused: bool,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    pub id: String,
    #[serde(flatten)]
    pub asked: WebhookInput,
    pub created: Timestamp,
}

/// An endpoint as it is stored, with what it is signed with: the newest secret first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookRecord {
    #[serde(flatten)]
    pub webhook: Webhook,
    #[serde(default)]
    pub(crate) secrets: Vec<Secret>,
}

/// A secret, hidden from `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Secret {
    pub(crate) key: String,
    /// When it was replaced and stops signing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("until", &self.until).finish_non_exhaustive()
    }
}

impl WebhookInput {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_url(&self.url)?;
        bounded_text("description", &self.description)?;
        bounded("types", "types", MAX_FILTERS, self.types.len())?;
        bounded("environments", "environments", MAX_FILTERS, self.environments.len())?;
        bounded("flags", "flags", MAX_FILTERS, self.flags.len())?;
        for (index, kind) in self.types.iter().enumerate() {
            let stem = kind.strip_suffix(".*").unwrap_or(kind);
            let letters = stem.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'.' | b'-'));
            if stem.is_empty() || stem.len() > 64 || !letters {
                let message =
                    "is a type of event, such as flag.killed, or flag.* for all that begin so";
                return Err(Error::invalid(format!("types[{index}]"), message));
            }
        }
        Ok(())
    }

    /// Whether an event is asked for.
    pub(crate) fn wants(&self, event: &Event) -> bool {
        let has =
            |name: &str, key: &str| event.data.get(name).and_then(|k| k.as_str()) == Some(key);
        let kind = |wanted: &String| match wanted.strip_suffix('*') {
            Some(stem) => event.kind.starts_with(stem),
            None => event.kind == *wanted,
        };
        (self.types.is_empty() || self.types.iter().any(kind))
            && (self.environments.is_empty()
                || self.environments.iter().any(|env| has("environment", env.as_str())))
            && (self.flags.is_empty() || self.flags.iter().any(|flag| has("flag", flag.as_str())))
    }
}

impl Platform {
    pub async fn webhooks(
        &self,
        caller: &Caller,
        org: &OrgKey,
        page: &PageOf,
    ) -> Result<Listing<Webhook>, Error> {
        caller.can_everywhere(org, Permission::ManageSettings)?;
        self.organization(caller, org).await?;
        self.page(&place::org_pk(org), "WEBHOOK#", page).await
    }

    pub async fn webhook(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
    ) -> Result<Stored<Webhook>, Error> {
        let Stored { value, version } = self.webhook_record(caller, org, id).await?;
        Ok(Stored { value: value.webhook, version })
    }

    async fn webhook_record(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
    ) -> Result<Stored<WebhookRecord>, Error> {
        caller.can_everywhere(org, Permission::ManageSettings)?;
        store::standing(self.table(), &place::webhook(org, id), "webhook").await
    }

    /// Makes an endpoint. It hears of what happens from now on. Answers its secret, which is shown this once.
    pub async fn create_webhook(
        &self,
        caller: &Caller,
        org: &OrgKey,
        asked: WebhookInput,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Outcome, String), Error> {
        caller.can_everywhere(org, Permission::ManageSettings)?;
        if !self.delivers_webhooks() {
            return Err(Error::invalid("webhooks", "this installation delivers none"));
        }
        let webhook = Webhook { id: fresh::id()?, asked, created: self.timer().now() };
        let key = sign::secret()?;
        let id = webhook.id.clone();
        let secrets = vec![Secret { key: key.clone(), until: None }];
        let record = WebhookRecord { webhook, secrets };
        let from = self.heads(org).await?;
        let outcome =
            self.commit(caller, &request(Change::PutWebhook { org: org.clone(), record })).await?;
        self.begin_deliveries(org, &id, from).await?;
        Ok((outcome, key))
    }

    /// Changes an endpoint; its secret stays.
    pub async fn change_webhook(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
        asked: WebhookInput,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<Outcome, Error> {
        let stands = self.webhook_record(caller, org, id).await?.value;
        let record = WebhookRecord { webhook: Webhook { asked, ..stands.webhook }, ..stands };
        self.commit(caller, &request(Change::PutWebhook { org: org.clone(), record })).await
    }

    /// Gives an endpoint a new secret. For a day the old one signs too.
    pub async fn rotate_webhook(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Outcome, String), Error> {
        let mut record = self.webhook_record(caller, org, id).await?.value;
        let key = sign::secret()?;
        let until = self.timer().now().plus(ROTATION_OVERLAP);
        record.secrets.truncate(1);
        record.secrets.iter_mut().for_each(|old| old.until = Some(until));
        record.secrets.insert(0, Secret { key: key.clone(), until: None });
        let outcome =
            self.commit(caller, &request(Change::PutWebhook { org: org.clone(), record })).await?;
        Ok((outcome, key))
    }
}
