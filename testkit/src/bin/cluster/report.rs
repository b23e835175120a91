//! What a cluster says of itself: the environment to source, and the lines of `status`.

use std::path::Path;

use crate::cluster::{Cluster, default_folder};
use crate::failure::Failure;

impl Cluster {
    pub fn write_env(&self) -> Result<(), Failure> {
        let (layout, instances) = (&self.layout, self.layout.instance_names());
        let urls: Vec<_> = instances.iter().map(|name| format!("http://{}", layout.address(name))).collect();
        let mut metrics: Vec<_> = instances.iter().map(|name| self.metrics_url(name)).collect();
        metrics.extend(layout.has_worker.then(|| self.metrics_url("worker")));
        let settings = std::fs::read_to_string(self.settings())?;
        let setting = |name: &str| {
            let line = settings.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            line.unwrap_or_default().trim_end_matches('"').to_owned()
        };
        let variables = [
            ("URL", format!("http://{}", layout.address("nginx"))),
            ("URLS", urls.join(" ")),
            ("METRICS_URLS", metrics.join(" ")),
            ("PIDS", self.pids(&instances)),
            ("REDIS_PID", self.pids(&layout.redis_names())),
            ("WORKER_PID", self.pids(&["worker".to_owned()])),
            ("POSTGRES_PID", self.pids(&["postgres".to_owned()])),
            ("REDIS_URL", setting("redis_url")),
            ("DATABASE_URL", setting("database_url")),
            ("TOKEN", self.token.clone()),
        ];
        let lines = variables.map(|(name, value)| format!("export SYNCKAIROS_{name}='{value}'\n"));
        self.write("env", &lines.concat())
    }

    fn metrics_url(&self, name: &str) -> String {
        format!("http://{}/metrics", self.layout.address(&format!("metrics-{name}")))
    }

    fn pids(&self, names: &[String]) -> String {
        let pids: Vec<_> = names.iter().filter_map(|name| Some(self.pid(name)?.to_string())).collect();
        pids.join(" ")
    }

    /// Prints a line for each process. False if one does not run, or is not ready.
    pub fn print_status(&self) -> bool {
        let mut is_well = true;
        for name in self.layout.names() {
            let pid = self.pid(&name);
            let is_instance = name.starts_with("instance-");
            let state = match pid {
                None => "ended",
                Some(_) if is_instance && !self.is_healthy(&name) => "not ready",
                Some(_) => "",
            };
            is_well &= state.is_empty();
            let address = match name.as_str() {
                "worker" => String::new(),
                "nginx" => format!("http://{}", self.layout.address(&name)),
                _ if is_instance => format!("http://{}", self.layout.address(&name)),
                _ => self.layout.address(&name).to_string(),
            };
            println!("{name:<12} {address:<29} {:>8}  {state}", pid.map_or_else(String::new, |pid| pid.to_string()));
        }
        is_well
    }

    /// Prints how to talk to it, and how to end it.
    pub fn print_welcome(&self) {
        let is_default = self.folder == default_folder();
        let option = if is_default { String::new() } else { format!(" --state {}", self.folder.display()) };
        let here = std::env::current_dir().unwrap_or_default();
        let shown = self.folder.strip_prefix(&here).ok().filter(|_| is_default);
        let shown = shown.map_or(self.folder.as_path(), |shown: &Path| shown).display();
        println!();
        self.print_status();
        println!("\nSettings, logs and process ids are in {shown}. To talk to it:\n");
        println!("  source {shown}/env");
        println!("  curl -H \"Authorization: Bearer $SYNCKAIROS_TOKEN\" $SYNCKAIROS_URL/v1/sessions\n");
        println!("scripts/cluster down{option} ends it.");
    }
}
