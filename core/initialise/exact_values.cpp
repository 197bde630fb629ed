#include "core/initialise/exact_values.h"

#include "core/checkpoint/tensor_file.h"
#include "core/tensor/copy.h"

namespace moe {

static Tensor exact_buffer(TrainingState& state, ParameterGroup group) {
  if (group == ParameterGroup::untrained || !state.optimizer->has_master()) return state.parameters.buffer(group).value;
  if (state.optimizer->is_sharded()) {
    throw UsageError(
        "optimizer.shard: this start of a run needs the whole master weights, which are divided among ranks; make the "
        "first checkpoint without it, and go on with it");
  }
  return state.optimizer->held(group, Optimizer::kMaster);
}

static void write(Tensor into, const std::vector<float>& values) {
  write_tensor(into, BasicTensor<const void>{values.data(), into.shape, DType::f32, Device::cpu});
}

static std::vector<float> read(TrainingState& state, ConstTensor x) {
  std::vector<float> values;
  append_floats(state.ctx, values, x);
  return values;
}

static int64_t offset_of(TrainingState& state, const Parameter& p) {
  return element_offset(p.value, state.parameters.buffer(p.group).value);
}

std::vector<float> exact_values(TrainingState& state, const Parameter& p) {
  return read(state, exact_buffer(state, p.group).slice(offset_of(state, p), p.shape.size()));
}

void set_exact_values(TrainingState& state, const Parameter& p, const std::vector<float>& values) {
  const int64_t begin = offset_of(state, p);
  for (const Tensor buffer : {state.parameters.buffer(p.group).value, exact_buffer(state, p.group)}) {
    write(buffer.slice(begin, p.shape.size()), values);
  }
}

std::vector<float> exact_values(TrainingState& state, ParameterGroup group) {
  return read(state, exact_buffer(state, group));
}

void set_exact_values(TrainingState& state, ParameterGroup group, const std::vector<float>& values) {
  for (const Tensor buffer : {state.parameters.buffer(group).value, exact_buffer(state, group)}) write(buffer, values);
}

}  // namespace moe
