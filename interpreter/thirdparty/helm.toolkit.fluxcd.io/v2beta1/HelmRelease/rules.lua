-- Flux HelmRelease.

local counters = {"failures", "upgradeFailures", "installFailures"}

function Retain(desired, observed) return retain_suspension(desired, observed) end

-- Versions from v2beta2 on tell in the reason of a condition what was done, not that it succeeded.
local function is_later(object) return object.apiVersion ~= "helm.toolkit.fluxcd.io/v2beta1" end

function ReflectStatus(observed)
  local fields = {
    "conditions", "observedGeneration", "lastAttemptedRevision", "lastAppliedRevision", "lastAttemptedValuesChecksum",
    "helmChart", "lastReleaseRevision", "failures", "upgradeFailures", "installFailures",
  }
  if is_later(observed) then
    for _, field in ipairs({"history", "lastAttemptedConfigDigest", "lastAttemptedReleaseAction", "storageNamespace"}) do
      fields[#fields + 1] = field
    end
  end
  return reflect_generations(observed, fields)
end

function AggregateStatus(object, items)
  local texts = {}
  for _, field in ipairs({"lastAttemptedRevision", "lastAppliedRevision", "lastAttemptedValuesChecksum", "helmChart"}) do
    texts[field] = at(object, "status", field) or false
  end
  if is_later(object) then
    for _, field in ipairs({"lastAttemptedConfigDigest", "lastAttemptedReleaseAction", "storageNamespace"}) do
      texts[field] = at(object, "status", field) or false
    end
  end
  aggregate_flux(object, items, texts)
  local status = object.status
  if items == nil then
    for _, field in ipairs(counters) do status[field] = 0 end
    -- A number by the schema, which later versions are held to.
    status.lastReleaseRevision = not is_later(object) and "" or nil
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
  if is_later(object) then status.history = last(items, "history") end
  return object
end

function InterpretHealth(observed)
  if is_later(observed) then return is_true(at(observed, "status", "conditions"), "Ready") end
  return is_ready(observed, {"ReconciliationSucceeded"})
end

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
