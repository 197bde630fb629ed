// parallel.placement: experts that move between ranks during a run, and its state in checkpoints.
#include "core/lifecycle/expert_placement.h"

#include <algorithm>
#include <mutex>

#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/lifecycle/moved_experts.h"
#include "core/lifecycle/moved_tensors.h"
#include "core/lifecycle/placement_record.h"
#include "tests/lifecycle/placed_runs.h"
#include "tests/support/catch.h"
#include "tests/support/optimizer_variants.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

TEST_CASE("experts move with all that is kept of them, and training goes on as if they had not") {
  std::vector<std::string> optimizers = test::optimizer_variants();
  optimizers.push_back("{kind: adamw, shard: true}");
  for (const std::string& optimizer : optimizers) {
    const TrainConfig config = config_of("experts: 7, layers: [{at: last, experts: 5}]", "{kind: load, every: 3}",
                                         ", optimizer: " + optimizer);
    for (const auto& [ranks, width] : {std::pair{2, 2}, std::pair{3, 3}, std::pair{4, 2}, std::pair{4, 4}}) {
      INFO(optimizer << ", " << ranks << " ranks, " << width << " share the experts");
      std::mutex mutex;
      Values before, after, trained, expected;  // of all ranks, before and after the first move, and in the end
      bool same_losses = true;
      test::run_ranks(ranks, [&, width = width](std::shared_ptr<Communicator> world) {
        TinyRun run(config, kVocab, ProcessGroups::make(world, width, 5)),
            reference(config, kVocab, ProcessGroups::make(world, width, 5));
        for (int64_t step = 0; step < 6; ++step) {
          // Without clipping, for which the norm is summed in the order of the buffer, all bits are the same.
          const bool same = update(run, step).loss == update(reference, step).loss;
          Values here = everything_named(run);
          if (step % 2 == 0) place_randomly(run, static_cast<uint64_t>(step));
          Values there = everything_named(run);
          const std::scoped_lock lock(mutex);
          same_losses &= same;
          if (step == 0) before.merge(here), after.merge(there);
        }
        Values in_the_end = everything_named(run), wanted = everything_named(reference);
        const std::scoped_lock lock(mutex);
        trained.merge(in_the_end), expected.merge(wanted);
      });
      CHECK(same_losses);
      CHECK(before.size() > 30);
      CHECK(before == after);
      CHECK(trained == expected);
    }
  }
}

TEST_CASE("a checkpoint of experts at random places is read by any layout, and the other way round") {
  const TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  const TrainConfig config = config_of("experts: 7", "{kind: co_activation, every: 3}");
  Values expected;
  std::mutex mutex;
  test::run_ranks(4, [&](std::shared_ptr<Communicator> world) {
    TinyRun run(config, kVocab, ProcessGroups::make(world, 4, 7));
    for (int64_t step = 0; step < 2; ++step) update(run, step);
    place_randomly(run, 5);
    RunState state;
    state.step = 2;
    checkpoints.save(state, run.state.parameters, *run.state.optimizer, run.groups, {});
    Values values = everything_named(run);
    const std::scoped_lock lock(mutex);
    expected.merge(values);
  });
  for (const char* placement : {"contiguous", "{kind: load, every: 3}"}) {
    for (const auto& [ranks, width] : {std::pair{1, 1}, std::pair{2, 2}, std::pair{4, 2}, std::pair{4, 4}}) {
      INFO(placement << ", " << ranks << " ranks, " << width << " share the experts");
      Values read;
      test::run_ranks(ranks, [&, width = width](std::shared_ptr<Communicator> world) {
        TinyRun run(config_of("experts: 7", placement), kVocab, ProcessGroups::make(world, width, 7));
        load_tensors(checkpoints.path(2), run.state.parameters, run.state.optimizer.get());
        Values values = everything_named(run);
        const std::scoped_lock lock(mutex);
        read.merge(values);
      });
      CHECK(read == expected);
    }
  }
}

TEST_CASE("experts are kept together on a host where the groups are spread over hosts alike") {
  const TrainConfig config = config_of("experts: 8", "{kind: co_activation, every: 3}");
  // The share of the pairs that were together before anything moved, by which a unit shows: of four ranks, or two
  // hosts.
  const auto together = [&](int64_t width, const std::vector<int>& hosts) {
    std::mutex mutex;
    std::vector<double> shares;
    test::run_ranks(
        4,
        [&](std::shared_ptr<Communicator> world) {
          TinyRun run(config, kVocab, ProcessGroups::make(world, width, 8));
          ExpertPlacement placement(config.parallel.placement, {100, 1, 1});
          for (int64_t step = 0; step < 3; ++step) {
            update(run, step);
            placement.observe(*run.state.model, run.groups);
          }
          const double share = placement.place(run.state, run.groups)[0].together_before;
          const std::scoped_lock lock(mutex);
          shares.push_back(share);
        },
        hosts);
    CHECK(std::count(shares.begin(), shares.end(), shares[0]) == 4);
    return shares[0];
  };
  const double by_rank = together(4, {});
  CHECK(together(4, {0, 0, 0, 0}) == by_rank);
  CHECK(together(4, {0, 0, 1, 1}) > by_rank);
  // Two groups of two ranks: one on one host, the other on two.
  CHECK(together(2, {0, 0, 0, 1}) == together(2, {}));
}

// The lifecycle of experts with experts at random places gives the bits of one rank.
TEST_CASE("experts that are changed while they are at random places become the same") {
  const TrainConfig config = config_of("experts: 5", "{kind: load, every: 3}");
  const TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  TinyRun reference(config, kVocab, ProcessGroups::single());
  for (int64_t step = 0; step < 2; ++step) update(reference, step);
  RunState state;
  state.step = 2;
  checkpoints.save(state, reference.state.parameters, *reference.state.optimizer, reference.groups, {});
  const std::vector<double> use{0.3, 0.1, 0.1, 0.2, 0.3};
  const std::vector<int64_t> sources{4, 0, 2};
  ExpertChange grow{"grow", LayerNumbers(2, {5, 1}), LayerNumbers(2, {8, 1}), 0.05, 0.1, {}};
  grow.mappings.assign(2, growing(5, sources, true));
  for (const ExpertChange& change :
       {grow, restart_experts({use, use}, {{1}, {2, 1}}, LayerNumbers(2, {5, 1}), 0.1, 0.1)}) {
    const bool stays = change.before == change.after;
    const auto changed = [&](TinyRun& run, const ProcessGroups& groups) {
      auto next = std::make_unique<TinyRun>(with_experts(run.config, change.after), kVocab, groups);
      if (stays) {
        for (size_t i = 0; i < 2; ++i)
          if (groups.expert->size() > 1)
            next->state.model->moe_layers()[i]->place(run.state.model->moe_layers()[i]->expert_map());
      }
      MovedTensors(run.state, run.groups, next->groups, change, 2).write_to(next->state);
      return next;
    };
    const Values expected = everything_named(*changed(reference, ProcessGroups::single()));
    for (const int ranks : {2, 3}) {
      INFO(change.kind << ", " << ranks << " ranks");
      Values found;
      std::mutex mutex;
      test::run_ranks(ranks, [&](std::shared_ptr<Communicator> world) {
        TinyRun run(config, kVocab, ProcessGroups::make(world, world->size(), 5));
        load_tensors(checkpoints.path(2), run.state.parameters, run.state.optimizer.get());
        place_randomly(run, 9);
        const auto next = changed(run, run.groups);
        const std::scoped_lock lock(mutex);
        found.merge(everything_named(*next));
      });
      CHECK(found == expected);
    }
  }
}

// ---- a whole run ---------------------------------------------------------------------------------------------------

TEST_CASE("a skewed load is balanced to a tenth of the mean, and the loss stays the same") {
  struct Case {
    int experts, ranks, k;
    const char* placement;
  };
  for (const Case& c : {Case{64, 4, 1, "{kind: load, every: 10}"}, Case{16, 2, 1, "{kind: load, every: 10}"},
                        Case{64, 4, 2, "{kind: co_activation, every: 10, slack: 0.05}"}}) {
    INFO(c.placement << ", " << c.experts << " experts on " << c.ranks << " ranks");
    const auto with = [&](const char* placement) {
      TrainConfig config =
          config_of(fmt::format("experts: {}, balance: [], router: {{kind: hash, k: {}}}", c.experts, c.k), placement);
      config.model.layers = 1;
      config.train.batch = 16;
      config.data.sequence = 48;
      return config;
    };
    const Curve contiguous = train_skewed(with("contiguous"), c.ranks, c.ranks),
                placed = train_skewed(with(c.placement), c.ranks, c.ranks);
    CHECK(placed.losses == contiguous.losses);  // to the bit, without clipping
    CHECK(placed.values == contiguous.values);
    CAPTURE(contiguous.busiest, placed.busiest);
    CHECK(contiguous.busiest > 1.5);
    CHECK(placed.busiest <= 1.1);
    CHECK(placed.first[0].busiest_before > 1.5);
    CHECK(placed.first[0].busiest_after <= 1.1);
    CHECK(placed.first[0].moved > 0);
    if (c.k > 1) CHECK(placed.first[0].together_after > placed.first[0].together_before);
  }
}

TEST_CASE("with clipping, the loss differs by rounding only") {
  const auto with = [](const char* placement) {
    TrainConfig config = config_of("experts: 16, balance: []", placement);
    config.train.clip_norm = ScheduleField(0.1, {0});
    return config;
  };
  const Curve contiguous = train_skewed(with("contiguous"), 4, 2),
              placed = train_skewed(with("{kind: load, every: 7}"), 4, 2);
  REQUIRE(placed.losses.size() == 50);
  CHECK(placed.first[0].moved > 0);
  for (size_t i = 0; i < 50; ++i) CHECK(placed.losses[i] == Approx(contiguous.losses[i]).epsilon(1e-5));
}

// ---- state in checkpoints ------------------------------------------------------------------------------------------

TEST_CASE("the state of the placement goes through a checkpoint, and another number of ranks starts in order") {
  const TrainConfig config = config_of("experts: 7", "{kind: co_activation, every: 3}");
  Json saved;
  std::vector<int64_t> first_moved;
  test::run_ranks(4, [&](std::shared_ptr<Communicator> world) {
    TinyRun run(config, kVocab, ProcessGroups::make(world, 4, 7));
    ExpertPlacement placement(config.parallel.placement, {100, 1000, 10});
    Json of_rank = placement.save(*run.state.model, run.groups);  // before anything was measured
    ExpertPlacement fresh(config.parallel.placement, {100, 1000, 10});
    fresh.restore(of_rank, *run.state.model, run.groups, "test");
    for (int64_t step = 0; step < 5; ++step) {
      update(run, step);
      placement.observe(*run.state.model, run.groups);
      if (step == 2) placement.place(run.state, run.groups);
    }
    of_rank = parse_json(json_text(placement.save(*run.state.model, run.groups)));
    TinyRun again(config, kVocab, run.groups);
    ExpertPlacement restored(config.parallel.placement, {100, 1000, 10});
    restored.restore(of_rank, *again.state.model, again.groups, "test");
    bool same = json_text(restored.save(*again.state.model, again.groups)) == json_text(of_rank);
    same &= restored.updates() == 2;
    for (size_t i = 0; i < 2; ++i)
      same &= again.state.model->moe_layers()[i]->expert_map() == run.state.model->moe_layers()[i]->expert_map();
    MOE_CHECK(same, "rank {} restored another state", world->rank());
    if (world->rank() == 0) saved = of_rank;
  });
  CHECK(saved.at("ranks") == 4);
  CHECK(saved.at("updates") == 2);
  test::run_ranks(2, [&](std::shared_ptr<Communicator> world) {
    TinyRun run(config, kVocab, ProcessGroups::make(world, 2, 7));
    ExpertPlacement placement(config.parallel.placement, {100, 1000, 10});
    placement.restore(saved, *run.state.model, run.groups, "test");
    MOE_CHECK(run.state.model->moe_layers()[0]->expert_map().is_contiguous(), "not contiguous");
    MOE_CHECK(placement.updates() == 2, "what was measured is lost");
    // Without the pairs, another kind measures again.
    Json rows = saved;
    for (size_t i = 0; i < 2; ++i) rows["layers"][i].erase("pairs");
    placement.restore(rows, *run.state.model, run.groups, "test");
    MOE_CHECK(placement.updates() == 0, "measured pairs appeared");
  });
  // One rank holds all experts, so it has no state and needs none.
  TinyRun alone(config, kVocab, ProcessGroups::single());
  ExpertPlacement placement(config.parallel.placement, {100, 1000, 10});
  placement.restore(saved, *alone.state.model, alone.groups, "test");
  CHECK(placement.save(*alone.state.model, alone.groups).is_null());
  CHECK_FALSE(placement.is_due(3, alone.groups));
}

TEST_CASE("a damaged state of the placement is refused") {
  TrainConfig config = config_of("experts: 5", "{kind: load, every: 3}");
  config.parallel.replicas = 2;
  const std::string good =
      R"({"ranks": 2, "updates": 1, "layers": [{"rank_of_expert": [1, 0, 1, 0, 1], "rows": [1, 2, 3, 4, 5], "copies_on_ranks": [[0, 4], [1]]}, {"rank_of_expert": [0, 0, 1, 1, 1], "rows": [1, 2, 3, 4, 5]}]})";
  std::vector<std::pair<std::string, std::string>> damages = {{"\"ranks\": 2", "\"ranks\": 0"},
                                                              {"\"ranks\": 2", "\"ranks\": 1000000000"},
                                                              {"\"ranks\": 2", "\"ranks\": \"\""},
                                                              {"\"updates\": 1", "\"update\": 1"},
                                                              {"[1, 0, 1, 0, 1]", "[1, 0, 1, 0]"},
                                                              {"[1, 0, 1, 0, 1]", "[1, 1, 1, 0, 1]"},
                                                              {"[1, 0, 1, 0, 1]", "[2, 0, 1, 0, 1]"},
                                                              {"[1, 0, 1, 0, 1]", "7"},
                                                              {"[1, 2, 3, 4, 5]", "[1, 2, 3, 4]"},
                                                              {"[1, 2, 3, 4, 5]", "[1, 2, 3, 4, -5]"},
                                                              {"[1, 2, 3, 4, 5]", "[1, 2, 3, 4, null]"},
                                                              {"[[0, 4], [1]]", "[[0, 4]]"},
                                                              {"[[0, 4], [1]]", "[[0, 3], [1]]"},
                                                              {"[[0, 4], [1]]", "[[0, 5], [1]]"},
                                                              {"[[0, 4], [1]]", "[[4, 0], [1]]"},
                                                              {"[[0, 4], [1]]", "[[0, 4], 1]"},
                                                              {"[[0, 4], [1]]", "7"}};
  std::vector<int> refused(damages.size());
  bool accepted = false;
  test::run_ranks(2, [&](std::shared_ptr<Communicator> world) {
    TinyRun run(config, kVocab, ProcessGroups::make(world, 2, 5));
    ExpertPlacement placement(config.parallel.placement, {100, 1000, 10}, 2);
    if (world->rank() > 0) return;
    for (size_t i = 0; i < damages.size(); ++i) {
      std::string text = good;
      text.replace(text.find(damages[i].first), damages[i].first.size(), damages[i].second);
      try {
        placement.restore(parse_json(text), *run.state.model, run.groups, "here");
      } catch (const CheckpointError& error) {
        refused[i] = std::string(error.what()).find("here") != std::string::npos;
      }
    }
    placement.restore(parse_json(good), *run.state.model, run.groups, "here");
    accepted = placement.updates() == 1 && run.state.model->moe_layers()[0]->expert_map().rank_of(0) == 1;
  });
  for (size_t i = 0; i < damages.size(); ++i) {
    INFO(damages[i].second);
    CHECK(refused[i] == 1);
  }
  CHECK(accepted);
}

TEST_CASE("the reports name the busiest rank before and after") {
  PlacementOutcome outcome{.kind = "load", .updates = 50, .layers = {}, .counts_pairs = false, .seconds = 0.25};
  outcome.layers = {{.layer = 0, .experts = 8, .moved = 3, .busiest_before = 1.5, .busiest_after = 1.0625},
                    {.layer = 2, .experts = 4, .moved = 0, .busiest_before = 1.25, .busiest_after = 1.25}};
  CHECK(to_words(outcome, 100) ==
        "[placement] step 100 | load | rows of the busiest rank, in the worst layer: 1.500 -> 1.250 x the mean | 3 of "
        "12 experts moved | 250 ms");
  const Json record = to_json(outcome);
  CHECK(record.at("updates") == 50);
  CHECK(record.at("layers").size() == 2);
  CHECK(record.at("layers").at(0).at("busiest_after") == 1.0625);
  CHECK_FALSE(record.at("layers").at(0).contains("together_after"));
  outcome.replicates = true;
  outcome.layers[0].copies = 3;
  CHECK_THAT(to_words(outcome, 100), Catch::Contains("experts moved | 3 copies | 250 ms"));
  CHECK(to_json(outcome).at("layers").at(0).at("copies") == 3);
  outcome.counts_pairs = true;
  CHECK_THAT(to_words(outcome, 100), Catch::Contains("chosen together and on one rank"));
  CHECK(to_json(outcome).at("layers").at(0).contains("together_after"));
}
