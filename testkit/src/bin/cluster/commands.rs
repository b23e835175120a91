//! The four commands.

use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cluster::{Cluster, checkout, default_folder};
use crate::failure::Failure;
use crate::interrupts;
use crate::layout::{Layout, MAX_INSTANCES};
use crate::options::Options;
use crate::programs::Programs;
use crate::services::INSTANCE_TIMEOUT;

/// An instance gives each of three stages `DRAIN_TIMEOUT_MS` (10 s) before it stops waiting. It does not wait to be
/// noticed: nginx here does not ask who is ready.
const INSTANCE_STOP_TIMEOUT: Duration = Duration::from_secs(40);
const NGINX_STOP_TIMEOUT: Duration = Duration::from_secs(5);
const REDIS_STOP_TIMEOUT: Duration = Duration::from_secs(10);
const POSTGRES_STOP_TIMEOUT: Duration = Duration::from_secs(20);

pub fn up(words: &[&str]) -> Result<ExitCode, Failure> {
    let count = words.first().and_then(|count| count.parse().ok()).filter(|count| (1..=MAX_INSTANCES).contains(count));
    let instances = count.ok_or_else(|| format!("up wants a number of instances, from 1 to {MAX_INSTANCES}"))?;
    let options = Options::read(&words[1..])?;
    let clocks = options.offsets.len();
    if clocks > usize::from(instances) {
        return Err(format!("--faketime names {clocks} clocks, and there are {instances} instances").into());
    }
    let programs = Programs::find(&checkout(), &options)?;
    let masters = if options.has_redis_cluster { 3 } else { 1 };
    let layout = Layout { base: options.base, instances, masters, has_worker: options.has_worker };
    let folder = options.state.clone().unwrap_or_else(default_folder);
    let mut cluster = Cluster { folder, layout, program: programs.synckairos.clone(), ..Cluster::default() };
    cluster.clear_folder()?;
    cluster.layout.choose_ports()?;
    cluster.make_folder()?;
    raise_descriptor_limit();
    interrupts::catch()?;
    start_all(&mut cluster, &programs, &options).inspect_err(|_| {
        eprintln!("scripts/cluster: stopping what was started");
        // What it could not remove is less than why it failed.
        let _ = take_down(&cluster);
    })?;
    cluster.print_welcome();
    Ok(ExitCode::SUCCESS)
}

fn start_all(cluster: &mut Cluster, programs: &Programs, options: &Options) -> Result<(), Failure> {
    let redis_url = cluster.start_redis(programs, options)?;
    let database_url = cluster.start_postgres(programs)?;
    cluster.write_settings(&redis_url, &database_url)?;
    cluster.migrate()?;
    let instances = cluster.layout.instance_names();
    for name in &instances {
        cluster.start_instance(name, programs, options)?;
    }
    if cluster.layout.has_worker {
        cluster.start_worker(options)?;
    }
    for name in &instances {
        cluster.until_ready(name, INSTANCE_TIMEOUT, || cluster.is_healthy(name))?;
    }
    cluster.start_nginx(programs)?;
    cluster.make_token()?;
    cluster.write_env()?;
    // A process that fails at its start has ended by now.
    let ended = cluster.layout.names().into_iter().find(|name| cluster.pid(name).is_none());
    interrupts::check()?;
    ended.map_or(Ok(()), |name| Err(cluster.quoted(&name, "has ended")))
}

pub fn status(words: &[&str]) -> Result<ExitCode, Failure> {
    let cluster = Cluster::load(&Options::read(words)?)?;
    Ok(if cluster.print_status() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub fn start(name: &str, words: &[&str]) -> Result<ExitCode, Failure> {
    let cluster = Cluster::load(&Options::read(words)?)?;
    raise_descriptor_limit();
    cluster.begin_again(name)?;
    if name.starts_with("instance-") {
        cluster.until_ready(name, INSTANCE_TIMEOUT, || cluster.is_healthy(name))?;
    }
    cluster.write_env()?;
    Ok(ExitCode::SUCCESS)
}

pub fn down(words: &[&str]) -> Result<ExitCode, Failure> {
    take_down(&Cluster::load(&Options::read(words)?)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Ends the writers first and the databases last.
fn take_down(cluster: &Cluster) -> Result<(), Failure> {
    let one = |name: &str| vec![name.to_owned()];
    cluster.halt("TERM", INSTANCE_STOP_TIMEOUT, &cluster.layout.instance_names());
    cluster.halt("TERM", INSTANCE_STOP_TIMEOUT, &one("worker"));
    cluster.halt("TERM", NGINX_STOP_TIMEOUT, &one("nginx"));
    cluster.halt("TERM", REDIS_STOP_TIMEOUT, &cluster.layout.redis_names());
    // It does not wait for connections that are open.
    cluster.halt("INT", POSTGRES_STOP_TIMEOUT, &one("postgres"));
    cluster.remove_data()
}

/// As many connections as the system lets anybody have.
fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // A limit that stays as it was is no failure.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
