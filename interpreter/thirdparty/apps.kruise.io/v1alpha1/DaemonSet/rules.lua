-- OpenKruise Advanced DaemonSet.

local counters = {
  "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "updatedNumberScheduled",
  "numberAvailable", "numberUnavailable",
}

function ReflectStatus(observed)
  return reflect_generations(observed, {
    "observedGeneration", "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
    "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "daemonSetHash",
  })
end

function AggregateStatus(object, items)
  aggregate_generation(object, items)
  set_sums(object.status, items, counters)
  -- The field is a text; the reference writes the number 0 when nobody has one.
  object.status.daemonSetHash = last_text(items, "daemonSetHash", compat and 0 or "")
  return object
end

function InterpretHealth(observed)
  local status = status_or_fail(observed)
  if status == nil or status.observedGeneration ~= observed.metadata.generation then return false end
  if counter(status.updatedNumberScheduled) < counter(status.desiredNumberScheduled) then return false end
  return counter(status.numberAvailable) >= counter(status.updatedNumberScheduled)
end

function GetDependencies(object)
  return pod_dependencies(object.spec.template, object.metadata.namespace)
end
