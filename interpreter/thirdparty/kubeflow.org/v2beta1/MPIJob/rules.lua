-- Kubeflow MPIJob.

function GetComponents(object)
  local components = {}
  for kind, replica in pairs(spec_of(object).mpiReplicaSpecs or {}) do
    if replica.template ~= nil then
      components[#components + 1] = {
        name = kind,
        replicas = number(replica.replicas) or (string.lower(kind) == "worker" and 0 or 1),
        replicaRequirements = kube.accuratePodRequirements(replica.template),
      }
    end
  end
  return components
end

function ReflectStatus(observed)
  local status = reflect(observed, {"conditions", "startTime", "completionTime", "lastReconcileTime"})
  for kind, counts in pairs(at(observed, "status", "replicaStatuses") or {}) do
    status.replicaStatuses = status.replicaStatuses or {}
    status.replicaStatuses[kind] = {
      active = counts.active, succeeded = counts.succeeded, failed = counts.failed, selector = counts.selector,
    }
  end
  return status
end

-- One condition of each type, the one that was updated last.
local function conditions_of(items)
  local conditions, position = {}, {}
  local function updated(condition) return condition.lastUpdateTime or condition.lastTransitionTime end
  for _, condition in ipairs(concatenated(items, "conditions")) do
    if condition.type ~= nil and nonempty(updated(condition)) ~= nil then
      local place = position[condition.type]
      if place == nil then
        conditions[#conditions + 1] = condition
        position[condition.type] = #conditions
      elseif updated(condition) > updated(conditions[place]) then
        conditions[place] = condition
      end
    end
  end
  if compat then return conditions end
  -- The job has succeeded when it has in every cluster.
  local succeeded = 0
  for _, item in each(items) do
    if is_true(at(item, "status", "conditions"), "Succeeded") then succeeded = succeeded + 1 end
  end
  local kept = {}
  for _, condition in ipairs(conditions) do
    local is_early = condition.type == "Succeeded" and condition.status == "True" and succeeded < #items
    if not is_early then kept[#kept + 1] = condition end
  end
  return kept
end

function AggregateStatus(object, items)
  if items == nil or #items == 0 or aggregate_one(object, items) then return object end
  local status = {
    startTime = earliest(items, "startTime"),
    completionTime = latest(items, "completionTime"),
    lastReconcileTime = latest(items, "lastReconcileTime"),
  }
  local replicas, conditions = replica_statuses(items), conditions_of(items)
  if next(replicas) ~= nil then status.replicaStatuses = replicas end
  if #conditions > 0 then status.conditions = conditions end
  object.status = next(status) ~= nil and status or nil
  return object
end

function InterpretHealth(observed)
  local conditions = at(observed, "status", "conditions")
  return conditions ~= nil and #conditions > 0 and not is_true(conditions, "Failed")
end
