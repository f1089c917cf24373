-- Flink deployment: one job manager and its task managers.

local fields = {
  "clusterInfo", "error", "jobManagerDeploymentStatus", "jobStatus", "observedGeneration", "lifecycleState",
  "reconciliationStatus", "taskManager",
}

local function job_managers(spec) return number(at(spec, "jobManager", "replicas")) or 1 end

local function task_managers(spec)
  local replicas = number(at(spec, "taskManager", "replicas"))
  if replicas ~= nil then return replicas end
  local parallelism = number(at(spec, "job", "parallelism"))
  local slots = number(at(spec, "flinkConfiguration", "taskmanager.numberOfTaskSlots"))
  if parallelism == nil or slots == nil or slots == 0 then return 1 end
  return math.ceil(parallelism / slots)
end

local binary = {b = "", k = "Ki", m = "Mi", g = "Gi", t = "Ti"}

-- A size of memory as a quantity: Flink's `2048m` are mebibytes. The reference takes sizes for quantities as they are.
local function memory(size)
  if compat or size == nil then return size end
  local amount, unit = string.match(tostring(size), "^%s*(%d+%.?%d*)%s*(%a?)[bB]?%s*$")
  if amount == nil then return size end
  return amount .. (unit == "" and "" or binary[string.lower(unit)] or unit)
end

local function resource(spec, manager, name) return at(spec, manager, "resource", name) end

local function largest_cpu(spec)
  local job, task = resource(spec, "jobManager", "cpu"), resource(spec, "taskManager", "cpu")
  if job == nil or task == nil then return job or task end
  local job_number, task_number = number(job), number(task)
  if job_number == nil or task_number == nil then error("cpu is not a number") end
  return math.max(job_number, task_number)
end

local function largest_memory(spec)
  local job, task = memory(resource(spec, "jobManager", "memory")), memory(resource(spec, "taskManager", "memory"))
  if job == nil or task == nil then return job or task end
  if kube.getResourceQuantity(job) > kube.getResourceQuantity(task) then return job end
  return task
end

-- Adds what the pod template says about nodes and priority.
local function add_claim(requirements, pod)
  local selector, tolerations = at(pod, "nodeSelector"), at(pod, "tolerations")
  if selector ~= nil or tolerations ~= nil then
    requirements.nodeClaim = {nodeSelector = copy(selector), tolerations = copy(tolerations)}
  end
  requirements.priorityClassName = nonempty(at(pod, "priorityClassName"))
  return requirements
end

-- What the pods of one manager are made from: the manager's own template over the common one, which the reference reads alone.
local function pod_of(spec, manager)
  local pod = at(spec, "podTemplate", "spec")
  local own = at(spec, manager, "podTemplate", "spec")
  if own == nil or compat then return pod end
  return {
    nodeSelector = own.nodeSelector or at(pod, "nodeSelector"),
    tolerations = own.tolerations or at(pod, "tolerations"),
    priorityClassName = own.priorityClassName or at(pod, "priorityClassName"),
  }
end

-- One answer for both managers: what task managers, the many, say, and where they say nothing what the job manager says.
local function pod_of_all(spec)
  local task, job = pod_of(spec, "taskManager"), pod_of(spec, "jobManager")
  return {
    nodeSelector = at(task, "nodeSelector") or at(job, "nodeSelector"),
    tolerations = at(task, "tolerations") or at(job, "tolerations"),
    priorityClassName = at(task, "priorityClassName") or at(job, "priorityClassName"),
  }
end

function GetReplicas(object)
  local spec = spec_of(object)
  local requirements = {
    resourceRequest = {cpu = largest_cpu(spec), memory = largest_memory(spec)},
    namespace = at(object, "metadata", "namespace"),
  }
  return job_managers(spec) + task_managers(spec), add_claim(requirements, pod_of_all(spec))
end

local function component(name, replicas, spec, manager)
  local size = memory(resource(spec, manager, "memory"))
  local requirements = {
    resourceRequest = {
      cpu = resource(spec, manager, "cpu"),
      memory = size ~= nil and kube.getResourceQuantity(size) or nil,
    },
  }
  return {name = name, replicas = replicas, replicaRequirements = add_claim(requirements, pod_of(spec, manager))}
end

function GetComponents(object)
  local spec = spec_of(object)
  return {
    component("jobmanager", job_managers(spec), spec, "jobManager"),
    component("taskmanager", task_managers(spec), spec, "taskManager"),
  }
end

function ReflectStatus(observed) return reflect(observed, fields) end

function AggregateStatus(object, items)
  if items == nil then return object end
  object.status = object.status or {}
  local found = statuses(items)
  local source = found[#found] or {error = "", jobManagerDeploymentStatus = "", lifecycleState = "", observedGeneration = 0}
  for _, field in ipairs(fields) do object.status[field] = source[field] end
  return object
end

local lasting = {
  RUNNING = true, FINISHED = true, FAILED = true, CANCELED = true, SUSPENDED = true, CANCELLING = true, FAILING = true,
  RESTARTING = true,
}
local starting = {CREATED = true, INITIALIZING = true, RECONCILING = true}

function InterpretHealth(observed)
  local status = status_or_fail(observed)
  if status == nil then return false end
  local state = at(status, "jobStatus", "state")
  if state == nil then return status.jobManagerDeploymentStatus == "READY" and status.lifecycleState == "STABLE" end
  if lasting[state] then return true end
  if starting[state] and type(status.error) == "string" then
    -- The user's mistake, which another cluster would not cure.
    for _, problem in ipairs({"ErrImagePull", "ImagePullBackOff", "CrashLoopBackOff"}) do
      if string.find(status.error, problem, 1, true) then return true end
    end
  end
  return false
end
