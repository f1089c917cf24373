-- Kyverno ClusterPolicy and Policy.

function ReflectStatus(observed) return reflect(observed, {"autogen", "conditions", "ready", "rulecount"}) end

-- The policy is ready when it is in every cluster that says so; in the reference the last one decides.
local function ready_of(items)
  if compat then return last(items, "ready") end
  local ready
  for _, status in ipairs(statuses(items)) do
    if status.ready ~= nil then ready = status.ready and ready ~= false end
  end
  return ready
end

function AggregateStatus(object, items)
  if items == nil then return object end
  local rules = {}
  for _, field in ipairs({"validate", "generate", "mutate", "verifyimages"}) do
    rules[field] = 0
    for _, status in ipairs(statuses(items)) do
      if status.rulecount ~= nil then rules[field] = rules[field] + counter(status.rulecount[field]) end
    end
  end
  object.status = {
    autogen = last(items, "autogen"),
    ready = ready_of(items),
    rulecount = rules,
    conditions = merged_conditions(items),
  }
  return object
end

function InterpretHealth(observed)
  local status = status_or_fail(observed)
  if status ~= nil and status.ready ~= nil then return status.ready end
  return is_ready(observed, {"Succeeded"})
end
