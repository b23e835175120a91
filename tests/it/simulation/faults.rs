//! What breaks, and how it is mended.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, sleep_until};

use super::link::Weather;
use super::plan::{Fault, Kind, Way};
use super::record::Event;
use super::redis::Keeps;
use super::world::World;

/// All links are like this for a while.
const STORM: Weather = Weather { delay_ms: 200, slow: 10, lost: 150 };

/// Lets one happen, from its beginning to its end.
pub async fn happen(world: Arc<World>, fault: Fault) {
    let span = Duration::from_millis(fault.for_ms);
    let at = world.around.truth.after(Duration::from_millis(fault.at_ms));
    match fault.kind {
        Kind::StoreGoesBack(by_ms) => {
            sleep_until(at - Duration::from_millis(by_ms.min(fault.at_ms))).await;
            let image = Keeps::Image(Box::new(world.around.server.image()));
            sleep_until(at).await;
            dies(&world, &fault, image).await;
        }
        _ => sleep_until(at).await,
    }
    match fault.kind {
        Kind::StoreDies => dies(&world, &fault, Keeps::All).await,
        Kind::StoreForgets => dies(&world, &fault, Keeps::Nothing).await,
        Kind::StoreGoesBack(_) => {}
        _ => say(&world, format!("{:?} for {} ms", fault.kind, fault.for_ms)),
    }
    match fault.kind {
        Kind::Crash(slot) => world.replace(slot, span, false).await,
        Kind::Leave(slot) => world.replace(slot, span, true).await,
        Kind::Cut(slot, way) => {
            if let Some(instance) = world.instance(slot) {
                instance.link(way).cut(span);
            }
        }
        Kind::Freeze(slot) => {
            if let Some(instance) = world.instance(slot) {
                for way in Way::ALL {
                    instance.link(way).hold(span);
                }
            }
        }
        Kind::Storm => {
            world.set_weather(STORM);
            sleep(span).await;
            world.set_weather(world.around.plan.weather);
        }
        Kind::LedgerAway => {
            world.around.book.set_away(true);
            sleep(span).await;
            world.around.book.set_away(false);
        }
        Kind::LetGo => world.around.server.let_go_of_idle(),
        Kind::StoreDies | Kind::StoreGoesBack(_) | Kind::StoreForgets => {}
    }
}

/// Two that overlap are one: the store is dead until the later of their ends.
async fn dies(world: &World, fault: &Fault, keeps: Keeps) {
    let span = Duration::from_millis(fault.for_ms);
    say(world, format!("{:?} for {} ms", fault.kind, fault.for_ms));
    let server = &world.around.server;
    world.store_falls();
    server.die(span, keeps, |key| world.around.book.position(key));
    sleep(span).await;
    if world.store_may_rise() {
        server.rise();
        say(world, "the store is there again".to_owned());
    }
}

fn say(world: &World, what: String) {
    world.record.add(Event::Fault(what));
}
