//! From settings to the lists of addresses, and the task that reads the country file again.

use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::error::Error;
use super::services::Services;
use crate::addresses::{Addresses, Countries, Rules};
use crate::config::Config;
use crate::shutdown::Shutdown;

/// The lists of the settings, and of tenants.
pub(super) async fn of(config: &Config, services: &Services, front: &Shutdown) -> Result<Arc<Addresses>, Error> {
    let countries = match config.geoip_file.clone() {
        Some(file) => Some(spawn_blocking(move || open(&file)).await.map_err(|_| Error::CountriesTask)??),
        None => None,
    };
    if let Some(countries) = &countries {
        front.spawn_until_stopped("countries", Arc::clone(countries).run());
    }
    let rules = Rules {
        allow: config.allow_addresses.clone(),
        deny: config.deny_addresses.clone(),
        allow_countries: config.allow_countries.clone(),
        deny_countries: config.deny_countries.clone(),
    };
    let (settings, security) = (services.control.current().clone(), Arc::clone(&services.security));
    Ok(Arc::new(Addresses::new(rules, countries, settings, security)))
}

fn open(file: &Path) -> Result<Arc<Countries>, Error> {
    Ok(Arc::new(Countries::open(file)?))
}

/// Whether the files that settings name can be used.
///
/// # Errors
/// The first that cannot.
pub fn check_files(config: &Config) -> Result<(), Error> {
    config.geoip_file.as_deref().map_or(Ok(()), |file| open(file).map(drop))
}
