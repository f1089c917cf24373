//! How an object came to be where it is, and not elsewhere: put together when somebody asks.
//!
//! Whatever follows from what the stores hold is computed when it is asked for, by the functions that decided, with a recorder in the
//! place of [`trace::NoTrace`]; so an account costs nothing until it is read, and cannot differ from what the process would do. What
//! cannot be computed again, the answers of members, is kept in [`Answers`], within a bound.
//!
//! The account is JSON:
//!
//! ```json
//! {
//!   "object": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web", "uid": "…", "generation": 3},
//!   "policy": {
//!     "decision": "Apply",
//!     "template": [{"type": "template", "object": "Deployment shop/web (apps/v1)", "verdict": {"state": "Allowed"}}],
//!     "claim": [{"type": "claim", "policy": {…}, "code": null, "message": "…"}],
//!     "candidates": [{"type": "policy", "policy": {"kind": "PropagationPolicy", "namespace": "shop", "name": "web"}, "matched": true,
//!                     "level": "…", "priority": 0, "used": true, "code": null, "message": "…"}],
//!     "obstacles": [{"type": "obstacle", "policy": {…}, "code": "DependentOverrideMissing", "message": "…"}]
//!   },
//!   "binding": {"kind": "ResourceBinding", "namespace": "shop", "name": "web-deployment", "generation": 2, "clusters": […],
//!               "conditions": […], "scheduling": "/debug/scheduling/shop/web-deployment"},
//!   "clusters": [{
//!     "cluster": "member1",
//!     "rendered": [{"type": "overrideRule", "policy": {…}, "cluster": "member1", "rule": 1, "code": "RuleApplied", "reason": "",
//!                   "operations": [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "…"}]}],
//!     "error": null,
//!     "held": [{"type": "brake", "scope": "PropagationPolicy shop/web", "held": true, "reason": "more than 30 % and …"}],
//!     "work": {"namespace": "karmada-es-member1", "name": "web-…", "generation": 1, "conditions": […]},
//!     "answers": [{"manifest": 0, "action": "create", "result": "Success", "message": "", "at": "2026-01-01T00:00:00Z", "attempts": 1}]
//!   }]
//! }
//! ```
//!
//! Items have the shapes of [`propagation::trace::Item`]. `candidates` tells how every policy fares now: against the one that has
//! the template while its claim holds, else against the one that gets it. `claim` tells what becomes of the claim, `template` whether
//! the object is propagated at all, `obstacles` what keeps the policy from building the binding. `held` tells what the
//! brake keeps in a cluster that should have been left. A Namespace that every member has is told by its Works alone. Values of
//! Secrets are left out.

mod answers;
mod object;

pub(crate) use self::answers::{Action, Outcome};
pub use self::{
    answers::Answers,
    object::{Account, Found, account},
};
