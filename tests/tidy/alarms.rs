//! What the code raises an alarm for is an alarm in the cloud, too.

use std::collections::BTreeSet;

use crate::Complaint;
use crate::repo::Repo;

const PLACE: &str = "infra/modules/flagforge/alarms.tf";
/// Where they are raised.
const ROOMS: [&str; 2] = ["shared/", "functions/"];
/// In a line of the log, before the kind of the alarm.
const RAISED: &str = "alarm = \"";

pub(crate) fn are_watched(repo: &Repo) -> Vec<Complaint> {
    let raised = repo
        .with_extension(&["rs"])
        .filter(|(path, _)| ROOMS.iter().any(|room| path.starts_with(room)));
    let raised: BTreeSet<&str> = raised
        .flat_map(|(_, text)| text.split(RAISED).skip(1))
        .filter_map(|after| after.split('"').next())
        .collect();
    let watched = repo.text(PLACE).unwrap_or_default();
    let is_watched = |kind: &str| {
        watched.lines().any(|line| line.split('=').next().is_some_and(|name| name.trim() == kind))
    };
    let unwatched = raised.into_iter().filter(|kind| !is_watched(kind));
    unwatched.map(|kind| Complaint::new(PLACE, format!("does not watch `{kind}`"))).collect()
}

#[test]
fn an_alarm_that_nobody_watches_is_seen() {
    let raises = "tracing::error!(alarm = \"held\", \"x\"); tracing::error!(alarm = \"lost\");";
    let files = [("shared/a.rs", raises), (PLACE, "    held     = \"A flag\"\n  # lost = no\n")];
    crate::complains(are_watched, &Repo::made_of(&files), &[PLACE]);
}
