//! What people may do to a job in which state: every action from every state, against the table of `Action::in_state`.

use relabeld::job::{Action, Allowed, Filter, Job, JobId, JobState};
use relabeld::store::{Again, Error, NewJob, Steering};

use crate::Desk;
use crate::common::{NOW, wish};

use Allowed::{Already, No, Yes};
use JobState::*;

const ACTIONS: [Action; 9] = [
    Action::Publish,
    Action::Pause,
    Action::Resume,
    Action::Cancel,
    Action::Steer,
    Action::Retry,
    Action::Revert,
    Action::Apply,
    Action::Delete,
];

/// As contract.md 5 has it: publish, pause, resume, cancel, steer; retry, revert, apply, delete.
const TABLE: [(JobState, [Allowed; 9]); 10] = [
    (Draft, [Yes, No, No, Yes, Yes, No, No, No, Yes]),
    (Queued, [No, Yes, Already, Yes, Yes, No, No, No, No]),
    (Planning, [No, Yes, Already, Yes, Yes, No, No, No, No]),
    (Running, [No, Yes, Already, Yes, Yes, No, No, No, No]),
    (Paused, [No, Already, Yes, Yes, Yes, No, No, No, No]),
    (Cancelling, [No, No, No, Already, Yes, No, No, No, No]),
    (Completed, [No, No, No, No, No, Yes, Yes, Yes, Yes]),
    (CompletedWithFailures, [No, No, No, No, No, Yes, Yes, Yes, Yes]),
    (Failed, [No, No, No, No, No, Yes, Yes, No, Yes]),
    (Cancelled, [No, No, No, No, No, Yes, Yes, No, Yes]),
];

/// Brings a new job of four items to a state.
fn job_in(desk: &Desk, state: JobState, dry_run: bool) -> JobId {
    let new = NewJob { publish: state != Draft, dry_run, ..wish(Filter::all()) };
    let id = desk.store.publish_range(new, 0, NOW).unwrap().job.id;
    match state {
        Draft | Queued => return id,
        Planning => drop(desk.store.begin_planning(NOW).unwrap()),
        Failed => {
            drop(desk.store.begin_planning(NOW).unwrap());
            desk.store.fail_planning(id, "on purpose".into(), NOW).unwrap();
        }
        _ => desk.plan(),
    }
    match state {
        Paused => drop(desk.store.pause_job(id).unwrap()),
        Cancelling => {
            desk.lease(id, 2);
            desk.store.cancel_job(id, NOW).unwrap();
        }
        Cancelled => drop(desk.store.cancel_job(id, NOW).unwrap()),
        Completed => drop(desk.finish(&desk.lease(id, 9))),
        CompletedWithFailures => {
            desk.commit(desk.outcome(&desk.lease(id, 9), 9, true, |item| match item.pos {
                0 => crate::permanent(),
                _ => desk.found(item),
            }));
        }
        _ => {}
    }
    assert_eq!(desk.job(id).state, state);
    id
}

fn act(desk: &Desk, action: Action, id: JobId) -> Result<(), Error> {
    let store = &desk.store;
    match action {
        Action::Publish => store.publish_draft(id, None, 0, NOW).map(drop),
        Action::Pause => store.pause_job(id).map(drop),
        Action::Resume => store.resume_job(id).map(drop),
        Action::Cancel => store.cancel_job(id, NOW).map(drop),
        Action::Steer => store.steer_job(id, Steering { priority: Some(77), ..Steering::default() }).map(drop),
        Action::Retry => desk.again(id, Again::Retry { no_topics: false }).map(drop),
        Action::Revert => desk.again(id, Again::Revert).map(drop),
        Action::Apply => desk.again(id, Again::Apply).map(drop),
        Action::Delete => store.delete_job(id),
    }
}

/// All jobs that there are, newest first.
fn jobs(desk: &Desk) -> Vec<Job> {
    desk.store.jobs(None, None, 100).unwrap().jobs
}

/// What an action makes of a job and of those beside it.
#[track_caller]
fn assert_done(desk: &Desk, action: Action, state: JobState, id: JobId, before: &Job) {
    let all = jobs(desk);
    let beside: Vec<&Job> = all.iter().filter(|job| job.id != id).collect();
    let Some(job) = all.iter().find(|job| job.id == id) else {
        assert!(action == Action::Delete && beside.is_empty(), "{action:?} from {state}");
        return;
    };
    match action {
        Action::Publish => assert_eq!(job.state, Queued),
        Action::Pause => assert_eq!(job.state, Paused),
        // In this file a job is only ever held while it runs.
        Action::Resume => assert_eq!(job.state, Running),
        Action::Cancel => assert_eq!((job.state, job.finished_at), (Cancelled, Some(NOW)), "from {state}"),
        Action::Steer => assert_eq!(*job, Job { priority: 77, ..before.clone() }),
        Action::Retry | Action::Revert | Action::Apply => {
            assert_eq!((beside.len(), beside[0].parent), (1, Some(id)), "{action:?} from {state}");
            let applied_by = (action == Action::Apply).then_some(beside[0].id);
            assert_eq!(*job, Job { applied_by, ..before.clone() }, "else it stays as it was");
        }
        Action::Delete => panic!("it is still there"),
    }
}

#[test]
fn every_action_from_every_state() {
    for (state, answers) in TABLE {
        for (action, allowed) in ACTIONS.into_iter().zip(answers) {
            assert_eq!(action.in_state(state), allowed, "{action:?} from {state}");
            let desk = Desk::with_items(4);
            // What may be applied is a dry run, and that is not to be taken back.
            let id = job_in(&desk, state, action == Action::Apply);
            let before = jobs(&desk);
            let answer = act(&desk, action, id);
            match allowed {
                Yes => {
                    assert_eq!(answer, Ok(()), "{action:?} from {state}");
                    assert_done(&desk, action, state, id, &before[0]);
                }
                Already => assert_eq!((answer, jobs(&desk)), (Ok(()), before), "{action:?} from {state}"),
                No => {
                    let Err(Error::Conflict(why)) = answer else { panic!("{action:?} from {state}: {answer:?}") };
                    assert!(why.contains(&format!("job {id}")) && why.contains(state.as_str()), "{why}");
                    assert_eq!(jobs(&desk), before, "{action:?} from {state}");
                }
            }
            desk.check();
        }
    }
}

#[test]
fn nothing_can_be_done_to_a_job_that_is_not_there() {
    let desk = Desk::with_items(4);
    let gone = job_in(&desk, Completed, false);
    desk.store.delete_job(gone).unwrap();
    // Deleted and not yet removed, removed, and never there.
    for removed in [false, true] {
        while removed && desk.store.prune(0, NOW).unwrap() {}
        for (id, action) in [gone, 99].into_iter().flat_map(|id| ACTIONS.map(|action| (id, action))) {
            assert!(matches!(act(&desk, action, id), Err(Error::NotFound(_))), "{action:?} of job {id}");
        }
    }
    assert_eq!(jobs(&desk), []);
    desk.check();
}

#[test]
fn a_name_may_change_at_any_time_and_nothing_else_of_an_ended_job() {
    for (state, _) in TABLE {
        let desk = Desk::with_items(4);
        let id = job_in(&desk, state, false);
        let before = desk.job(id);
        let named = Steering { name: Some(Some("x".into())), description: Some(None), ..Steering::default() };
        let named_job = Job { name: Some("x".into()), ..before };
        assert_eq!(desk.store.steer_job(id, named.clone()).unwrap(), named_job, "{state}");
        let other_name = Steering { name: Some(Some("y".into())), ..Steering::default() };
        for steering in [
            Steering { priority: Some(3), ..other_name.clone() },
            Steering { max_per_second: Some(Some(3.0)), ..other_name.clone() },
            Steering { max_per_second: Some(None), ..other_name },
        ] {
            let steered = desk.store.steer_job(id, steering);
            assert_eq!(steered.is_err(), state.ended(), "{state}");
        }
        if state.ended() {
            assert_eq!(desk.job(id), named_job, "all of it, or nothing");
        }
        desk.check();
    }
}

#[test]
fn a_group_does_what_its_open_ones_may() {
    let desk = Desk::with_items(6);
    let split = desk.store.publish_range(NewJob { split: true, ..wish(Filter::all()) }, 2, NOW).unwrap();
    let [first, second, third] = split.group[..] else { panic!("{split:?}") };
    desk.plan();
    desk.finish(&desk.lease(first, 9));
    let of_all = |work: fn(&Job) -> String| [first, second, third].map(|id| work(&desk.job(id)));
    // Those that have ended stay as they are; the name is of all.
    let steering = Steering { name: Some(Some("g".into())), priority: Some(9), ..Steering::default() };
    desk.store.steer_job(first, steering).unwrap();
    assert_eq!(
        of_all(|job| format!("{:?} {}", job.name.as_deref(), job.priority)),
        [r#"Some("g") 50"#, r#"Some("g") 9"#, r#"Some("g") 9"#]
    );
    // What needs them all to have ended waits for the last.
    let ended_only = [Action::Retry, Action::Revert, Action::Delete];
    for action in ended_only {
        assert!(matches!(act(&desk, action, first), Err(Error::Conflict(_))), "{action:?}");
    }
    assert_eq!(jobs(&desk).len(), 3);
    desk.finish(&desk.lease(second, 9));
    desk.store.cancel_job(first, NOW).unwrap();
    assert_eq!(of_all(|job| job.state.to_string()), ["completed", "completed", "cancelled"]);
    for action in ended_only {
        assert_eq!(act(&desk, action, first), Ok(()), "{action:?}");
        desk.check();
        jobs(&desk).iter().for_each(|job| drop(desk.store.cancel_job(job.id, NOW)));
    }
    assert!(jobs(&desk).iter().all(|job| job.id > third), "deleted with their leader");
}

#[test]
fn a_group_is_held_while_its_first_is_ending() {
    let desk = Desk::with_items(120);
    let split = desk.store.publish_range(NewJob { split: true, ..wish(Filter::all()) }, 60, NOW).unwrap();
    let [first, second] = split.group[..] else { panic!("{split:?}") };
    desk.plan();
    let states = || [first, second].map(|id| desk.job(id).state);
    desk.commit(desk.outcome(&desk.lease(first, 60), 50, false, |_| crate::permanent()));
    assert_eq!(states(), [Cancelling, Running], "ten of the first are in flight");
    assert_eq!(desk.store.pause_job(first).map(|job| job.state), Ok(Cancelling));
    assert_eq!(states(), [Cancelling, Paused]);
    desk.store.resume_job(first).unwrap();
    assert_eq!(states(), [Cancelling, Running]);
    desk.check();
}
