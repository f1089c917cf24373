//! Customizations and webhook configurations -> the interpreter that everybody uses, swapped whole after each change.
//!
//! reads   customizations, webhook configurations
//! wakes   the objects of every kind whose rules have changed
//! tells   authors, by an event on their object, what cannot work in it

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use crds::{
    config::{ResourceInterpreterCustomization, ResourceInterpreterWebhookConfiguration},
    object::Gvk,
    reasons,
    work::Binding,
};
use futures::future::BoxFuture;
use interpreter::{
    Customizations, Interpreter, Note, Options, Target,
    check::{self, Finding},
    webhook::Webhooks,
};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt};
use runtime::{Store, events::Source, store::Malformed};

use super::Interpretation;
use crate::{World, write};

/// Configurations come in folders; what arrives within this time is loaded at once.
const GATHER: Duration = Duration::from_millis(20);

/// What was loaded last.
pub(super) struct Configuration {
    base: Interpreter,
    customizations: Option<Arc<Customizations>>,
    webhooks: Arc<Webhooks>,
}

impl Configuration {
    pub(super) fn new(base: Interpreter) -> Self {
        Self {
            base,
            customizations: None,
            webhooks: Arc::default(),
        }
    }

    pub(super) fn set_options(&mut self, options: Options) {
        self.base = self.base.clone().with_options(options);
    }
}

impl Interpretation {
    /// Takes over a configuration, and tells the hooks which kinds it changes; the first one changes none, because nothing was
    /// decided before it. `kinds` are those that there are objects of.
    pub fn load(
        &self,
        customizations: &[Arc<ResourceInterpreterCustomization>],
        configurations: &[Arc<ResourceInterpreterWebhookConfiguration>],
        kinds: impl FnOnce() -> BTreeSet<Gvk>,
    ) {
        let mut loaded = self.configuration.lock();
        let previous = loaded.customizations.clone();
        let customizations = Arc::new(Customizations::new(
            customizations.iter().map(AsRef::as_ref),
            &self.runtime,
            previous.as_deref(),
        ));
        let webhooks = Arc::new(Webhooks::new(configurations.iter().map(AsRef::as_ref)));
        let mut changed = BTreeSet::new();
        if let Some(previous) = &previous {
            changed.extend(customizations.changed_kinds(previous));
            if !webhooks.is_empty() || !loaded.webhooks.is_empty() {
                changed.extend(
                    kinds()
                        .into_iter()
                        .filter(|kind| webhooks.differ_for(&loaded.webhooks, Target::from(kind))),
                );
            }
        }
        let interpreter = loaded
            .base
            .clone()
            .with_layer(Arc::clone(&customizations) as Arc<dyn interpreter::Layer>)
            .with_webhooks(Arc::clone(&webhooks));
        for kind in &changed {
            self.lanes.forget(kind);
        }
        *self.current.write() = Arc::new(interpreter);
        loaded.customizations = Some(customizations);
        loaded.webhooks = webhooks;
        drop(loaded);
        self.loaded.send_replace(true);
        if !changed.is_empty() {
            let changed: Vec<Gvk> = changed.into_iter().collect();
            tracing::info!(kinds = %names(&changed), "Rules have changed, looking at their objects again");
            for hook in self.hooks.read().iter() {
                hook(&changed);
            }
        }
    }

    /// What the authors of the customizations should know.
    fn notes(&self) -> Vec<Note> {
        let loaded = self.configuration.lock();
        let customizations = loaded.customizations.as_ref();
        customizations.map_or_else(Vec::new, |it| it.notes().to_vec())
    }
}

fn names(kinds: &[Gvk]) -> String {
    let names: Vec<_> = kinds
        .iter()
        .map(|kind| Target::from(kind).to_string())
        .collect();
    names.join(", ")
}

/// Subscribes to the stores; the future keeps the interpreter up to date.
pub fn prepare(world: &Arc<World>) -> BoxFuture<'static, ()> {
    tell_changes(world, &world.customizations);
    tell_changes(world, &world.webhook_configurations);
    let world = Arc::clone(world);
    let events = Source::new(&world.recorder, "interpreter");
    Box::pin(async move {
        let mut told = Told::default();
        let (mut customizations, mut configurations) = (
            world.customizations.malformed(),
            world.webhook_configurations.malformed(),
        );
        told.tell(&world, &events);
        loop {
            tokio::select! {
                () = world.stop.cancelled() => return,
                () = world.interpreter.changed.notified() => {}
                // The stores live as long as the world.
                _ = customizations.changed() => {}
                _ = configurations.changed() => {}
            }
            tokio::time::sleep(GATHER).await;
            world.load_interpreter();
            told.tell(&world, &events);
        }
    })
}

fn tell_changes<K: Resource<DynamicType = ()> + 'static>(world: &Arc<World>, store: &Store<K>) {
    let world = Arc::downgrade(world);
    store.subscribe(move |_| {
        if let Some(world) = world.upgrade() {
            world.interpreter.changed.notify_one();
        }
    });
}

/// The kinds that the control plane has bindings or Works of.
pub(crate) fn kinds_in_use(world: &World) -> BTreeSet<Gvk> {
    let mut kinds: BTreeSet<Gvk> = world.templates.kinds().into_iter().collect();
    for binding in world.bindings.list() {
        kinds.insert(kind_of(&*binding));
    }
    for binding in world.cluster_bindings.list() {
        kinds.insert(kind_of(&*binding));
    }
    for work in world.works.list() {
        kinds.extend(work.spec.workload.manifests.iter().map(Gvk::of));
    }
    kinds
}

fn kind_of<B: Binding>(binding: &B) -> Gvk {
    let resource = &binding.spec().resource;
    Gvk::parse(&resource.api_version, &resource.kind)
}

/// What authors have been told.
#[derive(Default)]
struct Told {
    /// Versions of objects by their uid.
    versions: HashMap<String, String>,
    notes: BTreeSet<Note>,
}

impl Told {
    fn tell(&mut self, world: &World, events: &Source) {
        self.tell_findings(world, events);
        let notes: BTreeSet<Note> = world.interpreter.notes().into_iter().collect();
        for note in notes.difference(&self.notes) {
            tell_shadowed(world, events, note);
        }
        self.notes = notes;
    }

    /// Says what is wrong with objects that are new or have changed. Admission refuses these where it runs.
    fn tell_findings(&mut self, world: &World, events: &Source) {
        let customizations = world.customizations.list();
        let configurations = world.webhook_configurations.list();
        let mut present = HashMap::new();
        for object in &customizations {
            if self.is_news(&mut present, &**object) {
                for finding in check::customization(object, &world.interpreter.runtime) {
                    let text = customization_text(&finding);
                    events.warning(
                        write::reference(&**object),
                        reasons::INVALID_CUSTOMIZATION,
                        text,
                    );
                }
            }
        }
        for object in &configurations {
            if self.is_news(&mut present, &**object) {
                for error in check::webhook_configuration(object) {
                    let reason = reasons::INVALID_WEBHOOK_CONFIGURATION;
                    let text = format!("{}: {}", error.path, error.problem);
                    events.warning(write::reference(&**object), reason, text);
                }
            }
        }
        for (store, reason) in [
            (
                world.customizations.malformed(),
                reasons::INVALID_CUSTOMIZATION,
            ),
            (
                world.webhook_configurations.malformed(),
                reasons::INVALID_WEBHOOK_CONFIGURATION,
            ),
        ] {
            let is_customization = reason == reasons::INVALID_CUSTOMIZATION;
            for malformed in store.borrow().values() {
                let (uid, version) = (
                    malformed.uid.clone().unwrap_or_default(),
                    malformed.resource_version.clone().unwrap_or_default(),
                );
                if self.versions.get(&uid) != Some(&version) {
                    let about = if is_customization {
                        reference_of::<ResourceInterpreterCustomization>(malformed)
                    } else {
                        reference_of::<ResourceInterpreterWebhookConfiguration>(malformed)
                    };
                    events.warning(about, reason, malformed_text(malformed));
                }
                present.insert(uid, version);
            }
        }
        self.versions = present;
    }

    fn is_news(&self, present: &mut HashMap<String, String>, object: &impl ResourceExt) -> bool {
        let (uid, version) = (
            object.uid().unwrap_or_default(),
            object.resource_version().unwrap_or_default(),
        );
        let is_news = self.versions.get(&uid) != Some(&version);
        present.insert(uid, version);
        is_news
    }
}

fn reference_of<K: Resource<DynamicType = ()>>(malformed: &Malformed) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: Some(malformed.key.name.clone()),
        uid: malformed.uid.clone(),
        resource_version: malformed.resource_version.clone(),
        ..ObjectReference::default()
    }
}

fn malformed_text(malformed: &Malformed) -> String {
    format!(
        "this version is not used, because it does not decode: {}; correct it, until then the version before stays in force",
        malformed.error
    )
}

fn customization_text(finding: &Finding) -> String {
    let rule = finding
        .operation
        .map_or("target", |operation| operation.as_str());
    match finding.line {
        Some(line) => format!("{rule}: line {line}: {}", finding.message),
        None => format!("{rule}: {}", finding.message),
    }
}

fn tell_shadowed(world: &World, events: &Source, note: &Note) {
    let Note::Shadowed {
        customization,
        operation,
        by,
    } = note
    else {
        // The findings say it, with what only the engine finds.
        return;
    };
    let key = crds::object::Key::cluster_scoped(customization);
    if let Some(object) = world.customizations.get(&key) {
        let text = format!(
            "{operation}: the script is never run, because customization {by} has one for the same kind and comes first by name"
        );
        let about = write::reference(&*object);
        events.warning(about, reasons::SHADOWED_CUSTOMIZATION, text);
    }
}
