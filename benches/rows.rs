//! The bare queue: a table with a row a task, one connection, each commit synced. A thousand tasks are taken and the
//! thousand taken before them completed in one transaction, with a statement a task for each; nothing else happens.

use std::path::Path;

use rusqlite::params;

use crate::scratch;

const TOGETHER: i64 = 1_000;

pub fn fill(dir: &Path, tasks: usize) -> anyhow::Result<()> {
    let connection = scratch::writing(&dir.join(scratch::DATABASE))?;
    connection.execute_batch(
        "CREATE TABLE task (id INTEGER PRIMARY KEY, state INTEGER NOT NULL);
         CREATE INDEX pending ON task (id) WHERE state = 0;",
    )?;
    connection.execute(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)
         INSERT INTO task SELECT n, 0 FROM n",
        params![tasks as i64],
    )?;
    Ok(())
}

/// What then answers how many tasks it completed, and no labels.
pub fn open(dir: &Path) -> anyhow::Result<impl FnOnce() -> anyhow::Result<(i64, i64)>> {
    let connection = scratch::writing(&dir.join(scratch::DATABASE))?;
    Ok(move || {
        let mut taken: Vec<i64> = Vec::new();
        let mut completed = 0;
        loop {
            connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            for id in &taken {
                completed += connection.prepare_cached("UPDATE task SET state = 2 WHERE id = ?")?.execute([id])?;
            }
            let mut next = connection.prepare_cached("SELECT id FROM task WHERE state = 0 ORDER BY id LIMIT ?")?;
            taken = next.query_map([TOGETHER], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            for id in &taken {
                connection.prepare_cached("UPDATE task SET state = 1 WHERE id = ?")?.execute([id])?;
            }
            connection.prepare_cached("COMMIT")?.execute([])?;
            if taken.is_empty() {
                return Ok((completed as i64, 0));
            }
        }
    })
}
