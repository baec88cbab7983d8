//! What comes up beside the reason for contact, in any program: anger, praise, the wish for a person.

use super::{Scene, agent, at_times, customer};

pub const COMPLAINT: Scene = Scene {
    program: None,
    turns: &[
        customer(&[
            "[Honestly|Also], your colleague on {day} was [really |so |]rude to me.",
            "I want to make a complaint about the [person|man|woman] I spoke to on {day}.",
            "The last agent simply hung up on me[ after {minutes} minutes|].",
            "[Who is your manager|Can I talk to your manager]? This is [unacceptable|a joke].",
            "Nobody called me back, although {agent} promised. Very poor service.",
        ]),
        agent(&[
            "I'm very sorry to hear that[, that's not how we want to be|]. Do you remember the name?",
            "I [understand|see] why you're upset. I'll pass it on to the team lead.",
            "Thank you for telling me. I'm [writing it down|filing it] under {code}.",
        ]),
        at_times(
            60,
            customer(&[
                "I think [she|he] said {agent}.",
                "I don't [know|remember], but you have recordings, right?",
                "and I want an answer",
                "I expect a call until {day}.",
            ]),
        ),
    ],
    notes: &[
        "Customer also makes a complaint about colleague (rude, {day}). Passed on to team lead.",
        "Says last agent hung up on [her|him]. Callback by manager until {day}.",
    ],
};

pub const PRAISE: Scene = Scene {
    program: None,
    turns: &[
        customer(&[
            "By the way, you've been [so|really|very] helpful. [Best support I ever had.|]",
            "I [just |]want to say your colleague {agent} did a great job[ last time|].",
            "Thank you for your patience, [that was|you are] excellent service[ ❤️|].",
            "I must say I'm really happy with [the {product}|you people].",
            "five stars from me ⭐⭐⭐⭐⭐ great service",
        ]),
        agent(&[
            "[Aw, |]that's kind of you, I'll pass it on.",
            "[Thanks|Thank you], that makes my {day}!",
            "My team will like to [hear|read] that. 😊",
        ]),
    ],
    notes: &["Cust. very happy, praised colleague {agent} for a great job.", "Left a compliment: excellent service."],
};

pub const HUMAN: Scene = Scene {
    program: None,
    turns: &[
        customer(&[
            "[agent|human|AGENT please]",
            "I want to speak to a [real person|human][, not a machine|].",
            "Can I [talk|speak] to a real person please?",
            "is this a bot??",
        ]),
        agent(&[
            "[Hello|Hi], this is {agent}, I'm a real one. How can I help?",
            "You're through to {agent}. I have [read|seen] what you wrote.",
            "No bot any more, {agent} here.",
        ]),
    ],
    notes: &["Cust. did not want to talk to the bot, asked for a real person."],
};

/// No topic of the sample catalogue is about this, so that there is one to add.
pub const LEGAL: Scene = Scene {
    program: None,
    turns: &[
        customer(&[
            "If this isn't solved by {day} you'll hear from my lawyer.",
            "I'll [take|bring] this to small claims court[ then|].",
            "My lawyer says you have to answer within {n} days.",
        ]),
        agent(&[
            "I'd rather solve it with you now.",
            "That's your right. Let me see what I can do before that.",
            "I'll hand this to our legal desk, they'll write to you.",
        ]),
    ],
    notes: &["NB: mentions lawyer. Hand over to legal desk before {day}."],
};
