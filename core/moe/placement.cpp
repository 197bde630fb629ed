#include "core/moe/placement.h"

#include <algorithm>

namespace moe {

Member contiguous_placement();
Member load_placement();
Member co_activation_placement();

template <>
const Table<Member>& family<Placement>() {
  static const Table<Member> table{"placement",
                                   {
                                       contiguous_placement(),
                                       load_placement(),
                                       co_activation_placement(),
                                   }};
  return table;
}

int64_t Placement::updates_between(const Duration& every, const FieldSet& fields, const Setup& setup) {
  if (every.amount <= 0)
    raise<UsageError>("{}: the experts would never be placed; set it above 0, e.g. 2%, or kind: contiguous",
                      fields.where("every"));
  return std::max<int64_t>(to_whole_updates(every, setup.run), 1);
}

}  // namespace moe
