//! Sample conversations and notes for `relabeld demo`: seeded, so that a demo can be told to somebody else, and lively,
//! so that it shows what real ones bring along: several languages, typing errors, empty blocks, two transcripts, hours
//! of talk, and items about nothing that the catalogue knows.

mod dice;
mod facts;
mod garble;
mod media;
mod phrasebook;
mod script;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Value, json};

use dice::Dice;
use facts::Facts;
use media::Medium;
use phrasebook::{PROGRAMS, SURVEYS, Scene, TONGUES, Tongue};
use script::Script;

/// A catalogue that fits the samples.
pub const CATALOGUE: &str = include_str!("catalogue.json");

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const WINDOW: u64 = 45 * 24 * HOUR;

/// NDJSON lines in relabeld's import format: `conversations` conversations and `notes` notes, spread over the 45 days
/// before `now` (milliseconds since 1970), the same for the same seed.
pub fn lines(seed: u64, conversations: usize, notes: usize, now: i64) -> impl Iterator<Item = String> {
    let conversations = (0..conversations as u64).map(move |n| conversation(seed, n, now).to_string());
    let notes = (0..notes as u64).map(move |n| note(seed, n, now).to_string());
    conversations.chain(notes)
}

/// What is unusual about a conversation, if anything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Usual,
    /// Ends before a reason for contact was named.
    Abandoned,
    /// About something that no topic covers.
    Quiet,
    /// Of the program that has no topics.
    Survey,
    /// Several hundred blocks.
    Endless,
    /// Goes on in another program, as a second transcript.
    Transferred,
    /// Written down twice, by a person and by a machine.
    HeardTwice,
}

impl Shape {
    fn draw(dice: &mut Dice) -> Self {
        match dice.below(1_000) {
            0..25 => Shape::Abandoned,
            25..60 => Shape::Quiet,
            60..90 => Shape::Survey,
            90..97 => Shape::Endless,
            97..125 => Shape::Transferred,
            125..155 => Shape::HeardTwice,
            _ => Shape::Usual,
        }
    }
}

fn conversation(seed: u64, number: u64, now: i64) -> Value {
    let dice = &mut Dice::new(seed, number << 1);
    let shape = Shape::draw(dice);
    let tongue = if shape == Shape::Survey { TONGUES[0] } else { draw_tongue(dice) };
    let facts = &Facts::draw(tongue, dice);
    let medium = match shape {
        Shape::HeardTwice => Medium::Voice,
        // Nobody writes several hundred mails about a kettle.
        Shape::Endless if dice.percent(60) => Medium::Voice,
        Shape::Endless => Medium::Chat,
        _ => Medium::draw(dice),
    };
    let reason = match shape {
        Shape::Quiet => dice.pick(tongue.quiet_scenes),
        Shape::Survey => dice.pick(tongue.survey),
        _ => dice.pick(tongue.scenes),
    };
    let program = reason.program.unwrap_or_else(|| dice.pick(PROGRAMS));
    let mut scenes = vec![reason];
    if !matches!(shape, Shape::Quiet | Shape::Survey) && dice.percent(20) {
        // People who want a person, or have a complaint, say so first as often as last.
        scenes.insert(dice.index(2), dice.pick(tongue.side_scenes));
    }
    let script = match shape {
        Shape::Abandoned => Script::new(tongue, facts, dice).abandoned(),
        Shape::Endless => {
            scenes.push(dice.pick(tongue.scenes));
            Script::new(tongue, facts, dice).endless(&scenes)
        }
        _ => Script::new(tongue, facts, dice).usual(&scenes),
    };

    let language = draw_language(tongue, dice);
    let transcripts = match shape {
        Shape::Transferred => {
            let next = dice.pick(tongue.scenes);
            let continued = Script::new(tongue, facts, dice).usual(&[next]);
            let blocks = medium.blocks(&script, tongue, dice);
            let more = medium.blocks(&continued, tongue, dice);
            vec![transcript("t1", Some(program), language, blocks), transcript("t2", next.program, language, more)]
        }
        Shape::HeardTwice => vec![
            transcript("human", None, language, media::by_hand(&script, dice)),
            transcript("machine", None, language, media::by_machine(&script, tongue, dice)),
        ],
        _ => {
            let named = dice.percent(10).then_some(program);
            vec![transcript("t1", named, language, medium.blocks(&script, tongue, dice))]
        }
    };
    let mut item = json!({
        "kind": "conversation",
        "id": draw_id("fs", seed, number),
        "media": medium.as_str(),
        "started_at": draw_time(now, dice),
        "transcripts": transcripts,
    });
    add_programs(&mut item, program, dice);
    item
}

fn note(seed: u64, number: u64, now: i64) -> Value {
    let dice = &mut Dice::new(seed, number << 1 | 1);
    let tongue = draw_tongue(dice);
    let facts = &Facts::draw(tongue, dice);
    let reason = match dice.below(100) {
        0..5 => dice.pick(tongue.quiet_scenes),
        5..8 => dice.pick(TONGUES[0].survey),
        _ => dice.pick(tongue.scenes),
    };
    let program = reason.program.unwrap_or_else(|| dice.pick(PROGRAMS));
    let mut item = json!({
        "kind": "note",
        "id": draw_id("note", seed, number),
        "version": if dice.percent(70) { 1 } else { dice.between(2, 6) },
        "created_at": draw_time(now, dice),
        "text": note_text(reason, tongue, facts, dice),
    });
    add_programs(&mut item, program, dice);
    item
}

fn note_text(reason: Scene, tongue: &Tongue, facts: &Facts, dice: &mut Dice) -> String {
    if dice.percent(1) {
        return facts.say(dice.pick(tongue.single_words), dice);
    }
    let mut wordings: Vec<&str> = Vec::new();
    if dice.percent(55) {
        wordings.push(dice.pick(tongue.note_openings));
    }
    wordings.push(dice.pick(reason.notes));
    if dice.percent(20) {
        let mood = dice.pick(tongue.side_scenes);
        wordings.push(dice.pick(mood.notes));
    }
    for _ in 0..dice.below(3) {
        let ending = dice.pick(tongue.note_endings);
        if !wordings.contains(&ending) {
            wordings.push(ending);
        }
    }
    let error_rate = dice.pick(&[0, 0, 0, 4]);
    let paragraphs: Vec<String> =
        wordings.iter().map(|wording| garble::typing_errors(&facts.say(wording, dice), error_rate, dice)).collect();
    // Some systems write Windows line ends.
    paragraphs.join(if dice.percent(5) { "\r\n\r\n" } else { "\n\n" })
}

fn transcript(id: &str, program: Option<&str>, language: Option<&str>, blocks: Vec<Value>) -> Value {
    // The import format wants at least one block, and mails drop what the system says.
    let blocks = if blocks.is_empty() { vec![json!({"speaker": "system", "text": ""})] } else { blocks };
    let mut transcript = json!({"id": id, "blocks": blocks});
    if let Some(program) = program {
        transcript["program"] = json!(program);
    }
    if let Some(language) = language {
        transcript["language"] = json!(language);
    }
    transcript
}

/// Mostly the program whose business it is. Some items belong to two, a few are filed wrongly, and some belong to none,
/// which the format says by an absent or an empty list.
fn add_programs(item: &mut Value, program: &str, dice: &mut Dice) {
    let other = dice.pick(PROGRAMS);
    let wrong = program != SURVEYS && dice.percent(2);
    item["programs"] = match dice.below(100) {
        0..2 => return,
        2..4 => json!([]),
        4..12 if other != program => json!([program, other]),
        _ if wrong => json!([other]),
        _ => json!([program]),
    };
}

fn draw_tongue(dice: &mut Dice) -> &'static Tongue {
    match dice.below(100) {
        0..85 => TONGUES[0],
        _ => dice.pick(&TONGUES[1..]),
    }
}

/// English is what relabeld assumes, so many systems leave it out. Few forget to name another language.
fn draw_language(tongue: &Tongue, dice: &mut Dice) -> Option<&'static str> {
    let english = tongue.tags == TONGUES[0].tags;
    let named = dice.percent(if english { 55 } else { 96 });
    named.then(|| dice.pick(tongue.tags))
}

/// Looks thrown, but is a one-to-one map of the numbers below 2^32 (multiplied by an odd one), so ids are unique.
fn draw_id(prefix: &str, seed: u64, number: u64) -> String {
    let scrambled = (number as u32 ^ seed as u32).wrapping_mul(0x9E37_79B1);
    format!("{prefix}-{scrambled:08x}")
}

/// A time in the window, mostly by day, and long enough ago that the conversation is over.
fn draw_time(now: i64, dice: &mut Dice) -> String {
    let mut at = now;
    for _ in 0..4 {
        at = now.saturating_sub_unsigned(dice.between(2 * HOUR, WINDOW - SECOND));
        let hour = at.div_euclid(HOUR.cast_signed()).rem_euclid(24);
        if (7..20).contains(&hour) {
            break;
        }
    }
    // A clock beyond the year 9999 is no reason for a demo to fail.
    Timestamp::from_millisecond(at).unwrap_or_default().to_string()
}
