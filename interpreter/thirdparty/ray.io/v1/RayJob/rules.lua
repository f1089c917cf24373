-- RayJob.

function GetComponents(object) return ray_components(spec_of(object).rayClusterSpec) end

local deployment_ranks = {
  Initializing = 1, Waiting = 2, Suspending = 3, Suspended = 3, Retrying = 4, Running = 5, Complete = 6, ValidationFailed = 7,
  Failed = 8,
}
local job_ranks = {PENDING = 1, RUNNING = 2, SUCCEEDED = 3, STOPPED = 4, FAILED = 5}

function ReflectStatus(observed) return ray_reflect(observed) end

function AggregateStatus(object, items)
  if ray_aggregate_one(object, items) then return object end
  object.status = object.status or {}
  local status = object.status
  local deployments, jobs = {}, {}
  for _, own in ipairs(statuses(items)) do
    if own.jobDeploymentStatus ~= nil then deployments[#deployments + 1] = own end
    if nonempty(own.jobStatus) ~= nil then jobs[#jobs + 1] = own end
  end
  local deployment = highest(deployments, deployment_ranks, "jobDeploymentStatus") or {}
  status.jobDeploymentStatus, status.reason, status.message = deployment.jobDeploymentStatus, deployment.reason, deployment.message
  status.jobStatus = at(highest(jobs, job_ranks, "jobStatus"), "jobStatus")
  return object
end

function InterpretHealth(observed)
  local status = status_or_fail(observed)
  if status == nil then return false end
  if status.jobDeploymentStatus == "Running" then return true end
  return status.jobDeploymentStatus == "Complete" and status.jobStatus == "SUCCEEDED"
end

function GetDependencies(object)
  local spec = spec_of(object)
  return ray_dependencies(spec.rayClusterSpec, object.metadata.namespace, spec.submitterPodTemplate)
end
