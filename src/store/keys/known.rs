//! Which hashes some key has: a Bloom filter (Bloom 1970) over what the three tables hold, so that an item that never was is
//! not looked for. In a large store each such look would read a page that nothing else needs.
//!
//! It is in memory alone. After a start it is blind, and imports teach it, each a piece, in the order of the hashes. It may
//! say yes of a hash that no key has: where it has not come to it yet, where a commit was rolled back, or where bits fall
//! together. Never no of one that has.

use rusqlite::Connection;

use crate::store::Result;

/// Of 64 bits, in which a hash sets two: with ten million keys it says yes in vain one time in fourteen, with a million
/// hardly ever. Much above that it is of little use, and costs little.
const WORDS: usize = 1 << 20;

const END: i64 = i32::MAX as i64 + 1;

#[derive(Debug)]
pub struct KnownHashes {
    /// None until the first import: what does not import has no use for it.
    words: Option<Box<[u64]>>,
    /// Of lower hashes, all that keys have are in.
    until: i64,
}

impl KnownHashes {
    pub fn none() -> KnownHashes {
        KnownHashes { words: None, until: i32::MIN.into() }
    }

    /// Reads on in the tables, for some `keys` more.
    pub fn learn(&mut self, connection: &Connection, keys: usize) -> Result<()> {
        if self.until >= END {
            return Ok(());
        }
        let words = self.words.get_or_insert_with(|| vec![0; WORDS].into_boxed_slice());
        let mut statement = connection.prepare_cached(
            "SELECT hash FROM key WHERE hash >= ?1 UNION ALL SELECT hash FROM recent_key WHERE hash >= ?1
             UNION ALL SELECT hash FROM new_key WHERE hash >= ?1 ORDER BY hash LIMIT ?2",
        )?;
        let mut rows = statement.query([self.until, keys as i64])?;
        let (mut last, mut read) = (self.until - 1, 0);
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            read += 1;
            add(words, last);
        }
        self.until = if read < keys { END } else { last + 1 };
        Ok(())
    }

    pub fn add(&mut self, hash: i64) {
        if let Some(words) = &mut self.words {
            add(words, hash);
        }
    }

    /// False only where no key has it.
    pub fn may_have(&self, hash: i64) -> bool {
        match &self.words {
            Some(words) if hash < self.until => {
                let (word, bits) = place(hash);
                words[word] & bits == bits
            }
            _ => true,
        }
    }
}

fn add(words: &mut [u64], hash: i64) {
    let (word, bits) = place(hash);
    words[word] |= bits;
}

fn place(hash: i64) -> (usize, u64) {
    let hash = (hash - i64::from(i32::MIN)) as usize;
    (hash >> 12 & (WORDS - 1), 1 << (hash & 63) | 1 << (hash >> 6 & 63))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tables() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        for table in ["key", "recent_key", "new_key"] {
            let sql = format!("CREATE TABLE {table} (hash, item, PRIMARY KEY (hash, item)) WITHOUT ROWID");
            connection.execute_batch(&sql).unwrap();
        }
        connection
    }

    fn insert(connection: &Connection, table: &str, hash: i64, item: usize) {
        let sql = format!("INSERT INTO {table} VALUES (?, ?)");
        connection.execute(&sql, (hash, item as i64)).unwrap();
    }

    fn some_hash() -> impl Strategy<Value = i64> {
        // The ends, some that meet often, and any.
        let any = any::<i32>().prop_map(i64::from);
        prop_oneof![Just(i64::from(i32::MIN)), Just(i64::from(i32::MAX)), -2i64..2, any]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_never_says_no_of_a_hash_that_a_key_has(
            before in proptest::collection::vec((0usize..3, some_hash()), 0..40),
            later in proptest::collection::vec((some_hash(), 0usize..20), 0..12),
        ) {
            let connection = tables();
            let mut hashes = Vec::new();
            for (item, &(table, hash)) in before.iter().enumerate() {
                insert(&connection, ["key", "recent_key", "new_key"][table], hash, item);
                hashes.push(hash);
            }
            let mut known = KnownHashes::none();
            for (item, (hash, learned)) in later.into_iter().enumerate() {
                known.add(hash);
                insert(&connection, "new_key", hash, 1_000 + item);
                hashes.push(hash);
                known.learn(&connection, learned).unwrap();
                // As keys do move on: to where what is lower was read already.
                connection.execute_batch("INSERT INTO key SELECT * FROM new_key; DELETE FROM new_key").unwrap();
                prop_assert!(hashes.iter().all(|&hash| known.may_have(hash)));
            }
        }
    }

    #[test]
    fn it_says_no_of_most_others_once_it_knows_all() {
        let connection = tables();
        let spread = |n: i64| i64::from((n as i32).wrapping_mul(0x9e37_79b1_u32 as i32));
        (0..500).for_each(|n| insert(&connection, "key", spread(n), n as usize));
        let mut known = KnownHashes::none();
        let said_no = |known: &KnownHashes| (500..1_500).filter(|&n| !known.may_have(spread(n))).count();
        assert_eq!(said_no(&known), 0, "it knows nothing");
        known.learn(&connection, 250).unwrap();
        assert!((400..600).contains(&said_no(&known)), "it knows half");
        known.learn(&connection, 250).unwrap();
        known.learn(&connection, 250).unwrap();
        assert!(said_no(&known) > 990, "it knows all");
        assert!((0..500).all(|n| known.may_have(spread(n))));
    }
}
