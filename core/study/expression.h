// Arithmetic in the rules of sizes: "w / 64", "3e-3 * (128 / w) ^ 0.5".
#pragma once
#include <map>
#include <string>

namespace moe {

// The value of an expression of numbers, variables, + - * / ^ and parentheses. Throws UsageError for another text, an
// unknown variable, and a value that is not finite.
double evaluate_expression(const std::string& text, const std::map<std::string, double>& variables);

// The value as a setting: whole numbers without a point.
std::string setting_text(double value);

}  // namespace moe
