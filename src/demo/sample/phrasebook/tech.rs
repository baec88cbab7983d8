//! Reasons to contact tech-support.

use super::{Scene, agent, at_times, customer};

pub const PASSWORD: Scene = Scene {
    program: Some("tech-support"),
    turns: &[
        customer(&[
            "I forgot my password and the reset [mail|link] never [comes|arrives].",
            "I'm locked out of my account[ since {day}|].",
            "[How|Where] can I reset my password?",
            "It says wrong password, but I'm sure it's right.",
            "can't log in anymore, [got a new phone|changed my phone]",
        ]),
        agent(&[
            "Did you [look|check] in your spam folder[ as well|]?",
            "[Which|What] address did you sign up with? Something at example.com?",
            "I'll send you a code of six digits. [Please read it to me.|]",
        ]),
        customer(&[
            "the code is {code}",
            "{code}",
            "{customer}@example.com [I think|]",
            "Nothing in the spam [folder|either].",
        ]),
        agent(&[
            "Thank you. I've sent a new reset link, it's good for {minutes} minutes.",
            "You were locked after {n} attempts, I have unlocked it.",
            "Please choose a new [one|password], at least twelve signs.",
        ]),
        at_times(
            70,
            customer(&[
                "I'm in[, finally|]!",
                "it says the link has expired??",
                "Works [now|again].",
                "hmm still locked out",
            ]),
        ),
    ],
    notes: &[
        "Locked out after {n} wrong attempts. Identity checked by code, password reset done.",
        "Reset link never arrives, mail server of cust. rejects us. New link sent to other address.",
    ],
};

pub const CRASH: Scene = Scene {
    program: Some("tech-support"),
    turns: &[
        customer(&[
            "The app [crashes|keeps crashing] [every time|whenever] I open [the calendar|my photos|settings].",
            "Since the [last |]update the app [freezes|closes by itself] after a [few|couple of] seconds.",
            "Your app just crashed and all I [wrote|typed] is gone.",
            "app wont open, just a [white|black] screen",
        ]),
        agent(&[
            "Which version [do you have|is installed]? It's under settings, about.",
            "What [phone|device] is it on?",
            "Does it happen with [wifi|mobile data] too?",
        ]),
        customer(&[
            "version {n}.{n}.{n}",
            "a tablet, {n} years old",
            "[Same|Exactly the same] without wifi.",
            "It shows error E42 for a second.",
        ]),
        agent(&[
            "Please [remove|uninstall] the app and install it [again|anew]. Your data is safe [with us|in the cloud].",
            "We know about E42, it's fixed in version {n}.{n}, out on {day}.",
            "Could you clear the cache and start the phone anew?",
        ]),
        customer(&[
            "done, [one sec|wait]",
            "It opens[ now|]. Let's see how long.",
            "crashed again",
            "Reinstalled it, same thing.",
        ]),
        at_times(
            40,
            agent(&[
                "I'm sorry about that. I'm sending the crash report to the developers.",
                "Then it's one for our [engineers|specialists], ticket {code}.",
            ]),
        ),
    ],
    notes: &[
        "App crashes on start since update, version {n}.{n}. Reinstalled, works.",
        "App keeps crashing in the calendar, shows E42. Known, fix due {day}. Ticket {code}.",
    ],
};

pub const OUTAGE: Scene = Scene {
    program: Some("tech-support"),
    turns: &[
        customer(&[
            "Is there an outage in {city}? [Nothing works|I have no internet] since {time}.",
            "My internet is down[ again|], the [red|orange] light is blinking.",
            "[The|Your] service is down, isn't it? [My neighbours have it too.|]",
            "no connection since this morning",
            "The connection drops [again and again|every {minutes} minutes].",
        ]),
        agent(&[
            "[Yes|Right], we have a disturbance in {city}. Engineers are [on it|out there].",
            "I see no outage for your street. Could you [restart|unplug] the router[ for a minute|]?",
            "Which lights [are on|do you see] on the box?",
        ]),
        customer(&[
            "power green, internet red",
            "I restarted it {n} times [already|today].",
            "How long will it [take|last]? I work from home.",
            "it says error 503 everywhere",
        ]),
        agent(&[
            "It should be back by {time}.",
            "I'm sending a technician on {day} between {time} and {time}.",
            "I reset the line from here, please wait {minutes} minutes.",
        ]),
        at_times(
            40,
            customer(&[
                "[ok|fine], [the light is green now|it's back]",
                "And who pays me for the lost day?",
                "This is the third time this month.",
            ]),
        ),
        at_times(30, agent(&["We apologise for the interruption.", "I'm sorry about that, I know it's a nuisance."])),
    ],
    notes: &[
        "Outage {city} from {time}, cust. works from home. Told it's back by {time}.",
        "Connection drops every {minutes} min. Line reset, technician on {day}.",
        "No internet, router restarted {n} times. No disturbance known in the area.",
    ],
};

pub const ERROR_CODE: Scene = Scene {
    program: Some("tech-support"),
    turns: &[
        customer(&[
            "I get [error 503|ERR_TIMEOUT|error E42] when I [save|upload a file|sign in].",
            "What does [E42|ERR_TIMEOUT|error 503] mean?",
            "the screen says ERR_TIMEOUT and then nothing",
        ]),
        agent(&[
            "[When|How often] does it [show up|come]?",
            "That means our server [took too long|was busy].",
            "It's a wrong clock most of the time. Is the date right on your computer?",
        ]),
        customer(&[
            "[every|each] time",
            "since {day}",
            "oh, the date is [off|wrong] by {n} days",
            "Only in the evening[, around {time}|].",
        ]),
        agent(&[
            "Please set it right and try again.",
            "We're moving to bigger machines on {day}.",
            "I've noted it under {code}, you'll hear from us.",
        ]),
    ],
    notes: &[
        "Reports error 503 on upload, evenings only. Ticket {code}.",
        "ERR_TIMEOUT at sign in: clock was {n} days off. Solved.",
    ],
};
