#include "core/tensor/tensor.h"

#include "core/base/integer.h"
#include "core/base/text.h"

namespace moe {

Shape::Shape(std::initializer_list<int64_t> dims) {
  MOE_CHECK(dims.size() <= dims_.size(), "a tensor has at most {} dimensions, not {}", dims_.size(), dims.size());
  for (int64_t dim : dims) {
    MOE_CHECK(dim >= 0, "negative dimension {}", dim);
    dims_[as_index(rank_++)] = dim;
  }
}

int64_t Shape::size() const {
  int64_t product = 1;
  for (int i = 0; i < rank_; ++i) product *= (*this)[i];
  return product;
}

std::string Shape::to_string() const {
  std::vector<std::string> parts;
  for (int i = 0; i < rank_; ++i) parts.push_back(fmt::format("{}", (*this)[i]));
  return fmt::format("({})", join(parts, ", "));
}

}  // namespace moe
