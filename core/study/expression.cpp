#include "core/study/expression.h"

#include <fmt/core.h>

#include <cctype>
#include <charconv>
#include <cmath>
#include <system_error>

#include "core/base/check.h"
#include "core/base/text.h"

namespace moe {
namespace {

// Recursive descent; `^` binds most tightly and from the right.
class Parser {
 public:
  Parser(const std::string& text, const std::map<std::string, double>& variables)
      : text_(text), variables_(variables) {}

  double parse() {
    const double value = sum();
    skip();
    if (at_ < text_.size()) refuse(fmt::format("'{}' is not expected", text_.substr(at_)));
    if (!std::isfinite(value)) refuse("its value is not finite");
    return value;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const { raise<UsageError>("the expression '{}': {}", text_, why); }

  void skip() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  double sum() {
    double value = product();
    for (;;) {
      if (take('+'))
        value += product();
      else if (take('-'))
        value -= product();
      else
        return value;
    }
  }
  double product() {
    double value = signed_power();
    for (;;) {
      if (take('*'))
        value *= signed_power();
      else if (take('/'))
        value /= signed_power();
      else
        return value;
    }
  }
  double signed_power() {
    // The depth limits what a text can take of the stack.
    if (++depth_ > 100) refuse("it has too many levels");
    const double value = take('-') ? -signed_power() : power();
    --depth_;
    return value;
  }
  double power() {
    const double base = atom();
    return take('^') ? std::pow(base, signed_power()) : base;
  }
  double atom() {
    if (take('(')) {
      const double value = sum();
      if (!take(')')) refuse("a ')' is missing");
      return value;
    }
    skip();
    size_t end = at_;
    const auto is_name = [&](size_t i) {
      return i < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[i])) || text_[i] == '_');
    };
    if (is_name(at_) && !std::isdigit(static_cast<unsigned char>(text_[at_]))) {
      while (is_name(end)) ++end;
      const std::string name = text_.substr(at_, end - at_);
      const auto it = variables_.find(name);
      if (it == variables_.end()) refuse(fmt::format("the size has no variable '{}'", name));
      at_ = end;
      return it->second;
    }
    double value = 0;
    const auto [rest, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc()) refuse("a number, a variable or '(' is missing");
    at_ = static_cast<size_t>(rest - text_.data());
    return value;
  }

  const std::string& text_;
  const std::map<std::string, double>& variables_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

double evaluate_expression(const std::string& text, const std::map<std::string, double>& variables) {
  return Parser(text, variables).parse();
}

std::string setting_text(double value) {
  const double whole = std::round(value);
  if (std::abs(value - whole) <= 1e-9 * std::abs(value) && std::abs(whole) < 1e15) return fmt::format("{:.0f}", whole);
  return fmt::format("{:.10g}", value);
}

}  // namespace moe
