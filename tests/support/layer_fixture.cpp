#include "tests/support/layer_fixture.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "core/config/config_reader.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/thread_ranks.h"

namespace moe::test {

MoEConfig moe_config(const std::string& yaml) {
  MoEConfig config;
  read_config(parse_config(yaml, "test"), config);
  return config;
}

// Of the imagined run; schedules of paced quantities are measured against it.
static constexpr RunLength kRun{100, 1000, 50};

LayerFixture::LayerFixture(const MoEConfig& moe, const ProcessGroups& groups) : config(moe) {
  const FeedForwardShape expert{
      .d_model = kModelWidth, .d_ff = 5, .activation = Activation::swiglu, .input_std = 0.5, .output_std = 0.5};
  layer = std::make_unique<MoELayer>("layer", MoELayer::Setup{store, groups, config, 1, 0, 1, 1000, expert, 0.7, kRun});
  store.allocate(ctx, DType::f64);
  store.initialise(ctx, 9);
  sums.resize(layer->num_sums());
  layer->bind_sums(sums);
}

// The smallest logit of a chosen expert minus the largest of the others.
static double margin_of(const Routing& routing, int64_t token) {
  const int64_t experts = routing.logits.dim(1), k = routing.indices.dim(1);
  const int32_t* chosen = routing.indices.as<int32_t>() + token * k;
  double smallest = INFINITY, largest = -INFINITY;
  for (int64_t e = 0; e < experts; ++e) {
    const double logit = get(routing.logits, token * experts + e);
    const bool is_chosen = std::find(chosen, chosen + k, e) != chosen + k;
    (is_chosen ? smallest : largest) = is_chosen ? std::min(smallest, logit) : std::max(largest, logit);
  }
  return smallest - largest;
}

Tensor LayerFixture::inputs_with_margin(const TokenBatch& batch, double margin) {
  const int64_t wanted = batch.tokens(), width = kModelWidth;
  const TokenBatch candidates = make_batch(ctx, 50, std::max<int64_t>(batch.time, 1));
  const Tensor all = ctx.normal({candidates.tokens(), width}, 77), x = ctx.output({wanted, width});
  Routing routing;
  layer->router().forward(ctx, candidates, all, routing);
  int64_t found = 0;
  for (int64_t t = 0; t < candidates.tokens() && found < wanted; ++t) {
    if (margin_of(routing, t) < margin) continue;
    for (int64_t i = 0; i < width; ++i) set(x, found * width + i, get(all, t * width + i));
    ++found;
  }
  REQUIRE(found == wanted);
  return x;
}

StepInput step_input(int64_t sequences, int64_t time) {
  const RandomKey key{.seed = 8, .purpose = RandomPurpose::test};
  StepInput input{time, {}, {}, {}};
  for (int64_t i = 0; i < sequences * time * kModelWidth; ++i) {
    input.x.push_back(static_cast<double>(key.normal(static_cast<uint64_t>(2 * i))));
    input.d_y.push_back(static_cast<double>(key.normal(static_cast<uint64_t>(2 * i + 1))));
  }
  for (int64_t t = 0; t < sequences * time; ++t) input.targets.push_back(t % 7 == 5 ? kIgnoreTarget : 1);
  return input;
}

StepResult run_step(const MoEConfig& config, const StepInput& input, const std::vector<int64_t>& sequences_per_rank,
                    int64_t expert_parallel) {
  const auto num_ranks = static_cast<int>(sequences_per_rank.size());
  std::vector<std::vector<double>> y(sequences_per_rank.size()), d_x(sequences_per_rank.size());
  StepResult result;
  std::mutex mutex;
  run_ranks(num_ranks, [&](std::shared_ptr<Communicator> world) {
    const auto rank = static_cast<size_t>(world->rank());
    const ProcessGroups groups = ProcessGroups::make(world, expert_parallel, config.experts);
    LayerFixture f(config, groups);
    int64_t begin = 0;
    for (size_t r = 0; r < rank; ++r) begin += sequences_per_rank[r] * input.time;
    const int64_t tokens = sequences_per_rank[rank] * input.time;
    const auto part = [&](const std::vector<double>& all) {
      return f.ctx.of({tokens, kModelWidth},
                      {all.begin() + begin * kModelWidth, all.begin() + (begin + tokens) * kModelWidth});
    };
    const Tensor targets =
        f.ctx.of_i32({tokens}, {input.targets.begin() + begin, input.targets.begin() + begin + tokens});
    const TokenBatch batch{sequences_per_rank[rank],   input.time, targets, targets, input.tokens(),
                           input.tokens() / input.time};
    f.ctx.first_token = begin;

    const Tensor x = part(input.x), d_y = part(input.d_y), d_in = f.ctx.output(x.shape);
    const Tensor out = f.forward(batch, x);
    world->all_reduce_sum(as_tensor(f.sums));
    f.layer->backward(f.ctx, batch, d_in, d_y);
    groups.world->all_reduce_sum(f.store.buffer(ParameterGroup::shared).gradient);
    groups.data->all_reduce_sum(f.store.buffer(ParameterGroup::expert).gradient);

    y[rank] = values(out);
    d_x[rank] = values(d_in);
    const std::scoped_lock lock(mutex);
    for (const ParameterGroup group : kTrainedGroups) {
      f.store.for_each_named(group, f.store.buffer(group).gradient, [&](const NamedTensor& named) {
        result.values["gradient of " + named.name] = values(named.tensor);
      });
    }
    if (rank > 0) return;
    result.values["sums"] = f.sums;
    for (size_t i = 0; i < f.layer->balance().size(); ++i) {
      result.values[fmt::format("balance {}", i)] = {f.layer->balance().value(i)};
    }
    for (size_t i = 0; i < f.layer->measures().size(); ++i) {
      const auto value = f.layer->measures().value(i);
      if (value) result.values[f.layer->measures().name(i)] = {*value};
    }
    result.values["auxiliary loss"] = {f.layer->auxiliary_loss()};
  });
  for (size_t r = 0; r < y.size(); ++r) {
    result.values["y"].insert(result.values["y"].end(), y[r].begin(), y[r].end());
    result.values["d_x"].insert(result.values["d_x"].end(), d_x[r].begin(), d_x[r].end());
  }
  return result;
}

void check_same_step(const StepResult& actual, const StepResult& expected) {
  REQUIRE(actual.values.size() == expected.values.size());
  for (const auto& [name, wanted] : expected.values) {
    INFO(name);
    REQUIRE(actual.values.count(name) == 1);
    std::vector<double> is = actual.values.at(name);
    check_close(name, Tensor{is.data(), {static_cast<int64_t>(is.size())}, DType::f64, Device::cpu}, wanted,
                {1e-12, 1e-13});
  }
}

}  // namespace moe::test
