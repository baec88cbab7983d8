//! Reasons to contact billing.

use super::{Scene, agent, at_times, customer};

pub const REFUND: Scene = Scene {
    program: Some("billing"),
    turns: &[
        customer(&[
            "I sent the {product} back [two weeks|ten days|a while] ago and I still don't have my money back.",
            "[Hi, |]I'd like a refund for order {order}[, the {product}| please].",
            "You [confirmed|promised] a refund of {amount} on {day} and nothing has arrived [so far|on my account].",
            "The {product} isn't what I [expected|needed]. Can I [get|have] my money back?",
            "When [are|will] you [going to |]refund the {amount} for {order}?",
        ]),
        agent(&[
            "[Let me see|I'll look] what happened to that. Is the order number {order}?",
            "[Sure|Of course]. Which card did you [pay with|use for it]?",
            "I can see {order} here. It came back to our warehouse on {day}.",
        ]),
        customer(&[
            "[Yes|Right], that's the one.",
            "it was [a debit card|the blue card|a gift card], ends in 0{n}{n}0",
            "[Correct|Exactly]. How much longer will this take?",
            "As far as I know, yes. I only want what I paid[, nothing more|].",
        ]),
        agent(&[
            "I have [started|released] it, {amount} will reach you in {n} working days.",
            "The [return was never booked|clerk forgot a step], so I did it by hand just now.",
            "[Our policy allows|We allow] that for thirty days, and you are well inside. It's on its way.",
        ]),
        at_times(
            40,
            agent(&[
                "To make up for the wait I'd like to offer you a [voucher|credit] of {n} dollars.",
                "I can [add|give you] a goodwill credit for the trouble.",
            ]),
        ),
        at_times(
            50,
            customer(&[
                "And will I get [a confirmation|something in writing]?",
                "So the refund goes to the same card?",
                "[Fine|OK]. I'll [check|have a look] on {day}.",
            ]),
        ),
    ],
    notes: &[
        "Cust. wants refund for {order} ({product}), parcel was [received|booked in] on {day}. Refund of {amount} released[ by hand|].",
        "Customer asks for [her|his] money back, {amount}, paid by card. Told it takes {n} working days.",
        "Refund request, {product}. Outside the thirty days but [manager|team lead] approved it. Goodwill credit added.",
    ],
};

pub const DOUBLE_CHARGE: Scene = Scene {
    program: Some("billing"),
    turns: &[
        customer(&[
            "I've been charged twice for the [same thing|{product}|same order].",
            "There are two payments of {amount} on my statement and I [only |]ordered once.",
            "Why was I charged [double|twice]? {amount} on {day} and again [the day after|an hour later].",
            "[Looks like|It seems] you took {amount} twice for order {order}.",
            "My bank shows a duplicate charge from you, {amount} each.",
        ]),
        agent(&[
            "[That's odd|Hm], let me open your invoices. [One moment.|]",
            "Could you [read|tell] me the dates of both bookings?",
            "I see [one|a] payment on {day} and another that is still [pending|reserved].",
        ]),
        customer(&[
            "first one {day} {time}, second one at {time}",
            "Both [say|show] {order}. [I can send you a screenshot.|]",
            "The page [froze|hung] after I pressed pay, so maybe I [pressed|clicked] again?",
        ]),
        agent(&[
            "The second one is only a reservation, it [drops off|disappears] by itself within {n} days.",
            "You're right, that is a duplicate charge. I'm reversing [it|the second payment] now.",
            "I've [flagged|passed] it to the payments team, they'll correct it until {day}.",
        ]),
        at_times(
            35,
            customer(&[
                "Because of that my rent [bounced|could not be paid], you know.",
                "So I don't have to [call|ask] my bank?",
            ]),
        ),
    ],
    notes: &[
        "Charged twice for {order}. Second booking of {amount} reversed, cust. informed.",
        "Customer reports a duplicate charge on {day}. It's a reservation only; explained, should drop off after {n} days.",
        "Two payments of {amount} for one order, page [froze|hung] at checkout. Sent to payments team, ref {code}.",
    ],
};

pub const PRICE: Scene = Scene {
    program: Some("billing"),
    turns: &[
        customer(&[
            "How much [is|would] the {product}[ be|] [with|including] shipping to {city}?",
            "[Hello, |]what does the {product} cost [these days|at the moment]?",
            "Is there a [student|family] discount on the {product}?",
            "I saw the {product} for {amount} [yesterday|on {day}] and now the price went up. Why?",
            "Do you [do|have] a price match? [Another shop|The store in {city}] has it for {amount}.",
        ]),
        agent(&[
            "It's {amount} at the moment, [tax|shipping] included.",
            "The [offer|promotion] ended on {day}, that's why you see another number now.",
            "[Let me check|I'm checking] our list. For {city} it comes to {amount}.",
        ]),
        customer(&[
            "[Hm, |]that's more than I thought.",
            "And if I take {n} of them?",
            "Is that the final price or [does something come on top|are there fees]?",
        ]),
        at_times(
            70,
            agent(&[
                "From {n} pieces on I can give you ten percent off.",
                "That's the final price. [Shall I put one aside for you?|]",
                "I could send you a quote [in writing|by mail] if that helps.",
            ]),
        ),
    ],
    notes: &[
        "Asked about the price of {product} for {city}. Quote sent, valid until {day}.",
        "Wants price match for {product}, competitor at {amount}. Ten percent off offered from {n} pieces.",
    ],
};

pub const PAYMENT_FAILED: Scene = Scene {
    program: Some("billing"),
    turns: &[
        customer(&[
            "My card [keeps being|gets|was] declined when I try to pay[ for the {product}|].",
            "The payment failed [three|two] times now, [but|and] there's enough money on it.",
            "I can't pay. It [says|tells me] payment failed, try again later.",
            "Your checkout won't accept my [new |]card.",
        ]),
        agent(&[
            "Which [kind of card|bank] is it, if I may ask?",
            "Do you get a message from your bank to confirm it on your phone?",
            "Let me see the log... it says the [billing address|expiry date] doesn't fit.",
        ]),
        customer(&[
            "no message at all",
            "Oh, I moved to {city} [recently|in spring]. Would that matter?",
            "The expiry date changed [last month|on {day}], could it be that?",
        ]),
        agent(&[
            "That would explain it. Please [enter|type] it anew under your profile and try once more.",
            "I can send you a payment link [over {amount}|for {order}] instead.",
            "Then the bank blocks it. They can lift that in a minute if you ask them.",
        ]),
        at_times(50, customer(&["It worked[ now|]!", "still declined :(", "The link did it."])),
    ],
    notes: &[
        "Card declined at checkout, {order}. Billing address was the old one, cust. will update it.",
        "Payment failed {n} times. Sent a payment link over {amount}.",
    ],
};
