#include "core/config/field_walker.h"

namespace moe {

void FieldWalker::enter(const std::string& key, FieldSet& set) {
  const std::string outer = std::exchange(prefix_, key.empty() ? key : key + ".");
  begin(set, prefix_);
  set.fields(*this);
  prefix_ = outer;
}

void FieldWalker::choices(const char* name, ChoiceListBase& choices, const char*) {
  for (size_t i = 0; i < choices.size(); ++i) {
    enter(key(name) + "." + std::to_string(i), choices.at(i).options());
  }
}

namespace {

class Namer : public FieldWalker {
  void begin(FieldSet& set, const std::string& prefix) override { set.set_prefix(prefix); }
  void schedule(const char* name, ScheduleField& value, const char*) override {
    if (value.place().key.empty()) value.set_place({key(name), ""});
  }
};

}  // namespace

void name_fields(FieldSet& root) {
  Namer().enter("", root);
}

}  // namespace moe
