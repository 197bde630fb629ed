// The options of a chosen member of a family by their names, for code that does not have the member's option struct.
// Scheduled options have the value of one update.
#pragma once
#include <map>
#include <string>

#include "core/config/choice.h"
#include "core/config/field_walker.h"

namespace moe {

class OptionValues : private FieldWalker {
 public:
  OptionValues(const ChoiceBase& choice, const RunLength& run, uint64_t update);

  // Numbers, flags (0 or 1) and scheduled values. Throws InternalError for a member without such an option.
  double number(const std::string& name) const;
  int64_t integer(const std::string& name) const { return static_cast<int64_t>(number(name)); }
  bool flag(const std::string& name) const { return number(name) != 0; }
  const std::string& word(const std::string& name) const;
  bool has_number(const std::string& name) const { return numbers_.count(name) > 0; }

 private:
  using FieldWalker::field;
  void field(const char* name, bool& value, const char*) override { numbers_[name] = value ? 1 : 0; }
  void field(const char* name, int64_t& value, const char*, Range<int64_t>) override {
    numbers_[name] = static_cast<double>(value);
  }
  void field(const char* name, double& value, const char*, Range<double>) override { numbers_[name] = value; }
  void field(const char* name, std::string& value, const char*) override { words_[name] = value; }
  void field(const char* name, std::string& value, const char*, std::vector<std::string>) override {
    words_[name] = value;
  }
  void schedule(const char* name, ScheduleField& value, const char*) override;
  void choice(const char*, ChoiceBase&, const char*) override {}  // nested members are visited by their own values
  void choices(const char*, ChoiceListBase&, const char*) override {}

  RunLength run_;
  uint64_t update_;
  std::map<std::string, double> numbers_;
  std::map<std::string, std::string> words_;
};

}  // namespace moe
