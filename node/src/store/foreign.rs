//! Objects from outside the federation, each under the name of its source (docs/storage.md).
//!
//! They are looked for at home, and go nowhere until somebody adopts them: they are in no export, no batch and no
//! TAXII answer.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hedgerow_protocol::{indicator::StixObject, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    error::StoreError,
    shelf::{IdKey, id_key},
    vault::{Kind, Vault},
};

/// Most that is held of all sources together; further objects are refused until some are adopted or dropped.
const MOST: Room = Room { objects: 500_000, bytes: 512 * 1024 * 1024 };
/// Most of one source, so that none fills the room of the others.
const MOST_OF_ONE: Room = Room { objects: 250_000, bytes: 256 * 1024 * 1024 };

/// Most parts of a source that are remembered to say one object; what more say stays when they no longer do.
const PARTS: usize = 16;
/// Objects taken back in one durable commit.
const COMMIT: usize = 1000;

/// Room that objects take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Room {
    objects: usize,
    /// Of their JSON.
    bytes: usize,
}

impl Room {
    /// With an object of `new` bytes in the place of one of `old`.
    fn with(self, new: usize, old: Option<usize>) -> Self {
        Self {
            objects: self.objects + usize::from(old.is_none()),
            bytes: (self.bytes + new).saturating_sub(old.unwrap_or(0)),
        }
    }

    fn without(self, bytes: usize) -> Self {
        Self { objects: self.objects.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }

    const fn and(self, more: Self) -> Self {
        Self { objects: self.objects + more.objects, bytes: self.bytes + more.bytes }
    }

    const fn fits(self, most: Self) -> bool {
        self.objects <= most.objects && self.bytes <= most.bytes
    }
}

/// One object held apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignObject {
    /// Where it came from: the URL that was pulled, or the client who posted it.
    pub source: String,
    /// When this version came.
    pub at: Timestamp,
    /// The parts of the source that say it, such as the events of a feed: what none says any more is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// The object.
    pub object: StixObject,
}

/// What became of an object from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landed {
    /// New here, or a later version.
    Stored,
    /// Here already.
    Duplicate,
    /// There is no room for more.
    Full,
    /// A revocation, or a version of what this node published: nobody outside has a say in that.
    Refused,
}

impl Landed {
    /// Why it is not here.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Stored | Self::Duplicate => None,
            Self::Full => Some("there is no more room for objects from outside"),
            Self::Refused => {
                Some("revocations, and versions of what this node published, are not taken from outside")
            }
        }
    }
}

/// What parts of a source say now, each in whole.
#[derive(Debug, Default)]
pub struct Said(HashMap<String, HashSet<IdKey>>);

impl Said {
    /// A part was read. What it says is told with [`Self::says`].
    pub fn read(&mut self, part: &str) {
        self.0.entry(part.to_owned()).or_default();
    }

    /// A part says an object that is held. Of what is not held nothing need be known.
    pub fn says(&mut self, part: &str, id: &str) {
        self.0.entry(part.to_owned()).or_default().insert(id_key(id));
    }

    /// Whether a part says an object.
    pub fn has(&self, part: &str, id: &str) -> bool {
        self.0.get(part).is_some_and(|ids| ids.contains(&id_key(id)))
    }
}

/// The table.
pub struct Foreign {
    vault: Arc<Vault>,
    /// What each source takes, once it was counted. Locked after the writer of the vault.
    taken: Mutex<Option<HashMap<String, Room>>>,
    most_of_one: Room,
}

impl Foreign {
    /// Over `vault`.
    pub const fn new(vault: Arc<Vault>) -> Self {
        Self { vault, taken: Mutex::new(None), most_of_one: MOST_OF_ONE }
    }

    /// Takes in objects of one source, and of one part of it if it has parts, in one durable commit; says of each, in
    /// order, what became of it.
    pub fn add(
        &self,
        source: &str,
        part: Option<&str>,
        objects: Vec<StixObject>,
        at: Timestamp,
    ) -> Result<Vec<Landed>, StoreError> {
        let mut txn = self.vault.begin();
        let mut taken = self.taken();
        // Not there again until this is durable: else all is counted anew.
        let mut by_source = taken.take().map_or_else(|| self.count_all(), Ok)?;
        let mut all = by_source.values().fold(Room::default(), |all, one| all.and(*one));
        let mut own = by_source.get(source).copied().unwrap_or_default();
        let mut outcomes = Vec::with_capacity(objects.len());
        let mut ids = HashSet::new();
        for object in StixObject::under_strictest(objects) {
            let key = key(source, object.id());
            let held = self.vault.get(Kind::Foreign, &key)?;
            let old = held.as_ref().map(|json| json.len());
            let before = held.map(|json| read(&json)).transpose()?;
            if !ids.insert(object.id().to_owned()) {
                outcomes.push(Landed::Duplicate);
                continue;
            }
            let mut parts = before.as_ref().map(|held| held.parts.clone()).unwrap_or_default();
            let said = part.filter(|part| parts.len() < PARTS && !parts.iter().any(|p| p == part));
            parts.extend(said.map(str::to_owned));
            // Something else, later; or the same under a stricter label, which needs no time of its own.
            let fresh = before.as_ref().is_none_or(|held| {
                let (was, is) = (held.object.modified(), object.modified());
                let stricter = held.object.tlp() < object.tlp();
                (was < is && !object.says_the_same(&held.object)) || (was <= is && stricter)
            });
            let (entry, outcome) = match before {
                Some(_) if !fresh && said.is_none() => {
                    outcomes.push(Landed::Duplicate);
                    continue;
                }
                Some(held) if !fresh => (ForeignObject { parts, ..held }, Landed::Duplicate),
                _ => (ForeignObject { source: source.to_owned(), at, parts, object }, Landed::Stored),
            };
            let json = to_json(&entry)?;
            let (with_own, with_all) = (own.with(json.len(), old), all.with(json.len(), old));
            if !with_own.fits(self.most_of_one) || !with_all.fits(MOST) {
                outcomes.push(Landed::Full);
                continue;
            }
            (own, all) = (with_own, with_all);
            txn.put(Kind::Foreign, &key, &json)?;
            outcomes.push(outcome);
        }
        txn.commit()?;
        by_source.insert(source.to_owned(), own);
        *taken = Some(by_source);
        Ok(outcomes)
    }

    /// Every one of them, in no order, one at a time.
    pub fn each(&self) -> impl Iterator<Item = Result<ForeignObject, StoreError>> + '_ {
        self.vault.scan(Kind::Foreign).map(|json| read(&json?))
    }

    /// Some parts of a source have been read: what they said before and say no more is gone, unless another part says it.
    /// Says how many that are.
    pub fn settle(&self, source: &str, said: &Said) -> Result<u64, StoreError> {
        let silent = |one: &ForeignObject| {
            let id = id_key(one.object.id());
            // With as many parts as are remembered there may be others.
            one.source == source
                && one.parts.len() < PARTS
                && one.parts.iter().any(|part| said.0.get(part).is_some_and(|ids| !ids.contains(&id)))
        };
        let silent = self.each().filter(|one| one.as_ref().map_or(true, silent));
        let silent = silent.map(|one| one.map(|one| one.object.id().to_owned()));
        let ids = silent.collect::<Result<Vec<String>, _>>()?;
        let mut gone = 0;
        for some in ids.chunks(COMMIT) {
            gone += self.withdraw(source, said, some)?;
        }
        Ok(gone)
    }

    fn withdraw(&self, source: &str, said: &Said, ids: &[String]) -> Result<u64, StoreError> {
        let mut txn = self.vault.begin();
        let mut taken = self.taken();
        let mut own = taken.take();
        let mut gone = 0;
        for id in ids {
            let key = key(source, id);
            let Some(json) = self.vault.get(Kind::Foreign, &key)? else { continue };
            let mut held = read(&json)?;
            let id = id_key(id);
            held.parts.retain(|part| said.0.get(part).is_none_or(|ids| ids.contains(&id)));
            let room = own.as_mut().and_then(|all| all.get_mut(source));
            if held.parts.is_empty() {
                txn.delete(Kind::Foreign, &key);
                gone += 1;
                room.into_iter().for_each(|room| *room = room.without(json.len()));
            } else {
                let less = to_json(&held)?;
                txn.put(Kind::Foreign, &key, &less)?;
                room.into_iter().for_each(|room| *room = room.with(less.len(), Some(json.len())));
            }
        }
        txn.commit()?;
        *taken = own;
        Ok(gone)
    }

    /// Drops some.
    pub fn forget<'a>(&self, gone: impl IntoIterator<Item = &'a ForeignObject>) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        for one in gone {
            txn.delete(Kind::Foreign, &key(&one.source, one.object.id()));
        }
        // Counted again when something comes.
        *self.taken() = None;
        txn.commit()
    }

    fn taken(&self) -> MutexGuard<'_, Option<HashMap<String, Room>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_all(&self) -> Result<HashMap<String, Room>, StoreError> {
        let mut counted: HashMap<String, Room> = HashMap::new();
        for json in self.vault.scan(Kind::Foreign) {
            let json = json?;
            let room = counted.entry(read(&json)?.source).or_default();
            *room = room.with(json.len(), None);
        }
        Ok(counted)
    }
}

fn key(source: &str, id: &str) -> Vec<u8> {
    [source.as_bytes(), b"\0", id.as_bytes()].concat()
}

fn to_json(entry: &ForeignObject) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(entry).map_err(|_| StoreError::Damaged("a foreign object has no JSON form"))
}

fn read(json: &[u8]) -> Result<ForeignObject, StoreError> {
    serde_json::from_slice(json).map_err(|_| StoreError::Damaged("a foreign object does not read"))
}

#[cfg(test)]
mod tests {
    use hedgerow_protocol::indicator::{Observable, Tlp};

    use super::*;
    use crate::store::{KdfParams, Passphrase};

    fn indicator(name: &str) -> StixObject {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        StixObject::indicator(&Observable::guess(name).unwrap(), None, None, at)
    }

    #[test]
    fn a_source_that_is_full_leaves_the_others_their_room_and_dropping_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::new("a passphrase for tests".into());
        let vault = Arc::new(Vault::create(dir.path(), &passphrase, KdfParams::FLOOR).unwrap());
        let at = "2026-02-01T00:00:00Z".parse().unwrap();
        let mut foreign = Foreign::new(Arc::clone(&vault));
        foreign.most_of_one.objects = 3;
        let names =
            |from: u8, to: u8| (from..to).map(|n| indicator(&format!("h{n}.example"))).collect::<Vec<_>>();
        let add = |foreign: &Foreign, source: &str, objects| foreign.add(source, None, objects, at).unwrap();
        use Landed::{Duplicate, Full, Stored};
        let first = names(0, 4);
        assert_eq!(add(&foreign, "one", first.clone()), [Stored, Stored, Stored, Full]);
        assert_eq!(add(&foreign, "one", first.clone()), [Duplicate, Duplicate, Duplicate, Full]);
        assert_eq!(add(&foreign, "two", first.clone()), [Stored, Stored, Stored, Full]);
        // Counted anew it is the same, and room by bytes is another.
        let mut foreign = Foreign::new(vault);
        let list = |foreign: &Foreign| {
            let mut all: Vec<_> = foreign.each().map(Result::unwrap).collect();
            all.sort_by(|a, b| (&a.source, a.object.id()).cmp(&(&b.source, b.object.id())));
            all
        };
        let held = list(&foreign);
        let of_one = foreign.count_all().unwrap()["one"];
        assert_eq!((held.len(), of_one.objects), (6, 3));
        foreign.most_of_one.bytes = of_one.bytes;
        assert_eq!(add(&foreign, "one", names(7, 8)), [Full]);
        foreign.forget(held.iter().filter(|one| one.source == "one").take(1)).unwrap();
        assert_eq!(add(&foreign, "one", names(7, 9)), [Stored, Full]);
        // A later version takes the place of the one before.
        foreign.most_of_one.bytes *= 2;
        let later = held[4].object.clone().revoked_at(at);
        assert_eq!(add(&foreign, "two", vec![later]), [Stored]);
    }

    #[test]
    fn what_no_part_of_a_source_says_any_more_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::new("a passphrase for tests".into());
        let vault = Arc::new(Vault::create(dir.path(), &passphrase, KdfParams::FLOOR).unwrap());
        let at = "2026-02-01T00:00:00Z".parse().unwrap();
        let foreign = Foreign::new(vault);
        let [a, b] = ["a.example", "b.example"].map(indicator);
        // From before parts were remembered: no part takes it back. Read again, it has one.
        foreign.add("feed", None, vec![a.clone()], at).unwrap();
        let says = |part: &str, objects: &[&StixObject]| {
            let mut said = Said::default();
            said.read(part);
            objects.iter().for_each(|o| said.says(part, o.id()));
            foreign.settle("feed", &said).unwrap()
        };
        assert_eq!(says("one", &[]), 0);
        let said = foreign.add("feed", Some("one"), vec![a.clone(), b.clone()], at).unwrap();
        assert_eq!(said, [Landed::Duplicate, Landed::Stored]);
        foreign.add("feed", Some("two"), vec![b.clone()], at).unwrap();
        foreign.add("other", Some("one"), vec![a.clone()], at).unwrap();
        assert_eq!(says("one", &[&a, &b]), 0);
        // Part one says neither any more: the other part still says b, the other source a.
        assert_eq!(says("one", &[]), 1);
        assert_eq!(says("one", &[]), 0, "done before");
        let left: HashSet<_> =
            foreign.each().map(Result::unwrap).map(|f| (f.source, f.object.id().to_owned())).collect();
        let expected = [("feed", &b), ("other", &a)].map(|(s, o)| (s.to_owned(), o.id().to_owned()));
        assert_eq!(left, HashSet::from(expected));
        assert_eq!(*foreign.taken().as_ref().unwrap(), foreign.count_all().unwrap(), "room is given back");
        // The same under a stricter label is another; under a freer one it is not.
        let label = |tlp| foreign.add("feed", Some("two"), vec![b.clone().marked(tlp)], at).unwrap()[0];
        let labels = [Tlp::Green, Tlp::Red, Tlp::Clear].map(label);
        assert_eq!(labels, [Landed::Stored, Landed::Stored, Landed::Duplicate]);
    }
}
