//! Appends while the large database is backed up.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use serde_json::json;

use crate::daemon::Daemon;
use crate::large::LargeHome;
use crate::load::Load;
use crate::measure::{Figure, in_turns, median};
use crate::options::Options;
use crate::report::{Row, Target};
use crate::retention;
use crate::search::wait_until_indexed;

/// The rows of this file.
pub(crate) const NAMES: [&str; 1] = ["backup_load"];

/// Measures the load during backups, and without.
pub(crate) fn run(options: &Options, large: &LargeHome, rows: &mut Vec<Row>) {
    let size = large.size();
    let daemon = Daemon::start_undisturbed(&large.home);
    let mut client = daemon.connect();
    wait_until_indexed(&mut client);
    let load = RefCell::new(Load::start(&daemon));
    let count = Cell::new(options.effort().appends);
    let (mut seconds, mut fewest) = (Vec::new(), usize::MAX);
    let (ours, without) = in_turns(
        options.rounds,
        || {
            let ((), times) = load.borrow_mut().append_during(|| {
                let started = Instant::now();
                let backup = client.ask("system.backup", &json!({}));
                seconds.push(started.elapsed().as_secs_f64());
                let path = backup["path"].as_str().expect("a backup has a path");
                std::fs::remove_file(path).expect("the backup is there");
            });
            // As many without.
            count.set(times.len());
            fewest = fewest.min(times.len());
            Figure::microseconds(times)
        },
        || Figure::microseconds(load.borrow_mut().append(count.get())),
    );
    if options.wants(&retention::NAMES) {
        // That is measured on the corpus alone.
        load.into_inner().erase(&mut daemon.connect());
    }
    daemon.stop();
    rows.push(Row {
        name: NAMES[0],
        what: format!(
            "one durable append after another while {size} are backed up, which takes {:.1} s and is at \
            least {fewest} appends (peer: without)",
            median(seconds)
        ),
        unit: "us",
        ours,
        peer: Some(without),
        target: Target::TimesThePeersTail(3.0),
    });
}
