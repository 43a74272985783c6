//! Markdown, ready to paste.

use std::fmt::Write as _;

use crate::engine::Engine;
use crate::floor::Floor;
use crate::loading::Loaded;
use crate::ours::Ours;
use crate::scale::Scaled;
use crate::threads::Ratio;
use crate::timing::Figure;

/// A workload, and what each engine took for it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) target: &'static str,
    pub(crate) figures: Vec<Figure>,
}

const COLUMNS: [&str; 6] =
    [Floor::NAME, Ours::NAME, "yggdrasil", "LaunchDarkly", "eppo", "growthbook"];

impl Row {
    fn of(&self, engine: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.engine == engine)
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
    let mut text = String::from("| ns a call (allocations) | reach |");
    for engine in COLUMNS {
        let _ = write!(text, " {engine} |");
    }
    text.push_str(" best peer ÷ ours |\n|---|---|");
    text.push_str(&"---|".repeat(COLUMNS.len() + 1));
    for row in rows {
        let _ = write!(text, "\n| {} | {} |", row.name, row.target);
        for engine in COLUMNS {
            let _ = write!(text, " {} |", row.of(engine).map_or("–".into(), cell));
        }
        let advantage = row.advantage().map_or("–".into(), |times| format!("{times:.1}"));
        let _ = write!(text, " {advantage} |");
    }
    text
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
    for row in rows {
        let _ =
            write!(text, "\n| {} | {} | {} |", row.size, cell(&row.inside), cell(&row.one_shot));
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
