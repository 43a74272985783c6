//! FlagForge through its SDK's public calls, with full details. All that times ours and knows the SDK is in this file.

use std::hint::black_box;

use flagforge::{Client, Details, Flag, Flags, Tenant, Value};

use crate::engine::Engine;
use crate::published::Published;
use crate::world::{Shape, User, World};

/// Who asks.
pub(crate) const TENANT: &str = "acme";

pub(crate) struct Ours {
    client: Client,
    tenant: Tenant,
}

impl Ours {
    /// As [`Engine::one_shot`], with the tenant's handle made anew too.
    pub(crate) fn with_a_new_handle(&self, user: &User, flag: &Flag<bool>) -> bool {
        let tenant = self.client.tenant(TENANT).unwrap();
        let flags = described(&tenant, user);
        black_box(&flags.details(flag)).value
    }
}

fn described<'t>(tenant: &'t Tenant, user: &'t User) -> Flags<'t> {
    tenant
        .user(user.key.as_str())
        .attr("country", user.country)
        .attr("plan", user.plan)
        .attr("version", user.version)
        .attr("age", user.age)
        .attr("score", user.score)
        .attr("beta", user.beta)
        .flags()
}

impl Engine for Ours {
    const NAME: &'static str = "FlagForge";
    type Wire = Published;
    type Question = Flag<bool>;
    type Asker<'e> = Flags<'e>;

    fn wire(world: &World) -> Published {
        Published::of(world)
    }

    fn wire_bytes(wire: &Published) -> usize {
        wire.bytes()
    }

    fn load(wire: &Published) -> Self {
        let client = Client::fixed(wire.snapshot());
        let tenant = client.tenant(TENANT).unwrap();
        Self { client, tenant }
    }

    fn can(_: &Shape) -> bool {
        true
    }

    fn question(key: &'static str) -> Flag<bool> {
        Flag::new(key, false)
    }

    fn asker<'e>(&'e self, user: &'e User) -> Flags<'e> {
        described(&self.tenant, user)
    }

    fn ask(&self, asker: &Flags<'_>, question: &Flag<bool>) -> bool {
        let details = asker.details(question);
        black_box(&details).value
    }

    fn ask_all(&self, asker: &Flags<'_>) -> usize {
        let answers = asker.all();
        let on = |(_, details): &(&str, Details<'_, Option<&Value>>)| {
            black_box(details).value.and_then(Value::as_bool) == Some(true)
        };
        answers.filter(on).count()
    }
}
