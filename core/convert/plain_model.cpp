#include "core/convert/plain_model.h"

#include <algorithm>

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

}  // namespace moe
