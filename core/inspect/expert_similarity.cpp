#include "core/inspect/expert_similarity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/base/integer.h"
#include "core/checkpoint/tensor_file.h"
#include "core/inspect/split_trace.h"
#include "core/ops/packed_weights.h"

namespace moe {

namespace {

constexpr int64_t kFewestTokens = 16;

using Kernel = std::vector<double>;  // (tokens, tokens)

// Y Y^T of the centred outputs Y (tokens, width), divided by its Frobenius norm; empty for constant outputs.
Kernel kernel_of(std::span<const float> outputs, size_t tokens) {
  const size_t width = outputs.size() / tokens;
  std::vector<double> mean(width);
  for (size_t i = 0; i < outputs.size(); ++i) mean[i % width] += outputs[i] / static_cast<double>(tokens);
  std::vector<double> centred(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) centred[i] = outputs[i] - mean[i % width];
  Kernel kernel(tokens * tokens);
  double squares = 0;
  for (size_t s = 0; s < tokens; ++s) {
    for (size_t t = 0; t < tokens; ++t) {
      const double* const a = centred.data() + s * width;
      const double dot = std::inner_product(a, a + width, centred.data() + t * width, 0.0);
      kernel[s * tokens + t] = dot;
      squares += dot * dot;
    }
  }
  if (!(squares > 0)) return {};
  for (double& value : kernel) value /= std::sqrt(squares);
  return kernel;
}

// The inner product of two kernels, the tokens of the second in the given order.
double alignment(const Kernel& a, const Kernel& b, const std::vector<size_t>& order) {
  if (a.empty() || b.empty()) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0;
  for (size_t s = 0; s < order.size(); ++s) {
    for (size_t t = 0; t < order.size(); ++t) sum += a[s * order.size() + t] * b[order[s] * order.size() + order[t]];
  }
  return sum;
}

}  // namespace

ExpertSimilarity expert_similarity(std::span<const float> outputs, int64_t experts, int64_t tokens) {
  const size_t each = outputs.size() / as_index(experts);
  std::vector<Kernel> kernels;
  for (size_t e = 0; e < as_index(experts); ++e)
    kernels.push_back(kernel_of(outputs.subspan(e * each, each), as_index(tokens)));
  std::vector<size_t> same(as_index(tokens));
  std::iota(same.begin(), same.end(), size_t{0});
  const std::vector<size_t> mixed = token_permutation(same.size(), 6);
  ExpertSimilarity result;
  result.pairs.assign(kernels.size(), std::vector<double>(kernels.size(), 1));
  double value = 0, chance = 0, number = 0;
  for (size_t a = 0; a < kernels.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      const double similarity = alignment(kernels[a], kernels[b], same);
      result.pairs[a][b] = result.pairs[b][a] = similarity;
      if (std::isnan(similarity)) continue;
      value += similarity;
      chance += alignment(kernels[a], kernels[b], mixed);
      number += 1;
    }
  }
  if (number > 0) result.mean = {value / number, chance / number};
  return result;
}

std::vector<ExpertSimilarity> expert_similarities(LoadedRun& run, const Task& task, const std::string& split,
                                                  int64_t sequences) {
  const auto layers = run.state->model->moe_layers();
  const StepTrace trace = split_trace(run, task, split, kSimilarityTokens, sequences, TracedParts::inputs);
  Context& ctx = run.state->ctx;
  const ModeScope modes(ctx, {.training = false, .observe = false});
  const PackedWeightsScope packed(ctx);
  std::vector<ExpertSimilarity> result(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::vector<float>& inputs = trace.layers[i].inputs;
    const int64_t width = run.config.model.d_model, experts = layers[i]->num_experts();
    // Half of the rows for which an evaluation has memory.
    const int64_t room = sequences * task.shape().time * std::max<int64_t>(layers[i]->traits().k, 1) / (2 * experts);
    const int64_t tokens = std::min(std::ssize(inputs) / width, room);
    if (tokens < kFewestTokens) continue;
    ctx.activations->reset();
    ctx.scratch->reset();
    const Tensor x = ctx.allocate(Shape{tokens, width});
    std::vector<double> wide_inputs;
    if (wide(ctx.dtype) == DType::f64) wide_inputs.assign(inputs.begin(), inputs.begin() + tokens * width);
    const void* from = wide_inputs.empty() ? static_cast<const void*>(inputs.data()) : wide_inputs.data();
    write_tensor(x, BasicTensor<const void>{from, x.shape, wide(ctx.dtype), Device::cpu});
    result[i] = expert_similarity(layers[i]->every_output(ctx, x), experts, tokens);
  }
  return result;
}

}  // namespace moe
