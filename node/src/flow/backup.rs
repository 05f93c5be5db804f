//! Backups in the age format, restoring from one, and making a store anew (docs/operating.md, "Backup").

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File},
    io::{BufReader, BufWriter, Read, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use age::{Decryptor, Encryptor, x25519::Recipient};
use hedgerow_protocol::{
    document::{Envelope, Signed},
    id::{Id, NodeId},
    privacy::{Charge, MicroEpsilon},
    release::Release,
    round::{Consent, Roster, Submission},
    statistic::{Contribution, Mode, Query},
    time::Timestamp,
    wire::Spreading,
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    access::{Action, Caller},
    file::new_file,
    upgrade::upgrade,
};
use crate::{
    error::NodeError,
    node::Node,
    store::{
        Identities, Restored, StoreError, Unlock,
        archive::{self, Archived},
        rebuild::{self, Rebuilt, Step},
        sync_folder,
    },
};

/// Most of an identity file that is read.
const IDENTITY_BYTES: u64 = 1024 * 1024;

/// Who can open a backup: two or more, so that it outlives the loss of one key.
pub struct Recipients(Vec<Recipient>);

impl Recipients {
    /// Reads age recipients. One alone is refused unless `single` says that it is meant.
    pub fn parse(texts: &[String], single: bool) -> Result<Self, NodeError> {
        let distinct: BTreeSet<&str> = texts.iter().map(|text| text.trim()).collect();
        match distinct.len() {
            0 => return Err(NodeError::input("a backup needs recipients: --recipient age1…, twice or more")),
            1 if !single => {
                return Err(NodeError::refused(
                    "a backup that one key opens is lost with that key; name a second recipient, or say --single",
                ));
            }
            _ => {}
        }
        let parsed = distinct.into_iter().map(|text| {
            let wrong =
                |why| NodeError::input(format!("{text:?} is no age recipient ({why}); they begin with age1"));
            text.parse().map_err(wrong)
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }
}

impl Node {
    /// Writes all of the vault, as it is at one moment, to the new file `path`, encrypted to `recipients`. The node may
    /// run meanwhile. `progress` hears of bytes.
    pub fn back_up(
        &self,
        path: &Path,
        recipients: &Recipients,
        now: Timestamp,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Archived, NodeError> {
        let recipients = recipients.0.iter().map(|r| r as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(recipients).map_err(NodeError::input)?;
        new_file(path, |file| {
            let io = StoreError::io("writing a backup");
            let mut sealed = encryptor.wrap_output(BufWriter::new(file)).map_err(&io)?;
            let mut tell = |done| progress(done, None);
            let archived = archive::write(&self.vault, &self.attachments, now, &mut sealed, &mut tell)?;
            sealed.finish().and_then(|mut rest| rest.flush()).map_err(&io)?;
            Ok(archived)
        })
    }

    /// When this vault was restored, if it was and nobody has said yet what was spent since the backup.
    pub fn restored(&self) -> Result<Option<Restored>, NodeError> {
        Ok(self.settings.restored()?)
    }

    /// An error while it is not known what was spent: nothing is answered then, and no part taken in rounds.
    pub(crate) fn ensure_ledger_known(&self) -> Result<(), NodeError> {
        match self.settings.restored()? {
            Some(restored) => Err(StoreError::Restored(restored.backup_at).into()),
            None => Ok(()),
        }
    }

    /// Charges what was spent since the backup that this vault was restored from, and lets it answer again: every release
    /// it holds now that this node had a part in and no charge for, once more every charge of which the backup does
    /// not know what it paid for, and `also`. Charges go in whatever the caps say. Gives how many were added.
    pub fn confirm_ledger(
        &self,
        also: Vec<(String, MicroEpsilon)>,
        now: Timestamp,
    ) -> Result<Confirmed, NodeError> {
        let _turn = self.answering.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(restored) = self.settings.restored()? else {
            return Err(NodeError::input("this vault was not restored, or it was confirmed already"));
        };
        let Some(federation) = &self.federation else {
            return Err(NodeError::refused(
                "this node has joined no charter yet, and under one that it joins it may have spent before: join first",
            ));
        };
        let mut lost = Lost { paid: BTreeSet::new(), charges: Vec::new(), answers: Vec::new() };
        for charge in federation.ledger.charges()? {
            lost.paid.insert((charge.plan, charge.round));
        }
        for held in self.documents.inventory(0, usize::MAX) {
            if held.kind == Spreading::Release
                && let Some(json) = self.documents.read(&held.id)?
                && let Ok(release) = Envelope::from_json(&json).and_then(Envelope::open::<Release>)
            {
                lost.released(release.document(), self.id(), now);
            }
        }
        let mut confirmed = Confirmed { releases: lost.charges.len() as u64, ..Confirmed::default() };
        for (purpose, epsilon) in also {
            if !federation.charter.document().caps().by_purpose.contains_key(&purpose) {
                return Err(NodeError::input(format!("the charter knows no purpose {purpose:?}")));
            }
            let plan = unaskable(&[b"also", purpose.as_bytes(), restored.restored_at.to_string().as_bytes()]);
            let asker = self.id();
            lost.charges.push(Charge { plan, round: None, purpose, epsilon, asker, years: None, at: now });
            confirmed.also += 1;
        }
        confirmed.again = federation.ledger.make_up(lost.charges, lost.answers)?;
        Ok(confirmed)
    }
}

/// What was charged after a restore.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmed {
    /// For releases of which the ledger did not know.
    pub releases: u64,
    /// For charges whose answer may have left after the backup.
    pub again: u64,
    /// As asked for.
    pub also: u64,
}

/// What the ledger has to make up for.
struct Lost {
    paid: BTreeSet<(Id<hedgerow_protocol::statistic::Plan>, Option<Id<Roster>>)>,
    charges: Vec<Charge>,
    answers: Vec<(Id<hedgerow_protocol::statistic::Plan>, Envelope)>,
}

impl Lost {
    /// Adds what `release` says that `own` contributed, if it was not paid for.
    fn released(&mut self, release: &Release, own: NodeId, now: Timestamp) {
        let Ok(query) = release.query.clone().open::<Query>() else { return };
        let Ok(asker) = query.sole_signer() else { return };
        let plan = &release.plan;
        let (round, stand_in) = match (release.mode, &release.round) {
            (Mode::Local, _) => {
                let mine = release.contributions.iter().find(|c| signed_by::<Contribution>(c, own));
                let Some(mine) = mine else { return };
                self.answers.push((plan.id(), mine.clone()));
                (None, plan.id())
            }
            (Mode::Round, Some(proof)) => {
                let took_part = proof.submissions.iter().any(|s| signed_by::<Submission>(s, own))
                    || proof.consents.iter().any(|c| signed_by::<Consent>(c, own));
                let Ok(roster) = proof.drawn.roster.clone().open::<Roster>() else { return };
                if !took_part {
                    return;
                }
                // The vector it paid for is lost. Under the plan's own id the charge would pay for another one.
                let id: Id<Roster> = roster.id();
                let stand_in = unaskable(&[b"round", plan.id().digest().as_bytes(), id.digest().as_bytes()]);
                (Some(id), stand_in)
            }
            (Mode::Round, None) => return,
        };
        if !self.paid.insert((plan.id(), round)) || !self.paid.insert((stand_in, None)) && round.is_some() {
            return;
        }
        self.charges.push(Charge {
            plan: stand_in,
            round: None,
            purpose: query.document().purpose.clone(),
            epsilon: plan.epsilon(),
            asker,
            years: plan.years(),
            at: now,
        });
    }
}

fn signed_by<D: hedgerow_protocol::document::Document>(envelope: &Envelope, own: NodeId) -> bool {
    let opened: Result<Signed<D>, _> = envelope.clone().open();
    opened.is_ok_and(|signed| signed.sole_signer().is_ok_and(|signer| signer == own))
}

/// The id of a plan that nobody can ask for.
fn unaskable(parts: &[&[u8]]) -> Id<hedgerow_protocol::statistic::Plan> {
    let mut bytes = b"hedgerow/lost/1".to_vec();
    for part in parts {
        bytes.push(b'/');
        bytes.extend_from_slice(part);
    }
    Id::of(&bytes)
}

/// Restores the backup at `backup` into the folder `into`, which is not there yet or is empty. It is in place once the
/// vault was opened by `unlock`, proved to hold what was backed up, upgraded if it is of an older format, and holds in its
/// log that its opener, who must be allowed to, restored it; until then nothing is. `progress` hears of bytes.
pub fn restore(
    backup: &Path,
    identity: &Path,
    into: &Path,
    now: Timestamp,
    unlock: Unlock<'_>,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Archived, NodeError> {
    let name = into.file_name().ok_or_else(|| NodeError::input("no folder is named to restore into"))?;
    if fs::read_dir(into).is_ok_and(|mut entries| entries.next().is_some()) || into.is_file() {
        return Err(NodeError::input(format!("{} is not empty; restore into a new folder", into.display())));
    }
    let of = fs::metadata(backup).map(|about| about.len()).ok();
    let mut tell = |done| progress(done, of);
    let stream = opened(backup, identity)?;
    let mut hidden = std::ffi::OsString::from(".restoring-");
    hidden.push(name);
    let making = Making::begin(into.with_file_name(hidden))?;
    let unpacked = archive::unpack(stream, &making.folder, &mut tell)?;
    let (archived, older) = unpacked.prove_in(&making.folder, &unlock)?;
    if older {
        upgrade(&making.folder, unlock, &mut |_| ())?;
    }
    let node = Node::open(&making.folder, unlock)?;
    node.vault.check()?;
    node.records.check()?;
    node.attachments.check(&mut |_| ())?;
    let what = format!("restored from a backup of {}", archived.made_at);
    node.permit(&Caller::opener(&node), Action::Maintain, &what)?;
    node.settings.put_restored(Restored { backup_at: archived.made_at, restored_at: now })?;
    drop(node);
    making.complete(into)?;
    Ok(archived)
}

/// Makes the store of the vault that `open` opens anew, if at least so many percent of its room are to be won by it; none
/// if not. No node may run on it.
pub fn rebuild(
    open: impl FnOnce() -> Result<Node, NodeError>,
    at_least: u8,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Option<Rebuilt>, NodeError> {
    let Node { records, .. } = open()?;
    let records = Arc::into_inner(records).ok_or(StoreError::InUse)?;
    if at_least > 0 && rebuild::reclaimable(&records)? < at_least {
        return Ok(None);
    }
    let mut tell = |step| {
        if let Step::Copied(bytes) = step {
            progress(bytes, None);
        }
    };
    Ok(Some(rebuild::rebuild(records, &mut tell)?))
}

/// What an age file holds, to whoever has one of its keys.
fn opened(backup: &Path, identity: &Path) -> Result<impl Read, NodeError> {
    let file = File::open(backup)
        .map_err(|e| NodeError::input(format!("{} cannot be read: {e}", backup.display())))?;
    let mut keys = Zeroizing::new(Vec::new());
    let read = File::open(identity).and_then(|file| file.take(IDENTITY_BYTES).read_to_end(&mut keys));
    read.map_err(|e| NodeError::input(format!("{} cannot be read: {e}", identity.display())))?;
    let keys = Identities::parse(&keys)
        .map_err(|e| NodeError::input(format!("{} holds no age identities: {e}", identity.display())))?;
    let invalid = |e: age::DecryptError| match e {
        age::DecryptError::NoMatchingKeys => {
            NodeError::input("the backup was made for others: no identity of the file opens it")
        }
        other => NodeError::invalid(format!("the backup does not open: {other}")),
    };
    let decryptor = Decryptor::new_buffered(BufReader::new(file)).map_err(invalid)?;
    decryptor.decrypt(keys.each()).map_err(invalid)
}

/// A folder that is being filled. Stopped anywhere, it is cleared away by who tries again.
struct Making {
    folder: PathBuf,
    mark: PathBuf,
    _held: File,
}

impl Making {
    fn begin(folder: PathBuf) -> Result<Self, NodeError> {
        let io = StoreError::io("making the restored folder");
        let mark = folder.with_extension("lock");
        let held = File::create(&mark).map_err(&io)?;
        // Whoever else restores to the same place waits for nothing and clears nothing away.
        flock(&held, FlockOperation::NonBlockingLockExclusive).map_err(|_| StoreError::InUse)?;
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(&io)?;
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(&io)?;
        Ok(Self { folder, mark, _held: held })
    }

    fn complete(&self, into: &Path) -> Result<(), NodeError> {
        let io = StoreError::io("putting the restored vault in place");
        Ok(fs::rename(&self.folder, into).and_then(|()| sync_folder(into)).map_err(&io)?)
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.mark);
    }
}
