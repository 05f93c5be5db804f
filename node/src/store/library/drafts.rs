//! Drafts: what is still to be published, under ids of one's own or as the next version of what is published.

use std::{
    collections::{HashMap, HashSet},
    sync::PoisonError,
};

use hedgerow_protocol::{
    id::NodeId,
    indicator::{Instant, StixObject},
    time::Timestamp,
};

use super::{
    super::{
        error::StoreError,
        shelf::{self, IdKey, Lot, Row, id_key, pattern_key},
        vault::Kind,
    },
    Entry, Library, Parts, read, to_json,
};

/// Which drafts there are, so that looking for one that is not there costs nothing.
#[derive(Default)]
pub(super) struct Drafts {
    /// Of each the key of its pattern; 0 for what is no indicator.
    patterns: HashMap<IdKey, u64>,
    with_pattern: HashMap<u64, usize>,
}

impl Drafts {
    pub(super) fn add(&mut self, object: &StixObject) {
        let id = id_key(object.id());
        self.remove(&id);
        let pattern = object.pattern().map_or(0, |p| pattern_key(&p.key()));
        self.patterns.insert(id, pattern);
        *self.with_pattern.entry(pattern).or_default() += 1;
    }

    /// How many of them are indicators.
    pub(super) fn indicators(&self) -> usize {
        self.patterns.values().filter(|pattern| **pattern != 0).count()
    }

    pub(super) fn remove(&mut self, id: &IdKey) {
        let Some(pattern) = self.patterns.remove(id) else { return };
        if let Some(count) = self.with_pattern.get_mut(&pattern) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.with_pattern.remove(&pattern);
            }
        }
    }
}

impl Library {
    /// The draft under a STIX id: new, or the next version of what is published under it.
    pub fn draft(&self, id: &str) -> Result<Option<Entry>, StoreError> {
        let there = |drafts: &Drafts| drafts.patterns.contains_key(&id_key(id));
        if !there(&self.drafts.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(None);
        }
        self.vault.get(Kind::Draft, id.as_bytes())?.map(|json| read(&json)).transpose()
    }

    /// Every draft, by id.
    pub fn drafts(&self) -> Result<Vec<Entry>, StoreError> {
        let mut all =
            self.vault.scan(Kind::Draft).map(|json| read(&json?)).collect::<Result<Vec<Entry>, _>>()?;
        all.sort_by(|a, b| a.object.id().cmp(b.object.id()));
        Ok(all)
    }

    /// Takes in objects as drafts. One whose id or pattern is here already, in this or a later version, is a
    /// duplicate; a later version of one's own published object becomes a draft of its next version. An indicator of
    /// another member does not stand in the way of one's own.
    ///
    /// Says of each object, in order, whether it was stored.
    pub fn add_drafts(
        &self,
        objects: Vec<StixObject>,
        own: &[NodeId],
        at: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        let mut txn = self.vault.begin();
        // What this transaction stores is not yet readable; the same object twice in one file is a duplicate.
        let (mut ids, mut patterns) = (HashSet::new(), HashSet::new());
        let mut outcomes = Vec::with_capacity(objects.len());
        let mut added = Vec::new();
        let mut parts = Parts::over(&self.vault);
        let mut ours = None;
        for object in StixObject::under_strictest(objects) {
            let pattern = object.pattern().map(|p| p.key());
            let held = self.index().held(&id_key(object.id()));
            let draft = self.draft(object.id())?;
            let modified = object.modified();
            let later = |draft: &Entry| modified > draft.object.modified();
            let mut object = object;
            // A stricter label is something else to say.
            let stricter = |before: &Entry| object.tlp() > before.object.tlp();
            let differs = |before: &Entry| stricter(before) || !object.says_the_same(&before.object);
            let fresh = match (&held, &draft, &pattern) {
                (Some(held), draft, _) => {
                    let next = own.contains(&held.owner)
                        && !held.revoked
                        && object.modified() > held.modified
                        && draft.as_ref().is_none_or(|d| later(d) && differs(d));
                    // The same list read again is no new version.
                    match if next { self.entry(object.id())? } else { None } {
                        Some(published) if differs(&published) => {
                            object = object.after(&published.object);
                            true
                        }
                        _ => false,
                    }
                }
                (None, Some(draft), _) => (later(draft) && differs(draft)) || stricter(draft),
                (None, None, Some(key)) => {
                    let own = ours.get_or_insert_with(|| self.own_patterns(own));
                    !patterns.contains(key) && !self.is_known(&mut parts, key, own, at)?
                }
                (None, None, None) => true,
            };
            let fresh = fresh && ids.insert(object.id().to_owned());
            if let Some(draft) = draft.filter(|draft| fresh && modified <= draft.object.modified()) {
                // Nothing but the label is newer.
                object = match object.tlp() {
                    Some(tlp) => draft.object.marked(tlp),
                    None => draft.object,
                };
            }
            if fresh {
                patterns.extend(pattern);
                let entry = Entry { owner: held.map(|h| h.owner), batch: None, at, object };
                txn.put(Kind::Draft, entry.object.id().as_bytes(), &to_json(&entry)?)?;
                added.push(entry.object);
            }
            outcomes.push(fresh);
        }
        txn.commit()?;
        let mut drafts = self.drafts.lock().unwrap_or_else(PoisonError::into_inner);
        added.iter().for_each(|object| drafts.add(object));
        Ok(outcomes)
    }

    /// What one's own keys have published and not taken back, by pattern.
    fn own_patterns(&self, own: &[NodeId]) -> HashMap<u64, (Row, Lot)> {
        let index = self.index();
        let live = index.rows.iter().filter(|row| row.pattern != 0 && row.live() && !row.has(shelf::REVOKED));
        let ours = live.filter_map(|row| Some((row.pattern, (*row, *index.lot(row)?))));
        ours.filter(|(_, (_, lot))| own.contains(&lot.owner)).collect()
    }

    /// Whether a draft or a live indicator of one's own with this pattern is here. What another member published is no
    /// reason not to publish it: its label may be stricter, and it may not be true.
    fn is_known(
        &self,
        parts: &mut Parts<'_>,
        pattern: &str,
        own: &HashMap<u64, (Row, Lot)>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let key = pattern_key(pattern);
        if self.drafts.lock().unwrap_or_else(PoisonError::into_inner).with_pattern.contains_key(&key) {
            return Ok(true);
        }
        let Some((row, lot)) = own.get(&key) else { return Ok(false) };
        let object = parts.entry(row, lot)?.object;
        let unexpired = object.valid_until().is_none_or(|until| until > Instant::of(at));
        Ok(unexpired && object.pattern().is_some_and(|p| p.key() == pattern))
    }

    /// Forgets drafts: they are not wanted.
    pub fn forget<'a>(&self, drafts: impl IntoIterator<Item = &'a str>) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        let ids: Vec<&str> = drafts.into_iter().collect();
        for id in &ids {
            txn.delete(Kind::Draft, id.as_bytes());
        }
        txn.commit()?;
        let mut held = self.drafts.lock().unwrap_or_else(PoisonError::into_inner);
        ids.iter().for_each(|id| held.remove(&id_key(id)));
        Ok(())
    }
}
