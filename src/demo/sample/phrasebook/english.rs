//! English: what is said around the reasons for contact.

use super::{Exchange, Tongue, agent, at_times, customer};
use super::{money, parcels, people, plans, quiet, tech, travel};

pub const ENGLISH: Tongue = Tongue {
    tags: &["en-US", "en-US", "en-GB", "en"],
    scenes: &[
        money::REFUND,
        money::DOUBLE_CHARGE,
        money::PRICE,
        money::PAYMENT_FAILED,
        parcels::LATE,
        parcels::DAMAGED,
        parcels::RETURN,
        plans::CANCEL,
        plans::UPGRADE,
        plans::RENEWAL,
        tech::PASSWORD,
        tech::CRASH,
        tech::OUTAGE,
        tech::ERROR_CODE,
        travel::CHANGE,
        travel::BOOKING_CANCELLED,
        travel::LOST,
        travel::ROOM_PRICE,
    ],
    side_scenes: &[people::COMPLAINT, people::PRAISE, people::HUMAN, people::LEGAL],
    quiet_scenes: &[quiet::WRONG_NUMBER, quiet::HOURS, quiet::ADDRESS, quiet::SUPPLIER],
    survey: &[quiet::SURVEY],
    chatter: CHATTER,
    legwork: LEGWORK,
    agent_hello: &[
        "[Good morning|Hello|Hi there], {agent} speaking, [how can I help|what can I do for you]?",
        "[Welcome|Hello and welcome]! My name is {agent}.",
        "Customer care, {agent} here. [Whom am I speaking to?|]",
        "Hi {customer}, [thanks for reaching out|good to have you here].",
    ],
    customer_hello: &[
        "[Hi|Hello|Hey|Good evening][!|.|]",
        "hello [{agent}|there|]",
        "[Hi|Hello], {customer} here.",
        "anybody there?",
        "👋",
    ],
    thanks: &[
        "[Thanks|Thank you][ so much| a lot|]!",
        "[ok |]cheers",
        "[thx|ty] {agent}",
        "That's all from me[, thanks|].",
    ],
    goodbye: &[
        "[Is there anything else|Anything else I can do]? [Then h|H]ave a good {day}.",
        "Take care, [bye|bye bye]!",
        "[Thanks for your time|Thank you, {customer}]. Goodbye.",
        "Good to hear. See you!",
    ],
    holds: &[
        "[Please hold|Stay on] the line for a moment.",
        "May I put you on hold for {n} minutes?",
        "[Still there|Are you still with me]? My [computer|screen] is slow today.",
        "Thanks for waiting, [sorry it took so long|that took a while].",
    ],
    single_words: &[
        "ok", "Yes", "no", "hello?", "hm", "thx", "?", "👍", "Right.", "test", "okay", "Sure", "...", "what",
    ],
    system_lines: &[
        "{agent} has joined the conversation.",
        "The customer is typing",
        "Conversation moved to queue {n}",
        "*** call recording started ***",
        "Customer uploaded IMG_{code}.jpg",
        "No answer for {minutes} minutes, closing.",
    ],
    fillers: &["um", "uh", "you know", "well", "I mean", "like"],
    note_openings: &[
        "[Inbound|Outbound] [call|chat], {minutes} min, verified.",
        "Spoke to {customer} on {day}.",
        "{customer} wrote in[ again|].",
        "fu {day}:",
    ],
    note_endings: &[
        "Follow up on {day}.",
        "No further action.",
        "[Closed|Left open], waiting for cust.",
        "Ticket {code} updated /{agent}",
        "Pls do not call before {time}.",
    ],
    products: &[
        "kettle",
        "desk lamp",
        "rain jacket",
        "headphones",
        "coffee grinder",
        "bike light",
        "bookshelf",
        "blender",
        "camping tent",
        "running shoes",
        "keyboard",
        "hiking boots",
        "garden hose",
        "toaster",
        "baby monitor",
        "office chair",
        "yoga mat",
        "drill",
        "vacuum cleaner",
        "picture frame",
    ],
    plans: &["Plus", "Family", "Studio", "Team", "Basic", "Pro"],
    days: &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    cities: &[
        "Leeds", "Portland", "Cork", "Denver", "Bristol", "Halifax", "Austin", "Perth", "Dunedin", "Galway", "Tucson",
        "Norwich",
    ],
    first_names: &[
        "Maya", "Tom", "Priya", "Oscar", "Ines", "Ben", "Aisha", "Luke", "Hannah", "Kofi", "June", "Viktor", "Nora",
        "Sam",
    ],
    amount: "${units}.{cents}",
};

const CHATTER: &[Exchange] = &[
    &[
        agent(&["How's the weather in {city}?", "And how is your {day} so far?"]),
        customer(&["[Raining|Hot|Foggy], as always.", "Can't complain.", "long, to be honest"]),
    ],
    &[
        customer(&["Sorry, the [dog|baby|doorbell]... [one second.|]"]),
        agent(&["[No rush|Take your time].", "I have one of those too!"]),
    ],
    &[
        agent(&["Can you hear me [well|now]?", "The line is [bad|a bit noisy] today."]),
        customer(&["[Yes|Barely], go on.", "you sound like a robot", "Better now."]),
    ],
    &[customer(&["I'm on the [train|bus], I may drop out."]), at_times(70, agent(&["Then let's be quick."]))],
    &[
        customer(&["bear with me, I'm [not good with computers|typing with one hand]"]),
        agent(&["You're doing fine.", "We'll get there."]),
    ],
    &[agent(&["Did you see the match on {day}?"]), customer(&["Don't [ask|remind me].", "I only watch tennis."])],
    &[customer(&["lol", "haha", "😅"]), at_times(40, agent(&[":)", "😄"]))],
    &[agent(&["My {n} o'clock coffee is calling, but you first."]), customer(&["I'm on my third."])],
    &[
        customer(&["I've been in this queue for {minutes} minutes!"]),
        agent(&["It's a busy {day}, thanks for staying.", "I know, half of us are ill this week."]),
    ],
];

const LEGWORK: &[Exchange] = &[
    &[
        agent(&["Could you [read|spell] me the [number|letters] on the sticker?"]),
        customer(&["{code}", "[K|R|W] {n} {n}, then a dash, then {code}", "It's too small, [hang on|wait]."]),
    ],
    &[
        agent(&["What do you see [now|on the screen]?"]),
        customer(&["[a|the same] [menu|list] with {n} lines", "Still the same page.", "a grey box"]),
    ],
    &[
        agent(&["[Please|Now] press the [left|upper|round] [button|key] for {n} seconds."]),
        customer(&["[ok, |]pressed", "Nothing happens.", "It beeped {n} times."]),
    ],
    &[
        agent(&["Go to [settings|the menu], then [account|about|more]."]),
        customer(&["I don't have [that|such a thing] here.", "found it", "Account... yes."]),
    ],
    &[agent(&["I'm [looking|searching] in the [other|old] system."]), customer(&["Take your time.", "mhm"])],
    &[agent(&["That's {n} of {n}{n}, we're getting there."]), customer(&["Oh dear.", "ok", "Puh."])],
    &[
        customer(&["And [what|which] comes next?", "shall I [wait|go on]?"]),
        agent(&["[Wait|Hold on] until it says ready.", "Just [the next one|continue]."]),
    ],
    &[
        agent(&["Which [cable|plug] is in the [first|second|third] hole?"]),
        customer(&["The [yellow|grey|thick] one.", "They all look alike.", "none"]),
    ],
    &[
        agent(&["[Try|Let's try] it the other way round."]),
        customer(&["[Aha|Hm].", "That's not [better|it].", "Doing it."]),
    ],
    &[
        agent(&["I need to [fill in|tick] {n} more fields."]),
        customer(&["[Sure|No hurry].", "I'm making tea meanwhile."]),
    ],
    &[
        customer(&["It [jumped|went] back to the [start|first page]."]),
        agent(&["Then once more from the top.", "It does that. Again, please."]),
    ],
    &[
        agent(&["What [colour|shape] is the light?"]),
        customer(&["[green|white|purple]", "It's off.", "[blinking|steady], I'd say"]),
    ],
];
