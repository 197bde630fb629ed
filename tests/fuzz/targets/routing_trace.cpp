// Routing traces, as a run writes them.
#include <cstdint>

#include "core/base/integer.h"
#include "core/checkpoint/files.h"
#include "core/inspect/trace_report.h"
#include "core/trace/step_trace.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const StepTrace trace = StepTraceFile(scratch_file("trace.safetensors", input)).all();
  for (const LayerTrace& layer : trace.layers) {
    for (int64_t i = 0; i < trace.tokens() * layer.slots; ++i)
      require(layer.chosen[as_index(i)] < layer.experts, "experts exist");
  }
  if (trace.layers.empty()) return;
  const TokenText text = [](int32_t id) { return std::to_string(id); };
  for (const TraceTable by : {TraceTable::tokens, TraceTable::positions})
    trace_text(trace, text, {.by = by, .block = {}});
}

static std::vector<std::string> seeds() {
  StepTrace trace{.facts = {.step = 1, .of = "training", .samples = 1, .sequence = 2},
                  .ids = {1, 2},
                  .next = {2, -1},
                  .samples = {0, 0},
                  .positions = {0, 1},
                  .offsets = {7, 8},
                  .layers = {{.block = 0,
                              .experts = 3,
                              .slots = 2,
                              .chosen = {0, 1, 2, kNoExpert},
                              .weights = {0.5F, 0.5F, 1, 0},
                              .dropped = {0, 1, 0, 0},
                              .logits = {0, 1, 2, 3, 4, 5}}}};
  const std::string whole = to_file(trace);
  trace.layers[0].dropped.clear();
  trace.layers[0].logits.clear();
  trace.layers[0].experts = 300;
  trace.ids.clear();
  trace.next.clear();
  trace.offsets.clear();
  return {whole, to_file(trace)};
}

static const FuzzTarget target{"routing_trace", read_input, seeds};

}  // namespace moe
