-- Flux HelmRepository.

function Retain(desired, observed) return retain_suspension(desired, observed) end

function ReflectStatus(observed)
  return reflect_generations(observed, {"artifact", "conditions", "observedGeneration", "url"})
end

function AggregateStatus(object, items) return aggregate_flux(object, items, {url = false}, true) end

function InterpretHealth(observed) return is_ready(observed, {"Succeeded"}) end

function GetDependencies(object)
  local references = {}
  refer_secret(references, object, "secretRef")
  return references
end
