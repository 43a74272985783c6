//! `flagforge eval`: asks a configuration of any format, a line at a time.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use flagforge_flags::time::Timestamp;
use flagforge_formats::{Config, Format, MAX_CONFIG_BYTES, Request};
use serde::Serialize;

use crate::args::{self, Eval};

/// Bytes of a question: a context of some thousand attributes.
const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// The answer to a line that is no question, in an answer's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    line: usize,
    flag: Option<String>,
    value: Option<bool>,
    variant: Option<String>,
    reason: &'static str,
    error_code: &'static str,
    error_details: String,
}

/// How many lines there were, and how many of them were no questions.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    lines: usize,
    refused: usize,
}

/// Answers every line; bad ones get a line that names them, and the others go on. Blocks.
pub(crate) fn run(eval: &Eval) -> anyhow::Result<()> {
    let from = &eval.configuration.config;
    if from == Path::new("-") && eval.contexts == Path::new("-") {
        bail!("only one of --config and --contexts can be the standard input");
    }
    let config = load(eval.configuration.format, from)?;
    for warning in config.warnings() {
        args::note(&format!("{}: {warning}", from.display()));
    }
    let name = eval.contexts.display();
    let input = BufReader::new(open(&eval.contexts)?);
    let output = BufWriter::new(std::io::stdout().lock());
    let Count { lines, refused } =
        answer_all(&config, input, output, now).with_context(|| name.to_string())?;
    if refused > 0 {
        bail!("{name}: {refused} of {lines} lines are no questions");
    }
    Ok(())
}

/// Reads questions to the end, a line at a time, and writes an answer to each. One who closed the output wants no more.
fn answer_all(
    config: &Config,
    mut input: impl BufRead,
    mut output: impl Write,
    now: impl Fn() -> Timestamp,
) -> anyhow::Result<Count> {
    let mut count = Count::default();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let taken = input.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut bytes)?;
        if taken == 0 {
            break;
        }
        count.lines += 1;
        let over = taken as u64 > MAX_LINE_BYTES;
        if over && bytes.last() != Some(&b'\n') {
            input.skip_until(b'\n')?;
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let question = if over {
            Err(format!("it has more than {MAX_LINE_BYTES} bytes"))
        } else {
            serde_json::from_slice::<Request>(&bytes).map_err(|error| in_line(&error))
        };
        let answer = match question {
            Ok(question) => serde_json::to_string(&config.decide(&question, now())),
            Err(why) => {
                count.refused += 1;
                serde_json::to_string(&Refused {
                    line: count.lines,
                    flag: None,
                    value: None,
                    variant: None,
                    reason: "ERROR",
                    error_code: "PARSE_ERROR",
                    error_details: format!("line {}: {why}", count.lines),
                })
            }
        }?;
        if writeln!(output, "{answer}").is_err() {
            return Ok(count);
        }
    }
    _ = output.flush();
    Ok(count)
}

/// serde_json counts lines itself; here each has one.
fn in_line(error: &serde_json::Error) -> String {
    let (text, column) = (error.to_string(), error.column());
    match text.split_once(" at line ") {
        Some((what, _)) => format!("{what}, at column {column}"),
        None => text,
    }
}

/// Reads a configuration; `-` is the standard input.
pub(crate) fn load(format: Format, from: &Path) -> anyhow::Result<Config> {
    let name = || from.display().to_string();
    let mut text = String::new();
    let limit = MAX_CONFIG_BYTES as u64 + 1;
    open(from)?.take(limit).read_to_string(&mut text).with_context(name)?;
    Config::load(format, &text).with_context(name)
}

fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    Ok(Box::new(file))
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    const CONFIG: &str = r#"{"features": [
        {"name": "beta", "enabled": true, "strategies": [
            {"name": "userWithId", "parameters": {"userIds": "ann, bob"}}]},
        {"name": "ours", "enabled": true, "strategies": [{"name": "our own"}]}]}"#;

    fn answers(questions: &[u8]) -> (Vec<Json>, Count) {
        let config = Config::load(Format::Unleash, CONFIG).unwrap();
        let mut output = Vec::new();
        let count = answer_all(&config, questions, &mut output, Timestamp::default).unwrap();
        let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        (lines.map(|line| serde_json::from_slice(line).unwrap()).collect(), count)
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_go_on() {
        let questions =
            b"{\"flag\": \"beta\", \"context\": {\"userId\": \"ann\"}}\nno question\n\n\
            \xff\xfe\n{\"context\": {}}\n{\"flag\": \"beta\", \"tenant\": \"a/b\"}\n\
            {\"flag\": \"ours\"}\n{\"flag\": \"gone\", \"default\": 7}\n\
            {\"flag\": \"beta\", \"context\": []}\n{\"flag\": \"beta\"}";
        let (answers, count) = answers(questions);
        assert_eq!(count, Count { lines: 10, refused: 4 });
        assert_eq!(answers.len(), 9, "an empty line is no line");
        let seen = |place: usize| {
            let answer = &answers[place];
            json!([answer["value"], answer["variant"], answer["reason"], answer["errorCode"]])
        };
        assert_eq!(seen(0), json!([true, "disabled", "TARGETING_MATCH", null]));
        for (place, line) in [(1, 2), (2, 4), (3, 5), (4, 6)] {
            assert_eq!(seen(place), json!([null, null, "ERROR", "PARSE_ERROR"]));
            assert_eq!(answers[place]["line"], line);
            let details = answers[place]["errorDetails"].as_str().unwrap();
            assert!(details.starts_with(&format!("line {line}: ")), "{details}");
        }
        assert_eq!(answers[3]["errorDetails"], "line 5: missing field `flag`, at column 15");
        assert_eq!(seen(5), json!([false, null, "ERROR", answers[5]["errorCode"]]));
        assert!(answers[5]["errorDetails"].as_str().unwrap().contains("custom strategy `our own`"));
        assert_eq!(seen(6), json!([7, null, "ERROR", "FLAG_NOT_FOUND"]));
        assert_eq!(seen(7), json!([false, null, "ERROR", "INVALID_CONTEXT"]));
        assert_eq!(seen(8), json!([false, "disabled", "DEFAULT", null]));
    }

    #[test]
    fn a_line_at_the_limit_is_read_and_a_longer_one_is_passed_over() {
        let limit = usize::try_from(MAX_LINE_BYTES).unwrap();
        let question = br#"{"flag": "beta"}"#;
        for (length, refused) in [(limit, 0), (limit + 1, 1), (3 * limit, 1)] {
            let mut questions = question.to_vec();
            questions.resize(length - 1, b' ');
            questions.extend(b"\n{\"flag\": \"beta\"}\n");
            let (answers, count) = answers(&questions);
            assert_eq!(count, Count { lines: 2, refused }, "{length}");
            assert_eq!(answers[1]["reason"], "DEFAULT");
        }
    }
}
