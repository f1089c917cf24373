-- Kubeflow Notebook.

function GetReplicas(object) return 1, kube.accuratePodRequirements(object.spec.template) end

function ReflectStatus(observed)
  local status = reflect(observed, {"readyReplicas", "containerState", "conditions"})
  if observed.status ~= nil then status.readyReplicas = status.readyReplicas or 0 end
  return status
end

function AggregateStatus(object, items)
  if aggregate_one(object, items) then return object end
  local failed, ready, state = {}, 0, nil
  for _, item in ipairs(items) do
    if item.status ~= nil then
      local own = item.status.containerState
      if own ~= nil and next(own) == nil then own = nil end
      if own == nil or own.terminated ~= nil or own.waiting ~= nil then
        state = own or {waiting = {reason = "Unschedulable"}}
        failed[#failed + 1] = item.clusterName
      elseif own.running ~= nil and #failed == 0 then
        ready = ready + 1
        local started, known = own.running.startedAt, at(state, "running", "startedAt")
        if known == nil or (started ~= nil and started > known) then known = started end
        state = {running = {startedAt = known}}
      end
    end
  end
  local condition
  if #failed > 0 then
    condition = {
      type = "Failed",
      status = "True",
      reason = "NotebookFailed",
      message = "Notebook executed failed in member clusters: " .. table.concat(failed, ", "),
    }
  elseif ready > 0 and ready == #items then
    condition = {type = "Ready", status = "True", reason = "Ready", message = "All notebooks are ready"}
  end
  local status = {readyReplicas = sum(items, "readyReplicas"), containerState = state}
  if condition ~= nil then
    condition.lastProbeTime, condition.lastTransitionTime = now(), now()
    status.conditions = {keep_times(object, condition, {"lastProbeTime", "lastTransitionTime"})}
  end
  object.status = status
  return object
end

function InterpretHealth(observed)
  local state = at(observed, "status", "containerState")
  if state == nil then return false end
  if state.running ~= nil then return true end
  if state.waiting ~= nil then return state.waiting.reason == "ContainerCreating" end
  local ended = state.terminated
  if ended == nil then return false end
  if ended.reason == "Error" or ended.reason == "OOMKilled" or ended.reason == "ContainerCannotRun" then return false end
  return ended.exitCode == nil or ended.exitCode == 0
end
