#include "core/moe/expert_event.h"

#include "core/base/integer.h"

#include <algorithm>
#include <cmath>

namespace moe {

Member grow_event();
Member prune_event();
Member merge_event();
Member restart_event();

template <>
const Table<Member>& family<ExpertEvent>() {
  static const Table<Member> table{"event",
                                   {
                                       grow_event(),
                                       prune_event(),
                                       merge_event(),
                                       restart_event(),
                                   }};
  return table;
}

static Duration parse(const std::string& where, const std::string& text) {
  try {
    return Duration::parse(text);
  } catch (const UsageError& error) {
    raise<UsageError>("{}: {}", where, error.what());
  }
}

ExpertEvent::ExpertEvent(const std::string& kind, const EventOptions& options, const FieldSet& fields,
                         const Setup& setup)
    : kind_(kind), key_(fields.key()), options_(options) {
  if (!options.is_scheduled() && options.below == 0) {
    raise<UsageError>(
        "{}: {} never happens: set at, every or opened, or set below to make it happen to under-used experts", key_,
        kind);
  }
  for (const std::string& text : options.at) {
    steps_.push_back(to_whole_updates(parse(fields.where("at"), text), setup.run));
  }
  for (const std::string& text : options.opened) {
    const Duration share = parse(fields.where("opened"), text);
    if (share.unit != Duration::Unit::percent) {
      raise<UsageError>("{} '{}': is no share of the difficulties: write a percentage, e.g. 50%",
                        fields.where("opened"), text);
    }
    opened_.push_back(share.amount / 100);
  }
  std::sort(opened_.begin(), opened_.end());
  if (options.every.amount > 0) {
    every_ = std::max<int64_t>(to_whole_updates(options.every, setup.run), 1);
  }
}

bool ExpertEvent::is_scheduled_at(int64_t step) const {
  return (every_ > 0 && step > 0 && step % every_ == 0) ||
         std::find(steps_.begin(), steps_.end(), step) != steps_.end();
}

std::optional<int64_t> ExpertEvent::next_scheduled(int64_t step, bool repeats) const {
  std::optional<int64_t> next;
  for (const int64_t at : steps_) {
    if (at >= step && (!next || at < *next)) next = at;
  }
  if (repeats && every_ > 0) {
    const int64_t repeated = round_up(std::max<int64_t>(step, 1), every_);
    if (!next || repeated < *next) next = repeated;
  }
  return next;
}

std::vector<int64_t> ExpertEvent::under_used(const ExpertUse& use) const {
  std::vector<int64_t> order = by_use(use.share);
  if (options_.below > 0) {
    std::erase_if(order, [&](int64_t e) { return use.low[as_index(e)] < options_.patience; });
  }
  return order;
}

}  // namespace moe
