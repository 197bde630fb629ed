#include "core/moe/moe_layer.h"

#include <algorithm>
#include <utility>

#include "comm/traffic.h"
#include "core/base/integer.h"
#include "core/moe/expert_pass.h"
#include "core/moe/place_experts.h"
#include "core/ops/competition.h"
#include "core/tensor/copy.h"
#include "core/tensor/recomputation.h"

namespace moe {

// Shared experts use context.expert unchanged, like dense layers. Routed experts have their own hidden dropout.
static FeedForwardShape routed_shape(const BuildContext& context) {
  FeedForwardShape shape = context.expert;
  shape.hidden_dropout = context.moe.hidden_dropout.make(context.run);
  return shape;
}

static double flops_of_assignment(const FeedForwardShape& expert) {
  return 6.0 * static_cast<double>((width_factor(expert.activation) + 1) * expert.d_ff * expert.d_model);
}

static BuildContext with_parts(BuildContext context, LayerSums& sums, MeasureSet& measures, LayerSums& loss_sums,
                               MeasureSet& loss_measures) {
  context.sums = &sums;
  context.measures = &measures;
  context.loss_sums = &loss_sums;
  context.loss_measures = &loss_measures;
  context.experts = context.moe.experts;
  return context;
}

MoELayer::MoELayer(BuildContext context)
    : name_(context.name),
      layer_(context.layer),
      experts_(context.moe.experts),
      flops_per_assignment_(flops_of_assignment(context.expert)),
      load_range_(sums_.reserve(LoadStats::num_sums(experts_))),
      pair_range_(sums_.reserve(context.counts_pairs ? as_index(num_pairs(experts_)) : 0)),
      modality_range_(sums_.reserve(as_index(context.modalities > 1 ? context.modalities * experts_ : 0))),
      measures_(sums_),
      loss_measures_(loss_sums_),
      strategy_(context.moe.strategy.make(with_parts(context, sums_, measures_, loss_sums_, loss_measures_))),
      expert_rank_(context.groups.expert->rank()),
      moves_experts_(context.moves_experts && context.groups.expert->size() > 1),
      room_(moves_experts_ ? context.replicas : 0),
      map_(ExpertMap::contiguous(experts_, context.groups.expert->size())),
      exchange_(context.groups.expert, layer_),
      dispatcher_(context.groups, experts_, context.overlap, room_),
      local_experts_(context.parameters, name_, map_.experts_of(expert_rank_), routed_shape(context), layer_,
                     context.moe.expert_init == "small", room_for_copies(experts_, map_.count(expert_rank_), room_)),
      balance_(sums_, context.moe.balance,
               {.experts = experts_,
                .d_model = context.d_model(),
                .router = context.moe.router.kind(),
                .run = context.run,
                .modalities = context.modalities}),
      capacity_(with_parts(context, sums_, measures_, loss_sums_, loss_measures_), load_),
      dropout_{context.moe.dropout.make(context.run), layer_},
      parts_{dispatcher_, nullptr, local_experts_, balance_, load_, capacity_, dropout_} {
  if (traits().bounds_load && (capacity_.trains_bounded() || capacity_.evaluates_bounded())) {
    raise<UsageError>(
        "{}: {} cannot be combined with strategy {} and router {}, whose experts already take a fixed number of "
        "tokens; use capacity: dropless",
        context.moe.where("capacity"), context.moe.capacity.kind(), context.moe.strategy.kind(),
        context.moe.router.kind());
  }
  make_hosts(context);
  if (moves_experts_) place(map_);
  if (context.moe.shared_experts > 0) {
    shared_.emplace(context, measures_);
  } else if (context.moe.shared_gate) {
    raise<UsageError>(
        "{}: there is no shared expert whose output could be gated (shared_experts: 0); set moe.shared_experts above 0 "
        "or shared_gate: false",
        context.moe.where("shared_gate"));
  }
}

bool MoELayer::needs_outputs(const BuildContext& context) const {
  return traits().needs_outputs || balance_.sees_outputs() || context.reports_variance || dropout_.rate.largest() > 0;
}

// With one expert per token, a token goes to one host anyway, and a stage more would only take time.
void MoELayer::make_hosts(const BuildContext& context) {
  const bool is_wanted =
      context.all_to_all == AllToAll::hierarchical || (context.all_to_all == AllToAll::automatic && traits().k > 1);
  if (!is_wanted || !context.groups.layout.spans_even_hosts()) return;
  hosts_.emplace(context.groups, experts_, context.overlap, !needs_outputs(context), room_);
  parts_.hosts = &*hosts_;
}

void MoELayer::bind_sums(std::span<double> sums) {
  sums_.bind(sums);
  load_ = LoadStats::view(sums_.of(load_range_), experts_);
  load_.pairs = sums_.of(pair_range_);
  load_.by_modality = sums_.of(modality_range_);
}

void MoELayer::place(const ExpertMap& map) {
  MOE_CHECK(moves_experts_ && map.experts() == experts_ && map.ranks() == map_.ranks(),
            "{}: a map of {} experts on {} ranks for a layer that has {} on {} and {} move them", name_, map.experts(),
            map.ranks(), experts_, map_.ranks(), moves_experts_ ? "may" : "may not");
  map_ = map;
  replicas_ = {};
  local_experts_.rename(map.experts_of(expert_rank_));
  use_places();
}

void MoELayer::replicate(const Replicas& replicas) {
  MOE_CHECK(Replicas::fits(map_, replicas.of_ranks(), room_), "{}: {} copies for a layer with room for {} on each rank",
            name_, replicas.number(), room_);
  replicas_ = replicas;
  use_places();
}

void MoELayer::use_places() {
  const ExpertPlaces places(map_, replicas_, room_);
  dispatcher_.place(places);
  if (hosts_) hosts_->place(places);
}

void MoELayer::update_copies(Context& ctx) {
  if (room_ > 0) exchange_.send_weights(ctx, {map_, replicas_, local_experts_.parameters()});
}

void MoELayer::add_copies_gradients(Context& ctx) {
  if (room_ > 0) exchange_.add_gradients(ctx, {map_, replicas_, local_experts_.parameters()});
}

double MoELayer::auxiliary_loss() const {
  const BalanceSet* own = strategy_->own_balance();
  return balance_.weighted_value() + measures_.weighted_value() + loss_measures_.weighted_value() +
         (own ? own->weighted_value() : 0);
}

bool MoELayer::needs_sums_before_backward() const {
  const BalanceSet* own = strategy_->own_balance();
  return balance_.needs_whole_step() || (own && own->needs_whole_step()) || traits().needs_whole_step;
}

void MoELayer::after_step(Context& ctx, const UpdateFacts& facts) {
  LoadStats load = load_;
  load.shared_experts_per_token = facts.shared_experts_per_token;
  strategy_->after_step(ctx, load);
  if (!ctx.planning) capacity_.after_step(facts);
}

void MoELayer::begin(Context& ctx, const TokenBatch& batch, ConstTensor x) {
  if (inputs_) append_floats(ctx, *inputs_, x);
  if (parts_.record) parts_.record->begin();
  balance_.begin(ctx);
  measures_.begin(ctx);
  loss_measures_.begin(ctx);
  const KeepScope keep(ctx);
  capacity_.begin(ctx, batch, traits().k_at(ctx.step));
}

// Calls work() with this first token, whatever pass through the experts it is done in.
template <class Work>
static auto at_first_token(Context& ctx, Work work) {
  return [&ctx, work, first_token = ctx.first_token] {
    const int64_t before = std::exchange(ctx.first_token, first_token);
    work();
    ctx.first_token = before;
  };
}

// The shared experts' work, if no exchange of rows has done it.
static void finish(LayerParts& parts) {
  if (const FunctionRef<void()> work = std::exchange(parts.meanwhile, {})) work();
}

std::vector<float> MoELayer::every_output(Context& ctx, ConstTensor x) {
  const ActivationScope activations(ctx);
  const int64_t tokens = x.dim(0), width = x.dim(1);
  const Tensor indices = ctx.allocate(Shape{tokens, experts_}, DType::i32);
  choose_all(ctx, indices);
  ExpertPass pass;
  dispatcher_.prepare(ctx, indices, pass.plan);
  const Tensor returned = ctx.allocate(Shape{pass.plan.num_sorted, width});
  pass.forward(ctx, {dispatcher_, local_experts_}, returned, x);
  std::vector<float> rows, outputs(as_index(experts_ * tokens * width));
  std::vector<int32_t> position;
  append_floats(ctx, rows, returned);
  append_integers(ctx, position, pass.plan.position);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t e = 0; e < experts_; ++e) {
      std::copy_n(rows.begin() + position[as_index(t * experts_ + e)] * width, width,
                  outputs.begin() + (e * tokens + t) * width);
    }
  }
  return outputs;
}

Tensor MoELayer::forward(Context& ctx, const TokenBatch& batch, ConstTensor x) {
  const TrafficScope traffic(ctx.traffic, layer_);
  if (!ctx.replays) begin(ctx, batch, x);
  if (!shared_) return strategy_->forward(ctx, parts_, batch, x);
  const auto compute = at_first_token(ctx, [&] { shared_->compute(ctx, batch, x); });
  parts_.meanwhile = compute;
  const Tensor y = strategy_->forward(ctx, parts_, batch, x);
  finish(parts_);
  shared_->add_to(ctx, batch, y);
  return y;
}

void MoELayer::backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) {
  const TrafficScope traffic(ctx.traffic, layer_);
  if (!shared_) return strategy_->backward(ctx, parts_, batch, d_x, d_y);
  ScratchScope scratch(ctx);
  SharedExperts::Gradient gradient;
  const auto compute = at_first_token(ctx, [&] { shared_->backward(ctx, batch, gradient, d_y); });
  const auto allocate = [&] { gradient = shared_->allocate_gradient(scratch, d_x); };
  if (dispatcher_.overlaps()) {  // else the memory is not needed before the strategy is done
    allocate();
    parts_.meanwhile = compute;
    strategy_->backward(ctx, parts_, batch, d_x, d_y);
    finish(parts_);
  } else {
    strategy_->backward(ctx, parts_, batch, d_x, d_y);
    allocate();
    compute();
  }
  shared_->add_to(ctx, d_x, gradient);
}

}  // namespace moe
