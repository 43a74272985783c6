//! Bad weather: what befalls the calls of processes, and what is on its way between them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_embedded::{InjectedFault, LocalSigner};
use flagforge_flags::manifest::PublicKey;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    Bus, BusError, ETag, FeedRecord, Fetched, Item, ItemKey, ListedObject, Notice, ObjectError,
    Objects, Outbound, OutboundError, Page, PutIf, Query, Signer, SignerError, Table, TableError,
    Write,
};

use crate::accepted::chance::Chance;
use crate::killed::Life;

/// What may befall a call.
enum Fate {
    Through,
    /// Nothing happens, and the caller is told that nobody knows.
    FailBefore,
    /// It happens, and the caller is told the same.
    FailAfter,
}

/// What the processes of a world have in common: the weather, and what is on its way between them.
#[derive(Debug)]
pub(crate) struct Weather {
    pub(crate) chance: Mutex<Chance>,
    pub(crate) is_bad: AtomicBool,
    pub(crate) struck: AtomicUsize,
    pub(crate) pending: Mutex<Vec<Message>>,
}

/// On its way to a handler.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Stream(Vec<FeedRecord>),
    /// To the publisher's queue, and to the webhooks'.
    Publish(Notice),
    Tell,
    Tick(Tick),
}

/// The clock's. They may be lost: the next makes up for it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tick {
    Fire,
    Resign,
    Webhooks,
}

impl Weather {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            chance: Mutex::new(Chance::new(seed)),
            is_bad: AtomicBool::new(true),
            struck: AtomicUsize::new(0),
            pending: Mutex::new(Vec::new()),
        })
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        self.chance.lock().unwrap().below(bound)
    }

    fn fate(&self) -> Fate {
        if !self.is_bad.load(Ordering::SeqCst) {
            return Fate::Through;
        }
        let fate = match self.below(60) {
            0 => Fate::FailBefore,
            1 => Fate::FailAfter,
            _ => return Fate::Through,
        };
        self.struck.fetch_add(1, Ordering::SeqCst);
        fate
    }

    pub(crate) fn send(&self, message: Message) {
        let mut pending = self.pending.lock().unwrap();
        if self.is_bad.load(Ordering::SeqCst) && self.below(10) == 0 {
            pending.push(message.clone());
        }
        pending.push(message);
    }

    /// Any of those on their way, whenever it was sent.
    pub(crate) fn arrives(&self) -> Option<Message> {
        let mut pending = self.pending.lock().unwrap();
        (!pending.is_empty()).then(|| {
            let place = self.below(pending.len());
            pending.swap_remove(place)
        })
    }
}

/// A hand of one process: it ends with the process, and its calls fail with the weather.
#[derive(Debug)]
pub(crate) struct Frail<H: ?Sized> {
    pub(crate) life: Arc<Life>,
    pub(crate) weather: Arc<Weather>,
    pub(crate) hand: Arc<H>,
}

impl<H: ?Sized> Frail<H> {
    async fn call<T, E>(
        &self,
        effect: impl Future<Output = Result<T, E>>,
        unknown: impl FnOnce(InjectedFault) -> E,
    ) -> Result<T, E> {
        match self.weather.fate() {
            Fate::Through => self.life.call(effect).await,
            Fate::FailBefore => Err(unknown(InjectedFault)),
            Fate::FailAfter => {
                self.life.call(effect).await?;
                Err(unknown(InjectedFault))
            }
        }
    }
}

fn of_table(fault: InjectedFault) -> TableError {
    TableError::Unavailable(fault.into())
}

fn of_objects(fault: InjectedFault) -> ObjectError {
    ObjectError::Unavailable(fault.into())
}

fn of_signer(fault: InjectedFault) -> SignerError {
    SignerError(fault.into())
}

#[async_trait]
impl Table for Frail<dyn Table> {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, TableError> {
        self.call(self.hand.get(key), of_table).await
    }
    async fn query(&self, query: &Query) -> Result<Page, TableError> {
        self.call(self.hand.query(query), of_table).await
    }
    async fn transact(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), TableError> {
        self.call(self.hand.transact(writes, token), of_table).await
    }
}

#[async_trait]
impl Objects for Frail<dyn Objects> {
    async fn get(&self, name: &str, held: Option<&ETag>) -> Result<Fetched, ObjectError> {
        self.call(self.hand.get(name, held), of_objects).await
    }
    async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        content_type: &str,
        condition: PutIf,
    ) -> Result<ETag, ObjectError> {
        self.call(self.hand.put(name, bytes, content_type, condition), of_objects).await
    }
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, ObjectError> {
        self.call(self.hand.list(prefix, after), of_objects).await
    }
    async fn delete(&self, name: &str, before: Timestamp) -> Result<bool, ObjectError> {
        self.call(self.hand.delete(name, before), of_objects).await
    }
}

#[async_trait]
impl Signer for Frail<LocalSigner> {
    async fn public_key(&self) -> Result<PublicKey, SignerError> {
        self.call(self.hand.public_key(), of_signer).await
    }
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        self.call(self.hand.sign(message), of_signer).await
    }
}

#[async_trait]
impl Bus for Frail<Weather> {
    async fn publish(&self, notice: &Notice) -> Result<(), BusError> {
        let ring = async {
            if let Notice::Changed { .. } = notice {
                self.hand.send(Message::Publish(notice.clone()));
                self.hand.send(Message::Tell);
            }
            Ok(())
        };
        self.call(ring, |fault| BusError(fault.into())).await
    }
}

/// An endpoint that takes nine calls of ten in bad weather, and of some of the others it does not say so.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) weather: Arc<Weather>,
    pub(crate) heard: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Outbound for Endpoint {
    async fn post(
        &self,
        _: &str,
        headers: &[(&'static str, String)],
        _: Bytes,
    ) -> Result<u16, OutboundError> {
        let id = headers.iter().find(|(name, _)| *name == "webhook-id").unwrap().1.clone();
        let bad = self.weather.is_bad.load(Ordering::SeqCst);
        match if bad { self.weather.below(20) } else { 2 } {
            0 => return Ok(503),
            1 => drop(self.heard.lock().unwrap().insert(id)),
            _ => {
                self.heard.lock().unwrap().insert(id);
                return Ok(200);
            }
        }
        Err(OutboundError::Failed("the answer was lost".to_owned()))
    }
}
