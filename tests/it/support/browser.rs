//! A real Chromium, driven over `WebDriver` (W3C): plain JSON over HTTP, so the suite's own client speaks it.

use super::{PATIENCE, Request};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Instant,
};

/// One browser with one page, gone when it is dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
}

impl Browser {
    pub fn start() -> Self {
        let install = "apt-get install chromium chromium-driver";
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver: {error}; {install}"));
        let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                line.split("successfully on port ")
                    .nth(1)?
                    .trim_end_matches('.')
                    .parse()
                    .ok()
            })
            .expect("it says its port");
        std::thread::spawn(move || lines.for_each(drop));
        let mut browser = Self {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
        };
        // Chromium refuses to run as root with its sandbox; `/dev/shm` is small in containers.
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
        ];
        let wish = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": args},
        }}});
        let session = browser.order("POST", "/session", &wish);
        session["sessionId"]
            .as_str()
            .expect("an id")
            .clone_into(&mut browser.session);
        browser
    }

    /// Goes there and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.ask("/url", &json!({"url": url}));
    }

    /// What the body of a function gives in the page; a promise is waited for.
    pub fn run(&self, script: &str) -> Value {
        self.ask("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// The text that a person reads there.
    pub fn text(&self, selector: &str) -> String {
        let script = format!("const found = document.querySelector({selector:?}); return found && found.innerText");
        self.run(&script).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a text there has this part.
    pub fn wait_for(&self, selector: &str, part: &str) {
        let begun = Instant::now();
        while !self.text(selector).contains(part) {
            let said = self.text(selector);
            assert!(begun.elapsed() < PATIENCE, "no {part:?} at {selector}: {said}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// A click as a person makes it: at the place where the element is, if nothing covers it.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.ask(&format!("/element/{element}/click"), &json!({}));
    }

    /// Keys typed into an element.
    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.ask(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// What the console holds since it was last asked: errors of scripts, refusals of the content security policy.
    pub fn console(&self) -> Vec<Value> {
        let said = self.ask("/se/log", &json!({"type": "browser"}));
        said.as_array().expect("a list").clone()
    }

    /// An order of the `DevTools` protocol.
    pub fn devtools(&self, method: &str, params: &Value) {
        self.ask("/goog/cdp/execute", &json!({"cmd": method, "params": params}));
    }

    fn element(&self, selector: &str) -> String {
        let found = self.ask("/element", &json!({"using": "css selector", "value": selector}));
        let (_, id) = found
            .as_object()
            .and_then(|found| found.iter().next())
            .expect("an element");
        id.as_str().expect("an id").to_owned()
    }

    fn ask(&self, what: &str, wish: &Value) -> Value {
        self.order("POST", &format!("/session/{}{what}", self.session), wish)
    }

    fn order(&self, method: &'static str, path: &str, wish: &Value) -> Value {
        let answer = Request::post(path, wish.to_string())
            .method(method)
            .replace("Host", self.address.to_string())
            .header("Content-Type", "application/json")
            .send(self.address);
        let mut said = answer.json();
        assert_eq!(answer.status, 200, "{method} {path}: {said}");
        said["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.order("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        // Ends the browser too, should it still run.
        let _ended = Command::new("kill").arg(self.driver.id().to_string()).status();
        let _reaped = self.driver.wait();
    }
}
