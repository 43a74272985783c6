//! What was deleted and can come back: flags, and segments of an environment.

use clap::Subcommand;
use reqwest::Method;

use super::audit::actor;
use super::client::{Body, Version};
use super::table::{Column, field, with};
use super::{Find, Path, Session};

const COLUMNS: [Column; 5] = [
    field("KEY", "what.key"),
    field("DELETED", "deleted.at"),
    with("BY", |gone| actor(&gone["deleted"]["by"])),
    field("KEPT UNTIL", "deleted.until"),
    field("REASON", "deleted.reason"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum DeletedCommand {
    /// List what was deleted and can be restored.
    List(Find),
    /// Bring it back as it was.
    Restore {
        /// Its key.
        key: String,
    },
    /// End it for good and free its key, once its time is over.
    Purge {
        /// Its key.
        key: String,
    },
}

pub(super) async fn run(s: &Session, command: &DeletedCommand, at: Path) -> anyhow::Result<()> {
    match command {
        DeletedCommand::List(find) => s.find(at, find, &COLUMNS).await,
        DeletedCommand::Restore { key } => {
            let answer = s.post(&at.to(&[key, "restore"]), Body::None).await?;
            s.tell(&answer, &format!("{key} is back as it was"))
        }
        DeletedCommand::Purge { key } => {
            s.confirm(&format!("End {key} for good?"))?;
            let answer = s.change(Method::DELETE, &at.to(&[key]), Body::None, Version::Any).await?;
            s.tell(&answer, &format!("{key} is gone for good"))
        }
    }
}
