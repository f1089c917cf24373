-- Flux OCIRepository.

function Retain(desired, observed) return retain_suspension(desired, observed) end

function ReflectStatus(observed)
  return reflect_generations(observed, {
    "artifact", "conditions", "url", "observedGeneration", "observedIgnore", "observedLayerSelector",
  })
end

function AggregateStatus(object, items) return aggregate_flux(object, items, {url = false}, true) end

function InterpretHealth(observed) return is_ready(observed, {"Succeeded"}) end

function GetDependencies(object)
  local references = {}
  refer_secret(references, object, "secretRef")
  refer_secret(references, object, "verify", "secretRef")
  refer_secret(references, object, "certSecretRef")
  if compat and at(object, "spec", "serviceAccountName") == nil then error("there is no serviceAccountName") end
  refer_account(references, object)
  return references
end
