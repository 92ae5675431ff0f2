//! Kills amid recoveries.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::base::{Base, base};
use super::injured;
use super::injury::{INJURIES, Injury};
use super::look::look_for_every_row;
use crate::support::{Home, wait_for};

/// A recovery that is killed, and killed again where it goes on, ends as one that was not.
#[test]
fn kills_amid_recoveries_lose_nothing() {
    const KILLED: u64 = 32;
    let base = base();
    let span = time_of_a_recovery(&base);
    let mut amid = 0;
    for seed in 2_000..2_000 + KILLED {
        let mut random = Rng::with_seed(seed);
        let (injury, with_backup) = (INJURIES[seed as usize % INJURIES.len()], seed % 2 == 0);
        let home = injured(&base, injury, &mut random, with_backup);
        amid += u32::from(kill_amid_recovery(&home, span.mul_f64(random.f64())));
        amid += u32::from(kill_amid_recovery(&home, span.mul_f64(random.f64())));
        let what = format!("{injury:?}, seed {seed}, backup {with_backup}, killed");
        look_for_every_row(&base, &home, with_backup, &what);
    }
    assert!(u64::from(amid) >= KILLED / 2, "{amid} kills came amid a recovery");
}

/// Returns how long a recovery takes from its folder on.
fn time_of_a_recovery(base: &Base) -> Duration {
    let home = injured(base, Injury::ZeroFirstPage, &mut Rng::with_seed(1), true);
    let mut child = spawn_checking(&home);
    wait_for(&home, &mut child, || home.path().join("damaged").exists());
    let began = Instant::now();
    wait_for(&home, &mut child, || std::os::unix::net::UnixStream::connect(home.socket()).is_ok());
    let span = began.elapsed();
    child.kill().expect("the child is killed");
    child.wait().expect("the child is reaped");
    span
}

/// Starts a daemon and kills it a while after a recovery has begun, or goes on; returns whether that came
/// amid one. Where there is nothing to recover, it is killed once that is known.
fn kill_amid_recovery(home: &Home, after: Duration) -> bool {
    let (damaged, checked) = (home.path().join("damaged"), home.path().join("ide.db-checked"));
    let _ = std::fs::remove_file(&checked);
    let mut child = spawn_checking(home);
    wait_for(home, &mut child, || damaged.exists() || checked.exists());
    std::thread::sleep(after);
    child.kill().expect("the child is killed");
    child.wait().expect("the child is reaped");
    std::fs::read_dir(&damaged).is_ok_and(|folders| {
        folders.flatten().any(|folder| folder.path().join("work.json").exists())
    })
}

fn spawn_checking(home: &Home) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(home.path().join("test.log"));
    let mut command = home.command();
    command.args(["serve", "--no-search", "--check-after", "0"]).stdout(Stdio::null());
    command.stderr(log.expect("a log")).spawn().expect("the binary starts")
}
