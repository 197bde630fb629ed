#include "core/ops/feature_noise.h"

#include <algorithm>
#include <cmath>

#include "core/base/fast_normal.h"
#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {

void feature_statistics(Context& ctx, Tensor mean, Tensor deviation, ConstTensor x, ConstTensor lengths, int64_t time,
                        NoiseStatistics statistics) {
  const int64_t tokens = x.dim(0), d = x.dim(1), sequences = time > 0 ? tokens / time : 0;
  MOE_CHECK(sequences * time == tokens, "{} tokens cannot be divided into sequences of {}", tokens, time);
  MOE_CHECK_SHAPE(mean, {tokens, d});
  MOE_CHECK_SHAPE(deviation, {tokens, d});
  if (lengths) MOE_CHECK_SHAPE(lengths, {sequences});
  if (on_cuda(ctx)) return cuda::feature_statistics(ctx, mean, deviation, x, lengths, time, statistics);
  run(ctx, x.dtype, [&]<class T>(T) {
    const T* in = x.as<T>();
    T *m = mean.as<T>(), *s = deviation.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t sequence = 0; sequence < sequences; ++sequence) {
      // Welford's update: until the second loop, s holds the sum of squared differences.
      const int64_t first = sequence * time * d;
      const int64_t length = lengths ? std::max<int64_t>(lengths.as<int32_t>()[sequence], 1) : time;
      for (int64_t t = 0; t < length; ++t) {
        const T weight = T(1) / static_cast<T>(t + 1);
        const int64_t row = first + t * d, before = t > 0 ? row - d : row;
#pragma omp simd
        for (int64_t i = 0; i < d; ++i) {
          const T old_mean = t > 0 ? m[before + i] : T(0), old_sum = t > 0 ? s[before + i] : T(0);
          const T difference = in[row + i] - old_mean;
          const T new_mean = old_mean + difference * weight;
          m[row + i] = new_mean;
          s[row + i] = old_sum + difference * (in[row + i] - new_mean);
        }
      }
      const int64_t last = first + (length - 1) * d;
      for (int64_t t = 0; t < length; ++t) {
        const bool whole = statistics == NoiseStatistics::sequence;
        const int64_t row = first + t * d, from = whole ? last : row;
        const T weight = T(1) / static_cast<T>(whole ? length : t + 1);
#pragma omp simd
        for (int64_t i = 0; i < d; ++i) {
          // The other rows read the last row, so it is converted to a deviation at the end.
          m[row + i] = m[from + i];
          s[row + i] = std::sqrt(std::max(s[from + i] * weight, T(0)));
        }
      }
      for (int64_t row = last + d; row < first + time * d; row += d) {
        std::copy_n(m + last, d, m + row);
        std::copy_n(s + last, d, s + row);
      }
    }
  });
}

void feature_noise_forward(Context& ctx, Tensor x_hat, Tensor gain, ConstTensor x, ConstTensor mean,
                           ConstTensor deviation, const RandomKey& key, int64_t first_token) {
  const int64_t tokens = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(x_hat, {tokens, d});
  MOE_CHECK_SHAPE(gain, {tokens, d});
  MOE_CHECK(mean.shape == deviation.shape && mean.dim(1) == d && (mean.dim(0) == tokens || mean.dim(0) == 1),
            "shape of the statistics {} does not fit tokens {}", mean.shape.to_string(), x.shape.to_string());
  const int64_t stride = mean.dim(0) == tokens ? d : 0;
  if (on_cuda(ctx)) return cuda::feature_noise_forward(ctx, x_hat, gain, x, mean, deviation, key, first_token);
  run(ctx, x.dtype, [&]<class T>(T) {
    const T *in = x.as<T>(), *m = mean.as<T>(), *s = deviation.as<T>();
    T *out = x_hat.as<T>(), *n1 = gain.as<T>();
    constexpr int64_t kBlock = 64;  // the words of one block stay in the L1 cache
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t begin = 0; begin < d; begin += kBlock) {
        const int64_t count = std::min(kBlock, d - begin), at = t * d + begin;
        const T *mean_of = m + t * stride + begin, *size_of = s + t * stride + begin;
        const auto element = static_cast<uint64_t>((first_token + t) * d + begin);
        uint32_t words[2][kBlock];
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          const auto w = key.words(element + static_cast<uint64_t>(i));
          words[0][i] = w[0];
          words[1][i] = w[1];
        }
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          const NormalPair noise = fast_normal_pair(words[0][i], words[1][i]);
          const T factor = T(1) + size_of[i] * static_cast<T>(noise.first);
          n1[at + i] = factor;
          out[at + i] = factor * in[at + i] + mean_of[i] + size_of[i] * static_cast<T>(noise.second);
        }
      }
    }
  });
}

void feature_noise_backward(Context& ctx, Tensor d_x, ConstTensor d_x_hat, ConstTensor gain) {
  MOE_CHECK(d_x.shape == gain.shape && d_x_hat.shape == gain.shape,
            "shapes of the gradients differ from that of gain, {}", gain.shape.to_string());
  if (on_cuda(ctx)) return cuda::feature_noise_backward(ctx, d_x, d_x_hat, gain);
  run(ctx, d_x.dtype, [&]<class T>(T) {
    const T *d = d_x_hat.as<T>(), *n1 = gain.as<T>();
    T* out = d_x.as<T>();
    const int64_t n = gain.size();
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; ++i) out[i] += n1[i] * d[i];
  });
}

void moment_sums(Context& ctx, Tensor sums, ConstTensor x, ConstTensor targets) {
  const int64_t tokens = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(sums, {2 * d + 1});
  MOE_CHECK_SHAPE(targets, {tokens});
  if (on_cuda(ctx)) return cuda::moment_sums(ctx, sums, x, targets);
  run(ctx, x.dtype, [&]<class T>(T) {
    const T* in = x.as<T>();
    const int32_t* target = targets.as<int32_t>();
    double* out = sums.as<double>();
#pragma omp parallel for schedule(static)
    for (int64_t begin = 0; begin < d; begin += 8) {  // each thread sums its own features in the order of the tokens
      for (int64_t t = 0; t < tokens; ++t) {
        if (target[t] == kIgnoreTarget) continue;
        for (int64_t i = begin; i < std::min(begin + 8, d); ++i) {
          const auto value = static_cast<double>(in[t * d + i]);
          out[i] += value;
          out[d + i] += value * value;
        }
      }
    }
    for (int64_t t = 0; t < tokens; ++t) out[2 * d] += target[t] != kIgnoreTarget;
  });
}

void update_moments(Context& ctx, Tensor state, ConstTensor sums, double decay) {
  const int64_t n = state.dim(0);
  MOE_CHECK_SHAPE(sums, {n});
  if (on_cuda(ctx)) return cuda::update_moments(ctx, state, sums, decay);
  run(ctx, state.dtype, [&]<class T>(T) {
    const double* in = sums.as<double>();
    T* out = state.as<T>();
    if (in[n - 1] == 0) return;
    for (int64_t i = 0; i < n; ++i) {
      out[i] = static_cast<T>(decay * static_cast<double>(out[i]) + (1 - decay) * in[i] / in[n - 1]);
    }
  });
}

void moments_to_statistics(Context& ctx, Tensor mean, Tensor deviation, ConstTensor state) {
  const int64_t d = mean.dim(1);
  MOE_CHECK_SHAPE(mean, {1, d});
  MOE_CHECK_SHAPE(deviation, {1, d});
  MOE_CHECK_SHAPE(state, {2 * d + 1});
  if (on_cuda(ctx)) return cuda::moments_to_statistics(ctx, mean, deviation, state);
  run(ctx, state.dtype, [&]<class T>(T) {
    const T* in = state.as<T>();
    T *m = mean.as<T>(), *s = deviation.as<T>();
    const T weight = in[2 * d] > 0 ? T(1) / in[2 * d] : T(0);
    for (int64_t i = 0; i < d; ++i) {
      m[i] = in[i] * weight;
      s[i] = std::sqrt(std::max(in[d + i] * weight - m[i] * m[i], T(0)));
    }
  });
}

}  // namespace moe
