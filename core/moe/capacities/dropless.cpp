// No bound: every assignment is computed.
#include "core/moe/capacity.h"

namespace moe {
namespace {

class DroplessCapacity : public Capacity {
 public:
  DroplessCapacity(const NoFields&, const Setup&) : Capacity({}) {}
  double factor(uint64_t) const override { return 0; }
  double largest() const override { return 0; }
};

}  // namespace

Member dropless_capacity() {
  return member<Capacity, DroplessCapacity, NoFields>("dropless", "no limit: every assignment is computed");
}

}  // namespace moe
