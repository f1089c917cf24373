-- Volcano Job: several tasks that are scheduled together.

function GetComponents(object)
  local components = {}
  for i, task in each(object.spec.tasks) do
    components[i] = {
      name = nonempty(task.name) or ("task-" .. (i - 1)),
      -- The reference counts what the task needs to begin, not its full size.
      replicas = not compat and number(task.replicas) or number(task.minAvailable) or 1,
      replicaRequirements = kube.accuratePodRequirements(task.template),
    }
  end
  return components
end

function ReflectStatus(observed)
  return reflect(observed, {
    "minAvailable", "pending", "running", "succeeded", "failed", "terminating", "unknown", "version", "retryCount",
    "runningDuration", "taskStatusCount", "controlledResources", "state", "conditions",
  })
end

local failure = {Failed = true, Aborted = true, Aborting = true, Terminated = true, Terminating = true}

local seconds_of = {h = 3600, m = 60, s = 1}
if not compat then
  seconds_of.ms, seconds_of.us, seconds_of.ns = 1e-3, 1e-6, 1e-9
  seconds_of["µs"] = 1e-6
end

-- Seconds of a duration such as `1h2m3s`.
local function seconds(duration)
  local total = 0
  -- The reference reads the first letter of a unit alone.
  for amount, unit in string.gmatch(duration, compat and "([%d%.]+)([hms])" or "([%d%.]+)([^%d%.]+)") do
    total = total + (tonumber(amount) or 0) * (seconds_of[unit] or 0)
  end
  if total == 0 then return tonumber(duration) or 0 end
  return total
end

local function longest(items)
  local found, most
  for _, status in ipairs(statuses(items)) do
    local duration = status.runningDuration
    if duration ~= nil then
      local length = seconds(tostring(duration))
      if most == nil or length > most then found, most = duration, length end
    end
  end
  return found
end

local function conditions_of(items)
  for _, status in ipairs(statuses(items)) do
    for _, condition in each(status.conditions) do
      if failure[condition.status] then return status.conditions end
    end
  end
  local conditions, position = {}, {}
  for _, condition in ipairs(concatenated(items, "conditions")) do
    local phase = condition.status
    local place = position[phase]
    if place == nil then
      conditions[#conditions + 1] = condition
      position[phase] = #conditions
    else
      local time, known = condition.lastTransitionTime, conditions[place].lastTransitionTime
      if not compat then time, known = time or "", known or "" end
      if time > known then conditions[place] = condition end
    end
  end
  return conditions
end

local function state_of(object, items)
  local failed, completed = {}, 0
  for _, item in ipairs(items) do
    local phase = at(item, "status", "state", "phase")
    if phase == "Failed" or phase == "Aborted" then failed[#failed + 1] = item.clusterName end
    if phase == "Completed" then completed = completed + 1 end
  end
  local state
  if #failed > 0 then
    state = {phase = "Failed", reason = "VolcanoJobFailed", message = "Job failed in clusters: " .. table.concat(failed, ",")}
  elseif completed > 0 and completed == #items then
    state = {phase = "Completed", reason = "Completed", message = "Job completed successfully"}
  else
    return nil
  end
  local old = at(object, "status", "state")
  local is_same = not compat and at(old, "phase") == state.phase
  state.lastTransitionTime = is_same and old.lastTransitionTime or now()
  return state
end

function AggregateStatus(object, items)
  if aggregate_one(object, items) then return object end
  local status = {}
  set_sums(status, items, {
    "minAvailable", "pending", "running", "succeeded", "failed", "terminating", "unknown", "retryCount",
  })
  local tasks, resources = {}, {}
  for _, collected in ipairs(statuses(items)) do
    local version = number(collected.version)
    if version ~= nil and version > (status.version or 0) then status.version = version end
    for task, counts in pairs(collected.taskStatusCount or {}) do
      tasks[task] = tasks[task] or {phase = {}}
      for phase, amount in pairs(counts.phase or {}) do
        tasks[task].phase[phase] = (tasks[task].phase[phase] or 0) + amount
      end
    end
    for key, value in pairs(collected.controlledResources or {}) do resources[key] = value end
  end
  status.runningDuration = longest(items)
  status.taskStatusCount = tasks
  status.controlledResources = resources
  status.conditions = conditions_of(items)
  status.state = state_of(object, items)
  object.status = omit(status)
  return object
end

local healthy = {
  Running = true, Completed = true, Pending = true, Aborting = true, Aborted = true, Restarting = true, Completing = true,
  Terminating = true, Terminated = true,
}

function InterpretHealth(observed)
  local phase = at(observed, "status", "state", "phase")
  return phase ~= nil and healthy[phase] == true
end
