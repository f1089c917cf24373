-- OpenKruise AdvancedCronJob: makes Jobs or BroadcastJobs on a schedule.

function AggregateStatus(object, items)
  if items == nil then return object end
  object.status = object.status or {}
  object.status.active = concatenated(items, "active")
  object.status.type = last(items, "type", "")
  object.status.lastScheduleTime = (compat and last or latest)(items, "lastScheduleTime")
  return object
end

function GetDependencies(object)
  local template = object.spec.template
  local pods = at(template.broadcastJobTemplate, "spec", "template") or at(template.jobTemplate, "spec", "template") or {}
  return pod_dependencies_or_fail(pods, object.metadata.namespace)
end
