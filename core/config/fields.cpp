#include "core/config/fields.h"

namespace moe {

FieldSet::FieldSet() = default;
FieldSet::FieldSet(const FieldSet&) = default;
FieldSet& FieldSet::operator=(const FieldSet&) = default;
FieldSet::~FieldSet() = default;

std::string FieldSet::where(const std::string& field) const {
  for (const auto& [name, place] : places_) {
    if (name == field) return place.to_string();
  }
  return prefix_ + field;
}

std::string FieldSet::origin(const std::string& field) const {
  for (const auto& [name, place] : places_) {
    if (name == field) return place.origin;
  }
  return "";
}

void FieldSet::set_place(const std::string& field, FieldPlace place) {
  for (auto& [name, known] : places_) {
    if (name == field) {
      known = std::move(place);
      return;
    }
  }
  places_.emplace_back(field, std::move(place));
}

}  // namespace moe
