-- Flux HelmChart.

local fields = {"artifact", "conditions", "observedChartName", "observedSourceArtifactRevision", "url"}
-- The reference leaves this one out by mistake, so that the template's never advances.
if not compat then fields[#fields + 1] = "observedGeneration" end

function Retain(desired, observed) return retain_suspension(desired, observed) end

function ReflectStatus(observed) return reflect_generations(observed, fields) end

function AggregateStatus(object, items)
  return aggregate_flux(object, items, {observedChartName = false, observedSourceArtifactRevision = false, url = false}, true)
end

function InterpretHealth(observed) return is_ready(observed, {"Succeeded", "ChartPullSucceeded"}) end

function GetDependencies(object)
  local references = {}
  refer_secret(references, object, "verify", "secretRef")
  return references
end
