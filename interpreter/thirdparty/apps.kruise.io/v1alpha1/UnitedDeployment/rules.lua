-- OpenKruise UnitedDeployment: one workload per domain, made from a template of a workload.

local counters = {"replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"}

-- The template of the pods, inside that of the workload. The reference takes the latter for it.
local function pod_template(object)
  local template = object.spec.template
  if compat then return template end
  for _, kind in ipairs({"statefulSetTemplate", "advancedStatefulSetTemplate", "cloneSetTemplate", "deploymentTemplate"}) do
    local pods = at(template, kind, "spec", "template")
    if pods ~= nil then return pods end
  end
  return {}
end

function GetReplicas(object)
  return object.spec.replicas, kube.accuratePodRequirements(pod_template(object))
end

function ReviseReplica(object, replicas)
  object.spec.replicas = replicas
  return object
end

function ReflectStatus(observed)
  return reflect_generations(observed, {
    "replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas", "observedGeneration", "conditions",
  })
end

function AggregateStatus(object, items)
  aggregate_generation(object, items, true)
  set_sums(object.status, items, counters)
  local conditions, position = {}, {}
  for _, condition in ipairs(concatenated(items, "conditions")) do
    local place = position[condition.type] or #conditions + 1
    position[condition.type] = place
    conditions[place] = condition
  end
  if #conditions > 0 then object.status.conditions = conditions end
  return object
end

function InterpretHealth(observed)
  if observed.status == nil or observed.metadata == nil or observed.spec == nil then return false end
  return workload_health(observed)
end

function GetDependencies(object)
  return pod_dependencies_or_fail(pod_template(object), object.metadata.namespace)
end
