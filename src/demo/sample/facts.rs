//! What a conversation is about in particular, and how a wording of the phrasebook becomes a sentence about it.

use super::dice::Dice;
use super::phrasebook::Tongue;

/// Drawn once a conversation, so that the order number of the first block is still that of the last.
pub struct Facts {
    product: &'static str,
    plan: &'static str,
    day: &'static str,
    city: &'static str,
    customer: &'static str,
    agent: &'static str,
    amount: String,
    order: String,
}

impl Facts {
    pub fn draw(tongue: &Tongue, dice: &mut Dice) -> Self {
        let units = if dice.percent(80) { dice.between(4, 99) } else { dice.between(100, 1900) };
        let cents = dice.pick(&["00", "90", "50", "99", "25", "49"]);
        Facts {
            product: dice.pick(tongue.products),
            plan: dice.pick(tongue.plans),
            day: dice.pick(tongue.days),
            city: dice.pick(tongue.cities),
            customer: dice.pick(tongue.first_names),
            agent: dice.pick(tongue.first_names),
            amount: tongue.amount.replace("{units}", &units.to_string()).replace("{cents}", cents),
            order: format!("{}-{:05}", dice.pick(&["R", "KX", "W", "ORD"]), dice.below(100_000)),
        }
    }

    /// Says `wording` about these facts: `[a|b]` becomes one of its alternatives, `{slot}` the fact of that name.
    pub fn say(&self, wording: &str, dice: &mut Dice) -> String {
        let mut said = String::with_capacity(wording.len() + 16);
        let mut rest = wording;
        while let Some(at) = rest.find(['[', '{']) {
            let (plain, special) = rest.split_at(at);
            said.push_str(plain);
            let (open, close) = if special.starts_with('[') { ('[', ']') } else { ('{', '}') };
            let Some((inner, after)) = special[1..].split_once(close) else {
                // A test reads every wording, so an unclosed one never ships; saying it as it is beats a panic.
                said.push_str(special);
                return said;
            };
            if open == '[' {
                let choices = inner.split('|').count();
                let choice = inner.split('|').nth(dice.index(choices)).unwrap_or_default();
                said.push_str(&self.say(choice, dice));
            } else {
                self.fill(inner, &mut said, dice);
            }
            rest = after;
        }
        said.push_str(rest);
        said
    }

    fn fill(&self, slot: &str, said: &mut String, dice: &mut Dice) {
        match slot {
            "product" => said.push_str(self.product),
            "plan" => said.push_str(self.plan),
            "day" => said.push_str(self.day),
            "city" => said.push_str(self.city),
            "customer" => said.push_str(self.customer),
            "agent" => said.push_str(self.agent),
            "amount" => said.push_str(&self.amount),
            "order" => said.push_str(&self.order),
            "n" => said.push_str(&dice.between(2, 9).to_string()),
            "minutes" => said.push_str(&(dice.between(1, 9) * 5).to_string()),
            "time" => {
                said.push_str(&dice.between(8, 20).to_string());
                said.push_str(dice.pick(&[":00", ":15", ":30", ":45"]));
            }
            "code" => said.push_str(&dice.between(100_000, 999_999).to_string()),
            unknown => {
                said.push('{');
                said.push_str(unknown);
                said.push('}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::phrasebook::{Scene, TONGUES, Turn};
    use super::*;

    fn wordings(tongue: &'static Tongue) -> Vec<&'static str> {
        let scenes = [tongue.scenes, tongue.side_scenes, tongue.quiet_scenes, tongue.survey];
        let scenes: Vec<&Scene> = scenes.into_iter().flatten().collect();
        let exchanges = tongue.chatter.iter().chain(tongue.legwork).copied().flatten();
        let turns = scenes.iter().flat_map(|s| s.turns).chain(exchanges);
        let mut all: Vec<&str> = turns.flat_map(|t: &Turn| t.wordings).copied().collect();
        all.extend(scenes.iter().flat_map(|s| s.notes));
        let tables = [
            tongue.agent_hello,
            tongue.customer_hello,
            tongue.thanks,
            tongue.goodbye,
            tongue.holds,
            tongue.single_words,
            tongue.system_lines,
            tongue.note_openings,
            tongue.note_endings,
        ];
        for table in tables {
            assert!(!table.is_empty());
            all.extend(table);
        }
        all
    }

    #[test]
    fn every_wording_is_filled_completely() {
        for tongue in TONGUES {
            let mut dice = Dice::new(1, 1);
            let facts = Facts::draw(tongue, &mut dice);
            for wording in wordings(tongue) {
                assert!(!wording.trim().is_empty());
                for _ in 0..12 {
                    let said = facts.say(wording, &mut dice);
                    assert!(!said.contains(['{', '}', '[', ']', '|']), "{wording} gave {said}");
                }
            }
        }
    }

    #[test]
    fn facts_stay_within_a_conversation_and_unclosed_wordings_are_said_as_they_are() {
        let mut dice = Dice::new(3, 1);
        let facts = Facts::draw(TONGUES[0], &mut dice);
        assert_eq!(facts.say("{order}", &mut dice), facts.say("{order}", &mut dice));
        assert_eq!(facts.say("a {b", &mut dice), "a {b");
        assert_eq!(facts.say("a {b}", &mut dice), "a {b}");
    }
}
