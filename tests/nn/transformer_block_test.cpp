#include "core/nn/transformer_block.h"

#include <array>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/modules.h"

namespace moe::test {

namespace {

struct Block {
  explicit Block(double dropout, double hidden_dropout = 0, double layer_dropout = 0,
                 const std::string& norm_place = "pre", const std::string& norm = "rms", bool bias = false) {
    ModelConfig config;
    config.d_model = 6;
    config.attention.heads = 2;
    config.dropout = dropout;
    config.layer_dropout = layer_dropout;
    config.norm_eps = 1e-2;
    config.norm_place = norm_place;
    config.norm = norm;
    block = std::make_unique<TransformerBlock>(
        store, "block", 3, config, RunLength{},
        [&](const std::string& name) {
          return std::make_unique<DenseFeedForward>(
              store, name + ".feed_forward",
              FeedForwardShape{.d_model = 6,
                               .d_ff = 5,
                               .activation = Activation::gelu_tanh,
                               .hidden_dropout = ScheduleField(hidden_dropout).make({}),
                               .bias = bias},
              ParameterPlace{ParameterRole::feed_forward, 3});
        },
        true);
    store.allocate(ctx, DType::f64);
    randomise(store, 0.4);
  }

  TestContext ctx{DType::f64};
  ParameterStore store;
  std::unique_ptr<TransformerBlock> block;
};

}  // namespace

TEST_CASE("TransformerBlock: gradients of input and parameters, with and without dropout in each place") {
  const auto [place, norm, bias] = GENERATE(table<const char*, const char*, bool>({{"pre", "rms", false},
                                                                                   {"pre", "layer", true},
                                                                                   {"post", "layer", true},
                                                                                   {"post_twice", "layer", false},
                                                                                   {"post_twice", "rms", true}}));
  for (const auto& [branch, hidden, layer] :
       {std::array{0.0, 0.0, 0.0}, {0.4, 0.0, 0.0}, {0.0, 0.4, 0.0}, {0.0, 0.0, 0.4}, {0.2, 0.2, 0.2}}) {
    INFO("dropout " << branch << " of branches, " << hidden << " of hidden units, " << layer << " of layers, " << norm
                    << " " << place << ", bias " << bias);
    Block b(branch, hidden, layer, place, norm, bias);
    const TokenBatch batch = make_batch(b.ctx, 2, 4);
    const Tensor x = b.ctx.normal({8, 6}, 1), d_y = b.ctx.normal({8, 6}, 2), d_x = b.ctx.copy_of(d_y);
    const auto loss = [&] {
      b.ctx.reset();
      return dot(b.block->forward(b.ctx, batch, x), d_y);
    };
    loss();
    b.block->backward(b.ctx, batch, d_x);
    auto tensors = parameters_of(b.store);
    tensors.push_back({"hidden", x, d_x});
    check_gradients(loss, tensors, {.samples = 16, .step = 2e-5});
  }
}

TEST_CASE("TransformerBlock applies dropout only in training") {
  Block with(0.4), without(0);
  const TokenBatch batch = make_batch(with.ctx, 2, 4);
  const Tensor x = with.ctx.normal({8, 6}, 1);
  const Tensor plain = without.ctx.copy_of(without.block->forward(without.ctx, batch, x));
  CHECK(values(with.block->forward(with.ctx, batch, x)) != values(plain));
  with.ctx.training = false;
  check_same_bits("evaluation", with.block->forward(with.ctx, batch, x), plain);
}

TEST_CASE("TransformerBlock's dropout does not depend on the split of the batch") {
  Block b(0.4);
  const TokenBatch batch = make_batch(b.ctx, 3, 4);
  const Tensor x = b.ctx.normal({12, 6}, 1), whole = b.ctx.copy_of(b.block->forward(b.ctx, batch, x));
  TokenBatch part = batch;
  part.sequences = 2;
  b.ctx.first_token = 4;
  check_same_bits("the last two sequences", b.block->forward(b.ctx, part, x.slice(4, 8)), whole.slice(4, 8));
}

TEST_CASE("TransformerBlock with post-norm gives normalised rows") {
  for (const char* place : {"post", "post_twice"}) {
    Block b(0, 0, 0, place, "layer");
    for (const Parameter& p : b.store.parameters()) {
      const bool norm = p.name.find("norm") != std::string::npos;
      for (int64_t i = 0; norm && i < p.value.size(); ++i)
        set(p.value, i, p.name.find("bias") != std::string::npos ? 0 : 1);
    }
    const Tensor x = b.ctx.normal({4, 6}, 1), y = b.block->forward(b.ctx, make_batch(b.ctx, 1, 4), x);
    for (int64_t t = 0; t < 4; ++t) {
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < 6; ++i) sum += get(y, t * 6 + i), squares += get(y, t * 6 + i) * get(y, t * 6 + i);
      CHECK(sum == Approx(0).margin(1e-12));
      CHECK(squares == Approx(6).epsilon(0.05));  // up to eps
    }
  }
  CHECK(Block(0, 0, 0, "post").store.parameters().size() + 1 == Block(0, 0, 0, "post_twice").store.parameters().size());
}

TEST_CASE("TransformerBlock without weights is the identity") {
  Block b(0.5);
  // With zero weights both branches vanish, and the block is the identity, with or without dropout.
  for (const Parameter& p : b.store.parameters()) {
    for (int64_t i = 0; i < p.value.size(); ++i) set(p.value, i, 0);
  }
  const TokenBatch batch = make_batch(b.ctx, 1, 4);
  const Tensor x = b.ctx.normal({4, 6}, 1);
  check_same_bits("identity", b.block->forward(b.ctx, batch, x), x);
  const Tensor d_x = b.ctx.copy_of(x);
  b.block->backward(b.ctx, batch, d_x);
  check_same_bits("gradient of the identity", d_x, x);
}

}  // namespace moe::test
