-- Flux HelmRelease.

local counters = {"failures", "upgradeFailures", "installFailures"}

function Retain(desired, observed) return retain_suspension(desired, observed) end

function ReflectStatus(observed)
  return reflect_generations(observed, {
    "conditions", "observedGeneration", "lastAttemptedRevision", "lastAppliedRevision", "lastAttemptedValuesChecksum",
    "helmChart", "lastReleaseRevision", "failures", "upgradeFailures", "installFailures",
  })
end

function AggregateStatus(object, items)
  local texts = {}
  for _, field in ipairs({"lastAttemptedRevision", "lastAppliedRevision", "lastAttemptedValuesChecksum", "helmChart"}) do
    texts[field] = at(object, "status", field) or false
  end
  aggregate_flux(object, items, texts)
  local status = object.status
  if items == nil then
    for _, field in ipairs(counters) do status[field] = 0 end
    status.lastReleaseRevision = ""
    return object
  end
  for _, field in ipairs(counters) do
    if not compat then
      status[field] = sum(items, field)
    elseif status[field] ~= nil then
      -- The reference adds to what it wrote the last time.
      status[field] = status[field] + sum(items, field)
    end
  end
  status.lastReleaseRevision = last(items, "lastReleaseRevision", status.lastReleaseRevision)
  return object
end

function InterpretHealth(observed) return is_ready(observed, {"ReconciliationSucceeded"}) end

function GetDependencies(object)
  local references = {}
  for _, source in each(at(object, "spec", "valuesFrom")) do
    if source.kind == "Secret" or source.kind == "ConfigMap" then
      if source.name == nil and compat then error("an entry of valuesFrom has no name") end
      if source.name ~= nil and (compat or source.name ~= "") then
        refer(references, source.kind, object.metadata.namespace, source.name)
      end
    end
  end
  refer_secret(references, object, "chart", "spec", "verify", "secretRef")
  refer_secret(references, object, "kubeConfig", "secretRef")
  refer_account(references, object)
  return references
end
