-- OpenKruise BroadcastJob: a pod on every node that runs to its end.

function GetReplicas(object)
  return object.spec.parallelism or 1, kube.accuratePodRequirements(object.spec.template)
end

function ReviseReplica(object, replicas)
  object.spec.parallelism = replicas
  return object
end

function Retain(desired, observed)
  local labels = at(observed.spec.template, "metadata", "labels")
  if labels ~= nil then
    if not compat then desired.spec.template.metadata = desired.spec.template.metadata or {} end
    desired.spec.template.metadata.labels = labels
  end
  return desired
end

function ReflectStatus(observed)
  return reflect(observed, {
    "conditions", "startTime", "completionTime", "active", "succeeded", "failed", "desired", "phase",
  })
end

function AggregateStatus(object, items)
  if items == nil then return object end
  object.status = object.status or {}
  local failed, succeeded, verdict = {}, 0, nil
  for _, item in ipairs(items) do
    if item.status ~= nil then
      -- In the reference a cluster without a verdict takes over the one before it.
      if not compat then verdict = nil end
      for _, condition in each(item.status.conditions) do
        if (condition.type == "Complete" or condition.type == "Failed") and condition.status == "True" then
          verdict = condition.type
          break
        end
      end
      if verdict == "Complete" then succeeded = succeeded + 1 end
      if verdict == "Failed" then failed[#failed + 1] = item.clusterName end
    end
  end
  local conditions = {}
  if #failed > 0 then
    conditions[1] = {
      type = "Failed",
      status = "True",
      reason = "JobFailed",
      message = "Job executed failed in member clusters: " .. table.concat(failed, ", "),
    }
  end
  if succeeded == #items and succeeded > 0 then
    local complete = compat and "Completed" or "Complete"
    conditions[#conditions + 1] = {type = complete, status = "True", reason = "Completed", message = "Job completed"}
  end
  set_sums(object.status, items, {"active", "succeeded", "failed", "desired"})
  object.status.phase = last(items, "phase", "")
  object.status.conditions = conditions
  return object
end

function InterpretHealth(observed)
  local status = status_or_fail(observed)
  if status == nil or counter(status.desired) == 0 or counter(status.failed) ~= 0 then return false end
  return not (counter(status.succeeded) == 0 and counter(status.active) == 0)
end

function GetDependencies(object)
  return pod_dependencies_or_fail(object.spec.template, object.metadata.namespace)
end
