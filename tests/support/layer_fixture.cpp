#include "tests/support/layer_fixture.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "core/base/integer.h"
#include "core/config/config_reader.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/late_communicator.h"
#include "tests/support/random_map.h"
#include "tests/support/thread_ranks.h"

namespace moe::test {

MoEConfig moe_config(const std::string& yaml) {
  MoEConfig config;
  read_config(parse_config(yaml, "test"), config);
  return config;
}

MoEConfig combination(const std::string& yaml, const std::string& router, const std::string& strategy) {
  MoEConfig config = moe_config(yaml);
  config.router.select(router);
  // With the default of 256 hidden units, some of a hypernetwork's ReLUs is always close to its kink.
  if (router == "hyper") config = moe_config(yaml.substr(0, yaml.rfind('}')) + ", router: {kind: hyper, hidden: 16}}");
  config.strategy.select(strategy);
  if (router == "hierarchical" && strategy == "hierarchical") config.experts *= 2;
  return config;
}

// The length of an imagined run, to which schedules refer.
static constexpr RunLength kRun{100, 1000, 50};

static constexpr int64_t kVocab = 20;  // the tests' token ids are below

LayerFixture::LayerFixture(const MoEConfig& moe, const ProcessGroups& groups, const Travel& travel) : config(moe) {
  const FeedForwardShape expert{
      .d_model = kModelWidth, .d_ff = 5, .activation = Activation::swiglu, .input_std = 0.5, .output_std = 0.5};
  layer = std::make_unique<MoELayer>(BuildContext{.parameters = store,
                                                  .groups = groups,
                                                  .moe = config,
                                                  .expert = expert,
                                                  .init_std = 0.7,
                                                  .vocab = kVocab,
                                                  .run = kRun,
                                                  .name = "layer",
                                                  .layer = 1,
                                                  .moves_experts = travel.placed,
                                                  .counts_pairs = travel.placed,
                                                  .replicas = travel.replicas,
                                                  .overlap = travel.overlap,
                                                  .all_to_all = travel.all_to_all});
  if (travel.placed && groups.expert->size() > 1) {
    layer->place(random_map(config.experts, groups.expert->size(), 3));
    layer->replicate(random_replicas(layer->expert_map(), travel.replicas, 4));
  }
  store.allocate(ctx, DType::f64);
  store.initialise(ctx, 9);
  for (const Parameter& p : store.parameters()) {  // a baseline of earlier updates: in the first one there is none
    if (p.name.ends_with(".baseline.moments")) {
      for (int64_t i = 0; i < 3; ++i) set(p.value, i, 0.5);
    }
  }
  sums.resize(layer->num_sums());
  layer->bind_sums(sums);
  loss_sums.resize(layer->num_loss_sums());
  layer->bind_loss_sums(loss_sums);
}

// The objective with all values shifted along a direction; restores all values.
static double shifted_objective(LayerFixture& f, const TokenBatch& batch, Tensor x, ConstTensor d_y, uint64_t direction,
                                double step) {
  const RandomKey key{.seed = 12, .purpose = RandomPurpose::test, .step = direction};
  std::vector<Tensor> tensors{x};
  for (const ParameterGroup group : kTrainedGroups) tensors.push_back(f.store.buffer(group).value);
  std::vector<std::vector<double>> before;
  uint64_t element = 0;
  for (const Tensor& tensor : tensors) {
    before.push_back(values(tensor));
    for (int64_t i = 0; i < tensor.size(); ++i) set(tensor, i, get(tensor, i) + step * key.normal(element++));
  }
  const double objective = dot(f.forward(batch, x), d_y) + f.layer->auxiliary_loss();
  for (size_t n = 0; n < tensors.size(); ++n) {
    for (size_t i = 0; i < before[n].size(); ++i) set(tensors[n], static_cast<int64_t>(i), before[n][i]);
  }
  return objective;
}

// Whether the objective is smooth along a few random directions. Their steps are larger in each element than those of a
// difference quotient. A changed choice shows as a jump, and a kink as a jump of the slope, while a smooth function's
// fourth difference is of the order of step^4.
static bool is_smooth(LayerFixture& f, const TokenBatch& batch, Tensor x, ConstTensor d_y, double step) {
  for (uint64_t direction = 0; direction < 12; ++direction) {
    const auto at = [&](double offset) { return shifted_objective(f, batch, x, d_y, direction, offset * step); };
    const double fourth = at(-2) - 4 * at(-1) + 6 * at(0) - 4 * at(1) + at(2);
    if (!(std::abs(fourth) < 1e-7)) return false;
  }
  return true;
}

Tensor LayerFixture::smooth_inputs(const TokenBatch& batch, ConstTensor d_y) {
  constexpr double kStep = 3e-4;
  const Tensor x = ctx.output({batch.tokens(), kModelWidth});
  for (uint32_t stream = 77; stream < 177; ++stream) {
    const std::vector<double> candidate = values(ctx.normal(x.shape, stream));
    for (int64_t i = 0; i < x.size(); ++i) set(x, i, candidate[as_index(i)]);
    if (is_smooth(*this, batch, x, d_y, kStep)) return x;
  }
  FAIL("found no inputs with unambiguous choices");
  return x;
}

StepInput step_input(int64_t sequences, int64_t time) {
  const RandomKey key{.seed = 8, .purpose = RandomPurpose::test};
  StepInput input{time, {}, {}, {}, {}, {}};
  for (int64_t i = 0; i < sequences * time * kModelWidth; ++i) {
    input.x.push_back(static_cast<double>(key.normal(static_cast<uint64_t>(2 * i))));
    input.d_y.push_back(static_cast<double>(key.normal(static_cast<uint64_t>(2 * i + 1))));
  }
  for (int64_t t = 0; t < sequences * time; ++t) {
    input.ids.push_back(static_cast<int32_t>(key.bits(static_cast<uint64_t>(1'000'000 + t)) % kVocab));
    input.targets.push_back(t % 7 == 5 ? kIgnoreTarget : 1);
    input.losses.push_back(static_cast<double>(key.uniform(static_cast<uint64_t>(2'000'000 + t))));
  }
  return input;
}

StepResult run_step(const MoEConfig& config, const StepInput& input, const std::vector<int64_t>& sequences_per_rank,
                    int64_t expert_parallel, const Travel& travel) {
  const auto num_ranks = static_cast<int>(sequences_per_rank.size());
  std::vector<std::vector<double>> y(sequences_per_rank.size()), d_x(sequences_per_rank.size());
  StepResult result;
  std::mutex mutex;
  run_ranks(
      num_ranks,
      [&](std::shared_ptr<Communicator> threads) {
        const auto world = std::make_shared<LateCommunicator>(std::move(threads));
        const ThreadCount one(1);  // a team of threads per rank and step would cost more than the step
        const auto rank = static_cast<size_t>(world->rank());
        const ProcessGroups groups = ProcessGroups::make(world, expert_parallel, config.experts);
        LayerFixture f(config, groups, travel);
        int64_t begin = 0;
        for (size_t r = 0; r < rank; ++r) begin += sequences_per_rank[r] * input.time;
        const int64_t tokens = sequences_per_rank[rank] * input.time;
        const auto part = [&](const std::vector<double>& all) {
          return f.ctx.of({tokens, kModelWidth},
                          {all.begin() + begin * kModelWidth, all.begin() + (begin + tokens) * kModelWidth});
        };
        const Tensor targets =
            f.ctx.of_i32({tokens}, {input.targets.begin() + begin, input.targets.begin() + begin + tokens});
        const Tensor ids = f.ctx.of_i32({tokens}, {input.ids.begin() + begin, input.ids.begin() + begin + tokens});
        TokenBatch batch{.sequences = sequences_per_rank[rank],
                         .time = input.time,
                         .ids = ids,
                         .targets = targets,
                         .global_sequences = input.tokens() / input.time};
        set_targets(batch, targets);
        batch.losses = {
            .losses = f.ctx.of({tokens}, {input.losses.begin() + begin, input.losses.begin() + begin + tokens}),
            .targets = targets};
        batch.global_tokens = input.tokens() - std::count(input.targets.begin(), input.targets.end(), kIgnoreTarget);
        f.ctx.first_token = begin;
        f.layer->update_copies(f.ctx);

        const Tensor x = part(input.x), d_y = part(input.d_y), d_in = f.ctx.output(x.shape);
        const Tensor out = f.forward(batch, x);
        world->all_reduce_sum(as_tensor(f.sums));
        f.layer->backward(f.ctx, batch, d_in, d_y);
        f.layer->add_copies_gradients(f.ctx);
        groups.world->all_reduce_sum(f.store.buffer(ParameterGroup::shared).gradient);
        groups.data->all_reduce_sum(f.store.buffer(ParameterGroup::expert).gradient);
        if (!f.loss_sums.empty()) world->all_reduce_sum(as_tensor(f.loss_sums));

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
        f.layer->for_each_measure([&](const std::string& name, const std::optional<double>& value) {
          if (value) result.values[name] = {*value};
        });
        result.values["auxiliary loss"] = {f.layer->auxiliary_loss()};
      },
      travel.hosts);
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
