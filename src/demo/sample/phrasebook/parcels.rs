//! Reasons to contact delivery.

use super::{Scene, agent, at_times, customer};

pub const LATE: Scene = Scene {
    program: Some("delivery"),
    turns: &[
        customer(&[
            "Where is my [parcel|package|order]? It should have [been here|come] on {day}.",
            "My order {order} still hasn't arrived[ and the tracking says nothing new|].",
            "I'm waiting for the {product} since {day}. [The tracking has not moved.|Any news?]",
            "The {product} was due on {day} and [it hasn't arrived yet|there's no sign of it].",
            "[Can|Could] you tell me where my parcel is? The [app|tracking page] says out for delivery for {n} days.",
        ]),
        agent(&[
            "I'm sorry about the delay. [Could I have the order number?|Is it {order}?]",
            "[Let me track it|I'll trace it] for you.",
            "What does the tracking page show you at the moment?",
        ]),
        customer(&[
            "{order}",
            "It says [it left|departed from] {city} on {day} and then nothing.",
            "the number is {order}, for {customer}",
            "Out for delivery. Every [single |]day.",
        ]),
        agent(&[
            "It's [stuck|sitting] in the depot in {city}. I've asked them to send it out [tomorrow|on {day}].",
            "The driver [couldn't find the door|had a breakdown], a new attempt is planned for {day}.",
            "I'm afraid it [went missing|got lost] on the way. I'll send a [new one|replacement] at once.",
        ]),
        at_times(
            45,
            agent(&[
                "We apologise for the inconvenience[, really|].",
                "I've taken the shipping fee off as a goodwill credit.",
            ]),
        ),
        at_times(
            60,
            customer(&[
                "[But |]I need it by {day}, it's a birthday present.",
                "Can it be [left with a neighbour|put behind the bins] if I'm out?",
                "ok, hope it comes this time",
            ]),
        ),
    ],
    notes: &[
        "Parcel {order} due {day} hasn't arrived, stuck at depot {city}. Carrier asked to send it out.",
        "Cust. [called|wrote] for the {n}. time: order hasn't arrived. Apologised, replacement of {product} sent.",
        "Late delivery, tracking has not moved since {day}. Trace opened, ref {code}.",
    ],
};

pub const DAMAGED: Scene = Scene {
    program: Some("delivery"),
    turns: &[
        customer(&[
            "The {product} arrived [broken|damaged|cracked].",
            "I just opened the box and the {product} is [broken|in pieces|scratched all over].",
            "My {product} came damaged, the box [was wet|had a hole] too.",
            "There's a [big |]dent in the {product} I got on {day}.",
            "Half of the parts are missing and [one|the lid] is cracked.",
        ]),
        agent(&[
            "Oh no. [Can|Could] you send us [a photo|two pictures] of it?",
            "I'm sorry to [hear|read] that. Was the [box|packaging] damaged as well?",
            "Is it only the looks or does it not work [either|at all]?",
        ]),
        customer(&[
            "[sent|uploaded] them just now",
            "It won't even switch on.",
            "Only a corner of the box, [inside|but inside] everything was loose.",
            "Photo is on its way. You can hear the pieces rattle.",
        ]),
        agent(&[
            "Thanks, I see it. [Would you prefer|Do you want] a replacement or the money?",
            "[We'll|I'll] send a replacement today, you can throw the old one away.",
            "Please keep the box, [our driver|the carrier] collects it on {day}.",
        ]),
        customer(&[
            "A replacement [please|would be fine].",
            "[I'd rather have|Better] the money back, honestly.",
            "ok but pack it better this time",
        ]),
        at_times(
            30,
            agent(&["We apologise for the trouble with it.", "And {n} dollars of goodwill credit come on top."]),
        ),
    ],
    notes: &[
        "{product} arrived broken, photos in the file. Replacement sent under {order}.",
        "Arrived damaged: dent, box wet. Customer does not want a replacement, money back instead.",
        "Item cracked on arrival. Carrier to collect on {day} in {city}.",
    ],
};

pub const RETURN: Scene = Scene {
    program: Some("delivery"),
    turns: &[
        customer(&[
            "How do I [send back|return] the {product}? [There's no label in the box.|]",
            "I need a return label for {order}.",
            "Can I exchange the {product} for [a bigger one|another colour|the smaller size]?",
            "It doesn't fit. I'd like to return it[ please|].",
        ]),
        agent(&[
            "[No problem|Gladly]. When did you [get|receive] it?",
            "I'll mail you a return label, you can print it or show the code at the shop.",
            "Has it been [used|opened]?",
        ]),
        customer(&[
            "[on|last] {day}",
            "I [only |]tried it on once.",
            "I don't own a printer, is the code enough?",
            "opened but not used",
        ]),
        agent(&[
            "The code is {code}, any parcel shop in {city} takes it.",
            "Then it's fine. You have until {day} to bring it back.",
            "For an exchange I'd send the other one as soon as yours is scanned.",
        ]),
    ],
    notes: &[
        "Return label sent for {order}, reason: does not fit.",
        "Wants to exchange {product} for another colour. Code {code}, new one goes out when old one is scanned.",
    ],
};
