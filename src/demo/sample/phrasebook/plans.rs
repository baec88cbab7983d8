//! Reasons to contact subscriptions.

use super::{Scene, agent, at_times, customer};

pub const CANCEL: Scene = Scene {
    program: Some("subscriptions"),
    turns: &[
        customer(&[
            "I want to cancel my [subscription|{plan} plan|membership].",
            "[How|Where] do I cancel my subscription? [I can't find the button.|]",
            "Please cancel my {plan} plan [at the end of the month|from {day} on|right away].",
            "I don't use it any more, so please end my membership.",
            "[Can|Could] you stop the renewal? It's [due|coming up] on {day}.",
        ]),
        agent(&[
            "[Sad to hear that|A pity]! May I ask [why|what the reason is]?",
            "I can do that. Do you know you'd lose [your archive|the saved playlists]?",
            "Sure. The current period runs until {day}, you keep access till then.",
        ]),
        customer(&[
            "It's [simply |]too expensive for what I use.",
            "[I'm moving|We move] to {city} and [won't have time|there's no need for it].",
            "no reason, just cancel it",
            "I have two of them by mistake.",
        ]),
        at_times(
            60,
            agent(&[
                "What if we gave you [two|three] months at half price?",
                "I could pause it for {n} months instead, [free of charge|at no cost].",
                "As a thank you for staying I can offer a discount of {n} dollars a month.",
            ]),
        ),
        customer(&[
            "No, [thanks|really], cancel it.",
            "Hm, [alright|okay], a pause would be good.",
            "is that in writing?",
            "I've made up my mind.",
        ]),
        agent(&[
            "Done, your subscription [ends|is cancelled] on {day}. [You get a mail.|]",
            "It is paused until further notice.",
            "The cancellation is in. The reference is {code}.",
        ]),
    ],
    notes: &[
        "Cancellation of {plan} plan per {day}, reason: too expensive. Offered half price, declined.",
        "Cust. wanted to cancel subscription, agreed on a pause of {n} months.",
        "End of membership confirmed in writing, ref {code}.",
    ],
};

pub const UPGRADE: Scene = Scene {
    program: Some("subscriptions"),
    turns: &[
        customer(&[
            "[Hey, |]I'd like to upgrade to the {plan} plan.",
            "What's the difference between my plan and [the {plan} one|{plan}]?",
            "[Can|May] I switch to the {plan} plan in the middle of the month?",
            "We are {n} people now, is there a bigger plan?",
            "thinking about an upgrade, what do i get with {plan}",
        ]),
        agent(&[
            "{plan} gives you [more storage|{n} more seats|offline mode] and [faster support|no ads].",
            "You can upgrade any time, [we only charge the difference|the rest is credited].",
            "How many people will use it?",
        ]),
        customer(&[
            "[About|Around] {n}, [maybe more|for now].",
            "And how much is it a month?",
            "[Sounds good|Nice], let's do it.",
            "does my data stay where it is?",
        ]),
        agent(&[
            "It is {amount} a month, the first one is free.",
            "Everything stays as it is, only the limits [grow|go up].",
            "I've switched you over[, please log out and in again|].",
        ]),
        at_times(40, customer(&["[Perfect|Great], I can see it.", "And can I go back down later?", "ok then do it"])),
    ],
    notes: &[
        "Upgrade to {plan} from {day}, difference of {amount} charged.",
        "Asks about an upgrade to {plan}, {n} people. Will talk to [his|her] boss, call back {day}.",
    ],
};

pub const RENEWAL: Scene = Scene {
    program: Some("subscriptions"),
    turns: &[
        customer(&[
            "My [subscription|{plan} plan] renewed [on {day}|by itself] although I never agreed.",
            "Why did the automatic renewal [take|cost] {amount}? Last year it was less.",
            "The renewal failed because of my old card. [Am I cut off now?|]",
        ]),
        agent(&[
            "We sent a reminder on {day}, maybe it went to your spam folder.",
            "The introductory price [ended|is over], that's the normal one.",
            "No worries, you have {n} days to put a new card in.",
        ]),
        customer(&[
            "I [never saw|didn't see] any reminder.",
            "Then [please |]turn the automatic renewal off.",
            "ok thats fair",
            "How much is it going to be next year?",
        ]),
        agent(&[
            "Automatic renewal is off.",
            "I'll note that you'd like a letter next time.",
            "It'll be {amount}, unless prices change.",
        ]),
    ],
    notes: &[
        "Complains about automatic renewal of {plan}, says no reminder came. Renewal switched off.",
        "Renewal failed, card expired. {n} days' grace given.",
    ],
};
