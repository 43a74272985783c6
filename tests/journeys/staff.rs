//! People among those who try: whom an issuer vouches for, by name or by a claim, and whom none does any more.

use serde_json::{Value as Json, json};

use crate::{Api, Delivery, Issuer, Org, Stack};

/// Issuers, and the tokens that they give.
#[derive(Debug)]
pub(super) struct Staff {
    issuer: Issuer,
    /// One that nobody believes. It says the same of the same people.
    impostor: Issuer,
}

impl Staff {
    /// `None` where the installation asks no issuer: on the emulated cloud.
    pub(super) async fn of(stack: &Stack) -> anyhow::Result<Option<Self>> {
        match stack.delivery {
            Delivery::S3 { .. } => Ok(None),
            Delivery::Http => {
                let (issuer, impostor) = (Issuer::start().await?, Issuer::start().await?);
                Ok(Some(Self { issuer, impostor }))
            }
        }
    }

    /// Lets people in by what their tokens say: each organization is an audience of its own.
    pub(super) async fn work_for(&self, org: &Org) -> anyhow::Result<()> {
        let role = |role: &str| json!({"claim": "groups", "value": role, "role": role});
        let mut roles: Vec<Json> = ["reader", "approver", "maintainer", "admin"].map(role).into();
        let of_dev = json!({"claim": "groups", "value": "dev", "role": "admin", "envs": ["dev"]});
        roles.push(of_dev);
        let believed = json!({"url": self.issuer.url, "audiences": [org.key], "roles": roles});
        org.api.put(&org.path("issuers/known-issuer"), &believed).await?.expect(201)?;
        Ok(())
    }

    /// The token of somebody in a group.
    pub(super) fn token(&self, org: &Org, group: &str) -> anyhow::Result<String> {
        self.issuer.token(&claims(org, group))
    }

    /// Tokens that open nothing: each of an admin, but for one thing.
    pub(super) async fn worthless(&self, org: &Org) -> anyhow::Result<Vec<String>> {
        let but = |name: &str, value: Json| {
            let mut claims = claims(org, "admin");
            claims[name] = value;
            self.issuer.token(&claims)
        };
        let right = self.token(org, "admin")?;
        let (_, signature) = right.rsplit_once('.').unwrap_or_default();
        let other = but("sub", json!("somebody-else"))?;
        let (signed, _) = other.rsplit_once('.').unwrap_or_default();
        let people = org.path("people");
        let name = json!({"issuer": self.issuer.url, "subject": "removed", "role": "admin"});
        let taken_in = org.api.post(&people, &name).await?.expect(201)?;
        let id = taken_in.body["id"].as_str().unwrap_or_default();
        // Somebody else stays an admin by name, so that this one can go.
        let heir = json!({"issuer": self.issuer.url, "subject": "heir", "role": "admin"});
        org.api.post(&people, &heir).await?.expect(201)?;
        org.api.delete(&format!("{people}/{id}")).await?.expect(204)?;
        let removed = json!({"aud": org.key, "sub": "removed"});
        Ok(vec![
            but("exp", json!(1_700_000_000))?,
            but("aud", json!("somewhere-else"))?,
            but("groups", json!([]))?,
            self.impostor.token(&claims(org, "admin"))?,
            // The signature is of something else.
            format!("{signed}.{signature}"),
            self.issuer.token(&removed)?,
        ])
    }

    /// Somebody by name who may nothing in `prod`.
    pub(super) async fn of_dev_by_name(&self, stack: &Stack, org: &Org) -> anyhow::Result<Api> {
        let name = json!({"issuer": self.issuer.url, "subject": "dev-by-name", "role": "admin",
            "envs": ["dev"]});
        org.api.post(&org.path("people"), &name).await?.expect(201)?;
        let token = self.issuer.token(&json!({"aud": org.key, "sub": "dev-by-name"}))?;
        Ok(stack.api(Some(&token)))
    }
}

fn claims(org: &Org, group: &str) -> Json {
    json!({"aud": org.key, "sub": format!("one-of-{group}"), "groups": ["staff", group]})
}
