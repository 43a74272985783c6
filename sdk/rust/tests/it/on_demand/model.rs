//! Loads, swaps, evictions and darkness in any order, by seed, beside a model that knows every tenant's answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use flagforge::{Client, Directory, Revision};
use flagforge_flags::manifest::tenant_shard;

use super::{Place, SHARDS, SOON, asked, told};

const TENANTS: usize = 48;
const STEPS: usize = 400;

/// Numbers by seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

fn names() -> Vec<String> {
    (0..TENANTS).map(|n| format!("tenant-{n}")).collect()
}

/// The bytes of the directory that the client holds, as its answers show.
fn held_bytes(place: &Place, client: &Client) -> u64 {
    let loaded = names().into_iter().filter(|name| asked(client, name).is_some());
    let mut shards = BTreeSet::new();
    loaded
        .filter(|name| shards.insert(tenant_shard(name, SHARDS)))
        .map(|n| place.bytes_of(&n))
        .sum()
}

#[tokio::test]
async fn whatever_happens_a_tenant_has_its_own_answer_or_none() {
    for seed in 0..6 {
        let mut dice = Dice(seed);
        let names = names();
        let mut place = Place::of(&names);
        let most = place.bytes_of(&names[0]) * 6;
        let ttl = Duration::from_millis(200);
        let directory = Directory::OnDemand { tenants: 8, bytes: most, ttl };
        let client = place.connect(directory).await.unwrap();
        let mut answers: Vec<usize> = (0..TENANTS).collect();
        let (mut held, mut right, mut not_loaded, mut dark) = (answers.clone(), 0, 0, false);
        for step in 0..STEPS {
            let at = dice.below(TENANTS);
            match dice.below(20) {
                0..8 => {
                    let loaded = client.load_tenant(&names[at]).within(SOON).await;
                    match loaded {
                        Ok(_) => assert!(asked(&client, &names[at]).is_some()),
                        Err(error) => assert!(dark, "seed {seed}, step {step}: {error}"),
                    }
                }
                8..10 if !dark => {
                    // A third of them are told something else.
                    for (n, name) in names.iter().enumerate() {
                        if dice.below(3) == 0 {
                            answers[n] = dice.below(100);
                            place.tenants[n] = told(name, answers[n]);
                        }
                    }
                    place.publish();
                    let next: Revision = place.publisher.revision;
                    assert!(client.wait_for(next).within(SOON).await, "seed {seed}, step {step}");
                    held.clone_from(&answers);
                }
                10 => {
                    dark = !dark;
                    place.origin.go_dark(dark);
                }
                11 => tokio::time::sleep(Duration::from_millis(15)).await,
                _ => match asked(&client, &names[at]) {
                    Some(told) => {
                        assert_eq!(told, held[at].to_string(), "seed {seed}, step {step}");
                        right += 1;
                    }
                    None => not_loaded += 1,
                },
            }
            if step % 10 == 0 {
                let bytes = held_bytes(&place, &client);
                assert!(bytes <= most, "seed {seed}, step {step}: {bytes} of {most} bytes");
            }
        }
        assert!(
            right > 10 && not_loaded > 10,
            "seed {seed}: {right} right, {not_loaded} not loaded"
        );
    }
}

/// The least that happens meanwhile.
const SWAPS: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_constant_swaps_and_evictions_nobody_is_told_anothers_answer() {
    let names = names();
    let mut place = Place::of(&names);
    let most = place.bytes_of(&names[0]) * 4;
    let directory = Directory::OnDemand { tenants: 8, bytes: most, ttl: SOON };
    let client = place.connect(directory).await.unwrap();
    let (done, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (finished, swapped) = (Arc::clone(&done), Arc::clone(&swaps));
    // Tenant n is told n or n + 50, and nobody else is told either.
    let publishing = std::thread::spawn(move || {
        let mut far = false;
        while !finished.load(Ordering::Relaxed) {
            far = !far;
            let names = names.iter().enumerate();
            place.tenants = names.map(|(n, name)| told(name, n + 50 * usize::from(far))).collect();
            place.publish();
            swapped.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
        place
    });
    let tasks: Vec<_> = (0..TENANTS)
        .map(|n| {
            let (client, swaps) = (client.clone(), Arc::clone(&swaps));
            tokio::spawn(async move {
                let name = format!("tenant-{n}");
                let (mut right, mut rounds) = (0, 0);
                // Where publishing gets little of the processors, until there was something to be mixed.
                while rounds < 40 || (swaps.load(Ordering::Relaxed) <= SWAPS && rounds < 40_000) {
                    rounds += 1;
                    let _ = client.load_tenant(&name).within(SOON).await;
                    for _ in 0..50 {
                        let Some(told) = asked(&client, &name) else { break };
                        let told: usize = told.parse().unwrap();
                        assert!(told == n || told == n + 50, "{name} was told {told}");
                        right += 1;
                    }
                    tokio::task::yield_now().await;
                }
                right
            })
        })
        .collect();
    let mut right = 0;
    for task in tasks {
        right += task.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let place = publishing.join().unwrap();
    assert!(right > 1_000 && swaps.load(Ordering::Relaxed) > SWAPS, "{right} answers");
    // The last root, which it may not have yet, has a byte more or less for each tenant.
    assert!(held_bytes(&place, &client) <= most + TENANTS as u64);
}
