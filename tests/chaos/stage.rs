//! All that plays in a run: three sidecars, two apps, Redis, and the links between them.

use crate::{
    account::Account,
    letters,
    processes::{Ports, Process},
    proxy::{self, Link},
    redis::{Form, Redis},
};
use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::ChildStdin,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

pub const SIDECARS: usize = 3;
/// In configured order.
pub const APPS: [&str; 2] = ["billing", "mail"];

/// Lives as long as the run; whatever it started dies with it.
pub struct Stage {
    pub sidecars: Vec<Mutex<Process>>,
    /// Where the sidecars take webhooks.
    pub ports: Vec<u16>,
    pub apps: Vec<Mutex<App>>,
    /// `[sidecar][app]`.
    pub app_links: Vec<Vec<Arc<Link>>>,
    pub redis: Redis,
    folder: PathBuf,
}

/// One app, and who listens to it.
pub struct App {
    number: usize,
    process: Process,
    told: Option<ChildStdin>,
    account: Arc<Mutex<Account>>,
    listeners: Vec<JoinHandle<()>>,
}

/// What a stage is made of.
pub struct Props<'a> {
    pub sidecar: &'a Path,
    pub form: Form,
    /// Redis writes to disk what it must know after its death.
    pub lasting: bool,
    pub seed: u64,
    pub folder: PathBuf,
    pub log_level: &'a str,
}

impl Stage {
    pub fn set(props: Props<'_>, account: &Arc<Mutex<Account>>) -> Self {
        let (mut ports, folder) = (Ports::new(), props.folder);
        fs::create_dir_all(&folder).expect("a folder for the run can be made");
        let redis = Redis::start((props.form, props.lasting), SIDECARS, &folder, &mut ports);
        let this = std::env::current_exe().expect("a program has a path");
        let apps: Vec<App> = (0..APPS.len())
            .map(|number| {
                let port = ports.take();
                let arguments = ["app", &port.to_string(), &props.seed.to_string()]
                    .map(str::to_owned)
                    .to_vec();
                App {
                    number,
                    process: Process::new(APPS[number], port, &this, arguments, None),
                    told: None,
                    account: account.clone(),
                    listeners: Vec::new(),
                }
            })
            .collect();
        let app_links: Vec<Vec<_>> = (0..SIDECARS)
            .map(|_| {
                apps.iter()
                    .map(|app| Link::new(ports.take(), app.process.port))
                    .collect()
            })
            .collect();
        proxy::serve(app_links.concat());
        let sidecars: Vec<Process> = (0..SIDECARS)
            .map(|number| {
                let (name, own) = (format!("sidecar-{number}"), [(); 3].map(|()| ports.take()));
                let config = folder.join(format!("{name}.yaml"));
                let text = configuration(own, &redis.settings(number), &app_links[number]);
                fs::write(&config, text).expect("the folder is ours");
                let config = config.display().to_string();
                let arguments = ["run", "-c", &config, "--log", "json", "--log-level", props.log_level];
                let arguments = arguments.map(str::to_owned).to_vec();
                let log = Some(folder.join(format!("{name}.log")));
                Process::new(&name, own[0], props.sidecar, arguments, log)
            })
            .collect();
        let stage = Self {
            ports: sidecars.iter().map(|sidecar| sidecar.port).collect(),
            sidecars: sidecars.into_iter().map(Mutex::new).collect(),
            apps: apps.into_iter().map(Mutex::new).collect(),
            app_links,
            redis,
            folder,
        };
        stage.apps.iter().for_each(|app| app.lock().expect("no panic").start());
        for sidecar in &stage.sidecars {
            sidecar.lock().expect("no panic").start();
        }
        stage
    }

    /// What fell by itself, and what panicked.
    pub fn wounds(&self) -> Vec<String> {
        let mut wounds = Vec::new();
        for sidecar in &self.sidecars {
            let mut sidecar = sidecar.lock().expect("no panic");
            if sidecar.has_fallen() {
                wounds.push(format!("{} ended by itself", sidecar.name));
            }
            let log = fs::read(self.folder.join(format!("{}.log", sidecar.name))).unwrap_or_default();
            let panics = String::from_utf8_lossy(&log).matches("panicked").count();
            if panics > 0 {
                wounds.push(format!("{} panicked {panics} times", sidecar.name));
            }
        }
        wounds
    }

    /// Ends the apps and hears the last of what they did.
    pub fn hear_out(&self) {
        for app in &self.apps {
            let mut app = app.lock().expect("no panic");
            app.kill();
            for listener in app.listeners.drain(..) {
                listener.join().expect("a listener does not panic");
            }
        }
    }

    /// Removes what the run wrote.
    pub fn clear(self) {
        let folder = self.folder.clone();
        drop(self);
        let _left = fs::remove_dir_all(folder);
    }
}

impl App {
    pub fn start(&mut self) {
        let (told, said) = self.process.start().expect("its pipes are ours");
        self.told = Some(told);
        let (account, number) = (self.account.clone(), self.number);
        self.listeners.push(std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                account.lock().expect("nobody panics with it").hear(number, &line);
            }
        }));
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn freeze(&self) {
        self.process.freeze();
    }

    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Tells it how to behave.
    pub fn tell(&mut self, line: &str) {
        if let Some(told) = &mut self.told {
            writeln!(told, "{line}").expect("it listens");
        }
    }
}

fn configuration([listen, health, admin]: [u16; 3], redis: &str, apps: &[Arc<Link>]) -> String {
    let mut text = format!(
        "version: 1\nlisten: 127.0.0.1:{listen}\nhealth: 127.0.0.1:{health}\nadmin: 127.0.0.1:{admin}\n{redis}\
         defaults: {{rate_limit: off}}\n{}destinations:\n",
        letters::sources()
    );
    for (name, link) in APPS.iter().zip(apps) {
        let url = format!("http://127.0.0.1:{}/{name}", link.port);
        writeln!(text, "  {name}: {{url: \"{url}\", timeout: 1s, connect_wait: 500ms}}").expect("memory");
    }
    text
}
