// The model of pairs (an image and a text, say): one embedding per kind of input, the same transformer blocks for both, one
// pooled row per sequence, norm, a projection per kind, and a contrastive loss between the projections' unit vectors
// with a learned temperature (Radford et al., "Learning transferable visual models from natural language supervision",
// 2021). With MoE blocks this is LIMoE (Mustafa et al., 2022). Every pair makes two predictions: its first part is
// compared with the second parts of all pairs of the step, and its second part with all first parts.
#pragma once
#include <algorithm>
#include <array>

#include "core/model/gallery.h"
#include "core/model/model.h"
#include "core/ops/pooling.h"

namespace moe {

class PairModel : public Model {
 public:
  static constexpr Causality kAllowedCausality = Causality::sequence;
  static constexpr bool kReadsOn = false;
  static constexpr int64_t kModalities = 2;
  static void check(const ModelConfig& model, const SampleShape& sample);

  PairModel(ParameterStore& parameters, const ModelSetup& setup);

  bool compares_samples() const override { return true; }
  void begin(int64_t samples) override;
  void forward(Context& ctx, const TokenBatch& batch) override;
  void complete(Context& ctx) override;
  std::vector<ComparedSample> compared(int64_t first, int64_t count) const override {
    return gallery_.compare(first, count, scale_);
  }
  // There is none of a batch alone: throws InternalError.
  Outcome losses(Context& ctx, const TokenBatch& batch) override;
  Outcome losses_and_backward(Context& ctx, const TokenBatch& batch, double gradient_scale) override;

  int64_t predictions_per_sample(int64_t) const override { return 2; }

 private:
  // The vectors and classes of all of a step's pairs, in memory that ops can use.
  struct Candidates {
    std::array<ConstTensor, 2> units;       // (pairs, width) each
    std::array<ConstTensor, 2> statistics;  // (pairs, kContrastColumns) wide, of the losses of each direction
    ConstTensor classes;                    // (pairs) i32
  };
  Predictions predictions(const TokenBatch& batch) const override;
  void keep(Context& ctx, const TokenBatch& batch);
  // The pairs of the step, also while planning.
  int64_t step_pairs(const Context& ctx) const { return ctx.planning ? planned_pairs_ : gallery_.samples(); }
  int64_t chunk_rows(const Context& ctx, int64_t rows) const;
  Candidates candidates(Context& ctx, ScratchScope& scratch);
  void compare_own(Context& ctx);
  void compare_direction(Context& ctx, int from, const Candidates& all);
  void score(Context& ctx, Tensor scores, ConstTensor queries, ConstTensor all) const;
  Outcome outcome(Context& ctx, const TokenBatch& batch);
  Tensor unit_gradient(Context& ctx, ScratchScope& scratch, int from, const Candidates& all, Tensor scores,
                       double gradient_scale, int64_t first);
  int64_t first_pair(const Context& ctx, const TokenBatch& batch) const {
    return ctx.first_token / std::max<int64_t>(batch.time * batch.modalities, 1);
  }

  const Pooling pooling_;
  const int64_t width_, planned_pairs_, planned_own_;
  Communicator& world_;
  const SampleSignalSet signals_;
  OutputHead second_head_;  // the projection of second parts; head_ is that of first parts
  Parameter& log_scale_;    // (1): ln(1 / temperature)
  double scale_ = 1;

  Tensor hidden_;                        // (tokens, d_model), output of the last block
  std::array<Tensor, 2> inputs_;         // (pairs, d_model): input of each projection
  std::array<Tensor, 2> projections_;    // (pairs, width)
  std::array<Tensor, 2> units_, norms_;  // (pairs, width) of length 1; (pairs)

  Gallery gallery_;                           // of the step or evaluation
  bool is_complete_ = false;                  // all its passes are done
  int64_t first_own_ = 0, end_own_ = 0;       // this rank's pairs
  std::vector<double> statistics_;            // (2, pairs, kContrastColumns), with weights
  std::vector<double> losses_;                // (2, pairs), of this rank's pairs
  std::vector<int32_t> correct_;              // likewise
  std::array<std::vector<char>, 7> buffers_;  // of inputs that are copied to the device
  // Lists that only live within a function; they keep their memory.
  struct Reused {
    std::array<std::vector<double>, 2> vectors{};
    std::vector<double> weights{};
    std::vector<int32_t> labels{}, targets{};
    void clear() { vectors[0].clear(), vectors[1].clear(), weights.clear(), labels.clear(), targets.clear(); }
  } reused_;
};

}  // namespace moe
