#include "core/convert/option_values.h"

#include "core/base/check.h"
#include "core/schedule/scheduled.h"

namespace moe {

OptionValues::OptionValues(const ChoiceBase& choice, const RunLength& run, uint64_t update)
    : run_(run), update_(update) {
  const std::unique_ptr<FieldSet> options = choice.options().clone();
  options->fields(*this);
}

void OptionValues::schedule(const char* name, ScheduleField& value, const char*) {
  numbers_[name] = value.make(run_).at(update_);
}

double OptionValues::number(const std::string& name) const {
  const auto found = numbers_.find(name);
  MOE_CHECK(found != numbers_.end(), "there is no option {} that is a number", name);
  return found->second;
}

const std::string& OptionValues::word(const std::string& name) const {
  const auto found = words_.find(name);
  MOE_CHECK(found != words_.end(), "there is no option {} that is a word", name);
  return found->second;
}

}  // namespace moe
