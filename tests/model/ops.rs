//! The operations of a run, and how proptest makes them up. What a number picks is decided when its turn comes.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::rules::Topic;
use crate::verbs::Verb;

/// One of the items: `c0` to `c4` are conversations, `n5` to `n7` notes, and `c8` and `n9` are never imported.
pub type Which = u8;
/// One of the jobs, latest first, of those that the verb is for; from [`ANY`] on of all.
pub type Pick = u8;
pub const ANY: Pick = 100;

/// Who says what.
pub type Block = (&'static str, &'static str);

#[derive(Debug, Clone)]
pub struct Text {
    pub programs: Vec<&'static str>,
    pub day: i64,
    /// Of a second transcript, if there is one.
    pub second: Option<(Option<&'static str>, Vec<Block>)>,
    pub language: Option<&'static str>,
    pub blocks: Vec<Block>,
}

/// A change of an item as it stands.
#[derive(Debug, Clone)]
pub enum Edit {
    Nothing,
    Say(u8, Block),
    Swap,
    Insert(Block),
    Programs(Vec<&'static str>),
    Day(i64),
    Language(Option<&'static str>),
    /// Of a conversation: nobody reads it, and it is another content all the same.
    AtMs(i64),
}

/// Transcript, block, topic, and what is said: None takes a mark away.
pub type Word = (u8, u8, &'static str, Option<bool>);

#[derive(Debug, Clone)]
pub struct Range {
    pub days: (Option<i64>, Option<i64>),
    pub notes: Option<bool>,
    pub media: bool,
    pub programs: Vec<&'static str>,
    pub language: bool,
}

#[derive(Debug, Clone)]
pub enum What {
    Range(Range),
    /// Items, each with how far the version asked for is from the stored one.
    List(Vec<(Which, Option<i64>)>),
    Single(Which, Option<i64>),
}

#[derive(Debug, Clone, Copy)]
pub struct How {
    pub stale_only: bool,
    pub keep: bool,
    pub dry: bool,
    pub draft: bool,
    pub split: bool,
    /// 0: none.
    pub limit: i64,
    pub priority: i64,
    /// An idempotency key, and the body that it comes with.
    pub request: Option<(u8, u8)>,
}

/// How the attempts on a lease's items fare, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Well,
    /// To be tried again after so many milliseconds.
    Busy(i64),
    Broken,
}

/// What happens between the look at the items and the list that comes of it.
#[derive(Debug, Clone)]
pub enum Meanwhile {
    Nothing,
    /// The planner stops here; it is taken up again later.
    Abandon,
    Import(Which, Text),
    Erase(Which),
    Pause,
    Cancel,
    CancelAndDelete,
}

#[derive(Debug, Clone)]
pub enum Op {
    Import(Vec<(Which, Text, Option<Vec<Word>>)>),
    Change(Which, Edit, Option<Vec<Word>>),
    Erase(Which),
    Mark(Which, Vec<Word>),
    Topic(&'static str, Topic),
    RemoveTopic(&'static str),
    /// The catalogue as it was some revisions ago.
    ApplyAgain(u8),
    Labeller(u8),
    Publish(What, How),
    /// A draft; of a range perhaps with other days.
    PublishDraft(Pick, Option<(i64, i64)>, i64),
    Again(Pick, Verb, bool, bool),
    Control(Pick, Verb),
    Steer(Pick, Option<&'static str>, Option<i64>, Option<Option<f64>>),
    Plan(Meanwhile),
    /// So many items; looked at at once, or only when they are finished.
    Lease(Pick, u8, bool),
    LeaseSuspect(bool),
    /// The first so many items of a held lease, which perhaps ends with that.
    Finish(Pick, u8, bool, Vec<Fate>),
    /// What came of a lease that is nobody's any more, again.
    Late(Pick),
    /// A job to its end, in leases of so many items; what is put off is waited for.
    Drain(Pick, u8, Vec<Fate>),
    /// So many deaths with an item of a job alone in analysis, the same one where it is that one's turn.
    Die(Pick, u8),
    /// Jobs that ended more than so many days ago; at most so many steps.
    Prune(i64, u8),
    /// A stop and a start; killed, with which leased items in analysis.
    Restart {
        killed: bool,
        begun: Vec<u8>,
    },
    Clock(i64),
}

pub const WORDS: [&str; 4] = ["a", "b", "c", "d"];
const PROGRAMS: [&str; 2] = ["p", "q"];

fn block() -> impl Strategy<Value = Block> {
    let text = select(vec!["a", "b", "a b", "b c", "c", "a c d", "d", "x", "x a", ""]);
    (select(vec!["customer", "agent"]), text)
}

fn text() -> impl Strategy<Value = Text> {
    let second = of((of(select(PROGRAMS.to_vec())), vec(block(), 1..3)));
    (programs(0), 0i64..4, second, of(select(vec!["en-US", "de"])), vec(block(), 1..4))
        .prop_map(|(programs, day, second, language, blocks)| Text { programs, day, second, language, blocks })
}

fn programs(at_least: usize) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(PROGRAMS.to_vec(), at_least..=2)
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        Just(Edit::Nothing),
        (0u8..3, block()).prop_map(|(at, block)| Edit::Say(at, block)),
        Just(Edit::Swap),
        block().prop_map(Edit::Insert),
        programs(0).prop_map(Edit::Programs),
        (0i64..4).prop_map(Edit::Day),
        of(select(vec!["en-US", "de"])).prop_map(Edit::Language),
        (0i64..3).prop_map(Edit::AtMs),
    ]
}

fn words(most: usize) -> impl Strategy<Value = Vec<Word>> {
    vec((0u8..2, 0u8..3, select(WORDS.to_vec()), prop_oneof![Just(Some(true)), Just(Some(false)), Just(None)]), 0..most)
}

fn marks() -> impl Strategy<Value = Option<Vec<Word>>> {
    prop_oneof![4 => Just(None), 1 => words(3).prop_map(Some)]
}

fn topic() -> impl Strategy<Value = Topic> {
    let participants = select(vec!["all", "all", "customer", "agent"]);
    (programs(1), participants, subsequence(WORDS.to_vec(), 1..=2), 0u8..2)
        .prop_map(|(programs, participants, phrases, spelling)| Topic { programs, participants, phrases, spelling })
}

fn range() -> impl Strategy<Value = Range> {
    let days = (of(0i64..3), of(1i64..4));
    let few = || prop_oneof![5 => Just(false), 1 => Just(true)];
    (prop_oneof![2 => Just((None, None)), 1 => days], of(any::<bool>()), few(), programs(0), few()).prop_map(
        |(days, notes, media, programs, language)| Range {
            days,
            notes: notes.filter(|_| !media),
            media,
            programs: if programs.len() == 2 { Vec::new() } else { programs },
            language,
        },
    )
}

fn what() -> impl Strategy<Value = What> {
    let version = || prop_oneof![3 => Just(None), 2 => Just(Some(0i64)), 1 => Just(Some(-1)), 1 => Just(Some(1))];
    prop_oneof![
        3 => range().prop_map(What::Range),
        2 => vec((0u8..10, version()), 1..8).prop_map(What::List),
        1 => (0u8..9, version()).prop_map(|(which, version)| What::Single(which, version)),
    ]
}

fn how() -> impl Strategy<Value = How> {
    let rarely = |n: u32| prop_oneof![n => Just(false), 1 => Just(true)];
    let limit = prop_oneof![3 => Just(0i64), 1 => 1i64..5];
    let request = prop_oneof![5 => Just(None), 1 => (0u8..2, 0u8..2).prop_map(Some)];
    (rarely(3), rarely(1), rarely(3), rarely(6), rarely(1), limit, 1i64..=100, request).prop_map(
        |(stale_only, replaces, dry, draft, split, limit, priority, request)| How {
            stale_only,
            keep: !replaces,
            dry,
            draft,
            split,
            limit,
            priority,
            request,
        },
    )
}

pub fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![2 => Just(Fate::Well), 1 => (0i64..2_000).prop_map(Fate::Busy), 2 => Just(Fate::Broken)];
    prop_oneof![2 => Just(vec![Fate::Well]), 1 => vec(fate, 1..6)]
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![
        10 => Just(Meanwhile::Nothing),
        1 => Just(Meanwhile::Abandon),
        1 => (0u8..8, text()).prop_map(|(which, text)| Meanwhile::Import(which, text)),
        1 => (0u8..8).prop_map(Meanwhile::Erase),
        1 => Just(Meanwhile::Pause),
        1 => Just(Meanwhile::Cancel),
        1 => Just(Meanwhile::CancelAndDelete),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![4 => Just(0), 4 => 1u8..8, 2 => ANY..ANY + 12]
}

pub fn clock() -> impl Strategy<Value = Op> {
    select(vec![1, 700, 60_000, DAY, 40 * DAY, -1, -60_000, -2 * DAY]).prop_map(Op::Clock)
}

pub const DAY: i64 = 86_400_000;

/// How a job is worked off, steered and interrupted.
pub fn queue_op(most: u8) -> impl Strategy<Value = Op> {
    let steering = (of(select(vec!["x", "y"])), of(1i64..=100), of(of(select(vec![0.5, 2.0]))));
    prop_oneof![
        4 => meanwhile().prop_map(Op::Plan),
        6 => (pick(), 1..most, any::<bool>()).prop_map(|(job, n, at_once)| Op::Lease(job, n, at_once)),
        2 => any::<bool>().prop_map(Op::LeaseSuspect),
        1 => (pick(), 1u8..5).prop_map(|(job, times)| Op::Die(job, times)),
        6 => (pick(), 0..most, any::<bool>(), fates()).prop_map(|(pick, n, ends, f)| Op::Finish(pick, n, ends, f)),
        2 => pick().prop_map(Op::Late),
        3 => (pick(), select(vec![Verb::Pause, Verb::Resume, Verb::Resume, Verb::Cancel]))
            .prop_map(|(job, verb)| Op::Control(job, verb)),
        1 => (pick(), steering).prop_map(|(job, (name, priority, speed))| Op::Steer(job, name, priority, speed)),
        2 => (any::<bool>(), vec(any::<u8>(), 0..3)).prop_map(|(killed, begun)| Op::Restart { killed, begun }),
        2 => clock(),
    ]
}

pub fn op() -> impl Strategy<Value = Op> {
    let again = select(vec![
        Verb::Revert,
        Verb::Revert,
        Verb::Apply,
        Verb::Retry { no_topics: false },
        Verb::Retry { no_topics: true },
    ]);
    let rarely = || prop_oneof![7 => Just(false), 1 => Just(true)];
    let line = (0u8..8, text(), marks());
    let content = prop_oneof![
        3 => vec(line, 1..4).prop_map(Op::Import),
        3 => (0u8..8, edit(), marks()).prop_map(|(which, edit, marks)| Op::Change(which, edit, marks)),
        1 => (0u8..8).prop_map(Op::Erase),
        2 => (0u8..8, words(4)).prop_map(|(which, words)| Op::Mark(which, words)),
        3 => (select(WORDS.to_vec()), topic()).prop_map(|(id, topic)| Op::Topic(id, topic)),
        1 => select(WORDS.to_vec()).prop_map(Op::RemoveTopic),
        1 => (1u8..4).prop_map(Op::ApplyAgain),
        1 => (0u8..2).prop_map(Op::Labeller),
    ];
    let jobs = prop_oneof![
        8 => (what(), how()).prop_map(|(what, how)| Op::Publish(what, how)),
        2 => (pick(), of((0i64..2, 2i64..4)), 0i64..4).prop_map(|(job, days, limit)| Op::PublishDraft(job, days, limit)),
        8 => (pick(), again, rarely(), rarely()).prop_map(|(job, verb, dry, draft)| Op::Again(job, verb, dry, draft)),
        24 => (pick(), 1u8..8, fates()).prop_map(|(job, n, fates)| Op::Drain(job, n, fates)),
        2 => pick().prop_map(|job| Op::Control(job, Verb::Delete)),
        1 => (select(vec![0, 1, 30]), 1u8..9).prop_map(|(days, steps)| Op::Prune(days, steps)),
    ];
    prop_oneof![3 => content, 5 => jobs, 3 => queue_op(6)]
}

/// A few jobs of many items, of which much goes wrong.
pub fn op_on_many() -> impl Strategy<Value = Op> {
    let all = Range { days: (None, None), notes: None, media: false, programs: Vec::new(), language: false };
    let dry = prop_oneof![4 => Just(false), 1 => Just(true)];
    let publish = (dry, any::<bool>()).prop_map(move |(dry, split)| {
        let limit = if split { 260 } else { 0 };
        let how = How { stale_only: false, keep: true, dry, draft: false, split, limit, priority: 1, request: None };
        Op::Publish(What::Range(all.clone()), how)
    });
    let again = select(vec![Verb::Revert, Verb::Apply, Verb::Retry { no_topics: false }]);
    prop_oneof![
        2 => publish,
        1 => (pick(), again).prop_map(|(job, verb)| Op::Again(job, verb, false, false)),
        2 => (pick(), 20u8..120, fates()).prop_map(|(job, n, fates)| Op::Drain(job, n, fates)),
        1 => Just(Op::Prune(0, 4)),
        8 => queue_op(90),
    ]
}
