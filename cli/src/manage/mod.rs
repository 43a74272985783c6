//! The operator's commands: everything that the management API offers, against any installation.
//!
//! What may be said is the API's to decide: commands send what they were told as JSON, and show its answers and its
//! refusals. Schemas are not repeated here.

mod audit;
mod client;
mod deleted;
mod env;
mod fields;
mod flag;
mod group;
mod import;
mod issuer;
mod key;
mod kill;
mod manifest;
mod org;
mod path;
mod person;
mod profile;
mod propagation;
mod refusal;
mod role;
mod schedule;
mod segment;
mod session;
mod settings;
mod source;
mod special;
mod table;
mod tenant;
mod webhook;

use std::path::PathBuf;

use clap::Subcommand;

pub(crate) use client::{Body, Version};
pub(crate) use fields::bytes_in;
pub(crate) use manifest::{ManifestCommand, run as manifest};
pub(crate) use path::Path;
pub(crate) use refusal::{EXIT_CODES, exit_code};
pub(crate) use session::Session;

/// Under which options are listed in `--help`.
const WHERE: &str = "Where, and as whom";
const HOW: &str = "How";
const WHY: &str = "For changes";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Profiles: installations that one works with, and their keys.
    #[command(subcommand_required = true)]
    Profile(Noun<profile::ProfileCommand>),
    /// Organizations. Most of it is for the installation's operator.
    Org(Noun<org::OrgCommand>),
    /// Environments: list, create, compare, copy, promote, and turn all of one off.
    Env(Noun<env::EnvCommand>),
    /// Flags: define them, and decide what they do in an environment.
    Flag(Noun<flag::FlagCommand>),
    /// Overrides: what is special for a tenant or a group, seen from both sides.
    Override(Noun<special::OverrideCommand>),
    /// Kill switches: many flags off in one call, and back.
    Kill(Noun<kill::KillCommand>),
    /// Schedules: changes that take effect at an instant.
    Schedule(Noun<schedule::ScheduleCommand>),
    /// Segments: saved sets of users, per environment.
    Segment(Noun<segment::SegmentCommand>),
    /// Tenants: your customers, with their attributes.
    Tenant(Noun<tenant::TenantCommand>),
    /// Imports: up to 100,000 tenants from a file.
    Import(Noun<import::ImportCommand>),
    /// The customer database that tenants come from.
    Source(Noun<source::SourceCommand>),
    /// Groups: named sets of tenants.
    Group(Noun<group::GroupCommand>),
    /// Issuers whose tokens let people in.
    Issuer(Noun<issuer::IssuerCommand>),
    /// Access keys.
    Key(Noun<key::KeyCommand>),
    /// People whom the organization took in.
    Person(Noun<person::PersonCommand>),
    /// Invitations: tokens that let one person in, once.
    Invitation(Noun<person::InvitationCommand>),
    /// Roles of the organization's own.
    Role(Noun<role::RoleCommand>),
    /// What was changed, by whom and why.
    Audit(Noun<audit::AuditCommand>),
    /// Webhooks: who is told of changes.
    Webhook(Noun<webhook::WebhookCommand>),
}

/// A noun's commands, with what all commands take.
#[derive(Debug, clap::Args)]
pub(crate) struct Noun<C: Subcommand> {
    #[command(subcommand)]
    pub(crate) command: C,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What all commands take.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Answer with the API's own JSON.
    #[arg(long, global = true, help_heading = HOW)]
    pub(crate) json: bool,
    /// Ask nothing: yes, do it.
    #[arg(long, short, global = true, help_heading = WHY)]
    pub(crate) yes: bool,
    /// Why; it stays with the entry of the log.
    #[arg(long, global = true, value_name = "TEXT", help_heading = WHY)]
    pub(crate) reason: Option<String>,
    /// What it belongs to: incident=…, release=… or ticket=… and an address. Repeat it for several.
    #[arg(long = "link", global = true, value_name = "KIND=URL", help_heading = WHY)]
    pub(crate) links: Vec<String>,
    /// Only if it is still at this version, as `show` says it. Without it, the version that the command itself read.
    #[arg(long, global = true, value_name = "VERSION", help_heading = WHY)]
    pub(crate) if_match: Option<String>,
    /// The same key and command again, within a day, is done once. Without it, a new key for each run.
    #[arg(long, global = true, value_name = "KEY", help_heading = WHY)]
    pub(crate) idempotency_key: Option<String>,
}

/// Which installation, and as whom. `flagforge profile --help` says in which order settings count.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Place {
    /// The installation's address, say https://flags.example.com [or FLAGFORGE_URL, or a profile's]
    #[arg(long, global = true, value_name = "URL", help_heading = WHERE)]
    pub(crate) url: Option<String>,
    /// A file with the access key; `-` is the standard input [or FLAGFORGE_KEY, FLAGFORGE_KEY_FILE, or a profile's]
    #[arg(long, global = true, value_name = "FILE", help_heading = WHERE)]
    pub(crate) key_file: Option<PathBuf>,
    /// A kept installation; see `flagforge profile` [or FLAGFORGE_PROFILE, or the one in use]
    #[arg(long, global = true, value_name = "NAME", help_heading = WHERE)]
    pub(crate) profile: Option<String>,
    /// The organization [or FLAGFORGE_ORG, or a profile's, or the key's own]
    #[arg(long, global = true, value_name = "KEY", help_heading = WHERE)]
    pub(crate) org: Option<String>,
    /// The environment [or FLAGFORGE_ENV, or a profile's]
    #[arg(long, global = true, value_name = "KEY", help_heading = WHERE)]
    pub(crate) env: Option<String>,
}

/// How much of a list.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Pages {
    /// So many at most. Default: 100.
    #[arg(long, value_name = "N", conflicts_with = "all", value_parser = at_least_one)]
    pub(crate) limit: Option<usize>,
    /// All of them, however many.
    #[arg(long)]
    pub(crate) all: bool,
    /// From where a list ended before.
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
}

/// Which of a list, and how much of it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Find {
    /// Only those with this in their key, name, description or reason.
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// Only these fields of each, as JSON: key,owner or attributes.plan, say.
    #[arg(long, value_name = "FIELDS")]
    pub(crate) fields: Option<String>,
    #[command(flatten)]
    pub(crate) pages: Pages,
}

impl Find {
    /// The address of a list, with what is asked of it.
    pub(crate) fn of(&self, path: Path) -> Path {
        path.ask_if("search", self.search.as_deref()).ask_if("fields", self.fields.as_deref())
    }
}

/// Which flags of a list.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct FlagFilter {
    /// Only flags of this owner.
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
    /// Only flags of this domain.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Only flags of this class.
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Only flags with this tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

impl FlagFilter {
    /// The address of a list of flags, with what is asked of it.
    pub(crate) fn of(&self, path: Path) -> Path {
        let Self { owner, domain, class, tag } = self;
        path.ask_if("owner", owner.as_deref())
            .ask_if("domain", domain.as_deref())
            .ask_if("class", class.as_deref())
            .ask_if("tag", tag.as_deref())
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "a whole number from 1".to_owned())
}

/// Runs an operator's command.
pub(crate) async fn run(command: &Command) -> anyhow::Result<()> {
    macro_rules! on {
        ($noun:expr, $run:path) => {
            $run(&$noun.command, &Session::open(&$noun.common)?).await
        };
    }
    match command {
        Command::Profile(noun) => profile::run(noun),
        Command::Org(noun) => on!(noun, org::run),
        Command::Env(noun) => on!(noun, env::run),
        Command::Flag(noun) => on!(noun, flag::run),
        Command::Override(noun) => on!(noun, special::run),
        Command::Kill(noun) => on!(noun, kill::run),
        Command::Schedule(noun) => on!(noun, schedule::run),
        Command::Segment(noun) => on!(noun, segment::run),
        Command::Tenant(noun) => on!(noun, tenant::run),
        Command::Import(noun) => on!(noun, import::run),
        Command::Source(noun) => on!(noun, source::run),
        Command::Group(noun) => on!(noun, group::run),
        Command::Issuer(noun) => on!(noun, issuer::run),
        Command::Key(noun) => on!(noun, key::run),
        Command::Person(noun) => on!(noun, person::run),
        Command::Invitation(noun) => on!(noun, person::invitations),
        Command::Role(noun) => on!(noun, role::run),
        Command::Audit(noun) => on!(noun, audit::run),
        Command::Webhook(noun) => on!(noun, webhook::run),
    }
}
