//! What users and administrators do, drawn by lot.

/// Random numbers that a seed tells (xorshift64*).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % end
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// How many templates there are at most.
pub(super) const SLOTS: usize = 9;
pub(super) const MEMBERS: [&str; 3] = ["member1", "member2", "member3"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ConfigMap,
    Deployment,
    Secret,
    Service,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [
        Self::ConfigMap,
        Self::Deployment,
        Self::Secret,
        Self::Service,
    ];

    pub(super) fn of(slot: usize) -> Self {
        // Half of them are Deployments and ConfigMaps, which have the most to lose.
        [
            Self::ConfigMap,
            Self::Deployment,
            Self::Secret,
            Self::Deployment,
            Self::Service,
            Self::ConfigMap,
        ][slot % 6]
    }
}

/// Where a policy sends its template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Clusters(Vec<&'static str>),
    /// Shares of one and two, and more: no ties.
    Weights(Vec<&'static str>),
    Labelled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hold {
    Nothing,
    Everything,
    Clusters(Vec<&'static str>),
}

/// The one policy of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    /// Policies that follow each other differ by this, and so do their names.
    pub(super) edition: usize,
    pub(super) cluster_wide: bool,
    pub(super) place: Place,
    pub(super) hold: Hold,
    pub(super) overwrite: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) content: usize,
    pub(super) replicas: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Override {
    pub(super) cluster_wide: bool,
    pub(super) cluster: &'static str,
    pub(super) value: usize,
    /// A rule that does not apply, so that the cluster is held back.
    pub(super) bad: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Operation {
    Template(usize, Option<Template>),
    /// The new policy, and the one that goes for it.
    Policy(usize, Policy, Option<Policy>),
    /// A policy of higher rank that takes the template, or its end.
    Preempt(usize, Option<Place>),
    Override(usize, Option<Override>, Option<Override>),
    Label(&'static str, bool),
    DeleteBinding(usize),
    DeleteWork(usize, &'static str),
    EditInMember(usize, &'static str, usize),
    DeleteInMember(usize, &'static str),
}

/// Draws operations, and ends with those that take back what would leave the outcome to chance: suspensions, bad overrides.
pub(super) fn plan(dice: &mut Dice, count: usize) -> Vec<Operation> {
    let mut model = Model::new(dice);
    let mut operations = std::mem::take(&mut model.first);
    while operations.len() < count {
        operations.extend(model.draw(dice));
    }
    operations.extend(model.last());
    operations
}

struct Model {
    templates: Vec<Option<Template>>,
    policies: Vec<Policy>,
    preempted: Vec<bool>,
    overrides: Vec<Option<Override>>,
    labelled: [bool; 3],
    edition: usize,
    first: Vec<Operation>,
}

impl Model {
    fn new(dice: &mut Dice) -> Self {
        let mut model = Self {
            templates: vec![None; SLOTS],
            policies: Vec::new(),
            preempted: vec![false; SLOTS],
            overrides: vec![None; SLOTS],
            labelled: [true, false, false],
            edition: 0,
            first: vec![
                Operation::Label("member1", true),
                Operation::Label("member2", false),
                Operation::Label("member3", false),
            ],
        };
        for slot in 0..SLOTS {
            let policy = model.policy(dice);
            model
                .first
                .push(Operation::Policy(slot, policy.clone(), None));
            model.policies.push(policy);
        }
        model
    }

    fn next(&mut self) -> usize {
        self.edition += 1;
        self.edition
    }

    fn policy(&mut self, dice: &mut Dice) -> Policy {
        Policy {
            edition: self.next(),
            cluster_wide: dice.one_in(3),
            place: place(dice),
            hold: Hold::Nothing,
            overwrite: dice.one_in(4),
        }
    }

    fn draw(&mut self, dice: &mut Dice) -> Vec<Operation> {
        let slot = dice.below(SLOTS);
        let member = MEMBERS[dice.below(3)];
        match dice.below(20) {
            0..=5 => vec![self.template(slot, dice)],
            6 | 7 => {
                let mut policy = self.policies[slot].clone();
                policy.place = place(dice);
                policy.overwrite = dice.one_in(4);
                vec![self.replace(slot, policy, false)]
            }
            8 | 9 => {
                let policy = self.policy(dice);
                vec![self.replace(slot, policy, true)]
            }
            10 | 11 => {
                let mut policy = self.policies[slot].clone();
                policy.hold = match dice.below(3) {
                    0 => Hold::Everything,
                    1 => Hold::Clusters(vec![member]),
                    _ => Hold::Nothing,
                };
                vec![self.replace(slot, policy, false)]
            }
            12 | 13 => vec![self.revise(slot, dice)],
            14 => self.label(dice),
            15 => {
                self.preempted[slot] = !self.preempted[slot];
                let place = self.preempted[slot].then(|| place(dice));
                vec![Operation::Preempt(slot, place)]
            }
            16 => vec![Operation::DeleteBinding(slot)],
            17 => vec![Operation::DeleteWork(slot, member)],
            18 => vec![Operation::EditInMember(slot, member, self.next())],
            _ => vec![Operation::DeleteInMember(slot, member)],
        }
    }

    fn template(&mut self, slot: usize, dice: &mut Dice) -> Operation {
        let content = self.next();
        let template = match self.templates[slot].clone() {
            None => Some(Template {
                content,
                replicas: 3,
            }),
            Some(_) if dice.one_in(5) => None,
            Some(template) if dice.one_in(2) => Some(Template {
                replicas: dice.below(9),
                ..template
            }),
            Some(template) => Some(Template {
                content,
                ..template
            }),
        };
        self.templates[slot].clone_from(&template);
        Operation::Template(slot, template)
    }

    fn replace(&mut self, slot: usize, policy: Policy, switch: bool) -> Operation {
        let old = std::mem::replace(&mut self.policies[slot], policy.clone());
        Operation::Policy(slot, policy, switch.then_some(old))
    }

    fn revise(&mut self, slot: usize, dice: &mut Dice) -> Operation {
        let value = self.next();
        let new = (!dice.one_in(3)).then(|| Override {
            cluster_wide: dice.one_in(3),
            cluster: MEMBERS[dice.below(3)],
            value,
            bad: dice.one_in(4),
        });
        let old = std::mem::replace(&mut self.overrides[slot], new.clone());
        Operation::Override(slot, new, old)
    }

    /// Moves a label, so that at least one cluster has it at any moment.
    fn label(&mut self, dice: &mut Dice) -> Vec<Operation> {
        let at = dice.below(3);
        let others = (0..3).any(|other| other != at && self.labelled[other]);
        if self.labelled[at] && !others {
            return Vec::new();
        }
        self.labelled[at] = !self.labelled[at];
        vec![Operation::Label(MEMBERS[at], self.labelled[at])]
    }

    fn last(&mut self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for slot in 0..SLOTS {
            let mut policy = self.policies[slot].clone();
            policy.hold = Hold::Nothing;
            operations.push(self.replace(slot, policy, false));
            if let Some(old) = self.overrides[slot].take_if(|it| it.bad) {
                operations.push(Operation::Override(slot, None, Some(old)));
            }
            if self.templates[slot].is_none() && slot % 2 == 0 {
                let template = Template {
                    content: self.next(),
                    replicas: 2,
                };
                operations.push(Operation::Template(slot, Some(template)));
            }
        }
        operations
    }
}

fn place(dice: &mut Dice) -> Place {
    let mut clusters: Vec<&'static str> = MEMBERS.into_iter().filter(|_| !dice.one_in(3)).collect();
    if clusters.is_empty() {
        clusters.push(MEMBERS[dice.below(3)]);
    }
    match dice.below(4) {
        0 => Place::Labelled,
        1 => Place::Weights(clusters),
        _ => Place::Clusters(clusters),
    }
}
