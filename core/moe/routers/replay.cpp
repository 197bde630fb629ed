// Sends each token in training to the experts that it had in a traced run (core/trace/step_trace.h), whatever this
// run's logits are. The weights are a softmax of its own logits over these experts, or the traced weights. It separates
// what the choice of experts does from what their training does (routing replay of reinforcement learning: Ma et al.,
// 2025, arXiv 2510.11370). At evaluation, where there is no trace, it is topk.
#include "core/moe/logit_router.h"
#include "core/ops/gating.h"
#include "core/tensor/copy.h"
#include "core/trace/step_trace.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  std::string from;
  std::string replayed_weights = "own";

  void fields(FieldVisitor& v) override {
    v.field("from", from,
            "folder of the run whose choices are repeated; it must have traced all tokens of every update "
            "(trace: {every: 1}) on the same data, in the same batches (data.seed)");
    v.field("weights", replayed_weights,
            "weights of the experts in training: own = a softmax of this run's logits over them, recorded = those of "
            "the traced run",
            {"own", "recorded"});
    softmax_fields(v);
  }
};

class ReplayRouter : public SoftmaxRouter {
 public:
  ReplayRouter(const Options& options, const Setup& setup)
      : SoftmaxRouter(setup, options, ScheduledK(options.k, setup.run, setup.experts, setup.moe.k_factor),
                      options.replayed_weights == "recorded"),
        run_(options.from),
        block_(setup.layer),
        recorded_weights_(options.replayed_weights == "recorded"),
        compares_ids_(setup.moe_layer == 0 && setup.vocab > 0) {
    const bool is_whole_layer = setup.level == 0 && setup.experts == setup.moe.experts;
    if (!run_.empty() && !is_whole_layer) {
      raise<UsageError>("{}: a trace has the experts of a whole layer, not those of one level of strategy hierarchical",
                        options.where("from"));
    }
    traits_.replays = run_;
    traits_.fixed_experts = "replay: the experts that tokens are sent to are those of another run";
    add_weight(setup);
  }

 private:
  // The choices of one update.
  struct Step {
    uint64_t update = ~uint64_t{0};
    TraceFacts facts;
    std::vector<int32_t> ids;  // of the tokens; only where they are compared
    LayerTrace choices;
    std::vector<int64_t> token_at;  // by place in the step: the token there, -1 for padding
  };

  bool replays(const Context& ctx) const { return ctx.training && !run_.empty(); }

  void choose(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    if (!replays(ctx)) return SoftmaxRouter::choose(ctx, batch, routing);
    allocate_choice(ctx, routing, k());
    softmax_forward(ctx, routing.probabilities, routing.logsumexp, routing.logits);
    if (!ctx.planning) {
      read(ctx.step);
      gather(ctx, batch);
      copy_from_host(ctx, routing.indices, host(chosen_, routing.indices.shape));
      if (recorded_weights_) copy_weights(ctx, routing.weights);
    }
    if (!recorded_weights_) chosen_weights(ctx, routing.weights, routing.probabilities, routing.indices, weighting());
  }

  void choose_backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const RoutingGradient& d_routing,
                       const Routing& routing) override {
    if (replays(ctx) && recorded_weights_) return;  // the weights are constants
    SoftmaxRouter::choose_backward(ctx, batch, d_logits, d_routing, routing);
  }

  template <class T>
  static ConstTensor host(const std::vector<T>& values, Shape shape) {
    return BasicTensor<const void>{values.data(), shape, DTypeOf<T>::value, Device::cpu};
  }

  // Reads the choices of an update, counted from 0, unless they are those that were read last.
  void read(uint64_t update) {
    if (step_.update == update) return;
    const std::string path = trace_path(run_, "training", static_cast<int64_t>(update) + 1);
    const StepTraceFile file(path);
    int64_t layer = 0;
    while (layer < file.num_layers() && file.block(layer) != block_) ++layer;
    if (layer == file.num_layers()) raise<DataError>("{} has no block {}", path, block_);
    if (!file.facts().is_complete) raise<DataError>("{} has not all tokens of its update (trace.tokens)", path);
    StepTrace tokens = file.tokens_only();
    step_ = {.update = ~uint64_t{0},
             .facts = file.facts(),
             .ids = compares_ids_ ? std::move(tokens.ids) : std::vector<int32_t>(),
             .choices = file.layer(layer, false),
             .token_at = {}};
    if (step_.choices.experts != experts_ || step_.choices.slots > k()) {
      raise<DataError>("{}: {} of {} experts per token in block {}; this run has {} of {}", path, step_.choices.slots,
                       step_.choices.experts, block_, k(), experts_);
    }
    step_.token_at = tokens_by_place(tokens, path);
    step_.update = update;
  }

  static std::vector<int64_t> tokens_by_place(const StepTrace& tokens, const std::string& path) {
    const auto [samples, sequence] = std::pair(tokens.facts.samples, tokens.facts.sequence);
    std::vector<int64_t> token_at(as_index(samples * sequence), -1);
    for (int64_t t = 0; t < tokens.tokens(); ++t) {
      const int64_t sample = tokens.samples[as_index(t)], position = tokens.positions[as_index(t)];
      if (sample < 0 || sample >= samples || position < 0 || position >= sequence)
        raise<DataError>("{} is damaged: token {} of sample {}", path, position, sample);
      token_at[as_index(sample * sequence + position)] = t;
    }
    return token_at;
  }

  // Collects the micro-batch's choices. A second pass over copies of the tokens (strategy stochastic), whose numbers
  // follow those of all tokens, gets those of the tokens.
  void gather(Context& ctx, const TokenBatch& batch) {
    const int64_t tokens = batch.tokens(), places = std::ssize(step_.token_at), slots = step_.choices.slots;
    if (tokens > 0 && batch.time != step_.facts.sequence) {
      raise<DataError>("update {} of {} has samples of {} tokens, this run's have {}", ctx.step + 1, run_,
                       step_.facts.sequence, batch.time);
    }
    chosen_.assign(as_index(tokens * k()), kNoExpert);
    weights_.assign(recorded_weights_ ? chosen_.size() : 0, 0);
    compare_ids(ctx, batch);
    for (int64_t i = 0; i < tokens; ++i) {
      const int64_t token = step_.token_at[as_index((ctx.first_token + i) % places)];
      for (int64_t s = 0; token >= 0 && s < slots; ++s) {
        chosen_[as_index(i * k() + s)] = step_.choices.expert(token, s);
        if (recorded_weights_) weights_[as_index(i * k() + s)] = step_.choices.weight(token, s);
      }
    }
  }

  void compare_ids(Context& ctx, const TokenBatch& batch) {
    if (step_.ids.empty() || batch.tokens() == 0) return;
    ids_.clear();
    append_integers(ctx, ids_, batch.ids);
    for (int64_t i = 0; i < batch.tokens(); ++i) {
      const int64_t place = (ctx.first_token + i) % std::ssize(step_.token_at), token = step_.token_at[as_index(place)];
      if (token < 0 || step_.ids[as_index(token)] == ids_[as_index(i)]) continue;
      raise<DataError>(
          "update {} of {} had the token {} at place {} of its batch, this run has {}: the samples are drawn in "
          "another "
          "order (data.seed, curriculum)",
          ctx.step + 1, run_, step_.ids[as_index(token)], place, ids_[as_index(i)]);
    }
  }

  void copy_weights(Context& ctx, Tensor weights) {
    if (weights.dtype == DType::f32) return copy_from_host(ctx, weights, host(weights_, weights.shape));
    const std::vector<double> wide_weights(weights_.begin(), weights_.end());
    copy_from_host(ctx, weights, host(wide_weights, weights.shape));
  }

  const std::string run_;
  const int64_t block_;
  const bool recorded_weights_, compares_ids_;
  Step step_;
  // Of the current micro-batch, on the host.
  std::vector<int32_t> chosen_, ids_;  // (tokens, k); (tokens)
  std::vector<float> weights_;         // (tokens, k)
};

}  // namespace

Member replay_router() {
  return member<Router, ReplayRouter, Options>(
      "replay", "in training the experts that a traced run chose (routing traces); topk at evaluation");
}

}  // namespace moe
