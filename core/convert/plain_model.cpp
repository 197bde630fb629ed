#include "core/convert/plain_model.h"

#include <algorithm>
#include <limits>

#include "core/base/check.h"

namespace moe {

static constexpr const char* kQkNorms[] = {"none", "head", "full"};

QkNorm qk_norm_from_name(const std::string& name) {
  const auto found = std::find(std::begin(kQkNorms), std::end(kQkNorms), name);
  MOE_CHECK(found != std::end(kQkNorms), "'{}' is no norm of queries and keys", name);
  return static_cast<QkNorm>(found - std::begin(kQkNorms));
}

const char* name_of(QkNorm norm) {
  return kQkNorms[static_cast<size_t>(norm)];
}

bool PlainModel::has_experts() const {
  return std::find(is_moe.begin(), is_moe.end(), true) != is_moe.end();
}

bool PlainModel::all_moe() const {
  return std::find(is_moe.begin(), is_moe.end(), false) == is_moe.end();
}

int64_t PlainModel::leading_dense() const {
  return std::find(is_moe.begin(), is_moe.end(), true) - is_moe.begin();
}

int64_t size_product(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<int64_t>::max() : product;
}

void require_sizes(const PlainModel& m, const std::string& file) {
  if (m.vocab < 1 || m.layers < 1 || m.d_model < 1 || m.heads < 1)
    raise<CheckpointError>("{}: a model of {} layers, width {}, {} heads and {} tokens", file, m.layers, m.d_model,
                           m.heads, m.vocab);
  constexpr int64_t kMost = 1 << 28, kMostExperts = 1 << 20;  // of a dimension; of experts in all layers
  for (const int64_t size : {m.vocab, m.layers, m.d_model, m.heads, m.kv_heads, m.d_head, m.d_ff, m.positions,
                             m.experts.d_ff, m.experts.shared_d_ff}) {
    if (size < 0 || size > kMost) raise<CheckpointError>("{}: a model with a size of {}", file, size);
  }
  if (m.layers > kMostExperts || m.experts.count < 0 || m.experts.count > kMostExperts / m.layers)
    raise<CheckpointError>("{}: a model of {} layers with {} experts each", file, m.layers, m.experts.count);
}

}  // namespace moe
