#include "core/moe/capacity.h"

namespace moe {

Member dropless_capacity();
Member fixed_capacity();
Member needed_capacity();
Member complexity_capacity();
Member bandit_capacity();

template <>
const Table<Member>& family<Capacity>() {
  static const Table<Member> table{"capacity",
                                   {
                                       dropless_capacity(),
                                       fixed_capacity(),
                                       needed_capacity(),
                                       complexity_capacity(),
                                       bandit_capacity(),
                                   }};
  return table;
}

}  // namespace moe
