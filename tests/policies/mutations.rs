//! Policies made wrong, one at a time. Each must be noticed, or the questions are not good enough.

use serde_json::{Value as Json, json};

use crate::questions::Documents;

pub(crate) struct Mutation {
    pub(crate) what: &'static str,
    /// Whether it lets somebody do more; otherwise it takes away what is needed.
    pub(crate) widens: bool,
    pub(crate) change: fn(&mut Documents),
}

const fn widened(what: &'static str, change: fn(&mut Documents)) -> Mutation {
    Mutation { what, widens: true, change }
}

const fn narrowed(what: &'static str, change: fn(&mut Documents)) -> Mutation {
    Mutation { what, widens: false, change }
}

const ANY: &str = "ForAllValues:StringLike";
const KEYS: &str = "dynamodb:LeadingKeys";

pub(crate) const ALL: &[Mutation] = &[
    widened("a session's prefix loses its #", |d| set_keys(&mut d.own["Statement"][0], &["acme*"])),
    widened("a session's prefix becomes a contained text", |d| {
        set_keys(&mut d.own["Statement"][0], &["*acme#*"]);
    }),
    widened("a session is for every partition", |d| set_keys(&mut d.own["Statement"][0], &["*"])),
    widened("a session is also for the list of organizations", |d| {
        set_keys(&mut d.own["Statement"][0], &["acme#*", "~#*"]);
    }),
    widened("a session loses Null", |d| remove(&mut d.own["Statement"][0]["Condition"], "Null")),
    widened("an operator's session loses Null", |d| {
        remove(&mut d.operated["Statement"][0]["Condition"], "Null");
    }),
    widened("a session says ForAnyValue", |d| {
        let condition = &mut d.own["Statement"][0]["Condition"];
        let keys = condition[ANY].take();
        remove(condition, ANY);
        condition["ForAnyValue:StringLike"] = keys;
    }),
    widened("a session loses its conditions", |d| remove(&mut d.own["Statement"][0], "Condition")),
    widened("a session may scan", |d| add_action(&mut d.own["Statement"][0], "dynamodb:Scan")),
    widened("a session may do everything to the table", |d| {
        d.own["Statement"][0]["Action"] = json!("dynamodb:*");
    }),
    widened("a session is for every table", |d| d.own["Statement"][0]["Resource"] = json!("*")),
    widened("a session is for the table's indexes", |d| {
        let table = d.rendered.table_arn().to_owned();
        d.own["Statement"][0]["Resource"] = json!([table, format!("{table}/index/*")]);
    }),
    widened("a session is for tables that begin alike", |d| {
        let table = d.rendered.table_arn().to_owned();
        d.own["Statement"][0]["Resource"] = json!(format!("{table}*"));
    }),
    widened("an operator's session is for every partition", |d| {
        set_keys(&mut d.operated["Statement"][0], &["*"]);
    }),
    widened("the door of api is for every partition", |d| set_keys(of(d, "api", "Door"), &["*"])),
    widened("the door of api loses Null", |d| {
        remove(&mut of(d, "api", "Door")["Condition"], "Null");
    }),
    widened("the door of api loses its conditions", |d| remove(of(d, "api", "Door"), "Condition")),
    widened("the door of api may write", |d| add_action(of(d, "api", "Door"), "dynamodb:PutItem")),
    widened("api may assume any role", |d| {
        of(d, "api", "ActForOrganizations")["Resource"] = json!("*");
    }),
    widened("api-org may scan", |d| add_action(of(d, "api-org", "Table"), "dynamodb:Scan")),
    widened("api-org is for every table", |d| of(d, "api-org", "Table")["Resource"] = json!("*")),
    widened("snapshot may list every partition", |d| {
        remove(of(d, "snapshot", "Organizations"), "Condition");
    }),
    widened("snapshot-org may write", |d| {
        add_action(of(d, "snapshot-org", "Table"), "dynamodb:PutItem");
    }),
    widened("timer may list every partition", |d| {
        remove(of(d, "timer", "Organizations"), "Condition");
    }),
    widened("webhooks may assume the role of timer's sessions", |d| {
        let role = d.rendered.role_arn("timer-org");
        of(d, "webhooks", "ActForOrganizations")["Resource"] = json!(role);
    }),
    widened("webhooks-org may write", |d| {
        add_action(of(d, "webhooks-org", "Table"), "dynamodb:PutItem");
    }),
    widened("fanout may read the table", |d| {
        let statement = of(d, "fanout", "ListStreams");
        add_action(statement, "dynamodb:GetItem");
    }),
    widened("evaluate may query", |d| {
        let statement = of(d, "evaluate", "Manifests");
        add_action(statement, "dynamodb:Query");
        statement["Resource"] = json!("*");
    }),
    narrowed("a session is for the organization's own partition only", |d| {
        set_keys(&mut d.own["Statement"][0], &["acme#"]);
    }),
    narrowed("an operator's session misses the list of organizations", |d| {
        set_keys(&mut d.operated["Statement"][0], &["acme#*"]);
    }),
    narrowed("a session's Null is turned round", |d| {
        d.own["Statement"][0]["Condition"]["Null"][KEYS] = json!("true");
    }),
    narrowed("api-org may not check conditions", |d| {
        of(d, "api-org", "Table")["Action"] = json!([
            "dynamodb:GetItem",
            "dynamodb:Query",
            "dynamodb:PutItem",
            "dynamodb:DeleteItem"
        ]);
    }),
    narrowed("the door of api misses the list of organizations", |d| {
        set_keys(of(d, "api", "Door"), &["*#"]);
    }),
    narrowed("api may not assume its role", |d| {
        of(d, "api", "ActForOrganizations")["Action"] = json!("sts:TagSession");
    }),
];

/// A statement of a role, by its name.
fn of<'d>(documents: &'d mut Documents, role: &str, sid: &str) -> &'d mut Json {
    let statements = documents.rendered.0["roles"][role]["policy"]["Statement"].as_array_mut();
    let mut statements = statements.unwrap().iter_mut();
    statements.find(|statement| statement["Sid"] == sid).unwrap()
}

fn set_keys(statement: &mut Json, keys: &[&str]) {
    statement["Condition"][ANY][KEYS] = json!(keys);
}

fn add_action(statement: &mut Json, action: &str) {
    let mut actions = match statement["Action"].take() {
        Json::Array(actions) => actions,
        one => vec![one],
    };
    actions.push(json!(action));
    statement["Action"] = Json::Array(actions);
}

fn remove(from: &mut Json, member: &str) {
    assert!(from.as_object_mut().unwrap().remove(member).is_some(), "{member}");
}
