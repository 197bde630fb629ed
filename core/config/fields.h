// A configuration field is declared once, in `fields()` of its struct: name, default (the member's initial value), help
// and range. That declaration reads YAML, checks, dumps, documents and writes the JSON schema, each a FieldVisitor.
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

// Where a field stands: its key, and the file and line that gave its value, if any did.
struct FieldPlace {
  std::string key;     // "moe.strategy.first.probability"
  std::string origin;  // "my.yaml:12" or "--set ..."; empty: a default

  // "my.yaml:12: moe.strategy.first.probability": what an error message about the field begins with.
  std::string to_string() const { return origin.empty() ? key : origin + ": " + key; }
};

// A struct of configuration fields. It knows its own place in the configuration, so that code that refuses a value can
// name the key that the user wrote.
class FieldSet {
 public:
  virtual ~FieldSet() = default;
  virtual void fields(FieldVisitor& visitor) = 0;
  virtual std::unique_ptr<FieldSet> clone() const = 0;

  // The place of one of its fields as text: what an error message about the field begins with.
  std::string where(const std::string& field) const;
  // Its own key: "moe.strategy.first".
  std::string key() const { return prefix_.empty() ? prefix_ : prefix_.substr(0, prefix_.size() - 1); }

  // For visitors that know the place. `prefix` ends in a dot, or is empty for the root.
  void set_prefix(const std::string& prefix) { prefix_ = prefix; }
  void set_place(const std::string& field, FieldPlace place);

 private:
  std::string prefix_;
  std::vector<std::pair<std::string, FieldPlace>> places_;  // of fields that were read from somewhere
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
  virtual void field(const char* name, Duration& value, const char* help) = 0;
  virtual void field(const char* name, std::string& value, const char* help) = 0;
  // A word out of a fixed list.
  virtual void field(const char* name, std::string& value, const char* help, std::vector<std::string> allowed) = 0;
  // A list of words; a single word stands for a list of one.
  virtual void field(const char* name, std::vector<std::string>& value, const char* help) = 0;
  virtual void field(const char* name, std::vector<int64_t>& value, const char* help) = 0;
  virtual void field(const char* name, std::vector<double>& value, const char* help) = 0;
  virtual void group(const char* name, FieldSet& group, const char* help) = 0;
  // A number, or a schedule of one; the field holds its range.
  virtual void schedule(const char* name, ScheduleField& value, const char* help) = 0;
  // Settings of some blocks that differ from those beside them. Declared after all other fields of its struct.
  virtual void overrides(const char* name, LayerOverrides& value, const char* help) = 0;
  // One member of a family, `name: kind` or `name: {kind: ..., options}`, and a list of such.
  virtual void choice(const char* name, ChoiceBase& choice, const char* help) = 0;
  virtual void choices(const char* name, ChoiceListBase& choices, const char* help) = 0;
};

}  // namespace moe
