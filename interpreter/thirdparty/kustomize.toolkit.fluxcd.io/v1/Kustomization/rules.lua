-- Flux Kustomization.

function Retain(desired, observed) return retain_suspension(desired, observed) end

function ReflectStatus(observed)
  return reflect_generations(observed, {"conditions", "lastAppliedRevision", "lastAttemptedRevision", "observedGeneration"})
end

function AggregateStatus(object, items)
  return aggregate_flux(object, items, {
    lastAppliedRevision = at(object, "status", "lastAppliedRevision") or false,
    lastAttemptedRevision = at(object, "status", "lastAttemptedRevision") or false,
  })
end

function InterpretHealth(observed) return is_ready(observed, {"ReconciliationSucceeded"}) end

function GetDependencies(object)
  local references = {}
  refer_secret(references, object, "decryption", "secretRef")
  refer_secret(references, object, "kubeConfig", "secretRef")
  refer_account(references, object)
  return references
end
