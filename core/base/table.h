// A family's table: one line per member, in the order shown to the user. Members do not register themselves, because
// linkers drop such registrations from static libraries.
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/text.h"

namespace moe {

template <class Entry>  // Entry must have a `name` that converts to std::string_view
class Table {
 public:
  Table(std::string family, std::initializer_list<Entry> entries) : family_(std::move(family)), entries_(entries) {}

  const std::string& family() const { return family_; }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const Entry& entry : entries_) result.emplace_back(entry.name);
    return result;
  }

  const Entry* find(std::string_view name) const {
    for (const Entry& entry : entries_) {
      if (std::string_view(entry.name) == name) return &entry;
    }
    return nullptr;
  }

  // Throws a UsageError that lists the known names.
  const Entry& at(std::string_view name) const {
    if (const Entry* entry = find(name)) return *entry;
    raise<UsageError>("unknown {} '{}'; known: {}", family_, name, join(names(), ", "));
  }

 private:
  std::string family_;
  std::vector<Entry> entries_;
};

}  // namespace moe
