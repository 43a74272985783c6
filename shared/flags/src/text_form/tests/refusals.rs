//! What is refused, where, and with which words.

use crate::text_form::{MAX_LITERAL_DEPTH, MAX_TEXT_BYTES, MAX_TEXT_DEPTH, parse};

#[test]
fn errors_point_at_the_column() {
    let check = |text: &str, column, expected: &str, found: &str| {
        let error = parse(text).expect_err(text);
        assert_eq!((error.line, error.column), (1, column), "{error}");
        assert!(error.expected.contains(expected), "{error}");
        assert!(error.found.contains(found), "{error}");
    };
    check("", 1, "a condition", "the end");
    check("user.age >= )", 13, "a value", "`)`");
    check("user.age >= 18 and x", 16, "`&&`", "`and`");
    check("user.age = 18", 10, "`==`", "'='");
    check("user.age >= ) \"abc", 13, "a value", "`)`");
    check("user.age \"x\"", 10, "`==`", "x");
    check("(user.age == 1", 15, "`)`", "the end");
    check("user.x == \"abc", 11, "closing quote", "none");
    check("user.x == 'a\\q'", 13, "escapes", "\\q");
    check("user.x == \"\\ud800\"", 12, "a character", "surrogate");
    check("user.x == 99999999999999999999", 11, "64 bits", "9999");
    check("user.x == 007", 11, "a number", "`007`");
    check("user.x == 1.", 11, "a number", "`1.`");
    check("user.x == 1.e5", 11, "a number", "`1.e5`");
    check("user.x == 1e999", 11, "finite", "`1e999`");
    check("user.x.includes(1)", 8, "contains, startsWith", "`includes`");
    check("lower(user.x) == 1", 1, "in_segment", "`lower`");
    check("user.x.test(\"like\", 1)", 13, "an operator's name", "`like`");
    check("user.x <= now", 11, "only after `<`", "now");
    check("user.x < true", 10, "a number, a text", "true");
    check("user[\"a.b\"] == 1", 6, "without dots", "a.b");
    check("user.x in \"a\"", 11, "`[`", "a");
    check("user.x in [1, 2", 16, "`,` or `]`", "the end");
    check("user.x == {\"a\": 1, \"a\": 2}", 20, "once", "a");
    check("user.x.contains(1).negated().negated()", 30, "once", "negated");
    check("(a && b).negated()", 10, "a test on one attribute", "negated");
    check("in_segment(\"a/b\")", 12, "a segment's key", "not allowed");
    check("flag(\"k\").off()", 11, "is_off", "`off`");
    check("rollout(user.key, \"s\", 1.5)", 24, "a share", "1.5");
    check("rollout(user.key, \"s\", 0.000001)", 24, "five decimals", "");
    check("rollout(user.key, \"s\", {\"to\": 1, \"until\": 2})", 24, "until", "`to`");
    check("rollout(user.key, \"s\", {\"until\": 2, \"hash\": \"md4\"})", 24, "`hash`", "md4");
    check("rollout(user.key, \"s\", {})", 24, "`until`", "none");
    check("user.tags.exists(e, e == 1)", 18, "`element`", "`e`");
    check("18 <= user.age", 1, "an attribute", "a value");
    check("if.x == 1", 1, "a condition", "`if`");

    let error = parse("user.a == 1 &&\n\tuser.é == ü").unwrap_err();
    assert_eq!((error.line, error.column), (2, 7));
    assert_eq!(
        error.to_string(),
        "line 2, column 7: expected an attribute's name or a method, found 'é'\n   user.é == ü\n        ^"
    );
}

#[test]
fn depth_and_length_end_in_errors() {
    let nested = |open: &str, close: &str, depth| {
        format!("{}a == 1{}", open.repeat(depth), close.repeat(depth))
    };
    for (open, close) in [("(", ")"), ("!", ""), ("all(", ")"), ("a.exists(element, ", ")")] {
        // The whole is a level itself.
        assert!(parse(&nested(open, close, MAX_TEXT_DEPTH - 1)).is_ok(), "{open}");
        for depth in [MAX_TEXT_DEPTH, 10_000] {
            let error = parse(&nested(open, close, depth)).unwrap_err();
            assert_eq!(error.expected, "at most 64 levels", "{open}");
        }
    }
    let list = |depth| format!("a == {}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&list(MAX_LITERAL_DEPTH)).is_ok());
    assert!(parse(&list(MAX_LITERAL_DEPTH + 1)).is_err());
    assert!(parse(&list(100_000)).is_err());
    let long = |bytes: usize| format!("a == \"{}\"", "x".repeat(bytes - 7));
    assert!(parse(&long(MAX_TEXT_BYTES)).is_ok());
    assert!(parse(&long(MAX_TEXT_BYTES + 1)).is_err());
}
