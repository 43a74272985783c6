//! Answers for people: tables and records, aligned, no wider than the terminal, and with nothing in them that a
//! terminal would obey.

use serde_json::Value as Json;

/// The narrowest that a column is made.
const NARROWEST: usize = 8;
/// Between columns.
const GAP: &str = "  ";

/// One column, or one line of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    from: From,
}

#[derive(Debug, Clone, Copy)]
enum From {
    Field(&'static str),
    With(fn(&Json) -> String),
}

/// A column that shows a field; `a.b` is a field in a field.
pub(crate) const fn field(title: &'static str, name: &'static str) -> Column {
    Column { title, from: From::Field(name) }
}

/// A column that says something of the whole.
pub(crate) const fn with(title: &'static str, tell: fn(&Json) -> String) -> Column {
    Column { title, from: From::With(tell) }
}

impl Column {
    fn cell(&self, item: &Json) -> String {
        let text = match self.from {
            From::Field(name) => plain(name.split('.').fold(item, |at, name| &at[name])),
            From::With(tell) => tell(item),
        };
        harmless(&text)
    }
}

/// A value in a word or two.
pub(crate) fn plain(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Json::String(text) => instant(text).unwrap_or_else(|| text.clone()),
        Json::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// `2026-11-20T10:00:00.000Z` as people write it.
fn instant(text: &str) -> Option<String> {
    let (date, time) = text.split_once('T')?;
    let is_date = date.len() == 10 && date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let time = time.strip_suffix('Z').filter(|_| is_date)?;
    Some(format!("{date} {}Z", time.split('.').next().unwrap_or(time)))
}

/// Without what moves a cursor, rings, or turns the direction of writing.
fn harmless(text: &str) -> String {
    let bad =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if bad(c) { '\u{fffd}' } else { c }).collect()
}

/// Lines of a table, the titles first. `width` is the terminal's; without one nothing is cut.
pub(crate) fn table(columns: &[Column], items: &[Json], width: Option<usize>) -> Vec<String> {
    let titles = columns.iter().map(|column| column.title.to_owned()).collect();
    let cells = |item| columns.iter().map(|column| column.cell(item)).collect();
    let rows: Vec<Vec<String>> = std::iter::once(titles).chain(items.iter().map(cells)).collect();
    let widest = |index: usize| rows.iter().map(|row| row[index].chars().count()).max();
    let mut widths: Vec<usize> = (0..columns.len()).filter_map(widest).collect();
    if let Some(width) = width {
        shrink(&mut widths, width);
    }
    rows.iter().map(|row| line(row, &widths)).collect()
}

/// Takes from the widest column, one character after the other, until all fit.
fn shrink(widths: &mut [usize], width: usize) {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            _ => return,
        }
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{:width$}", cut(cell, *width)));
    cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Lines of one thing: a title and a value each. What is not there has no line.
pub(crate) fn record(columns: &[Column], item: &Json) -> Vec<String> {
    let lines: Vec<(&str, String)> = columns
        .iter()
        .map(|column| (column.title, column.cell(item)))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    let width = lines.iter().map(|(title, _)| title.chars().count()).max().unwrap_or_default();
    lines.iter().map(|(title, text)| format!("{title:width$}  {text}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: [Column; 4] = [
        field("KEY", "key"),
        field("PLAN", "attributes.plan"),
        field("SINCE", "since"),
        with("SEATS", |item| format!("{} seats", item["seats"])),
    ];

    fn items() -> Vec<Json> {
        vec![
            json!({"key": "acme", "attributes": {"plan": "gold"}, "since": "2026-11-20T10:00:00.125Z", "seats": 5}),
            json!({"key": "größter-kunde-von-allen", "attributes": {}, "seats": 12}),
        ]
    }

    #[test]
    fn columns_are_aligned() {
        let wanted = "\
KEY                      PLAN  SINCE                 SEATS
acme                     gold  2026-11-20 10:00:00Z  5 seats
größter-kunde-von-allen                              12 seats";
        assert_eq!(table(&COLUMNS, &items(), None).join("\n"), wanted);
    }

    #[test]
    fn the_widest_columns_make_room() {
        let wanted = "\
KEY          PLAN  SINCE        SEATS
acme         gold  2026-11-20…  5 seats
größter-ku…                     12 seats";
        assert_eq!(table(&COLUMNS, &items(), Some(40)).join("\n"), wanted);
        // What cannot fit is not made unreadable for it.
        let lines = table(&COLUMNS, &items(), Some(3));
        assert!(lines[1].starts_with("acme      gold  2026-11…  5 seats"), "{lines:#?}");
    }

    #[test]
    fn a_terminal_obeys_nothing_in_a_cell() {
        let item = json!({"key": "\u{1b}[2Jgone\r\n\u{202e}x", "seats": 1});
        let lines = table(&COLUMNS, &[item], None);
        assert!(lines[1].starts_with("\u{fffd}[2Jgone\u{fffd}\u{fffd}\u{fffd}x"), "{lines:?}");
    }

    #[test]
    fn a_record_says_what_is_there() {
        let lines = record(
            &[field("key", "key"), field("tags", "tags"), field("owner", "owner")],
            &json!({
                "key": "a", "tags": ["x", "y"], "owner": null
            }),
        );
        assert_eq!(lines, ["key   a", "tags  x, y"]);
        assert_eq!(plain(&json!({"a": 1})), r#"{"a":1}"#);
        assert_eq!(plain(&json!("not Ta dateZ")), "not Ta dateZ");
    }
}
