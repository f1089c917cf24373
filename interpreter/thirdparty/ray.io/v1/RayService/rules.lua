-- RayService.

local function cluster_of(object) return spec_of(object).rayClusterConfig end

-- The larger of two quantities; the first of equals.
local function larger(left, right)
  if left == nil or right == nil then return left or right end
  if kube.getResourceQuantity(right) > kube.getResourceQuantity(left) then return right end
  return left
end

function GetReplicas(object)
  local cluster = cluster_of(object)
  local head = at(cluster, "headGroupSpec", "template")
  if head == nil then return 0 end
  local replicas, requirements = 1, kube.accuratePodRequirements(head)
  for _, group in each(cluster.workerGroupSpecs) do
    replicas = replicas + (group.replicas or 0)
    local own = group.template ~= nil and kube.accuratePodRequirements(group.template) or nil
    if requirements ~= nil and own ~= nil and own.resourceRequest ~= nil then
      requirements.resourceRequest = requirements.resourceRequest or {}
      for _, name in ipairs({"cpu", "memory"}) do
        requirements.resourceRequest[name] = larger(requirements.resourceRequest[name], own.resourceRequest[name])
      end
    end
  end
  return replicas, requirements
end

-- Shares in proportion to what the groups have, rounded one by one; the last group gets the rest, which can be negative.
local function rounded_shares(groups, workers, total)
  local shares, given = {}, 0
  for i = 1, #groups - 1 do
    if total == 0 then
      shares[i] = math.floor(workers / #groups) + (i <= workers % #groups and 1 or 0)
    else
      shares[i] = math.floor(workers * ((groups[i].replicas or 0) / total) + 0.5)
    end
    given = given + shares[i]
  end
  shares[#groups] = workers - given
  return shares
end

-- Shares in proportion to what the groups have: whole parts first, and the rest by the largest remainders.
local function proportional_shares(groups, workers, total)
  local shares, order, given = {}, {}, 0
  for i, group in ipairs(groups) do
    local exact = total == 0 and workers / #groups or workers * (group.replicas or 0) / total
    shares[i] = math.floor(exact)
    order[i] = {place = i, remainder = exact - shares[i]}
    given = given + shares[i]
  end
  table.sort(order, function(left, right)
    if left.remainder ~= right.remainder then return left.remainder > right.remainder end
    return left.place < right.place
  end)
  for i = 1, workers - given do
    local place = order[i].place
    shares[place] = shares[place] + 1
  end
  return shares
end

function ReviseReplica(object, replicas)
  local groups = at(cluster_of(object), "workerGroupSpecs")
  if groups == nil or #groups == 0 then return object end
  local workers, total = math.max(0, replicas - 1), 0
  for _, group in ipairs(groups) do total = total + (group.replicas or 0) end
  local shares = (compat and rounded_shares or proportional_shares)(groups, workers, total)
  for i, group in ipairs(groups) do
    group.replicas = workers == 0 and 0 or #groups == 1 and workers or shares[i]
  end
  return object
end

local ranks = {NOT_STARTED = 1, DEPLOYING = 2, DELETING = 3, UNHEALTHY = 4, DEPLOY_FAILED = 5}

-- Each application with the worst status that it has in any cluster.
local function applications_of(items)
  local applications = {}
  for _, status in ipairs(statuses(items)) do
    for name, application in pairs(at(status, "activeServiceStatus", "applicationStatuses") or {}) do
      applications[name] = applications[name] or {}
      table.insert(applications[name], application)
    end
  end
  local worst = {}
  for name, list in pairs(applications) do worst[name] = highest(list, ranks, "status") end
  return worst
end

function ReflectStatus(observed) return ray_reflect(observed) end

function AggregateStatus(object, items)
  if ray_aggregate_one(object, items) then return object end
  object.status = object.status or {}
  local status = object.status
  status.conditions = ray_conditions(items)
  status.numServeEndpoints = sum(items, "numServeEndpoints")
  status.lastUpdateTime = latest(items, "lastUpdateTime")
  if compat then status.observedGeneration = 0 end
  status.serviceStatus = "Running"
  for _, own in ipairs(statuses(items)) do
    -- The reference takes the members' generation for the template's.
    if compat then status.observedGeneration = math.max(status.observedGeneration, own.observedGeneration or 0) end
    if own.serviceStatus == "" then status.serviceStatus = "" end
  end
  local applications = applications_of(items)
  local active = first(items, "activeServiceStatus")
  if active ~= nil then
    if next(applications) ~= nil then active.applicationStatuses = applications end
    status.activeServiceStatus = active
  end
  status.pendingServiceStatus = first(items, "pendingServiceStatus") or status.pendingServiceStatus
  return object
end

function InterpretHealth(observed) return is_true(at(status_or_fail(observed), "conditions"), "Ready") end

function GetDependencies(object) return ray_dependencies(cluster_of(object), object.metadata.namespace) end
