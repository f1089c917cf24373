-- What the rules of Ray's kinds share. Stands between the common part and each kind's own rules.

local function ray_components(cluster)
  local components = {}
  if cluster == nil then return components end
  local head = at(cluster, "headGroupSpec", "template")
  if head ~= nil then
    components[1] = {name = "ray-head", replicas = 1, replicaRequirements = kube.accuratePodRequirements(head)}
  end
  for i, group in each(cluster.workerGroupSpecs) do
    components[#components + 1] = {
      name = nonempty(group.groupName) or ("worker-" .. i),
      replicas = group.replicas or 0,
      replicaRequirements = group.template ~= nil and kube.accuratePodRequirements(group.template) or nil,
    }
  end
  return components
end

-- What init and regular containers of the templates need.
local function ray_dependencies(cluster, namespace, submitter)
  local references = {}
  local function add(template)
    if template == nil then return end
    if template.spec ~= nil then template.spec.ephemeralContainers = nil end
    refer_all(references, pod_dependencies(template, namespace))
  end
  add(at(cluster, "headGroupSpec", "template"))
  for _, group in each(at(cluster, "workerGroupSpecs")) do add(group.template) end
  add(submitter)
  return references
end

-- The whole status, and the generations that tell whether it is about the template as it is. The reference has no rule here.
local function ray_reflect(observed)
  local status = observed.status
  if status == nil then return {} end
  status.generation = at(observed, "metadata", "generation")
  status.resourceTemplateGeneration = tonumber(at(observed, "metadata", "annotations", "resourcetemplate.karmada.io/generation"))
  return status
end

-- As for one cluster in general. But the observed generation is the template's, not the member's as in the reference.
local function ray_aggregate_one(object, items)
  if compat or items == nil then return aggregate_one(object, items) end
  aggregate_generation(object, items)
  local observed = object.status.observedGeneration
  if observed == 0 then observed = nil end
  object.status.observedGeneration = observed
  if not aggregate_one(object, items) then return false end
  local status = object.status
  if status ~= nil then
    status.generation, status.resourceTemplateGeneration, status.observedGeneration = nil, nil, observed
  end
  return true
end

-- One condition of each type: the one that is worst. The reference keeps all, so that types repeat.
local function ray_conditions(items)
  local all = concatenated(items, "conditions")
  if compat then return all end
  local function badness(condition)
    local bad = string.match(condition.type or "", "Failure$") and "True" or "False"
    if condition.status == bad then return 2 end
    return condition.status == "Unknown" and 1 or 0
  end
  local conditions, position = {}, {}
  for _, condition in ipairs(all) do
    local place = position[condition.type]
    if place == nil then
      conditions[#conditions + 1] = condition
      position[condition.type] = #conditions
    elseif badness(condition) > badness(conditions[place]) then
      conditions[place] = condition
    end
  end
  return conditions
end

