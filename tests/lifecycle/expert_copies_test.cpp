// parallel.replicas: copies of experts during a run, and in checkpoints.
#include "core/base/json_text.h"
#include "core/lifecycle/moved_tensors.h"
#include "tests/lifecycle/placed_runs.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("copies balance a load that no placement can balance, and the loss stays the same to rounding") {
  struct Case {
    int experts, ranks, replicas;
    const char* placement;
    Skew skew;
  };
  for (const Case& c : {Case{16, 4, 1, "{kind: load, every: 10}", Skew::half_for_one},
                        Case{64, 4, 1, "{kind: load, every: 10}", Skew::half_for_one},
                        Case{16, 4, 2, "{kind: load, every: 10}", Skew::zipf},
                        Case{16, 4, 2, "{kind: co_activation, every: 10, slack: 0.05}", Skew::half_for_one}}) {
    INFO(c.placement << ", " << c.experts << " experts on " << c.ranks << " ranks, " << c.replicas << " copies");
    const auto with = [&](int replicas) {
      TrainConfig config =
          config_of(fmt::format("experts: {}, balance: [], router: {{kind: hash, k: 1}}", c.experts), c.placement);
      config.model.layers = 1;
      config.train.batch = 16;
      config.data.sequence = 48;
      config.parallel.replicas = replicas;
      return config;
    };
    const Curve one = train_skewed(with(0), 1, 1, c.skew), alone = train_skewed(with(0), c.ranks, c.ranks, c.skew),
                copied = train_skewed(with(c.replicas), c.ranks, c.ranks, c.skew);
    CAPTURE(alone.busiest, copied.busiest, copied.computed);
    CHECK(alone.busiest > 1.15);
    CHECK(alone.computed == Approx(alone.busiest));
    CHECK(copied.busiest <= 1.1);
    CHECK(copied.computed <= 1.1);
    CHECK(copied.first[0].busiest_after <= 1.1);
    CHECK(copied.copies > 0);
    CHECK(copied.copies <= c.replicas * c.ranks);
    for (size_t i = 0; i < 50; ++i) {
      CHECK(copied.losses[i] == Approx(alone.losses[i]).epsilon(1e-5));
      CHECK(copied.losses[i] == Approx(one.losses[i]).epsilon(1e-5));
    }
    CHECK(copied.values.size() == alone.values.size());
    for (const auto& [name, values] : alone.values) CHECK(distance(copied.values.at(name), values) < 1e-2);
  }
}

TEST_CASE("copies follow experts that an event changes") {
  TrainConfig config = config_of("experts: 5", "{kind: load, every: 3}");
  config.parallel.replicas = 2;
  const std::vector<double> use{0.3, 0.1, 0.1, 0.2, 0.3};
  const ExpertChange change = restart_experts({use, use}, {{1}, {2, 1}}, LayerNumbers(2, {5, 1}), 0.1, 0.1);
  const auto losses = [&](int ranks) {
    std::vector<double> result;
    test::run_ranks(ranks, [&](std::shared_ptr<Communicator> world) {
      TinyRun run(config, kVocab, ProcessGroups::make(world, world->size(), 5));
      for (MoELayer* layer : run.state.model->moe_layers()) {
        if (ranks > 1) layer->replicate(test::random_replicas(layer->expert_map(), 2, 3));
        layer->update_copies(run.state.ctx);
      }
      std::vector<double> mine;
      for (int64_t step = 0; step < 6; ++step) {
        mine.push_back(update(run, step).loss);
        if (step != 2) continue;
        MovedTensors(run.state, run.groups, run.groups, change, step).write_to(run.state);
        for (MoELayer* layer : run.state.model->moe_layers()) layer->update_copies(run.state.ctx);
      }
      if (world->rank() == 0) result = mine;
    });
    return result;
  };
  const std::vector<double> one = losses(1);
  for (const int ranks : {2, 3}) {
    const std::vector<double> found = losses(ranks);
    for (size_t i = 0; i < 6; ++i) CHECK(found[i] == Approx(one[i]).epsilon(1e-5));
  }
}

TEST_CASE("copies go through a checkpoint, except to another number of ranks or where there is no room for them") {
  TrainConfig config = config_of("experts: 7", "{kind: load, every: 3}");
  config.parallel.replicas = 2;
  const RunLength length{100, 1000, 10};
  Json saved;
  test::run_ranks(4, [&](std::shared_ptr<Communicator> world) {
    TinyRun run(config, kVocab, ProcessGroups::make(world, 4, 7));
    ExpertPlacement placement(config.parallel.placement, length, 2);
    place_randomly(run, 5);
    for (MoELayer* layer : run.state.model->moe_layers())
      layer->replicate(test::random_replicas(layer->expert_map(), 2, 3));
    const Json of_rank = parse_json(json_text(placement.save(*run.state.model, run.groups)));
    const auto restored = [&](int64_t replicas) {
      TrainConfig other = config;
      other.parallel.replicas = replicas;
      TinyRun again(other, kVocab, run.groups);
      ExpertPlacement(config.parallel.placement, length, replicas)
          .restore(of_rank, *again.state.model, again.groups, "test");
      return std::vector{again.state.model->moe_layers()[0]->replicas(),
                         again.state.model->moe_layers()[1]->replicas()};
    };
    bool same = true;
    for (size_t i = 0; i < 2; ++i) {
      const Replicas& wanted = run.state.model->moe_layers()[i]->replicas();
      same &= wanted.number() == 6;
      for (const int64_t enough : {2, 5}) same &= restored(enough)[i] == wanted;
      for (const int64_t less : {0, 1}) same &= restored(less)[i].empty();
    }
    MOE_CHECK(same, "rank {} restored other copies", world->rank());
    if (world->rank() == 0) saved = of_rank;
  });
  test::run_ranks(2, [&](std::shared_ptr<Communicator> world) {
    TinyRun run(config, kVocab, ProcessGroups::make(world, 2, 7));
    ExpertPlacement placement(config.parallel.placement, length, 2);
    placement.restore(saved, *run.state.model, run.groups, "test");
    MOE_CHECK(run.state.model->moe_layers()[0]->replicas().empty(), "copies for another number of ranks");
  });
}
