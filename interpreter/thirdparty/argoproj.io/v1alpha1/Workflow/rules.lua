-- Argo Workflow.

function GetReplicas(object)
  local spec = object.spec
  local pod = {affinity = spec.affinity, nodeSelector = spec.nodeSelector, tolerations = spec.tolerations}
  return spec.parallelism or 1, kube.accuratePodRequirements({spec = pod})
end

function ReviseReplica(object, replicas)
  object.spec.parallelism = replicas
  return object
end

function Retain(desired, observed)
  local suspend = at(observed, "spec", "suspend")
  if suspend ~= nil then desired.spec.suspend = suspend end
  if observed.status ~= nil then desired.status = observed.status end
  return desired
end

function InterpretHealth(observed)
  local phase = at(observed, "status", "phase")
  return not (phase == nil or phase == "" or phase == "Error" or phase == "Failed")
end

-- What the containers of a step need.
local function step_dependencies(step, namespace)
  local containers = {}
  if step.container ~= nil then containers[1] = step.container end
  if step.script ~= nil then containers[#containers + 1] = step.script end
  for _, container in each(step.sidecars) do containers[#containers + 1] = container end
  for _, container in each(at(step, "containerSet", "containers")) do containers[#containers + 1] = container end
  local pod = {containers = containers, initContainers = step.initContainers, volumes = step.volumes}
  pod.serviceAccountName = step.serviceAccountName
  return pod_dependencies({spec = pod}, namespace)
end

function GetDependencies(object)
  local spec, namespace, references = object.spec, object.metadata.namespace, {}
  local executor = nonempty(at(spec, "executor", "serviceAccountName"))
  if executor ~= nil then refer(references, "ServiceAccount", namespace, executor) end
  if nonempty(spec.serviceAccountName) ~= nil and spec.serviceAccountName ~= "default" then
    refer(references, "ServiceAccount", namespace, spec.serviceAccountName)
  end
  if compat then
    -- The reference counts the claims that the workflow's controller makes, and looks for a secret's name in a field
    -- that does not exist.
    for _, template in each(spec.volumeClaimTemplates) do
      local name = nonempty(at(template, "metadata", "name"))
      if name ~= nil then refer(references, "PersistentVolumeClaim", namespace, name) end
    end
    for _, volume in each(spec.volumes) do
      if volume.secret ~= nil then volume.secret.secretName = volume.secret.name end
    end
  end
  refer_all(references, pod_dependencies({spec = {volumes = spec.volumes, imagePullSecrets = spec.imagePullSecrets}}, namespace))
  if not compat then
    for _, step in each(spec.templates) do refer_all(references, step_dependencies(step, namespace)) end
  end
  return references
end
