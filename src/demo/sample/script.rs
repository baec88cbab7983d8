//! Who says what in a conversation, before its medium spoils it.

use super::dice::Dice;
use super::facts::Facts;
use super::phrasebook::{Exchange, Scene, Speaker, Tongue, Turn};

pub struct Line {
    pub by: Speaker,
    pub text: String,
}

/// A conversation that is being written.
pub struct Script<'a> {
    tongue: &'static Tongue,
    facts: &'a Facts,
    dice: &'a mut Dice,
    lines: Vec<Line>,
}

impl<'a> Script<'a> {
    pub fn new(tongue: &'static Tongue, facts: &'a Facts, dice: &'a mut Dice) -> Self {
        Script { tongue, facts, dice, lines: Vec::new() }
    }

    /// Hung up or left before anything was said that matters.
    pub fn abandoned(mut self) -> Vec<Line> {
        for _ in 0..self.dice.between(1, 3) {
            let hello = self.dice.percent(40);
            let table = if hello { self.tongue.customer_hello } else { self.tongue.single_words };
            self.say(Speaker::Customer, table);
        }
        self.lines
    }

    /// Greetings, the scenes one after another, and an end.
    pub fn usual(mut self, scenes: &[Scene]) -> Vec<Line> {
        self.open();
        for &scene in scenes {
            self.play(scene);
        }
        self.close();
        self.lines
    }

    /// Several hundred blocks, with the scenes scattered among them.
    pub fn endless(mut self, scenes: &[Scene]) -> Vec<Line> {
        let length = self.dice.between(260, 620) as usize;
        let stretch = length / (scenes.len() + 1);
        self.open();
        for (nth, &scene) in scenes.iter().enumerate() {
            self.drag_on(stretch * nth);
            self.play(scene);
        }
        self.drag_on(length);
        self.close();
        self.lines
    }

    fn open(&mut self) {
        if self.dice.percent(10) {
            self.say(Speaker::System, self.tongue.system_lines);
        }
        if self.dice.percent(75) {
            self.say(Speaker::Agent, self.tongue.agent_hello);
        }
        if self.dice.percent(55) {
            self.say(Speaker::Customer, self.tongue.customer_hello);
        }
    }

    fn close(&mut self) {
        if self.dice.percent(65) {
            self.say(Speaker::Customer, self.tongue.thanks);
        }
        if self.dice.percent(70) {
            self.say(Speaker::Agent, self.tongue.goodbye);
        }
    }

    fn play(&mut self, scene: Scene) {
        for &turn in scene.turns {
            self.take(turn);
            match self.dice.below(100) {
                0..8 => self.exchange(self.tongue.chatter),
                8..14 => self.exchange(self.tongue.legwork),
                14..19 => self.say(Speaker::Agent, self.tongue.holds),
                19..25 => self.say(Speaker::Customer, self.tongue.single_words),
                25..27 => self.say(Speaker::System, self.tongue.system_lines),
                _ => {}
            }
        }
    }

    /// Fills up with legwork until the conversation has `length` lines.
    fn drag_on(&mut self, length: usize) {
        while self.lines.len() < length {
            match self.dice.below(100) {
                0..70 => self.exchange(self.tongue.legwork),
                70..85 => self.exchange(self.tongue.chatter),
                85..92 => self.say(Speaker::Agent, self.tongue.holds),
                _ => self.say(Speaker::Customer, self.tongue.single_words),
            }
        }
    }

    fn exchange(&mut self, exchanges: &'static [Exchange]) {
        for &turn in self.dice.pick(exchanges) {
            self.take(turn);
        }
    }

    fn take(&mut self, turn: Turn) {
        if self.dice.percent(turn.chance) {
            self.say(turn.by, turn.wordings);
        }
    }

    fn say(&mut self, by: Speaker, wordings: &[&str]) {
        let wording = self.dice.pick(wordings);
        // An empty alternative at the end of a wording leaves its space behind.
        let text = self.facts.say(wording, self.dice).trim().to_owned();
        self.lines.push(Line { by, text });
    }
}
