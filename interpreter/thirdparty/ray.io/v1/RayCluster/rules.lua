-- RayCluster.

function GetComponents(object) return ray_components(object.spec) end

-- The sum of amounts that are plain numbers, as text.
local function plain_sum(items, field)
  local total = 0
  for _, status in ipairs(statuses(items)) do
    local amount = nonempty(status[field])
    if amount ~= nil then
      local value = number(amount)
      if value == nil then error(field .. " is not a number: " .. tostring(amount)) end
      total = total + value
    end
  end
  return tostring(total)
end

local function quantity_sum(items, field)
  local total = "0"
  for _, status in ipairs(statuses(items)) do
    local amount = nonempty(status[field])
    if amount ~= nil then total = kube.resourceAdd(total, amount) end
  end
  return total
end

function ReflectStatus(observed) return ray_reflect(observed) end

function AggregateStatus(object, items)
  if ray_aggregate_one(object, items) then return object end
  object.status = object.status or {}
  local status = object.status
  status.conditions = ray_conditions(items)
  set_sums(status, items, {
    "readyWorkerReplicas", "availableWorkerReplicas", "maxWorkerReplicas", "minWorkerReplicas", "desiredWorkerReplicas",
  })
  status.desiredCPU, status.desiredMemory = quantity_sum(items, "desiredCPU"), quantity_sum(items, "desiredMemory")
  status.desiredGPU, status.desiredTPU = plain_sum(items, "desiredGPU"), plain_sum(items, "desiredTPU")
  status.lastUpdateTime = latest(items, "lastUpdateTime")
  status.endpoints, status.head = first(items, "endpoints"), first(items, "head")
  status.state, status.stateTransitionTimes = nil, nil
  for _, own in ipairs(statuses(items)) do
    if own.state ~= nil then
      status.state, status.stateTransitionTimes = own.state, own.stateTransitionTimes
      break
    end
  end
  return object
end

function InterpretHealth(observed)
  local conditions = at(status_or_fail(observed), "conditions")
  return is_true(conditions, "HeadPodReady") and is_true(conditions, "RayClusterProvisioned")
    and not is_true(conditions, "RayClusterReplicaFailure")
end
