-- Kubeflow PyTorchJob.

local types = {"Master", "Worker"}

function GetComponents(object) return replica_components(spec_of(object).pytorchReplicaSpecs, types) end

local function condition(kind, status, reason, message, updated, changed)
  return {
    type = kind, status = status, reason = reason, message = message, lastUpdateTime = updated, lastTransitionTime = changed,
  }
end

function AggregateStatus(object, items)
  if items == nil or #items == 0 then return clear_job(object) end
  object.status = object.status or {}
  local status = object.status
  aggregate_job(status, items, types)
  local failed, succeeded, created, running = {}, 0, false, nil
  for _, item in ipairs(items) do
    local conditions = at(item, "status", "conditions")
    created = created or is_true(conditions, "Created")
    for _, own in each(conditions) do
      if own.type == "Running" then running = own end
    end
    if is_true(conditions, "Failed") then
      failed[#failed + 1] = item.clusterName
    elseif is_true(conditions, "Succeeded") then
      succeeded = succeeded + 1
    end
  end
  local all_succeeded = succeeded == #items
  local completed = latest(items, "completionTime")
  if all_succeeded and completed ~= nil then status.completionTime = completed end
  local conditions = {}
  local function add(...) conditions[#conditions + 1] = condition(...) end
  if created then
    add("Created", "True", "PyTorchJobCreated", "PyTorchJob is created.", status.startTime, status.startTime)
  end
  if running ~= nil then
    local is_running = (#failed > 0 or all_succeeded) and "False" or "True"
    add("Running", is_running, "PyTorchJobRunning", "PyTorchJob is running.", running.lastUpdateTime, running.lastTransitionTime)
  end
  if #failed > 0 then
    local message = "PyTorchJob executed failed in member clusters: " .. table.concat(failed, ", ")
    add("Failed", "True", "PyTorchJobFailed", message, completed, completed)
  elseif all_succeeded then
    add("Succeeded", "True", "PyTorchJobSucceeded", "PyTorchJob is successfully completed.", completed, completed)
  end
  status.conditions = conditions
  object.status = omit(status)
  return object
end

function InterpretHealth(observed) return has_not_failed(observed) end

function GetDependencies(object)
  return replica_dependencies(spec_of(object).pytorchReplicaSpecs, types, object.metadata.namespace)
end
