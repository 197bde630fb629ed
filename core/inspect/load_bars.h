// Bars of experts' loads and curves as single lines of text, and colours for a terminal.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace moe {

enum class Colour { none, faint, red, yellow, magenta, bold };

class Painter {
 public:
  explicit Painter(bool colour) : colour_(colour) {}
  // The text with escape sequences, if the terminal has colours.
  std::string operator()(Colour colour, std::string_view text) const;

 private:
  bool colour_;
};

// A bar's full height represents this multiple of the fair share.
constexpr double kFullBar = 2.0;

// Of a load relative to the fair share: red without a token, yellow nearly so, magenta above kFullBar.
Colour colour_of_load(double relative);
// One column: a block of an eighth to a full height, × without a token.
std::string_view load_bar(double relative);

// A column for each expert, in their order; with more experts than columns, sorted by load, each the mean of several.
std::string load_bars(std::span<const double> relative, int64_t columns, const Painter& paint);

// The values as blocks from the lowest to the highest, at most `columns` of them, each the mean of several; NaN is left
// out.
std::string sparkline(std::span<const double> values, int64_t columns);

}  // namespace moe
