//! Reasons to contact bookings.

use super::{Scene, agent, at_times, customer};

pub const CHANGE: Scene = Scene {
    program: Some("bookings"),
    turns: &[
        customer(&[
            "I need to change my booking[ to {day}| for {city}|].",
            "[Can|Could] I move my [reservation|trip to {city}] from {day} to the week after?",
            "We booked for {n} but we are [more|fewer] now. Can you change the reservation?",
            "[Hi, |]I'd like to reschedule, booking {order}.",
            "wrong date!! pls change my booking to {day}",
        ]),
        agent(&[
            "Let me [look|see] what is free. Booking {order}, right?",
            "[Which|What] time would suit you?",
            "For {city} on {day} I have [one room|two seats|a table] left.",
        ]),
        customer(&[
            "[Anything|Any time] after {time}.",
            "[Early|Late] is better, we have kids.",
            "The one by the window please.",
            "is there a fee for changing it?",
        ]),
        agent(&[
            "I've moved it to {day}, {time}. The change is free.",
            "There's a fee of {amount} for this fare, I'm afraid.",
            "[All set|Done]. The new [ticket|confirmation] is in your mail.",
        ]),
        at_times(
            40,
            customer(&["[Great|Lovely]!", "Then leave it as it was.", "Can I pay the fee [there|on the spot]?"]),
        ),
    ],
    notes: &[
        "Change of booking {order}, was {day}, no fee. {n} persons, {city}.",
        "Cust. wants to change the reservation, fare does not allow it. Fee {amount} waived once.",
    ],
};

pub const BOOKING_CANCELLED: Scene = Scene {
    program: Some("bookings"),
    turns: &[
        customer(&[
            "I have to cancel my booking for {day}, [my son is ill|we can't travel].",
            "Please cancel the reservation {order}.",
            "Can I still cancel the [room|trip] in {city} for free?",
        ]),
        agent(&[
            "Free of charge until {day}, so you're in time.",
            "I'm sorry to hear it. All {n} persons?",
            "This fare gives back half of it.",
        ]),
        customer(&["all of us, yes", "Only half?", "[ok|fine], do it", "And what about the insurance?"]),
        agent(&[
            "It's cancelled. The reference is {code}.",
            "I've asked the hotel to be kind about it, they'll answer by {day}.",
        ]),
    ],
    notes: &[
        "Cust. cancels booking, illness. Half of {amount} returned.",
        "Cust. cancels reservation {order} in {city}, free of charge.",
    ],
};

pub const LOST: Scene = Scene {
    program: Some("bookings"),
    turns: &[
        customer(&[
            "I think I left my [umbrella|jacket|laptop|glasses] [on the train|in the room|at your desk] on {day}.",
            "Do you have a lost and found? I lost my [keys|wallet|scarf] in {city}.",
            "Has anyone [handed in|found] a [grey|red|green] [backpack|suitcase]?",
            "my kid's [bear|toy] is still in [room {n}0{n}|seat {n}{n}] 😢",
        ]),
        agent(&[
            "What does it look like?",
            "Where [exactly |]did you [have|see] it last?",
            "[One moment|Let me see], I'll ask the team in {city}.",
        ]),
        customer(&[
            "[dark |]blue with a white [stripe|star]",
            "Under the seat, row {n}{n}.",
            "Probably next to the bed.",
            "it has a tag that says {customer}",
        ]),
        agent(&[
            "We have something like that in the lost property office.",
            "Nothing yet. I've opened a search, number {code}.",
            "Found! We can send it to you for {amount}.",
        ]),
        at_times(
            50,
            customer(&["You've saved my week!", "[ok|alright], I'll come by on {day}", "please keep looking"]),
        ),
    ],
    notes: &[
        "Lost property: grey backpack, left on the train to {city} on {day}. Search {code}.",
        "Wallet came to lost and found, cust. collects on {day}.",
    ],
};

pub const ROOM_PRICE: Scene = Scene {
    program: Some("bookings"),
    turns: &[
        customer(&[
            "How much is a [double room|table for {n}|boat tour] in {city} on {day}?",
            "what would {n} nights in {city} cost?",
            "Are [children|dogs] free of charge[ with you|]?",
        ]),
        agent(&[
            "That would be {amount}[ a night|, breakfast included].",
            "Under six they are free, then it's half.",
            "On {day} it's {amount}, a day later it's cheaper.",
        ]),
        customer(&[
            "ok let me ask my [wife|husband|sister]",
            "Could you hold it for {n} hours?",
            "is there a group discount?",
        ]),
        agent(&["I'll hold it until {time}.", "From ten persons on, yes."]),
    ],
    notes: &["Asked for a quote, {n} nights in {city}. On hold until {time}."],
};
