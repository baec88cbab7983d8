//! `check` has to find what is wrong; and damage is an error, not a panic.

use std::time::{Duration, Instant};

use relabeld::job::Filter;
use relabeld::model::Kind::Conversation;
use relabeld::store::{Ask, Durability, Error, ItemBatch, Store};

use crate::Desk;
use crate::common::{NOW, wish};

/// A store with everything in it: labels, history, a job that ended and one in mid-flight.
fn busy() -> Desk {
    let desk = Desk::with_items(5);
    let ended = desk.planned();
    desk.finish(&desk.lease(ended, 5));
    let open = desk.planned();
    let leased = desk.lease(open, 4);
    desk.commit(desk.outcome(
        &leased,
        2,
        false,
        |item| if item.pos == 0 { crate::transient(0) } else { desk.found(item) },
    ));
    desk.check();
    desk
}

#[test]
fn check_finds_planted_damage() {
    for (damage, word) in [
        ("UPDATE job SET done = 4, pending = 1, state = 'running', finished_at = NULL WHERE id = 1", "job 1"),
        ("UPDATE job SET failed = failed + 1, pending = pending - 1 WHERE id = 2", "job 2"),
        ("UPDATE job SET planned = 6 WHERE id = 1", "job 1"),
        ("DELETE FROM result WHERE job = 1", "job 1"),
        ("UPDATE result SET entries = x'ff' WHERE job = 1", "job 1"),
        ("UPDATE chunk SET keys = x'02' WHERE job = 1", "job 1"),
        ("UPDATE chunk SET leased = leased - 1 WHERE job = 2", "job 2"),
        ("UPDATE task SET state = 'quarantined' WHERE job = 2", "job 2"),
        ("UPDATE coverage SET items = items + 1 WHERE revision = 1", "program \"p\""),
        ("DELETE FROM coverage WHERE revision = 1", "program \"p\""),
        ("UPDATE reading SET labels = x'80' WHERE item = 1", "item 1"),
        ("UPDATE reading SET labels = CAST(labels || labels AS BLOB) WHERE item = 1", "item 1"),
        ("UPDATE reading SET fresh = x'' WHERE item = 1", "program \"p\""),
        ("UPDATE body SET content = x'07' WHERE item = 1", "item 1"),
        ("DELETE FROM body WHERE item = 1", "item 1"),
        ("UPDATE item SET marked = 1 WHERE no = 1", "item 1"),
        ("UPDATE new_key SET hash = hash + 1 WHERE item = 1", "item 1"),
        ("INSERT INTO key VALUES (7, 1)", "keys"),
        ("INSERT INTO item (kind, id, edition) SELECT kind, id, 0 FROM item WHERE no = 1", "item 6"),
        ("UPDATE shape SET items = items + 1", "shape 1"),
        ("UPDATE change SET entries = x'03'", "change 5: change.entries does not decode"),
        ("UPDATE change SET no = no - 1", "out of order"),
        ("UPDATE change SET job = 9", "change 5: change.job 9 was never made"),
        ("UPDATE change SET revision = 9", "change 5: change.revision 9 is not there"),
        ("UPDATE reading SET changes = x'' WHERE item = 1", "reading.changes of item 1 does not list it"),
        ("UPDATE reading SET changes = x'80' WHERE item = 1", "item 1: reading.changes does not decode"),
        ("UPDATE reading SET changes = x'0212' WHERE item = 1", "item 1: reading.changes names change 9, which is not"),
        (
            "UPDATE reading SET changes = x'0204' WHERE item = 1",
            "reading.changes names change 2, which is one of item 2",
        ),
        ("UPDATE reading SET labels = x'' WHERE item = 1", "item 1: reading.labels, topic \"a\" on block 0"),
        ("UPDATE reading SET fresh = x'0104' WHERE item = 1", "item 1: reading.fresh: revision 2 is not there"),
        ("UPDATE reading SET fresh = x'0902' WHERE item = 1", "item 1: reading.fresh: program 9 is not there"),
        (
            "INSERT INTO mark VALUES (1, 0, 0, 1, 'is_not', NULL); UPDATE item SET marked = 1 WHERE no = 1",
            "mark.mark says is_not",
        ),
        (
            "INSERT INTO mark VALUES (1, 0, 0, 1, 'is', NULL); UPDATE item SET marked = 1 WHERE no = 1",
            "mark.mark says is, and",
        ),
        (
            "INSERT INTO mark VALUES (1, 0, 7, 1, 'is_not', NULL); UPDATE item SET marked = 1 WHERE no = 1",
            "body.content has no such block",
        ),
        ("UPDATE item SET transcripts = '[' WHERE no = 1", "item 1: item.transcripts does not decode"),
        ("UPDATE item SET version = 1 WHERE no = 1", "item 1: item.version is there"),
        ("UPDATE item SET at = NULL, shape = NULL WHERE no = 1", "item 1: item.at or item.shape is NULL"),
        (
            "UPDATE body SET content = CAST(replace(content, x'0170', x'0171') AS BLOB)",
            "item 1: body.content names other programs",
        ),
        ("UPDATE shape SET programs = '[\"q\"]'", "shape 1: shape.programs names program \"q\""),
        ("UPDATE shape SET programs = '['", "shape.programs does not decode"),
        ("UPDATE shape SET media = ''", "shape 1: shape.media"),
        ("UPDATE revision SET catalogue = '{' WHERE no = 1", "revision.catalogue of revision 1 does not parse"),
        (
            "UPDATE revision SET catalogue = replace(catalogue, '\"a\"', '\"b\"') WHERE no = 1",
            "revision 1: revision.catalogue names topic \"b\"",
        ),
        (
            "UPDATE revision SET catalogue = replace(catalogue, 'alpha', 'beta') WHERE no = 1",
            "revision 1: revision.catalogue names phrase \"beta\"",
        ),
        ("UPDATE revision SET catalogue = replace(catalogue, '72', '73') WHERE no = 1", "ruleset.hash does not follow"),
        (
            "PRAGMA foreign_keys = 0; UPDATE revision SET no = 2 WHERE no = 1",
            "revision 2: revision.no does not follow 0",
        ),
        ("UPDATE ruleset SET hash = hash + 1", "ruleset of revision 1 and program 1: ruleset.hash"),
        ("DELETE FROM ruleset", "ruleset of revision 1 and program 1: it is missing"),
        ("UPDATE held SET since = 0", "held of program 1 and topic 1: held.since"),
        ("DELETE FROM held", "held of program 1 and topic 1: it is missing"),
        ("UPDATE job SET filter = '{' WHERE id = 1", "job 1: column filter does not decode"),
        ("UPDATE job SET span = '{' WHERE id = 1", "job 1: job.span does not decode"),
        ("UPDATE job SET parent = 9 WHERE id = 1", "job 1: job.parent names a job that was never made"),
        ("PRAGMA foreign_keys = 0; UPDATE job SET revision = 9 WHERE id = 1", "job 1: job.revision is not there"),
        (
            "PRAGMA ignore_check_constraints = 1; UPDATE job SET state = 'done' WHERE id = 1",
            "job 1: column state has the unknown word \"done\"",
        ),
        ("UPDATE job SET errors = 1 WHERE id = 1", "job 1: job.errors"),
        ("UPDATE job SET weight = weight + 1 WHERE id = 1", "job 1: the columns of job say"),
        ("UPDATE job SET weight_done = weight + 1 WHERE id = 1", "job 1: job.weight_done"),
        ("UPDATE tally SET word = 'charged'", "job 1: tally: unknown outcome \"charged\" in tally.word"),
        ("UPDATE task SET reason = 'errors' WHERE job = 2", "unknown task.reason \"errors\""),
        ("UPDATE task SET item = 2 WHERE job = 2", "task.item and task.asked are not those of chunk.keys"),
        ("UPDATE task SET entry = x'ff' WHERE job = 2", "task.entry does not decode"),
        ("UPDATE chunk SET keys = CAST(x'12' || substr(keys, 2) AS BLOB) WHERE job = 1", "chunk.keys names item 9"),
        (
            "UPDATE result SET entries = CAST(x'0b' || substr(entries, 2) AS BLOB) WHERE job = 1",
            "unknown outcome code 11",
        ),
        // Code, attempts, edition, version, change.
        (
            "UPDATE result SET entries = CAST(x'0201040002' || substr(entries, 6) AS BLOB) WHERE job = 1",
            "edition 2 is above item.edition",
        ),
        (
            "UPDATE result SET entries = CAST(x'0201020012' || substr(entries, 6) AS BLOB) WHERE job = 1",
            "change 9 is missing",
        ),
        ("UPDATE daemon SET pruned_change = 99", "daemon.pruned_change is 99"),
        ("UPDATE daemon SET epoch = 0", "daemon.epoch is 0"),
        ("DELETE FROM daemon", "daemon: its only row is not there"),
        ("PRAGMA foreign_keys = 0; INSERT INTO mark VALUES (99, 0, 0, 1, 'is', NULL)", "mark"),
        ("PRAGMA foreign_keys = 0; UPDATE item SET shape = 99 WHERE no = 1", "item 1"),
    ] {
        let desk = busy();
        desk.raw().execute_batch(damage).unwrap();
        let faults = desk.store.check().unwrap();
        assert!(faults.iter().any(|fault| fault.contains(word)), "{damage}: {faults:?}");
    }
}

/// Each replaces the first bytes of a packed label: its bits, its place (transcript, block, topic), its evidence (phrase,
/// score, start, end) and its provenance (job, revision). As it stands it is `00 000001 01640005 0202`.
#[test]
fn check_finds_a_label_that_nothing_can_have_made() {
    for (bytes, of, word) in [
        ("00000001026400050202", 10, "phrase 2 is not there"),
        ("00000001016500050202", 10, "score 101"),
        ("00000001016406050202", 10, "it starts at 6, after its end at 5"),
        ("00000001016400060202", 10, "it ends at 6, and the block has 5"),
        ("00000002016400050202", 10, "topic 2 is not there"),
        ("00000101016400050202", 10, "body.content has no such block"),
        ("00010001016400050202", 10, "body.content has no such block"),
        ("00000001016300050202", 10, "after change 1 in change.entries the label differs"),
        ("00000001016400050204", 10, "revision 2 is not there"),
        ("00000001016400051202", 10, "job 9 was never made"),
        ("01000001", 8, "a human label names a job or a revision"),
        ("00000001026400050202", 10, "topic 1 of revision 1 has no phrase 2"),
    ] {
        let desk = busy();
        let raw = desk.raw();
        if word.contains("has no phrase") {
            raw.execute_batch("INSERT INTO phrase (text) VALUES ('beta')").unwrap();
        }
        let damage = format!(
            "UPDATE reading SET labels = CAST(x'{bytes}' || substr(labels, {}) AS BLOB) WHERE item = 1",
            of + 1
        );
        raw.execute_batch(&damage).unwrap();
        let faults = desk.store.check().unwrap();
        let found = |fault: &String| fault.starts_with("item 1: reading.labels, ") && fault.contains(word);
        assert!(faults.iter().any(found), "{bytes}: {faults:?}");
    }
}

#[test]
fn what_does_not_decode_is_an_error_and_no_panic() {
    let desk = busy();
    desk.raw()
        .execute_batch(
            "UPDATE body SET content = x'01ffff'; UPDATE reading SET labels = x'80'; UPDATE change SET entries = x'03';
             UPDATE result SET entries = x'ff'; UPDATE chunk SET keys = x'ffffffffffffffffffff' WHERE job = 1",
        )
        .unwrap();
    let damaged = |error: Option<Error>| assert!(matches!(error, Some(Error::Damaged(_))), "{error:?}");
    let store = &desk.store;
    damaged(store.show_item(Conversation, "c000").err());
    let mut batch = ItemBatch::default();
    store.read_items(&[1], 1 << 20, &mut batch).unwrap();
    damaged(batch.items().next().unwrap().unwrap().0.document().err());
    damaged(store.changes_after(0, 10).err());
    damaged(store.task_rows(1, 0).err());
    damaged(store.task_rows(2, 0).err());
    let at = |text| Some(relabeld::when::parse(text, 0).unwrap());
    damaged(store.topic_counts(at("2026-11-10T09:00Z"), at("2026-11-10T11:00Z")).err());
    assert!(store.topic_counts(None, None).is_ok(), "whole days are counters");
}

#[test]
fn a_text_that_the_disk_has_changed_is_not_analysed() {
    let desk = busy();
    let document = |item: i64| {
        let mut batch = ItemBatch::default();
        desk.store.read_items(&[item], 1 << 20, &mut batch).unwrap();
        batch.items().next().unwrap().unwrap().0.document().map(|document| document.utterances.len())
    };
    assert_eq!(document(1), Ok(1));
    let changed = "UPDATE body SET content = CAST(replace(content, 'alpha', 'alphb') AS BLOB) WHERE item = 1";
    desk.raw().execute_batch(changed).unwrap();
    assert!(matches!(document(1), Err(Error::Damaged(_))), "{:?}", document(1));
    assert_eq!(document(2), Ok(1));
    let faults = desk.store.check().unwrap();
    let wanted = "body of item 1: body.content, item.transcripts or item.version does not match the checksum body.sum";
    assert_eq!(faults, [wanted]);
}

#[test]
fn a_damaged_list_or_result_keeps_no_other_job_waiting() {
    let desk = busy();
    let (broken, other) = (desk.planned(), desk.planned());
    desk.raw().execute("UPDATE chunk SET keys = x'ff' WHERE job = ?", [broken]).unwrap();
    let asks = [broken, other].map(|job| Ask { job, items: 5, lease: desk.next_lease() });
    let leases = desk.store.lease(asks.to_vec(), desk.epoch(), NOW).unwrap();
    assert_eq!(leases.iter().map(|leased| leased.lease.job).collect::<Vec<_>>(), [other]);
    // If the lease loop got the damaged job again in each turn, the other jobs would wait.
    let offered: Vec<_> = desk.store.runnable_bulk(9).unwrap().iter().map(|job| job.id).collect();
    assert!(offered.contains(&other) && !offered.contains(&broken), "{offered:?}");
    desk.finish(&leases[0]);
    // The counters of the damaged job are unchanged.
    let faults = desk.store.check().unwrap();
    assert!(
        faults.iter().all(|fault| fault.contains(&format!("job {broken}")) || fault.starts_with("chunk of")),
        "{faults:?}"
    );

    // The list of the oldest is whole, and what came of it does not decode.
    desk.raw().execute_batch("UPDATE result SET entries = x'ff' WHERE job = 1").unwrap();
    while desk.store.prune(NOW + 1, NOW).unwrap() {}
    for job in [1, other] {
        assert!(desk.job(job).pruned_at.is_some(), "job {job} was not pruned");
        assert!(matches!(desk.store.task_rows(job, 0), Err(Error::HistoryPruned(_))));
    }
}

#[test]
fn an_item_suspected_of_a_death_does_not_wait_for_a_damaged_job() {
    let mut desk = Desk::with_items(2);
    let (broken, other) = (desk.planned(), desk.planned());
    desk.lease(broken, 1);
    desk.lease(other, 1);
    desk.die(&[(broken, 0), (other, 0)]);
    desk.raw().execute("UPDATE job SET filter = '{' WHERE id = ?", [broken]).unwrap();
    desk.reopen();
    let suspect = desk.suspect().expect("the one of the other job");
    assert_eq!((suspect.lease.job, suspect.items[0].pos), (other, 0));
    desk.finish(&suspect);
    assert!(desk.suspect().is_none());
}

#[test]
fn a_start_after_a_death_passes_over_a_list_that_does_not_decode() {
    let desk = Desk::with_items(2);
    let (broken, other) = (desk.planned(), desk.planned());
    desk.lease(broken, 1);
    desk.lease(other, 1);
    desk.raw().execute("UPDATE chunk SET keys = x'ff' WHERE job = ?", [broken]).unwrap();
    desk.die(&[(broken, 0), (other, 0)]);
    let suspect = desk.suspect().expect("the one of the other job");
    assert_eq!((suspect.lease.job, suspect.items[0].pos), (other, 0));
}

#[test]
fn a_store_opens_again_as_it_was_left() {
    let desk = busy();
    let before = (desk.store.jobs(None, None, 10).unwrap(), desk.store.changes_after(0, 100).unwrap());
    desk.store.close();
    assert!(matches!(desk.store.publish_range(wish(Filter::all()), 0, 0), Err(Error::Stopping)));
    assert_eq!(desk.store.sizes().1, 0, "the log is folded back when a store closes");
    let store = Store::open(desk.dir.path(), Durability::Full).unwrap();
    assert_eq!((store.jobs(None, None, 10).unwrap(), store.changes_after(0, 100).unwrap()), before);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn an_open_folds_what_a_kill_left_in_the_log() {
    let desk = busy();
    let killed = tempfile::tempdir().unwrap();
    for name in ["relabeld.db", "relabeld.db-wal"] {
        std::fs::copy(desk.dir.path().join(name), killed.path().join(name)).unwrap();
    }
    assert!(killed.path().join("relabeld.db-wal").metadata().unwrap().len() > 0);
    let store = Store::open(killed.path(), Durability::Full).unwrap();
    assert_eq!(store.sizes().1, 0, "the WAL was not checkpointed at open");
    assert_eq!(store.jobs(None, None, 10).unwrap(), desk.store.jobs(None, None, 10).unwrap());
}

#[test]
fn a_store_that_closes_waits_for_who_only_just_looks() {
    let desk = busy();
    let file = rusqlite::Connection::open(desk.dir.path().join("relabeld.db")).unwrap();
    file.execute_batch("BEGIN; SELECT count(*) FROM job").unwrap();
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| desk.store.close());
        // Nothing tells that it waits; that it has not, its end does.
        let look = Instant::now();
        while !closing.is_finished() && look.elapsed() < Duration::from_millis(100) {
            std::thread::sleep(Duration::from_millis(1));
        }
        file.execute_batch("ROLLBACK").unwrap();
        closing.join().unwrap();
    });
    assert_eq!(desk.store.sizes().1, 0, "its log was left behind");
}
