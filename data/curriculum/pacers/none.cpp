// Everything is open from the first update on.
#include "data/curriculum/pacer.h"

namespace moe {
namespace {

class NonePacer : public Pacer {
 public:
  NonePacer(const NoFields&, const Setup&) {}
  double open(int64_t) const override { return 1; }
};

}  // namespace

Member none_pacer() {
  return member<Pacer, NonePacer, NoFields>("none", "all samples are open throughout");
}

}  // namespace moe
