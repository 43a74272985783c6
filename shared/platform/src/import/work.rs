//! Driving an import: upload, check, apply, report. Each call does what fits in a slice of time, and says how far it came.

use std::time::Duration;

use bytes::Bytes;
use flagforge_flags::keys::OrgKey;
use flagforge_flags::time::Timestamp;

use super::lines::{self, Row};
use super::{BadLine, Import, ImportState, ImportStep, NewImport, OnError, Position};
use crate::caller::{Caller, Permission};
use crate::change::Change;
use crate::collect::IMPORT_KEPT;
use crate::commit::{Precondition, Request};
use crate::error::Error;
use crate::input::bounded;
use crate::plan::{MAX_BATCH_BYTES, MAX_BATCH_TENANTS};
use crate::ports::{Fetched, PutIf};
use crate::read::PageOf;
use crate::record::Tenant;
use crate::store::{self, Listing, Stored};
use crate::{Platform, fresh, place};

/// Bytes of one part of an upload: under the 6 MB that a Lambda function is given, and under an object's 16 MiB.
pub const MAX_IMPORT_PART_BYTES: usize = 4 * 1024 * 1024;
/// Parts of an upload: 32 MiB are 100,000 tenants of 335 bytes.
pub const MAX_IMPORT_PARTS: u32 = 8;
/// How long one call applies batches before it answers: half of API Gateway's 29 s, for a last batch that is slow.
const SLICE: Duration = Duration::from_secs(14);
/// Good lines kept in one object: 20 batches, so that an object is read once in 20 commits.
const CHUNK_ROWS: usize = 1_000;
/// Bytes of one such object, where lines are long; an object has at most 16 MiB.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// Bad lines on one page of the report; with messages of 1 KiB at most 500 KB.
const REPORT_LINES: usize = 500;

/// How each change of an import is asked for: by whom and why is the same for all.
pub(crate) type Requests<'r> = &'r (dyn Fn(Change) -> Request + Send + Sync);

impl Platform {
    /// Makes an import that waits for its parts.
    pub async fn begin_import(
        &self,
        caller: &Caller,
        org: &OrgKey,
        NewImport { format, on_error, dry_run }: NewImport,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Change, crate::Outcome), Error> {
        caller.can_everywhere(org, Permission::WriteDirectory)?;
        let import = Import {
            id: fresh::id()?,
            format,
            on_error,
            dry_run,
            state: ImportState::Uploading,
            created: self.timer().now(),
            created_by: caller.actor.clone(),
            lines: 0,
            bad: 0,
            applied: 0,
            tenants_created: 0,
            tenants_changed: 0,
            next: Position::default(),
            chunks: Vec::new(),
        };
        let request = request(Change::PutImport { org: org.clone(), import });
        let outcome = self.commit(caller, &request).await?;
        Ok((request.change, outcome))
    }

    pub async fn import(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
    ) -> Result<Stored<Import>, Error> {
        let mut found = self.standing_import(caller, org, id).await?;
        self.name_people(org, std::iter::once(&mut found.value.created_by)).await?;
        Ok(found)
    }

    /// As it is stored, so that it can be written again.
    async fn standing_import(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
    ) -> Result<Stored<Import>, Error> {
        caller.can(org, Permission::Read)?;
        store::standing(self.table(), &place::import(org, id), "import").await
    }

    pub async fn imports(
        &self,
        caller: &Caller,
        org: &OrgKey,
        page: &PageOf,
    ) -> Result<Listing<Import>, Error> {
        self.organization(caller, org).await?;
        let mut found: Listing<Import> = self.page(&place::org_pk(org), "IMPORT#", page).await?;
        self.name_people(org, found.items.iter_mut().map(|i| &mut i.value.created_by)).await?;
        Ok(found)
    }

    /// Stores a part of the file. Putting it again replaces it, until the import is started.
    pub async fn put_import_part(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
        part: u32,
        bytes: Bytes,
    ) -> Result<(), Error> {
        caller.can_everywhere(org, Permission::WriteDirectory)?;
        let import = self.standing_import(caller, org, id).await?.value;
        import.must_be(ImportState::Uploading)?;
        bounded("part", "parts", MAX_IMPORT_PARTS as usize, part as usize + 1)?;
        bounded("the body", "bytes", MAX_IMPORT_PART_BYTES, bytes.len())?;
        let name = object(org, id, "part", part as usize);
        self.objects().put(&name, bytes, "application/octet-stream", PutIf::Any).await?;
        Ok(())
    }

    /// Checks the uploaded file whole, and then applies what fits in this call.
    pub async fn start_import(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
        parts: u32,
        request: Requests<'_>,
    ) -> Result<Stored<Import>, Error> {
        caller.can_everywhere(org, Permission::WriteDirectory)?;
        let Stored { value: mut import, version } = self.standing_import(caller, org, id).await?;
        import.must_be(ImportState::Uploading)?;
        if parts == 0 {
            return Err(Error::invalid("parts", "at least one part is uploaded before the start"));
        }
        bounded("parts", "parts", MAX_IMPORT_PARTS as usize, parts as usize)?;
        let text = self.uploaded(org, id, parts).await?;
        let schema = self.tenant_schema(caller, org).await?.value;
        let read = lines::read(import.format, &text, &schema)?;
        (import.lines, import.bad) = (read.lines, read.bad.len() as u64);
        let refused = import.bad > 0 && import.on_error == OnError::Nothing;
        self.keep_report(org, id, &read.bad).await?;
        if !refused && !import.dry_run {
            import.chunks = self.keep_chunks(org, id, read.good).await?;
        }
        import.state = match () {
            () if refused => ImportState::Refused,
            () if import.chunks.is_empty() => ImportState::Done,
            () => ImportState::Applying,
        };
        let mut checked = request(Change::PutImport { org: org.clone(), import });
        checked.precondition = Precondition::Version(version);
        self.commit(caller, &checked).await?;
        // The file may name people; what is kept of it is what is still to be applied.
        self.wipe(org, id, "part", parts as usize).await?;
        self.continue_import(caller, org, id, request).await
    }

    /// Applies batches until all are applied or the slice of time is over.
    pub async fn continue_import(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
        request: Requests<'_>,
    ) -> Result<Stored<Import>, Error> {
        caller.can_everywhere(org, Permission::WriteDirectory)?;
        let began = self.timer().now();
        let mut held: Option<(u32, Vec<Tenant>)> = None;
        loop {
            let import = self.standing_import(caller, org, id).await?;
            let over = self.timer().now().since(began) >= SLICE;
            if import.value.state != ImportState::Applying || over {
                return Ok(import);
            }
            let Position { chunk, row } = import.value.next;
            let rows = match held.take() {
                Some((number, rows)) if number == chunk => rows,
                _ => self.chunk(org, id, chunk).await?,
            };
            let batch = batch(rows.get(row as usize..).unwrap_or_default())?;
            let until = match row + batch.len() as u32 {
                end if end as usize >= rows.len() => Position { chunk: chunk + 1, row: 0 },
                row => Position { chunk, row },
            };
            let step = ImportStep { import: id.to_owned(), from: import.value.next, until };
            let change =
                Change::UpsertTenants { org: org.clone(), tenants: batch, import: Some(step) };
            match self.commit(caller, &request(change)).await {
                // Somebody else drives it too, and has applied this batch.
                Ok(_) | Err(Error::PreconditionFailed) => {}
                Err(error) => return Err(error),
            }
            if until.chunk > chunk {
                self.wipe_one(org, id, "chunk", chunk as usize).await?;
            } else {
                held = Some((chunk, rows));
            }
        }
    }

    /// A page of the lines that were refused, by line.
    pub async fn import_report(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
        page: usize,
    ) -> Result<(Vec<BadLine>, Option<usize>), Error> {
        let import = self.standing_import(caller, org, id).await?.value;
        let pages = (import.bad as usize).div_ceil(REPORT_LINES);
        if page >= pages {
            return Ok((Vec::new(), None));
        }
        let bytes = self.object(&object(org, id, "report", page)).await?;
        let lines = serde_json::from_slice(&bytes)
            .map_err(|error| Error::internal("a stored report could not be read", error))?;
        Ok((lines, Some(page + 1).filter(|next| *next < pages)))
    }

    async fn uploaded(&self, org: &OrgKey, id: &str, parts: u32) -> Result<String, Error> {
        let mut file = Vec::new();
        for part in 0..parts as usize {
            match self.objects().get(&object(org, id, "part", part), None).await? {
                Fetched::Found { bytes, .. } => file.extend_from_slice(&bytes),
                Fetched::NotModified | Fetched::Absent => {
                    let message = format!("part {part} was not uploaded; put it and start again");
                    return Err(Error::invalid("parts", message));
                }
            }
        }
        String::from_utf8(file).map_err(|error| Error::invalid("the file", error))
    }

    async fn keep_chunks(&self, org: &OrgKey, id: &str, rows: Vec<Row>) -> Result<Vec<u32>, Error> {
        let (mut counts, mut texts, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut rows = rows.into_iter().peekable();
        while let Some(row) = rows.next() {
            bytes += row.tenant.len();
            texts.push(row.tenant);
            let full = texts.len() >= CHUNK_ROWS || bytes >= CHUNK_BYTES;
            if full || rows.peek().is_none() {
                let text = format!("[{}]", texts.join(","));
                let name = object(org, id, "chunk", counts.len());
                self.objects().put(&name, text.into(), "application/json", PutIf::Any).await?;
                counts.push(texts.len() as u32);
                (texts, bytes) = (Vec::new(), 0);
            }
        }
        Ok(counts)
    }

    async fn keep_report(&self, org: &OrgKey, id: &str, bad: &[BadLine]) -> Result<(), Error> {
        for (page, lines) in bad.chunks(REPORT_LINES).enumerate() {
            let text = serde_json::to_vec(lines)
                .map_err(|error| Error::internal("a report did not serialize", error))?;
            let name = object(org, id, "report", page);
            self.objects().put(&name, text.into(), "application/json", PutIf::Any).await?;
        }
        Ok(())
    }

    async fn chunk(&self, org: &OrgKey, id: &str, chunk: u32) -> Result<Vec<Tenant>, Error> {
        let bytes = self.object(&object(org, id, "chunk", chunk as usize)).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::internal("a stored batch could not be read", error))
    }

    async fn object(&self, name: &str) -> Result<Bytes, Error> {
        match self.objects().get(name, None).await? {
            Fetched::Found { bytes, .. } => Ok(bytes),
            Fetched::NotModified | Fetched::Absent => {
                Err(Error::Internal { context: "an object of an import is missing", source: None })
            }
        }
    }

    async fn wipe(&self, org: &OrgKey, id: &str, kind: &str, count: usize) -> Result<(), Error> {
        for number in 0..count {
            self.wipe_one(org, id, kind, number).await?;
        }
        Ok(())
    }

    async fn wipe_one(
        &self,
        org: &OrgKey,
        id: &str,
        kind: &str,
        number: usize,
    ) -> Result<(), Error> {
        let name = object(org, id, kind, number);
        let empty = Bytes::from_static(b"[]");
        self.objects().put(&name, empty, "application/json", PutIf::Any).await?;
        Ok(())
    }
}

impl Import {
    fn must_be(&self, state: ImportState) -> Result<(), Error> {
        if self.state == state {
            return Ok(());
        }
        let message = "the import was started already; make another for another file";
        Err(Error::invalid("the import", message))
    }

    /// Whether it and its report are of no more use. One that is being applied is never given up.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.state != ImportState::Applying && now.since(self.created) >= IMPORT_KEPT
    }

    /// Notes a batch that is applied in the same transaction.
    pub(crate) fn advance(&mut self, until: Position, counts: Counts) {
        self.next = until;
        self.applied += counts.total() as u64;
        self.tenants_created += counts.created as u64;
        self.tenants_changed += counts.changed as u64;
        if until.chunk as usize >= self.chunks.len() {
            self.state = ImportState::Done;
        }
    }
}

/// What became of the tenants of one batch.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Counts {
    pub(crate) created: usize,
    pub(crate) changed: usize,
    /// Those that stood already as they were sent.
    pub(crate) unchanged: usize,
}

impl Counts {
    fn total(self) -> usize {
        self.created + self.changed + self.unchanged
    }
}

/// As many rows as one transaction takes.
fn batch(rows: &[Tenant]) -> Result<Vec<Tenant>, Error> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for row in rows.iter().take(MAX_BATCH_TENANTS) {
        let text = serde_json::to_string(row)
            .map_err(|error| Error::internal("a tenant did not serialize", error))?;
        bytes += text.len();
        if bytes > MAX_BATCH_BYTES && !batch.is_empty() {
            break;
        }
        batch.push(row.clone());
    }
    Ok(batch)
}

/// Where the files of imports are.
pub(crate) fn folder(org: &OrgKey) -> String {
    format!("{org}/imports/")
}

fn object(org: &OrgKey, id: &str, kind: &str, number: usize) -> String {
    format!("{}{id}/{kind}-{number}", folder(org))
}
