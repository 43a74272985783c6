//! Attacks by number: each of the bad vectors' on other manifests, drawn by seed, and chains of trust. A failure
//! names seed and case.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::panic::catch_unwind;

use flagforge_flags::Revision;
use flagforge_flags::manifest::{
    Position, Refusal, Scope, SecretKey, Trust, TrustClaims, sign_trust, verify_trust,
};
use serde_json::json;

use crate::author::{Author, ONLINE, at, flag, key, print, public, read, tenant};
use crate::refused::{cases, name, victim};

/// Manifests that are attacked, each in every way there is.
const SEEDS: u64 = 8;

/// Splitmix64: enough chance for choosing, the same everywhere.
#[derive(Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A manifest of a few flags in two shards, and a few tenants.
fn drawn(seed: u64) -> Author {
    let mut chance = Chance(seed);
    let mut author = Author::new(Scope::Environment);
    // The two of the vectors' victim first, so that no shard is empty.
    let more = (0..chance.below(12)).map(|n| flag(&format!("more-{}-{n}", chance.next() % 999)));
    let flags: Vec<_> = ["flag-4", "flag-1"].into_iter().map(flag).chain(more).collect();
    author.flags(2, &flags);
    let tenants = 1 + chance.below(8);
    let tenants: Vec<_> = (0..tenants).map(|n| tenant(&format!("t-{n}"), &json!({}))).collect();
    author.tenants(1, &tenants);
    author
}

#[test]
fn every_attack_on_every_manifest_is_refused_in_the_same_word() {
    let words: Vec<String> =
        cases(&victim()).iter().map(|(_, given)| name(&read(given).unwrap_err())).collect();
    let halves = [1..=SEEDS / 2, SEEDS / 2 + 1..=SEEDS];
    let attempts: usize = std::thread::scope(|scope| {
        let words = &words;
        let half =
            move |seeds: RangeInclusive<u64>| seeds.map(|seed| attack(seed, words)).sum::<usize>();
        let work = halves.map(|seeds| scope.spawn(move || half(seeds)));
        work.map(|half| half.join().unwrap()).into_iter().sum()
    });
    assert!(attempts >= 880, "only {attempts} attempts");
}

/// Every attack on one manifest. Answers how many; one that is accepted, or ends in a panic, fails.
fn attack(seed: u64, words: &[String]) -> usize {
    let author = drawn(seed);
    assert!(read(&author.given()).is_ok(), "seed {seed}: what is attacked is good");
    let cases = cases(&author);
    for ((case, given), word) in cases.iter().zip(words) {
        match catch_unwind(|| read(given).map(|_| ())) {
            Ok(Err(refusal)) => {
                // Bytes of another chunk may have the same length.
                let same = name(&refusal) == *word || name(&refusal).starts_with("Chunk");
                assert!(same, "seed {seed}: {case}: {word}, now {refusal}");
            }
            Ok(Ok(())) => panic!("seed {seed}: {case} was accepted"),
            Err(_) => panic!("seed {seed}: {case} ended in a panic"),
        }
    }
    assert_eq!(cases.len(), words.len());
    cases.len()
}

#[test]
fn no_refusal_is_without_its_attack() {
    let seen: BTreeSet<String> =
        cases(&victim()).iter().map(|(_, given)| name(&read(given).unwrap_err())).collect();
    let all = [
        "Algorithm",
        "BadSignature",
        "ChunkDigest",
        "ChunkMissing",
        "ChunkSize",
        "FromTheFuture",
        "KeyOutsideShard",
        "Malformed",
        "OutsideCertificate",
        "Rollback",
        "TooFewSignatures",
        "TooLarge",
        "TrustRollback",
        "UnknownFormat",
        "UnknownKey",
        "WrongEpoch",
        "WrongScope",
        "WrongType",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

/// The trust document of one generation of three roots, of which two must sign.
fn generation(number: u64) -> (TrustClaims, [SecretKey; 3]) {
    let byte = |place: u64| u8::try_from(10 + number * 3 + place).unwrap();
    let roots = [0, 1, 2].map(|place| key(byte(place)));
    let claims = TrustClaims {
        format: 1,
        number,
        epoch: 1,
        issued: at(0),
        expires: at(1),
        threshold: 2,
        roots: roots.iter().map(SecretKey::public).collect(),
        online: vec![public(ONLINE)],
    };
    (claims, roots)
}

#[test]
fn fifty_rotations_in_a_row_and_nobody_jumps_one() {
    let (claims, mut roots) = generation(1);
    let pins: Vec<_> = roots.iter().map(|root| root.public().thumbprint()).collect();
    let mut texts = vec![sign_trust(&claims, &[&roots[0], &roots[1]]).unwrap()];
    for number in 2..=51 {
        let (claims, next) = generation(number);
        texts.push(sign_trust(&claims, &[&roots[1], &roots[2], &next[0], &next[2]]).unwrap());
        roots = next;
    }
    let mut held: Trust = verify_trust(texts[0].as_bytes(), &pins).unwrap();
    for (place, text) in texts.iter().enumerate().skip(1) {
        if let Some(two_on) = texts.get(place + 1) {
            let jumped = held.succeed(two_on.as_bytes());
            assert!(matches!(jumped, Err(Refusal::TooFewSignatures { .. })), "{place}");
        }
        held = held.succeed(text.as_bytes()).unwrap();
        let back = held.succeed(texts[place - 1].as_bytes());
        assert!(back.is_err(), "{place}: back to where it was");
    }
    assert_eq!(held.claims().number, 51);
}

#[test]
fn one_stolen_root_key_of_three_moves_nobody_who_holds_a_document() {
    let (claims, roots) = generation(1);
    let pins: Vec<_> = roots.iter().map(|root| root.public().thumbprint()).collect();
    let text = sign_trust(&claims, &[&roots[0], &roots[1]]).unwrap();
    let held = verify_trust(text.as_bytes(), &pins).unwrap();
    let mut attempts = 0;
    for stolen in &roots {
        for seed in 0..20 {
            let mut chance = Chance(seed);
            let attacker = key(200 + u8::try_from(seed).unwrap());
            let mut forged = claims.clone();
            forged.number = 2 + chance.below(u64::MAX - 2);
            forged.epoch = 1 + chance.below(u64::MAX - 1);
            forged.threshold = 1;
            forged.online = vec![attacker.public()];
            if chance.below(2) == 0 {
                // Whoever has one key may make many.
                forged.roots = vec![stolen.public(), key(100).public(), key(101).public()];
            }
            let signers = [stolen, stolen, &key(100), &key(101)];
            let forged = sign_trust(&forged, &signers).unwrap();
            let refused = held.succeed(forged.as_bytes());
            let few = Refusal::TooFewSignatures {
                whose: "the held document's roots",
                needed: 2,
                valid: 1,
            };
            assert_eq!(refused.err(), Some(few), "seed {seed}");
            attempts += 1;
        }
    }
    assert_eq!(attempts, 60);
}

#[test]
fn an_absurd_revision_is_undone_by_the_epoch_alone() {
    let mut author = victim();
    author.claims.revision = Revision { org: u64::MAX, env: u64::MAX };
    author.claims.serial = u64::MAX;
    let absurd = read(&author.given()).unwrap().root().position();
    let honest = crate::author::Given { seen: Some(absurd), ..victim().given() };
    assert_eq!(name(&read(&honest).unwrap_err()), "Rollback");
    let mut author = victim();
    (author.trust.epoch, author.claims.epoch) = (2, 2);
    (author.trust.number, author.claims.serial) = (2, 1);
    author.claims.revision = Revision { org: 1, env: 1 };
    let held = vec![victim().trust_text()];
    let recovered = crate::author::Given { seen: Some(absurd), held, ..author.given() };
    let position = read(&recovered).unwrap().root().position();
    assert_eq!(position, Position { epoch: 2, revision: Revision { org: 1, env: 1 }, serial: 1 });
    // And who held the pins only comes to the same.
    assert_eq!(recovered.pins, [1, 2, 3].map(print));
}
