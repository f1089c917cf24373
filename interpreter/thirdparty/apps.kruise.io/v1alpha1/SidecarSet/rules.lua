-- OpenKruise SidecarSet: containers that are put into other workloads' pods. Cluster-scoped.

function GetReplicas(object) return 0 end

function Retain(desired, observed) return desired end

function ReflectStatus(observed)
  if observed.status == nil then return {} end
  local status = {}
  for _, field in ipairs({"matchedPods", "updatedPods", "readyPods"}) do status[field] = observed.status[field] or 0 end
  return status
end

function AggregateStatus(object, items)
  if items == nil then
    if compat then error("there are no items") end
    return object
  end
  object.status = {}
  set_sums(object.status, items, {"matchedPods", "updatedPods", "readyPods"})
  return object
end

function InterpretHealth(observed)
  local status = observed.status
  if status == nil then return false end
  local matched = status.matchedPods or 0
  if matched == 0 then return true end
  return status.updatedPods == matched
end

function GetDependencies(object)
  local references = {}
  -- Without a namespace there is nowhere to look; the reference refers to objects without one.
  local namespace = object.metadata.namespace or (not compat and nonempty(at(object, "spec", "namespace"))) or nil
  if namespace == nil and not compat then return references end
  local function add(kind, source, name)
    if source == nil or (not compat and nonempty(name) == nil) then return end
    refer(references, kind, namespace, name)
  end
  for _, container in each(object.spec.containers) do
    for _, variable in each(container.env) do
      local config_map, secret = at(variable, "valueFrom", "configMapKeyRef"), at(variable, "valueFrom", "secretKeyRef")
      add("ConfigMap", config_map, at(config_map, "name"))
      add("Secret", secret, at(secret, "name"))
    end
    for _, source in each(container.envFrom) do
      add("ConfigMap", source.configMapRef, at(source, "configMapRef", "name"))
      add("Secret", source.secretRef, at(source, "secretRef", "name"))
    end
  end
  for _, volume in each(object.spec.volumes) do
    add("ConfigMap", volume.configMap, at(volume, "configMap", "name"))
    add("Secret", volume.secret, at(volume, "secret", "secretName"))
    for _, source in each(at(volume, "projected", "sources")) do
      add("ConfigMap", source.configMap, at(source, "configMap", "name"))
      add("Secret", source.secret, at(source, "secret", "name"))
    end
  end
  return references
end
