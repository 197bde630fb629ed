// Writes the routing of single steps and evaluations (core/trace/step_trace.h), with `trace` of the configuration.
// Nothing is recorded or allocated in other steps.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "core/config/train_config.h"
#include "core/model/model.h"
#include "core/moe/routing_record.h"
#include "core/trace/step_trace.h"
#include "data/batch_loader.h"

namespace moe {

class RoutingTracer {
 public:
  // `takes_inputs`: also records LayerTrace::inputs, on every rank.
  explicit RoutingTracer(const TraceConfig& config, bool takes_inputs = false)
      : config_(config), takes_inputs_(takes_inputs) {}

  // From now on the model's MoE layers copy what their tokens choose.
  void begin(const Model& model);
  // Ends that without a file.
  void stop(const Model& model);
  // Ends that, and returns what was recorded, on rank 0 with the tokens. Collective. `facts`: without is_complete. Rank
  // 0 calls load(samples, batch) for the first samples of the step or evaluation.
  using LoadSamples = std::function<void(int64_t samples, Batch& batch)>;
  StepTrace collect(const Model& model, Communicator& world, TraceFacts facts, const LoadSamples& load);
  // The same, which rank 0 writes into the file `path`, whose folder must exist. Throws CheckpointError if it cannot be
  // written.
  void write(const Model& model, Communicator& world, TraceFacts facts, const LoadSamples& load,
             const std::string& path);

 private:
  const TraceConfig config_;
  const bool takes_inputs_;
  std::vector<RoutingRecord> records_;  // by MoE layer
};

// The layers' shapes that the size of a trace follows from.
struct TracedLayer {
  int64_t experts = 0, slots = 0;
  bool has_capacity = false;
};
// Bytes of the file of a step with these places, without its header: an upper bound where tokens choose fewer experts
// than there are slots.
double trace_bytes(const TraceConfig& config, int64_t places, bool is_text, const std::vector<TracedLayer>& layers);

// Removes the traces of later steps than `step` from a run's folder: a run that goes on from there makes these steps
// again, perhaps without tracing them.
void remove_traces_after(const std::string& run, int64_t step);

}  // namespace moe
