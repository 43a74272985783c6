//! How far an environment's configuration has come, for people.

use serde_json::Value as Json;

use super::session::print_json;
use super::table::{Column, field, plain, with};
use super::{Pages, Path, Session};
use crate::args::say;

const COLUMNS: [Column; 8] = [
    field("REPORTER", "reporter"),
    field("KIND", "kind"),
    field("NAME", "name"),
    field("REVISION", "revision"),
    field("BEHIND", "behind"),
    with("LAG", |reporter| millis(&reporter["lagMillis"])),
    field("STATUS", "status"),
    with("HEARD", heard),
];

pub(super) async fn show(s: &Session, path: Path, pages: &Pages) -> anyhow::Result<()> {
    // What is not in the list is the same on each of its pages.
    let first = s.get(&path.clone().ask("limit", &1)).await?.json()?;
    let found = s.gather(&path, pages).await?;
    if s.json() {
        let mut whole = first;
        for part in ["items", "next"] {
            whole[part] = found[part].clone();
        }
        return print_json(&whole);
    }
    summary(&first).iter().for_each(|line| say(line));
    s.print_list(&found, &COLUMNS)
}

fn summary(progress: &Json) -> Vec<String> {
    let at = |part: &str| {
        let part = &progress[part];
        format!("{} of {}", plain(&part["revision"]), plain(&part["at"]))
    };
    let mut lines = vec![format!("committed  {}", at("committed"))];
    let is_published = progress["published"].is_object();
    lines.push(format!(
        "published  {}",
        if is_published { at("published") } else { "nothing".into() }
    ));
    let counts = &progress["reporters"];
    let count = |name: &str| counts[name].as_u64().unwrap_or_default();
    lines.push(format!(
        "heard      {}, of which {} have not got {}; {} fell silent",
        count("heard"),
        count("behind"),
        plain(&progress["revision"]),
        count("silent"),
    ));
    let lag = &progress["lag"];
    if lag.is_object() {
        let (p50, p99) = (millis(&lag["p50Millis"]), millis(&lag["p99Millis"]));
        lines.push(format!("lag        p50 {p50}, p99 {p99}"));
    }
    lines
}

fn millis(value: &Json) -> String {
    match value.as_u64() {
        None => String::new(),
        Some(millis) if millis < 10_000 => format!("{millis} ms"),
        Some(millis) => format!("{} s", millis / 1_000),
    }
}

fn heard(reporter: &Json) -> String {
    let at = plain(&reporter["heard"]);
    if reporter["silent"] == true { format!("{at} (silent)") } else { at }
}
