//! The client against servers that answer, hang, lie, are gone, and want certificates.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
};

use tonic::Request;

use super::*;
use crate::{
    loopback::{Pki, serve},
    tls::{Reloading, ServerFiles},
    wire::{
        estimator::{
            MaxAvailableComponentSetsResponse, MaxAvailableReplicasResponse,
            UnschedulableReplicasResponse,
        },
        service::estimator_server::Estimator,
    },
};

/// An answer that never comes.
const HANG: i32 = i32::MIN;

/// Answers everything with one number.
#[derive(Clone, Default)]
struct Fake {
    number: Arc<AtomicI32>,
    asked: Arc<AtomicI32>,
}

impl Fake {
    fn answers(number: i32) -> Self {
        let fake = Self::default();
        fake.number.store(number, Ordering::Relaxed);
        fake
    }

    async fn number(&self) -> Result<i32, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.number.load(Ordering::Relaxed) {
            HANG => std::future::pending().await,
            7 => Err(Status::unknown(
                "cluster name does not match, got: m1, desire: m2",
            )),
            number => Ok(number),
        }
    }
}

#[tonic::async_trait]
impl Estimator for Fake {
    async fn max_available_replicas(
        &self,
        _request: Request<MaxAvailableReplicasRequest>,
    ) -> Result<Response<MaxAvailableReplicasResponse>, Status> {
        let max_replicas = self.number().await?;
        Ok(Response::new(MaxAvailableReplicasResponse { max_replicas }))
    }

    async fn max_available_component_sets(
        &self,
        _request: Request<MaxAvailableComponentSetsRequest>,
    ) -> Result<Response<MaxAvailableComponentSetsResponse>, Status> {
        let max_sets = self.number().await?;
        Ok(Response::new(MaxAvailableComponentSetsResponse {
            max_sets,
        }))
    }

    async fn get_unschedulable_replicas(
        &self,
        _request: Request<UnschedulableReplicasRequest>,
    ) -> Result<Response<UnschedulableReplicasResponse>, Status> {
        let unschedulable_replicas = self.number().await?;
        Ok(Response::new(UnschedulableReplicasResponse {
            unschedulable_replicas,
        }))
    }
}

fn estimators(timeout: Duration, tls: ClientFiles) -> Arc<Estimators> {
    Estimators::new(Options { timeout, tls })
}

async fn ask(estimators: &Estimators) -> Answer {
    let question = Question::Replicas(None);
    let clusters = ["m1".to_owned()];
    let mut answers = estimators
        .available(
            &ObjectReference::default(),
            &question,
            &clusters,
            &BTreeMap::new(),
        )
        .await;
    answers.pop().unwrap().1
}

/// Asks until the answer is as told; a wait for links that connect in the background.
async fn until(estimators: &Estimators, expected: impl Fn(&Answer) -> bool) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = ask(estimators).await;
        if expected(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "still {answer:?}");
        tokio::task::yield_now().await;
    }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_question_right_after_the_start_waits_for_the_connection() {
    let (addresses, _stop) = serve(Fake::answers(5), ServerFiles::default()).await;
    let estimators = estimators(LONG, ClientFiles::default());
    estimators.connect("m1", addresses);
    assert_eq!(ask(&estimators).await, Answer::Fits(5));
}

#[tokio::test]
async fn a_server_that_hangs_costs_one_time_limit_and_is_taken_back_when_it_answers() {
    let fake = Fake::answers(5);
    let (addresses, _stop) = serve(fake.clone(), ServerFiles::default()).await;
    let limit = Duration::from_millis(300);
    let estimators = estimators(limit, ClientFiles::default());
    estimators.connect("m1", addresses);
    until(&estimators, |answer| *answer == Answer::Fits(5)).await;

    fake.number.store(HANG, Ordering::Relaxed);
    let Answer::Failed(cause) = ask(&estimators).await else {
        panic!("a hanging server answered");
    };
    assert!(cause.contains("no answer within 300ms"), "{cause}");
    let started = Instant::now();
    for _ in 0..100 {
        assert!(matches!(ask(&estimators).await, Answer::Failed(_)));
    }
    assert!(started.elapsed() < limit, "{:?}", started.elapsed());

    fake.number.store(6, Ordering::Relaxed);
    until(&estimators, |answer| *answer == Answer::Fits(6)).await;
}

#[tokio::test]
async fn numbers_that_mean_nothing_are_failures_and_minus_one_is_no_answer() {
    let fake = Fake::answers(-9);
    let (addresses, _stop) = serve(fake.clone(), ServerFiles::default()).await;
    let estimators = estimators(LONG, ClientFiles::default());
    estimators.connect("m1", addresses);
    let Answer::Failed(cause) = ask(&estimators).await else {
        panic!("-9 is no number of replicas");
    };
    assert_eq!(
        cause,
        "the estimator of cluster m1 answered -9, which is no number of replicas"
    );
    fake.number.store(-1, Ordering::Relaxed);
    assert_eq!(ask(&estimators).await, Answer::Fits(-1));
    fake.number.store(i32::MAX, Ordering::Relaxed);
    assert_eq!(ask(&estimators).await, Answer::Fits(i32::MAX));
}

#[tokio::test]
async fn an_error_of_the_server_is_told_and_does_not_cost_the_connection() {
    let fake = Fake::answers(7);
    let (addresses, _stop) = serve(fake.clone(), ServerFiles::default()).await;
    let estimators = estimators(LONG, ClientFiles::default());
    estimators.connect("m1", addresses);
    let Answer::Failed(cause) = ask(&estimators).await else {
        panic!("the server refused");
    };
    assert!(cause.contains("cluster name does not match"), "{cause}");
    fake.number.store(3, Ordering::Relaxed);
    assert_eq!(ask(&estimators).await, Answer::Fits(3));
}

#[tokio::test]
async fn a_server_that_is_gone_is_found_again_at_another_address() {
    let (addresses, stop) = serve(Fake::answers(5), ServerFiles::default()).await;
    let estimators = estimators(LONG, ClientFiles::default());
    estimators.connect("m1", addresses);
    assert_eq!(ask(&estimators).await, Answer::Fits(5));
    drop(stop);
    until(&estimators, |answer| matches!(answer, Answer::Failed(_))).await;

    let (addresses, _stop) = serve(Fake::answers(8), ServerFiles::default()).await;
    estimators.connect("m1", addresses);
    assert_eq!(ask(&estimators).await, Answer::Fits(8));
    estimators.disconnect("m1");
    assert_eq!(
        ask(&estimators).await,
        Answer::Failed("cluster m1 does not exist in estimator cache".to_owned())
    );
}

#[tokio::test]
async fn one_cluster_without_an_answer_does_not_cost_the_others_theirs() {
    let hanging = Fake::answers(5);
    let (slow, _stop) = serve(hanging.clone(), ServerFiles::default()).await;
    let (quick, _stop2) = serve(Fake::answers(4), ServerFiles::default()).await;
    let estimators = estimators(Duration::from_millis(500), ClientFiles::default());
    estimators.connect("m1", slow);
    estimators.connect("m2", quick);
    until(&estimators, |answer| *answer == Answer::Fits(5)).await;
    hanging.number.store(HANG, Ordering::Relaxed);
    let clusters = ["m1", "m2", "m3"].map(str::to_owned);
    let about = ObjectReference::default();
    let deadline = Instant::now() + Duration::from_secs(30);
    // The link to m2 may still be connecting.
    loop {
        let answers = estimators
            .unschedulable(&about, Duration::ZERO, &clusters)
            .await;
        let numbers: Vec<Option<i32>> =
            answers.into_iter().map(|(_, answer)| answer.ok()).collect();
        if numbers == [None, Some(4), None] {
            break;
        }
        assert!(Instant::now() < deadline, "still {numbers:?}");
    }
}

#[tokio::test]
async fn both_sides_show_certificates() {
    let (pki, other) = (Pki::new(), Pki::new());
    let (addresses, _stop) = serve(Fake::answers(5), pki.server()).await;
    let try_with = async |files: ClientFiles| {
        let estimators = estimators(LONG, files);
        estimators.connect("m1", addresses.clone());
        ask(&estimators).await
    };
    assert_eq!(try_with(pki.client()).await, Answer::Fits(5));
    let unverified = ClientFiles {
        authority: None,
        skip_verify: true,
        ..pki.client()
    };
    assert_eq!(try_with(unverified).await, Answer::Fits(5));
    for refused in [
        // Nothing to show, a certificate of others, a server of others, no TLS at all.
        ClientFiles {
            certificate: None,
            ..pki.client()
        },
        ClientFiles {
            authority: Some(pki.file("ca.crt")),
            ..other.client()
        },
        other.client(),
        ClientFiles::default(),
    ] {
        let answer = try_with(refused).await;
        assert!(matches!(answer, Answer::Failed(_)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_no_certificate_takes_any_client() {
    let pki = Pki::new();
    let files = ServerFiles {
        skip_client_verify: true,
        ..pki.server()
    };
    let (addresses, _stop) = serve(Fake::answers(5), files).await;
    let client = ClientFiles {
        certificate: None,
        key: None,
        ..pki.client()
    };
    let estimators = estimators(LONG, client);
    estimators.connect("m1", addresses);
    assert_eq!(ask(&estimators).await, Answer::Fits(5));
}

#[test]
fn renewed_certificates_are_taken_and_broken_ones_are_not() {
    let pki = Pki::new();
    let reloading = Reloading::new(pki.server()).unwrap();
    let first = reloading.current().unwrap();
    assert!(Arc::ptr_eq(&first, &reloading.current().unwrap()));
    let write = |text: &[u8], seconds: u64| {
        let path = pki.file("server.crt");
        fs::write(&path, text).unwrap();
        // Two writes within the resolution of the clock would look like one.
        let file = fs::File::options().write(true).open(&path).unwrap();
        let time = std::time::SystemTime::now() + Duration::from_secs(seconds);
        file.set_modified(time).unwrap();
    };
    let good = fs::read(pki.file("server.crt")).unwrap();
    write(b"nothing", 10);
    assert!(Arc::ptr_eq(&first, &reloading.current().unwrap()));
    write(&good, 20);
    assert!(!Arc::ptr_eq(&first, &reloading.current().unwrap()));
    let missing = ServerFiles {
        certificate: Some(pki.file("absent.crt")),
        ..pki.server()
    };
    let error = Reloading::new(missing).unwrap_err().to_string();
    assert!(error.contains("absent.crt"), "{error}");
}
