// StableMoE (Dai et al., 2022). Stage 1 trains a router z = W x and distils it into a router that depends only on the
// token id: 50-dimensional embeddings times centroids, trained by cross-entropy with the learned router's choice. In
// stage 2 the distilled router is frozen and chooses the experts. There is one expert per token, and the output is a
// E(x) with a = sigmoid(z_i): the authors write a (h + E(norm h)) + (1 - a) h for the block, which is h + a E(norm h).
// They evaluate by the distilled router in stage 1, too. With `form: ours` the output is a E(x) + (1 - a) x, and stage
// 1 is evaluated by the learned router.
#include <cmath>

#include "core/moe/logit_router.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/gating.h"
#include "core/ops/mask_padding.h"
#include "core/ops/matmul.h"
#include "core/ops/sigmoid_gating.h"

namespace moe {
namespace {

struct Options : Fields<Options>, LogitOptions {
  std::string form = "source";
  Duration stage1 = Duration::percent(10);
  ScheduleField distillation{0.3, {0, 1e6}};
  int64_t dimension = 50;
  void fields(FieldVisitor& v) override {
    v.field(
        "form", form,
        "source = the output is a E(x), and the distilled router chooses at every evaluation, as in the authors' "
        "code; ours = the output is a E(x) + (1 - a) x, and in stage 1 the learned router chooses at evaluation, too",
        {"source", "ours"});
    v.field("stage1", stage1, "length of stage 1, after which the frozen distilled router chooses the experts");
    v.schedule("distillation", distillation, "Coefficient of the distillation loss, per layer.");
    v.field("dimension", dimension, "width of the distilled router's token embeddings", {1, 4096});
    logit_fields(v);
  }
};

constexpr SigmoidWeights kWeights{false, 1};

class StableRouter : public LogitRouter {
 public:
  StableRouter(const Options& options, const Setup& setup)
      : LogitRouter(setup, options, 1),
        is_source_(options.form == "source"),
        stage1_(to_whole_updates(options.stage1, setup.run)),
        dimension_(options.dimension),
        embedding_(table(setup, ".router.distilled.embedding", setup.vocab, ParameterGroup::shared)),
        centroids_(
            table(setup, ".router.distilled.centroids", setup.experts, ParameterGroup::shared, PerExpert::alike)),
        frozen_embedding_(table(setup, ".router.frozen.embedding", setup.vocab, ParameterGroup::untrained)),
        frozen_centroids_(
            table(setup, ".router.frozen.centroids", setup.experts, ParameterGroup::untrained, PerExpert::alike)),
        measures_(*setup.measures),
        loss_(measures_.add_loss("distillation", options.distillation.make(setup.run))),
        overlap_(measures_.add_figure("distilled_topk_overlap")) {
    if (setup.vocab == 0)
      raise<UsageError>(
          "{}: stable needs token ids for the distilled router, but the tokens of this task's samples have none",
          options.key());
    if (stage1_ < 1)
      raise<UsageError>("{}: stage 1 has {} updates, too few to train the distilled router; it must have at least 1",
                        options.where("stage1"), stage1_);
    require_own_k(setup, "router stable always chooses one expert");
    traits_ = RouterTraits::constant(1, 1);
    add_weight(setup);
  }

  // The last update of stage 1 copies the distilled router into parameters that are not trained.
  void after_step(Context& ctx, const LoadStats&) override {
    if (ctx.step + 1 != static_cast<uint64_t>(stage1_)) return;
    convert(ctx, frozen_embedding_.value, embedding_.value);
    convert(ctx, frozen_centroids_.value, centroids_.value);
  }

 private:
  // Indices into Routing::extra: the tokens' embeddings (tokens, dimension), and the distillation loss's gradient with
  // respect to the distilled logits (tokens, experts). Set only in stage 1.
  enum { kEmbedded, kDistilledGradient };

  Parameter& table(const Setup& setup, const char* name, int64_t rows, ParameterGroup group,
                   PerExpert copies = PerExpert::no) {
    Parameter p{.name = setup.name + name,
                .shape = Shape{rows, dimension_},
                .group = group,
                .initialisation = {Initialisation::Kind::normal, setup.init_std}};
    p.lookup = copies == PerExpert::no;
    p.decay = false;
    p.per_expert = copies;
    return setup.add(p);
  }
  bool is_stage1(const Context& ctx) const { return ctx.step < static_cast<uint64_t>(stage1_); }

  void distilled_logits(Context& ctx, Tensor logits, Tensor embedded, const TokenBatch& batch,
                        const Parameter& embedding, const Parameter& centroids) const {
    embedding_forward(ctx, embedded, embedding.value, batch.ids);
    linear_forward(ctx, logits, embedded, centroids.value);
  }

  void choose(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    const int64_t tokens = routing.x.dim(0);
    allocate_choice(ctx, routing, 1);
    softmax_forward(ctx, routing.probabilities, routing.logsumexp, routing.logits);
    if (is_stage1(ctx)) {
      select_top_k(ctx, routing.indices, routing.logits, 1);
      distil(ctx, batch, routing);
      if (is_source_ && !ctx.training) choose_distilled(ctx, batch, routing, embedding_, centroids_);
    } else {
      choose_distilled(ctx, batch, routing, frozen_embedding_, frozen_centroids_);
    }
    sigmoid_weights_forward(ctx, routing.weights, routing.logits, routing.indices, kWeights);
    if (is_source_) return;
    routing.skip = ctx.allocate_wide(Shape{tokens});
    complement(ctx, routing.skip, routing.weights);
  }

  void choose_distilled(Context& ctx, const TokenBatch& batch, Routing& routing, const Parameter& embedding,
                        const Parameter& centroids) const {
    ScratchScope scratch(ctx);
    const Tensor logits = scratch.allocate_wide(routing.logits.shape);
    distilled_logits(ctx, logits, scratch.allocate(Shape{routing.x.dim(0), dimension_}, embedding.value.dtype), batch,
                     embedding, centroids);
    mask_closed(ctx, logits);
    select_top_k(ctx, routing.indices, logits, 1);
  }

  void distil(Context& ctx, const TokenBatch& batch, Routing& routing) const {
    const int64_t tokens = routing.x.dim(0);
    routing.extra[kEmbedded] = ctx.allocate(Shape{tokens, dimension_});
    routing.extra[kDistilledGradient] = ctx.allocate_wide(routing.logits.shape);
    const Tensor logits = routing.extra[kDistilledGradient];
    distilled_logits(ctx, logits, routing.extra[kEmbedded], batch, embedding_, centroids_);
    ScratchScope scratch(ctx);
    const Tensor wanted = scratch.allocate(Shape{tokens}, DType::i32),
                 correct = scratch.allocate(wanted.shape, DType::i32);
    const Tensor losses = scratch.allocate_wide(Shape{tokens});
    copy(ctx, wanted, routing.indices.reshape(wanted.shape));
    mask_padding(ctx, wanted, batch.targets);
    // Positions without a target (the end of a text) count as a loss of 0 in the mean, so the divisor is known before
    // any sum over ranks and micro-batches.
    cross_entropy(ctx, losses, correct, logits, wanted,
                  measures_.coefficient(loss_) / static_cast<double>(batch.global_tokens));
    if (!ctx.observe) return;
    const LossSums sums = loss_sums(ctx, losses, correct, wanted);
    measures_.observe(ctx, loss_, sums.loss, static_cast<double>(batch.scored()));
    measures_.observe(ctx, overlap_, sums.correct, sums.tokens);
  }

  void choose_backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const RoutingGradient& d_routing,
                       const Routing& routing) override {
    if (d_routing.skip) add_scaled(ctx, d_routing.weights, d_routing.skip, -1);
    sigmoid_weights_backward(ctx, d_logits, d_routing.weights, routing.logits, routing.indices, kWeights);
    if (!is_stage1(ctx) || measures_.coefficient(loss_) == 0) return;
    const Tensor d_distilled = routing.extra[kDistilledGradient];
    ScratchScope scratch(ctx);
    const Tensor d_embedded = scratch.allocate(routing.extra[kEmbedded].shape);
    linear_backward_weight(ctx, centroids_.gradient, d_distilled, routing.extra[kEmbedded]);
    linear_backward_input(ctx, d_embedded, d_distilled, centroids_.value);
    embedding_backward(ctx, embedding_.gradient, d_embedded, batch.ids);
  }

  const bool is_source_;
  const int64_t stage1_;
  const int64_t dimension_;
  Parameter &embedding_, &centroids_;                // (vocab, dimension), (experts, dimension)
  Parameter &frozen_embedding_, &frozen_centroids_;  // copies of them from the end of stage 1
  MeasureSet& measures_;
  size_t loss_, overlap_;
};

}  // namespace

Member stable_router() {
  return member<Router, StableRouter, Options>(
      "stable", "a learned router, distilled into a router on token ids that is then frozen; one expert per token");
}

}  // namespace moe
