#include "core/moe/moe_layer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "core/base/integer.h"
#include "core/config/field_walker.h"
#include "tests/support/capacity_variants.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/forms.h"
#include "tests/support/layer_fixture.h"
#include "tests/support/strategy_variants.h"

namespace moe::test {

namespace {

struct NamedConfig {
  std::string name;
  MoEConfig config;
};

// Every router with every strategy, with the members' default options, without balance losses.
std::vector<NamedConfig> combinations() {
  std::vector<NamedConfig> result;
  for (const Member& router : family<Router>()) {
    for (const Member& strategy : family<Strategy>()) {
      result.push_back({router.name + " and " + strategy.name,
                        combination("{experts: 5, balance: []}", router.name, strategy.name)});
    }
  }
  return result;
}

// Options of single members that change what is computed.
std::vector<NamedConfig> variants() {
  std::vector<NamedConfig> result;
  for (const char* yaml :
       {"{experts: 5, balance: [], router: {k: 1, softmax: all, renormalise: false}}",
        "{experts: 5, balance: [], router: {k: 2, softmax: all, renormalise: true}}",
        "{experts: 5, balance: [], router: {k: 3, softmax: all, renormalise: false}}",
        "{experts: 5, balance: [], router: {k: 5}}", "{experts: 1, balance: [], router: {k: 1}}",
        "{experts: 5, balance: [], shared_experts: 2}",
        "{experts: 5, balance: [], shared_experts: 2, shared_gate: true}",
        "{experts: 5, balance: [], shared_experts: 1, shared_gate: true, strategy: {kind: compete, probability: 1, "
        "router_loss: 0}}",
        "{experts: 5, balance: [], shared_experts: 1, shared_gate: true, strategy: {kind: stochastic, statistics: "
        "running}}",
        "{experts: 5, balance: [], expert_init: small}",
        "{experts: 5, balance: [], router: {jitter: 0.2, input_dropout: 0.3}}"}) {
    result.push_back({yaml, moe_config(yaml)});
  }
  for (const Form& f : forms_of<Router>()) {
    const std::string yaml = fmt::format("{{experts: 5, balance: [], router: {{kind: {}, {}{}}}}}", f.kind, f.option(),
                                         f.kind == "hyper"  ? ", hidden: 16"
                                         : f.kind == "relu" ? ", l1: 0.5"
                                                            : "");
    result.push_back({yaml, moe_config(yaml)});
  }
  for (const std::string& strategy : strategy_variants()) {
    const std::string yaml = fmt::format("{{experts: 5, balance: [], hidden_dropout: 0.4, strategy: {}}}", strategy);
    result.push_back({yaml, moe_config(yaml)});
  }
  return result;
}

// Every loss with every scope.
std::vector<NamedConfig> losses() {
  std::vector<NamedConfig> result;
  for (const Member& loss : family<BalanceLoss>()) {
    for (const char* scope : {"global", "sequence", "rank"}) {
      const std::string yaml =
          fmt::format("{{experts: 5, balance: [{{kind: {}, coefficient: 3, scope: {}}}], router: {}}}", loss.name,
                      scope, router_for(loss.name));
      result.push_back({yaml, moe_config(yaml)});
    }
  }
  for (const Form& f : forms_of<BalanceLoss>()) {
    const std::string yaml = fmt::format(
        "{{experts: 5, balance: [{{kind: {}, form: {}, coefficient: 3}}], router: sigmoid_bias}}", f.kind, f.form);
    result.push_back({yaml, moe_config(yaml)});
  }
  for (const char* options : {"over: chosen", "over: chosen, scope: sequence", "over: rest"}) {
    const std::string yaml = fmt::format("{{experts: 5, balance: [{{kind: z, coefficient: 3, {}}}]}}", options);
    result.push_back({yaml, moe_config(yaml)});
  }
  return result;
}

// Capacities that drop a large share: each with every drop rule, and one with every router and every strategy.
std::vector<NamedConfig> bounded() {
  std::vector<NamedConfig> result;
  for (const Member& capacity : family<Capacity>()) {
    std::string options = capacity_variants().at(capacity.name);
    result.push_back({options, moe_config(fmt::format("{{experts: 5, balance: [], capacity: {}}}", options))});
    if (capacity.name == "dropless") continue;
    options.pop_back();
    for (const char* more : {"drop: score", "renormalise: true", "drop: score, renormalise: true, group: batch"}) {
      const std::string yaml = fmt::format("{{experts: 5, balance: [], capacity: {}, {}}}}}", options, more);
      result.push_back({yaml, moe_config(yaml)});
    }
  }
  const std::string yaml =
      "{experts: 5, balance: [{kind: importance, coefficient: 3}, {kind: similarity, coefficient: 3}], "
      "capacity: {kind: fixed, factor: 0.6, drop: score, renormalise: true}}";
  for (const Member& router : family<Router>()) {
    if (router.name != "expert_choice") {
      result.push_back({router.name + " and a capacity", combination(yaml, router.name, "plain")});
    }
  }
  for (const std::string& strategy : strategy_variants()) {
    const std::string text = fmt::format("{{experts: 5, balance: [], capacity: 0.6, strategy: {}}}", strategy);
    result.push_back({text, moe_config(text)});
  }
  return result;
}

// Routes one update, so that state which depends on the data differs from its initial value.
void take_a_step(LayerFixture& f) {
  const TokenBatch batch = make_batch(f.ctx, 4, 5);
  f.forward(batch, f.ctx.normal({20, kModelWidth}, 55));
  f.layer->after_step(f.ctx);
}

// The advantage of a choice is a constant in the gradient, by design, so a policy loss has no difference quotient: such
// a router is compared without losses here (reinforce_test.cpp has those with a constant advantage).
void take_losses(const MoEConfig& config, TokenBatch& batch) {
  if (config.router.kind() == "reinforce") batch.losses = {};
}

// The size of its noise is a constant in the gradient, by design, but not in a difference quotient.
bool stops_gradient_of_input(const MoEConfig& config) {
  return config.strategy.kind() == "stochastic";
}

void check_layer_gradients(const NamedConfig& named, int64_t sequences, int64_t time) {
  INFO(named.name << ", " << sequences << " sequences of " << time);
  LayerFixture f(named.config);
  TokenBatch batch = make_batch(f.ctx, sequences, time);
  const Tensor targets = f.ctx.constant({batch.tokens()}, 1, DType::i32);
  if (batch.tokens() > 2) targets.as<int32_t>()[1] = kIgnoreTarget;
  set_targets(batch, targets);
  take_losses(named.config, batch);
  take_a_step(f);
  const Tensor d_y = f.ctx.normal({batch.tokens(), kModelWidth}, 2), d_x = f.ctx.output(d_y.shape);
  const Tensor x = f.smooth_inputs(batch, d_y);
  const Tensor y = f.forward(batch, x);
  for (const double value : values(y)) REQUIRE(std::isfinite(value));
  f.layer->backward(f.ctx, batch, d_x, d_y);

  const auto counts = f.counts();
  bool same_choices = true;
  const auto loss = [&] {
    const double output = dot(f.forward(batch, x), d_y);
    same_choices = same_choices && f.counts() == counts;  // assignment shares are constants in the balance losses
    return output + f.layer->auxiliary_loss();
  };
  auto tensors = parameters_of(f.store);
  for (Differentiable& parameter : tensors) {
    // Experts without tokens, the router of a single expert, and a router that neither chooses nor learns.
    const bool idle_router =
        parameter.name.find(".router.") != std::string::npos && named.name.find("router_loss: 0") != std::string::npos;
    const bool unjudged = parameter.name.find(".baseline.") != std::string::npos;
    parameter.may_vanish = named.config.experts == 1 || batch.tokens() == 1 || idle_router || unjudged;
  }
  if (named.name.find("running") != std::string::npos || !stops_gradient_of_input(named.config))
    tensors.push_back({"x", x, d_x});
  check_gradients(loss, tensors, {.samples = 20, .step = 5e-5});
  CHECK(same_choices);
}

}  // namespace

TEST_CASE("every router with every strategy: gradients of input and parameters") {
  for (const NamedConfig& named : combinations()) {
    check_layer_gradients(named, 3, 4);
    check_layer_gradients(named, 1, 1);
  }
}

TEST_CASE("variants of the MoE layer: gradients of input and parameters") {
  for (const NamedConfig& named : variants()) check_layer_gradients(named, 3, 4);
}

// The names of a member's options.
struct OptionNames : FieldWalker {
  std::vector<std::string> names;
  void field(const char* name, bool&, const char*) override { names.emplace_back(name); }
  void field(const char* name, int64_t&, const char*, Range<int64_t>) override { names.emplace_back(name); }
  void field(const char* name, double&, const char*, Range<double>) override { names.emplace_back(name); }
  void field(const char* name, Duration&, const char*, Lengths) override { names.emplace_back(name); }
  void field(const char* name, std::string&, const char*, std::vector<std::string>) override {
    names.emplace_back(name);
  }
  void schedule(const char* name, ScheduleField&, const char*) override { names.emplace_back(name); }
  void choice(const char* name, ChoiceBase&, const char*) override { names.emplace_back(name); }
  void choices(const char* name, ChoiceListBase&, const char*) override { names.emplace_back(name); }
  using FieldWalker::field;
};

TEST_CASE("every option of a strategy is among the variants") {
  for (const Member& strategy : family<Strategy>()) {
    OptionNames options;
    strategy.make_options()->fields(options);
    for (const std::string& name : options.names) {
      const std::string option = strategy.name + "." + name;
      INFO(option);
      const auto sets = [&](const std::string& variant) {
        return variant.starts_with(fmt::format("{{kind: {},", strategy.name)) &&
               variant.find(" " + name + ": ") != variant.npos;
      };
      const bool varied = std::any_of(strategy_variants().begin(), strategy_variants().end(), sets);
      CHECK(varied != options_without_variant().contains(option));
    }
  }
}

TEST_CASE("variants of the strategies: gradients of input and parameters") {
  for (const std::string& strategy : strategy_variants()) {
    for (const char* balance : {"[]", "[{kind: switch, coefficient: 3}, {kind: z, scope: sequence, coefficient: 2}]"}) {
      const std::string yaml = fmt::format("{{experts: 5, balance: {}, strategy: {}}}", balance, strategy);
      check_layer_gradients({yaml, moe_config(yaml)}, 3, 4);
    }
  }
}

TEST_CASE("every capacity, with every router and strategy: gradients of input and parameters") {
  for (const NamedConfig& named : bounded()) check_layer_gradients(named, 3, 4);
}

TEST_CASE("every balance loss in every scope: gradients of input and parameters") {
  for (const NamedConfig& named : losses()) check_layer_gradients(named, 3, 4);
}

TEST_CASE("every MoE layer computes identical bits for any number of threads") {
  for (const NamedConfig& named : combinations()) {
    INFO(named.name);
    const auto run = [&](int num_threads) {
      const ThreadCount threads(num_threads);
      LayerFixture f(named.config);
      const TokenBatch batch = make_batch(f.ctx, 3, 11);
      const Tensor x = f.ctx.normal({33, kModelWidth}, 1), d_x = f.ctx.output(x.shape);
      std::vector<double> all = values(f.forward(batch, x));
      f.layer->backward(f.ctx, batch, d_x, f.ctx.normal(x.shape, 2));
      for (const ConstTensor& part : {ConstTensor(d_x), ConstTensor(f.store.buffer(ParameterGroup::shared).gradient),
                                      ConstTensor(f.store.buffer(ParameterGroup::expert).gradient)}) {
        const auto more = values(part);
        all.insert(all.end(), more.begin(), more.end());
      }
      all.insert(all.end(), f.sums.begin(), f.sums.end());
      return all;
    };
    const auto once = run(1);
    CHECK(once == run(1));
    CHECK(once == run(2));
  }
}

TEST_CASE("parameter gradients are added to, the input's is overwritten") {
  for (const NamedConfig& named : combinations()) {
    INFO(named.name);
    LayerFixture f(named.config);
    const TokenBatch batch = make_batch(f.ctx, 2, 5);
    const Tensor x = f.ctx.normal({10, kModelWidth}, 1), d_y = f.ctx.normal(x.shape, 2), d_x = f.ctx.output(x.shape);
    const auto run = [&] {
      f.forward(batch, x);
      f.layer->backward(f.ctx, batch, d_x, d_y);
    };
    run();
    const auto first = values(d_x);
    std::vector<std::vector<double>> gradients;
    for (const Differentiable& p : parameters_of(f.store)) gradients.push_back(values(p.gradient));
    run();
    CHECK(values(d_x) == first);
    for (size_t i = 0; i < gradients.size(); ++i) {
      for (double& g : gradients[i]) g *= 2;
      check_close(parameters_of(f.store)[i].name, parameters_of(f.store)[i].gradient, gradients[i]);
    }
  }
}

TEST_CASE("every MoE layer accepts a batch without tokens") {
  for (const auto& list : {combinations(), variants(), losses()}) {
    for (const NamedConfig& named : list) {
      INFO(named.name);
      LayerFixture f(named.config);
      TokenBatch batch = make_batch(f.ctx, 0, 4);
      batch.global_tokens = 8, batch.global_sequences = 2;  // on other ranks
      CHECK(f.forward(batch, f.ctx.zeros({0, kModelWidth})).size() == 0);
      f.layer->backward(f.ctx, batch, f.ctx.output({0, kModelWidth}), f.ctx.zeros({0, kModelWidth}));
      CHECK(f.layer->auxiliary_loss() == 0);
      for (const auto& p : parameters_of(f.store)) {
        CHECK(values(p.gradient) == std::vector<double>(static_cast<size_t>(p.value.size())));
      }
    }
  }
}

TEST_CASE("a batch of only padding has no balance loss and is not counted") {
  for (const NamedConfig& named : losses()) {
    INFO(named.name);
    LayerFixture f(named.config);
    TokenBatch batch = make_batch(f.ctx, 2, 3);
    set_targets(batch, f.ctx.constant({6}, kIgnoreTarget, DType::i32));
    const Tensor x = f.ctx.normal({6, kModelWidth}, 1), d_x = f.ctx.output(x.shape);
    f.forward(batch, x);
    f.layer->backward(f.ctx, batch, d_x, f.ctx.zeros(x.shape));
    CHECK(f.sums == std::vector<double>(f.sums.size()));
    check_close("d_x", d_x, std::vector<double>(6 * kModelWidth), {});
  }
}

// The layer by its definition: every token passes through its experts one by one.
TEST_CASE("the plain top-k layer equals a dense evaluation") {
  for (const char* yaml :
       {"{experts: 5, router: {k: 2}}", "{experts: 5, router: {k: 2, softmax: all, renormalise: false}}",
        "{experts: 5, router: {k: 1, softmax: all, renormalise: false}}",
        "{experts: 5, router: {k: 5}, shared_experts: 1}",
        "{experts: 5, router: {k: 2}, shared_experts: 1, shared_gate: true}"}) {
    INFO(yaml);
    const MoEConfig config = moe_config(yaml);
    LayerFixture f(config);
    const TokenBatch batch = make_batch(f.ctx, 3, 11);
    const Tensor x = f.ctx.normal({33, kModelWidth}, 1), y = f.forward(batch, x);
    const int64_t d = kModelWidth, d_ff = 5;
    std::map<std::string, ConstTensor> by_name;
    for (const ParameterGroup group : kTrainedGroups) {
      f.store.for_each_named(group, f.store.buffer(group).value,
                             [&](const NamedTensor& named) { by_name[named.name] = named.tensor; });
    }
    const auto product = [](const std::vector<double>& in, ConstTensor weight) {
      std::vector<double> out;
      for (int64_t o = 0; o < weight.dim(0); ++o) {
        double sum = 0;
        for (int64_t i = 0; i < weight.dim(1); ++i) sum += in[as_index(i)] * get(weight, o * weight.dim(1) + i);
        out.push_back(sum);
      }
      return out;
    };
    const auto feed_forward = [&](const std::vector<double>& in, const std::string& name) {
      const auto z = product(in, by_name.at(name + ".input.weight"));
      std::vector<double> inner;
      for (size_t i = 0; i < d_ff; ++i) inner.push_back(z[i] / (1 + std::exp(-z[i])) * z[i + d_ff]);
      return product(inner, by_name.at(name + ".output.weight"));
    };
    const bool over_all = std::string(yaml).find("softmax: all") != std::string::npos;
    const auto k = static_cast<size_t>(f.layer->router().traits().k);
    std::vector<double> expected;
    for (int64_t t = 0; t < 33; ++t) {
      std::vector<double> in, out(static_cast<size_t>(d));
      for (int64_t i = 0; i < d; ++i) in.push_back(get(x, t * d + i));
      const auto logits = product(in, by_name.at("layer.router.weight"));
      std::vector<size_t> order{0, 1, 2, 3, 4};
      std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
      double sum = 0;
      for (size_t j = 0; j < (over_all ? 5 : k); ++j) sum += std::exp(logits[order[j]]);
      const auto add = [&](double weight, const std::string& name) {
        const auto one = feed_forward(in, name);
        for (size_t i = 0; i < out.size(); ++i) out[i] += weight * one[i];
      };
      for (size_t j = 0; j < k; ++j) add(std::exp(logits[order[j]]) / sum, fmt::format("layer.experts.{}", order[j]));
      const double gate =
          config.shared_gate ? 1 / (1 + std::exp(-product(in, by_name.at("layer.shared_gate.weight"))[0])) : 1;
      if (config.shared_experts > 0) add(gate, "layer.shared");
      expected.insert(expected.end(), out.begin(), out.end());
    }
    check_close("y", y, expected);
  }
}

TEST_CASE("a gate without shared experts is refused") {
  CHECK_THROWS_WITH(LayerFixture(moe_config("{experts: 5, shared_gate: true}")),
                    Catch::Contains("shared_gate") && Catch::Contains("no shared expert"));
}

TEST_CASE("the mean gate of the shared experts is a figure of the layer") {
  LayerFixture f(moe_config("{experts: 5, shared_experts: 1, shared_gate: true}"));
  const TokenBatch batch = make_batch(f.ctx, 3, 5);
  const Tensor x = f.ctx.normal({15, kModelWidth}, 1);
  f.forward(batch, x);
  double sum = 0;
  for (const Parameter& p : f.store.parameters()) {
    if (p.name != "layer.shared_gate.weight") continue;
    for (int64_t t = 0; t < 15; ++t) {
      double z = 0;
      for (int64_t i = 0; i < kModelWidth; ++i) z += get(x, t * kModelWidth + i) * get(p.value, i);
      sum += 1 / (1 + std::exp(-z));
    }
  }
  int found = 0;
  f.layer->for_each_measure([&](const std::string& name, const std::optional<double>& value) {
    if (name != "shared_gate") return;
    ++found;
    REQUIRE(value.has_value());
    CHECK(*value == Approx(sum / 15));
  });
  CHECK(found == 1);
}

TEST_CASE("k = 1 with renormalised weights is refused; accepted settings train the router") {
  int accepted = 0, refused = 0;
  for (const Member& router : family<Router>()) {
    for (const char* softmax : {"chosen", "all"}) {
      for (const char* renormalise : {"true", "false"}) {
        MoEConfig config;
        try {
          config = moe_config(
              fmt::format("{{experts: 5, balance: [], router: {{kind: {}, k: 1, softmax: {}, renormalise: {}}}}}",
                          router.name, softmax, renormalise));
        } catch (const UsageError&) {
          continue;  // a router without these options
        }
        INFO(router.name << ", softmax " << softmax << ", renormalise " << renormalise);
        try {
          LayerFixture f(config);
          ++accepted;
          const TokenBatch batch = make_batch(f.ctx, 2, 5);
          const Tensor x = f.ctx.normal({10, kModelWidth}, 1);
          f.forward(batch, x);
          f.layer->backward(f.ctx, batch, f.ctx.output(x.shape), f.ctx.normal(x.shape, 2));
          for (const Differentiable& p : parameters_of(f.store)) {
            if (p.name.find(".router.") != std::string::npos) CHECK(dot(p.gradient, p.gradient) > 1e-6);
          }
        } catch (const UsageError& error) {
          ++refused;
          CHECK(std::string(error.what()).find("renormalise: false") != std::string::npos);
        }
      }
    }
  }
  CHECK(accepted >= 1);
  CHECK(refused >= 3);
}

TEST_CASE("k beyond the experts is refused, with both numbers") {
  CHECK_THROWS_WITH(LayerFixture(moe_config("{experts: 3, router: {k: 4}}")),
                    Catch::Contains("4") && Catch::Contains("3") && Catch::Contains("router.k"));
}

TEST_CASE("load statistics count every assignment once, and not in a second pass") {
  LayerFixture f(moe_config("{experts: 5, router: {k: 2}}"));
  const TokenBatch batch = make_batch(f.ctx, 3, 11);
  const Tensor x = f.ctx.normal({33, kModelWidth}, 1);
  f.forward(batch, x);
  const LoadStats& load = f.layer->load();
  CHECK(load.assignments() == 66);
  CHECK(load.tokens() == 33);
  const auto total = [](std::span<const double> numbers) {
    double sum = 0;
    for (const double n : numbers) sum += n;
    return sum;
  };
  CHECK(total(load.importance) == Approx(33));
  CHECK(total(load.probability) == Approx(33));
  CHECK(load.mean_entropy() > 0);
  CHECK(load.mean_entropy() <= std::log(5));
  const auto before = f.sums;
  f.ctx.observe = false;
  f.layer->forward(f.ctx, batch, x);
  CHECK(f.sums == before);
}

TEST_CASE("load statistics of a known spread") {
  std::vector<double> sums(LoadStats::num_sums(4));
  const LoadStats load = LoadStats::view(sums, 4);
  CHECK(load.max_over_mean() == 1);
  CHECK(load.mean_entropy() == 0);
  sums[0] = 6, sums[1] = 2;
  CHECK(load.max_over_mean() == 3);
  CHECK(load.dead() == 2);
}

}  // namespace moe::test
