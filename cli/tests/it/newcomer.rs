//! From nothing to a customer's own answer and the record of it, with no other tool than the program.

use crate::installation::{Installation, Terminal, mode};

#[test]
fn a_newcomer_needs_no_other_tool() {
    let installation = Installation::start(&[]);
    let operator = installation.terminal("prod");
    operator.ok("org create acme-shop --name 'Acme Shop' --key-out shop.key");
    assert_eq!(mode(&operator.path("shop.key")), 0o600);
    let url = &installation.url;
    operator.ok(&format!("profile add shop --url {url} --key-file shop.key --env live"));
    assert!(operator.ok("profile show").contains("org  acme-shop  (the key)"));

    let t = operator;
    t.ok("env create live --name Live");
    t.ok("flag define new-search --class release --type boolean --owner team-search");
    t.ok("tenant set globex --name Globex --attr plan=gold --attr seats=85");
    t.ok("tenant set initech --attr plan=bronze");
    t.ok("group set early --description 'Asked to see things early'");
    t.ok("group add early initech");
    t.ok("flag on new-search");
    t.ok("flag fallthrough new-search off");
    t.ok("flag rule set new-search gold-first --when 'tenant.plan == \"gold\"' --serve on");
    t.ok("override set new-search on --group early --reason asked");

    let state = t.ok("flag state new-search");
    let wanted = "\
flag         new-search (release, boolean)
environment  live
state        on
when off     off
stale        {\"afterSeconds\":3600,\"then\":\"lastKnown\"}
groups       early → on

RULE        WHEN                   SERVE  DESCRIPTION
gold-first  tenant.plan == \"gold\"  on
otherwise                          off
";
    assert_eq!(state, wanted);
    assert_eq!(value(&t.json("tenant flags globex"), "new-search"), "true");
    assert!(t.ok("tenant flags initech").contains("GROUP_OVERRIDE early"), "by its group");

    t.ok("override set new-search off --tenant globex --reason 'not yet' --link ticket=https://t.example.com/7");
    assert_eq!(value(&t.json("tenant flags globex"), "new-search"), "false");
    let special = t.ok("tenant special globex");
    assert!(special.contains("live         new-search  off               not yet"), "{special}");
    assert!(t.ok("override list --flag new-search").contains("globex  off"));

    // What SDKs see, a server's key asks.
    t.ok("key create --kind server --name checkout --only-env live --out server.key");
    let ask = "explain --flag new-search --tenant initech --user u-1 --key-file server.key";
    assert!(t.ok(ask).starts_with("new-search = true"), "{}", t.ok(ask));
    t.ok("flag off new-search --reason 'an incident' --link incident=https://i.example.com/1");
    assert!(t.ok(ask).starts_with("new-search = false"), "{}", t.ok(ask));

    let audit = t.json("audit list --flag new-search --limit 2");
    let newest = &audit["items"][0];
    assert_eq!(
        (&newest["change"], &newest["reason"]),
        (&"set-enabled".into(), &"an incident".into())
    );
    assert_eq!(newest["links"][0]["href"], "https://i.example.com/1");
    let number = newest["number"].to_string();
    let shown = t.ok(&format!("audit show {number}"));
    assert!(shown.contains("state.enabled: true → false"), "{shown}");
    let before = audit["items"][1]["number"].to_string();
    let said = t.fails(&format!("flag restore new-search {before}"), 2);
    assert!(said.contains("set no state of this flag"), "{said}");
    let past = t.json("flag history new-search")["items"][1]["number"].to_string();
    assert!(t.ok(&format!("flag restore new-search {past}")).contains("state        on"));
    assert!(t.ok("audit verify").starts_with("whole from 1 to"));

    let listed = t.ok("flag list");
    let wanted = "\
KEY         CLASS    TYPE     OWNER        STATE         DESCRIPTION
new-search  release  boolean  team-search  on, else off
";
    assert_eq!(listed, wanted);
}

fn value(found: &serde_json::Value, flag: &str) -> String {
    let items = found["items"].as_array().unwrap();
    let one = items.iter().find(|item| item["key"] == flag).expect(flag);
    one["value"].to_string()
}

/// What README and `serve` say to type works as it stands.
#[test]
fn every_documented_command_works() {
    for arguments in [&["--demo"][..], &[]] {
        let installation = Installation::start(arguments);
        let t = Terminal::new();
        let data = installation.file("").display().to_string();
        let here = |line: &str| {
            let line = line.replace("http://127.0.0.1:8080", &installation.url);
            line.replace("demo-data/", &data)
        };
        let program = format!("  {} ", env!("CARGO_BIN_EXE_flagforge"));
        let said = installation.said();
        let mut lines: Vec<&str> =
            said.lines().filter_map(|line| line.strip_prefix(&*program)).collect();
        assert!(lines.len() >= 3, "{said}");
        if arguments == ["--demo"] {
            let readme = include_str!("../../../README.md");
            lines.extend(readme.lines().filter_map(|line| line.strip_prefix("flagforge ")));
            assert!(lines.len() >= 10, "{lines:?}");
        }
        for line in lines {
            t.ok(&here(line));
        }
    }
}

#[test]
fn completion_knows_every_noun() {
    let terminal = Terminal::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = terminal.ok(&format!("completion {shell}"));
        for word in ["override", "segment", "promote", "--key-file"] {
            assert!(script.contains(word.trim_start_matches('-')), "{shell}: {word}");
        }
    }
    let help = terminal.ok("--help");
    assert!(help.contains("Exit codes:") && help.contains("flagforge profile add demo"), "{help}");
}
