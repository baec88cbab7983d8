//! Reasons for contact that no topic of the sample catalogue is about: their items end with `no_topics_detected`. And
//! the interviews of the program that has no topics at all.

use super::{SURVEYS, Scene, agent, at_times, customer};

pub const WRONG_NUMBER: Scene = Scene {
    program: None,
    turns: &[
        customer(&[
            "Is that the [dentist|pharmacy|garage] in {city}?",
            "[Hello|Hi], may I have [the kitchen|room {n}0{n}]?",
            "{customer}? Is it you? I can hardly hear you.",
        ]),
        agent(&[
            "I think you have the wrong number.",
            "[No|Not quite], this is customer care. Whom did you want to reach?",
        ]),
        customer(&["Oh! Never mind then.", "Really? It's the number on the fridge.", "ah, my mistake, sorry"]),
    ],
    notes: &["Misdialled, wanted the dentist in {city}.", "Wrong number, nothing to do."],
};

pub const HOURS: Scene = Scene {
    program: None,
    turns: &[
        customer(&[
            "Until when are you open on {day}?",
            "[Is|Are] your shop in {city} open on holidays?",
            "where can i park near the {city} shop",
            "Do you have a store in {city}?",
        ]),
        agent(&[
            "From {time} until {time}.",
            "We're closed on {day}, all other days until {time}.",
            "There's a garage right across the street.",
        ]),
        at_times(
            60,
            customer(&["Good to know.", "And do you have a lift? I come with a pram.", "see you on {day} then"]),
        ),
    ],
    notes: &["Asked for opening hours {city}.", "Wanted to know whether there's a lift and parking in {city}."],
};

pub const ADDRESS: Scene = Scene {
    program: None,
    turns: &[
        customer(&[
            "We're moving to {city}. Could you note the new address?",
            "My name is spelled wrong in your letters, it's {customer} with a y.",
            "please take me off the newsletter",
        ]),
        agent(&[
            "[Gladly|Sure]. From which day on?",
            "I've corrected that.",
            "You're off the list, it may take {n} days.",
        ]),
        at_times(70, customer(&["From {day} on.", "that was quick", "okay"])),
    ],
    notes: &[
        "New address in {city} from {day} on, noted.",
        "Name corrected: {customer}, with y.",
        "Off the newsletter.",
    ],
};

pub const SUPPLIER: Scene = Scene {
    program: None,
    turns: &[
        customer(&[
            "I [sell|represent] window cleaning for offices. Who decides that at yours?",
            "Are you hiring in {city}? I'm a [welder|baker|student].",
            "We're a school class and would like to visit you on {day}.",
        ]),
        agent(&[
            "Please write to office@example.com, they'll answer.",
            "I only do customer care, I'm afraid. It's all on the website.",
            "What a nice idea. I'll ask around.",
        ]),
        at_times(50, customer(&["Will do.", "Can I hold on for somebody?", "how many of us can come"])),
    ],
    notes: &["Sales call, sent to office@example.com.", "Asked about jobs in {city}."],
};

pub const SURVEY: Scene = Scene {
    program: Some(SURVEYS),
    turns: &[
        agent(&[
            "Would you answer {n} short questions about us?",
            "This is our quarterly interview. It takes {minutes} minutes, is that alright?",
        ]),
        customer(&["[ok|sure|go on]", "if it's quick", "[Fine|Alright], I'm on the bus anyway."]),
        agent(&[
            "From zero to ten, how likely would you recommend us?",
            "How easy was it to reach us, from one to five?",
        ]),
        customer(&["{n}", "an eight maybe", "[hm|well], say {n}"]),
        agent(&["[And why|What makes you say so]?", "What should we do better?"]),
        customer(&[
            "the music while waiting is awful",
            "shorter forms",
            "nothing comes to mind",
            "It's just a feeling.",
        ]),
        at_times(50, agent(&["Noted. And how did you first hear of us?", "Last one: how old are you, roughly?"])),
        at_times(50, customer(&["a friend in {city}", "between {n}0 and old :)", "on the radio"])),
    ],
    notes: &["Interview done, score {n} of ten. Dislikes the waiting music.", "Quarterly interview refused."],
};
