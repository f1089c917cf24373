-- What the rules of Flux's kinds share. Stands between the common part and each kind's own rules.

local function retain_suspension(desired, observed)
  local suspend = at(observed, "spec", "suspend")
  if suspend ~= nil then
    if not compat then desired.spec = desired.spec or {} end
    desired.spec.suspend = suspend
  end
  return desired
end

-- Conditions, texts with the values that they start from, and the artifact of a source.
local function aggregate_flux(object, items, texts, has_artifact)
  aggregate_generation(object, items)
  local status = object.status
  status.conditions = merged_conditions(items)
  for field, start in pairs(texts) do
    if items == nil then
      status[field] = ""
    else
      status[field] = last_text(items, field, start or nil)
    end
  end
  if has_artifact then status.artifact = last(items, "artifact") end
  return object
end

-- A Secret that a field names; a field without a name is left out, and fails in the reference.
local function refer_secret(references, object, ...)
  local reference = at(object, "spec", ...)
  if reference == nil then return end
  if reference.name == nil and compat then error("a secretRef has no name") end
  if nonempty(reference.name) ~= nil then refer(references, "Secret", object.metadata.namespace, reference.name) end
end

local function refer_account(references, object)
  local name = nonempty(at(object, "spec", "serviceAccountName"))
  if name ~= nil then refer(references, "ServiceAccount", object.metadata.namespace, name) end
end

