//! Runs one command, from its arguments to its report.

use std::io::{Write as _, stdout};
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Command, Deployment, Driving, Output, Run};
use crate::audience::{self, AudienceSettings};
use crate::failure::Failure;
use crate::host::cluster::Cluster;
use crate::host::limits::raise_open_files;
use crate::host::local::{self, Local};
use crate::host::meter::Groups;
use crate::progress::Progress;
use crate::report::{Report, compare, table};
use crate::scenario::Bench;
use crate::target::{self, Target};

/// Runs it to its end, on one thread: the others are for the service.
pub fn command(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Hotpath(run) => runtime.block_on(scenario(&run, async |bench| run.scenario.run(bench).await)),
        Command::Fanout(run) => runtime.block_on(scenario(&run, async |bench| run.scenario.run(bench).await)),
        Command::Many(run) => runtime.block_on(scenario(&run, async |bench| run.scenario.run(bench).await)),
        Command::Idle(run) => runtime.block_on(scenario(&run, async |bench| run.scenario.run(bench).await)),
        Command::Expiry(run) => runtime.block_on(scenario(&run, async |bench| run.scenario.run(bench).await)),
        Command::Storm(run) => runtime.block_on(scenario(&run, async |bench| run.scenario.run(bench).await)),
        Command::Soak(run) => runtime.block_on(scenario(&run, async |bench| run.scenario.run(bench).await)),
        Command::Compare { a, b } => compare_files(&a, &b),
        Command::Drive => {
            raise_open_files();
            runtime.block_on(audience::drive())
        }
    }
}

/// Runs a scenario against the named deployment, or against one started for it.
async fn scenario<S: clap::Args>(
    run: &Run<S>,
    measure: impl AsyncFn(&Bench) -> Result<Report, Failure>,
) -> Result<(), Failure> {
    let open_files = raise_open_files();
    let started = started(&run.deployment).await?;
    let bench = bench(&run.deployment, &run.driving, started.as_ref(), open_files)?;
    let found = tokio::select! {
        found = measure(&bench) => found,
        stopped = signalled() => stopped.and(Err(Failure::Stopped)),
    };
    bench.progress.end();
    if let Some(started) = started {
        started.stop().await?;
    }
    let report = Report { label: run.output.label.clone(), ..found? };
    tell(&report, &run.output)
}

/// Returns on a signal, so that processes started here do not stay behind.
async fn signalled() -> Result<(), Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The deployment that ends with the run.
enum Started {
    Alone(Local),
    Cluster(Cluster),
}

async fn started(deployment: &Deployment) -> Result<Option<Started>, Failure> {
    if !deployment.to.is_empty() {
        return Ok(None);
    }
    let program = local::program(deployment.program.as_deref())?;
    Ok(Some(match deployment.instances {
        1 => Started::Alone(Local::start(&program).await?),
        several => Started::Cluster(Cluster::start(&program, several)?),
    }))
}

impl Started {
    fn target(&self, tenant: &str) -> Result<Target, Failure> {
        match self {
            Self::Alone(local) => {
                let token = Some(crate::token::sign(local::SECRET, tenant));
                Ok(Target { instances: vec![local.address()], token })
            }
            Self::Cluster(cluster) => cluster.target(),
        }
    }

    fn groups(&self) -> Groups {
        match self {
            Self::Alone(local) => Deployment::started(vec![local.pid()]),
            Self::Cluster(cluster) => cluster.groups(),
        }
    }

    async fn stop(self) -> Result<(), Failure> {
        match self {
            Self::Alone(local) => local.stop().await,
            Self::Cluster(cluster) => {
                drop(cluster);
                Ok(())
            }
        }
    }
}

fn bench(
    deployment: &Deployment,
    driving: &Driving,
    started: Option<&Started>,
    open_files: usize,
) -> Result<Bench, Failure> {
    let (target, mut groups) = match started {
        Some(started) => (started.target(&deployment.tenant)?, started.groups()),
        None => (named(deployment)?, deployment.groups()),
    };
    groups.retain(|_, pids| !pids.is_empty());
    // An address of this machine's own reaches nothing elsewhere.
    let is_here = target.instances.iter().all(|instance| instance.ip().is_loopback() && instance.is_ipv4());
    let sources = if is_here { driving.sources } else { 0 };
    let terms = AudienceSettings { drivers: driving.drivers, sources, max_opening: driving.at_once };
    Ok(Bench { target, groups, terms, open_files, progress: Progress::new() })
}

fn named(deployment: &Deployment) -> Result<Target, Failure> {
    let address = |url: &String| target::address(url, deployment.allow_remote);
    let instances = deployment.to.iter().map(address).collect::<Result<_, _>>()?;
    Ok(Target { instances, token: deployment.token() })
}

fn tell(report: &Report, output: &Output) -> Result<(), Failure> {
    if let Some(file) = &output.out {
        report.append(file)?;
    }
    let text = if output.json { format!("{}\n", serde_json::to_string(report)?) } else { table::of(report) };
    Ok(stdout().write_all(text.as_bytes())?)
}

fn compare_files(a: &Path, b: &Path) -> Result<(), Failure> {
    Ok(stdout().write_all(compare::files(a, b)?.as_bytes())?)
}
