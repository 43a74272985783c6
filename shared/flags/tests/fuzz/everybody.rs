//! What is said to be everybody's answer is the answer of each, until the instant that was foretold.

use std::time::Duration;

use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, SegmentWire};
use flagforge_flags::{Answer, Context, Ticks, Times, View, evaluate};

use crate::chance::{Chance, run};
use crate::folding::{TENANTS, directory, flag, segments, whole};
use crate::{NOW, Neighbours, corpus, mutate_one, taken};

/// So long that no tick is between two instants.
const NEVER: Ticks = Ticks { every: Duration::from_secs(1 << 40), late: Duration::ZERO };

/// Somebody of the tenant, or nobody of it.
fn somebody(tenant: usize, number: usize) -> Context<'static> {
    let (tenant, _) = directory().swap_remove(tenant);
    let context = Context::for_tenant(tenant);
    let user = ["u-1", "u-2", "u-3", "u-of-acme", "u-of-globex", ""][number % 6];
    match number % 4 {
        0 => context,
        1 => context.user(user),
        2 => context.attr("country", "DE").attr("plan", "gold").attr("email", "a@example.com"),
        _ => {
            let context = context.user(user).entity("device", "d-1").entity("element", "e");
            context.attr("country", "DE").attr("plan", "free").attr("tags", number)
        }
    }
}

fn same(one: &Answer<'_>, other: &Answer<'_>) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

#[test]
fn everybody() {
    let corpus: Vec<Neighbours> = corpus();
    run(
        |chance: &mut Chance| {
            let (mut flags, mut around) = corpus[chance.below(corpus.len())].clone();
            mutate_one(chance, &mut flags);
            if chance.one_in(2) {
                flags = (0..3).map(|number| flag(chance, number)).collect();
                around = segments(chance);
            }
            let who: Vec<usize> = (0..4).map(|_| chance.below(24)).collect();
            let ago = [0, 5, 90_000, 100_000_000][chance.below(4)];
            (flags, around, chance.below(TENANTS.len()), who, ago)
        },
        |(flags, segments, tenant, who, ago)| {
            let snapshot = whole(taken::<FlagWire>(flags), taken::<SegmentWire>(segments));
            let (key, _) = directory().swap_remove(*tenant);
            let now = Timestamp::from_millis(NOW.as_millis() - ago);
            let view = View { snapshot: &snapshot, confirmed: now };
            let entry = snapshot.tenant(key.as_str()).and_then(Result::ok);
            let until = Times::of(&snapshot).around(entry, now, NEVER, now).next;
            let mut of_all = false;
            for (flag, place) in snapshot.places() {
                let said = view.everybody(&key, now).ask(place).unwrap();
                let Some(answer) = said.answer else { continue };
                for number in who {
                    let context = somebody(*tenant, *number);
                    let theirs = evaluate(view, flag, None, &context, now);
                    assert!(
                        same(&answer, &theirs),
                        "{flag}: {answer:?}, and to {context:?} {theirs:?}"
                    );
                    // The last instant before it may be otherwise, or any where that is never.
                    let last = until.map_or(NOW, |at| Timestamp::from_millis(at.as_millis() - 1));
                    if !said.moves {
                        let theirs = evaluate(view, flag, None, &context, last);
                        assert!(same(&answer, &theirs), "{flag}: {answer:?}, and later {theirs:?}");
                    }
                }
                of_all = true;
            }
            of_all
        },
    );
}
