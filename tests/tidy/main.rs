//! The house rules that are neither types nor lints, as tests.
//!
//! A rule is a function from a [`Repo`] to complaints, so that it can be shown a bad repository and
//! be seen to complain; the tests in this file show it the real one.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the failure")]

mod alarms;
mod crates;
mod functions;
mod newcomer;
mod prose;
mod repo;
mod sources;

use std::fmt;

use repo::Repo;

/// One broken rule in one place.
#[derive(Debug, PartialEq, Eq)]
struct Complaint {
    place: String,
    what: String,
}

impl Complaint {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// The one door for the real repository: no complaint, or all of them at once.
fn hold(rule: fn(&Repo) -> Vec<Complaint>) {
    let complaints = rule(&Repo::of_this_workspace());
    let list: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
    assert!(complaints.is_empty(), "\n{}\n", list.join("\n"));
}

/// The one door for bad repositories: exactly these places are complained about.
#[track_caller]
fn complains(rule: fn(&Repo) -> Vec<Complaint>, repo: &Repo, places: &[&str]) {
    let complaints = rule(repo);
    let found: Vec<&str> = complaints.iter().map(|complaint| complaint.place.as_str()).collect();
    assert_eq!(found, places, "{complaints:?}");
}

#[test]
fn what_raises_an_alarm_is_watched_in_the_cloud() {
    hold(alarms::are_watched);
}

#[test]
fn crates_depend_only_along_the_edges_of_the_design() {
    hold(crates::edges);
}

#[test]
fn cloud_crates_are_used_only_where_the_cloud_is() {
    hold(crates::cloud_stays_in_its_rooms);
}

#[test]
fn every_crate_inherits_the_workspace_lints() {
    hold(crates::lints_are_inherited);
}

#[test]
fn every_library_opens_with_its_readme() {
    hold(crates::libraries_open_with_their_readme);
}

#[test]
fn the_lock_file_knows_one_registry() {
    hold(crates::one_registry);
}

#[test]
fn every_function_has_its_readme_its_short_main_and_its_module() {
    hold(functions::are_complete);
}

#[test]
fn status_codes_stay_in_the_http_folder() {
    hold(sources::status_codes_stay_in_http);
}

#[test]
fn schemas_have_names_of_their_own() {
    hold(sources::schemas_have_names_of_their_own);
}

#[test]
fn files_are_short() {
    hold(sources::files_are_short);
}

#[test]
fn modules_are_named_for_a_noun() {
    hold(sources::modules_have_names);
}

#[test]
fn nothing_is_put_off() {
    hold(sources::nothing_is_put_off);
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    hold(sources::no_workplace);
}

#[test]
fn paths_in_prose_exist() {
    hold(prose::paths_exist);
}

#[test]
fn decisions_say_their_status() {
    hold(prose::decisions_are_whole);
}
