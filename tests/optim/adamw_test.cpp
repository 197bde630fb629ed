#include "core/optim/adamw.h"

#include <cmath>

#include "core/optim/gradient_norm.h"
#include "tests/support/catch.h"

using namespace moe;

// Shared and expert parameters, decayed and not, with sizes that are no multiple of a vector.
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

TEST_CASE("AdamW equals the textbook, decays only what is decayed, and clears the gradients or marks them as old") {
  for (const DType dtype : {DType::f64, DType::f32}) {
    INFO(name_of(dtype));
    Fixture f(dtype);
    OptimizerConfig config;
    config.beta1 = 0.8, config.beta2 = 0.9, config.eps = 1e-6;
    const double weight_decay = 0.3;
    AdamW optimizer(f.ctx, f.parameters, config);

    struct Element {
      double w, m = 0, v = 0;
    };
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
      optimizer.step(f.ctx, rate, weight_decay, scale, update);
      index = 0;
      for (const Parameter& p : f.parameters.parameters()) {
        INFO(p.name << " after update " << update);
        const bool expert = p.group == ParameterGroup::expert;
        for (int64_t i = 0; i < p.value.size(); ++i) {
          Element& e = reference[index][static_cast<size_t>(i)];
          const double g = scale * gradient_of(index, i, update);
          e.m = config.beta1 * e.m + (1 - config.beta1) * g;
          e.v = config.beta2 * e.v + (1 - config.beta2) * g * g;
          const double m_hat = e.m / (1 - std::pow(config.beta1, update)),
                       v_hat = e.v / (1 - std::pow(config.beta2, update));
          e.w -= rate * m_hat / (std::sqrt(v_hat) + config.eps) + (p.decay ? rate * weight_decay * e.w : 0);
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

TEST_CASE("without a gradient only weight decay moves a weight") {
  Fixture f(DType::f64);
  OptimizerConfig config;
  AdamW optimizer(f.ctx, f.parameters, config);
  std::vector<double> before;
  for (const Parameter& p : f.parameters.parameters()) before.push_back(f.get(p.value, 1));
  optimizer.step(f.ctx, 0.1, 0.5, 1, 1);
  size_t index = 0;
  for (const Parameter& p : f.parameters.parameters()) {
    INFO(p.name);
    CHECK(f.get(p.value, 1) == Approx(before[index++] * (p.decay ? 0.95 : 1)).epsilon(1e-14));
  }
}

TEST_CASE("the gradient's norm is over shared and expert parameters") {
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

TEST_CASE("clipping scales only norms above the limit, and not at all without one") {
  CHECK(clip_scale(0.5, 1) == 1);
  CHECK(clip_scale(1, 1) == 1);
  CHECK(clip_scale(4, 1) == 0.25);
  CHECK(clip_scale(4, 0) == 1);
  CHECK(clip_scale(0, 1) == 1);
}
