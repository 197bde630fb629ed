// A configuration field is declared once, in `fields()` of its struct: name, default (the member's initial value), help
// and range. This declaration is used to read, check and dump YAML, for the documentation and for the JSON schema; each
// use is a FieldVisitor.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/units.h"
#include "core/config/range.h"

namespace moe {

class ChoiceBase;
class ChoiceListBase;
class FieldVisitor;
class ScheduleField;
struct LayerOverrides;

// The place of a field: its key, and the file and line of its value, if it was set.
struct FieldPlace {
  std::string key;     // "moe.strategy.first.probability"
  std::string origin;  // "my.yaml:12" or "--set ..."; empty for a default

  // Start of an error message about the field: "my.yaml:12: moe.strategy.first.probability".
  std::string to_string() const { return origin.empty() ? key : origin + ": " + key; }
};

// A struct of configuration fields. It stores its place in the configuration, so that code that rejects a value can
// name the key that the user wrote.
class FieldSet {
 public:
  FieldSet();
  FieldSet(const FieldSet&);
  FieldSet& operator=(const FieldSet&);
  virtual ~FieldSet();
  virtual void fields(FieldVisitor& visitor) = 0;
  virtual std::unique_ptr<FieldSet> clone() const = 0;
  // Sets the fields to what `true` or `false` in the place of the whole group means. Returns false for a group in whose
  // place these values have no meaning.
  virtual bool set_switch(bool /*on*/) { return false; }

  // The place of one of the fields as text, with which an error message about the field starts.
  std::string where(const std::string& field) const;
  // Where the value of one of the fields was set: "my.yaml:12"; empty for a default.
  std::string origin(const std::string& field) const;
  // The key of this struct: "moe.strategy.first".
  std::string key() const { return prefix_.empty() ? prefix_ : prefix_.substr(0, prefix_.size() - 1); }

  // Called by visitors that set the place. `prefix` ends in a dot, or is empty for the root.
  void set_prefix(const std::string& prefix) { prefix_ = prefix; }
  void set_place(const std::string& field, FieldPlace place);

 private:
  std::string prefix_;
  std::vector<std::pair<std::string, FieldPlace>> places_;  // of fields that were read from a file or from --set
};

// Base of every configuration struct: struct ModelConfig : Fields<ModelConfig> { ...; void fields(FieldVisitor&); };
template <class Derived>
class Fields : public FieldSet {
 public:
  std::unique_ptr<FieldSet> clone() const override {
    return std::make_unique<Derived>(static_cast<const Derived&>(*this));
  }
};

struct NoFields : Fields<NoFields> {
  void fields(FieldVisitor&) override {}
};

class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;
  virtual void field(const char* name, bool& value, const char* help) = 0;
  virtual void field(const char* name, int64_t& value, const char* help, Range<int64_t> range = {}) = 0;
  virtual void field(const char* name, double& value, const char* help, Range<double> range = {}) = 0;
  virtual void field(const char* name, Duration& value, const char* help, Lengths accepted = Lengths::training) = 0;
  virtual void field(const char* name, std::string& value, const char* help) = 0;
  // A word from a fixed list.
  virtual void field(const char* name, std::string& value, const char* help, std::vector<std::string> allowed) = 0;
  // A list of words; a single word is read as a list of one.
  virtual void field(const char* name, std::vector<std::string>& value, const char* help) = 0;
  virtual void field(const char* name, std::vector<int64_t>& value, const char* help) = 0;
  virtual void field(const char* name, std::vector<double>& value, const char* help) = 0;
  virtual void group(const char* name, FieldSet& group, const char* help) = 0;
  // A number or a schedule; the field contains its range.
  virtual void schedule(const char* name, ScheduleField& value, const char* help) = 0;
  // Overrides of other fields of the struct for some blocks. Must be declared after all other fields.
  virtual void overrides(const char* name, LayerOverrides& value, const char* help) = 0;
  // One member of a family, `name: kind` or `name: {kind: ..., options}`, and a list of members.
  virtual void choice(const char* name, ChoiceBase& choice, const char* help) = 0;
  virtual void choices(const char* name, ChoiceListBase& choices, const char* help) = 0;
};

}  // namespace moe
