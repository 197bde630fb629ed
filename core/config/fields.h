// A configuration field is declared once, in `fields()` of its struct: name, default (the member's initial value), help
// and range. That declaration reads YAML, checks, dumps, documents and writes the JSON schema, each a FieldVisitor.
#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/base/units.h"

namespace moe {

class ChoiceBase;
class ChoiceListBase;
class FieldVisitor;

// A struct of configuration fields.
class FieldSet {
 public:
  virtual ~FieldSet() = default;
  virtual void fields(FieldVisitor& visitor) = 0;
  virtual std::unique_ptr<FieldSet> clone() const = 0;
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

template <class T>
struct Range {
  T min = std::numeric_limits<T>::lowest();
  T max = std::numeric_limits<T>::max();
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
  // One member of a family, `name: kind` or `name: {kind: ..., options}`, and a list of such.
  virtual void choice(const char* name, ChoiceBase& choice, const char* help) = 0;
  virtual void choices(const char* name, ChoiceListBase& choices, const char* help) = 0;
};

}  // namespace moe
