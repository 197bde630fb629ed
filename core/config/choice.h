// A configured member of a family (Router, Strategy, BalanceLoss, Schedule, ...). The families themselves are defined
// in higher layers and connect to this one through `family<F>()`, which each family specialises next to its table.
#pragma once
#include <initializer_list>
#include <type_traits>

#include "core/base/table.h"
#include "core/config/fields.h"

namespace moe {

// One line of a family's table. `make` is untyped here, because configuration headers only name families whose classes
// are declared in higher layers; member() and Choice::make() restore the types.
struct Member {
  std::string name;
  std::string help;
  std::unique_ptr<FieldSet> (*make_options)();
  void* (*make)(const FieldSet& options, const void* setup);
};

// The table line for class M of family F. M is constructed from (const Options&, const F::Setup&).
template <class F, class M, class Options>
Member member(const char* name, const char* help) {
  return {name, help, []() -> std::unique_ptr<FieldSet> { return std::make_unique<Options>(); },
          [](const FieldSet& options, const void* setup) -> void* {
            return static_cast<F*>(
                new M(static_cast<const Options&>(options), *static_cast<const typename F::Setup*>(setup)));
          }};
}

// The table of family F, specialised next to the table.
template <class F>
const Table<Member>& family();

// The meaning of a bare number in place of a choice: the option `field` of member `kind`. Most families have none.
struct NumberShorthand {
  const char* kind = nullptr;
  const char* field = nullptr;
};
template <class F>
inline constexpr NumberShorthand kNumberShorthand{};

// A choice as visitors see it: without the type of its family.
class ChoiceBase {
 public:
  ChoiceBase(const Table<Member>& table, NumberShorthand shorthand, const std::string& kind);
  ChoiceBase(const ChoiceBase& other);
  ChoiceBase& operator=(const ChoiceBase& other);
  ~ChoiceBase();

  const std::string& kind() const { return kind_; }
  FieldSet& options() { return *options_; }
  const FieldSet& options() const { return *options_; }

  // Selects a member with its default options. Throws UsageError that lists the known members.
  void select(const std::string& kind);
  std::vector<std::string> kinds() const;
  std::string help_of(const std::string& kind) const;
  const std::string& family_name() const;
  NumberShorthand number_shorthand() const { return shorthand_; }

 protected:
  void* make_untyped(const void* setup) const;

 private:
  const Table<Member>* table_;
  NumberShorthand shorthand_;
  std::string kind_;
  std::unique_ptr<FieldSet> options_;
};

template <class F>
class Choice : public ChoiceBase {
 public:
  explicit Choice(const std::string& kind) : ChoiceBase(family<F>(), kNumberShorthand<F>, kind) {}

  template <class Setup>
  std::unique_ptr<F> make(const Setup& setup) const {
    static_assert(std::is_same_v<Setup, typename F::Setup>);
    return std::unique_ptr<F>(static_cast<F*>(make_untyped(&setup)));
  }

  // The options as the member's option struct, to set them from code.
  template <class Options>
  Options& as() {
    return dynamic_cast<Options&>(options());
  }
};

class ChoiceListBase {
 public:
  virtual ~ChoiceListBase() = default;
  virtual void clear() = 0;
  virtual ChoiceBase& append() = 0;  // with the family's first member selected
  virtual size_t size() const = 0;
  virtual ChoiceBase& at(size_t i) = 0;
  virtual ChoiceBase example() const = 0;  // the family's first member
};

template <class F>
class ChoiceList : public ChoiceListBase {
 public:
  ChoiceList() = default;
  explicit ChoiceList(std::initializer_list<std::string> kinds) {
    for (const std::string& kind : kinds) items_.emplace_back(kind);
  }
  void clear() override { items_.clear(); }
  ChoiceBase& append() override { return items_.emplace_back(family<F>().begin()->name); }
  size_t size() const override { return items_.size(); }
  ChoiceBase& at(size_t i) override { return items_.at(i); }
  ChoiceBase example() const override { return Choice<F>(family<F>().begin()->name); }
  const std::vector<Choice<F>>& items() const { return items_; }

 private:
  std::vector<Choice<F>> items_;
};

}  // namespace moe
