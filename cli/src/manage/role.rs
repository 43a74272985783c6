//! `flagforge role`.

use clap::Subcommand;

use super::fields::Fields;
use super::session::Absent;
use super::table::{Column, field};
use super::{Find, Session};

const COLUMNS: [Column; 3] =
    [field("KEY", "key"), field("MAY", "permissions"), field("DESCRIPTION", "description")];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge role set releaser --may write-states --may kill --description 'Turns flags on and off'
  flagforge key create --name ci --role releaser
reader, approver, maintainer and admin are always there.")]
pub(crate) enum RoleCommand {
    /// List the organization's own roles.
    List(Find),
    /// Show a role.
    Show {
        /// The role.
        key: String,
    },
    /// Make a role, or change one, and everyone who has it; what is not said stays.
    Set {
        /// The role.
        key: String,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// A permission: read, write-flags, write-states, kill, write-overrides, write-segments, write-directory,
        /// write-environments, manage-keys, manage-members, manage-settings or approve. Repeat it for all it has.
        #[arg(long = "may", value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
    /// Delete a role that nobody has.
    Delete {
        /// The role.
        key: String,
    },
}

pub(crate) async fn run(command: &RoleCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        RoleCommand::List(find) => s.find(s.org(&["roles"])?, find, &COLUMNS).await,
        RoleCommand::Show { key } => s.get_and_show(&s.org(&["roles", key])?, &COLUMNS).await,
        RoleCommand::Set { key, description, permissions } => {
            let fields = Fields::default()
                .set_if("description", description.clone())
                .set_list("permissions", permissions);
            let answer = s.amend(&s.org(&["roles", key])?, fields, Absent::Create).await?;
            s.show(&answer, &COLUMNS)
        }
        RoleCommand::Delete { key } => {
            s.delete(
                &s.org(&["roles", key])?,
                &format!("the role {key}"),
                &format!("{key} is deleted"),
            )
            .await
        }
    }
}
