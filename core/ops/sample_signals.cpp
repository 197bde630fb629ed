#include "core/ops/sample_signals.h"

#include <array>
#include <cmath>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {

void add_router_entropy(Context& ctx, Tensor sums, ConstTensor probabilities) {
  const int64_t tokens = probabilities.dim(0), experts = probabilities.dim(1);
  MOE_CHECK_SHAPE(sums, {tokens});
  if (on_cuda(ctx)) return cuda::add_router_entropy(ctx, sums, probabilities);
  run(ctx, sums.dtype, [&]<class T>(T) {
    T* out = sums.as<T>();
    const T* p = probabilities.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      T sum = 0;
      for (int64_t e = 0; e < experts; ++e) {
        const T share = p[t * experts + e];
        if (share > 0) sum -= share * std::log(share);
      }
      out[t] += sum;
    }
  });
}

void add_expert_variance(Context& ctx, Tensor sums, ConstTensor rows, ConstTensor position) {
  const int64_t tokens = position.dim(0), k = position.dim(1), d = rows.dim(1);
  MOE_CHECK_SHAPE(sums, {tokens});
  MOE_CHECK_DTYPE(position, DType::i32);
  if (on_cuda(ctx)) return cuda::add_expert_variance(ctx, sums, rows, position);
  run(ctx, sums.dtype, [&]<class T>(T) {
    T* out = sums.as<T>();
    const T* x = rows.as<T>();
    const int32_t* place = position.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      int64_t filled = 0;
      for (int64_t j = 0; j < k; ++j) filled += place[t * k + j] >= 0;
      if (filled < 2) continue;
      const T share = T(1) / static_cast<T>(filled);
      T sum = 0;
      for (int64_t i = 0; i < d; ++i) {
        T mean = 0, squares = 0;
        for (int64_t j = 0; j < k; ++j) {
          if (const int32_t r = place[t * k + j]; r >= 0) mean += share * x[r * d + i];
        }
        for (int64_t j = 0; j < k; ++j) {
          if (const int32_t r = place[t * k + j]; r >= 0) squares += (x[r * d + i] - mean) * (x[r * d + i] - mean);
        }
        sum += share * squares;
      }
      out[t] += sum / static_cast<T>(d);
    }
  });
}

void sample_signals(Context& ctx, Tensor signals, const TokenSignals& in, ConstTensor targets, int64_t time) {
  const int64_t tokens = targets.size(), sequences = signals.dim(0);
  MOE_CHECK(sequences * time == tokens, "{} sequences of {} tokens do not match {} tokens", sequences, time, tokens);
  MOE_CHECK_SHAPE(signals, {sequences, kNumSignalColumns});
  MOE_CHECK_SHAPE(in.losses, {tokens});
  MOE_CHECK(!in.entropy == !in.residual, "entropy and residual must be given together");
  if (in.residual) {
    MOE_CHECK_SHAPE(in.entropy, {tokens});
    MOE_CHECK_SHAPE(in.residual, {tokens});
    MOE_CHECK(in.hidden && in.hidden.dim(0) == tokens, "the residual needs the hidden states of all tokens");
  }
  if (on_cuda(ctx)) return cuda::sample_signals(ctx, signals, in, targets, time);
  run(ctx, signals.dtype, [&]<class T>(T) {
    const auto data = [](const ConstTensor& x) { return x ? x.as<T>() : nullptr; };
    const T *loss = in.losses.as<T>(), *entropy = data(in.entropy), *residual = data(in.residual),
            *hidden = data(in.hidden), *routers = data(in.routing.router_entropy),
            *variance = data(in.routing.expert_variance), *uncertainty = data(in.routing.router_uncertainty);
    const int64_t d = hidden ? in.hidden.dim(1) : 0;
    const double per_pass = in.routing.passes > 0 ? 1 / static_cast<double>(in.routing.passes) : 0;
    const int32_t* target = targets.as<int32_t>();
    T* out = signals.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t s = 0; s < sequences; ++s) {
      std::array<double, kNumSignalColumns> sums{};
      double scored = 0;
      for (int64_t t = s * time; t < (s + 1) * time; ++t) {
        if (target[t] == kIgnoreTarget) continue;
        scored += 1;
        sums[0] += static_cast<double>(loss[t]);
        sums[1] += 1 - std::exp(-static_cast<double>(loss[t]));
        if (variance) sums[3] += per_pass * static_cast<double>(variance[t]);
        if (routers) sums[5] += per_pass * static_cast<double>(routers[t]);
        if (uncertainty) sums[6] += per_pass * static_cast<double>(uncertainty[t]);
        if (!residual) continue;
        T squares = 0;
        for (int64_t i = 0; i < d; ++i) squares += hidden[t * d + i] * hidden[t * d + i];
        sums[2] += static_cast<double>(entropy[t]);
        sums[4] += static_cast<double>(residual[t] * residual[t] * squares);
      }
      sums[4] = std::sqrt(sums[4] * scored);  // the division by `scored` below makes it the root mean square
      for (size_t i = 0; i < sums.size(); ++i) {
        out[static_cast<size_t>(s) * sums.size() + i] = static_cast<T>(scored > 0 ? sums[i] / scored : 0);
      }
    }
  });
}

}  // namespace moe
