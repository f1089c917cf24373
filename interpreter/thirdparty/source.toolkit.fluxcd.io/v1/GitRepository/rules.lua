-- Flux GitRepository.

function Retain(desired, observed) return retain_suspension(desired, observed) end

function ReflectStatus(observed)
  return reflect_generations(observed, {
    "conditions", "artifact", "observedGeneration", "observedIgnore", "observedRecurseSubmodules",
  })
end

function AggregateStatus(object, items) return aggregate_flux(object, items, {}, true) end

function InterpretHealth(observed) return is_ready(observed, {"Succeeded"}) end

function GetDependencies(object)
  local references = {}
  refer_secret(references, object, "secretRef")
  refer_secret(references, object, "verify", "secretRef")
  return references
end
