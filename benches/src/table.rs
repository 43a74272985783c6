//! Markdown, ready to paste.

use std::fmt::Write as _;

use crate::engine::Engine;
use crate::floor::Floor;
use crate::loading::Loaded;
use crate::ours::Ours;
use crate::scale::Scaled;
use crate::threads::Ratio;
use crate::timing::Figure;

/// What we want to reach, in nanoseconds, and the floor of the machine where that was said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) nanoseconds: f64,
    pub(crate) floor: Option<f64>,
}

/// A workload, and what each engine took for it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) reach: Option<Reach>,
    pub(crate) figures: Vec<Figure>,
}

const COLUMNS: [&str; 6] =
    [Floor::NAME, Ours::NAME, "yggdrasil", "LaunchDarkly", "eppo", "growthbook"];

impl Row {
    fn of(&self, engine: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.engine == engine)
    }

    /// What we take, by what the floor takes here.
    fn by_floor(&self) -> Option<f64> {
        Some(self.of(Ours::NAME)?.nanoseconds / self.of(Floor::NAME)?.nanoseconds)
    }

    /// How many times longer the fastest peer takes.
    fn advantage(&self) -> Option<f64> {
        let ours = self.of(Ours::NAME)?.nanoseconds;
        let peers = COLUMNS[2..].iter().filter_map(|engine| self.of(engine));
        let best = peers.map(|figure| figure.nanoseconds).min_by(f64::total_cmp)?;
        Some(best / ours)
    }
}

pub(crate) fn evaluations(rows: &[Row]) -> String {
    let mut text = String::from("| ns a call (allocations) | reach | × floor |");
    for engine in COLUMNS {
        let _ = write!(text, " {engine} |");
    }
    text.push_str(" × floor | best peer ÷ ours |\n|---|---|---|");
    text.push_str(&"---|".repeat(COLUMNS.len() + 2));
    for row in rows {
        let reach = row.reach.map(|reach| reach.nanoseconds);
        let by_floor = row.reach.and_then(|reach| Some(reach.nanoseconds / reach.floor?));
        let (reach, by_floor) = (at_most(reach, number), at_most(by_floor, ratio));
        let _ = write!(text, "\n| {} | {reach} | {by_floor} |", row.name);
        for engine in COLUMNS {
            let _ = write!(text, " {} |", row.of(engine).map_or("–".into(), cell));
        }
        let [by_floor, advantage] =
            [row.by_floor(), row.advantage()].map(|value| value.map_or("–".into(), ratio));
        let _ = write!(text, " {by_floor} | {advantage} |");
    }
    text
}

fn at_most(value: Option<f64>, print: fn(f64) -> String) -> String {
    value.map_or("–".into(), |value| format!("≤ {}", print(value)))
}

fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

fn cell(figure: &Figure) -> String {
    let nanoseconds = number(figure.nanoseconds);
    match figure.allocations {
        Some(allocations) if allocations > 0.0 => {
            format!("{nanoseconds} ({})", number(allocations))
        }
        _ => nanoseconds,
    }
}

/// Three digits say what such a figure can say.
fn number(value: f64) -> String {
    if value == value.round() && value < 1e3 || value >= 100.0 {
        let digits = format!("{value:.0}");
        let groups = digits.as_bytes().rchunks(3).rev();
        let groups: Vec<&str> = groups.map(|group| std::str::from_utf8(group).unwrap()).collect();
        groups.join(",")
    } else {
        format!("{value:.1}")
    }
}

pub(crate) fn loads(rows: &[Loaded]) -> String {
    let mut text = String::from(
        "| load 10,000 flags (reach ≤ 12 ms, ≤ 10 MiB) | bytes read | ms | MiB retained | MiB at most |\n|---|---|---|---|---|",
    );
    let mib = |bytes: i64| bytes as f64 / (1024.0 * 1024.0);
    for row in rows {
        let (retained, peak) = (mib(row.retained_bytes), mib(row.peak_bytes));
        let (wire, time) = (number(row.wire_bytes as f64), row.milliseconds);
        let _ =
            write!(text, "\n| {} | {wire} | {time:.1} | {retained:.1} | {peak:.1} |", row.engine);
    }
    text
}

pub(crate) fn ids(rows: &[(&str, f64)]) -> String {
    let mut text =
        String::from("| a list of 1,000,000 ids (reach ≤ 10) | bytes an id |\n|---|---|");
    for (engine, bytes) in rows {
        let _ = write!(text, "\n| {engine} | {bytes:.1} |");
    }
    text
}

pub(crate) fn scales(rows: &[Scaled]) -> String {
    let mut text = String::from(
        "| manifest with | W2 inside one `Flags`, ns | one shot (W2), ns |\n|---|---|---|",
    );
    for Scaled { count, of_what, inside, one_shot } in rows {
        let count = number(*count as f64);
        let (inside, one_shot) = (cell(inside), cell(one_shot));
        let _ = write!(text, "\n| {count} {of_what} | {inside} | {one_shot} |");
    }
    text
}

pub(crate) fn threads(rows: &[Ratio]) -> String {
    let mut text = String::from(
        "| two threads ÷ one (reach ≥ 1.9) | on the wall | by processor time |\n|---|---|---|",
    );
    for Ratio { what, wall, processor } in rows {
        let _ = write!(text, "\n| {what} | {wall:.2} | {processor:.2} |");
    }
    text
}
