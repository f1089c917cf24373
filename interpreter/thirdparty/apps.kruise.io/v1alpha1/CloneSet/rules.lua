-- OpenKruise CloneSet.

local counters = {
  "replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "updatedReadyReplicas", "expectedUpdatedReplicas",
}
local texts = {"updateRevision", "currentRevision", "labelSelector"}

function GetReplicas(object)
  return object.spec.replicas, kube.accuratePodRequirements(object.spec.template)
end

function ReviseReplica(object, replicas)
  object.spec.replicas = replicas
  return object
end

function ReflectStatus(observed)
  return reflect_generations(observed, {
    "replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "updatedReadyReplicas", "expectedUpdatedReplicas",
    "updateRevision", "currentRevision", "observedGeneration", "labelSelector",
  })
end

function AggregateStatus(object, items)
  aggregate_generation(object, items)
  set_sums(object.status, items, counters)
  if items ~= nil then
    for _, field in ipairs(texts) do object.status[field] = last_text(items, field, "") end
  end
  return object
end

function InterpretHealth(observed) return workload_health(observed) end

function GetDependencies(object)
  return pod_dependencies_or_fail(object.spec.template, object.metadata.namespace)
end
