//! Jobs: published, planned, steered, listed.

use std::collections::BTreeSet;

use relabeld::job::{Counts, Filter, Job, JobKind, JobState, Lane, Outcome, TaskState};
use relabeld::model::Kind::{Conversation, Note};
use relabeld::store::{Error, ItemBatch, JobSearch, NewJob, Planned};

use crate::Desk;
use crate::common::{NOW, conversation, note, publish_single, wish};

fn steer(desk: &Desk, verb: &str, id: i64) -> Result<Job, Error> {
    match verb {
        "pause" => desk.store.pause_job(id),
        "resume" => desk.store.resume_job(id),
        _ => desk.store.cancel_job(id, NOW),
    }
}

fn publish(desk: &Desk, filter: Filter, limit: i64, split: bool) -> Result<(Job, Vec<i64>), Error> {
    let published = desk.store.publish_range(NewJob { split, ..wish(filter) }, limit, NOW)?;
    Ok((published.job, published.group))
}

#[test]
fn a_range_job_is_queued_planned_and_running() {
    let desk = Desk::with_items(700);
    let (job, all) = publish(&desk, Filter::all(), 700, false).unwrap();
    assert_eq!((job.state, job.kind, job.lane, all), (JobState::Queued, JobKind::Range, Lane::Bulk, vec![job.id]));
    assert_eq!((job.counts, job.revision, job.published_at), (Counts::default(), Some(1), Some(NOW)));
    assert_eq!(desk.tasks(job.id), []);
    desk.plan();
    let job = desk.job(job.id);
    assert_eq!((job.state, job.counts.total, job.counts.pending), (JobState::Running, Some(700), 700));
    // Oldest first, each once, also over the ends of chunks.
    let ids: Vec<String> = desk.tasks(job.id).into_iter().map(|task| task.id).collect();
    assert_eq!(ids, (0..700).map(|n| format!("c{n:03}")).collect::<Vec<_>>());
    desk.check();
}

#[test]
fn the_list_is_frozen_when_planning_begins() {
    let desk = Desk::with_items(3);
    let (job, _) = publish(&desk, Filter::all(), 0, false).unwrap();
    let mut planning = desk.store.begin_planning(NOW).unwrap().unwrap();
    desk.import(&[conversation("late", &["p"], &[("customer", "alpha")])]);
    assert_eq!(planning.step(NOW).unwrap(), Planned::Whole);
    drop(planning);
    assert_eq!(desk.job(job.id).counts.total, Some(3));
}

#[test]
fn too_many_items_are_refused_with_both_numbers_and_never_cut_short() {
    let desk = Desk::with_items(7);
    assert_eq!(publish(&desk, Filter::all(), 6, false).unwrap_err(), Error::TooManyItems { count: 7, limit: 6 });
    assert_eq!(desk.store.jobs(None, None, 10).unwrap().jobs, []);
    assert!(publish(&desk, Filter::all(), 7, false).is_ok() && publish(&desk, Filter::all(), 0, false).is_ok());
}

#[test]
fn a_split_makes_jobs_whose_parts_are_all_of_it_and_do_not_overlap() {
    // All at one time: the parts end between items of the same time.
    for (items, limit, parts) in [(7, 3, 3), (6, 3, 2), (3, 3, 1), (600, 299, 3)] {
        let desk = Desk::with_items(items);
        let (first, all) = publish(&desk, Filter::all(), limit, true).unwrap();
        assert_eq!((all.len(), first.id), (parts, all[0]));
        desk.plan();
        let mut seen = BTreeSet::new();
        for &job in &all {
            let tasks = desk.tasks(job);
            assert!(tasks.len() as i64 <= limit);
            assert!(tasks.into_iter().all(|task| seen.insert(task.id)), "an item in two parts");
            assert_eq!(desk.job(job).group, (parts > 1).then_some(first.id));
        }
        assert_eq!(seen.len(), items);
        assert_eq!(desk.store.group(first.id).unwrap(), all);
        desk.check();
    }
}

#[test]
fn control_of_the_first_is_control_of_the_group() {
    let desk = Desk::with_items(6);
    let (first, all) = publish(&desk, Filter::all(), 2, true).unwrap();
    let states = || all.iter().map(|&job| desk.job(job).state).collect::<Vec<_>>();
    desk.store.pause_job(first.id).unwrap();
    assert_eq!(states(), [JobState::Paused; 3]);
    desk.store.resume_job(all[1]).unwrap();
    assert_eq!(states(), [JobState::Paused, JobState::Queued, JobState::Paused], "the others steer themselves alone");
    desk.store.resume_job(first.id).unwrap();
    desk.plan();
    // The first has ended: the rest can still be steered by it.
    desk.finish(&desk.lease(first.id, 9));
    assert_eq!(desk.job(first.id).state, JobState::Completed);
    desk.store.cancel_job(first.id, NOW).unwrap();
    assert_eq!(states(), [JobState::Completed, JobState::Cancelled, JobState::Cancelled]);
    assert!(matches!(desk.store.cancel_job(first.id, NOW), Err(Error::Conflict(_))));
    desk.check();
}

#[test]
fn a_group_of_which_one_is_ending_can_be_held() {
    let desk = Desk::with_items(6);
    let (first, all) = publish(&desk, Filter::all(), 2, true).unwrap();
    desk.plan();
    let leased = desk.lease(all[1], 2);
    assert_eq!(desk.store.cancel_job(all[1], NOW).unwrap().state, JobState::Cancelling);
    let states = || all.iter().map(|&job| desk.job(job).state).collect::<Vec<_>>();
    use JobState::*;
    assert_eq!(desk.store.pause_job(first.id).unwrap().state, Paused);
    assert_eq!(states(), [Paused, Cancelling, Paused]);
    assert!(matches!(desk.store.pause_job(all[1]), Err(Error::Conflict(_))), "by itself it cannot");
    desk.store.resume_job(first.id).unwrap();
    assert_eq!(states(), [Running, Cancelling, Running]);
    desk.finish(&leased);
    assert_eq!(states(), [Running, Cancelled, Running]);
    desk.check();
}

#[test]
fn an_empty_selection_completes_at_once_and_says_why() {
    let desk = Desk::new();
    let why = |filter: Filter| {
        let (job, _) = publish(&desk, filter, 5, true).unwrap();
        assert_eq!((job.state, job.counts.total, job.finished_at), (JobState::Completed, Some(0), Some(NOW)));
        job.empty_because.unwrap()
    };
    assert!(why(Filter::all()).contains("nothing is imported"));
    desk.import(&[conversation("c", &["p"], &[("agent", "x")]), note("n", 1, &["q"], "x")]);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let cases = [
        (Filter { until: Some(5), ..Filter::all() }, "no item in the time range"),
        (Filter { programs: words(&["p", "unheard"]), types: vec![Note], ..Filter::all() }, "\"unheard\""),
        (Filter { media: words(&["fax"]), ..Filter::all() }, "\"fax\""),
        (Filter { media: words(&["chat"]), types: vec![Note], ..Filter::all() }, "notes have no media"),
        (Filter { programs: words(&["q"]), types: vec![Conversation], ..Filter::all() }, "none of the 2 items"),
    ];
    for (filter, because) in cases {
        let said = why(filter);
        assert!(said.contains(because), "{said:?} should say {because:?}");
    }
    desk.store.erase_item(Conversation, "c", NOW).unwrap();
    desk.store.erase_item(Note, "n", NOW).unwrap();
    assert!(why(Filter::all()).contains("nothing is imported"));
    desk.check();
}

#[test]
fn a_single_job_goes_to_the_live_lane_with_its_one_item() {
    let desk = Desk::with_items(2);
    desk.import(&[note("n", 4, &["p"], "alpha")]);
    let job = publish_single(&desk.store, Note, "n", Some(4)).unwrap();
    assert_eq!((job.kind, job.lane, job.counts.total, job.counts.pending), (JobKind::Single, Lane::Live, Some(1), 1));
    assert_eq!(desk.tasks(job.id)[0].version, Some(4));
    assert_eq!(desk.store.runnable_live(9, NOW).unwrap().0.len(), 1);
    desk.finish(&desk.lease(job.id, 9));
    assert_eq!((desk.job(job.id).state, desk.tasks(job.id)[0].outcome), (JobState::Completed, Some(Outcome::Changed)));
    assert_eq!(desk.store.runnable_live(9, NOW).unwrap(), (vec![], None));

    let asked = |kind, id, version| publish_single(&desk.store, kind, id, version);
    assert!(matches!(asked(Note, "n", Some(3)), Err(Error::StaleVersion(_))));
    assert!(matches!(asked(Note, "c000", None), Err(Error::NotFound(_))));
    assert!(asked(Conversation, "c000", None).is_ok());
    desk.check();
}

/// Brings a new job of four items to a state.
fn job_in(desk: &Desk, state: JobState) -> i64 {
    let job = match state {
        JobState::Queued => return publish(desk, Filter::all(), 0, false).unwrap().0.id,
        JobState::Planning => {
            let id = publish(desk, Filter::all(), 0, false).unwrap().0.id;
            drop(desk.store.begin_planning(NOW).unwrap());
            return id;
        }
        _ => desk.planned(),
    };
    match state {
        JobState::Paused => drop(desk.store.pause_job(job).unwrap()),
        JobState::Cancelling => {
            desk.lease(job, 2);
            desk.store.cancel_job(job, NOW).unwrap();
        }
        JobState::Cancelled => drop(desk.store.cancel_job(job, NOW).unwrap()),
        JobState::Completed => drop(desk.finish(&desk.lease(job, 9))),
        JobState::CompletedWithFailures => {
            desk.commit(desk.outcome(&desk.lease(job, 9), 9, true, |_| crate::permanent()));
        }
        _ => {}
    }
    assert_eq!(desk.job(job).state, state);
    job
}

#[test]
fn every_verb_from_every_state() {
    use JobState::*;
    let cases = [
        (Queued, [Some(Paused), Some(Queued), Some(Cancelled)]),
        (Planning, [Some(Paused), Some(Planning), Some(Cancelled)]),
        (Running, [Some(Paused), Some(Running), Some(Cancelled)]),
        (Paused, [Some(Paused), Some(Running), Some(Cancelled)]),
        (Cancelling, [None, None, Some(Cancelling)]),
        (Cancelled, [None, None, None]),
        (Completed, [None, None, None]),
        (CompletedWithFailures, [None, None, None]),
    ];
    for (state, answers) in cases {
        for (verb, answer) in ["pause", "resume", "cancel"].into_iter().zip(answers) {
            let desk = Desk::with_items(4);
            let job = job_in(&desk, state);
            let steered = steer(&desk, verb, job);
            match answer {
                Some(to) => assert_eq!(steered.map(|job| job.state), Ok(to), "{verb} from {state}"),
                None => {
                    assert!(matches!(steered, Err(Error::Conflict(_))), "{verb} from {state}: {steered:?}");
                    assert_eq!(desk.job(job).state, state);
                }
            }
            desk.check();
        }
    }
    let desk = Desk::new();
    assert!(["pause", "resume", "cancel"].iter().all(|verb| matches!(steer(&desk, verb, 9), Err(Error::NotFound(_)))));
}

#[test]
fn a_held_job_resumes_to_where_it_was() {
    for state in [JobState::Queued, JobState::Planning, JobState::Running] {
        let desk = Desk::with_items(4);
        let job = job_in(&desk, state);
        desk.store.pause_job(job).unwrap();
        desk.plan();
        assert!(desk.lease_at(job, 9, NOW).is_none(), "nothing of a held job is leased");
        assert_eq!(desk.store.resume_job(job).unwrap().state, state);
        desk.plan();
        desk.finish(&desk.lease(job, 9));
        assert_eq!((desk.job(job).state, desk.job(job).counts.done), (JobState::Completed, 4));
        desk.check();
    }
}

#[test]
fn what_is_in_flight_ends_while_a_job_is_held() {
    let desk = Desk::with_items(4);
    let job = desk.planned();
    let leased = desk.lease(job, 9);
    desk.store.pause_job(job).unwrap();
    desk.commit(desk.outcome(&leased, 1, true, |item| desk.found(item)));
    assert_eq!(desk.states(job), [(TaskState::Pending, 3), (TaskState::Done, 1)].into());
    desk.store.resume_job(job).unwrap();
    let leased = desk.lease(job, 9);
    desk.store.pause_job(job).unwrap();
    desk.finish(&leased);
    assert_eq!(desk.job(job).state, JobState::Completed, "its last items have ended");
    desk.check();
}

#[test]
fn cancelling_ends_with_what_is_in_flight() {
    let desk = Desk::with_items(6);
    let job = desk.planned();
    desk.commit(desk.outcome(&desk.lease(job, 1), 1, true, |_| crate::transient(NOW + 9_999)));
    let leased = desk.lease(job, 3);
    let cancelled = desk.store.cancel_job(job, NOW).unwrap();
    assert_eq!((cancelled.state, cancelled.counts.cancelled, cancelled.counts.running), (JobState::Cancelling, 3, 3));
    assert!(desk.lease_at(job, 9, NOW + 99_999).is_none());
    // One was finished, one would be tried again, one was not begun.
    desk.commit(desk.outcome(
        &leased,
        2,
        true,
        |item| if item.pos == 1 { desk.found(item) } else { crate::transient(NOW) },
    ));
    let ended = desk.job(job);
    assert_eq!((ended.state, ended.counts.cancelled, ended.counts.done), (JobState::Cancelled, 5, 1));
    assert_eq!(ended.finished_at, Some(NOW));
    assert_eq!(desk.states(job), [(TaskState::Done, 1), (TaskState::Cancelled, 5)].into());
    desk.check();
}

#[test]
fn a_job_cancelled_in_planning_has_the_list_that_there_is() {
    let desk = Desk::with_items(4);
    let job = publish(&desk, Filter::all(), 0, false).unwrap().0.id;
    let mut planning = desk.store.begin_planning(NOW).unwrap().unwrap();
    desk.store.cancel_job(job, NOW).unwrap();
    assert_eq!(planning.step(NOW).unwrap(), Planned::Stopped);
    drop(planning);
    let job = desk.job(job);
    assert_eq!((job.state, job.counts.total), (JobState::Cancelled, Some(0)));
    desk.check();
}

#[test]
fn jobs_are_listed_newest_first_page_by_page() {
    let desk = Desk::with_items(1);
    let ids: Vec<i64> = (0..5).map(|_| desk.planned()).collect();
    desk.store.cancel_job(ids[3], NOW).unwrap();
    let list = |state, before, limit| {
        let page = desk.store.jobs(state, before, limit).unwrap();
        (page.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(list(None, None, 2), (vec![ids[4], ids[3]], Some(ids[3])));
    assert_eq!(list(None, Some(ids[3]), 3), (vec![ids[2], ids[1], ids[0]], None));
    assert_eq!(list(Some(JobState::Cancelled), None, 2), (vec![ids[3]], None));
    assert_eq!(list(Some(JobState::Running), None, 2), (vec![ids[4], ids[2]], Some(ids[2])));
}

#[test]
fn task_rows_show_every_state() {
    let desk = Desk::with_items(5);
    let job = desk.planned();
    let leased = desk.lease(job, 4);
    desk.commit(desk.outcome(&leased, 3, false, |item| match item.pos {
        0 => desk.found(item),
        1 => crate::permanent(),
        _ => crate::transient(NOW + 1),
    }));
    use TaskState::*;
    let states: Vec<_> = desk.tasks(job).iter().map(|task| (task.state, task.attempts)).collect();
    assert_eq!(states, [(Done, 1), (Failed, 1), (Pending, 1), (Running, 0), (Pending, 0)]);
    let rows = desk.store.task_rows(job, 3).unwrap();
    assert_eq!(rows.iter().map(|row| row.pos).collect::<Vec<_>>(), [3, 4]);
    assert!(matches!(desk.store.task_rows(99, 0), Err(Error::NotFound(_))));
    let (changes, _) = desk.store.job_changes(job, 0).unwrap();
    assert_eq!(changes.iter().map(|change| change.id.as_str()).collect::<Vec<_>>(), ["c000"]);
}

#[test]
fn an_erased_item_is_shown_as_gone_whatever_the_job_had_made_of_it() {
    let desk = Desk::with_items(4);
    desk.import(&[note("n", 4, &["p"], "alpha")]);
    let job = desk.planned();
    let erase = |kind, id: &str| desk.store.erase_item(kind, id, NOW).unwrap();
    // Erased before its turn, after it was changed, after it failed; and a note with its version.
    erase(Conversation, "c000");
    desk.commit(desk.outcome(&desk.lease(job, 9), 9, true, |item| match item.pos {
        2 => crate::permanent(),
        _ => desk.found(item),
    }));
    let row = |id: &str| desk.tasks(job).into_iter().find(|row| row.id == id).unwrap();
    assert_eq!((row("n").version, row("n").outcome), (Some(4), Some(Outcome::Changed)), "or this test proves little");
    assert!(row("c001").change > 0 && row("c002").state == TaskState::Failed);
    erase(Conversation, "c001");
    erase(Conversation, "c002");
    erase(Note, "n");
    for id in ["c000", "c001", "c002", "n"] {
        let row = row(id);
        assert_eq!((row.state, row.outcome, row.version), (TaskState::Done, Some(Outcome::Gone), None), "{id}");
        assert_eq!((row.reason, row.change, row.finished_at), (None, 0, Some(NOW)), "{id}");
    }
    assert_eq!((row("c003").state, row("c003").outcome), (TaskState::Done, Some(Outcome::Changed)));
    desk.check();
}

#[test]
fn numbered_pages_are_in_the_order_of_making_whatever_the_clock_did() {
    let desk = Desk::with_items(1);
    let make = |name: &str, publish, now| {
        let wish = NewJob { name: Some(name.into()), publish, ..wish(Filter::all()) };
        desk.store.publish_range(wish, 0, now).unwrap().job.id
    };
    let first = make("One", true, NOW);
    make("a draft", false, NOW);
    // The clock was set back, and then two came in one millisecond.
    let earlier = make("Öne", true, NOW - 5);
    let twin = make("one", true, NOW - 5);
    let find = |name: Option<&str>, oldest_first, page, size| {
        let search = JobSearch { name: name.map(str::to_owned), oldest_first };
        let (jobs, total) = desk.store.find_jobs(&search, page, size).unwrap();
        (jobs.iter().map(|job| job.id).collect::<Vec<_>>(), total)
    };
    assert_eq!(find(None, true, 0, 10), (vec![earlier, twin, first], 3));
    assert_eq!(find(None, false, 0, 2), (vec![first, twin], 3));
    assert_eq!(find(None, false, 1, 2), (vec![earlier], 3));
    assert_eq!(find(Some("ÖN"), true, 0, 10), (vec![earlier], 1));
    assert_eq!(find(Some("ON"), true, 0, 10), (vec![twin, first], 2));
    assert_eq!(find(None, true, usize::MAX, 100), (vec![], 3));
    desk.store.cancel_job(twin, NOW).unwrap();
    desk.store.delete_job(twin).unwrap();
    assert_eq!(find(Some("one"), true, 0, 10), (vec![first], 1));
}

#[test]
fn a_list_of_more_than_a_page_of_one_time_names_each_item_once() {
    const ITEMS: i64 = 10_500;
    let desk = Desk::with_items(ITEMS as usize);
    let job = desk.planned();
    assert_eq!(desk.job(job).counts.total, Some(ITEMS));
    let raw = desk.raw();
    let pages: i64 =
        raw.query_row("SELECT count(*) FROM chunk WHERE job = ? AND n = 256", [job], |row| row.get(0)).unwrap();
    assert_eq!(pages, ITEMS / 256, "all but the last are full");
    let mut items: Vec<i64> = desk.tasks(job).iter().map(|task| task.item).collect();
    items.sort_unstable();
    assert_eq!(items, (1..=ITEMS).collect::<Vec<_>>());
}

#[test]
fn items_are_read_together_as_far_as_they_fit_and_none_is_taken_for_another() {
    let desk = Desk::with_items(3);
    desk.store.erase_item(Conversation, "c001", NOW).unwrap();
    let read = |numbers: &[i64], bytes, batch: &mut ItemBatch| {
        desk.store.read_items(numbers, bytes, batch).unwrap();
        batch.items().map(|item| item.map(|(item, _)| item.id.to_owned())).collect::<Vec<_>>()
    };
    let id = |n: i64| Some(format!("c{n:03}"));
    let mut batch = ItemBatch::default();
    assert_eq!(read(&[3, 2, 99, 1, 3], 1 << 20, &mut batch), [id(2), None, None, id(0), id(2)]);
    // At least one, and what is gone before it; the rest another time.
    assert_eq!(read(&[2, 1, 3], 1, &mut batch), [None, id(0)]);
    assert_eq!(read(&[99, 2], 1, &mut batch), [None, None]);
    assert_eq!(read(&[], 1, &mut batch), []);
}
