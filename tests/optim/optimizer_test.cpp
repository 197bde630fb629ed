#include "core/optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/base/integer.h"
#include "core/optim/gradient_norm.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

// Shared and expert parameters, with and without decay; their sizes are not multiples of a vector.
static TrainConfig optimizer_config(const std::string& optimizer) {
  return config_from(fmt::format("{{optimizer: {}}}", optimizer));
}

struct Fixture {
  explicit Fixture(DType type) : dtype(type) {
    ctx.dtype = type;
    parameters.add({}, {"matrix", Shape{3, 7}, ParameterGroup::shared, {Initialisation::Kind::normal, 1}});
    parameters.add({}, {"norm", Shape{5}, ParameterGroup::shared, {Initialisation::Kind::constant, 1}, false});
    parameters.add({}, {"expert.{}.weight", Shape{2, 3, 5}, ParameterGroup::expert, {Initialisation::Kind::normal, 1}});
    parameters.add({},
                   {"expert.{}.bias", Shape{2, 3}, ParameterGroup::expert, {Initialisation::Kind::normal, 1}, false});
    parameters.allocate(ctx, type);
    parameters.initialise(ctx, 5);
  }

  std::unique_ptr<Optimizer> optimizer(const std::string& options) {
    return optimizer_config(options).optimizer.make(Optimizer::Setup{ctx, parameters, {5, 1, 1}});
  }

  double get(Tensor t, int64_t i) const {
    return dtype == DType::f64 ? t.as<double>()[i] : static_cast<double>(t.as<float>()[i]);
  }
  void set(Tensor t, int64_t i, double x) const {
    if (dtype == DType::f64)
      t.as<double>()[i] = x;
    else
      t.as<float>()[i] = static_cast<float>(x);
  }

  DType dtype;
  Context ctx;
  ParameterStore parameters;
};

static double gradient_of(uint64_t parameter, int64_t i, int64_t update) {
  return RandomKey{9, RandomPurpose::test, static_cast<uint32_t>(parameter), static_cast<uint64_t>(update)}.normal(
      static_cast<uint64_t>(i));
}

// One element of a parameter as a reference optimizer has it.
struct Element {
  double w, first = 0, second = 0;
};
// Moves an element by gradient `g` at an update counted from 1; `decay`: the learning rate times the weight decay.
using Rule = std::function<void(Element& e, double g, double rate, double decay, int64_t update)>;

static void check_against(const std::string& options, const Rule& rule) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    INFO(options << " in " << name_of(dtype));
    Fixture f(dtype);
    const std::unique_ptr<Optimizer> optimizer = f.optimizer(options);
    std::vector<std::vector<Element>> reference;
    for (const Parameter& p : f.parameters.parameters()) {
      reference.emplace_back();
      for (int64_t i = 0; i < p.value.size(); ++i) reference.back().push_back({f.get(p.value, i)});
    }
    for (int64_t update = 1; update <= 5; ++update) {
      const double rate = 0.1 / static_cast<double>(update), scale = update == 3 ? 0.25 : 1;
      size_t index = 0;
      for (const Parameter& p : f.parameters.parameters()) {
        for (int64_t i = 0; i < p.value.size(); ++i) f.set(p.gradient, i, gradient_of(index, i, update));
        ++index;
      }
      optimizer->step(f.ctx, {.number = update - 1, .learning_rate = rate, .gradient_scale = scale});
      index = 0;
      for (const Parameter& p : f.parameters.parameters()) {
        INFO(p.name << " after update " << update);
        const bool expert = p.group == ParameterGroup::expert;
        for (int64_t i = 0; i < p.value.size(); ++i) {
          Element& e = reference[index][as_index(i)];
          rule(e, scale * gradient_of(index, i, update), rate, p.decay ? rate * 0.3 : 0, update);
          CHECK(f.get(p.value, i) ==
                Approx(e.w).epsilon(dtype == DType::f64 ? 1e-12 : 1e-5).margin(dtype == DType::f64 ? 1e-14 : 1e-6));
          CHECK(f.get(p.gradient, i) == (expert ? gradient_of(index, i, update) : 0));
        }
        CHECK(p.gradient_is_old == expert);
        ++index;
      }
    }
  }
}

// The options and rules that the tests run for each optimizer. The first test fails for an optimizer without a case.
struct Case {
  const char* kind;
  const char* options;
  Rule rule;
};
static const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"adamw", "{kind: adamw, beta1: 0.8, beta2: 0.9, eps: 1e-6, weight_decay: 0.3}",
       [](Element& e, double g, double rate, double decay, int64_t update) {
         e.first = 0.8 * e.first + 0.2 * g;
         e.second = 0.9 * e.second + 0.1 * g * g;
         const double m_hat = e.first / (1 - std::pow(0.8, update)), v_hat = e.second / (1 - std::pow(0.9, update));
         e.w -= rate * m_hat / (std::sqrt(v_hat) + 1e-6) + decay * e.w;
       }},
      {"sgd", "{kind: sgd, momentum: 0, weight_decay: 0.3}",
       [](Element& e, double g, double rate, double decay, int64_t) { e.w -= rate * g + decay * e.w; }},
      {"sgd", "{kind: sgd, momentum: 0.8, weight_decay: 0.3}",
       [](Element& e, double g, double rate, double decay, int64_t) {
         e.first = 0.8 * e.first + g;
         e.w -= rate * e.first + decay * e.w;
       }},
      {"sgd", "{kind: sgd, momentum: 0.8, nesterov: true, weight_decay: 0.3}",
       [](Element& e, double g, double rate, double decay, int64_t) {
         e.first = 0.8 * e.first + g;
         e.w -= rate * (g + 0.8 * e.first) + decay * e.w;
       }},
  };
  return all;
}

TEST_CASE("every optimizer equals its textbook rule, decays only what is decayed, and clears or marks the gradients") {
  for (const Case& c : cases()) check_against(c.options, c.rule);
  for (const std::string& kind : family<Optimizer>().names()) {
    INFO(kind);
    CHECK(std::any_of(cases().begin(), cases().end(), [&](const Case& c) { return c.kind == kind; }));
  }
}

TEST_CASE("with a zero gradient every optimizer applies weight decay only") {
  for (const std::string& kind : family<Optimizer>().names()) {
    INFO(kind);
    Fixture f(DType::f64);
    const std::unique_ptr<Optimizer> optimizer = f.optimizer(fmt::format("{{kind: {}, weight_decay: 0.5}}", kind));
    std::vector<double> before;
    for (const Parameter& p : f.parameters.parameters()) before.push_back(f.get(p.value, 1));
    optimizer->step(f.ctx, {.number = 0, .learning_rate = 0.1, .gradient_scale = 1});
    size_t index = 0;
    for (const Parameter& p : f.parameters.parameters()) {
      INFO(p.name);
      CHECK(f.get(p.value, 1) == Approx(before[index++] * (p.decay ? 0.95 : 1)).epsilon(1e-14));
    }
  }
}

TEST_CASE("weight decay follows its schedule") {
  Fixture f(DType::f64);
  const std::unique_ptr<Optimizer> optimizer =
      f.optimizer("{kind: sgd, weight_decay: {kind: table, at: [0, 3], values: [0.5, 0]}}");
  const double before = f.get(f.parameters.parameters()[0].value, 1);
  optimizer->step(f.ctx, {.number = 0, .learning_rate = 0.1, .gradient_scale = 1});
  CHECK(f.get(f.parameters.parameters()[0].value, 1) == Approx(0.95 * before).epsilon(1e-14));
  optimizer->step(f.ctx, {.number = 3, .learning_rate = 0.1, .gradient_scale = 1});
  CHECK(f.get(f.parameters.parameters()[0].value, 1) == Approx(0.95 * before).epsilon(1e-14));
}

TEST_CASE("an optimizer takes memory for the states that its options need") {
  Fixture f(DType::f32);
  const size_t none = f.optimizer("{kind: sgd, momentum: 0}")->bytes();
  const size_t sum = f.optimizer("{kind: sgd}")->bytes(), moments = f.optimizer("{kind: adamw}")->bytes();
  CHECK(none == 0);
  CHECK(sum > 0);
  CHECK(moments == 2 * sum);
  const size_t narrow = f.optimizer("{kind: adamw, first_moment: bf16}")->bytes();
  CHECK(narrow < moments);
  // Two bytes less for each of 62 elements, besides what each of two tensors is padded by.
  CHECK(narrow + 2 * 62 + 2 * 64 >= moments);
}

TEST_CASE("options without a kind belong to AdamW, as in version 0.1.0; options of another kind are refused") {
  const TrainConfig old = optimizer_config("{beta1: 0.5, weight_decay: 0}");
  CHECK(old.optimizer.kind() == "adamw");
  CHECK_THROWS_WITH(optimizer_config("{kind: sgd, beta1: 0.5}"), Catch::Contains("optimizer.beta1"));
  Fixture f(DType::f32);
  CHECK_THROWS_WITH(f.optimizer("{kind: sgd, momentum: 0, nesterov: true}"), Catch::Contains("optimizer.nesterov"));
}

TEST_CASE("the gradient norm covers shared and expert parameters") {
  Fixture f(DType::f64);
  double squares = 0;
  uint64_t index = 0;
  for (const Parameter& p : f.parameters.parameters()) {
    for (int64_t i = 0; i < p.value.size(); ++i) {
      f.set(p.gradient, i, gradient_of(index, i, 1));
      squares += gradient_of(index, i, 1) * gradient_of(index, i, 1);
    }
    ++index;
  }
  CHECK(gradient_norm(f.ctx, f.parameters, ProcessGroups::single()) == Approx(std::sqrt(squares)).epsilon(1e-12));
}

TEST_CASE("clipping scales only norms above the limit, and none without a limit") {
  CHECK(clip_scale(0.5, 1) == 1);
  CHECK(clip_scale(1, 1) == 1);
  CHECK(clip_scale(4, 1) == 0.25);
  CHECK(clip_scale(4, 0) == 1);
  CHECK(clip_scale(0, 1) == 1);
}
