#include "core/inspect/split_trace.h"

#include <algorithm>

#include "core/base/integer.h"
#include "core/record/routing_tracer.h"

namespace moe {

StepTrace split_trace(LoadedRun& run, const Task& task, const std::string& split, int64_t tokens, int64_t sequences,
                      TracedParts parts) {
  TraceConfig config;
  config.tokens = tokens;
  config.logits = parts == TracedParts::logits;
  // A text of n tokens has n - 1 predictions; of labelled samples the option counts samples.
  const SampleShape shape = task.shape();
  const int64_t length = shape.classes > 0 ? divide_up(tokens, std::max<int64_t>(shape.time, 1)) : tokens + 1;
  const EvaluationOptions evaluation{.context = 0, .stride = 0, .tokens = length, .sequences = sequences};
  RoutingTracer tracer(config, parts == TracedParts::inputs);
  tracer.begin(*run.state->model);
  evaluate(*run.state, run.groups, task, split, evaluation);
  const auto set = task.evaluation_set(split, evaluation);
  Batch one;
  set->load(0, 1, one);
  return tracer.collect(*run.state->model, *run.groups.world,
                        {.step = run.step, .of = split, .samples = set->num_sequences(), .sequence = one.length},
                        [&](int64_t samples, Batch& batch) { set->load(0, samples, batch); });
}

}  // namespace moe
