//! `relabeld token rotate`: what the old token opened is shut at once.

use serde_json::json;

use crate::command::{asking, run, say};
use crate::daemon::relabeld;
use crate::labelled;

#[test]
fn a_rotated_token_ends_with_its_sessions_and_links() {
    let daemon = labelled();
    let with = |token: &str, target: &str| {
        daemon.ask_openly("GET", target).header("Authorization", &format!("Bearer {token}")).send().status
    };
    // Made with the token that is rotated: a login that was not used, a session, a signed link.
    let path_of =
        |url: &str| url.split_once("://").unwrap().1.split_once('/').map(|(_, path)| format!("/{path}")).unwrap();
    let login = || path_of(say(&daemon, "login -q").exits(0).out.trim());
    let enter = |link: &str| daemon.ask_openly("GET", link).send();
    let cookie = enter(&login()).header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let page = || daemon.ask_openly("GET", "/api/v1/status").header("Cookie", &cookie).send().status;
    let unused = login();
    let jobs = "/api/v2/speechandtextanalytics/reprocessing/jobs";
    let body = json!({"name": "n", "dateStart": "2026-01-01T00:00:00Z", "dateEnd": "2026-02-01T00:00:00Z",
        "programs": ["billing"], "mediaTypes": ["call"]});
    let job = daemon.ask("POST", jobs).json(&body).send();
    assert!(job.status < 300, "{}", job.text());
    let job = job.json()["id"].as_str().unwrap().to_owned();
    daemon.ended(&job);
    let signed = daemon.see(&format!("{jobs}/{job}/interactions"))["url"].as_str().map(path_of).unwrap();
    let link = || daemon.ask_openly("GET", &signed).send().status;
    let (old, read) = (daemon.token("token"), daemon.token("token.read"));
    assert_eq!((with(&old, "/api/v1/jobs"), page(), link()), (200, 200, 200));

    let said = say(&daemon, "token rotate token").exits(0).tells(&["token is replaced", "have ended"]);
    let fresh = daemon.token("token");
    assert!(fresh != old && !said.out.contains(&fresh), "it stands in its file alone");
    assert_eq!((with(&old, "/api/v1/jobs"), page(), link()), (401, 401, 401));
    assert_eq!(enter(&unused).status, 401, "a login that was not used");
    assert_eq!((with(&fresh, "/api/v1/jobs"), with(&read, "/api/v1/jobs")), (200, 200), "the others stay");
    // The command line reads the file anew.
    say(&daemon, "status -q").exits(0);

    let rotated = run(asking(&daemon).args(["token", "rotate", "token.read", "--json"])).exits(0);
    assert_eq!(rotated.json(), json!({"rotated": "token.read"}));
    assert_eq!(with(&read, "/api/v1/jobs"), 401);

    let three = ["[possible values: token, token.read, token.metrics]"];
    say(&daemon, "token rotate password").exits(2).without_data().warns(&three);
    say(&daemon, "token rotate").exits(2).without_data().warns(&["<NAME>"]);
    say(&daemon, "token").exits(2).without_data().warns(&["rotate"]);
    let read = daemon.dir().join("token.read");
    let refused = run(asking(&daemon).args(["token", "rotate", "token", "--token-file"]).arg(read)).exits(5);
    refused.without_data().warns(&["the file `token`"]);
    assert_eq!(daemon.token("token"), fresh);
    let nowhere = tempfile::tempdir().unwrap();
    run(relabeld().args(["token", "rotate", "token", "--data-dir"]).arg(nowhere.path())).exits(4).without_data();
}
