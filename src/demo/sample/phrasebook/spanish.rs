//! Spanish.

use super::{Scene, Tongue, agent, at_times, customer};

pub const SPANISH: Tongue = Tongue {
    tags: &["es-ES", "es", "es-MX"],
    scenes: &[
        Scene {
            program: Some("billing"),
            turns: &[
                customer(&[
                    "Quiero un reembolso del pedido {order}[, por favor|].",
                    "[Devolví|Mandé de vuelta] el artículo y todavía no me han devuelto el dinero.",
                    "Me han cobrado dos veces {amount}[ el {day}|].",
                ]),
                agent(&["[Un momento|Déjeme ver], lo reviso.", "¿Es el pedido {order}?"]),
                customer(&["sí, ese", "[Exacto|Así es].", "lo pagué con tarjeta"]),
                agent(&["Lo verá en su cuenta en {n} días.", "Tiene razón, lo siento mucho. Ya está corregido."]),
            ],
            notes: &[
                "Cliente pide reembolso de {amount}, pedido {order}. Hecho.",
                "Le han cobrado dos veces, pasado a pagos.",
            ],
        },
        Scene {
            program: Some("delivery"),
            turns: &[
                customer(&[
                    "Mi pedido {order} [no ha llegado|todavía no ha llegado].",
                    "¿Dónde está mi paquete? Lo esperaba el {day}.",
                    "[El|La] {product} llegó roto[ y la caja mojada|].",
                ]),
                agent(&["Lo siento mucho. ¿Me da el número?", "¿Puede mandarnos una foto?"]),
                customer(&["{order}", "sí, ahora mismo", "No tengo el número [aquí|a mano]."]),
                agent(&["Está en el almacén de {city}, sale el {day}.", "Le enviamos otro sin coste."]),
            ],
            notes: &["El paquete {order} no ha llegado, reclamado al transportista.", "Llegó roto, se envía otro."],
        },
        Scene {
            program: Some("subscriptions"),
            turns: &[
                customer(&[
                    "Quiero cancelar mi suscripción[ al plan {plan}|].",
                    "¿Cómo [puedo |]darme de baja?",
                    "quiero cambiar al plan {plan}",
                ]),
                agent(&["¿Puedo preguntar el motivo?", "Claro, sería desde el {day}."]),
                customer(&["es [muy|demasiado] caro", "Ya no lo uso.", "me mudo a {city}"]),
                agent(&["Listo, le llegará un correo.", "¿Y si lo dejamos en pausa {n} meses?"]),
            ],
            notes: &["Baja del plan {plan}, motivo: caro."],
        },
        Scene {
            program: Some("tech-support"),
            turns: &[
                customer(&[
                    "He olvidado mi contraseña.",
                    "La aplicación se cierra sola[ al abrir las fotos|].",
                    "No tengo internet desde las {time}.",
                ]),
                agent(&[
                    "Le mando un código.",
                    "¿Qué versión tiene?",
                    "Hay una avería en {city}, la están arreglando.",
                ]),
                customer(&["{code}", "la {n}.{n}", "[vaya|otra vez]..."]),
                at_times(70, agent(&["Pruebe otra vez, por favor.", "Ya debería funcionar."])),
            ],
            notes: &["Contraseña olvidada, código {code}.", "Sin internet en {city}, avería conocida."],
        },
        Scene {
            program: Some("bookings"),
            turns: &[
                customer(&[
                    "Necesito cambiar mi reserva para el {day}.",
                    "¿Cuánto cuesta una habitación en {city}?",
                    "¿Tienen objetos perdidos? Me dejé la chaqueta en el tren el {day}.",
                ]),
                agent(&["¿Para cuántas personas?", "Son {amount}."]),
                customer(&["[somos|seríamos] {n}", "perfecto", "Lo consulto con mi hermana."]),
                agent(&["Queda cambiada.", "Pregunto en objetos perdidos."]),
            ],
            notes: &["Cambio de reserva {order} al {day}."],
        },
    ],
    side_scenes: &[Scene {
        program: None,
        turns: &[
            customer(&[
                "Quiero poner una queja, su compañero fue muy grosero.",
                "Muchas gracias, un servicio excelente.",
                "Quiero hablar con una persona.",
            ]),
            agent(&["Lo paso a mi jefa.", "Gracias por decirlo."]),
        ],
        notes: &["Pone una queja por el trato del {day}."],
    }],
    quiet_scenes: &[Scene {
        program: None,
        turns: &[
            customer(&["¿Hasta qué hora abren el {day}?", "¿Es la farmacia?", "¿Tienen tienda en {city}?"]),
            agent(&["Hasta las {time}.", "No, se ha equivocado de número.", "Sí, en el centro."]),
        ],
        notes: &["Pregunta por el horario de {city}."],
    }],
    survey: &[],
    chatter: &[
        &[agent(&["¿Qué tiempo hace en {city}?"]), customer(&["[Mucho calor|Llueve].", "ni me hable"])],
        &[customer(&["espere, llaman a la puerta"]), agent(&["Tranquilo."])],
    ],
    legwork: &[
        &[agent(&["¿Qué ve [ahora|en la pantalla]?"]), customer(&["Lo mismo.", "una lista de {n}"])],
        &[agent(&["Pulse {n} segundos."]), customer(&["ya", "No pasa nada."])],
    ],
    agent_hello: &["[Buenos días|Hola], soy {agent}, ¿en qué le ayudo?", "Bienvenido, le atiende {agent}."],
    customer_hello: &["[Hola|Buenas|Buenos días]", "Hola, soy {customer}."],
    thanks: &["[Gracias|Muchas gracias].", "vale gracias"],
    goodbye: &["Que tenga un buen {day}.", "¡Hasta luego!", "A usted. Adiós."],
    holds: &["No cuelgue, por favor.", "¿Sigue ahí? Hoy va lento."],
    single_words: &["sí", "no", "vale", "ok", "¿hola?"],
    system_lines: &["{agent} se ha unido a la conversación."],
    fillers: &["eh", "pues", "bueno", "o sea"],
    note_openings: &["Llamada de {customer}, {minutes} min.", "Escribe {customer} el {day}."],
    note_endings: &["Pendiente hasta el {day}.", "Cerrado.", "Ref. {code} /{agent}"],
    products: &["lámpara", "mochila", "tetera", "silla", "chaqueta", "batidora"],
    plans: &["Plus", "Familia", "Básico"],
    days: &["lunes", "martes", "miércoles", "jueves", "viernes", "sábado"],
    cities: &["Murcia", "Lugo", "Mérida", "Oaxaca", "Cádiz"],
    first_names: &["Lucía", "Diego", "Marta", "Iker", "Rosa"],
    amount: "{units},{cents} €",
};
