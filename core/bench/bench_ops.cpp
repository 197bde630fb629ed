#include "core/bench/bench_ops.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/ops/activation.h"
#include "core/ops/adamw.h"
#include "core/ops/attention.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/dispatch_rows.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/grouped_gemm.h"
#include "core/ops/initialise.h"
#include "core/ops/matmul.h"
#include "core/ops/rms_norm.h"
#include "core/ops/rope.h"
#include "core/tensor/copy.h"
#include "core/tensor/device.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;

// Memory and random tensors of one device.
class Bench {
 public:
  Bench(const DeviceChoice& device, const OpBenchOptions& options, const std::function<void(const std::string&)>& print)
      : options_(options),
        print_(print),
        description_(device.description),
        queue_(device.queue),
        activations_("bench", device.device, static_cast<size_t>(kBytes / options.shrink)),
        scratch_("scratch", device.device, static_cast<size_t>(kBytes / 8 / options.shrink)) {
    ctx.device = device.device;
    ctx.dtype = device.precision.storage;
    ctx.products = device.precision.products;
    ctx.queue = queue_.get();
    ctx.activations = &activations_;
    ctx.scratch = &scratch_;
  }

  int64_t shrunk(int64_t n) const { return std::max<int64_t>(static_cast<int64_t>(n / options_.shrink) / 16 * 16, 16); }
  Tensor random(Shape shape) { return random(shape, ctx.dtype); }
  Tensor random(Shape shape, DType dtype) {
    // Numbers are drawn on the CPU, which would take longer than the measurements: the rest repeats the first ones.
    constexpr int64_t kDrawn = int64_t{1} << 20;
    const Tensor x = ctx.allocate(shape, dtype), flat = x.reshape(Shape{x.size()});
    const Tensor first = flat.slice(0, std::min(kDrawn, x.size()));
    fill_uniform(ctx, first, 1, {.purpose = RandomPurpose::test, .stream = stream_++});
    for (int64_t done = first.size(); done < x.size();) {
      const int64_t count = std::min(done, x.size() - done);
      copy(ctx, flat.slice(done, count), flat.slice(0, count));
      done += count;
    }
    return x;
  }
  Tensor wide_random(Shape shape) { return random(shape, wide(ctx.dtype)); }
  Tensor numbers(const std::vector<int32_t>& values) {
    const Tensor x = ctx.allocate(Shape{static_cast<int64_t>(values.size())}, DType::i32);
    copy_from_host(ctx, x, BasicTensor<const void>{values.data(), x.shape, DType::i32, Device::cpu});
    return x;
  }

  bool wants(const std::string& op) {
    activations_.reset();
    const std::vector<std::string> parts = split(options_.only, ',');
    return options_.only.empty() || std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
             return op.find(part) != std::string::npos;
           });
  }

  // Measures and prints one row. `flops` and `bytes` are per run; the one that is not reported is 0.
  void measure(const std::string& op, const std::string& shape, double flops, double bytes,
               const std::function<void()>& run) {
    const auto time = [&](int64_t repeats) {
      wait();
      const auto start = Clock::now();
      for (int64_t i = 0; i < repeats; ++i) run();
      wait();
      return std::chrono::duration<double>(Clock::now() - start).count();
    };
    time(1);
    const double once = std::max(time(2) / 2, 1e-7);
    const auto repeats = std::max<int64_t>(1, static_cast<int64_t>(options_.seconds / once));
    std::vector<double> seconds;
    for (int i = 0; i < 5; ++i) seconds.push_back(time(repeats) / static_cast<double>(repeats));
    std::sort(seconds.begin(), seconds.end());
    Json line{{"bench", "op"},
              {"op", op},
              {"shape", shape},
              {"who", options_.who},
              {"dtype", name_of(ctx.dtype)},
              {"device", description_},
              {"us", seconds[2] * 1e6},
              {"us_min", seconds.front() * 1e6},
              {"us_max", seconds.back() * 1e6}};
    if (flops > 0) line["tflops"] = flops / seconds[2] / 1e12;
    if (bytes > 0) line["gbps"] = bytes / seconds[2] / 1e9;
    print_(json_text(line));
  }

  Context ctx;

 private:
  static constexpr double kBytes = 24e9;
  void wait() {
    if (queue_) cuda::synchronise(*queue_);
  }

  OpBenchOptions options_;
  std::function<void(const std::string&)> print_;
  std::string description_;
  std::shared_ptr<cuda::Queue> queue_;
  Arena activations_, scratch_;
  uint32_t stream_ = 1;
};

void ceilings(Bench& b) {
  const auto element = static_cast<double>(size_of(b.ctx.dtype));
  if (b.wants("copy")) {
    const int64_t n = b.shrunk(int64_t{1} << 30);
    const Tensor x = b.random({n}), y = b.ctx.allocate({n});
    b.measure("copy", fmt::format("{} elements", n), 0, 2 * element * static_cast<double>(n),
              [&] { copy(b.ctx, y, x); });
  }
  if (b.wants("dense")) {
    const int64_t n = b.shrunk(8192);
    const Tensor x = b.random({n, n}), weight = b.random({n, n}), y = b.ctx.allocate({n, n});
    b.measure("dense", fmt::format("{0}x{0}x{0}", n), 2.0 * static_cast<double>(n * n * n), 0,
              [&] { linear_forward(b.ctx, y, x, weight); });
  }
}

void grouped(Bench& b, int64_t experts, int64_t d, int64_t f, int64_t wanted_rows) {
  const int64_t rows = b.shrunk(wanted_rows);
  const std::string shape = fmt::format("E{} d{} f{} rows{}", experts, d, f, rows);
  const double flops = 2.0 * static_cast<double>(rows * d * f);
  std::vector<int32_t> offsets;
  for (int64_t e = 0; e <= experts; ++e) offsets.push_back(static_cast<int32_t>(rows * e / experts));
  for (const char* op : {"grouped_forward", "grouped_input", "grouped_weight"}) {
    if (!b.wants(op)) continue;
    const Tensor x = b.random({rows, d}), y = b.random({rows, f}), first = b.numbers(offsets);
    if (op[8] == 'w') {
      const Tensor d_weight = b.wide_random({experts, f, d});
      b.measure(op, shape, flops, 0, [&] { grouped_gemm_backward_weight(b.ctx, d_weight, y, x, first); });
      continue;
    }
    const Tensor weight = b.random({experts, f, d});
    b.measure(op, shape, flops, 0, [&] {
      op[8] == 'f' ? grouped_gemm_forward(b.ctx, y, x, weight, first)
                   : grouped_gemm_backward_input(b.ctx, x, y, weight, first);
    });
  }
}

// An expert's first product with its activation. A gated one has f columns for the gate and f for up.
void activated(Bench& b, Activation activation, int64_t experts, int64_t d, int64_t f, int64_t wanted_rows) {
  const int64_t rows = b.shrunk(wanted_rows), halves = width_factor(activation);
  const std::string op = activation == Activation::swiglu ? "grouped_swiglu" : "grouped_gelu";
  if (!b.wants(op)) return;
  std::vector<int32_t> offsets;
  for (int64_t e = 0; e <= experts; ++e) offsets.push_back(static_cast<int32_t>(rows * e / experts));
  const Tensor x = b.random({rows, d}), weight = b.random({experts, halves * f, d}), first = b.numbers(offsets),
               z = b.ctx.allocate({rows, halves * f}), y = b.ctx.allocate({rows, f});
  b.measure(op, fmt::format("E{} d{} f{} rows{}", experts, d, f, rows),
            2.0 * static_cast<double>(rows * d * f * halves), 0,
            [&] { grouped_gemm_activate_forward(b.ctx, y, z, x, weight, first, activation); });
}

void attention(Bench& b, int64_t heads, int64_t d_head, int64_t time) {
  const int64_t batch = std::max<int64_t>(b.shrunk(16384) / time, 1), tokens = batch * time;
  const AttentionLayout layout{.time = time, .heads = heads, .kv_heads = heads, .d_head = d_head};
  const std::string shape = fmt::format("B{} T{} H{} d{} causal", batch, time, heads, d_head);
  // Half of all (query, key) pairs, two products.
  const double flops = 2.0 * static_cast<double>(tokens * time * heads * d_head);
  if (!b.wants("attention_forward") && !b.wants("attention_backward")) return;
  const Tensor qkv = b.random({tokens, layout.width()}), out = b.ctx.allocate({tokens, heads * d_head}),
               lse = b.ctx.allocate_wide({tokens, heads}), d_out = b.random(out.shape),
               d_qkv = b.ctx.allocate(qkv.shape);
  b.measure("attention_forward", shape, flops, 0, [&] { attention_forward(b.ctx, out, lse, qkv, layout); });
  b.measure("attention_backward", shape, 2.5 * flops, 0,
            [&] { attention_backward(b.ctx, d_qkv, d_out, qkv, out, lse, layout); });
}

void moves(Bench& b, int64_t wanted_tokens, int64_t d, int64_t k, int64_t experts) {
  const int64_t tokens = b.shrunk(wanted_tokens);
  const auto element = static_cast<double>(size_of(b.ctx.dtype));
  const std::string shape = fmt::format("tokens{} d{} k{} E{}", tokens, d, k, experts);
  const double bytes = static_cast<double>(tokens * d * (1 + k)) * element;
  if (!b.wants("permute") && !b.wants("combine") && !b.wants("sort")) return;
  std::vector<int32_t> choice;
  const RandomKey key{.purpose = RandomPurpose::test};
  for (int64_t i = 0; i < tokens * k; ++i) {
    choice.push_back(static_cast<int32_t>((key.bits(static_cast<uint64_t>(i / k)) + static_cast<uint64_t>(i % k)) %
                                          static_cast<uint64_t>(experts)));
  }
  const Tensor indices = b.numbers(choice).reshape({tokens, k}), position = b.ctx.allocate({tokens, k}, DType::i32),
               source = b.ctx.allocate({tokens * k}, DType::i32), offsets = b.ctx.allocate({experts + 1}, DType::i32);
  b.measure("sort_assignments", shape, 0, static_cast<double>(tokens * k * 12),
            [&] { sort_assignments(b.ctx, position, source, offsets, indices); });
  const Tensor x = b.random({tokens, d}), rows = b.random({tokens * k, d}), weights = b.wide_random({tokens, k}),
               d_rows = b.ctx.allocate(rows.shape), d_weights = b.ctx.allocate_wide(weights.shape);
  b.measure("permute_forward", shape, 0, bytes, [&] { permute_forward(b.ctx, rows, x, source, k); });
  b.measure("combine_forward", shape, 0, bytes, [&] { combine_forward(b.ctx, x, rows, weights, position); });
  b.measure("combine_backward", shape, 0, static_cast<double>(tokens * d * (1 + 2 * k)) * element,
            [&] { combine_backward(b.ctx, d_rows, d_weights, x, rows, weights, position, source); });
}

void norms(Bench& b, int64_t wanted_tokens, int64_t d) {
  const int64_t tokens = b.shrunk(wanted_tokens);
  const double size = static_cast<double>(tokens * d) * static_cast<double>(size_of(b.ctx.dtype));
  const std::string shape = fmt::format("tokens{} d{}", tokens, d);
  if (!b.wants("rms_norm_forward") && !b.wants("rms_norm_backward")) return;
  const Tensor x = b.random({tokens, d}), weight = b.random({d}), y = b.ctx.allocate(x.shape),
               rms = b.ctx.allocate_wide({tokens}), d_y = b.random(x.shape), d_weight = b.wide_random({d});
  b.measure("rms_norm_forward", shape, 0, 2 * size, [&] { rms_norm_forward(b.ctx, y, rms, x, weight, 1e-5); });
  b.measure("rms_norm_backward", shape, 0, 3 * size,
            [&] { rms_norm_backward(b.ctx, y, d_weight, d_y, x, weight, rms, false); });
}

// `share`: of the tokens that have the same id, as a space has in text; the others are spread evenly.
void embedding(Bench& b, int64_t wanted_tokens, int64_t d, int64_t vocab, double share) {
  const int64_t tokens = b.shrunk(wanted_tokens);
  if (!b.wants("embedding_backward")) return;
  std::vector<int32_t> numbers;
  const RandomKey key{.purpose = RandomPurpose::test};
  const auto frequent = static_cast<uint64_t>(share * 1e6);
  for (int64_t t = 0; t < tokens; ++t) {
    const uint64_t bits = key.bits(static_cast<uint64_t>(t));
    const bool is_frequent = bits % 1'000'000 < frequent;
    numbers.push_back(is_frequent ? 0 : static_cast<int32_t>(bits / 1'000'000 % static_cast<uint64_t>(vocab)));
  }
  const Tensor ids = b.numbers(numbers), d_y = b.random({tokens, d}), d_table = b.wide_random({vocab, d});
  const auto size = static_cast<double>(size_of(b.ctx.dtype) + 2 * size_of(wide(b.ctx.dtype)));
  b.measure("embedding_backward", fmt::format("tokens{} d{} vocab{} share{}", tokens, d, vocab, share), 0,
            static_cast<double>(tokens * d) * size, [&] { embedding_backward(b.ctx, d_table, d_y, ids); });
}

void rotary(Bench& b, int64_t wanted_tokens, int64_t heads, int64_t d_head, int64_t time) {
  const int64_t tokens = b.shrunk(wanted_tokens) / time * time;
  if (!b.wants("rope_forward") || tokens == 0) return;
  const AttentionLayout layout{.time = time, .heads = heads, .kv_heads = heads, .d_head = d_head};
  const Tensor qkv = b.random({tokens, layout.width()});
  b.measure("rope_forward", fmt::format("tokens{} T{} H{} d{}", tokens, time, heads, d_head), 0,
            static_cast<double>(2 * 2 * tokens * heads * d_head) * static_cast<double>(size_of(b.ctx.dtype)),
            [&] { rope_forward(b.ctx, qkv, layout, {.dims = d_head}); });
}

void activation(Bench& b, int64_t wanted_rows, int64_t d_ff) {
  const int64_t rows = b.shrunk(wanted_rows);
  if (!b.wants("activation_backward")) return;
  const Tensor z = b.random({rows, d_ff}), d_y = b.random({rows, d_ff}), d_z = b.ctx.allocate({rows, d_ff});
  b.measure("activation_backward", fmt::format("gelu_tanh rows{} f{}", rows, d_ff), 0,
            3 * static_cast<double>(rows * d_ff) * static_cast<double>(size_of(b.ctx.dtype)),
            [&] { activation_backward(b.ctx, d_z, d_y, z, Activation::gelu_tanh); });
}

void loss(Bench& b, int64_t wanted_tokens, int64_t wanted_vocab) {
  const int64_t tokens = b.shrunk(wanted_tokens), vocab = b.shrunk(wanted_vocab);
  if (!b.wants("cross_entropy")) return;
  const Tensor logits = b.random({tokens, vocab}), losses = b.ctx.allocate_wide({tokens}),
               correct = b.ctx.allocate({tokens}, DType::i32),
               targets = b.numbers(std::vector<int32_t>(static_cast<size_t>(tokens), 3));
  b.measure("cross_entropy", fmt::format("tokens{} vocab{}", tokens, vocab), 0,
            2 * static_cast<double>(tokens * vocab) * static_cast<double>(size_of(b.ctx.dtype)),
            [&] { cross_entropy(b.ctx, losses, correct, logits, targets, 1e-4); });
}

void optimizer(Bench& b, int64_t wanted) {
  const int64_t n = b.shrunk(wanted);
  if (!b.wants("adamw")) return;
  const bool rounds = b.ctx.dtype == DType::bf16;
  const Tensor weight = b.random({n}), m = b.wide_random({n}), v = b.wide_random({n}), g = b.wide_random({n});
  const Tensor master = rounds ? b.wide_random({n}) : Tensor{};
  fill_constant(b.ctx, v, 0.5);
  b.measure("adamw", fmt::format("parameters{}", n), 0, static_cast<double>(n) * (rounds ? 34 : 32),
            [&] { adamw(b.ctx, weight, m, v, g, {.learning_rate = 1e-3, .weight_decay = 0.1}, master); });
}

}  // namespace

void bench_ops(const DeviceChoice& device, const OpBenchOptions& options,
               const std::function<void(const std::string&)>& print) {
  Bench bench(device, options, print);
  ceilings(bench);
  for (const int64_t rows : {65'536, 131'072}) grouped(bench, 64, 768, 3072, rows);
  grouped(bench, 64, 768, 768, 524'288);
  grouped(bench, 8, 768, 3072, 131'072);
  grouped(bench, 16, 512, 2048, 131'072);
  activated(bench, Activation::gelu_tanh, 64, 768, 3072, 131'072);
  activated(bench, Activation::swiglu, 64, 768, 384, 524'288);
  activated(bench, Activation::swiglu, 8, 768, 2048, 131'072);
  for (const int64_t time : {1024, 2048, 4096}) attention(bench, 12, 64, time);
  attention(bench, 16, 128, 2048);
  moves(bench, 65'536, 768, 2, 64);
  moves(bench, 65'536, 768, 8, 64);
  norms(bench, 65'536, 768);
  for (const double share : {0.0, 0.05, 0.18}) embedding(bench, 65'536, 768, 50'304, share);
  rotary(bench, 65'536, 12, 64, 1024);
  activation(bench, 131'072, 3072);
  loss(bench, 16'384, 50'304);
  optimizer(bench, 268'435'456);
}

}  // namespace moe
