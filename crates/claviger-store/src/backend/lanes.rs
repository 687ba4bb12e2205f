//! That a change is never behind rows that grow.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use claviger::id::TenantId;
use tokio::sync::{mpsc, oneshot};

use super::sqlite::connect;
use super::sqlite::writer::Writer;
use super::unit::{Job, Typed};
use super::{Bound, Lane, Mode, Tx};
use crate::error::StoreError;
use crate::nouns::NOUNS;
use crate::testing::{Engine, TestStore};

#[tokio::test]
async fn the_writer_takes_every_change_before_what_grows_and_lets_that_come_on_all_the_same() {
    let test = TestStore::start(Engine::Sqlite).await;
    let id: TenantId = test.tenant("Acme").await.tenant;
    let path = test.folder().join("claviger.db");
    test.store.clone().close().await;
    let order: Arc<Mutex<Vec<Lane>>> = Arc::default();
    let submit = |queue: &mpsc::Sender<Job>, lane: Lane| {
        let (reply, answer) = oneshot::channel();
        let order = Arc::clone(&order);
        let work = async move |tx: &mut Tx<'_>| {
            order.lock().unwrap().push(lane);
            tx.now().await.map(drop)
        };
        let (clock, work) = (test.clock.clone(), Box::new(Typed::new(work, reply)));
        queue.try_send(Job { lane, bound: Bound::Tenant(id), mode: Mode::Write, clock, work }).unwrap();
        answer
    };
    // More changes than fit into all the groups that come in a row.
    let (changes, change_queue) = mpsc::channel(20_000);
    let (growth, growth_queue) = mpsc::channel(8);
    let grown: Vec<_> = (0..3).map(|_| submit(&growth, Lane::Growth)).collect();
    let changed: Vec<_> = (0..17_000).map(|_| submit(&changes, Lane::Changes)).collect();
    let mut writer = Writer::new(connect::writer(&path, NOUNS).unwrap(), Arc::new(OnceLock::new())).unwrap();
    let thread = std::thread::spawn(move || writer.serve(change_queue, growth_queue));
    for answer in changed.into_iter().chain(grown) {
        assert_eq!(answer.await.unwrap(), Ok(()));
    }
    drop((changes, growth));
    thread.join().unwrap();
    let order = order.lock().unwrap();
    let at: Vec<usize> = (0..order.len()).filter(|at| order[*at] == Lane::Growth).collect();
    assert_eq!(
        at,
        [64 * 256, 17_001, 17_002],
        "one that has waited for long enough, and the others in the end"
    );
}

#[tokio::test]
async fn a_page_of_what_grows_holds_up_no_change_and_no_other_read() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test = TestStore::start(engine).await;
        let acme = test.tenant("Acme").await;
        let (let_go, under_way) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        // More than there are threads or connections of any lane.
        let long: Vec<_> = (0..12)
            .map(|_| {
                let inner = Arc::clone(&acme.store.inner);
                let (let_go, under_way) = (Arc::clone(&let_go), Arc::clone(&under_way));
                let work = async move |tx: &mut Tx<'_>| {
                    tx.run(&super::tx::NOW, &[]).await?;
                    under_way.fetch_add(1, Ordering::SeqCst);
                    while !let_go.load(Ordering::SeqCst) {
                        if tx.is_embedded() {
                            // A unit on this engine never waits: it holds its thread.
                            std::thread::sleep(Duration::from_millis(5));
                        } else {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                    Ok(())
                };
                tokio::spawn(
                    async move { inner.run_in_growth(Bound::System("test"), Mode::Read, work).await },
                )
            })
            .collect();
        while under_way.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let quick = tokio::time::timeout(Duration::from_secs(1), async {
            acme.store.org_create("North").await?;
            acme.store.org_list().await?;
            test.store.source().revoked_tokens().await.map_err(|_| StoreError::UnknownOutcome)?;
            Ok::<_, StoreError>(())
        });
        quick.await.unwrap_or_else(|_| panic!("{engine:?}: others wait")).unwrap();
        assert_eq!(under_way.load(Ordering::SeqCst), 1, "{engine:?}: one at a time");
        let_go.store(true, Ordering::SeqCst);
        for long in long {
            assert_eq!(long.await.unwrap(), Ok(()), "{engine:?}");
        }
    }
}
