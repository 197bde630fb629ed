#include "core/schedule/named_schedule.h"

namespace moe {

std::unique_ptr<Schedule> make_schedule(const std::string& key, const Choice<Schedule>& choice, const RunLength& run) {
  try {
    return choice.make(Schedule::Setup{run});
  } catch (const UsageError& error) {
    raise<UsageError>("{}: {}", key, error.what());
  }
}

}  // namespace moe
