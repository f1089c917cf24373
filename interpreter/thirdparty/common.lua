-- What the rules of all kinds share. Stands in front of each kind's own rules.
--
-- `compat` is true when answers have to be those of Karmada v1.18, also where ours are better.

local kube = require("kube")
local compat = require("navarch").compat

-- The value at a path; nil as soon as something on the way is missing.
local function at(value, ...)
  for i = 1, select("#", ...) do
    if type(value) ~= "table" then return nil end
    value = value[(select(i, ...))]
  end
  return value
end

-- A number that may be written as a string; nil for anything else.
local function number(value)
  if type(value) == "number" or type(value) == "string" then return tonumber(value) end
  return nil
end

local function spec_of(object)
  if object.spec == nil then error("the object has no spec") end
  return object.spec
end

local function nonempty(text)
  if text == "" then return nil end
  return text
end

-- A list, or an empty one.
local function each(list)
  if type(list) ~= "table" then return ipairs({}) end
  return ipairs(list)
end

-- A copy for a second place in a result: the reference lets a table stand in one place alone.
local function copy(value)
  if type(value) ~= "table" or not compat then return value end
  local copied = {}
  for key, element in pairs(value) do copied[key] = copy(element) end
  return copied
end

local function now() return os.date("!%Y-%m-%dT%H:%M:%SZ") end

-- Reflection ---------------------------------------------------------------------------------------------------------------

local function reflect(observed, fields)
  local status = {}
  if observed.status == nil then return status end
  for _, field in ipairs(fields) do status[field] = observed.status[field] end
  return status
end

-- Also which generation of the object, and of the template, the member has.
local function reflect_generations(observed, fields)
  local status = reflect(observed, fields)
  if observed.status == nil then return status end
  status.generation = at(observed, "metadata", "generation")
  status.resourceTemplateGeneration = tonumber(at(observed, "metadata", "annotations", "resourcetemplate.karmada.io/generation"))
  return status
end

-- Aggregation --------------------------------------------------------------------------------------------------------------

-- Statuses of the items that have one.
local function statuses(items)
  local found = {}
  for _, item in each(items) do
    if item.status ~= nil then found[#found + 1] = item.status end
  end
  return found
end

local function sum(items, field)
  local total = 0
  for _, status in ipairs(statuses(items)) do total = total + (status[field] or 0) end
  return total
end

local function set_sums(status, items, fields)
  for _, field in ipairs(fields) do status[field] = sum(items, field) end
end

local function last(items, field, default)
  local value = default
  for _, status in ipairs(statuses(items)) do
    if status[field] ~= nil then value = status[field] end
  end
  return value
end

local function last_text(items, field, default)
  local value = default
  for _, status in ipairs(statuses(items)) do
    value = nonempty(status[field]) or value
  end
  return value
end

local function first(items, field)
  for _, status in ipairs(statuses(items)) do
    if status[field] ~= nil then return status[field] end
  end
  return nil
end

local function latest(items, field, default)
  local value = default
  for _, status in ipairs(statuses(items)) do
    local time = status[field]
    if time ~= nil and (value == nil or time > value) then value = time end
  end
  return value
end

local function earliest(items, field)
  local value
  for _, status in ipairs(statuses(items)) do
    local time = status[field]
    if time ~= nil and (value == nil or time < value) then value = time end
  end
  return value
end

local function concatenated(items, field)
  local list = {}
  for _, status in ipairs(statuses(items)) do
    for _, element in each(status[field]) do list[#list + 1] = element end
  end
  return list
end

-- Prepares the template's status, and moves its observed generation once every cluster has seen the template as it is.
local function aggregate_generation(object, items, only_with_status)
  object.status = object.status or {}
  local generation = at(object, "metadata", "generation") or 0
  object.status.observedGeneration = object.status.observedGeneration or 0
  local current = 0
  for _, item in each(items) do
    local status = item.status or {}
    local is_current = (status.resourceTemplateGeneration or 0) == generation
      and (status.generation or 0) == (status.observedGeneration or 0)
    if is_current and not (only_with_status and item.status == nil) then current = current + 1 end
  end
  if items == nil or current == #items then object.status.observedGeneration = generation end
end

-- With one cluster the whole has that cluster's status. Says whether this has settled it.
local function aggregate_one(object, items)
  if items == nil then return true end
  if #items ~= 1 then return false end
  object.status = items[1].status
  return true
end

-- Conditions of all clusters; those that say the same are one, with a message that names the clusters.
local function merged_conditions(items)
  local merged = {}
  for _, item in each(items) do
    for _, condition in each(at(item, "status", "conditions")) do
      local message = condition.message
      if message == nil and not compat then message = "" end
      message = item.clusterName .. "=" .. message
      local same
      for _, known in ipairs(merged) do
        if known.type == condition.type and known.status == condition.status and known.reason == condition.reason then
          same = known
          break
        end
      end
      if same then
        same.message = same.message .. ", " .. message
      else
        condition.message = message
        merged[#merged + 1] = condition
      end
    end
  end
  return merged
end

local function is_true(conditions, kind)
  for _, condition in each(conditions) do
    if condition.type == kind and condition.status == "True" then return true end
  end
  return false
end

-- Keeps the times of a condition that the template has already, so that a status that says the same is the same.
local function keep_times(object, condition, times)
  if compat then return condition end
  for _, old in each(at(object, "status", "conditions")) do
    local same = old.type == condition.type and old.status == condition.status and old.reason == condition.reason
      and old.message == condition.message
    if same then
      for _, time in ipairs(times) do condition[time] = old[time] or condition[time] end
    end
  end
  return condition
end

-- Without zeros, empty texts and empty tables, at any depth.
local function omit(value)
  if type(value) ~= "table" then
    if value == 0 or value == "" or value == "0s" then return nil end
    return value
  end
  if value[1] ~= nil then
    local list = {}
    for _, element in ipairs(value) do list[#list + 1] = omit(element) end
    if #list == 0 then return nil end
    return list
  end
  local map = {}
  for key, element in pairs(value) do map[key] = omit(element) end
  if next(map) == nil then return nil end
  return map
end

-- The element that ranks highest, the first of equals. Those without a rank count as 0.
local function highest(list, ranks, key)
  local found, best
  for _, element in ipairs(list) do
    local rank = ranks[element[key]] or 0
    if best == nil or rank > best then found, best = element, rank end
  end
  return found
end

-- Health -------------------------------------------------------------------------------------------------------------------

-- A missing counter is 0; the reference fails on it.
local function counter(value)
  if value == nil and not compat then return 0 end
  return value
end

-- The status; without one the object is unhealthy, and the reference fails.
local function status_or_fail(observed)
  if observed.status == nil and compat then error("the object has no status") end
  return observed.status
end

local function workload_health(observed)
  local status = status_or_fail(observed)
  if status == nil then return false end
  if status.observedGeneration ~= observed.metadata.generation then return false end
  local wanted = observed.spec.replicas
  if wanted ~= nil and counter(status.updatedReplicas) < wanted then return false end
  return counter(status.availableReplicas) >= counter(status.updatedReplicas)
end

local function is_ready(observed, reasons)
  local status = status_or_fail(observed)
  for _, condition in each(at(status, "conditions")) do
    if condition.type == "Ready" and condition.status == "True" then
      for _, reason in ipairs(reasons) do
        if condition.reason == reason then return true end
      end
    end
  end
  return false
end

-- Dependencies -------------------------------------------------------------------------------------------------------------

local function pod_dependencies(template, namespace)
  return kube.getPodDependencies(template, namespace) or {}
end

-- The reference fails for pods that need nothing.
local function pod_dependencies_or_fail(template, namespace)
  local references = kube.getPodDependencies(template, namespace)
  if references == nil and not compat then return {} end
  return references
end

-- Adds a reference to a core object, once.
local function refer(references, kind, namespace, name)
  for _, known in ipairs(references) do
    if known.kind == kind and known.name == name then return end
  end
  references[#references + 1] = {apiVersion = "v1", kind = kind, namespace = namespace, name = name}
end

local function refer_all(references, others)
  for _, other in each(others) do refer(references, other.kind, other.namespace, other.name) end
end

