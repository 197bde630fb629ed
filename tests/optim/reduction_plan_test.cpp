#include "core/optim/reduction_plan.h"

#include <algorithm>

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/test_context.h"
#include "tests/support/thread_ranks.h"

using namespace moe;

namespace {

Parameter matrix(const std::string& name, int64_t rows, int64_t columns,
                 ParameterGroup group = ParameterGroup::shared) {
  return {.name = name, .shape = Shape{rows, columns}, .group = group, .initialisation = {}};
}

// An embedding, three blocks with a matrix, a norm and two experts each, a final norm and a head.
void add_parameters(ParameterStore& store) {
  store.add({ParameterRole::embedding}, lookup_table("embedding.weight", 50, 16, 1));
  for (int layer = 0; layer < 3; ++layer) {
    const std::string name = fmt::format("blocks.{}", layer);
    store.add({ParameterRole::norm, layer}, bias_vector(name + ".norm", 5));
    store.add({ParameterRole::attention, layer}, matrix(name + ".attention", 16, 16));
    store.add({ParameterRole::expert, layer}, matrix(name + ".experts.{}.weight", 2, 240, ParameterGroup::expert));
  }
  store.add({ParameterRole::norm}, bias_vector("final_norm", 5));
  store.add({ParameterRole::head}, matrix("head.weight", 50, 16));
}

struct Planned {
  ParameterStore store;
  std::vector<GradientBucket> plan;
  explicit Planned(int64_t least, const ProcessGroups& groups = ProcessGroups::single(), int64_t unit = 1) {
    test::TestContext context;
    add_parameters(store);
    store.allocate(context, DType::f32);
    plan = plan_reduction(store, groups, least, unit);
  }
};

}  // namespace

TEST_CASE("the plan of a reduction covers every gradient once, in the order of backward") {
  for (const auto& [least, unit] : {std::pair<int64_t, int64_t>{1, 1},
                                    {16, 1},
                                    {100, 1},
                                    {256, 1},
                                    {1000, 1},
                                    {100'000, 1},
                                    {1, 64},
                                    {100, 64},
                                    {1000, 64},
                                    {1, 512}}) {
    INFO(least << ", in units of " << unit);
    Planned p(least, ProcessGroups::single(), unit);
    for (const ParameterGroup group : kTrainedGroups) {
      std::vector<int> covered(as_index(p.store.buffer(group).gradient.size()));
      for (const GradientBucket& bucket : p.plan) {
        if (bucket.group != group) continue;
        CHECK(bucket.count >= 1);
        CHECK(bucket.count <= round_up(least, unit));
        CHECK(bucket.begin % unit == 0);
        for (int64_t i = 0; i < bucket.count; ++i) ++covered[as_index(bucket.begin + i)];
      }
      CHECK(std::count(covered.begin(), covered.end(), 1) == std::ssize(covered));
    }
    CHECK(std::is_sorted(p.plan.begin(), p.plan.end(),
                         [](const auto& left, const auto& right) { return left.complete_at > right.complete_at; }));
    // No bucket is said to be complete before one of its parameters is.
    for (const Parameter& parameter : p.store.parameters()) {
      const int64_t begin = element_offset(parameter.value, p.store.buffer(parameter.group).value);
      const int64_t at = parameter.place.layer >= 0                    ? parameter.place.layer
                         : parameter.place.role == ParameterRole::head ? GradientBucket::kBeforeBlocks
                                                                       : GradientBucket::kAtEnd;
      for (const GradientBucket& bucket : p.plan) {
        const bool holds = bucket.group == parameter.group && bucket.begin < begin + parameter.shape.size() &&
                           begin < bucket.begin + bucket.count;
        if (holds) CHECK(bucket.complete_at <= at);
      }
    }
  }
}

TEST_CASE("small parameters of neighbouring blocks are reduced together, large ones are not held back") {
  Planned p(480);
  // Of 480 elements: the two experts of a block.
  std::vector<int64_t> experts, head;
  for (const GradientBucket& bucket : p.plan) {
    if (bucket.group == ParameterGroup::expert) experts.push_back(bucket.complete_at);
  }
  CHECK(experts == std::vector<int64_t>{2, 1, 0});
  CHECK(p.plan.front().complete_at == GradientBucket::kBeforeBlocks);  // the head
  CHECK(p.plan.back().complete_at == GradientBucket::kAtEnd);          // the embedding
}

TEST_CASE("each rank adds an equal part of a bucket") {
  test::run_ranks(4, [](std::shared_ptr<Communicator> world) {
    Planned p(100, ProcessGroups::make(world, 2, 4));
    for (const GradientBucket& bucket : p.plan) {
      const int ranks = bucket.group == ParameterGroup::expert ? 2 : 4;
      MOE_CHECK(std::ssize(bucket.parts) == ranks, "{} parts", bucket.parts.size());
      int64_t sum = 0;
      for (const int64_t part : bucket.parts) {
        MOE_CHECK(part == bucket.count / ranks || part == bucket.count / ranks + 1, "a part of {}", part);
        sum += part;
      }
      MOE_CHECK(sum == bucket.count, "parts of {} elements", sum);
    }
  });
}

TEST_CASE("parts in units are of whole units, and all buckets together divide a group evenly") {
  test::run_ranks(4, [](std::shared_ptr<Communicator> world) {
    for (const int64_t unit : {16, 64, 200}) {
      Planned p(300, ProcessGroups::make(world, 2, 4), unit);
      for (const ParameterGroup group : kTrainedGroups) {
        const int ranks = group == ParameterGroup::expert ? 2 : 4;
        std::vector<int64_t> held(as_index(ranks));
        for (const GradientBucket& bucket : p.plan) {
          if (bucket.group != group) continue;
          int64_t begin = bucket.begin;
          for (int r = 0; r < ranks; ++r) {
            MOE_CHECK(bucket.parts[as_index(r)] == 0 || begin % unit == 0, "a part begins at {}", begin);
            begin += bucket.parts[as_index(r)];
            held[as_index(r)] += bucket.parts[as_index(r)];
          }
          MOE_CHECK(begin == bucket.begin + bucket.count, "parts end at {}", begin);
        }
        const auto [least, most] = std::minmax_element(held.begin(), held.end());
        MOE_CHECK(*most - *least <= unit, "between {} and {} elements", *least, *most);
      }
    }
  });
}
