//! As much of gherkin as the specification's features need: backgrounds, outlines with examples, tables under steps.

/// A scenario, or one example of an outline.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// `feature: scenario`, and the example's cells.
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    /// Without its keyword, the quoted parts replaced by `{}`.
    pub(crate) pattern: String,
    /// The quoted parts.
    pub(crate) quoted: Vec<String>,
    pub(crate) table: Vec<Vec<String>>,
}

#[derive(Default)]
struct Outline {
    name: String,
    steps: Vec<Line>,
    examples: Vec<Vec<Vec<String>>>,
}

#[derive(Clone)]
struct Line {
    text: String,
    table: Vec<Vec<String>>,
}

pub(crate) fn scenarios(text: &str) -> Vec<Scenario> {
    let (mut feature, mut background) = (String::new(), Vec::new());
    let mut outlines: Vec<Outline> = Vec::new();
    let mut in_examples = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("Feature:") {
            feature = name.trim().to_owned();
        } else if line.starts_with("Scenario") && line.contains(':') {
            let name = line.split_once(':').map_or("", |(_, name)| name.trim()).to_owned();
            outlines.push(Outline { name, ..Outline::default() });
            in_examples = false;
        } else if line.starts_with("Examples:") {
            outlines.last_mut().unwrap().examples.push(Vec::new());
            in_examples = true;
        } else if line.starts_with('|') {
            let row = cells(line);
            match outlines.last_mut() {
                Some(outline) if in_examples => outline.examples.last_mut().unwrap().push(row),
                Some(outline) => outline.steps.last_mut().unwrap().table.push(row),
                None => panic!("a table under nothing: {line}"),
            }
        } else if let Some(text) = step(line) {
            let line = Line { text: text.to_owned(), table: Vec::new() };
            outlines.last_mut().map_or(&mut background, |outline| &mut outline.steps).push(line);
        }
    }
    outlines.iter().flat_map(|outline| each(&feature, &background, outline)).collect()
}

fn step(line: &str) -> Option<&str> {
    let keywords = ["Given ", "When ", "Then ", "And ", "But "];
    keywords.iter().find_map(|keyword| line.strip_prefix(keyword)).map(str::trim)
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim_matches('|');
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn each(feature: &str, background: &[Line], outline: &Outline) -> Vec<Scenario> {
    let name = format!("{feature}: {}", outline.name);
    let lines: Vec<Line> = background.iter().chain(&outline.steps).cloned().collect();
    let filled = |header: &[String], row: &[String]| {
        let fill = |text: &str| {
            let cells = header.iter().zip(row);
            cells.fold(text.to_owned(), |text, (name, cell)| {
                text.replace(&format!("<{name}>"), cell)
            })
        };
        lines.iter().map(|line| read(&fill(&line.text), line.table.clone())).collect()
    };
    if outline.examples.is_empty() {
        return vec![Scenario { name, steps: filled(&[], &[]) }];
    }
    let rows = outline.examples.iter().flat_map(|table| {
        let (header, rows) = table.split_first().unwrap();
        rows.iter().map(move |row| (header, row))
    });
    let scenario = |(header, row): (&Vec<String>, &Vec<String>)| Scenario {
        name: format!("{name} [{}]", row.join(" ")),
        steps: filled(header, row),
    };
    rows.map(scenario).collect()
}

/// Takes the quoted parts out of a step.
fn read(text: &str, table: Vec<Vec<String>>) -> Step {
    let mut step = Step { table, ..Step::default() };
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '"' {
            step.pattern.push(char);
            continue;
        }
        let mut quoted = String::new();
        while let Some(char) = chars.next().filter(|char| *char != '"') {
            quoted.extend(if char == '\\' { chars.next() } else { Some(char) });
        }
        step.pattern.push_str("{}");
        step.quoted.push(quoted);
    }
    step
}
