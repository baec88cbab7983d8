//! Jobs of items that are named one by one.

use rusqlite::{Connection, params};
use rustc_hash::FxHashSet;

use super::codec::Key;
use super::frozen::{Frozen, ITEM_WEIGHT};
use super::keys::find_item;
use super::publish::{NewJob, Origin, Published};
use super::writer::Tx;
use super::{Error, Result, Store};
use crate::job::{JobKind, Lane};
use crate::model::Millis;
use crate::wire::ItemKey;

impl Store {
    /// Makes a job of the items that are named; those that do not exist are part of it, and will be `gone`.
    pub fn publish_list(&self, wish: NewJob, keys: &[ItemKey], limit: i64, now: Millis) -> Result<Published> {
        let mut seen = FxHashSet::default();
        let keys: Vec<&ItemKey> = keys.iter().filter(|&key| seen.insert(key)).collect();
        let count = keys.len() as i64;
        // Before ids that nobody has heard of are written down.
        if limit > 0 && count > limit && !wish.split {
            return Err(Error::TooManyItems { count, limit });
        }
        let keys = self.number_keys(&keys)?;
        let part = if limit > 0 { limit as usize } else { keys.len() };
        let lists: Vec<Frozen> = keys
            .chunks(part.max(1))
            .map(|part| {
                let mut list = Frozen::default();
                part.iter().for_each(|&(key, weight)| list.push(key, weight));
                list.whole()
            })
            .collect();
        drop(keys);
        self.write(move |tx| {
            if let Some(repeated) = tx.repeated(wish.request.as_ref())? {
                return Ok(repeated);
            }
            let mut ids = Vec::with_capacity(lists.len());
            for list in &lists {
                let id = tx.insert_job(&wish, Origin::own(JobKind::List, Lane::Bulk), now)?;
                tx.put_list(id, list)?;
                if wish.publish {
                    tx.publish(id, None, now)?;
                }
                ids.push(id);
            }
            tx.put_group(&ids)?;
            tx.put_request(ids[0], wish.request.as_ref())?;
            tx.published(ids)
        })
    }

    /// The numbers and weights of the items that are named; those never heard of get numbers now.
    fn number_keys(&self, keys: &[&ItemKey]) -> Result<Vec<(Key, i64)>> {
        /// Unknown keys that are given numbers in one transaction.
        const TOGETHER: usize = 2_000;
        let mut numbers: Vec<Option<(i64, i64)>> =
            self.read(|connection| keys.iter().map(|key| number_of(connection, key)).collect())?;
        let unknown: Vec<usize> = (0..keys.len()).filter(|&at| numbers[at].is_none()).collect();
        for some in unknown.chunks(TOGETHER) {
            let named: Vec<ItemKey> = some.iter().map(|&at| keys[at].clone()).collect();
            let given = self.write(move |tx| named.iter().map(|key| tx.name_item(key)).collect::<Result<Vec<_>>>())?;
            some.iter().zip(given).for_each(|(&at, number)| numbers[at] = Some(number));
        }
        let keyed = keys.iter().zip(numbers.into_iter().flatten());
        Ok(keyed.map(|(key, (item, size))| (Key { item, asked: key.version }, size + ITEM_WEIGHT)).collect())
    }
}

fn number_of(connection: &Connection, key: &ItemKey) -> Result<Option<(i64, i64)>> {
    Ok(find_item(connection, key.kind, &key.id)?.map(|row| (row.no, row.size)))
}

impl Tx<'_> {
    /// The number of an item that may never have been imported.
    fn name_item(&self, key: &ItemKey) -> Result<(i64, i64)> {
        if let Some(known) = self.find_item(key.kind, &key.id)? {
            return Ok((known.no, known.size));
        }
        self.prepare_cached("INSERT INTO item (kind, id, edition) VALUES (?, ?, 0)")?
            .execute(params![key.kind.as_str(), key.id])?;
        Ok((self.put_key(key.kind, &key.id)?, 0))
    }
}
