-- Spark application: a driver and its executors.

local units = {"B", "Ki", "Mi", "Gi", "Ti", "Pi"}
local places = {b = 1, k = 2, kb = 2, m = 3, mb = 3, g = 4, gb = 4, t = 5, tb = 5, p = 6, pb = 6}

-- A size in Java's syntax: its amount, and the place of its unit. A size without unit is in mebibytes.
local function size(text)
  local amount, unit = string.match(string.lower(text), compat and "^(%d+%.?%d*)(%a+)$" or "^(%d+%.?%d*)(%a*)$")
  local place = unit == "" and 3 or places[unit]
  if amount == nil or place == nil then error("invalid size of memory: " .. text) end
  return tonumber(amount), place
end

local function is_jvm(spec)
  if spec.type == nil and compat then error("the application has no type") end
  local kind = string.lower(spec.type or "")
  return kind == "java" or kind == "scala"
end

local function scaled(amount, from, to) return amount * 1024 ^ (from - to) end

-- Memory and its overhead, in the smaller of the two units.
local function memory(spec, role)
  local amount, place = size(at(role, "memory") or "1g")
  local extra, extra_place
  local overhead = at(role, "memoryOverhead")
  if overhead ~= nil then
    extra, extra_place = size(overhead)
  else
    local factor = number(spec.memoryOverheadFactor) or (is_jvm(spec) and 0.10 or 0.40)
    extra_place = math.min(place, 3)
    extra = math.max(scaled(amount, place, extra_place) * factor, scaled(384, 3, extra_place))
  end
  local unit = math.min(place, extra_place)
  local total = scaled(amount, place, unit) + scaled(extra, extra_place, unit)
  if unit == 1 and not compat then return string.format("%d", math.ceil(total)) end
  return string.format("%.6f", total) .. units[unit]
end

local function component(name, replicas, spec, role)
  local requests = {cpu = at(role, "cores") or 1, memory = memory(spec, role)}
  local pod
  if not compat then
    requests.cpu = at(role, "coreRequest") or requests.cpu
    pod = at(role, "template", "spec")
  end
  local gpu = at(role, "gpu")
  local amount = number(at(gpu, "quantity"))
  if nonempty(at(gpu, "name")) ~= nil and amount ~= nil and amount > 0 then requests[gpu.name] = gpu.quantity end
  local requirements = {resourceRequest = requests}
  local function required(owner)
    return at(owner, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
  end
  local selector = at(role, "nodeSelector") or at(pod, "nodeSelector")
  local tolerations = at(role, "tolerations") or at(pod, "tolerations")
  local affinity = required(role) or required(pod)
  if selector ~= nil or tolerations ~= nil or affinity ~= nil then
    requirements.nodeClaim = {nodeSelector = selector, tolerations = tolerations, hardNodeAffinity = affinity}
  end
  requirements.priorityClassName = nonempty(at(role, "priorityClassName")) or nonempty(at(pod, "priorityClassName"))
  return {name = name, replicas = replicas, replicaRequirements = requirements}
end

function GetComponents(object)
  local spec = spec_of(object)
  local executors = number(at(spec, "executor", "instances")) or 1
  local dynamic = spec.dynamicAllocation
  if at(dynamic, "enabled") then
    executors = math.max(executors, number(dynamic.initialExecutors) or 1, number(dynamic.minExecutors) or 1)
  end
  return {component("driver", 1, spec, spec.driver), component("executor", executors, spec, spec.executor)}
end

function ReflectStatus(observed)
  return reflect(observed, {
    "applicationState", "driverInfo", "executorState", "sparkApplicationId", "lastSubmissionAttemptTime", "submissionAttempts",
    "executionAttempts", "submissionID", "terminationTime",
  })
end

local ranks = {
  UNKNOWN = 0, [""] = 0, SUBMITTED = 1, PENDING_RERUN = 1, COMPLETED = 2, SUSPENDING = 3, SUSPENDED = 3, RUNNING = 4,
  RESUMING = 4, SUCCEEDING = 4, INVALIDATING = 5, FAILING = 6, FAILED = 6, SUBMISSION_FAILED = 6,
}

function AggregateStatus(object, items)
  if aggregate_one(object, items) then return object end
  object.status = object.status or {}
  local status = object.status
  local states, executors = {}, {}
  for _, own in ipairs(statuses(items)) do
    local state = own.applicationState
    if state ~= nil then
      if compat and (state.state == nil or ranks[state.state] == nil) then error("unknown state of an application") end
      states[#states + 1] = state
    end
    for executor, phase in pairs(own.executorState or {}) do executors[executor] = phase end
  end
  status.applicationState = highest(states, ranks, "state")
  status.executorState = executors
  set_sums(status, items, {"executionAttempts", "submissionAttempts"})
  status.lastSubmissionAttemptTime = latest(items, "lastSubmissionAttemptTime", "")
  status.terminationTime = latest(items, "terminationTime", "")
  return object
end

function InterpretHealth(observed)
  local state = at(observed, "status", "applicationState", "state")
  return state ~= nil and state ~= "FAILED"
end
