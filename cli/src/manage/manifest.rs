//! `flagforge manifest`: what of it asks an installation.

use clap::Subcommand;
use serde_json::Value as Json;

use super::client::Body;
use super::fields::Fields;
use super::table::{Column, field, plain, with};
use super::{Common, Pages, Session};

const STATE: [Column; 10] = [
    field("REVISION", "revision"),
    field("SERIAL", "serial"),
    field("ISSUED", "issued"),
    field("EXPIRES", "expires"),
    field("STALE", "stale"),
    with("COUNTS", |state| plain(&state["counts"])),
    with("HELD", |state| {
        each(&state["held"], |held| {
            format!(
                "{} since {}: {}",
                plain(&held["flag"]),
                plain(&held["since"]),
                plain(&held["why"])
            )
        })
    }),
    with("WITHHELD", |state| {
        each(&state["withheld"], |of| {
            let [kind, there, published] =
                ["kind", "there", "published"].map(|name| plain(&of[name]));
            format!("{there} {kind} are there, {published} published; {}", plain(&of["remedy"]))
        })
    }),
    with("ACCEPTED", |state| plain(&state["accepted"])),
    with("RESTORED", |state| plain(&state["restored"])),
];

const KEPT: [Column; 5] = [
    field("NAME", "name"),
    field("ISSUED", "issued"),
    field("REVISION", "revision"),
    with("FLAGS", |root| plain(&root["counts"]["flags"])),
    with("TENANTS", |root| plain(&root["counts"]["tenants"])),
];

const DIFFERENCE: [Column; 6] = [
    field("NAME", "name"),
    field("ISSUED", "issued"),
    field("REVISION", "revision"),
    with("FLAGS", |root| differing(&root["flags"])),
    with("TENANTS", |root| differing(&root["tenants"])),
    with("SEGMENTS", |root| differing(&root["segments"])),
];

/// What there was then and is not now has a `+`, for it would come back; what would go has a `-`.
fn differing(of: &Json) -> String {
    let sorts = [("+", "onlyThen"), ("-", "onlyNow"), ("~", "changed")];
    let mut told: Vec<String> = Vec::new();
    for (sign, sort) in sorts {
        let names = of[sort].as_array().into_iter().flatten().filter_map(Json::as_str);
        told.extend(names.map(|name| format!("{sign}{name}")));
    }
    let more = of["count"].as_u64().unwrap_or_default().saturating_sub(told.len() as u64);
    match (told.is_empty(), more) {
        (true, _) => "the same".to_owned(),
        (false, 0) => told.join(" "),
        (false, more) => format!("{} and {more} more", told.join(" ")),
    }
}

fn each(items: &Json, tell: fn(&Json) -> String) -> String {
    let told: Vec<String> = items.as_array().into_iter().flatten().map(tell).collect();
    if told.is_empty() { "none".to_owned() } else { told.join("; ") }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Say how an environment's manifest stands: its age, which flags are held and why, what is withheld.
    State {
        #[command(flatten)]
        common: Common,
    },
    /// List the roots that are kept, the newest first: the last of each hour, for a month.
    List {
        #[command(flatten)]
        pages: Pages,
        #[command(flatten)]
        common: Common,
    },
    /// Say what of an earlier root is not as it is published now: what restoring it would do.
    Compare {
        /// Its name, as `flagforge manifest list` says it.
        root: String,
        #[command(flatten)]
        common: Common,
    },
    /// Publish what an earlier root has, until it is released. Kill switches pass, and flags that are turned off from then on;
    /// all other changes are taken, and wait.
    #[command(after_help = "\
  flagforge manifest list --env prod
  flagforge manifest compare 001781000000000-41 --env prod
  flagforge manifest restore 001781000000000-41 --env prod --reason 'the import of this morning'")]
    Restore {
        /// Its name, as `flagforge manifest list` says it.
        root: String,
        #[command(flatten)]
        common: Common,
    },
    /// Publish what is there again, with all changes that waited.
    Release {
        #[command(flatten)]
        common: Common,
    },
    /// Say that it is meant that so much is gone at once, and let it be published: what is withheld now, or beforehand, for an
    /// hour.
    #[command(after_help = "\
What `flagforge manifest state` says is withheld:
  flagforge manifest accept-shrinkage --env prod --reason 'the old shop is gone'
Before deleting many:
  flagforge manifest accept-shrinkage --flags 20 --tenants 900 --env prod --reason 'the old shop goes'")]
    AcceptShrinkage {
        /// So few flags may be left; 0 when another number is said.
        #[arg(long, value_name = "N")]
        flags: Option<u64>,
        /// So few tenants.
        #[arg(long, value_name = "N")]
        tenants: Option<u64>,
        /// So few segments.
        #[arg(long, value_name = "N")]
        segments: Option<u64>,
        #[command(flatten)]
        common: Common,
    },
}

pub(crate) async fn run(command: &ManifestCommand) -> anyhow::Result<()> {
    match command {
        ManifestCommand::State { common } => {
            let s = Session::open(common)?;
            s.get_and_show(&s.env(&["manifest"])?, &STATE).await
        }
        ManifestCommand::List { pages, common } => {
            let s = Session::open(common)?;
            s.list(&s.env(&["manifest", "kept"])?, pages, &KEPT).await
        }
        ManifestCommand::Compare { root, common } => {
            let s = Session::open(common)?;
            s.get_and_show(&s.env(&["manifest", "kept", root])?, &DIFFERENCE).await
        }
        ManifestCommand::Restore { root, common } => {
            let s = Session::open(common)?;
            let env = s.env_name()?;
            s.confirm(&format!("Publish what {root} has in {env}, until it is released?"))?;
            let body = Fields::default().set("root", root.as_str()).json();
            let answer = s.post(&s.env(&["manifest", "restore"])?, Body::Json(body)).await?;
            s.tell(&answer, "restored; changes wait until `flagforge manifest release`")
        }
        ManifestCommand::Release { common } => {
            let s = Session::open(common)?;
            s.confirm(&format!("Publish what is there now in {}?", s.env_name()?))?;
            let body = Body::Json(Fields::default().json());
            let answer = s.post(&s.env(&["manifest", "release"])?, body).await?;
            s.tell(&answer, "released; what waited is published")
        }
        ManifestCommand::AcceptShrinkage { flags, tenants, segments, common } => {
            let s = Session::open(common)?;
            let all = [("flags", flags), ("tenants", tenants), ("segments", segments)];
            let said = all.iter().any(|(_, number)| number.is_some());
            let fields = all
                .iter()
                .fold(Fields::default(), |fields, (name, number)| fields.set_if(name, **number));
            let body = match said {
                true => Fields::default().set("downTo", fields.json()).json(),
                false => Fields::default().json(),
            };
            s.confirm(&format!("Let go what is gone from the manifest of {}?", s.env_name()?))?;
            let path = s.env(&["manifest", "accept-shrinkage"])?;
            let answer = s.post(&path, Body::Json(body)).await?;
            s.tell(
                &answer,
                "what is gone may be gone from the manifest, too; this counts for an hour",
            )
        }
    }
}
