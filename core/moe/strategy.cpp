#include "core/moe/strategy.h"

namespace moe {

Member plain_strategy();
Member compete_strategy();

template <>
const Table<Member>& family<Strategy>() {
  static const Table<Member> table{"strategy",
                                   {
                                       plain_strategy(),
                                       compete_strategy(),
                                   }};
  return table;
}

}  // namespace moe
