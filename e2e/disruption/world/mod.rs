//! Servers that are killed again and again bring about the same world as servers that are not.
//!
//! A list of operations, random but for its seed, is carried out twice, in two namespaces of one control plane: once while the servers
//! run in peace, and once while they are killed without warning, in the midst of their work. Then everything is compared that the
//! control plane and its members hold. Each operation has one outcome however fast the servers are, so whatever differs was lost,
//! doubled or left half done.
//!
//! `NAVARCH_WORLD_SEED` repeats a run.

mod operation;
mod player;
mod view;

use std::time::{Duration, Instant};

use self::{
    operation::{Dice, plan},
    player::Player,
};
use super::{ONE_AT_A_TIME, stage};
use crate::stage::{DEADLINE, Scene};

const SEED: u64 = 20_260_721;
const OPERATIONS: usize = 195;
/// After so many operations in a row the servers are waited for, so that there is something to interrupt.
const BURST: usize = 12;

#[tokio::test]
async fn killed_at_random_points_it_is_the_same_world() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let seed = std::env::var("NAVARCH_WORLD_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(SEED);
    println!("NAVARCH_WORLD_SEED={seed}");
    let operations = plan(&mut Dice::new(seed), OPERATIONS);

    let started = Instant::now();
    let peaceful = Player::open("world-a").await;
    for (index, operation) in operations.iter().enumerate() {
        peaceful.play(operation).await;
        if index % BURST == BURST - 1 {
            peaceful.catch_up(index).await;
        }
    }
    let expected = peaceful.settled().await;
    let objects: usize = expected.values().map(std::collections::BTreeMap::len).sum();
    println!(
        "{} operations in peace: {objects} objects after {:.1?}",
        operations.len(),
        started.elapsed()
    );
    assert!(objects > 50, "there is something to compare");

    let started = Instant::now();
    let mut dice = Dice::new(seed.rotate_left(32));
    let disturbed = Player::open("world-b").await;
    let mut kills = 0;
    let mut fatal = 0;
    for (index, operation) in operations.iter().enumerate() {
        // Each burst is cut short by a kill somewhere in it, at once or after some writes of the servers.
        if index % BURST == 0 {
            fatal = index + dice.below(BURST - 1);
        }
        disturbed.play(operation).await;
        if index == fatal {
            disturbed.after_writes(dice.below(12)).await;
            kill_and_restart(&disturbed.scene).await;
            kills += 1;
        } else if index % BURST == BURST - 1 {
            disturbed.catch_up(index).await;
        }
    }
    kill_and_restart(&disturbed.scene).await;
    kills += 1;
    let waiting = Instant::now();
    let mut found = disturbed.view().await;
    let mut look = tokio::time::interval(Duration::from_millis(250));
    while found != expected && waiting.elapsed() < DEADLINE {
        look.tick().await;
        found = disturbed.view().await;
    }
    // Once it is the same it stays so.
    if found == expected {
        found = disturbed.settled().await;
    }
    println!(
        "{} operations with {kills} kills: the same after {:.1?}",
        operations.len(),
        started.elapsed()
    );
    let differences = view::differences(&expected, &found);
    assert!(
        differences.is_empty(),
        "NAVARCH_WORLD_SEED={seed}: after {kills} kills the world is another:\n{}\n\nnavarch says\n{}",
        differences.join("\n"),
        disturbed.scene.stage.log()
    );
}

/// Kills the servers without warning and starts them at once; the bed alone would wait longer from time to time.
async fn kill_and_restart(scene: &Scene) {
    super::kill().await;
    let stage = stage();
    assert!(std::ptr::eq(stage, scene.stage));
    let bed = &stage.bed;
    bed.stop_program("serve").await.unwrap();
    bed.start_program("serve").unwrap();
}
