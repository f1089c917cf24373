-- OpenKruise Advanced StatefulSet.

local counters = {
  "replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", "updatedReadyReplicas",
}

function GetReplicas(object)
  return object.spec.replicas, kube.accuratePodRequirements(object.spec.template)
end

function ReviseReplica(object, replicas)
  object.spec.replicas = replicas
  return object
end

function ReflectStatus(observed)
  return reflect_generations(observed, {
    "replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", "updatedReadyReplicas",
    "updateRevision", "currentRevision", "observedGeneration",
  })
end

function AggregateStatus(object, items)
  aggregate_generation(object, items)
  set_sums(object.status, items, counters)
  for _, field in ipairs({"updateRevision", "currentRevision"}) do
    object.status[field] = last_text(items, field, "")
  end
  return object
end

function InterpretHealth(observed) return workload_health(observed) end

function GetDependencies(object)
  return pod_dependencies_or_fail(object.spec.template, object.metadata.namespace)
end
