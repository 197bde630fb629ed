#include "data/curriculum/pacer.h"

#include "core/base/json.h"

namespace moe {

Member none_pacer();
Member linear_pacer();
Member root_pacer();
Member geometric_pacer();
Member step_pacer();
Member auto_pacer();

template <>
const Table<Member>& family<Pacer>() {
  static const Table<Member> table{"pacer",
                                   {
                                       none_pacer(),
                                       linear_pacer(),
                                       root_pacer(),
                                       geometric_pacer(),
                                       step_pacer(),
                                       auto_pacer(),
                                   }};
  return table;
}

Json Pacer::state() const {
  return nullptr;
}

}  // namespace moe
