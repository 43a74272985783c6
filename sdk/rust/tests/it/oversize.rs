//! Too much, over HTTP: documents of twice, ten and a thousand times their limits, bodies without an end, and bodies that
//! would inflate. The last good manifest stays, and memory stays within the limit that was passed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use allocation_counter::AllocationInfo;
use flagforge::origin::HttpOrigin;
use flagforge::{Client, Flag, Loader, Status, chain};
use flagforge_flags::manifest::{MAX_INDEX_BYTES, MAX_ROOT_BYTES, MAX_TRUST_BYTES};
use flagforge_flags::{AccessKey, KeyKind};

use crate::kit::{Publisher, SECRET, boolean, directory};

/// What the server does with one address.
#[derive(Clone)]
enum Answer {
    Bytes(Vec<u8>),
    /// So many spaces, their number declared.
    Declared(u64),
    /// So many spaces in pieces, undeclared.
    Pieces(u64),
    /// Spaces for as long as anybody takes them.
    Endless,
    Gzip(Vec<u8>),
}

type Answers = Arc<Mutex<BTreeMap<String, Answer>>>;

/// A server in threads of its own, so that what it allocates is not the client's.
fn serve(answers: &Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = Arc::clone(answers);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answers = Arc::clone(&answers);
            // A client that hangs up ends its thread, and nothing else.
            std::thread::spawn(move || _ = answer(stream, &answers));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(!head.contains("accept-encoding"), "nobody asks for what would have to be inflated");
    let path = head.split(' ').nth(1).unwrap_or_default();
    let name = path.strip_prefix("/data/v1/demo/prod/").unwrap_or_default();
    let found = answers.lock().unwrap().get(name).cloned();
    let spaces = [b' '; 16 * 1_024];
    match found {
        None => {
            stream.write_all(b"HTTP/1.1 404 N\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        Some(Answer::Bytes(bytes)) => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                bytes.len()
            )?;
            stream.write_all(&bytes)
        }
        Some(Answer::Gzip(bytes)) => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                bytes.len()
            )?;
            stream.write_all(&bytes)
        }
        Some(Answer::Declared(count)) => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {count}\r\nconnection: close\r\n\r\n"
            )?;
            pour(&mut stream, &spaces, count, false)
        }
        Some(Answer::Pieces(count)) => {
            stream.write_all(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
            )?;
            pour(&mut stream, &spaces, count, true)?;
            stream.write_all(b"0\r\n\r\n")
        }
        Some(Answer::Endless) => {
            stream.write_all(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
            )?;
            pour(&mut stream, &spaces, u64::MAX, true)
        }
    }
}

fn pour(
    stream: &mut TcpStream,
    spaces: &[u8],
    mut left: u64,
    in_pieces: bool,
) -> std::io::Result<()> {
    while left > 0 {
        let size = spaces.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if in_pieces {
            write!(stream, "{size:x}\r\n")?;
        }
        stream.write_all(&spaces[..size])?;
        if in_pieces {
            stream.write_all(b"\r\n")?;
        }
        left -= size as u64;
    }
    Ok(())
}

/// A client that holds a manifest of many chunks, and a server whose answers can be made too much.
struct Scene {
    answers: Answers,
    honest: BTreeMap<String, Answer>,
    base: String,
    publisher: Publisher,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::new(folder.path());
        publisher.shards = 64;
        let answers = Answers::default();
        let base = serve(&answers);
        let mut scene = Self { answers, honest: BTreeMap::new(), base, publisher, _folder: folder };
        scene.publish(10);
        scene
    }

    fn publish(&mut self, flags: usize) {
        let flags: Vec<_> = (0..flags).map(|n| boolean(&format!("flag-{n}"))).collect();
        self.publisher.publish(&flags, &[directory("acme", &["flag-1"])]);
        let read = |name: &str| Answer::Bytes(self.publisher.read(name));
        self.honest = BTreeMap::from([
            ("trust".to_owned(), read("trust.json")),
            ("environment".to_owned(), read("demo/prod/environment.jws")),
        ]);
        for entry in std::fs::read_dir(self.publisher.folder.join("demo/chunks")).unwrap().flatten()
        {
            let bytes = std::fs::read(entry.path()).unwrap();
            let name = format!("chunks/{}", entry.file_name().to_str().unwrap());
            self.honest.insert(name, Answer::Bytes(bytes));
        }
        self.answers.lock().unwrap().clone_from(&self.honest);
    }

    fn loader(&self) -> Loader {
        let org = self.publisher.org.clone();
        let key = AccessKey::new(KeyKind::Server, org, None, "k1", SECRET).unwrap();
        let origin = HttpOrigin::new(&self.base, &key).unwrap();
        Loader::new(Arc::new(origin), self.publisher.environment(), self.publisher.pinned(), None)
    }

    fn answers(&self, name: &str, answer: Answer) {
        let mut answers = self.honest.clone();
        answers.insert(name.to_owned(), answer);
        *self.answers.lock().unwrap() = answers;
    }
}

/// Everything on this thread: what a client allocates is counted there.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Refreshes, which must fail with what was held still held. Answers what it allocated at its highest.
fn refused(runtime: &tokio::runtime::Runtime, loader: &mut Loader, word: &str) -> u64 {
    let held = loader.held().cloned();
    let mut outcome = None;
    let AllocationInfo { bytes_max, .. } =
        allocation_counter::measure(|| outcome = Some(runtime.block_on(loader.refresh())));
    let error = chain(&outcome.unwrap().unwrap_err());
    assert!(error.contains(word), "{error}");
    match (held, loader.held()) {
        (Some(held), Some(now)) => assert!(Arc::ptr_eq(&held, now), "what was held has moved"),
        (held, now) => assert!(held.is_none() && now.is_none()),
    }
    bytes_max
}

/// The limit, what was held of it before the rest was left (buffers grow by doubling), and a request with its pieces.
fn bound(limit: u64) -> u64 {
    3 * limit + 512 * 1_024
}

#[test]
fn twice_ten_and_a_thousand_times_the_limit_are_left_at_the_limit() {
    let mut scene = Scene::new();
    let runtime = runtime();
    let mut loader = scene.loader();
    runtime.block_on(loader.refresh()).unwrap();
    scene.publish(300);
    let mut wanted = Vec::new();
    let listed = loader
        .held()
        .unwrap()
        .snapshot()
        .listing()
        .named()
        .map(|n| n.sha256.to_string())
        .collect::<Vec<_>>();
    for (name, answer) in &scene.honest {
        let (Some(digest), Answer::Bytes(bytes)) = (name.strip_prefix("chunks/"), answer) else {
            continue;
        };
        let is_new = !listed.iter().any(|held| held == digest);
        if is_new && bytes.starts_with(br#"{"chunks""#) {
            assert!(bytes.len() as u64 <= MAX_INDEX_BYTES);
            wanted.push((name.clone(), bytes.len() as u64));
        }
        if is_new && bytes.starts_with(br#"{"flags""#) && wanted.len() < 4 {
            wanted.push((name.clone(), bytes.len() as u64));
        }
    }
    assert!(wanted.len() >= 2, "{wanted:?}");
    wanted.push(("environment".into(), MAX_ROOT_BYTES as u64));
    let (mut tried, mut fresh) = (0, scene.loader());
    for factor in [2, 10, 1_000] {
        for (name, limit) in &wanted {
            for answer in [Answer::Declared(limit * factor), Answer::Pieces(limit * factor)] {
                scene.answers(name, answer);
                let peak = refused(&runtime, &mut loader, "is over");
                assert!(peak <= bound(MAX_ROOT_BYTES as u64), "{name} × {factor}: {peak} bytes");
                tried += 1;
            }
        }
        for answer in [Answer::Declared, Answer::Pieces] {
            scene.answers("trust", answer(MAX_TRUST_BYTES as u64 * factor));
            let peak = refused(&runtime, &mut fresh, "is over");
            assert!(peak <= bound(MAX_TRUST_BYTES as u64), "trust × {factor}: {peak} bytes");
            tried += 1;
        }
    }
    // One byte over what was declared, or what may be.
    for (name, limit) in &wanted {
        scene.answers(name, Answer::Pieces(limit + 1));
        let _ = refused(&runtime, &mut loader, "is over");
        scene.answers(name, Answer::Endless);
        let peak = refused(&runtime, &mut loader, "is over");
        assert!(peak <= bound(MAX_ROOT_BYTES as u64), "{name} without an end: {peak} bytes");
        tried += 2;
    }
    scene.answers("trust", Answer::Endless);
    let _ = refused(&runtime, &mut fresh, "is over");
    assert!(tried >= 30, "{tried}");
    scene.answers.lock().unwrap().clone_from(&scene.honest);
    runtime.block_on(loader.refresh()).unwrap();
    assert_eq!(loader.held().unwrap().snapshot().revision().env, 2);
}

#[test]
fn a_client_answers_on_while_its_origin_pours() {
    let mut scene = Scene::new();
    let key = format!("ff_server_demo.k1_{SECRET}@");
    let roots: Vec<String> = scene.publisher.pinned().iter().map(ToString::to_string).collect();
    let address = scene.base.replace("http://", &key);
    let connection = format!("flagforge+http://{address}/demo/prod?roots={}", roots.join(","));
    runtime().block_on(async {
        let client =
            Client::connect(&connection).poll_every(Duration::from_millis(20)).await.unwrap();
        assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
        scene.publish(300);
        scene.answers("environment", Answer::Endless);
        while !client.trouble().is_some_and(|trouble| trouble.contains("is over")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(client.revision().unwrap().env, 1);
        assert!(client.tenant("acme").unwrap().flags().get(&Flag::new("flag-1", false)));
        scene.answers.lock().unwrap().clone_from(&scene.honest);
        while client.revision().unwrap().env == 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

/// The bits of a deflate stream, the lowest first (RFC 1951 §3.1.1).
#[derive(Default)]
struct Bits(Vec<u8>, u32);

impl Bits {
    fn push(&mut self, bit: bool) {
        if self.1.is_multiple_of(8) {
            self.0.push(0);
        }
        *self.0.last_mut().unwrap() |= u8::from(bit) << (self.1 % 8);
        self.1 += 1;
    }

    /// A Huffman code, the highest bit first.
    fn code(&mut self, code: u16, length: u32) {
        (0..length).rev().for_each(|place| self.push((code >> place) & 1 == 1));
    }
}

/// A gzip member that inflates to a space and `runs` times 258 more: about 160 times its own size.
fn bomb(runs: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // The last block, in fixed codes.
    [true, true, false].into_iter().for_each(|bit| bits.push(bit));
    bits.code(0x30 + u16::from(b' '), 8);
    for _ in 0..runs {
        // Length 258, distance 1.
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    bits.code(0, 7);
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], &bits.0[..], &[0; 8]].concat()
}

/// A gzip member that holds these bytes as they are.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let crc = !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0xedb8_8320))
    });
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    let sizes = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
    let tail = [crc.to_le_bytes(), u32::from(length).to_le_bytes()].concat();
    [&head[..], &sizes, bytes, &tail].concat()
}

#[test]
fn what_would_inflate_is_read_as_it_is_and_refused() {
    let mut scene = Scene::new();
    let runtime = runtime();
    let mut loader = scene.loader();
    runtime.block_on(loader.refresh()).unwrap();
    scene.publish(300);
    // Within the limit as it is sent, ten megabytes if anybody inflated it.
    let bomb = bomb(40_000);
    assert!(bomb.len() <= MAX_ROOT_BYTES && bomb.len() > MAX_ROOT_BYTES / 2);
    let Answer::Bytes(root) = scene.honest["environment"].clone() else {
        unreachable!("as published")
    };
    for body in [bomb.clone(), stored(&root)] {
        scene.answers("environment", Answer::Gzip(body));
        let peak = refused(&runtime, &mut loader, "refused");
        assert!(peak <= bound(MAX_ROOT_BYTES as u64), "{peak} bytes");
    }
    scene.answers("trust", Answer::Gzip(bomb));
    let peak = refused(&runtime, &mut scene.loader(), "refused");
    assert!(peak <= bound(MAX_TRUST_BYTES as u64), "{peak} bytes");
    scene.answers.lock().unwrap().clone_from(&scene.honest);
    runtime.block_on(loader.refresh()).unwrap();
}
