//! The example of nginx with TLS before the daemon, run by Debian's nginx.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::daemon::{Daemon, await_some, relabeld};

const EXAMPLE: &str = include_str!("../../packaging/nginx/relabeld.conf");
const NAME: &str = "relabeld.example";

/// nginx as the example has it, but for its ports and its certificate, and the daemon behind it.
struct Front {
    nginx: Child,
    daemon: Daemon,
    port: u16,
    scratch: tempfile::TempDir,
}

/// The example, changed only in what belongs to a machine.
fn replaced(text: &str, pairs: &[(&str, String)]) -> String {
    pairs.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the example has no {from} any more");
        text.replace(from, to)
    })
}

impl Front {
    fn start() -> Front {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name).display().to_string();
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        openssl.args(["-subj", "/CN=relabeld.example", "-addext", "subjectAltName=DNS:relabeld.example"]);
        let made = openssl.args(["-keyout", &at("key"), "-out", &at("certificate")]).output().expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let daemon = Daemon::with(&["--public-url", &format!("https://{NAME}:{port}")]);
        let server = replaced(
            EXAMPLE,
            &[
                ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl sndbuf=32k")),
                ("listen [::]:443 ssl;", String::new()),
                ("/etc/ssl/certs/relabeld.example.pem", at("certificate")),
                ("/etc/ssl/private/relabeld.example.key", at("key")),
                ("127.0.0.1:8707", daemon.address.to_string()),
            ],
        );
        let spools: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};\n", at(&format!("spool.{kind}"))))
            .concat();
        let whole = format!(
            "daemon off; master_process off; pid {}; error_log {} warn; events {{}}\nhttp {{ access_log off; {spools}{server} }}",
            at("pid"),
            at("errors")
        );
        fs::write(scratch.path().join("nginx.conf"), whole).unwrap();
        let mut nginx = Command::new("nginx");
        // Debian has it where not every user looks.
        let path = std::env::var("PATH").unwrap_or_default();
        nginx.env("PATH", format!("{path}:/usr/sbin")).args(["-e", &at("errors"), "-c", &at("nginx.conf")]);
        let mut nginx = nginx.stdin(Stdio::null()).spawn().expect("nginx");
        await_some("nginx", || {
            assert!(nginx.try_wait().unwrap().is_none(), "{}", fs::read_to_string(at("errors")).unwrap());
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Front { nginx, daemon, port, scratch }
    }

    fn origin(&self) -> String {
        format!("https://{NAME}:{}", self.port)
    }

    fn curl(&self, path: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--cacert"]).arg(self.scratch.path().join("certificate"));
        curl.args(["--resolve", &format!("{NAME}:{}:127.0.0.1", self.port)]).stdin(Stdio::null());
        curl.arg(if path.starts_with('/') { self.origin() + path } else { path.to_owned() });
        curl
    }

    fn with_token(&self, path: &str) -> Command {
        let mut curl = self.curl(path);
        curl.args(["--header", &format!("Authorization: Bearer {}", self.daemon.token("token"))]);
        curl
    }

    /// Files that nginx has open to spool what it should let through; it removes their names at once.
    fn spooled(&self) -> Vec<PathBuf> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.nginx.id())).unwrap();
        let files = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        files
            .filter(|file| file.starts_with(self.scratch.path()) && file.to_string_lossy().contains("spool."))
            .collect()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }
}

/// Head and body of an answer that curl printed with `--include`.
fn answer(mut curl: Command) -> (u16, String, String) {
    let output = curl.arg("--include").output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{output:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

#[test]
fn a_browser_signs_in_through_it_and_foreign_pages_change_nothing() {
    let front = Front::start();
    let login = relabeld().args(["login", "--data-dir"]).arg(front.daemon.dir()).output().unwrap();
    let link = String::from_utf8(login.stdout).unwrap();
    let link = link.split_whitespace().find(|word| word.starts_with("https://")).unwrap_or_else(|| panic!("{link}"));
    assert!(link.starts_with(&format!("{}/login/", front.origin())), "{link}");

    let (status, head, _) = answer(front.curl(link));
    assert_eq!(status, 303, "{head}");
    let cookie = head.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).unwrap();
    let (value, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict; Max-Age=604800; Secure");
    assert!(value.starts_with(&format!("relabeld_{}=", front.daemon.address.port())), "{value}");

    let ask = |path: &str, more: &[&str]| {
        let mut curl = front.curl(path);
        curl.args(["--header", &format!("Cookie: {value}")]).args(more);
        answer(curl)
    };
    assert!(ask("/", &[]).2.contains("<title>"));
    let change = |origin: &str| {
        let body = r#"{"from":"2026-11-01","until":"2026-11-02"}"#;
        let mut more = vec!["--data", body];
        let header = format!("Origin: {origin}");
        if !origin.is_empty() {
            more.extend(["--header", &header]);
        }
        ask("/api/v1/jobs", &more).0
    };
    assert_eq!(change(&front.origin()), 201);
    for foreign in ["https://evil.example", "null", "", "http://relabeld.example", "https://relabeld.example"] {
        assert_eq!(change(foreign), 403, "{foreign:?}");
    }
}

/// Each about 2 KB.
fn write_items(to: &mut impl Write, numbers: std::ops::Range<u32>) {
    let words = "spoken and written down ".repeat(80);
    for n in numbers {
        let item = json!({"kind": "conversation", "id": format!("fs-{n}"), "media": "chat",
            "started_at": "2026-11-10T10:00:00Z", "marks": [{"transcript": "t", "block": 0, "topic": "refund", "mark": "is"}],
            "transcripts": [{"id": "t", "blocks": [{"speaker": "customer", "text": words}]}]});
        writeln!(to, "{item}").unwrap();
    }
}

/// Reads lines until there are none.
fn count_lines(from: ChildStdout, mut seen: usize) -> usize {
    let lines = BufReader::new(from).split(b'\n');
    seen += lines.map(|line| line.unwrap()).filter(|line| !line.is_empty()).count();
    seen
}

#[test]
fn an_import_of_100_mb_and_its_export_stream_through() {
    const ITEMS: u32 = 50_000;
    let front = Front::start();
    front.daemon.apply(&json!({"topics": [{"id": "refund", "phrases": ["refund"]}]}));

    let mut curl = front.with_token("/api/v1/items");
    curl.args(["--request", "POST", "--upload-file", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut sending = curl.spawn().unwrap();
    let mut body = sending.stdin.take().unwrap();
    write_items(&mut body, 0..ITEMS / 2);
    // The first half arrives, and is committed, while the second is not even written.
    await_some("the first items", || front.daemon.see("/api/v1/status")["items"].as_i64().filter(|&count| count > 0));
    assert_eq!(front.spooled(), [] as [PathBuf; 0]);
    write_items(&mut body, ITEMS / 2..ITEMS);
    drop(body);
    let said: Value = serde_json::from_slice(&sending.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!((&said["inserted"], &said["bad"]), (&json!(ITEMS), &json!(0)), "{said}");

    let path = "/api/v1/labels.ndjson?from=2026-11-01&until=2026-12-01";
    let mut reading = front.with_token(path).stdout(Stdio::piped()).spawn().unwrap();
    let mut rows = reading.stdout.take().unwrap();
    // Then nothing is read while nginx, one loop for all, goes round often enough to have taken all that it wants to keep.
    let mut beginning = vec![0; 1000];
    rows.read_exact(&mut beginning).unwrap();
    for _ in 0..20 {
        assert_eq!(answer(front.with_token("/api/v1/status")).0, 200);
    }
    assert_eq!(front.spooled(), [] as [PathBuf; 0]);
    let begun = beginning.iter().filter(|&&byte| byte == b'\n').count();
    // The line that was broken off there is counted with the rest.
    assert_eq!(count_lines(rows, begun), ITEMS as usize);
    assert!(reading.wait().unwrap().success());
    let errors = fs::read_to_string(front.scratch.path().join("errors")).unwrap();
    assert!(!errors.contains("buffered to a temporary file"), "{errors}");
}

#[test]
fn a_link_to_the_interactions_leads_through_it() {
    let front = Front::start();
    let mut create = front.with_token("/api/v2/speechandtextanalytics/reprocessing/jobs");
    let body = json!({"name": "mended", "dateStart": "2026-11-01T00:00:00Z", "dateEnd": "2026-11-20T00:00:00Z",
        "programs": ["default"], "mediaTypes": ["Call"]});
    create.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
    let (status, _, created) = answer(create);
    assert!((200..300).contains(&status), "{created}");
    let job: Value = serde_json::from_str(&created).unwrap();
    let id = job["id"].as_str().unwrap();
    front.daemon.ended(id);
    let path = format!("/api/v2/speechandtextanalytics/reprocessing/jobs/{id}/interactions");
    let (_, _, link) = answer(front.with_token(&path));
    let link: Value = serde_json::from_str(&link).unwrap();
    let link = link["url"].as_str().unwrap();
    assert!(link.starts_with(&front.origin()), "{link}");
    assert_eq!(answer(front.curl(link)).0, 200);
}
