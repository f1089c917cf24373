-- Kubeflow TFJob.

local types = {"PS", "Worker", "Chief", "Master", "Evaluator"}

function GetComponents(object) return replica_components(spec_of(object).tfReplicaSpecs, types) end

function AggregateStatus(object, items)
  if items == nil then return clear_job(object) end
  object.status = object.status or {}
  local status = object.status
  aggregate_job(status, items, types)
  local failed, succeeded = {}, 0
  for _, item in ipairs(items) do
    local verdict
    for _, condition in each(at(item, "status", "conditions")) do
      if (condition.type == "Succeeded" or condition.type == "Failed") and condition.status == "True" then
        verdict = condition.type
      end
    end
    if verdict == "Failed" then failed[#failed + 1] = item.clusterName end
    if verdict == "Succeeded" then succeeded = succeeded + 1 end
  end
  local all_succeeded = succeeded > 0 and succeeded == #items
  local completed = latest(items, "completionTime")
  if all_succeeded and completed ~= nil then status.completionTime = completed end
  local condition
  if #failed > 0 then
    condition = {
      type = "Failed",
      status = "True",
      reason = "TFJobFailed",
      message = "TFJob executed failed in member clusters: " .. table.concat(failed, ", "),
    }
  elseif all_succeeded then
    condition = {type = "Succeeded", status = "True", reason = "Completed", message = "TFJob completed successfully"}
  end
  local conditions = {}
  if condition ~= nil then
    -- The job's API has an update time; the reference writes a probe time.
    local first_time = compat and "lastProbeTime" or "lastUpdateTime"
    condition[first_time], condition.lastTransitionTime = now(), now()
    conditions[1] = keep_times(object, condition, {first_time, "lastTransitionTime"})
  end
  status.conditions = conditions
  object.status = omit(status)
  return object
end

function InterpretHealth(observed) return has_not_failed(observed) end

function GetDependencies(object)
  return replica_dependencies(spec_of(object).tfReplicaSpecs, types, object.metadata.namespace)
end
