//! `demo`: a workload goes to three clusters, and where it went is shown.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt as _};

use super::screen::Screen;
use super::status::print;
use super::up::{self, UpArgs};
use super::{Error, Setup, client, kubeconfig_path, status, table};

const QUICKSTART: [&str; 5] = [
    include_str!("../../../examples/quickstart/configmap.yaml"),
    include_str!("../../../examples/quickstart/deployment.yaml"),
    include_str!("../../../examples/quickstart/service.yaml"),
    include_str!("../../../examples/quickstart/propagationpolicy.yaml"),
    include_str!("../../../examples/quickstart/overridepolicy.yaml"),
];
const MEMBERS: u32 = 3;
const NAMESPACE: &str = "default";
const WORKLOAD: &str = "web";
const CONFIG: &str = "web-content";
const FIELD_MANAGER: &str = "navarch-cli";
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(250);

pub(super) async fn run(dir: &Path, args: &UpArgs, setup: &Setup<'_>) -> Result<(), Error> {
    if args.members.is_some_and(|members| members < MEMBERS) || args.no_navarch {
        return Err(
            Error::new(format!("the demo needs navarch and {MEMBERS} members"))
                .with_hint("leave out --members and --no-navarch"),
        );
    }
    let started = Instant::now();
    up::bring_up(dir, args, setup).await?;
    let state = up::current(dir)?;
    status::print_clusters(dir, &state, Some(started.elapsed())).await?;

    let screen = Screen::new(setup.quiet);
    screen.status("applying examples/quickstart");
    let control_plane = client(&kubeconfig_path(dir, testbed::CONTROL_PLANE)).await?;
    let applied = Instant::now();
    for text in QUICKSTART {
        apply(&control_plane, text).await?;
    }
    let waited = wait_until_available(&control_plane, &screen).await;
    let after = applied.elapsed();
    screen.clear();

    let mut rows = Vec::new();
    for name in up::member_names(&state) {
        rows.push(placed(dir, &name).await?);
    }
    let table = table::with_header(
        &[
            "CLUSTER",
            "REPLICAS",
            "READY",
            "IMAGE",
            "SERVICE",
            "CONFIGMAP",
        ],
        rows,
    );
    waited.map_err(|error| error.with_detail(Some(table.clone())))?;
    print(&format!(
        "\n{WORKLOAD}, 6 replicas, went out 1:2:3 and was ready everywhere in {:.1}s:\n\n",
        after.as_secs_f64()
    ))?;
    print(&table)?;
    if !setup.quiet {
        eprint!("{}", what_next(dir, &setup.command()));
    }
    Ok(())
}

fn what_next(dir: &Path, navarch: &str) -> String {
    format!(
        "
try:  export KUBECONFIG={kubeconfig}
      kubectl get deploy,rb,work -A                    what the control plane made of it
      kubectl scale deploy web --replicas 12           then: kubectl --context member3 get deploy web
      kubectl edit propagationpolicy web               other weights, other clusters
      {navarch} local stop member2                       an outage; start ends it
      {navarch} local down                               when you have seen enough
",
        kubeconfig = kubeconfig_path(dir, "all").display()
    )
}

async fn apply(client: &Client, text: &str) -> Result<(), Error> {
    let object: DynamicObject = serde_saphyr::from_str(text)
        .map_err(|error| Error::new(format!("a manifest of the quickstart: {error}")))?;
    let name = object.name_any();
    let types = object.types.clone().unwrap_or_default();
    let failed =
        |error: kube::Error| Error::new(format!("cannot apply {} {name}: {error}", types.kind));
    let gvk = GroupVersionKind::try_from(&types).map_err(|error| Error::from_chain(&error))?;
    let (resource, _) = kube::discovery::pinned_kind(client, &gvk)
        .await
        .map_err(failed)?;
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(&object))
        .await
        .map_err(failed)?;
    Ok(())
}

/// Waits until the template's status says that all replicas are ready, in all members together.
async fn wait_until_available(client: &Client, screen: &Screen) -> Result<(), Error> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let cause = match api.get(WORKLOAD).await {
            Ok(template) => {
                let wanted = template.spec.replicas.unwrap_or(1);
                let status = template.status.clone().unwrap_or_default();
                let ready = status.ready_replicas.unwrap_or(0);
                if ready == wanted && status.observed_generation == template.metadata.generation {
                    return Ok(());
                }
                format!("{ready} of {wanted} replicas are ready")
            }
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(Error::new(format!("not delivered after {} s: {cause}", PATIENCE.as_secs()))
                .with_hint("kubectl describe deploy,rb,work -A says where it stopped; navarch local logs navarch"));
        }
        screen.status(&format!("waiting: {cause}"));
        tokio::time::sleep(POLL).await;
    }
}

/// What a member has of the quickstart.
async fn placed(dir: &Path, member: &str) -> Result<Vec<String>, Error> {
    let client = client(&kubeconfig_path(dir, member)).await?;
    let failed = |error: kube::Error| Error::new(format!("cannot read {member}: {error}"));
    let deployment = Api::<Deployment>::namespaced(client.clone(), NAMESPACE)
        .get_opt(WORKLOAD)
        .await
        .map_err(failed)?;
    let service = Api::<Service>::namespaced(client.clone(), NAMESPACE)
        .get_opt(WORKLOAD)
        .await
        .map_err(failed)?;
    let config = Api::<ConfigMap>::namespaced(client, NAMESPACE)
        .get_opt(CONFIG)
        .await
        .map_err(failed)?;
    let yes = |exists: bool| if exists { "yes" } else { "no" }.to_owned();
    let number = |count: Option<i32>| count.unwrap_or(0).to_string();
    let spec = deployment.as_ref().map(|it| &it.spec);
    let status = deployment.as_ref().and_then(|it| it.status.as_ref());
    let image = spec
        .and_then(|it| it.template.spec.as_ref())
        .and_then(|it| it.containers.first()?.image.clone());
    Ok(vec![
        member.to_owned(),
        number(spec.and_then(|it| it.replicas)),
        number(status.and_then(|it| it.ready_replicas)),
        image.unwrap_or_else(|| "<none>".to_owned()),
        yes(service.is_some()),
        yes(config.is_some()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickstart_is_what_the_demo_waits_for() {
        let objects: Vec<DynamicObject> = QUICKSTART
            .iter()
            .map(|text| serde_saphyr::from_str(text).unwrap())
            .collect();
        let names: Vec<(String, String)> = objects
            .iter()
            .map(|it| (it.types.clone().unwrap().kind, it.name_any()))
            .collect();
        for (kind, name) in [
            ("Deployment", WORKLOAD),
            ("Service", WORKLOAD),
            ("ConfigMap", CONFIG),
        ] {
            assert!(
                names.contains(&(kind.to_owned(), name.to_owned())),
                "{kind} {name} in {names:?}"
            );
        }
        assert!(
            objects
                .iter()
                .all(|it| it.namespace().as_deref() == Some(NAMESPACE))
        );
    }
}
