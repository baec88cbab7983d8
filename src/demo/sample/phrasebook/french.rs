//! French.

use super::{Scene, Tongue, agent, at_times, customer};

pub const FRENCH: Tongue = Tongue {
    tags: &["fr-FR", "fr", "fr-CA"],
    scenes: &[
        Scene {
            program: Some("billing"),
            turns: &[
                customer(&[
                    "Je voudrais un remboursement pour la commande {order}.",
                    "J'ai renvoyé l'article et je n'ai [toujours |]pas été remboursé.",
                    "J'ai été débité deux fois de {amount}[ {day}|].",
                ]),
                agent(&["Je regarde[ tout de suite|], un instant.", "C'est bien la commande {order} ?"]),
                customer(&["oui c'est ça", "[Exactement|Tout à fait].", "payé par carte"]),
                agent(&["Vous le verrez sur votre compte sous {n} jours.", "Je suis désolé, c'est corrigé."]),
            ],
            notes: &[
                "Client demande le remboursement de {amount} ({order}). Fait.",
                "Débité deux fois, transmis aux paiements.",
            ],
        },
        Scene {
            program: Some("delivery"),
            turns: &[
                customer(&[
                    "Mon colis [n'est pas arrivé|n'est toujours pas arrivé].",
                    "Où est mon colis ? Je l'attendais {day}.",
                    "[Le|La] {product} est arrivé cassé[, le carton était mouillé|].",
                ]),
                agent(&["Je suis désolé. Quel est le numéro ?", "Pouvez-vous nous envoyer une photo ?"]),
                customer(&["{order}", "oui, dans la soirée", "je ne le trouve pas"]),
                agent(&["Il est au dépôt de {city}, il part {day}.", "On vous en renvoie un autre, sans frais."]),
            ],
            notes: &["Colis {order} pas arrivé, enquête ouverte.", "Article arrivé cassé, nouvel envoi {day}."],
        },
        Scene {
            program: Some("subscriptions"),
            turns: &[
                customer(&[
                    "Je veux résilier mon abonnement[ {plan}|].",
                    "Comment [puis-je|je peux] résilier ?",
                    "je voudrais passer à la formule {plan}",
                ]),
                agent(&["Puis-je savoir pourquoi ?", "Bien sûr, à partir de {day}."]),
                customer(&["c'est trop cher", "Je ne m'en sers plus.", "on déménage à {city}"]),
                agent(&["C'est fait, vous aurez un courriel.", "Et une pause de {n} mois ?"]),
            ],
            notes: &["Résiliation formule {plan}, motif : trop cher."],
        },
        Scene {
            program: Some("tech-support"),
            turns: &[
                customer(&[
                    "J'ai oublié mon mot de passe.",
                    "L'application plante [sans arrêt|à chaque démarrage].",
                    "Il y a une panne à {city} ? [Plus d'internet depuis {time}.|]",
                ]),
                agent(&[
                    "Je vous envoie un code.",
                    "Quelle version avez-vous ?",
                    "Oui, une panne, nos équipes y sont.",
                ]),
                customer(&["{code}", "la {n}.{n}", "[encore|bon]..."]),
                at_times(70, agent(&["Réessayez, s'il vous plaît.", "Ça devrait marcher maintenant."])),
            ],
            notes: &["Mot de passe oublié, code {code}.", "L'application plante depuis la mise à jour."],
        },
        Scene {
            program: Some("bookings"),
            turns: &[
                customer(&[
                    "Je dois modifier ma réservation pour {day}.",
                    "Combien coûte une chambre à {city} ?",
                    "Aux objets trouvés, avez-vous ma veste ? Je l'ai oubliée dans le train {day}.",
                ]),
                agent(&["Pour combien de personnes ?", "Cela fait {amount}."]),
                customer(&["on est {n}", "parfait", "J'en parle à ma sœur."]),
                agent(&["C'est modifié.", "Je demande aux objets trouvés."]),
            ],
            notes: &["Réservation {order} modifiée, {day}."],
        },
    ],
    side_scenes: &[Scene {
        program: None,
        turns: &[
            customer(&[
                "Je souhaite faire une réclamation, votre collègue a été impoli.",
                "Merci beaucoup, excellent service.",
                "Je veux parler à un conseiller.",
            ]),
            agent(&["Je transmets à ma responsable.", "Merci de me le dire."]),
        ],
        notes: &["Fait une réclamation, rappel {day}."],
    }],
    quiet_scenes: &[Scene {
        program: None,
        turns: &[
            customer(&[
                "Vous êtes ouverts jusqu'à quelle heure {day} ?",
                "C'est bien le garage ?",
                "Vous avez un magasin à {city} ?",
            ]),
            agent(&["Jusqu'à {time}.", "Non, vous vous trompez de numéro.", "Oui, rue du marché."]),
        ],
        notes: &["Demande les horaires de {city}."],
    }],
    survey: &[],
    chatter: &[
        &[agent(&["Quel temps fait-il à {city} ?"]), customer(&["[Il pleut|Grand soleil].", "ne m'en parlez pas"])],
        &[customer(&["attendez, on sonne"]), agent(&["Je vous en prie."])],
    ],
    legwork: &[
        &[agent(&["Que voyez-vous [maintenant|à l'écran] ?"]), customer(&["Toujours pareil.", "une liste de {n}"])],
        &[agent(&["Appuyez {n} secondes."]), customer(&["voilà", "Rien."])],
    ],
    agent_hello: &["Bonjour, {agent} à votre écoute.", "Bienvenue, je suis {agent}, que puis-je pour vous ?"],
    customer_hello: &["[Bonjour|Bonsoir|Allô]", "Bonjour, c'est {customer}."],
    thanks: &["[Merci|Merci bien] !", "ok merci"],
    goodbye: &["Bonne fin de journée !", "Au revoir {customer}.", "Je vous en prie. À bientôt."],
    holds: &["Ne quittez pas.", "Vous êtes toujours là ? C'est un peu lent."],
    single_words: &["oui", "non", "ok", "allô ?", "d'accord"],
    system_lines: &["{agent} a rejoint la conversation."],
    fillers: &["euh", "ben", "alors", "enfin"],
    note_openings: &["Appel de {customer}, {minutes} min.", "Message de {customer} {day}."],
    note_endings: &["À revoir {day}.", "Clos.", "Réf. {code} /{agent}"],
    products: &["lampe", "bouilloire", "sac à dos", "chaise", "veste", "mixeur"],
    plans: &["Plus", "Famille", "Base"],
    days: &["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi"],
    cities: &["Nantes", "Liège", "Lille", "Québec", "Pau"],
    first_names: &["Chloé", "Hugo", "Amina", "Luc", "Élise"],
    amount: "{units},{cents} €",
};
