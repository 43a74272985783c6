//! JSON as people and programs send it, right and wrong: the kinds of cases of RFC 8259's well-known test suite, made
//! here by their rules, at every route that takes a body.

use anyhow::ensure;
use reqwest::Method;

use super::isolation::{Route, routes};
use super::matrix::row;
use super::rows::Weakest;
use crate::Stack;

/// Texts that are no JSON. Each must be refused with 400, and never understood.
const NO_JSON: &[&str] = &[
    "",
    " ",
    "[",
    "]",
    "{",
    "}",
    "[1,]",
    "[,1]",
    "[1,,2]",
    "[1 2]",
    "[\"a\"",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,}",
    "{,}",
    "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{\"a\":1}}",
    "{\"a\":1}#",
    "{\"a\":/**/1}",
    "// c\n{}",
    "nul",
    "nulll",
    "True",
    "TRUE",
    "tru",
    "NaN",
    "Infinity",
    "-Infinity",
    "+1",
    "-",
    "01",
    "-01",
    "1.",
    ".1",
    "1e",
    "1e+",
    "1eE2",
    "0x1",
    "1_000",
    "--1",
    "1a",
    "\"",
    "\"a",
    "\"\\x41\"",
    "\"\\u12\"",
    "\"\\u12G4\"",
    "\"\\\"",
    "\"\n\"",
    "\"\t\"",
    "\"\u{0}\"",
    "'a'",
    "\u{feff}{}",
    "{}{}",
    "[][]",
    "1 1",
    "\u{a0}{}",
    "{\"a\":\"\\ud800\"}",
    "undefined",
    "<a/>",
    "a=b&c=d",
    "{\"a\":1]",
    "[1}",
    "\\u007b}",
    "[\"\\\u{1f600}\"]",
];

/// Texts that are JSON and no body of ours: refused with a problem, or taken, but never a fault of ours.
const JSON: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1e308",
    "1e999",
    "-1e999",
    "1E-400",
    "123456789012345678901234567890",
    "0.1000000000000000055511151231257827021181583404541015625",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "[]",
    "[[[[[[[[[[]]]]]]]]]]",
    "{}",
    "{\"\":0}",
    "{\"a\":1,\"a\":2}",
    "{\"\\u0000\":1}",
    "[null]",
    "[{}]",
    " \t\r\n{}\t",
];

pub async fn json_that_is_none_is_refused_and_odd_json_breaks_nothing(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("json").await?;
    org.boolean_flag("f").await?;
    let operator = stack.api(Some(&stack.operator_key));
    let service = stack.api(Some(&org.server_key().await?));
    let in_process = matches!(stack.delivery, crate::Delivery::Http);
    let taking = |route: &&Route| {
        let method = matches!(route.method, Method::PUT | Method::POST | Method::PATCH);
        // Suspending, which takes no body, would end the rest.
        method && !route.path.ends_with("/suspend")
    };
    let deep = "[".repeat(100_000);
    for route in routes(stack).await?.iter().filter(taking) {
        let path = path_of(route, &org.key);
        // The cases are the same reader's everywhere; a cloud call costs fifty times as much.
        let step = if in_process { 1 } else { 23 };
        let operators = route.path.contains("/operator/") || !route.path.contains("{org}");
        let services = row(route)? == Weakest::Service;
        let api = if operators { &operator } else { &org.api };
        let api = if services { &service } else { api };
        for (text, is_json) in cases(&deep).step_by(step) {
            let answer = api.call(route.method.clone(), &path, &[], Some(text.to_owned())).await?;
            let status = answer.status.as_u16();
            let shown: String = text.chars().take(40).collect();
            ensure!(status < 500, "{route:?} answers {status} to {shown:?}: {}", answer.body);
            // Routes that take nothing do not look at what comes.
            if !is_json && takes_a_document(route) {
                ensure!(status == 400, "{route:?} answers {status} to {shown:?}: {}", answer.body);
                ensure!(answer.body["field"].is_string(), "{route:?}, {shown:?}: {}", answer.body);
            }
        }
    }
    Ok(())
}

fn cases(deep: &str) -> impl Iterator<Item = (&str, bool)> {
    let bad = NO_JSON.iter().map(|text| (*text, false));
    bad.chain(JSON.iter().map(|text| (*text, true))).chain([(deep, false)])
}

/// Routes whose body is one JSON document. Others take none, lines, or a signed text.
fn takes_a_document(route: &Route) -> bool {
    let ends = |words: &[&str]| words.iter().any(|word| route.path.ends_with(word));
    let verbs = ["/enable", "/kill", "/suspend", "/resume", "/continue", "/members/{tenant}"];
    !ends(&verbs)
        && !ends(&["/parts/{part}", "/v1/trust", "/rotate", "/collection"])
        && !route.path.contains("/deleted-")
        && !route.path.contains("/lists/")
}

fn path_of(route: &Route, org: &str) -> String {
    route
        .path
        .replace("{org}", org)
        .replace("{env}", "prod")
        .replace("{flag}", "f")
        .replace("{tenant}", "acme")
        .replace("{list}", "included")
        .replace("{scope}", "environment")
        .replace("{part}", "0")
        .replace("{number}", "1")
        .replace("{role}", "odd-role")
        .replace(['{', '}'], "")
}
