// The forms that methods have: the source's and ours, or kinds of a posterior.
#pragma once
#include <fmt/format.h>

#include <string>
#include <vector>

#include "core/config/choice.h"
#include "core/config/field_walker.h"

namespace moe::test {

struct Form {
  std::string kind, form, key = "form";
  std::string option() const { return key + ": " + form; }
};

// Every form of every member of family F that has the option `form` or `posterior`.
template <class F>
std::vector<Form> forms_of() {
  struct Forms : FieldWalker {
    std::vector<std::string> words;
    std::string key;
    using FieldWalker::field;
    void field(const char* name, std::string&, const char*, std::vector<std::string> allowed) override {
      if (name == std::string("form") || name == std::string("posterior")) words = allowed, key = name;
    }
  };
  std::vector<Form> result;
  for (const Member& member : family<F>()) {
    Forms forms;
    member.make_options()->fields(forms);
    for (const std::string& word : forms.words) result.push_back({member.name, word, forms.key});
  }
  return result;
}

}  // namespace moe::test
