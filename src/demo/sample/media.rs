//! What becomes of a script in each medium: the blocks of a transcript.

use serde_json::{Value, json};

use super::dice::Dice;
use super::garble;
use super::phrasebook::{Speaker, Tongue};
use super::script::Line;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    Voice,
    Chat,
    Email,
}

impl Medium {
    pub fn draw(dice: &mut Dice) -> Self {
        match dice.below(100) {
            0..38 => Medium::Voice,
            38..85 => Medium::Chat,
            _ => Medium::Email,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Medium::Voice => "voice",
            Medium::Chat => "chat",
            Medium::Email => "email",
        }
    }

    pub fn blocks(self, script: &[Line], tongue: &Tongue, dice: &mut Dice) -> Vec<Value> {
        match self {
            Medium::Voice if dice.percent(45) => by_machine(script, tongue, dice),
            Medium::Voice => by_hand(script, dice),
            Medium::Chat => chat(script, dice),
            Medium::Email => mails(script, dice),
        }
    }
}

/// Voice as a recogniser wrote it down.
pub fn by_machine(script: &[Line], tongue: &Tongue, dice: &mut Dice) -> Vec<Value> {
    timed(script, dice, |line, dice| {
        // Noise that it took for speech, and speech in which it found no word, become empty blocks.
        if dice.percent(1) { String::new() } else { garble::recognised(&line.text, tongue.fillers, dice) }
    })
}

/// Voice as a person wrote it down.
pub fn by_hand(script: &[Line], dice: &mut Dice) -> Vec<Value> {
    timed(script, dice, |line, dice| match dice.below(200) {
        0 => String::new(),
        1..4 => format!("{} (inaudible)", line.text),
        _ => line.text.clone(),
    })
}

fn timed(script: &[Line], dice: &mut Dice, write: impl Fn(&Line, &mut Dice) -> String) -> Vec<Value> {
    let mut at_ms = dice.between(200, 3_000);
    let blocks = script.iter().map(|line| {
        let block = json!({"speaker": line.by.as_str(), "text": write(line, dice), "at_ms": at_ms});
        // About 15 letters a second, and a breath.
        at_ms += line.text.len() as u64 * dice.between(50, 85) + dice.between(150, 2_500);
        block
    });
    blocks.collect()
}

fn chat(script: &[Line], dice: &mut Dice) -> Vec<Value> {
    let casual = dice.percent(45);
    let phone = dice.percent(30);
    let error_rate = dice.pick(&[0, 0, 2, 4, 10]);
    let with_times = dice.percent(30);
    let mut at_ms = 0;
    let mut blocks = Vec::new();
    for line in script {
        for part in messages(line, dice) {
            let mut text = part.to_owned();
            if line.by == Speaker::Customer {
                text = garble::typing_errors(&text, error_rate, dice);
                if casual {
                    text = garble::casual(&text);
                }
                if dice.percent(3) {
                    text = garble::with_emoji(&text, dice);
                }
                if dice.percent(1) {
                    // A picture or a sticker: a message without words.
                    text.clear();
                }
            } else if dice.percent(2) {
                text = garble::markup_leftovers(&text, dice);
            }
            if phone {
                text = garble::curly(&text);
            }
            let mut block = json!({"speaker": line.by.as_str(), "text": text});
            if with_times {
                block["at_ms"] = json!(at_ms);
            }
            at_ms += dice.between(2_000, 60_000);
            blocks.push(block);
        }
    }
    blocks
}

/// The messages in which a line is sent: some customers press return after each sentence.
fn messages<'a>(line: &'a Line, dice: &mut Dice) -> Vec<&'a str> {
    if line.by == Speaker::Customer && dice.percent(25) {
        line.text.split_inclusive(". ").map(str::trim_end).collect()
    } else {
        vec![&line.text]
    }
}

/// A few long mails: what each side says in a row is one.
fn mails(script: &[Line], dice: &mut Dice) -> Vec<Value> {
    let phone = dice.percent(40);
    let mut mails: Vec<(Speaker, String)> = Vec::new();
    for part in script.chunks(6) {
        for by in [Speaker::Customer, Speaker::Agent] {
            let said: Vec<&str> = part.iter().filter(|l| l.by == by).map(|l| l.text.as_str()).collect();
            if !said.is_empty() {
                mails.push((by, said.join(dice.pick(&[" ", "\n", "\n\n"]))));
            }
        }
    }
    let mut blocks = Vec::new();
    let mut answered: Option<&str> = None;
    for (by, said) in &mails {
        let mut text = said.clone();
        if dice.percent(12) {
            text = garble::markup_leftovers(&text, dice);
        }
        if phone && *by == Speaker::Customer {
            text = garble::curly(&text) + "\n\nSent from my phone";
        }
        if let Some(quoted) = answered.filter(|_| dice.percent(25)) {
            let quoted: Vec<String> = quoted.lines().map(|l| format!("> {l}")).collect();
            text = format!("{text}\n\n{}", quoted.join("\n"));
        }
        answered = Some(said);
        blocks.push(json!({"speaker": by.as_str(), "text": text}));
    }
    blocks
}
