use super::*;

fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

fn read(value: &Value) -> Result<Catalogue, Vec<Fault>> {
    parse(value.to_string().as_bytes(), has_words)
}

fn example() -> Value {
    json!({"topics": [{"id": "refund", "name": "Refund request", "programs": ["billing", "sales"],
            "participants": "customer", "match": "words", "strictness": 80,
            "phrases": ["money back", {"text": "refund", "strictness": 90}, "refund"]},
            {"id": "plain", "phrases": [{"text": "plain", "strictness": null}]}],
        "programs": [{"id": "billing", "name": "Billing"}]})
}

fn faults(value: &Value) -> Vec<String> {
    read(value).unwrap_err().iter().map(Fault::to_string).collect()
}

#[test]
fn reads_what_is_given_and_what_is_left_out() {
    let catalogue = read(&example()).unwrap();
    let [refund, plain] = &catalogue.topics[..] else { panic!() };
    assert_eq!((refund.participants, refund.matching, refund.strictness), (Participants::Customer, Match::Words, 80));
    assert_eq!(refund.phrases[1], Phrase { text: "refund".into(), strictness: Some(90) });
    assert_eq!((plain.name.as_str(), &plain.programs[..]), ("plain", &["default".to_owned()][..]));
    assert_eq!((plain.participants, plain.matching, plain.strictness), (Participants::All, Match::Stems, 72));
    assert_eq!(plain.phrases, [Phrase { text: "plain".into(), strictness: None }]);
    let programs: Vec<_> = catalogue.programs.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
    assert_eq!(programs, [("billing", "Billing"), ("sales", "sales"), ("default", "default")]);
    assert_eq!(parse(b"\xef\xbb\xbf{\"topics\":[]}", has_words), Ok(Catalogue::default()));
}

#[test]
fn what_it_shows_is_read_back_as_equal() {
    let catalogue = read(&example()).unwrap();
    assert_eq!(read(&to_json(&catalogue)), Ok(catalogue));
    assert_eq!(read(&to_json(&Catalogue::default())), Ok(Catalogue::default()));
}

#[test]
fn everything_wrong_is_listed_with_its_place() {
    let long = "x".repeat(513);
    let bad = json!({"extra": 1, "topics": [
        {"id": "a", "nmae": "A", "programs": ["p", "", "p", 3], "participants": "client", "match": 1, "strictness": 0,
            "phrases": ["...", {"text": "x", "strictness": 101}, {"strictness": 1.5, "weight": 2}, 7, "y".repeat(4097)]},
        {"id": "a", "name": "", "phrases": []},
        {"name": "tab\there"},
        {"id": long, "programs": "p", "phrases": "x"},
        "topic"],
        "programs": [{"id": "p"}, {"id": "p", "name": 5}, {"id": ""}]});
    let listed = faults(&bad);
    let expected = [
        "extra: unknown field; known are topics, programs",
        "topics[0].nmae: unknown field; known are id, name, programs, participants, match, strictness, phrases",
        "topics[0].programs[1]: empty",
        "topics[0].programs[2]: named before",
        "topics[0].programs[3]: must be a string, not a number",
        "topics[0].participants: must be one of all, customer, agent",
        "topics[0].match: must be one of stems, words",
        "topics[0].strictness: must be a whole number from 1 to 100",
        "topics[0].phrases[0]: holds no word: a word needs a letter or a digit",
        "topics[0].phrases[1].strictness: must be a whole number from 1 to 100",
        "topics[0].phrases[2].weight: unknown field; known are text, strictness",
        "topics[0].phrases[2].strictness: must be a whole number from 1 to 100",
        "topics[0].phrases[2].text: missing",
        "topics[0].phrases[3]: must be a string or an object, not a number",
        "topics[0].phrases[4]: longer than 4096 bytes",
        "topics[1].name: empty",
        "topics[1].phrases: empty: a topic needs a phrase",
        "topics[2].id: missing",
        "topics[2].name: holds a control character",
        "topics[2].phrases: missing",
        "topics[3].id: longer than 512 bytes",
        "topics[3].programs: must be an array, not a string",
        "topics[3].phrases: must be an array, not a string",
        "topics[4]: must be an object, not a string",
        "programs[1].name: must be a string, not a number",
        "programs[2].id: empty",
        "topics[1].id: the same as topics[0].id",
        "programs[1].id: the same as programs[0].id",
    ];
    assert_eq!(listed, expected);
}

#[test]
fn what_is_no_catalogue_is_refused() {
    let fault = |json: &[u8]| parse(json, has_words).unwrap_err()[0].to_string();
    assert_eq!(fault(b"{\"topics\":\n[}"), "line 2, column 2: not JSON: expected value");
    assert_eq!(fault(b""), "line 1, column 0: not JSON: EOF while parsing a value");
    assert!(fault(b"{\"topics\":\"\xff\"}").contains("not JSON"));
    assert_eq!(fault(b"[]"), "catalogue: must be an object, not an array");
    assert_eq!(fault(b"{}"), "topics: missing");
    assert_eq!(fault(b"{\"topics\":{}}"), "topics: must be an array, not an object");
    assert_eq!(fault(b"{\"topics\":[],\"\\n\":1}"), "\\n: unknown field; known are topics, programs");
}

#[test]
fn absurd_input_is_bounded() {
    let many = faults(&json!({"topics": vec![0; 20_000]}));
    assert_eq!((many.len(), many[10_000].as_str()), (10_001, "catalogue: 10000 more faults are not listed"));
    assert_eq!(faults(&json!({"topics": vec![0; 100_001]})), ["topics: 100001 entries; at most 100000"]);
}

#[test]
fn a_difference_names_topics() {
    let old = read(&example()).unwrap();
    assert_eq!(difference(&old, &old), Difference::default());
    let mut value = example();
    value["topics"][0]["phrases"][0] = json!("cash back");
    value["topics"][1]["id"] = json!("fresh");
    let found = difference(&old, &read(&value).unwrap());
    let expected =
        Difference { added: vec!["fresh".into()], removed: vec!["plain".into()], changed: vec!["refund".into()] };
    assert_eq!(found, expected);
}
