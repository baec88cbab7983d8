//! All that people say in the samples, as tables. Every sentence was written for this project; none is from a data set,
//! and nobody in them exists.
//!
//! In a wording `[a|b]` stands for one of its alternatives and `{slot}` for a fact of the conversation; see
//! [`super::facts`].

mod english;
mod french;
mod german;
mod money;
mod parcels;
mod people;
mod plans;
mod quiet;
mod spanish;
mod tech;
mod travel;

/// The tongues, English first.
pub const TONGUES: &[&Tongue] = &[&english::ENGLISH, &german::GERMAN, &spanish::SPANISH, &french::FRENCH];

/// A program of the sample catalogue that has no topics.
pub const SURVEYS: &str = "surveys";

/// The programs of the sample catalogue that have topics.
pub const PROGRAMS: &[&str] = &["billing", "delivery", "subscriptions", "tech-support", "bookings"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Customer,
    Agent,
    System,
}

impl Speaker {
    pub fn as_str(self) -> &'static str {
        match self {
            Speaker::Customer => "customer",
            Speaker::Agent => "agent",
            Speaker::System => "system",
        }
    }
}

/// One thing that somebody says, if they say it, in one of several wordings.
#[derive(Clone, Copy)]
pub struct Turn {
    pub by: Speaker,
    /// Percent.
    pub chance: u64,
    pub wordings: &'static [&'static str],
}

/// One reason for contact, from its statement to its end.
#[derive(Clone, Copy)]
pub struct Scene {
    /// The program whose business it is; `None` when it may come up in any.
    pub program: Option<&'static str>,
    pub turns: &'static [Turn],
    /// What agents write down about it afterwards, each a paragraph.
    pub notes: &'static [&'static str],
}

/// A few turns that belong together and to no reason for contact.
pub type Exchange = &'static [Turn];

/// A language with all that is said in it.
pub struct Tongue {
    /// What the transcript may give as its language.
    pub tags: &'static [&'static str],
    /// Reasons for contact of one program each.
    pub scenes: &'static [Scene],
    /// What comes up besides: moods, mostly. Their program is `None`.
    pub side_scenes: &'static [Scene],
    /// Reasons for contact that no topic of the sample catalogue is about.
    pub quiet_scenes: &'static [Scene],
    /// Interviews of [`SURVEYS`]; may be empty.
    pub survey: &'static [Scene],
    /// Small talk.
    pub chatter: &'static [Exchange],
    /// Looking things up and trying things out: what long conversations are long with.
    pub legwork: &'static [Exchange],
    pub agent_hello: &'static [&'static str],
    pub customer_hello: &'static [&'static str],
    /// Said by the customer near the end.
    pub thanks: &'static [&'static str],
    /// Said by the agent last.
    pub goodbye: &'static [&'static str],
    pub holds: &'static [&'static str],
    pub single_words: &'static [&'static str],
    pub system_lines: &'static [&'static str],
    pub fillers: &'static [&'static str],
    pub note_openings: &'static [&'static str],
    pub note_endings: &'static [&'static str],
    pub products: &'static [&'static str],
    pub plans: &'static [&'static str],
    pub days: &'static [&'static str],
    pub cities: &'static [&'static str],
    pub first_names: &'static [&'static str],
    /// An amount of money, with `{units}` and `{cents}`.
    pub amount: &'static str,
}

const fn customer(wordings: &'static [&'static str]) -> Turn {
    Turn { by: Speaker::Customer, chance: 100, wordings }
}

const fn agent(wordings: &'static [&'static str]) -> Turn {
    Turn { by: Speaker::Agent, chance: 100, wordings }
}

/// A turn that only `chance` percent of the conversations have.
const fn at_times(chance: u64, turn: Turn) -> Turn {
    Turn { by: turn.by, chance, wordings: turn.wordings }
}
