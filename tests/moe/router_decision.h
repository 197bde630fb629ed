// One router of a small MoE layer and what it decides, for tests.
#pragma once
#include <set>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/layer_fixture.h"

namespace moe::test {

inline MoEConfig router_config(const std::string& router, int experts = 5) {
  return moe_config(fmt::format("{{experts: {}, balance: [], router: {}}}", experts, router));
}

// A router's decision on a batch of random tokens.
struct Decision {
  explicit Decision(const MoEConfig& config, int64_t sequences = 3, int64_t time = 11)
      : f(config), batch(make_batch(f.ctx, sequences, time)), x(f.ctx.normal({batch.tokens(), kModelWidth}, 1)) {}

  const Routing& run() {
    f.ctx.reset();
    f.layer->router().forward(f.ctx, batch, x, routing);
    return routing;
  }
  std::set<int32_t> chosen(int64_t token) const {
    const int64_t k = routing.indices.dim(1);
    const int32_t* index = routing.indices.as<int32_t>() + token * k;
    std::set<int32_t> result(index, index + k);
    result.erase(-1);
    return result;
  }
  Tensor parameter(const std::string& name) {
    for (const Parameter& p : f.store.parameters()) {
      if (p.name == "layer.router." + name) return p.value;
    }
    FAIL("no parameter " << name);
    return {};
  }

  LayerFixture f;
  TokenBatch batch;
  Tensor x;
  Routing routing;
};

}  // namespace moe::test
