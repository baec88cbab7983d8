//! German.

use super::{Scene, Tongue, agent, at_times, customer};

pub const GERMAN: Tongue = Tongue {
    tags: &["de-DE", "de", "de-AT"],
    scenes: &[
        Scene {
            program: Some("billing"),
            turns: &[
                customer(&[
                    "Ich habe [den|die] {product} zurückgeschickt und möchte mein Geld zurück.",
                    "Wann kommt [endlich |]die Rückerstattung für {order}?",
                    "Mir wurden {amount} doppelt abgebucht[, am {day}|].",
                ]),
                agent(&["[Einen Moment|Augenblick], ich schaue nach.", "Ist das die Bestellung {order}?"]),
                customer(&["ja genau", "[Richtig|Stimmt], vom {day}.", "die Nummer ist {order}"]),
                agent(&[
                    "Der Betrag ist in {n} Tagen auf Ihrem Konto.",
                    "Das tut mir leid, ich habe es eben [angewiesen|freigegeben].",
                ]),
            ],
            notes: &[
                "Kd. will Rückerstattung zu {order}, {amount} angewiesen.",
                "Doppelt abgebucht am {day}, an die Buchhaltung gegeben.",
            ],
        },
        Scene {
            program: Some("delivery"),
            turns: &[
                customer(&[
                    "Wo bleibt mein Paket? Es [sollte|müsste] am {day} da sein.",
                    "Meine Bestellung {order} ist [immer |]noch nicht angekommen.",
                    "[Die|Der] {product} ist kaputt angekommen[, der Karton war nass|].",
                ]),
                agent(&["Das tut mir leid. Wie lautet die Sendungsnummer?", "Können Sie uns ein Foto schicken?"]),
                customer(&["{order}", "steht nicht drauf 😕", "Ja, schicke ich [gleich|heute Abend]."]),
                agent(&[
                    "Es liegt in {city} im Lager und kommt am {day}.",
                    "Wir schicken Ihnen Ersatz[, kostenlos natürlich|].",
                ]),
            ],
            notes: &[
                "Paket {order} seit {day} nicht angekommen, Nachforschung läuft.",
                "Ware kaputt angekommen, Ersatz verschickt.",
            ],
        },
        Scene {
            program: Some("subscriptions"),
            turns: &[
                customer(&[
                    "Ich möchte [mein Abo|meinen Vertrag] kündigen.",
                    "[Hallo, |]wie kann ich mein Abo kündigen?",
                    "Ich habe am {day} gekündigt und [trotzdem|wieder] eine Rechnung bekommen.",
                ]),
                agent(&["Schade! Darf ich fragen, warum?", "Gern, zum Monatsende wäre das möglich."]),
                customer(&["Zu teuer.", "wir ziehen nach {city}", "Ich nutze es [kaum|nicht mehr]."]),
                agent(&["Ihre Kündigung ist eingetragen.", "Soll ich es lieber {n} Monate ruhen lassen?"]),
            ],
            notes: &["Kündigung Abo {plan} zum {day}, Grund: zu teuer."],
        },
        Scene {
            program: Some("tech-support"),
            turns: &[
                customer(&[
                    "Ich habe mein Passwort vergessen.",
                    "Die App stürzt [dauernd|ständig|bei jedem Start] ab.",
                    "Gibt es eine Störung in {city}? [Das Internet geht nicht.|]",
                ]),
                agent(&[
                    "Welche Version haben Sie?",
                    "Ich schicke Ihnen einen Code.",
                    "Ja, dort ist eine Störung bekannt[, bis etwa {time} Uhr|].",
                ]),
                customer(&["{code}", "Version {n}.{n}", "[na toll|schon wieder]"]),
                at_times(70, agent(&["Jetzt [sollte|müsste] es gehen.", "Bitte einmal neu starten."])),
            ],
            notes: &["Passwort vergessen, Code {code} geschickt.", "App stürzt ab seit Update, Ticket {code}."],
        },
        Scene {
            program: Some("bookings"),
            turns: &[
                customer(&[
                    "Ich muss meine Buchung für {city} ändern.",
                    "[Kann|Könnte] ich die Buchung auf {day} verschieben?",
                    "Ich habe meine Jacke im Zug liegen lassen.",
                ]),
                agent(&["Wie viele Personen sind Sie?", "Für {day} ist noch etwas frei."]),
                customer(&["zu {n}.", "[super|prima], danke", "Dann lieber am Abend."]),
                agent(&["Ist umgebucht.", "Ich frage im Fundbüro nach."]),
            ],
            notes: &["Buchung {order} auf {day} verschoben."],
        },
    ],
    side_scenes: &[Scene {
        program: None,
        turns: &[
            customer(&[
                "Ihr Kollege war am Telefon sehr unhöflich.",
                "Ich möchte mich beschweren!",
                "Vielen Dank, Sie haben mir sehr geholfen.",
            ]),
            agent(&["Ich gebe das weiter.", "Danke, dass Sie es sagen."]),
        ],
        notes: &["Beschwerde über Kollegen, Teamleitung ruft zurück."],
    }],
    quiet_scenes: &[Scene {
        program: None,
        turns: &[
            customer(&[
                "Wie lange haben Sie am {day} offen?",
                "Bin ich da richtig beim Zahnarzt?",
                "Gibt es bei Ihnen Parkplätze?",
            ]),
            agent(&["Bis {time} Uhr.", "Nein, da haben Sie sich verwählt.", "Gleich gegenüber."]),
        ],
        notes: &["Frage nach Öffnungszeiten {city}."],
    }],
    survey: &[],
    chatter: &[
        &[agent(&["Wie ist das Wetter in {city}?"]), customer(&["[Grau|Sonnig], danke.", "frag nicht"])],
        &[customer(&["Moment, es klingelt."]), agent(&["Kein Problem."])],
    ],
    legwork: &[
        &[
            agent(&["Was sehen Sie [jetzt|auf dem Schirm]?"]),
            customer(&["Immer noch dasselbe.", "eine Liste mit {n} Zeilen"]),
        ],
        &[agent(&["Bitte [lang|{n} Sekunden] drücken."]), customer(&["Es piept.", "gedrückt"])],
    ],
    agent_hello: &[
        "[Guten Tag|Hallo], hier ist {agent}, was kann ich für Sie tun?",
        "Willkommen, mein Name ist {agent}.",
    ],
    customer_hello: &["[Hallo|Guten Tag|Grüß Gott|Moin]", "Hallo, {customer} hier."],
    thanks: &["[Danke|Vielen Dank]!", "ok danke"],
    goodbye: &["Schönen {day} noch!", "Auf Wiederhören.", "Gern geschehen, tschüss!"],
    holds: &["Bleiben Sie bitte dran.", "Sind Sie noch da? Der Rechner ist langsam."],
    single_words: &["ja", "nein", "ok", "genau", "Hallo?", "hm"],
    system_lines: &["{agent} ist dem Gespräch beigetreten.", "Kunde hat IMG_{code}.jpg hochgeladen"],
    fillers: &["äh", "also", "ähm", "naja"],
    note_openings: &["Anruf von {customer} am {day}.", "Chat, {minutes} Min."],
    note_endings: &["Wiedervorlage {day}.", "Erledigt.", "Ticket {code} /{agent}"],
    products: &["Wasserkocher", "Lampe", "Regenjacke", "Kaffeemühle", "Bohrer", "Rucksack", "Bürostuhl"],
    plans: &["Plus", "Familie", "Basis"],
    days: &["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"],
    cities: &["Graz", "Kassel", "Bremen", "Ulm", "Jena"],
    first_names: &["Jonas", "Greta", "Lukas", "Meike", "Emre"],
    amount: "{units},{cents} €",
};
