//! Every byte of a manifest of more than 50 KB, changed: trust document, root, indexes, chunks. None of the mutants
//! loads, not even as the same, because nothing in a manifest is there that nobody signed.

use std::collections::{BTreeMap, BTreeSet};

use flagforge_flags::manifest::{Digest, Listing, Root, Scope, load, verify_root, verify_trust};
use flagforge_flags::{Snapshot, wire::FlagWire};
use serde_json::json;

use crate::attacks::Chance;
use crate::author::{Author, Given, flag, tenant};

/// Where the mutants' masks begin.
const SEED: u64 = 20_261_121;
/// Shards of flags; with two of tenants they are, and without any one of them still, more than a root lists itself.
const SHARDS: u32 = 64;

fn flags() -> Vec<FlagWire> {
    (0..165).map(|n| flag(&format!("flag-{n}"))).collect()
}

fn author(flags: &[FlagWire]) -> Author {
    let mut author = Author::new(Scope::Environment);
    author.flags(SHARDS, flags);
    author.tenants(
        2,
        &(0..40).map(|n| tenant(&format!("t-{n}"), &json!({"flag-1": "on"}))).collect::<Vec<_>>(),
    );
    author.index();
    author
}

/// Every byte of a text changed, one at a time, by a mask that is never 0.
fn mutants(text: &str, seed: u64) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let mut chance = Chance(seed);
    let bytes = text.as_bytes().to_vec();
    (0..bytes.len()).map(move |place| {
        let mut mutant = bytes.clone();
        mutant[place] ^= u8::try_from(1 + chance.below(255)).unwrap();
        (place, mutant)
    })
}

fn root(given: &Given) -> Root {
    let trust = verify_trust(given.trust.as_bytes(), &given.pins).unwrap();
    verify_root(given.root.as_bytes(), &trust, &given.scope, None, given.now).unwrap()
}

#[test]
fn no_byte_of_trust_document_or_root_may_be_another() {
    let given = author(&flags()).given();
    let trust = verify_trust(given.trust.as_bytes(), &given.pins).unwrap();
    let mut count = 0;
    for (place, mutant) in mutants(&given.trust, SEED) {
        assert!(verify_trust(&mutant, &given.pins).is_err(), "byte {place} of the trust document");
        count += 1;
    }
    for (place, mutant) in mutants(&given.root, SEED) {
        let read = verify_root(&mutant, &trust, &given.scope, None, given.now);
        assert!(read.is_err(), "byte {place} of the root");
        count += 1;
    }
    assert_eq!(count, given.trust.len() + given.root.len());
}

#[test]
fn no_byte_of_an_index_or_a_chunk_may_be_another() {
    let given = author(&flags()).given();
    let root = root(&given);
    let listing = listing(&root, &given);
    let mut count = 0;
    for index in &root.claims().indexes {
        for (place, mutant) in mutants(&given.chunks[&index.sha256], SEED) {
            let mut fetch =
                |digest: &Digest| offered(&given.chunks, digest, &index.sha256, &mutant);
            assert!(Listing::of(&root, &mut fetch, None).is_err(), "byte {place} of an index");
            count += 1;
        }
    }
    // Empty shards are one object.
    let chunks: BTreeSet<Digest> = listing.chunks().map(|chunk| chunk.sha256).collect();
    let (first, second): (Vec<_>, Vec<_>) =
        chunks.iter().partition(|digest| digest.as_bytes()[0] < 128);
    let flipped = std::thread::scope(|scope| {
        let halves = [first, second];
        let work = halves.map(|half| {
            scope
                .spawn(|| half.into_iter().map(|digest| flip(&given, &root, digest)).sum::<usize>())
        });
        work.map(|half| half.join().unwrap()).into_iter().sum::<usize>()
    });
    let signed = given.trust.len() + given.root.len();
    let whole = signed + given.chunks.values().map(String::len).sum::<usize>();
    assert_eq!(count + flipped + signed, whole, "every byte, each once");
    assert!(whole >= 50_000, "{whole} bytes");
}

/// Offers every mutant of one chunk to a reader that holds all the others.
fn flip(given: &Given, root: &Root, digest: &Digest) -> usize {
    let (text, held) = (&given.chunks[digest], without(given, root, digest));
    let read = |bytes: &[u8]| {
        let mut fetch = |wanted: &Digest| offered(&given.chunks, wanted, digest, bytes);
        load(root.clone(), &mut fetch, Some(&held))
    };
    for (place, mutant) in mutants(text, SEED) {
        assert!(read(&mutant).is_err(), "byte {place} of {digest}");
    }
    assert!(read(text.as_bytes()).is_ok(), "{digest} as it is");
    text.len()
}

fn listing(root: &Root, given: &Given) -> Listing {
    Listing::of(root, &mut |digest| given.chunks.get(digest).map(String::as_bytes), None).unwrap()
}

fn offered<'m>(
    chunks: &'m BTreeMap<Digest, String>,
    digest: &Digest,
    changed: &Digest,
    mutant: &'m [u8],
) -> Option<&'m [u8]> {
    if digest == changed { Some(mutant) } else { chunks.get(digest).map(String::as_bytes) }
}

/// A snapshot that holds every chunk of the manifest but one, which it does not list.
fn without(given: &Given, root: &Root, digest: &Digest) -> Snapshot {
    let mut claims = root.claims().clone();
    let listing = listing(root, given);
    let mut author = Author::new(Scope::Environment);
    author.chunks = given.chunks.clone();
    claims.indexes.clear();
    claims.chunks = listing.chunks().filter(|chunk| chunk.sha256 != *digest).cloned().collect();
    author.claims = claims;
    author.index();
    let other = author.given();
    let root = self::root(&other);
    load(root, &mut |d| other.chunks.get(d).map(String::as_bytes), None).unwrap()
}
