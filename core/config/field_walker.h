// A base class for visitors that use only some kinds of fields, and a function that names all fields.
#pragma once
#include <string>

#include "core/config/choice.h"
#include "core/config/schedule_field.h"

namespace moe {

// Visits a whole configuration, including the chosen members, and does nothing. A visitor overrides the functions for
// the kinds of fields that it uses. List members are numbered from 0, as in `--set`: "moe.balance.0.coefficient".
class FieldWalker : public FieldVisitor {
 public:
  void field(const char*, bool&, const char*) override {}
  void field(const char*, int64_t&, const char*, Range<int64_t>) override {}
  void field(const char*, double&, const char*, Range<double>) override {}
  void field(const char*, Duration&, const char*, Lengths) override {}
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

  // Visits the fields of `set`, whose key is `key`; an empty key means the root.
  void enter(const std::string& key, FieldSet& set);

 protected:
  std::string key(const char* name) const { return prefix_ + name; }
  // Called for every struct of fields before its fields are visited.
  virtual void begin(FieldSet& set, const std::string& prefix) { (void)set, (void)prefix; }

 private:
  std::string prefix_;
};

// Sets the key of every field of a configuration that was built by code; for configurations from files the reader does
// this. Fields that already have a place keep it.
void name_fields(FieldSet& root);

}  // namespace moe
