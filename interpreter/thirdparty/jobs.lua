-- What the rules of jobs of machine learning share. Stands between the common part and each kind's own rules.

-- Sums of a job's replica statuses by replica type.
local function replica_statuses(items, types)
  local sums = {}
  for _, status in ipairs(statuses(items)) do
    for kind, counts in pairs(status.replicaStatuses or {}) do
      if types == nil or types[kind] then
        sums[kind] = sums[kind] or {active = 0, failed = 0, succeeded = 0}
        for _, field in ipairs({"active", "failed", "succeeded"}) do
          sums[kind][field] = sums[kind][field] + (counts[field] or 0)
        end
      end
    end
  end
  return sums
end

local function set_of(list)
  local set = {}
  for _, element in ipairs(list) do set[element] = true end
  return set
end

local function replica_components(specs, types)
  local components = {}
  for _, kind in ipairs(types) do
    local replica = at(specs, kind)
    if replica ~= nil then
      components[#components + 1] = {
        name = string.lower(kind),
        replicas = number(replica.replicas) or 1,
        replicaRequirements = replica.template ~= nil and kube.accuratePodRequirements(replica.template) or nil,
      }
    end
  end
  return components
end

local function replica_dependencies(specs, types, namespace)
  local references = {}
  for _, kind in ipairs(types) do
    local template = at(specs, kind, "template")
    if template ~= nil then refer_all(references, pod_dependencies(template, namespace)) end
  end
  return references
end

local function has_not_failed(observed)
  local conditions = at(observed, "status", "conditions")
  return conditions ~= nil and not is_true(conditions, "Failed")
end

-- Start and reconcile times and replica counts, which jobs of all kinds have.
local function aggregate_job(status, items, types)
  status.startTime = earliest(items, "startTime")
  status.lastReconcileTime = latest(items, "lastReconcileTime")
  status.replicaStatuses = replica_statuses(items, set_of(types))
end

local function clear_job(object)
  object.status = object.status or {}
  for _, field in ipairs({"startTime", "completionTime", "replicaStatuses", "conditions"}) do object.status[field] = nil end
  return object
end

