//! A headless Chromium over its DevTools pipe: it reads commands on descriptor 3 and answers on 4, as JSON with a
//! zero byte behind each.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::support::trials::missing;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// A browser with one tab; it ends with this value.
pub(crate) struct Browser {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    number: u64,
    session: Option<String>,
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

/// Where there is no Chromium, the test is ignored.
pub(crate) fn start() -> Browser {
    let Some(path) = find() else { missing("no Chromium on this machine; ASYNCPROF_CHROMIUM can name one") };
    let profile = tempfile::tempdir().unwrap();
    // Pipes of the shell become descriptors 3 and 4 of the browser.
    let launch = r#"exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null"#;
    let mut command = Command::new("sh");
    command.args(["-c", launch, "sh"]).arg(path);
    command.args(["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu"]);
    command.arg("--disable-background-networking").arg(format!("--user-data-dir={}", profile.path().display()));
    // Chromium's own sandbox does not work for root.
    if nix::unistd::geteuid().is_root() {
        command.arg("--no-sandbox");
    }
    let mut process =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("sh is there");
    let (commands, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
    let mut browser =
        Browser { process, commands, answers, number: 0, session: None, events: Vec::new(), _profile: profile };
    let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
    let attached = browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
    browser.session = Some(attached["sessionId"].as_str().unwrap().into());
    for domain in ["Page", "Runtime", "Log"] {
        browser.call(&format!("{domain}.enable"), json!({}));
    }
    browser
}

fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("ASYNCPROF_CHROMIUM") {
        return Some(named.into());
    }
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

impl Browser {
    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        let read = self.answers.read_until(0, &mut message).unwrap();
        assert!(read > 0, "the browser has ended");
        serde_json::from_slice(message.strip_suffix(&[0]).unwrap()).unwrap()
    }

    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone().into();
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        loop {
            let mut answer = self.read();
            if answer["id"] == self.number {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    /// Opens a file, and waits until it is loaded and its script has drawn everything.
    pub(crate) fn open(&mut self, path: &Path) {
        self.events.clear();
        self.call("Page.navigate", json!({ "url": format!("file://{}", path.display()) }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.read();
            self.events.push(event);
        }
        self.evaluate(
            "new Promise((done) => new PerformanceObserver((list) => \
             list.getEntriesByName('asyncprof-drawn').length && done()).observe({ type: 'mark', buffered: true }))",
        );
    }

    /// What a piece of script comes to.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    pub(crate) fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        for kind in ["rawKeyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code }));
        }
    }

    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Exceptions, messages of the console, and what a policy forbade, since the page was opened.
    pub(crate) fn complaints(&mut self) -> Vec<Value> {
        // Whatever was said before this has come when its answer has.
        self.evaluate("1");
        let is_complaint = |event: &&Value| {
            let method = event["method"].as_str().unwrap_or_default();
            ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"].contains(&method)
        };
        self.events.iter().filter(is_complaint).cloned().collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
