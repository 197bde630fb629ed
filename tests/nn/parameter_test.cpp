#include "core/nn/parameter.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "core/ops/initialise.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

namespace {

constexpr auto kNormal = Initialisation::Kind::normal;

// Two matrices and a norm, and experts [first, first + count) of five.
void fill(ParameterStore& store, int64_t first, int64_t count) {
  store.add({}, {"a.weight", {3, 5}, ParameterGroup::shared, {kNormal, 0.1}});
  store.add({}, {"norm.weight", {5}, ParameterGroup::shared, {Initialisation::Kind::constant, 1}, false});
  std::vector<int64_t> experts(as_index(count));
  std::iota(experts.begin(), experts.end(), first);
  store.add({}, {"experts.{}.input", {count, 4, 3}, ParameterGroup::expert, {kNormal, 0.1}, true, experts});
  store.add(
      {},
      {"experts.{}.bias", {count, 2}, ParameterGroup::expert, {Initialisation::Kind::uniform, 0.3}, false, experts});
  store.add({}, {"b.weight", {2, 7}, ParameterGroup::shared, {kNormal, 0.2}});
}

std::map<std::string, std::vector<double>> named_values(ParameterStore& store, ParameterGroup group) {
  std::map<std::string, std::vector<double>> result;
  store.for_each_named(group, store.buffer(group).value,
                       [&](const NamedTensor& named) { result[named.name] = values(named.tensor); });
  return result;
}

}  // namespace

TEST_CASE("parameters are stored in their group's buffer, decayed ones first, and do not overlap") {
  TestContext ctx;
  ParameterStore store;
  fill(store, 0, 5);
  store.allocate(ctx, DType::f32);
  for (const ParameterGroup group : kTrainedGroups) {
    const ParameterBuffer& buffer = store.buffer(group);
    CHECK(buffer.value.shape == buffer.gradient.shape);
    std::vector<int> owners(static_cast<size_t>(buffer.value.size()));
    for (const Parameter& p : store.parameters()) {
      if (p.group != group) continue;
      INFO(p.name);
      CHECK(p.value.shape == p.shape);
      CHECK(p.gradient.shape == p.shape);
      const int64_t begin = p.value.as<float>() - buffer.value.as<float>();
      CHECK(begin == p.gradient.as<float>() - buffer.gradient.as<float>());
      CHECK(begin % 16 == 0);
      CHECK((begin < buffer.num_decayed) == p.decay);
      CHECK((begin + p.shape.size() <= buffer.num_decayed) == p.decay);
      for (int64_t i = 0; i < p.shape.size(); ++i) ++owners.at(static_cast<size_t>(begin + i));
    }
    CHECK(*std::max_element(owners.begin(), owners.end()) == 1);
  }
  check_close("gradients", store.buffer(ParameterGroup::shared).gradient,
              std::vector<double>(static_cast<size_t>(store.buffer(ParameterGroup::shared).gradient.size())), {});
  CHECK(store.parameter_bytes() == store.gradient_bytes());
}

TEST_CASE("parameters are named, experts by their global index") {
  TestContext ctx;
  ParameterStore store;
  fill(store, 3, 2);
  store.allocate(ctx, DType::f64);
  store.initialise(ctx, 1);
  std::vector<std::string> shared, expert;
  store.for_each_named(
      ParameterGroup::shared, store.buffer(ParameterGroup::shared).value,
      [&](const NamedTensor& named) { shared.push_back(named.name + " " + named.tensor.shape.to_string()); });
  store.for_each_named(
      ParameterGroup::expert, store.buffer(ParameterGroup::expert).value,
      [&](const NamedTensor& named) { expert.push_back(named.name + " " + named.tensor.shape.to_string()); });
  CHECK(shared == std::vector<std::string>{"a.weight (3, 5)", "norm.weight (5)", "b.weight (2, 7)"});
  CHECK(expert == std::vector<std::string>{"experts.3.input (4, 3)", "experts.4.input (4, 3)", "experts.3.bias (2)",
                                           "experts.4.bias (2)"});
  CHECK(expert_name("x.{}.y", 12) == "x.12.y");
}

TEST_CASE("for_each_named finds the same range in any buffer of the layout") {
  TestContext ctx;
  ParameterStore store;
  fill(store, 0, 2);
  store.allocate(ctx, DType::f32);
  for (const Parameter& p : store.parameters()) set(p.gradient, 0, 42);
  std::map<std::string, double> firsts;
  store.for_each_named(ParameterGroup::shared, store.buffer(ParameterGroup::shared).gradient,
                       [&](const NamedTensor& named) { firsts[named.name] = get(named.tensor, 0); });
  CHECK(firsts == std::map<std::string, double>{{"a.weight", 42}, {"norm.weight", 42}, {"b.weight", 42}});
}

TEST_CASE("stale gradients without new contributions are cleared") {
  TestContext ctx;
  ParameterStore store;
  fill(store, 0, 2);
  store.allocate(ctx, DType::f32);
  for (const Parameter& p : store.parameters()) fill_constant(ctx, p.gradient, 42);
  store.mark_gradients_old(ParameterGroup::expert);
  store.clear_old_gradients(ctx);
  for (const Parameter& p : store.parameters()) {
    CHECK_FALSE(p.gradient_is_old);
    CHECK(get(p.gradient, 1) == (p.group == ParameterGroup::expert ? 0 : 42));
  }
}

TEST_CASE("initial values do not depend on which rank holds an expert") {
  TestContext ctx;
  ParameterStore whole, first, second, none;
  fill(whole, 0, 5);
  fill(first, 0, 2);
  fill(second, 2, 3);
  fill(none, 5, 0);
  for (ParameterStore* store : {&whole, &first, &second, &none}) {
    store->allocate(ctx, DType::f32);
    store->initialise(ctx, 11);
  }
  auto parts = named_values(first, ParameterGroup::expert);
  parts.merge(named_values(second, ParameterGroup::expert));
  CHECK(parts == named_values(whole, ParameterGroup::expert));
  CHECK(named_values(none, ParameterGroup::expert).empty());
  CHECK(named_values(none, ParameterGroup::shared) == named_values(whole, ParameterGroup::shared));

  CHECK(parts["experts.0.input"] != parts["experts.1.input"]);
  CHECK(named_values(whole, ParameterGroup::shared)["norm.weight"] == std::vector<double>(5, 1));
  whole.initialise(ctx, 12);
  CHECK(named_values(whole, ParameterGroup::expert) != parts);
}

TEST_CASE("a planned parameter store counts and does not touch memory") {
  TestContext ctx;
  ParameterStore planned, real;
  fill(planned, 0, 5);
  fill(real, 0, 5);
  real.allocate(ctx, DType::f32);
  ctx.planning = true;
  planned.allocate(ctx, DType::f32);
  planned.initialise(ctx, 1);
  CHECK(planned.parameter_bytes() == real.parameter_bytes());
  CHECK(planned.parameter_bytes() > 4 * (15 + 5 + 60 + 10 + 14));
}

TEST_CASE("room for copies of experts lies outside of the buffers, is empty at first and counts as memory") {
  TestContext ctx;
  ParameterStore store, plain, planned;
  for (ParameterStore* s : {&store, &plain, &planned}) {
    fill(*s, 0, 5);
    if (s == &plain) continue;
    Parameter more{.name = "more.{}.weight",
                   .shape = {5, 4, 3},
                   .group = ParameterGroup::expert,
                   .initialisation = {kNormal, 0.1}};
    more.num_copies = 3;
    s->add({}, more);
  }
  plain.add({}, {"more.{}.weight", {5, 4, 3}, ParameterGroup::expert, {}});
  store.allocate(ctx, DType::f32);
  plain.allocate(ctx, DType::f32);
  const Parameter& with_room = store.parameters().back();
  CHECK(with_room.copies.shape == Shape{3, 4, 3});
  CHECK(with_room.copies_gradient.shape == Shape{3, 4, 3});
  CHECK(values(with_room.copies) == std::vector<double>(36));
  CHECK(values(with_room.copies_gradient) == std::vector<double>(36));
  for (const ParameterGroup group : kParameterGroups) {
    CHECK(store.buffer(group).value.shape == plain.buffer(group).value.shape);
  }
  CHECK(store.parameter_bytes() == plain.parameter_bytes());
  CHECK(store.gradient_bytes() == plain.gradient_bytes());
  CHECK(store.copies_bytes() == 2 * 36 * 4);
  CHECK(plain.copies_bytes() == 0);
  ctx.planning = true;
  planned.allocate(ctx, DType::f32);
  CHECK(planned.parameter_bytes() == store.parameter_bytes());
  CHECK(planned.copies_bytes() == store.copies_bytes());
}

TEST_CASE("a parameter store refuses late parameters and names without an expert placeholder") {
  TestContext ctx;
  ParameterStore store;
  CHECK_THROWS_AS(store.add({}, {"experts.weight", {2, 3}, ParameterGroup::expert, {}}), InternalError);
  CHECK_THROWS_AS(store.add({}, {"a.{}.weight", {2, 3}, ParameterGroup::shared, {}}), InternalError);
  store.allocate(ctx, DType::f32);
  CHECK_THROWS_AS(store.add({}, {"late", {2}, ParameterGroup::shared, {}}), InternalError);
}

}  // namespace moe::test
