//! Answers that the gate gives by itself, in the daemon's problem format (RFC 9457).

/// Why a request does not get past the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The head breaks HTTP's rules, as told.
    Malformed(&'static str),
    TooSlow,
    BodyTooSlow,
    HeadTooLarge,
    TooMany,
    /// tiny_http hung up without a word.
    Unanswered,
    /// tiny_http does not listen.
    Closed,
}

impl Refusal {
    fn parts(self) -> (u16, &'static str, &'static str, &'static str) {
        match self {
            Refusal::Malformed(why) => (400, "Bad Request", "bad_request", why),
            Refusal::TooSlow => (408, "Request Timeout", "bad_request", "the request head took too long"),
            Refusal::BodyTooSlow => (
                408,
                "Request Timeout",
                "bad_request",
                "the request body came too slowly: it has 20 seconds, and one more for each 1,024 bytes",
            ),
            Refusal::TooMany => (429, "Too Many Requests", "too_many_requests", "too many requests at a time"),
            Refusal::HeadTooLarge => {
                (431, "Request Header Fields Too Large", "bad_request", "the request head is too large")
            }
            Refusal::Unanswered => (500, "Internal Server Error", "internal", "the request got no answer"),
            Refusal::Closed => (503, "Service Unavailable", "shutting_down", "the daemon does not take requests now"),
        }
    }

    pub fn status(self) -> u16 {
        self.parts().0
    }

    /// The whole answer. Its texts are constants without a character that JSON would escape.
    pub fn answer(self) -> Vec<u8> {
        let (status, reason, code, detail) = self.parts();
        let body = format!(
            r#"{{"type":"about:blank","title":"{reason}","status":{status},"code":"{code}","detail":"{detail}"}}"#
        );
        let retry = match self {
            Refusal::TooMany | Refusal::Closed => "Retry-After: 1\r\n",
            _ => "",
        };
        format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: application/problem+json\r\n\
             Content-Length: {}\r\nCache-Control: no-store\r\n{retry}Connection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Refusal;

    #[test]
    fn a_refusal_is_a_problem_as_the_daemon_words_it() {
        for (refusal, status, code) in [
            (Refusal::Malformed("the method is malformed"), 400, "bad_request"),
            (Refusal::TooSlow, 408, "bad_request"),
            (Refusal::BodyTooSlow, 408, "bad_request"),
            (Refusal::TooMany, 429, "too_many_requests"),
            (Refusal::HeadTooLarge, 431, "bad_request"),
            (Refusal::Unanswered, 500, "internal"),
            (Refusal::Closed, 503, "shutting_down"),
        ] {
            let answer = String::from_utf8(refusal.answer()).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let problem: Value = serde_json::from_str(body).unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert_eq!([&problem["status"], &problem["code"]], [&json!(status), &json!(code)]);
            assert_eq!(head.contains("\r\nRetry-After: 1\r\n"), [429, 503].contains(&status), "{head}");
        }
    }
}
