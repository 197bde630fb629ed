// Visitors that look at some fields only, and names for all of them.
#pragma once
#include <string>

#include "core/config/choice.h"
#include "core/config/schedule_field.h"

namespace moe {

// Visits a whole configuration, members that are chosen included, and does nothing; a visitor of few kinds of fields
// overrides those. Keys of list members count from 0, as `--set` does: "moe.balance.0.coefficient".
class FieldWalker : public FieldVisitor {
 public:
  void field(const char*, bool&, const char*) override {}
  void field(const char*, int64_t&, const char*, Range<int64_t>) override {}
  void field(const char*, double&, const char*, Range<double>) override {}
  void field(const char*, Duration&, const char*) override {}
  void field(const char*, std::string&, const char*) override {}
  void field(const char*, std::string&, const char*, std::vector<std::string>) override {}
  void field(const char*, std::vector<std::string>&, const char*) override {}
  void field(const char*, std::vector<int64_t>&, const char*) override {}
  void field(const char*, std::vector<double>&, const char*) override {}
  void schedule(const char*, ScheduleField&, const char*) override {}
  void overrides(const char*, LayerOverrides&, const char*) override {}
  void group(const char* name, FieldSet& group, const char*) override { enter(key(name), group); }
  void choice(const char* name, ChoiceBase& choice, const char*) override { enter(key(name), choice.options()); }
  void choices(const char* name, ChoiceListBase& choices, const char*) override;

  // Visits the fields of `set`, whose key is `key`; empty: the root.
  void enter(const std::string& key, FieldSet& set);

 protected:
  std::string key(const char* name) const { return prefix_ + name; }
  // Called for every struct of fields before its fields are visited.
  virtual void begin(FieldSet& set, const std::string& prefix) { (void)set, (void)prefix; }

 private:
  std::string prefix_;
};

// Gives every field its key, for configurations that were made by code; a reader gives it to those that it reads.
// Fields that know where they were read keep it.
void name_fields(FieldSet& root);

}  // namespace moe
