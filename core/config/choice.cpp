#include "core/config/choice.h"

namespace moe {

ChoiceBase::ChoiceBase(const Table<Member>& table, NumberShorthand shorthand, const std::string& kind)
    : table_(&table), shorthand_(shorthand) {
  select(kind);
}

ChoiceBase::ChoiceBase(const ChoiceBase& other)
    : table_(other.table_), shorthand_(other.shorthand_), kind_(other.kind_), options_(other.options_->clone()) {}

ChoiceBase& ChoiceBase::operator=(const ChoiceBase& other) {
  table_ = other.table_;
  shorthand_ = other.shorthand_;
  kind_ = other.kind_;
  options_ = other.options_->clone();
  return *this;
}

ChoiceBase::~ChoiceBase() = default;

void ChoiceBase::select(const std::string& kind) {
  options_ = table_->at(kind).make_options();
  kind_ = kind;
}

std::vector<std::string> ChoiceBase::kinds() const {
  return table_->names();
}

std::string ChoiceBase::help_of(const std::string& kind) const {
  return table_->at(kind).help;
}

const std::string& ChoiceBase::family_name() const {
  return table_->family();
}

void* ChoiceBase::make_untyped(const void* setup) const {
  return table_->at(kind_).make(*options_, setup);
}

}  // namespace moe
