//! Nothing of the API needs another tool: what follows is typed at a real installation, and every route of the
//! description has to have been answered to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flagforge_flags::manifest::SecretKey;
use flagforge_flags::time::Timestamp;
use serde_json::Value as Json;

use crate::installation::{Installation, Terminal};
use crate::people::{elsewhere, people};

const DESCRIPTION: &str = include_str!("../../../shared/platform/openapi.json");

#[test]
fn every_route_has_a_command() {
    let elsewhere = elsewhere();
    let everybodys = format!("--issuer={elsewhere}=everybody");
    let installation = Installation::start(&["--allow-loopback", &everybodys]);
    let t = installation.terminal("dev");
    organizations(&t);
    flags(&t);
    schedules(&t);
    directory(&t);
    segments(&t);
    access(&t);
    people(&t, &elsewhere);
    history(&t);
    webhooks(&t);
    trust(&t, &installation);
    manifests(&t, &installation);
    ends(&t);

    let answered = answered(&installation.log());
    let described: Json = serde_json::from_str(DESCRIPTION).unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            routes.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let missing: Vec<&String> =
        routes.iter().filter(|route| !answered.contains_key(*route)).collect();
    assert!(
        missing.is_empty(),
        "no command that is typed here reaches these; give each a command, and type it: {missing:#?}"
    );
    assert!(routes.len() > 80, "{}", routes.len());
}

/// How often each route was answered with a success, from the installation's own log.
fn answered(log: &str) -> BTreeMap<String, u32> {
    let mut answered = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("answered request_id=")) {
        let field = |name: &str| line.split_once(name)?.1.split(' ').next();
        let [method, route, status] =
            [" method=", " route=", " status="].map(|n| field(n).unwrap());
        if status.starts_with('2') {
            *answered.entry(format!("{method} {}", route.trim_matches('"'))).or_default() += 1;
        }
    }
    answered
}

fn organizations(t: &Terminal) {
    t.ok("org list");
    t.ok("org show");
    t.ok("org create other --name Other --key-out other.key");
    assert!(
        t.ok("org limits other --writes-per-second 5 --resource flags=7").contains("\"flags\":7")
    );
    assert!(t.ok("org limits other --requests-per-second 9").contains("\"writesPerSecond\":5"));
    t.ok("org meter other");
    t.ok("org suspend other --yes");
    assert!(t.fails("flag list --definitions --key-file other.key", 4).contains("suspended"));
    t.ok("org resume other");
    t.ok("env list");
    t.ok("env create qa --name QA");
    t.ok("env show qa");
}

fn flags(t: &Terminal) {
    t.ok("flag define a --class release --type boolean --owner web --domain shop --tag q4");
    t.write("b.json", r#"{"description": "of a file", "owner": "nobody"}"#);
    t.ok("flag define b --class release --type string --variant x=1 --variant y=two --owner web --file b.json");
    let b = t.json("flag show b");
    assert_eq!((&b["description"], &b["owner"]), (&"of a file".into(), &"web".into()));
    t.ok("flag update b --description 'said anew' --client-visible");
    assert_eq!(t.json("flag show b")["clientVisible"], true);
    t.ok("flag clone b c");
    t.ok("flag list --definitions --search ANEW");
    t.ok("flag list --states");
    t.ok("flag list --all");
    t.ok("flag show a");
    t.ok("flag on a");
    t.ok("flag when-off b caller-default");
    t.ok("flag rule set a one --when 'tenant.plan == \"gold\"' --serve on");
    t.ok("flag rule set a two --when 'user.country in [\"DE\"]' --serve on=50,off=50 --first");
    t.ok("flag rule move a two --last");
    t.ok("flag split a on=10 off=90 --rule two");
    assert!(
        t.ok("flag state a").contains("two        user.country in [\"DE\"]  on 10 %, off 90 %")
    );
    t.ok("flag rule remove a two");
    t.ok("flag split a on=25 off=75");
    t.ok("flag ramp a on --rest off --from 25 --until 50 --start 2027-01-04T08:00:00Z --end 2027-01-08T08:00:00Z");
    t.ok("flag target a on u-1 u-2");
    t.ok("flag untarget a u-2");
    t.ok("flag require a b --serves x");
    t.ok("flag unrequire a b");
    t.write("patch.json", r#"{"enabled": false}"#);
    assert!(t.ok("flag set a --file patch.json").contains("state        off"));
    let state = t.json("flag state a");
    assert_eq!(state["targets"][0]["keys"], serde_json::json!(["u-1"]));
    t.write("state.json", &state.to_string());
    t.ok("flag set a --whole --file state.json");
    t.ok("flag off a");
    t.ok("flag catalog --by domain");
    t.ok("flag duplicates");
    t.ok("flag overdue");
    let past = t.json("flag history a")["items"][1]["number"].to_string();
    t.ok(&format!("flag restore a {past}"));
    t.ok("env promote qa --from dev --flag a --preview");
    t.ok("env promote qa --from dev --flag a --yes");
    t.ok("env copy qa --from dev --yes");
    assert!(t.ok("env compare qa --with dev").contains("do the same"));
    t.ok("kill pull tag:q4 --yes --reason trial");
    assert!(t.ok("flag on a").contains("a kill switch holds it off"));
    assert!(t.ok("kill list").contains("tag:q4"));
    t.ok("kill end tag:q4");
    t.ok("key create --kind server --name shop --only-env dev --out server.key");
    t.write(
        "reports.json",
        r#"{"reports": [{"reporter": "r1", "kind": "sdk", "version": "go 1", "status": "ready", "revision": "1.1"}]}"#,
    );
    t.ok("env report dev --file reports.json --key-file server.key");
    assert!(t.ok("env propagation dev").contains("1 have not got"));
    assert!(t.ok("env propagation dev --behind --revision 1.2").contains("r1"));
    t.ok("env kill qa --yes --reason trial");
    t.ok("env unkill qa");
}

fn schedules(t: &Terminal) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let tomorrow = Timestamp::from_seconds(0).plus(now + Duration::from_secs(24 * 3_600));
    t.ok(&format!("schedule make --at {tomorrow} --do '{{\"kill\": {{\"flag\": \"a\"}}}}'"));
    let id = t.json("schedule list")["items"][0]["id"].as_str().unwrap().to_owned();
    assert!(t.ok(&format!("schedule show {id}")).contains("pending"));
    t.ok(&format!("schedule cancel {id} --yes"));
    assert!(t.ok("schedule list --ended").contains(&id));
}

fn directory(t: &Terminal) {
    t.write(
        "schema.json",
        r#"{"attributes": {"plan": {"type": "string"}, "seats": {"type": "integer"}}}"#,
    );
    t.ok("tenant schema set --file schema.json");
    t.ok("tenant schema set --file schema.json --lenient");
    assert!(t.ok("tenant schema show").contains("plan       string"));
    t.ok("tenant set acme --name Acme --attr plan=gold --attr seats=5");
    t.ok("tenant set acme --no-attr seats --synthetic");
    let acme = t.json("tenant show acme");
    assert_eq!(acme["attributes"], serde_json::json!({"plan": "gold"}));
    t.write("two.json", r#"[{"key": "t-1"}, {"key": "t-2"}]"#);
    assert!(t.ok("tenant put two.json").starts_with("2 created"));
    assert!(t.ok("tenant list --search T- --synthetic false").contains("t-2"));
    t.ok("tenant list --when 'tenant.plan == \"gold\"'");
    t.write("many.csv", "key,name,plan\nt-3,Three,gold\nt-4,Four,silver\n");
    assert!(t.ok("tenant import many.csv --dry-run").contains("none applied"));
    t.fails("tenant show t-3", 3);
    let done = t.json("import run many.csv");
    assert_eq!((&done["applied"], &done["state"]), (&2.into(), &"done".into()));
    let id = done["id"].as_str().unwrap();
    t.ok("import list");
    t.ok(&format!("import show {id}"));
    t.ok(&format!("import report {id}"));
    large_import(t);

    t.ok("group set early --description early");
    t.ok("group add early acme t-1");
    assert!(t.ok("group members early").contains("t-1"));
    t.ok("group remove early t-1");
    t.ok("group show early");
    t.ok("kill pull tag:q4 --group early --yes --reason trial");
    assert!(t.ok("kill list --search early").contains("early"));
    t.ok("kill end tag:q4 --group early");
    t.ok("group list");
    t.ok("override set a on --tenant acme --expires 2027-01-01T00:00:00Z");
    t.ok("override set a on --group early");
    t.ok("override list --flag a");
    assert!(t.ok("override list --flag a --groups").contains("early"));
    t.ok("override list --tenant acme");
    t.ok("override list --tenant acme --here");
    t.ok("tenant flags acme --user u-1");
    t.ok("tenant special acme");
    t.ok("tenant groups acme");
    t.ok("tenant audit acme --of-org");
    t.ok("override clear a --group early");
    t.fails("override clear a --group early", 3);
    t.ok("override clear a --tenant acme");
}

/// One that is not done in a call is gone on with. What is done already has nothing to go on with.
fn large_import(t: &Terminal) {
    let line = |n| format!("{{\"key\": \"many-{n}\"}}\n");
    t.write("large.ndjson", &(0..120).map(line).collect::<String>());
    let done = t.json("import run large.ndjson");
    assert_eq!(done["tenantsCreated"], 120);
    let id = done["id"].as_str().unwrap();
    assert!(t.ok(&format!("import continue {id}")).contains("120 of 120 lines"));
    let listed = t.json("tenant list --limit 110");
    assert_eq!(listed["items"].as_array().unwrap().len(), 110);
    let rest = t.json(&format!("tenant list --all --cursor {}", listed["next"].as_str().unwrap()));
    assert_eq!((rest["items"].as_array().unwrap().len(), rest.get("next")), (15, None));
}

fn segments(t: &Terminal) {
    t.ok("segment set beta --when 'user.country == \"DE\"' --description 'of Germany'");
    t.ok("segment add beta included u-1 u-2 u-3");
    t.ok("segment remove beta included u-2");
    t.write("ids.txt", "v-1\nv-2\n");
    t.ok("segment replace beta excluded --file ids.txt --yes");
    assert_eq!(t.ok("segment ids beta included"), "u-1\nu-3\n");
    assert_eq!(t.json("segment ids beta excluded")["ids"], serde_json::json!(["v-1", "v-2"]));
    t.ok("segment set beta --description 'of Germany, and some'");
    assert_eq!(t.json("segment show beta")["excludedIds"], 2);
    t.ok("segment list");
}

fn access(t: &Terminal) {
    t.ok("role set releaser --may write-states --description 'Turns flags on'");
    t.ok("role show releaser");
    t.ok("role list");
    t.ok("key create --name ci --role releaser --only-env dev --out ci.key");
    t.ok("flag on a --key-file ci.key");
    t.fails("tenant set x --key-file ci.key", 4);
    let made = t.json("key create --kind client --tenant acme --only-env dev --name shop");
    let id = made["record"]["id"].as_str().unwrap();
    assert!(made["key"].as_str().unwrap().starts_with("ff_client_"));
    t.ok("key list");
    t.ok(&format!("key show {id}"));
    t.ok(&format!("key rotate {id} --overlap-seconds 60 --out new.key"));
    t.ok(&format!("key revoke {id} --yes"));
    t.ok(&format!("audit erase {id} --yes"));
    t.fails("audit erase-reason 1 --of-org --yes", 3);
}

fn history(t: &Terminal) {
    t.ok("audit list --since 2026-01-01T00:00:00Z --actor nobody");
    t.ok("audit show 1 --of-org");
    t.ok("audit export --of-org --out changes.ndjson");
    let lines = std::fs::read_to_string(t.path("changes.ndjson")).unwrap();
    assert!(
        lines.lines().all(|line| serde_json::from_str::<Json>(line).is_ok()) && lines.len() > 1_000
    );
    t.ok("audit verify --of-org");
    assert_eq!(t.json("audit verify")["complete"], true);
    assert!(t.ok("audit log --limit 3").contains("set-enabled"));
    t.ok("audit log --of-org --limit 3");
}

fn webhooks(t: &Terminal) {
    let url = "http://127.0.0.1:9/hook";
    t.ok(&format!("webhook create {url} --type 'flag.*' --for-env dev --secret-out hook.secret"));
    let listed = t.json("webhook list");
    let id = listed["items"][0]["id"].as_str().unwrap();
    assert_eq!(listed["items"][0]["url"], url);
    t.ok(&format!("webhook set {id} --pause --description 'nobody listens'"));
    assert_eq!(t.json(&format!("webhook show {id}"))["paused"], true);
    t.ok(&format!("webhook rotate {id}"));
    t.ok(&format!("webhook dead {id}"));
    t.ok(&format!("webhook replay {id} --since 2026-01-01T00:00:00Z"));
    t.ok(&format!("webhook delete {id} --yes"));
}

/// With the keys that a folder of data has: the same online key again, under the next number.
fn trust(t: &Terminal, installation: &Installation) {
    let key = |name: &str| installation.file(&format!("keys/{name}.pem"));
    let online = SecretKey::from_pem(&std::fs::read_to_string(key("online")).unwrap()).unwrap();
    t.write("online.pem", &online.public().to_pem());
    let root = key("root").display().to_string();
    t.ok(&format!(
        "trust create --root-key {root} --online-key online.pem --number 2 --out trust.json"
    ));
    assert!(t.ok("trust install trust.json").contains("the trust document 2 is in force"));
    assert_eq!(t.json("trust install trust.json")["number"], 2);
}

fn manifests(t: &Terminal, installation: &Installation) {
    let state = t.ok("manifest state");
    assert!(state.contains("withheld: none") || state.to_lowercase().contains("none"), "{state}");
    t.ok("manifest list");
    for command in ["compare 1-1", "restore 1-1 --yes --reason 'all went wrong'"] {
        let refused = t.fails(&format!("manifest {command}"), 3);
        assert!(refused.contains("no such root that is kept"), "{refused}");
    }
    let refused = t.fails("manifest release --yes --reason 'all is well'", 2);
    assert!(refused.contains("nothing is restored"), "{refused}");
    // The root that stands, as if an hour had passed.
    let of_env = |name: &str| installation.file(&format!("objects/default/dev/{name}"));
    std::fs::create_dir_all(of_env("history")).unwrap();
    std::fs::copy(of_env("environment.jws"), of_env("history/001781000000000-1.jws")).unwrap();
    assert!(t.ok("manifest list").contains("001781000000000-1"));
    assert!(t.ok("manifest compare 001781000000000-1").contains("the same"));
    t.ok("manifest restore 001781000000000-1 --yes --reason 'all went wrong'");
    assert_eq!(t.json("manifest state")["restored"]["root"], "001781000000000-1");
    t.ok("manifest release --yes --reason 'all is well'");
    let refused = t.fails("manifest accept-shrinkage --yes --reason 'meant'", 2);
    assert!(refused.contains("nothing is withheld"), "{refused}");
    t.ok("manifest accept-shrinkage --flags 1 --yes --reason 'many go'");
    assert_eq!(t.json("manifest state")["accepted"]["downTo"]["flags"], 1);
}

fn ends(t: &Terminal) {
    t.ok("segment delete beta --yes --reason 'not needed'");
    assert!(t.ok("segment deleted list").contains("not needed"));
    t.ok("segment deleted restore beta");
    assert!(t.fails("segment deleted purge beta --yes", 3).contains("next:"));
    // What is deleted from now on is kept for no day.
    t.ok("org limits default --kept-days 0");
    t.ok("segment delete beta --yes");
    t.ok("segment deleted purge beta --yes");
    t.ok("group delete early --yes");
    t.ok("tenant delete t-1 --yes");
    t.ok("flag delete c --yes");
    assert!(t.ok("flag deleted list").contains("\nc "));
    t.ok("flag deleted restore c");
    t.ok("flag delete c --yes");
    t.ok("flag deleted purge c --yes");
    t.ok("org leftovers");
    t.ok("org leftovers --collect");
    t.fails("role delete releaser --yes", 5);
    t.ok("role set unused --may kill");
    t.ok("role delete unused --yes");
}
